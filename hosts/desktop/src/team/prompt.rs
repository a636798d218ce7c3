//! What an agent's context opens with, and what a further message adds to it, in the model's own chat
//! format.
//!
//! The document stands first in the system message, so that agents with the same document have the
//! same tokens up to its end, whatever each is told to be. All that documents, people and agents say
//! goes through [`encode_chat`], which lets none of it become a control token.

use super::spec::Team;
use super::tools::words::{FRAME_TOKENS, JOINT_TOKENS};
use serde::{Deserialize, Serialize};

use serde_json::Value;

use crate::text::{
    CallFormat, ChatError, Conversation, Message, RenderOptions, Role, Special, Template, Tokenizer,
    TokenizerError, encode_chat,
};

/// A model's way of conversing.
#[derive(Clone, Copy)]
pub struct Chat<'m> {
    /// Its template.
    pub template: &'m Template,
    /// Its tokenizer.
    pub tokenizer: &'m Tokenizer,
    /// The time that templates are told: one for a whole run, so that agents share what states it. In
    /// seconds since 1970 began, UTC.
    pub now_s: i64,
}

/// Why a further message has no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUpError {
    /// The conversation cannot be encoded.
    Chat(ChatError),
    /// The template writes what came before in another way once the conversation goes on, so that
    /// nothing can be put behind a context that has been computed.
    Unstable,
}

impl std::fmt::Display for FollowUpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chat(error) => error.fmt(f),
            Self::Unstable => f.write_str(
                "the model's chat template writes earlier turns in another way once a conversation goes on; \
                 a new agent with the whole conversation would do",
            ),
        }
    }
}

impl std::error::Error for FollowUpError {}

impl From<ChatError> for FollowUpError {
    fn from(error: ChatError) -> FollowUpError {
        FollowUpError::Chat(error)
    }
}

/// The tokens around a message that follows the model's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The end of the answer, and the beginning of the message.
    pub before: Vec<u32>,
    /// The end of the message, and the beginning of the next answer.
    pub after: Vec<u32>,
}

