//! Which passages answer a question: relevance to the model and the overlap of rare words, together.
//!
//! Not every passage is scored. Those are that have a slice among the most alike to the question, or most of its words;
//! what the others have at most says how many of the best are certain, and where that is too few, more are looked at
//! (Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware", 2003: the threshold algorithm). So the best
//! are found as if all had been scored, by an index that only finds what is most alike.

use super::relevance::{Relevance, Rows};

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
    /// Which of its slices that is, counted from 0.
    pub slice: usize,
    /// The share of the weight of the question's rare words that it has: from 0 to 1.
    pub words: f64,
    /// Both together.
    pub total: f64,
}

/// The passages of a collection, as a question meets them.
#[derive(Clone, Copy)]
pub struct Field<'f> {
    /// What the question is about.
    pub relevance: &'f Relevance,
    /// The slices of all passages, one passage behind another.
    pub rows: &'f Rows,
    /// For each passage where its own slices end among those.
    pub ends: &'f [usize],
    /// For each passage the share of the question's rare words that it has.
    pub words: &'f [f64],
}

/// The best passages, as far as they are certain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leading {
    /// The passages and their scores, the best first, the earlier one of equals.
    pub passages: Vec<(usize, Score)>,
    /// There are no others.
    pub all: bool,
}

impl Field<'_> {
    /// The best passages, among those that have one of the `depth` slices that are most alike, and the `depth` that
    /// have most of the words. Those are left out that one which was not looked at could be as good as.
    pub fn leading(&self, depth: usize) -> Leading {
        let passages = self.ends.len();
        let alike = self.relevance.most_alike(self.rows, depth);
        // A passage without slices is not alike, and not unlike either.
        let less_alike = alike.last().map_or(0.0, |&(_, cosine)| cosine).max(0.0);
        let mut by_words: Vec<usize> = (0..passages).collect();
        let mut fewer_words = 0.0;
        if depth < passages {
            let order = |one: &usize, other: &usize| {
                self.words_of(*other).total_cmp(&self.words_of(*one)).then(one.cmp(other))
            };
            let (_, next, _) = by_words.select_nth_unstable_by(depth, order);
            fewer_words = self.words_of(*next);
            by_words.truncate(depth);
        }
        by_words.extend(alike.iter().map(|&(slice, _)| self.ends.partition_point(|&end| end <= slice)));
        by_words.sort_unstable();
        by_words.dedup();
        let mut scored: Vec<(usize, Score)> =
            by_words.into_iter().map(|passage| (passage, self.score(passage))).collect();
        scored.sort_by(|(one, a), (other, b)| b.total.total_cmp(&a.total).then(one.cmp(other)));
        let all = scored.len() == passages;
        if !all {
            let others = fewer_words + RELEVANCE_WEIGHT * less_alike;
            let certain = scored.partition_point(|(_, score)| score.total > others);
            scored.truncate(certain);
        }
        Leading { passages: scored, all }
    }

    fn words_of(&self, passage: usize) -> f64 {
        self.words.get(passage).copied().unwrap_or(0.0)
    }

    fn score(&self, passage: usize) -> Score {
        let from = passage.checked_sub(1).map_or(0, |before| self.ends[before]);
        let alike =
            (from..self.ends[passage]).map(|slice| (slice - from, self.relevance.of(self.rows, slice)));
        let best = alike.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let ((slice, relevance), words) = (best.unwrap_or((0, 0.0)), self.words_of(passage));
        Score { relevance, slice, words, total: words + RELEVANCE_WEIGHT * relevance }
    }
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
    use agentos_store::scan::SearchBounds;
    use half::f16;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However few are looked at, those that are certain are the best of all.
        #[test]
        fn what_leads_is_what_scoring_all_finds_first(
            slices in proptest::collection::vec((-4..5i32, -4..5i32), 0..40),
            lengths in proptest::collection::vec(0..4usize, 40),
            words in proptest::collection::vec(0..4u32, 40),
            depth in 1..50usize,
        ) {
            let numbers: Vec<f16> = slices.iter().flat_map(|&(x, y)| [x, y]).map(|x| f16::from_f32(x as f32)).collect();
            let mut ends = Vec::new();
            let mut end = 0;
            for length in lengths {
                end = (end + length).min(slices.len());
                ends.push(end);
            }
            *ends.last_mut().unwrap() = slices.len();
            let words: Vec<f64> = words.into_iter().map(|words| f64::from(words) / 3.0).collect();
            let (rows, relevance) = (Rows::new(&numbers, 2, SearchBounds::default()), Relevance::new(&[1.0, 0.5], &[0.0, 0.0]));
            let field = Field { relevance: &relevance, rows: &rows, ends: &ends, words: &words };
            let whole = field.leading(usize::MAX);
            prop_assert!(whole.all && whole.passages.len() == ends.len());
            let best = best(&(0..ends.len()).map(|passage| field.score(passage)).collect::<Vec<_>>(), ends.len());
            prop_assert_eq!(whole.passages.iter().map(|&(passage, _)| passage).collect::<Vec<_>>(), best);
            let some = field.leading(depth);
            prop_assert_eq!(&some.passages[..], &whole.passages[..some.passages.len()]);
            prop_assert!(!some.all || some.passages.len() == ends.len());
        }
    }

    #[test]
    fn those_that_stand_out_are_certain_at_once() {
        // Of a hundred passages of a slice, three have the word, and one of those points where the question does.
        let numbers: Vec<f16> =
            (0..200).map(|x| f16::from_f32(if x == 84 { 9.0 } else { (x % 7) as f32 / 7.0 })).collect();
        let rows = Rows::new(&numbers, 2, SearchBounds::default());
        let ends: Vec<usize> = (1..=100).collect();
        let words: Vec<f64> =
            (0..100).map(|passage| f64::from(u8::from([7, 42, 80].contains(&passage)))).collect();
        let relevance = Relevance::new(&[1.0, 0.0], &[0.0, 0.0]);
        let field = Field { relevance: &relevance, rows: &rows, ends: &ends, words: &words };
        let leading = field.leading(10);
        assert!(!leading.all);
        assert_eq!(leading.passages[0].0, 42);
        let first: Vec<usize> = leading.passages[..3].iter().map(|&(passage, _)| passage).collect();
        assert!(first.contains(&7) && first.contains(&80), "{first:?}");
    }

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
