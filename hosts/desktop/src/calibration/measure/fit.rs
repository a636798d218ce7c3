//! Choosing the threshold by which boundaries agree best with those that are known.

use agentos_kernel::slicing::Scored;
use agentos_kernel::slicing::topics::{TopicRule, Topics};

use crate::slicing::agreement::Agreement;

/// How far a boundary may be from a known one, in tokens.
pub const TOLERANCE: u32 = 8;

/// A threshold, and how good it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// The threshold.
    pub threshold: f32,
    /// F1 with it, over all texts.
    pub f1: f32,
}

/// A text whose ends were scored.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// The scores.
    pub scored: Vec<Scored>,
    /// Its boundaries.
    pub known: Vec<u32>,
}

impl Judged {
    /// How well the boundaries that a rule finds agree with the known ones.
    pub fn agreement(&self, rule: TopicRule) -> Agreement {
        let (mut topics, mut found) = (Topics::new(rule), Vec::new());
        let mut tell = |boundary: agentos_kernel::slicing::topics::Boundary| found.push(boundary.end.at);
        self.scored.iter().for_each(|&scored| topics.push(scored, &mut tell));
        topics.finish(&mut tell);
        Agreement::of(&found, &self.known, TOLERANCE)
    }
}

/// Thresholds that are tried.
const TRIED: usize = 48;

/// The threshold with the highest F1, where those next to it are high too: a peak that a single text makes is luck.
pub fn fit(texts: &[Judged]) -> Fit {
    let mut scores: Vec<f32> =
        texts.iter().flat_map(|text| &text.scored).map(|scored| scored.score).filter(|x| *x > 0.0).collect();
    scores.sort_by(f32::total_cmp);
    if scores.is_empty() {
        return Fit::default();
    }
    // From the median on: topics end at few of the ends.
    let place =
        |step: usize| scores[(scores.len() / 2 + step * scores.len() / (2 * TRIED)).min(scores.len() - 1)];
    let tried: Vec<Fit> = (0..TRIED)
        .map(|step| {
            let threshold = place(step);
            let mut all = Agreement::default();
            texts.iter().for_each(|text| all += text.agreement(TopicRule::new(threshold)));
            Fit { threshold, f1: all.f1() as f32 }
        })
        .collect();
    let around = |index: usize| {
        let near = &tried[index.saturating_sub(2)..(index + 3).min(tried.len())];
        near.iter().map(|fit| fit.f1).sum::<f32>() / near.len() as f32
    };
    let best = (0..tried.len()).reduce(|best, next| if around(next) > around(best) { next } else { best });
    best.map_or(Fit::default(), |best| tried[best])
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentos_kernel::slicing::ends::{End, Structure};

    /// Ends every 20 tokens; every tenth is a boundary and scores high, the others score low.
    fn text(high: f32) -> Judged {
        let scored = |n: u32| {
            let score = if n.is_multiple_of(10) { high } else { 0.1 + (n % 7) as f32 / 100.0 };
            Scored { end: End { at: n * 20, structure: Structure::Sentence }, score }
        };
        Judged { scored: (1..100).map(scored).collect(), known: (1..10).map(|n| n * 200).collect() }
    }

    #[test]
    fn a_threshold_between_the_low_and_the_high_is_found() {
        let fit = fit(&[text(0.5), text(0.4)]);
        assert_eq!(fit.f1, 1.0);
        assert!(fit.threshold > 0.16 && fit.threshold <= 0.4, "{fit:?}");
    }

    #[test]
    fn without_scores_there_is_nothing_to_fit() {
        assert_eq!(super::fit(&[]), Fit::default());
        let silent = Judged { scored: Vec::new(), known: vec![3] };
        assert_eq!(super::fit(&[silent]), Fit::default());
    }
}
