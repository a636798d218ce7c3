//! What agents are given to read: passages of the collections that they are granted, found by their prompts
//! before the team starts.

use std::ops::RangeInclusive;

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
}

impl KnowledgeUse {
    /// What an agent may be given.
    pub const TOKENS: RangeInclusive<u32> = 64..=1 << 16;
    /// What it is given where the file does not say.
    pub const DEFAULT_TOKENS: u32 = 768;
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
}

/// What an agent is given to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// What stands before the passages, and behind what the agent is asked.
    pub frame: Frame,
    /// The passages, the one that fits best last.
    pub passages: Vec<GivenPassage>,
}

impl Given {
    /// The tokens of a conversation behind the passages: the collection's beginning, each passage as it was computed
    /// there, then what the messages say.
    ///
    /// # Errors
    /// [`ChatError::Tokenizer`].
    pub fn encode(&self, messages: &[Message], chat: &Chat<'_>) -> Result<Vec<u32>, ChatError> {
        let said: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let asked = chat.text(&format!("\n{}", said.join("\n\n"))).map_err(ChatError::Tokenizer)?;
        let passages = self.passages.iter().flat_map(|passage| &passage.tokens);
        Ok(self.frame.before.iter().chain(passages).chain(&asked).chain(&self.frame.after).copied().collect())
    }
}
