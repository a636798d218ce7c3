//! Which passages answer a question: relevance to the model and the overlap of rare words, together.

use super::relevance::{Relevance, Rows};
use super::words::Words;

/// How much being about the same counts beside all rare words of the question. On 58 questions about 831 passages of
/// Debian's policy, FAQ and guide to APT, the right one is first (among the first four) for 34 (48) by words alone, 19
/// (27) by relevance alone, and 37 (50) by both, with the mean of these questions as the usual one.
pub const RELEVANCE_WEIGHT: f64 = 0.3;

/// Tokens of a question that are looked at: its last ones.
pub const QUESTION_TOKENS: usize = 512;

/// Why a passage is recalled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// How alike its best slice is to the question: from -1 to 1.
    pub relevance: f64,
    /// The share of the weight of the question's rare words that it has: from 0 to 1.
    pub words: f64,
    /// Both together.
    pub total: f64,
}

/// Scores passages. `rows` has the slices of all of them, one passage behind another; `ends` says for each passage
/// where its own end in it.
pub fn scores(
    question: &str,
    relevance: &Relevance,
    words: &Words,
    rows: &Rows,
    ends: &[usize],
) -> Vec<Score> {
    let alike = relevance.of(rows);
    let overlap = words.overlap(question);
    let mut from = 0;
    let score = |(passage, &end): (usize, &usize)| {
        let own = alike.get(from..end).unwrap_or_default();
        from = end;
        let relevance = own.iter().copied().reduce(f64::max).unwrap_or(0.0);
        let words = overlap.get(passage).copied().unwrap_or(0.0);
        Score { relevance, words, total: words + RELEVANCE_WEIGHT * relevance }
    };
    ends.iter().enumerate().map(score).collect()
}

/// The best, best first, the earlier one of equals.
pub fn best(scores: &[Score], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&one, &other| scores[other].total.total_cmp(&scores[one].total).then(one.cmp(&other)));
    order.truncate(most);
    order
}

/// Which of the passages that were found go into a prompt, in the order of the prompt: the best ones that fit the
/// budget of tokens and have at least half of the best one's score, the best last.
///
/// `found` has each passage's tokens and total score, the best first.
pub fn within(found: &[(usize, f64)], budget_tokens: usize) -> Vec<usize> {
    let least = found.first().map_or(0.0, |&(_, best)| best / 2.0);
    let mut left = budget_tokens;
    let mut taken = Vec::new();
    for (number, &(tokens, score)) in found.iter().enumerate() {
        if score >= least && tokens <= left {
            left -= tokens;
            taken.push(number);
        }
    }
    taken.reverse();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_fit_go_in_and_the_best_of_all_last() {
        let found = [(200, 0.9), (400, 0.8), (250, 0.5), (10, 0.4)];
        assert_eq!(within(&found, 500), [2, 0]);
        assert_eq!(within(&found, 1000), [2, 1, 0]);
        assert_eq!(within(&found, 100), Vec::<usize>::new());
        assert_eq!(within(&[], 100), Vec::<usize>::new());
    }

    #[test]
    fn equals_stay_in_order() {
        let score = |total| Score { total, ..Score::default() };
        assert_eq!(best(&[score(0.1), score(0.5), score(0.5), score(0.0)], 3), [1, 2, 0]);
    }
}
