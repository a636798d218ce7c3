//! What a model file states about its tokens, before anything is made of it.

use agentos_gguf::{Array, Gguf};

use super::error::TokenizerError;

/// A vocabulary as a GGUF file has it, under the file's own names (`tokenizer.ggml.…`).
///
/// Nothing here is checked but that the values have the right types; [`super::Tokenizer::new`] checks
/// the rest.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary<'a> {
    /// The kind: `"gpt2"` (byte-level byte-pair encoding) or `"llama"` (SentencePiece).
    pub model: &'a str,
    /// How text is split before merging; only for `"gpt2"`.
    pub pre: Option<&'a str>,
    /// The text of each token, by id.
    pub tokens: Vec<&'a str>,
    /// Pairs of tokens, separated by a space, the most important first; only for `"gpt2"`.
    pub merges: Vec<&'a str>,
    /// The score of each token; only for `"llama"`, empty otherwise.
    pub scores: Vec<f32>,
    /// The type of each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    /// Empty when the file has none: then all are normal.
    pub types: Vec<u32>,
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Stands for what the vocabulary cannot say.
    pub unk: Option<u32>,
    /// Ends a turn.
    pub eot: Option<u32>,
    /// Other tokens that end a generation: end of message, and those of fill-in-the-middle.
    pub ends: Vec<u32>,
    /// Whether a text is to begin with `bos`; `None` leaves it to the kind of vocabulary.
    pub add_bos: Option<bool>,
    /// Whether a space is put before a text; `None` leaves it to the kind of vocabulary.
    pub add_space_prefix: Option<bool>,
    /// The chat template, a Jinja text.
    pub chat_template: Option<&'a str>,
    /// Another one, for conversations with tools.
    pub tool_template: Option<&'a str>,
}

const TEXTS: &str = "a list of texts";

impl<'a> Vocabulary<'a> {
    /// Collects the vocabulary of a model file. Texts stay where they are in the file.
    ///
    /// # Errors
    /// [`TokenizerError::Metadata`].
    pub fn from_gguf(gguf: &Gguf<'a>) -> Result<Vocabulary<'a>, TokenizerError> {
        let model = text(gguf, "tokenizer.ggml.model")?
            .ok_or(TokenizerError::Metadata { key: "tokenizer.ggml.model", expected: "a text" })?;
        let tokens = array(gguf, "tokenizer.ggml.tokens", TEXTS, Array::texts)?;
        let tokens =
            tokens.ok_or(TokenizerError::Metadata { key: "tokenizer.ggml.tokens", expected: TEXTS })?;
        let merges = array(gguf, "tokenizer.ggml.merges", TEXTS, Array::texts)?;
        let scores = array(gguf, "tokenizer.ggml.scores", "a list of numbers", Array::floats)?;
        let types = array(gguf, "tokenizer.ggml.token_type", "a list of integers", Array::ints)?;
        Ok(Vocabulary {
            model,
            pre: text(gguf, "tokenizer.ggml.pre")?,
            tokens: tokens.collect(),
            merges: merges.into_iter().flatten().collect(),
            scores: scores.into_iter().flatten().map(|score| score as f32).collect(),
            // A type that is no u32 is as unknown as one that is too high.
            types: types.into_iter().flatten().map(|kind| u32::try_from(kind).unwrap_or(0)).collect(),
            bos: id(gguf, "tokenizer.ggml.bos_token_id")?,
            eos: id(gguf, "tokenizer.ggml.eos_token_id")?,
            unk: id(gguf, "tokenizer.ggml.unknown_token_id")?,
            eot: id(gguf, "tokenizer.ggml.eot_token_id")?,
            ends: ends(gguf)?,
            add_bos: flag(gguf, "tokenizer.ggml.add_bos_token")?,
            add_space_prefix: flag(gguf, "tokenizer.ggml.add_space_prefix")?,
            chat_template: text(gguf, "tokenizer.chat_template")?,
            tool_template: text(gguf, "tokenizer.chat_template.tool_use")?,
        })
    }

    /// The text of a token, if it exists.
    pub fn token(&self, id: Option<u32>) -> Option<&'a str> {
        self.tokens.get(id? as usize).copied()
    }
}

fn ends(gguf: &Gguf<'_>) -> Result<Vec<u32>, TokenizerError> {
    const KEYS: [&str; 4] = [
        "tokenizer.ggml.eom_token_id",
        "tokenizer.ggml.fim_pad_token_id",
        "tokenizer.ggml.fim_rep_token_id",
        "tokenizer.ggml.fim_sep_token_id",
    ];
    let mut ends = Vec::new();
    for key in KEYS {
        ends.extend(id(gguf, key)?);
    }
    Ok(ends)
}

fn array<'a, T>(
    gguf: &Gguf<'a>,
    key: &'static str,
    expected: &'static str,
    elements: impl Fn(&Array<'a>) -> Option<T>,
) -> Result<Option<T>, TokenizerError> {
    let Some(value) = gguf.get(key) else {
        return Ok(None);
    };
    let found = value.as_array().and_then(|array| elements(&array));
    found.map(Some).ok_or(TokenizerError::Metadata { key, expected })
}

fn text<'a>(gguf: &Gguf<'a>, key: &'static str) -> Result<Option<&'a str>, TokenizerError> {
    let Some(value) = gguf.get(key) else {
        return Ok(None);
    };
    let expected = "a text";
    value.as_text().map(Some).ok_or(TokenizerError::Metadata { key, expected })
}

fn id(gguf: &Gguf<'_>, key: &'static str) -> Result<Option<u32>, TokenizerError> {
    let Some(value) = gguf.get(key) else {
        return Ok(None);
    };
    let found = value.as_uint().and_then(|id| u32::try_from(id).ok());
    let expected = "a token id";
    found.map(Some).ok_or(TokenizerError::Metadata { key, expected })
}

fn flag(gguf: &Gguf<'_>, key: &'static str) -> Result<Option<bool>, TokenizerError> {
    let Some(value) = gguf.get(key) else {
        return Ok(None);
    };
    let expected = "true or false";
    value.as_bool().map(Some).ok_or(TokenizerError::Metadata { key, expected })
}
