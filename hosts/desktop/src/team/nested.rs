//! Agents that others ask: what the team file says of them.
//!
//! An agent without a prompt is on call. Whoever is granted it calls it as a tool; it is spawned with the request as
//! its prompt, and its answer is the result. It may ask others in turn, as deep as [`MOST_DEPTH`] and never in a circle,
//! so that nobody waits for itself.

use std::collections::HashMap;
use std::ops::Range;

use super::check::{Declared, cycle, unknown};
use super::error::{Problem, TeamError};
use super::source::Source;
use super::tools::Choose;

/// Agents that may wait for each other's answers at once, one for the next.
pub const MOST_DEPTH: usize = 8;

/// Whom each table's agents may ask.
pub(super) fn asked(
    source: &Source<'_>,
    declared: &[Declared],
    named: &HashMap<String, Range<usize>>,
) -> Result<Vec<Vec<usize>>, TeamError> {
    let mut asked = Vec::with_capacity(declared.len());
    for one in declared {
        let mut all: Vec<usize> = Vec::new();
        for name in &one.asks {
            let refuse = |problem| Err(source.error(name.at, problem));
            let Some(meant) = named.get(&name.value) else {
                return refuse(unknown("agents", &name.value, declared, named));
            };
            if meant.clone().any(|index| all.contains(&index)) {
                return refuse(Problem::NamedTwice { key: "agents", name: name.value.clone() });
            }
            if meant.len() > 1 {
                return refuse(Problem::AskedCopies { name: name.value.clone() });
            }
            all.extend(meant.clone());
        }
        asked.push(all);
    }
    Ok(asked)
}

/// Whether those who are asked can be: they are on call, and nobody waits for itself.
pub(super) fn check(
    source: &Source<'_>,
    declared: &[Declared],
    asked: &[Vec<usize>],
    owners: &[usize],
) -> Result<(), TeamError> {
    let table = |agent: &usize| owners[*agent];
    for (one, asks) in declared.iter().zip(asked) {
        for (name, other) in one.asks.iter().zip(asks) {
            if !declared[table(other)].agent.on_call {
                return Err(source.error(name.at, Problem::NotOnCall { name: name.value.clone() }));
            }
        }
    }
    for (index, one) in declared.iter().enumerate().filter(|(_, one)| one.agent.on_call) {
        let refuse = |problem| Err(source.error(one.name_at, problem));
        if !asked.iter().flatten().any(|agent| table(agent) == index) {
            let (section, key) = ("[[agent]]", "prompt or prompt_file");
            return Err(source.error(one.at, Problem::MissingKey { section, key }));
        }
        let several = one.agent.tools.as_ref().is_some_and(|tools| {
            let count = tools.grant.tools.len() + one.asks.len();
            tools.choose == Choose::Likeness && tools.chain.is_empty() && count > 1
        });
        if several || one.agent.knowledge.is_some() || !one.after.is_empty() {
            return refuse(Problem::OnCall { name: one.agent.name.clone() });
        }
    }
    let edges: Vec<Vec<usize>> = asked.iter().map(|all| all.iter().map(table).collect()).collect();
    if let Some(cycle) = cycle(&edges) {
        let names = cycle.iter().map(|&index| declared[index].agent.name.clone()).collect();
        return Err(source.error(declared[cycle[0]].asks[0].at, Problem::AskCycle { names }));
    }
    let depths = depths(&edges);
    match depths.iter().position(|&depth| depth > MOST_DEPTH) {
        None => Ok(()),
        Some(index) => {
            let (found, limit) = (depths[index], MOST_DEPTH);
            Err(source.error(declared[index].name_at, Problem::Depth { found, limit }))
        }
    }
}

/// How deep agents may ask from each node of a graph without circles: 0 from one that asks nobody.
fn depths(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut depths = vec![0; edges.len()];
    // A way is at most as long as there are nodes.
    for _ in 0..edges.len() {
        for (node, next) in edges.iter().enumerate() {
            depths[node] = next.iter().map(|&next| depths[next] + 1).max().unwrap_or(0);
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::depths;

    #[test]
    fn the_longest_way_counts() {
        assert_eq!(depths(&[vec![1, 2], vec![2], vec![], vec![0]]), [2, 1, 0, 3]);
        assert!(depths(&[]).is_empty());
    }
}
