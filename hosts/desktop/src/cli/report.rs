//! What `agentos generate --json` tells.

use agentos_hal::{Candidate, Footprint, Instant};
use serde::Serialize;

use crate::generate::{Generated, Generation, Timeline};
use crate::host;
use crate::text::{TokenStream, Tokenizer};

/// A token with what the model thought of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Weighed {
    id: u32,
    logit: f32,
    logprob: f32,
}

/// Keeps what is generated. Its room is made at once, so that it allocates nothing per token but where
/// the text is longer than was to be expected.
pub struct Recorder<'t> {
    tokens: TokenStream<'t>,
    text: String,
    ids: Vec<u32>,
    chosen: Vec<Weighed>,
    /// The same number for each token.
    alternatives: Vec<Weighed>,
    alternatives_per_token: usize,
}

impl<'t> Recorder<'t> {
    /// Room for at most `most` tokens with `alternatives` others each.
    pub fn new(tokenizer: &'t Tokenizer, most: usize, alternatives: usize) -> Recorder<'t> {
        Recorder {
            tokens: TokenStream::continuing(tokenizer),
            text: String::with_capacity(most.saturating_mul(8)),
            ids: Vec::with_capacity(most),
            chosen: Vec::with_capacity(most),
            alternatives: Vec::with_capacity(most.saturating_mul(alternatives)),
            alternatives_per_token: alternatives,
        }
    }

    /// Keeps a token.
    pub fn push(&mut self, token: &Generated<'_>) {
        let weighed = |candidate: &Candidate| Weighed {
            id: candidate.token,
            logit: candidate.logit,
            logprob: token.next.logprob(candidate),
        };
        let choice = token.choice;
        self.tokens.push(choice.token, &mut self.text);
        self.ids.push(choice.token);
        self.chosen.push(weighed(&Candidate { token: choice.token, logit: choice.logit }));
        let best = token.next.candidates.iter().take(self.alternatives_per_token);
        self.alternatives.extend(best.map(weighed));
    }

    /// The report on a generation that is over.
    pub fn report(
        mut self,
        prompt: &[u32],
        generation: &Generation,
        load_ms: f64,
        footprint: &Footprint,
    ) -> Report {
        self.tokens.finish(&mut self.text);
        // Fewer than were asked for where the vocabulary has no more.
        let each = self.alternatives.len() / self.chosen.len().max(1);
        let alternatives = |index: usize| self.alternatives[index * each..(index + 1) * each].to_vec();
        let chosen = self.chosen.iter().enumerate();
        let top = chosen.map(|(index, &chosen)| Top { chosen, alternatives: alternatives(index) }).collect();
        Report {
            prompt_ids: prompt.to_vec(),
            output_ids: self.ids,
            text: self.text,
            finish_reason: generation.finish.name(),
            top,
            timing: Timing::new(&generation.timeline, prompt.len(), generation.tokens, load_ms),
            memory: Memory::new(footprint),
        }
    }
}

/// The whole report: the fields of the JSON object.
#[derive(Debug, Serialize)]
pub struct Report {
    prompt_ids: Vec<u32>,
    /// With the token that ended the generation, which has no text.
    output_ids: Vec<u32>,
    text: String,
    finish_reason: &'static str,
    top: Vec<Top>,
    timing: Timing,
    memory: Memory,
}

#[derive(Debug, Serialize)]
struct Top {
    #[serde(flatten)]
    chosen: Weighed,
    /// The best candidates, the chosen one among them; as many as were asked for.
    alternatives: Vec<Weighed>,
}

/// How long things took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Opening the model, encoding the prompt and giving the device its weights.
    load_ms: f64,
    /// Prompt tokens a second.
    prefill_tok_s: Option<f64>,
    /// Tokens a second after the first.
    decode_tok_s: Option<f64>,
    /// From the start of the process to the choice of the first token.
    first_token_ms: f64,
}

impl Timing {
    /// Derives the figures from a timeline whose clock began with the process.
    pub fn new(timeline: &Timeline, prompt: usize, tokens: u32, load_ms: f64) -> Timing {
        let rate = |tokens: f64, from, to| {
            let micros = micros(from, to);
            (tokens > 0.0 && micros > 0.0).then(|| tokens * 1e6 / micros)
        };
        Timing {
            load_ms,
            prefill_tok_s: rate(prompt as f64, timeline.begin, timeline.first),
            decode_tok_s: rate(f64::from(tokens) - 1.0, timeline.first, timeline.last),
            first_token_ms: timeline.first.micros as f64 / 1e3,
        }
    }

    /// One line for a person.
    pub fn summary(&self, tokens: u32) -> String {
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        format!(
            "{tokens} tokens; first after {:.0} ms, prompt {} tok/s, then {} tok/s",
            self.first_token_ms,
            rate(self.prefill_tok_s),
            rate(self.decode_tok_s)
        )
    }
}

fn micros(from: Instant, to: Instant) -> f64 {
    to.micros_since(from) as f64
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights as the device keeps them.
    weights: u64,
    /// Page memory for the whole context.
    kv: u64,
    /// Everything else that the device holds.
    scratch: u64,
    /// The most that the process has had resident; null where the system does not tell.
    peak_rss: Option<u64>,
}

impl Memory {
    fn new(footprint: &Footprint) -> Memory {
        Memory {
            weights: footprint.weights,
            kv: footprint.pages,
            scratch: footprint.scratch,
            peak_rss: host::peak_resident_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_absent_without_time() {
        let at = |micros| Instant { micros };
        let timeline = Timeline { begin: at(50_000), first: at(150_000), last: at(650_000) };
        let timing = Timing::new(&timeline, 30, 51, 40.0);
        assert_eq!(timing.prefill_tok_s, Some(300.0));
        assert_eq!(timing.decode_tok_s, Some(100.0));
        assert_eq!(timing.first_token_ms, 150.0);
        assert_eq!(timing.summary(51), "51 tokens; first after 150 ms, prompt 300 tok/s, then 100 tok/s");
        let one = Timeline { last: at(150_000), ..timeline };
        assert_eq!(Timing::new(&one, 30, 1, 40.0).decode_tok_s, None);
    }
}
