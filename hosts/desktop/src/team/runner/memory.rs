//! What agents do about their own contexts, by the tool `memory`: to find what was said in them earlier, to keep
//! it in page memory, and to let it go.
//!
//! What is found are slices, by the rare words that they share with the request. What is said is said as data at
//! the end of the context, like any result.

use std::ops::Range;

use agentos_hal::Clock;
use agentos_kernel::agent::AgentId;
use agentos_kernel::call::{Call, CallError};
use agentos_kernel::layout::{Delimiter, Layout, SliceLimits};
use agentos_perception::reduce::words::Words;
use agentos_tools::ToolFailure;
use agentos_tools::memory::{Action, MemoryRequest};
use agentos_tools::served::Outcome;

use super::run::Runner;
use crate::team::tools::{Asked, words};

/// Slices that one request is about at most.
const MOST_FOUND: usize = 4;

/// A slice that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Its addresses.
    at: Range<u32>,
    /// Its text.
    text: String,
}

impl Runner<'_> {
    /// Answers the requests to agents' memories.
    pub(super) fn serve_memory(&mut self) {
        while let Some((call, asked, request)) = self.desk.next_of_memory() {
            let outcome = match self.roster.members[asked.member].id() {
                Some(agent) => self.remember(agent, &asked, &request),
                None => Err(ToolFailure::Failed("the agent is not there any more".to_owned())),
            };
            self.desk.answer_of_memory(call, outcome);
        }
    }

    fn remember(&mut self, agent: AgentId, asked: &Asked, request: &MemoryRequest) -> Outcome {
        let found = self.find_slices(agent, asked, &request.about);
        if found.is_empty() {
            return Ok(b"nothing that was said earlier has these words".to_vec());
        }
        let told = match request.action {
            Action::Recall => "",
            Action::Pin => {
                self.pin(agent, &found, true)?;
                "This is kept at hand:\n"
            }
            Action::Forget => {
                self.pin(agent, &found, false)?;
                match self.forget(agent, &found)? {
                    true => "This is forgotten:\n",
                    false => "This is not kept at hand any more, but still read, as all that is said here:\n",
                }
            }
        };
        let lines: Vec<String> = found.iter().map(|found| found.text.trim().to_owned()).collect();
        Ok([told, &lines.join("\n")].concat().into_bytes())
    }

    /// Keeps slices in page memory, or lets them go.
    fn pin(&mut self, agent: AgentId, found: &[Found], keep: bool) -> Result<(), ToolFailure> {
        let now_us = self.clock.now().micros;
        for Found { at, .. } in found {
            let call = Call::Pin { agent, start: at.start, end: at.end, keep };
            self.kernel.call(None, &call, now_us).map_err(ToolFailure::refused)?;
        }
        Ok(())
    }

    /// Has an agent attend to slices no more. Returns whether it can: an exact one attends to all.
    fn forget(&mut self, agent: AgentId, found: &[Found]) -> Result<bool, ToolFailure> {
        let now_us = self.clock.now().micros;
        for Found { at, .. } in found {
            match self.kernel.call(None, &Call::Forget { agent, start: at.start, end: at.end }, now_us) {
                Err(CallError::NotBounded { .. }) => return Ok(false),
                other => other.map_err(ToolFailure::refused)?,
            };
        }
        Ok(true)
    }

    /// The slices of an agent's context that have the rarest of some words, in the order of the context; before the
    /// call, and without the words that asked for it.
    fn find_slices(&self, agent: AgentId, asked: &Asked, about: &str) -> Vec<Found> {
        let tokenizer = self.chat.tokenizer;
        let log = self.kernel.tokens(agent);
        let log = &log[..log.len().min(asked.from as usize)];
        let text = |tokens: &[u32]| {
            let said: Vec<u32> = tokens.iter().copied().filter(|&id| !tokenizer.is_control(id)).collect();
            tokenizer.decode(&said)
        };
        let slices = slices(log, |token| tokenizer.delimiter(token), self.kernel.config().slice_limits);
        let texts: Vec<String> =
            slices.iter().map(|at| text(&log[at.start as usize..at.end as usize])).collect();
        let asks = words::arguments_wanted(&asked.terms.tool.descriptor, &asked.terms.about);
        let asking = span_of(&texts, &[&asks, &asked.terms.about]);
        let pieces: Vec<&str> = texts.iter().map(String::as_str).collect();
        best(&pieces, about, &asking)
            .into_iter()
            .map(|index| Found { at: slices[index].clone(), text: texts[index].clone() })
            .collect()
    }
}

