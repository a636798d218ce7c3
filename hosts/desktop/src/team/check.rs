//! What agents say of each other: names, and who waits for whom.

use std::collections::HashMap;
use std::ops::Range;

use agentos_kernel::agent::MOST_WAITS;

use super::error::{Problem, TeamError};
use super::name::nearest;
use super::section::Setting;
use super::source::Source;
use super::spec::Agent;
use super::{MOST_AGENTS, nested};

/// An `[[agent]]` table, checked on its own.
pub(super) struct Declared {
    /// The agent, or what its copies have in common. It waits for nobody yet.
    pub agent: Agent,
    /// The first byte of its table.
    pub at: usize,
    /// The first byte of its name.
    pub name_at: usize,
    /// The names in `after`.
    pub after: Vec<Setting<String>>,
    /// The names of those that it may ask.
    pub asks: Vec<Setting<String>>,
    /// Its copies, if it says how many.
    pub copies: Option<u32>,
}

/// The agents with their copies, waiting for each other by index.
pub(super) fn agents(source: &Source<'_>, declared: Vec<Declared>) -> Result<Vec<Agent>, TeamError> {
    let ranges = ranges(source, &declared)?;
    let named = named(source, &declared, &ranges)?;
    let owners: Vec<usize> =
        ranges.iter().enumerate().flat_map(|(index, range)| range.clone().map(move |_| index)).collect();
    let waits = waits(source, &declared, &named, &owners)?;
    let asked = nested::asked(source, &declared, &named)?;
    if let Some(cycle) = cycle(&declared_waits(&waits, &owners)) {
        let names = cycle.iter().map(|&index| declared[index].agent.name.clone()).collect();
        return Err(source.error(declared[cycle[0]].after[0].at, Problem::Cycle { names }));
    }
    nested::check(source, &declared, &asked, &owners)?;
    let all = declared.into_iter().zip(waits).zip(asked);
    Ok(all
        .flat_map(|((mut declared, after), asks)| {
            if let Some(tools) = &mut declared.agent.tools {
                tools.asks = asks;
            }
            copies(declared, after)
        })
        .collect())
}

/// The indices of each table's copies.
fn ranges(source: &Source<'_>, declared: &[Declared]) -> Result<Vec<Range<usize>>, TeamError> {
    let mut ranges = Vec::with_capacity(declared.len());
    let mut next = 0;
    for one in declared {
        let end = next + one.copies.unwrap_or(1) as usize;
        ranges.push(next..end);
        next = end;
    }
    match ranges.iter().position(|range| range.end > MOST_AGENTS) {
        None => Ok(ranges),
        Some(first) => Err(source.error(declared[first].name_at, Problem::TooManyAgents { found: next })),
    }
}

/// Whom each name means: all copies, or one of them.
fn named(
    source: &Source<'_>,
    declared: &[Declared],
    ranges: &[Range<usize>],
) -> Result<HashMap<String, Range<usize>>, TeamError> {
    let mut named = HashMap::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for (one, range) in declared.iter().zip(ranges) {
        let copies = range.clone().zip(1..).filter(|_| one.copies.is_some());
        let copies = copies.map(|(index, copy)| (copy_name(&one.agent.name, copy), index..index + 1));
        for (name, meant) in std::iter::once((one.agent.name.clone(), range.clone())).chain(copies) {
            if let Some(first) = taken.insert(name.clone(), one.name_at) {
                let first = source.place(first);
                return Err(source.error(one.name_at, Problem::DuplicateName { name, first }));
            }
            named.insert(name, meant);
        }
    }
    Ok(named)
}

/// Whom each table's agents wait for.
fn waits(
    source: &Source<'_>,
    declared: &[Declared],
    named: &HashMap<String, Range<usize>>,
    owners: &[usize],
) -> Result<Vec<Vec<usize>>, TeamError> {
    let mut waits = Vec::with_capacity(declared.len());
    for one in declared {
        let mut after: Vec<usize> = Vec::new();
        for name in &one.after {
            let refuse = |problem| Err(source.error(name.at, problem));
            let Some(meant) = named.get(&name.value) else {
                return refuse(unknown("after", &name.value, declared, named));
            };
            if meant.clone().any(|index| after.contains(&index)) {
                return refuse(Problem::NamedTwice { key: "after", name: name.value.clone() });
            }
            if meant.clone().any(|index| declared[owners[index]].agent.on_call) {
                return refuse(Problem::AfterOnCall { name: name.value.clone() });
            }
            after.extend(meant.clone());
            if after.len() > MOST_WAITS {
                return refuse(Problem::TooManyWaits { found: after.len(), limit: MOST_WAITS });
            }
        }
        waits.push(after);
    }
    Ok(waits)
}

pub(super) fn unknown(
    key: &'static str,
    name: &str,
    declared: &[Declared],
    named: &HashMap<String, Range<usize>>,
) -> Problem {
    let mut all: Vec<&str> = named.keys().map(String::as_str).collect();
    all.sort_unstable();
    let nearest = nearest(name, all.into_iter()).map(str::to_owned);
    let names = declared.iter().map(|one| one.agent.name.clone()).collect();
    Problem::UnknownName { key, name: name.to_owned(), nearest, names }
}

/// Which tables each table waits for. Copies wait for the same agents, so agents wait in a circle
/// exactly when their tables do.
fn declared_waits(waits: &[Vec<usize>], owners: &[usize]) -> Vec<Vec<usize>> {
    waits.iter().map(|after| after.iter().map(|&agent| owners[agent]).collect()).collect()
}

/// Nodes each of which points to the next, and the last to the first; `None` if there are none.
pub(super) fn cycle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut done = vec![false; edges.len()];
    let ready = |done: &[bool], node: usize| !done[node] && edges[node].iter().all(|&next| done[next]);
    while let Some(node) = (0..edges.len()).find(|&node| ready(&done, node)) {
        done[node] = true;
    }
    // Whoever is left waits for somebody who is left.
    let mut path = vec![done.iter().position(|done| !done)?];
    loop {
        let last = path[path.len() - 1];
        let next = *edges[last].iter().find(|&&next| !done[next]).expect("else it would be done");
        if let Some(first) = path.iter().position(|&node| node == next) {
            return Some(path.split_off(first));
        }
        path.push(next);
    }
}

fn copy_name(name: &str, copy: u32) -> String {
    format!("{name}-{copy}")
}

fn copies(declared: Declared, after: Vec<usize>) -> impl Iterator<Item = Agent> {
    let Declared { agent, copies, .. } = declared;
    let seed = agent.sampling.seed;
    (1..=copies.unwrap_or(1)).map(move |copy| {
        let mut one = agent.clone();
        one.after.clone_from(&after);
        one.sampling.seed = seed.wrapping_add(u64::from(copy - 1));
        if copies.is_some() {
            one.name = copy_name(&agent.name, copy);
        }
        one
    })
}

#[cfg(test)]
mod tests {
    use super::cycle;

    #[test]
    fn a_cycle_is_found_wherever_it_is() {
        assert_eq!(cycle(&[]), None);
        assert_eq!(cycle(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(cycle(&[vec![0]]), Some(vec![0]));
        // The first leads into the cycle and is no part of it.
        assert_eq!(cycle(&[vec![1], vec![2], vec![3], vec![1]]), Some(vec![1, 2, 3]));
        assert_eq!(cycle(&[vec![], vec![0, 2], vec![1, 0]]), Some(vec![1, 2]));
    }
}
