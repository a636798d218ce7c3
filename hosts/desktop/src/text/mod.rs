//! Text in, tokens out, and back: everything that a model file says about text.
//!
//! * [`Vocabulary`]: what a GGUF file states about its tokens.
//! * [`Tokenizer`]: text to token ids as llama.cpp counts them, and the bytes of each token.
//! * [`TokenStream`]: token ids to text while they come, never half a character.
//! * [`Template`] and [`encode_chat`]: a conversation in the model's own format.
//! * [`CallFormat`]: how that format writes calls of tools and what came of them, found by trying it.
//!
//! What must never happen here: that the text of a person or a tool becomes a control token. Only
//! [`Special::Parse`] and a chat template's own text can make one. Model files are outside data: a
//! vocabulary or a template that lies is refused with a typed error, and what it can cost is bounded.

mod bpe;
mod calls;
mod chat;
mod conversation;
mod delimiter;
mod eog;
mod error;
mod guard;
mod json;
mod merge;
mod pieces;
mod pipeline;
mod pre;
mod special;
mod spm;
mod stream;
mod strftime;
mod template;
mod tojson;
mod tokenizer;
mod vocabulary;

pub use calls::{CallFormat, CallShape, Opens, call_id, definition};
pub use chat::{ChatError, encode_chat};
pub use conversation::{Conversation, ToolCall};
pub use error::TokenizerError;
pub use stream::{Partial, TokenStream};
pub use strftime::time_of_day;
pub use template::{Message, RenderOptions, Role, Template, TemplateError};
pub use tokenizer::{MAX_TEXT_BYTES, Special, Tokenizer};
pub use vocabulary::Vocabulary;
