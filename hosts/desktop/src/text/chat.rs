//! A conversation as the model was taught to read it, in tokens.

use super::conversation::Conversation;
use super::error::TokenizerError;
use super::guard::Guard;
use super::special::Allowed;
use super::template::{Marks, RenderOptions, Template, TemplateError};
use super::tokenizer::Tokenizer;

/// Why a conversation cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatError {
    /// The model's template failed.
    Template(TemplateError),
    /// The rendered text cannot be encoded.
    Tokenizer(TokenizerError),
    /// The messages use every character that could tell them from the template's text.
    Unguarded,
}

impl std::fmt::Display for ChatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Tokenizer(error) => error.fmt(f),
            Self::Unguarded => f.write_str(
                "the messages hold all of U+FDD0 to U+FDEF, which no text should; at most 31 of them would fit",
            ),
        }
    }
}

impl std::error::Error for ChatError {}

/// Renders the conversation by the model's template and encodes the result, with the token that the model
/// wants before a text. Control tokens stand only where the template wrote them: the content of a
/// message is text, whatever it says, and so is what is known of a tool. Content and template are encoded as one text,
/// so that the tokens are those of the rendered text.
///
/// # Errors
/// Any [`ChatError`].
pub fn encode_chat<'c>(
    template: &Template,
    tokenizer: &Tokenizer,
    conversation: impl Into<Conversation<'c>>,
    options: &RenderOptions,
) -> Result<Vec<u32>, ChatError> {
    let conversation = conversation.into();
    let texts = conversation.texts();
    let texts = texts.into_iter().chain([template.source()]);
    let guard = Guard::new(tokenizer, texts).ok_or(ChatError::Unguarded)?;
    let marks = Marks { mark: &|text| guard.mark(text), in_json: guard.mark_in_json() };
    let rendered = template.render_marked(&conversation, options, &marks).map_err(ChatError::Template)?;
    let guarded = guard.unmark(&rendered);
    let ids = tokenizer.encode_where(&guarded.text, Allowed::NotAcross(&guarded.places));
    let mut ids = ids.map_err(ChatError::Tokenizer)?;
    if let Some(bos) = tokenizer.leading_bos()
        && ids.first() != Some(&bos)
    {
        ids.insert(0, bos);
    }
    Ok(ids)
}

/// The tokens of a text between two that a template wrote: control tokens stand only in those.
///
/// # Errors
/// [`ChatError::Tokenizer`], [`ChatError::Unguarded`].
pub(crate) fn encode_between(
    tokenizer: &Tokenizer,
    [before, after]: [&str; 2],
    text: &str,
) -> Result<Vec<u32>, ChatError> {
    let guard = Guard::new(tokenizer, [before, text, after].into_iter()).ok_or(ChatError::Unguarded)?;
    let guarded = guard.unmark(&[before, &guard.mark(text), after].concat());
    let ids = tokenizer.encode_where(&guarded.text, Allowed::NotAcross(&guarded.places));
    ids.map_err(ChatError::Tokenizer)
}
