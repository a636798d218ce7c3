//! What stands before the passages of a collection, and behind the question that follows them.
//!
//! All passages of a collection are computed behind the same tokens, so that one of them that comes first in a
//! prompt is there to the bit, whoever asks. The tokens are made once, when the collection is, and kept with it:
//! a template that states the day would not give them again tomorrow.

use agentos_kernel::layout::Delimiter;
use serde::{Deserialize, Serialize};

use super::passage::{line_end, seal};
use crate::team::prompt::Chat;
use crate::text::{ChatError, Message, Role};

/// The tokens around what a collection's passages and a question say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// What stands before every passage. Its last slice is sealed.
    pub before: Vec<u32>,
    /// What stands behind the question: the end of the message, and the beginning of the answer.
    pub after: Vec<u32>,
}

/// Why a model's template gives no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// It cannot be encoded.
    Chat(ChatError),
    /// The template writes what stands around a message in a way that depends on the message.
    Unstable,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Chat(error) => error.fmt(f),
            FrameError::Unstable => f.write_str(
                "the model's chat template writes what stands before a message in a way that depends on it; \
                 passages cannot be computed once for all; another model would fit",
            ),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<ChatError> for FrameError {
    fn from(error: ChatError) -> FrameError {
        FrameError::Chat(error)
    }
}

/// What the model is told to be.
const SYSTEM: &str = "You answer questions from passages of documents.";

/// What begins the message that has the passages. It is long on purpose: a passage that was computed behind more is
/// less at odds with the others that it is put behind later. With 150 tokens and not 30, what may follow four passages is 7 to
/// 17 % nearer to what would follow them computed in place (`agentos eval memory relocation`); they are computed once, and all
/// passages share them.
const OPENING: &str = "Here are the passages of the documents, each below its source. They were taken from several \
    documents, of different authors and times, and do not follow each other: what one of them says need not hold for \
    the others. Each was cut where a paragraph or a list ends, so that it can be read alone. A source names the file of \
    a document and the line at which the passage begins. Names, numbers and commands are written as the documents \
    have them. One of the passages may tell what is asked for, or several of them, or none; the most likely one stands \
    last. The question comes behind all passages, and is to be answered from what they say, in a few words.\n";

/// The frame that a model's template gives.
///
/// # Errors
/// [`FrameError`].
pub fn frame(chat: &Chat<'_>, delimiters: &[Delimiter]) -> Result<Frame, FrameError> {
    // No token of one of them is at the same end of the other.
    const SAMPLES: [&str; 2] = ["The lamp is lit.", "Word by word, 42"];
    let system = Message { role: Role::System, content: SYSTEM.to_owned() };
    let whole = |content: &str| {
        let user = Message { role: Role::User, content: content.to_owned() };
        chat.encode(&[system.clone(), user]).map_err(FrameError::from)
    };
    let text = |text: &str| chat.text(text).map_err(|error| FrameError::Chat(ChatError::Tokenizer(error)));
    let [one, other] = SAMPLES;
    let (one_whole, other_whole) = (whole(one)?, whole(other)?);
    let before = one_whole.iter().zip(&other_whole).take_while(|(one, other)| one == other).count();
    let (before, rest) = one_whole.split_at(before);
    let after = rest.strip_prefix(&text(one)?[..]).ok_or(FrameError::Unstable)?;
    if [before, &text(other)?, after].concat() != other_whole {
        return Err(FrameError::Unstable);
    }
    let mut opened = [before, &text(OPENING)?].concat();
    let line_end = line_end(chat.tokenizer, delimiters).map_err(ChatError::Tokenizer)?;
    seal(&mut opened, delimiters, line_end);
    Ok(Frame { before: opened, after: after.to_vec() })
}