/// The slices of a context, as the kernel lays it out.
fn slices(log: &[u32], delimiter: impl Fn(u32) -> Delimiter, limits: SliceLimits) -> Vec<Range<u32>> {
    let mut slices = Vec::new();
    let (mut layout, mut start) = (Layout::default(), 0);
    for &token in log {
        (layout, _) = layout.append(delimiter(token), limits);
        if layout.open == 0 {
            slices.push(start..layout.tokens);
            start = layout.tokens;
        }
    }
    if start < layout.tokens {
        slices.push(start..layout.tokens);
    }
    slices
}

/// The texts over which the last place of one of these goes; of the first that is found at all.
fn span_of(texts: &[String], wanted: &[&str]) -> Range<usize> {
    let whole = texts.concat();
    let place = wanted.iter().find_map(|wanted| Some((whole.rfind(wanted)?, wanted.len())));
    let Some((begin, length)) = place else { return 0..0 };
    let end_of = |end: &mut usize, text: &String| {
        *end += text.len();
        Some(*end)
    };
    let ends: Vec<usize> = texts.iter().scan(0, end_of).collect();
    let first = ends.partition_point(|&end| end <= begin);
    let last = ends.partition_point(|&end| end < begin + length);
    first..last.saturating_add(1).min(texts.len())
}

/// Which pieces have the rarest of some words, in their order; but for those of a range.
fn best(pieces: &[&str], about: &str, without: &Range<usize>) -> Vec<usize> {
    let words = Words::of(about);
    let scores = words.scores(pieces);
    let mut best: Vec<usize> =
        (0..pieces.len()).filter(|index| !without.contains(index) && words.any_in(pieces[*index])).collect();
    // Of equal ones the later, which may correct the earlier.
    best.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]).then(other.cmp(&one)));
    best.truncate(MOST_FOUND);
    best.sort_unstable();
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_with_the_rarest_words_are_found_in_their_order() {
        let pieces = ["The ferry leaves at nine.", "The harbour is old.", "Where is the ferry?", "It rains."];
        assert_eq!(best(&pieces, "the ferry", &(2..3)), [0, 1]);
        assert_eq!(best(&pieces, "FERRY", &(0..0)), [0, 2]);
        assert_eq!(best(&pieces, "whale", &(0..0)), [] as [usize; 0]);
        assert_eq!(best(&pieces, "", &(0..0)), [] as [usize; 0]);
        let many = ["word"; 9];
        assert_eq!(best(&many, "word", &(0..0)), [5, 6, 7, 8]);
    }

    #[test]
    fn the_words_that_asked_are_left_out() {
        let texts: Vec<String> = ["a b. ", "c d. ", "e f. ", "g"].map(str::to_owned).into();
        assert_eq!(span_of(&texts, &["d. e"]), 1..3);
        assert_eq!(span_of(&texts, &["x", "c d. "]), 1..2);
        assert_eq!(span_of(&texts, &["g"]), 3..4);
        assert_eq!(span_of(&texts, &["x"]), 0..0);
    }

    #[test]
    fn slices_are_those_of_the_kernel() {
        let ends = |token: u32| if token == 1 { Delimiter::Line } else { Delimiter::None };
        let log: Vec<u32> = (0..100).map(|at| u32::from(at == 20)).collect();
        let slices = slices(&log, ends, SliceLimits::DEFAULT);
        assert_eq!(slices[0], 0..21);
        assert!(slices.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(slices.last().map(|slice| slice.end), Some(100));
    }
}