/// Somebody's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Who gave it.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// The conversation that an agent of a team answers: what it is told to be, and what it is asked.
/// `answers` are those of the agents that it waits for, in that order.
///
/// # Panics
/// Where no agent has the index.
pub fn opening(team: &Team, index: usize, answers: &[Answer<'_>]) -> Vec<Message> {
    let agent = &team.agents[index];
    let system = system(team.document.as_deref(), agent.system.as_deref());
    let system = system.map(|content| Message { role: Role::System, content });
    let user = Message { role: Role::User, content: question(&agent.prompt, answers) };
    system.into_iter().chain([user]).collect()
}

/// The system message: the document, a blank line, and what the agent is told to be.
fn system(document: Option<&str>, system: Option<&str>) -> Option<String> {
    match (document, system) {
        (Some(document), Some(system)) => Some(format!("{document}\n\n{system}")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

/// The prompt behind the answers that it builds on.
fn question(prompt: &str, answers: &[Answer<'_>]) -> String {
    let mut question = String::new();
    for Answer { name, text } in answers {
        question.extend(["Answer of ", name, ":\n", text.trim(), "\n\n"]);
    }
    question + prompt
}

/// Answers that stand for one that is not known yet: no template may write them in different ways.
const STAND_INS: [&str; 2] = ["Yes", "No"];

impl Chat<'_> {
    /// The tokens of a conversation up to where the model's answer begins.
    ///
    /// # Errors
    /// Any [`ChatError`].
    pub fn encode(&self, messages: &[Message]) -> Result<Vec<u32>, ChatError> {
        self.encode_offering(messages, &[])
    }

    /// [`Chat::encode`] with tools that the template tells the model of.
    ///
    /// # Errors
    /// Any [`ChatError`].
    pub fn encode_offering(&self, messages: &[Message], tools: &[Value]) -> Result<Vec<u32>, ChatError> {
        let options = RenderOptions { add_generation_prompt: true, now_s: self.now_s };
        let conversation = Conversation { messages, tools, calls: &[] };
        encode_chat(self.template, self.tokenizer, conversation, &options)
    }

    /// What is to be put behind a context in which the model has answered `said`, so that it answers
    /// `next`. `end` is the token that ended its answer, if the context has it; it does not come twice.
    ///
    /// # Errors
    /// Any [`FollowUpError`].
    pub fn follow_up(
        &self,
        said: &[Message],
        next: &str,
        end: Option<u32>,
    ) -> Result<Vec<u32>, FollowUpError> {
        let before = self.encode(said)?;
        let [yes, no] = STAND_INS;
        let (with_yes, with_no) = (self.grown(said, yes, next)?, self.grown(said, no, next)?);
        let (Some(with_yes), Some(with_no)) =
            (with_yes.strip_prefix(&before[..]), with_no.strip_prefix(&before[..]))
        else {
            return Err(FollowUpError::Unstable);
        };
        let same = with_yes.iter().rev().zip(with_no.iter().rev()).take_while(|(yes, no)| yes == no).count();
        let (answer_yes, rest) = with_yes.split_at(with_yes.len() - same);
        let (answer_no, _) = with_no.split_at(with_no.len() - same);
        let is = |tokens: &[u32], text: &str| self.spelled(tokens).trim_start() == text;
        if !is(answer_yes, yes) || !is(answer_no, no) {
            return Err(FollowUpError::Unstable);
        }
        Ok(self.behind(rest, end).to_vec())
    }

    /// What stands around a next message behind the model's answer, if it is the same whatever is said.
    ///
    /// # Errors
    /// Any [`FollowUpError`].
    pub fn frame(&self, said: &[Message]) -> Result<Option<Frame>, FollowUpError> {
        const SAMPLES: [&str; 2] = ["The lamp is lit.", "Word by word, 42"];
        let [one, other] = SAMPLES;
        let (one_whole, other_whole) = (self.follow_up(said, one, None)?, self.follow_up(said, other, None)?);
        let (Ok(one), Ok(other)) = (self.text(one), self.text(other)) else { return Ok(None) };
        let before = one_whole.iter().zip(&other_whole).take_while(|(one, other)| one == other).count();
        let Some((before, rest)) = one_whole.split_at_checked(before) else { return Ok(None) };
        let Some(after) = rest.strip_prefix(&one[..]) else { return Ok(None) };
        let same = [before, &other, after].concat() == other_whole;
        Ok(same.then(|| Frame { before: before.to_vec(), after: after.to_vec() }))
    }

    /// Tokens that stand around a text within a next message, and of a message that says this: by its frame, if that
    /// is known.
    pub fn around(&self, text: &str, frame: Option<&Frame>) -> u32 {
        let turn = frame.map_or(FRAME_TOKENS, |frame| (frame.before.len() + frame.after.len()) as u32);
        let said = self.text(text).map_or(text.len(), |tokens| tokens.len());
        turn.saturating_add(JOINT_TOKENS).saturating_add(u32::try_from(said).unwrap_or(u32::MAX))
    }

    /// Tokens that stand around the result of a call in the model's own format, and of one that says this.
    pub fn around_own(&self, text: &str, format: &CallFormat) -> u32 {
        let tokens = format.result(self.tokenizer, 0, text).map_or(text.len(), |tokens| tokens.len());
        u32::try_from(tokens).unwrap_or(u32::MAX).saturating_add(JOINT_TOKENS)
    }

    /// The tokens of a text, none of which is a control token.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn text(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.tokenizer.encode(text, Special::AsText)
    }

    /// The tokens of the conversation once `answer` and `next` have been said.
    fn grown(&self, said: &[Message], answer: &str, next: &str) -> Result<Vec<u32>, ChatError> {
        let more = [(Role::Assistant, answer), (Role::User, next)];
        let more = more.map(|(role, content)| Message { role, content: content.to_owned() });
        let messages: Vec<Message> = said.iter().cloned().chain(more).collect();
        self.encode(&messages)
    }

    /// What is left of `rest` where the context has the end of the answer already. A template may put
    /// white space before it.
    fn behind<'t>(&self, rest: &'t [u32], end: Option<u32>) -> &'t [u32] {
        match rest.iter().position(|&token| Some(token) == end) {
            Some(at) if self.spelled(&rest[..at]).trim().is_empty() => &rest[at + 1..],
            _ => rest,
        }
    }

    /// What of a turn comes behind the token that ends the answer before it, where the context has that one already.
    pub fn behind_end<'t>(&self, turn: &'t [u32]) -> &'t [u32] {
        let end = turn.iter().copied().find(|&token| self.tokenizer.is_end_of_generation(token));
        self.behind(turn, end)
    }

    /// The text of tokens, control tokens by their names.
    fn spelled(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.tokenizer.piece(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
