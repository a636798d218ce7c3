//! A conversation as the model was taught to read it, in tokens.

use super::error::TokenizerError;
use super::guard::Guard;
use super::special::Allowed;
use super::template::{Message, RenderOptions, Template, TemplateError};
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

/// Renders the messages by the model's template and encodes the result, with the token that the model
/// wants before a text. Control tokens stand only where the template wrote them: the content of a
/// message is text, whatever it says. Content and template are encoded as one text, so that the
/// tokens are those of the rendered text.
///
/// # Errors
/// Any [`ChatError`].
pub fn encode_chat(
    template: &Template,
    tokenizer: &Tokenizer,
    messages: &[Message],
    options: &RenderOptions,
) -> Result<Vec<u32>, ChatError> {
    let contents = messages.iter().map(|message| message.content.as_str());
    let texts = contents.chain([template.source()]);
    let guard = Guard::new(tokenizer, texts).ok_or(ChatError::Unguarded)?;
    let marked: Vec<Message> = messages
        .iter()
        .map(|message| Message { role: message.role, content: guard.mark(&message.content) })
        .collect();
    let rendered = template.render(&marked, options).map_err(ChatError::Template)?;
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
