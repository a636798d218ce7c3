//! What agents are given to read: passages of the collections that they are granted, found by their prompts
//! before the team starts.
//!
//! The first passage stands where it stood when it was computed, behind the collection's beginning. Further ones come
//! as [`Fidelity`] says: computed behind those before them, mapped as they are, or so but for the last.

use std::ops::RangeInclusive;

use crate::knowledge::ask::Fidelity;
use crate::knowledge::prefix::Frame;
use crate::text::{ChatError, Message};

use super::prompt::Chat;

/// The collections that an agent is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnowledgeUse {
    /// Their names.
    pub collections: Vec<String>,
    /// Tokens of passages that it is given at most.
    pub tokens: u32,
    /// How passages behind the first come into its context.
    pub fidelity: Fidelity,
}

impl KnowledgeUse {
    /// What an agent may be given.
    pub const TOKENS: RangeInclusive<u32> = 64..=1 << 16;
    /// What it is given where the file does not say.
    pub const DEFAULT_TOKENS: u32 = 768;
    /// How they come where the file does not say: agents are exact unless they are told not to be.
    pub const DEFAULT_FIDELITY: Fidelity = Fidelity::Exact;
}

/// A passage as an agent reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenPassage {
    /// The collection.
    pub collection: String,
    /// The file of its document.
    pub path: String,
    /// Where it stands in it, for a reader.
    pub place: String,
    /// Its tokens: the header that names its source first. None of them is a control token.
    pub tokens: Vec<u32>,
    /// How well it fits the prompt.
    pub score: f64,
    /// Its slices are not kept bit for bit.
    pub packed: bool,
}

/// What an agent is given to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// What stands before the passages, and behind what the agent is asked.
    pub frame: Frame,
    /// The passages, the one that fits best last.
    pub passages: Vec<GivenPassage>,
    /// How those behind the first come into its context.
    pub fidelity: Fidelity,
    /// Slices that were packed may stand for what it would compute.
    pub accepts_packed: bool,
}

/// The tokens that an agent opens with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// What it is spawned with.
    pub tokens: Vec<u32>,
    /// The passages that others send it then, in order; none where the tokens are all.
    pub sent: Vec<SentPassage>,
    /// What is sent behind the last of them.
    pub after: Vec<u32>,
}

/// A passage that is mapped as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPassage {
    /// What it was computed behind, and its own tokens.
    pub context: Vec<u32>,
    /// Where its own begin.
    pub start: usize,
}

impl SentPassage {
    /// Its own tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.context[self.start..]
    }
}

impl Opening {
    /// Tokens that are sent.
    pub fn sent_tokens(&self) -> usize {
        self.sent.iter().map(|passage| passage.tokens().len()).sum::<usize>() + self.after.len()
    }

    /// All of it, as the agent reads it.
    pub fn whole(self) -> Vec<u32> {
        let mut whole = self.tokens;
        self.sent.iter().for_each(|passage| whole.extend_from_slice(passage.tokens()));
        whole.extend(self.after);
        whole
    }
}

impl Given {
    /// How the passage at this place of the prompt comes into the context.
    pub fn how(&self, number: usize) -> &'static str {
        match number {
            0 if self.accepts_packed && self.passages[0].packed => "packed",
            _ => self.fidelity.how(number, self.passages.len(), self.passages[number].packed),
        }
    }

    /// The tokens of a conversation behind the passages: the collection's beginning, each passage as it was computed
    /// there, then what the messages say.
    ///
    /// # Errors
    /// [`ChatError::Tokenizer`].
    pub fn open(&self, messages: &[Message], chat: &Chat<'_>) -> Result<Opening, ChatError> {
        let said: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let asked = chat.text(&format!("\n{}", said.join("\n\n"))).map_err(ChatError::Tokenizer)?;
        let before = &self.frame.before;
        let mapped = self.fidelity.mapped(self.passages.len());
        let tokens_of = |passages: &[GivenPassage]| -> Vec<u32> {
            passages.iter().flat_map(|passage| &passage.tokens).copied().collect()
        };
        let tokens = [&before[..], &tokens_of(&self.passages[..mapped.start])].concat();
        let after = [tokens_of(&self.passages[mapped.end..]), asked, self.frame.after.clone()].concat();
        let mapped = &self.passages[mapped];
        if mapped.is_empty() {
            return Ok(Opening { tokens: [tokens, after].concat(), ..Opening::default() });
        }
        let sent = |passage: &GivenPassage| SentPassage {
            context: [&before[..], &passage.tokens].concat(),
            start: before.len(),
        };
        Ok(Opening { tokens, sent: mapped.iter().map(sent).collect(), after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_in_parts_reads_as_a_whole() {
        let sent = |context: &[u32]| SentPassage { context: context.to_vec(), start: 2 };
        let sent = vec![sent(&[1, 2, 4, 5]), sent(&[1, 2, 6])];
        assert_eq!(sent[0].tokens(), [4, 5]);
        let opening = Opening { tokens: vec![1, 2, 3], sent, after: vec![7, 9] };
        assert_eq!(opening.sent_tokens(), 5);
        assert_eq!(opening.whole(), [1, 2, 3, 4, 5, 6, 7, 9]);
    }
}
