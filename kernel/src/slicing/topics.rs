//! Which ends of slices are boundaries between topics.
//!
//! Structure comes first: a message's end always is one, and where a text has paragraphs, topics end with them. Of the
//! rest the change decides. It is high over a whole window around a boundary, so that a peak is one boundary: it
//! opens at a threshold, stays open down to a lower one, and its highest end is taken.

use super::Scored;
use super::ends::{End, Structure};

/// When an end is a boundary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopicRule {
    /// The change from which on a peak opens.
    pub threshold: f32,
    /// The part of the threshold below which it is over, from 0 to 1.
    pub release: f32,
    /// Tokens after its highest end by which a peak is over in any case.
    pub reach: u32,
    /// What the change at an end inside a paragraph counts, from 0 to 1, where the text has paragraphs.
    pub inside: f32,
    /// Tokens after a paragraph's end within which a text is taken to have paragraphs.
    pub paragraph: u32,
    /// Fewest tokens of a topic, unless a message ends.
    pub min: u32,
    /// Tokens after which a topic is cut, where it changes most in its second half.
    pub max: u32,
}

impl TopicRule {
    /// What was found for a threshold on any measure.
    pub const fn new(threshold: f32) -> TopicRule {
        TopicRule { threshold, release: 0.75, reach: 64, inside: 0.5, paragraph: 192, min: 32, max: 1024 }
    }
}

/// Why there is a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A message or a tool's result ends.
    Message,
    /// The text changes.
    Change,
    /// The topic would be too long.
    Length,
}

/// Where a topic ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boundary {
    /// The end of the topic's last slice.
    pub end: End,
    /// How much the text changes there.
    pub score: f32,
    /// Why it is one.
    pub cause: Cause,
}

/// Finds boundaries as scores come, in the order of their ends.
#[derive(Clone, Debug)]
pub struct Topics {
    rule: TopicRule,
    /// Where the last topic ends.
    last: u32,
    /// The highest end of the peak that is open, with what it counts.
    peak: Option<(Scored, f32)>,
    /// The highest end in the second half of the longest topic, at which one is cut that becomes too long.
    best: Option<(Scored, f32)>,
    /// The last paragraph's end.
    paragraph: Option<u32>,
}

impl Topics {
    /// At the beginning of a context.
    ///
    /// # Panics
    /// When half of the longest topic is shorter than the shortest one, or over before a peak is.
    pub const fn new(rule: TopicRule) -> Topics {
        assert!(rule.min <= rule.max / 2 && rule.reach <= rule.max / 2, "a topic has room for a peak");
        Topics { rule, last: 0, peak: None, best: None, paragraph: None }
    }

    /// Takes the next end. Boundaries that are sure now are told in order; they lie at this end or before it.
    pub fn push(&mut self, scored: Scored, tell: &mut dyn FnMut(Boundary)) {
        let at = scored.end.at;
        if scored.end.structure == Structure::Message {
            // What is open before a message's end would leave a topic of a few tokens.
            self.close(Some(at), tell);
            self.end_topic(scored, Cause::Message, tell);
            return;
        }
        let counts = self.counts(scored);
        let over = self.peak.is_some_and(|(peak, _)| {
            counts < self.rule.threshold * self.rule.release || at > peak.end.at + self.rule.reach
        });
        if over {
            self.close(None, tell);
        }
        if at - self.last >= self.rule.min {
            let higher = |open: &Option<(Scored, f32)>| open.is_none_or(|(_, highest)| counts > highest);
            if scored.end.structure > Structure::Inside && counts >= self.rule.threshold && higher(&self.peak)
            {
                self.peak = Some((scored, counts));
            }
            // An early cut would leave a topic that is too long again.
            if at - self.last >= self.rule.max / 2 && higher(&self.best) {
                self.best = Some((scored, counts));
            }
        }
        if at - self.last > self.rule.max {
            self.cut(tell);
        }
    }

