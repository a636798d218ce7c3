//! Names: those of agents while they run, and how alike two names are.

use std::borrow::Cow;
use std::collections::HashMap;

use agentos_kernel::agent::AgentId;

/// The names of the agents that were spawned, by the kernel's ids.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: HashMap<AgentId, String>,
}

impl Names {
    /// Names an agent.
    pub fn insert(&mut self, agent: AgentId, name: &str) {
        self.names.insert(agent, name.to_owned());
    }

    /// The name of an agent; its id in digits where it has none.
    pub fn of(&self, agent: AgentId) -> Cow<'_, str> {
        match self.names.get(&agent) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(agent.to_string()),
        }
    }
}

/// Characters of a word that is compared with others. Longer ones are no misspelling.
const LONGEST: usize = 64;

/// The word that `found` is most like, if it is like one at all: a third of it may differ.
pub(super) fn nearest<'a>(found: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if found.chars().count() > LONGEST {
        return None;
    }
    let most = found.chars().count().max(3) / 3;
    let close = words.map(|word| (distance(found, word), word)).filter(|&(distance, _)| distance <= most);
    close.min_by_key(|&(distance, _)| distance).map(|(_, word)| word)
}

/// The Levenshtein distance: characters inserted, left out or replaced.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, from) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &to) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein_s() {
        for (from, to, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("é", "e", 1)]
        {
            assert_eq!((distance(from, to), distance(to, from)), (expected, expected), "{from} {to}");
        }
    }

    #[test]
    fn only_a_word_that_is_alike_is_near() {
        let words = ["prompt", "prompt_file", "priority", "memory"];
        for (found, near) in
            [("promt", Some("prompt")), ("memroy", Some("memory")), ("colour", None), ("x", None)]
        {
            assert_eq!(nearest(found, words.into_iter()), near, "{found}");
        }
        assert_eq!(nearest(&"prompt".repeat(100), words.into_iter()), None);
    }
}