    /// Tells what is still open when no more ends come.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Boundary)) {
        self.close(None, tell);
    }

    /// What the change at an end counts.
    fn counts(&mut self, scored: Scored) -> f32 {
        let at = scored.end.at;
        if scored.end.structure >= Structure::Paragraph {
            self.paragraph = Some(at);
            return scored.score;
        }
        let inside = self.paragraph.is_some_and(|paragraph| at - paragraph <= self.rule.paragraph);
        if inside { scored.score * self.rule.inside } else { scored.score }
    }

    /// Closes the peak, unless the topic that would follow ends too soon.
    fn close(&mut self, next: Option<u32>, tell: &mut dyn FnMut(Boundary)) {
        let Some((peak, _)) = self.peak.take() else { return };
        if next.is_none_or(|next| next - peak.end.at >= self.rule.min) {
            self.end_topic(peak, Cause::Change, tell);
        }
    }

    /// Ends a topic that became too long.
    fn cut(&mut self, tell: &mut dyn FnMut(Boundary)) {
        if self.peak.is_some() {
            self.close(None, tell);
        } else if let Some((best, _)) = self.best.take() {
            self.end_topic(best, Cause::Length, tell);
        }
    }

    fn end_topic(&mut self, scored: Scored, cause: Cause, tell: &mut dyn FnMut(Boundary)) {
        self.last = scored.end.at;
        self.peak = None;
        self.best = None;
        tell(Boundary { end: scored.end, score: scored.score, cause });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    const RULE: TopicRule =
        TopicRule { threshold: 0.5, release: 0.8, reach: 20, inside: 0.5, paragraph: 40, min: 20, max: 200 };

    fn at(at: u32, score: f32) -> Scored {
        ends(at, score, Structure::Sentence)
    }

    fn ends(at: u32, score: f32, structure: Structure) -> Scored {
        Scored { end: End { at, structure }, score }
    }

    fn boundaries(scored: &[Scored]) -> Vec<(u32, Cause)> {
        let (mut topics, mut found) = (Topics::new(RULE), Vec::new());
        let mut tell = |boundary: Boundary| found.push((boundary.end.at, boundary.cause));
        scored.iter().for_each(|&scored| topics.push(scored, &mut tell));
        topics.finish(&mut tell);
        found
    }

    #[test]
    fn a_peak_is_one_boundary_at_its_highest() {
        let peak = [at(30, 0.1), at(40, 0.55), at(50, 0.9), at(60, 0.7), at(70, 0.1), at(80, 0.2)];
        assert_eq!(boundaries(&peak), [(50, Cause::Change)]);
        // What only falls to the threshold and rises again is still the same peak.
        let two = [at(40, 0.8), at(50, 0.45), at(60, 0.9), at(70, 0.3)];
        assert_eq!(boundaries(&two), [(60, Cause::Change)]);
        // It is another when it was over in between, and far enough.
        let two = [at(40, 0.8), at(50, 0.3), at(60, 0.9), at(70, 0.3)];
        assert_eq!(boundaries(&two), [(40, Cause::Change), (60, Cause::Change)]);
        let near = [at(40, 0.8), at(50, 0.3), at(58, 0.9), at(70, 0.3)];
        assert_eq!(boundaries(&near), [(40, Cause::Change)]);
        assert_eq!(boundaries(&[at(19, 0.9), at(300, 0.9)]), [(300, Cause::Change)]);
    }

    #[test]
    fn a_high_plain_does_not_hold_a_boundary_back() {
        let plain: Vec<Scored> = (2..12).map(|n| at(n * 10, if n == 3 { 0.9 } else { 0.8 })).collect();
        assert_eq!(boundaries(&plain), [(30, Cause::Change), (60, Cause::Change), (90, Cause::Change)]);
    }

    #[test]
    fn a_message_ends_a_topic_whatever_its_score_or_length() {
        let scored = [
            ends(10, 0.0, Structure::Message),
            at(40, 0.9),
            ends(55, 0.0, Structure::Message),
            at(80, 0.9),
            ends(101, 0.0, Structure::Message),
        ];
        let found = boundaries(&scored);
        let message = Cause::Message;
        assert_eq!(found, [(10, message), (55, message), (80, Cause::Change), (101, message)]);
    }

    #[test]
    fn where_there_are_paragraphs_topics_end_with_them() {
        let paragraphs = |inside: f32| {
            boundaries(&[
                ends(20, 0.0, Structure::Paragraph),
                at(40, inside),
                ends(60, 0.6, Structure::Paragraph),
                at(70, 0.1),
            ])
        };
        assert_eq!(paragraphs(0.9), [(60, Cause::Change)]);
        // What is twice as much is one all the same.
        assert_eq!(paragraphs(1.3), [(40, Cause::Change)]);
        // Far from any paragraph's end it counts whole.
        let far = [ends(20, 0.0, Structure::Paragraph), at(61, 0.6), at(70, 0.1)];
        assert_eq!(boundaries(&far), [(61, Cause::Change)]);
    }

    #[test]
    fn a_topic_that_becomes_too_long_is_cut_where_it_changes_most() {
        let scored: Vec<Scored> = (1..=30).map(|n| at(n * 10, if n == 17 { 0.4 } else { 0.1 })).collect();
        assert_eq!(boundaries(&scored), [(170, Cause::Length)]);
        let inside: Vec<Scored> = (1..=21).map(|n| ends(n * 10, 0.9, Structure::Inside)).collect();
        assert_eq!(boundaries(&inside), [(100, Cause::Length)]);
    }

    fn any_scored() -> impl Strategy<Value = Vec<Scored>> {
        let structure = prop_oneof![
            1 => Just(Structure::Inside),
            6 => Just(Structure::Sentence),
            2 => Just(Structure::Line),
            1 => Just(Structure::Paragraph),
            1 => Just(Structure::Message),
        ];
        let one = (8u32..64, 0f32..1.0, structure);
        proptest::collection::vec(one, 0..80).prop_map(|steps| {
            let mut place = 0;
            let next = |(step, score, structure)| {
                place += step;
                ends(place, score, structure)
            };
            steps.into_iter().map(next).collect()
        })
    }

    proptest! {
        #[test]
        fn topics_keep_their_bounds(scored in any_scored()) {
            let found = boundaries(&scored);
            let (mut last, max) = (0, RULE.max + 64);
            for &(at, cause) in &found {
                prop_assert!(scored.iter().any(|one| one.end.at == at), "{at} is the end of no slice");
                prop_assert!(at > last && at - last <= max);
                prop_assert!(cause == Cause::Message || at - last >= RULE.min);
                last = at;
            }
            let messages = scored.iter().filter(|one| one.end.structure == Structure::Message);
            for message in messages {
                prop_assert!(found.contains(&(message.end.at, Cause::Message)));
            }
        }

        /// What comes later moves nothing that was told.
        #[test]
        fn what_was_told_stays(scored in any_scored(), split in 0usize..80) {
            let split = split.min(scored.len());
            let (mut topics, mut told) = (Topics::new(RULE), Vec::new());
            let mut tell = |boundary: Boundary| told.push((boundary.end.at, boundary.cause));
            scored[..split].iter().for_each(|&scored| topics.push(scored, &mut tell));
            prop_assert!(boundaries(&scored).starts_with(&told));
        }
    }
}
