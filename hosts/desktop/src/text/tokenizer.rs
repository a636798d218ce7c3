//! The tokenizer: a vocabulary made ready for use.

use std::path::Path;

use agentos_kernel::layout::Delimiter;

use super::bpe;
use super::delimiter;
use super::eog;
use super::error::TokenizerError;
use super::json;
use super::merge::Merger;
use super::pieces::{Kind, Pieces, Spelling};
use super::pipeline::Pipeline;
use super::pre::Pre;
use super::special::{Allowed, Found, Specials};
use super::spm::Spm;
use super::stream::TokenStream;
use super::vocabulary::Vocabulary;

/// What to do with the text of a control or user-defined token inside a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// It becomes that token. For text that the host itself or the model's template wrote.
    Parse,
    /// It is text like any other. For everything else.
    AsText,
}

/// How texts become tokens.
enum Rules {
    /// By the library: byte pairs, and whatever a `tokenizer.json` says.
    Pipeline(Box<Pipeline>),
    Spm(Box<Spm>),
}

/// Turns text into the token ids of one vocabulary, and back.
pub struct Tokenizer {
    pieces: Pieces,
    rules: Rules,
    specials: Specials,
    /// Tokens that end a generation, rising.
    ends: Vec<u32>,
    leading_bos: Option<u32>,
    space_prefix: bool,
}

/// Bytes of a text that can be encoded at once: the library holds more than a hundred bytes for each.
pub const MAX_TEXT_BYTES: usize = 1 << 24;

impl Tokenizer {
    /// Makes a vocabulary ready, by the vocabulary's own rules.
    ///
    /// # Errors
    /// Any [`TokenizerError`] but those of `tokenizer.json` and of texts.
    pub fn new(vocabulary: &Vocabulary<'_>) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::build(vocabulary, None)
    }

    /// Makes a vocabulary ready, by the rules of a `tokenizer.json`. What the model file says of its
    /// tokens' types and roles still holds.
    ///
    /// # Errors
    /// Any [`TokenizerError`] but those of merges, scores and texts.
    pub fn from_json_file(path: &Path, vocabulary: &Vocabulary<'_>) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::build(vocabulary, Some(path))
    }

    fn build(vocabulary: &Vocabulary<'_>, json: Option<&Path>) -> Result<Tokenizer, TokenizerError> {
        let (spelling, defaults) = match vocabulary.model {
            "gpt2" => (Spelling::ByteLevel, Defaults::NONE),
            "llama" => (Spelling::Spaces, Defaults::LLAMA),
            found => {
                let found = found.to_owned();
                return Err(TokenizerError::Model { found });
            }
        };
        check_ids(vocabulary)?;
        let role = |stated: Option<u32>, default: Option<u32>| {
            stated.or(default.filter(|&id| (id as usize) < vocabulary.tokens.len()))
        };
        let bos = role(vocabulary.bos, defaults.bos);
        let eos = role(vocabulary.eos, defaults.eos);
        let unknown = role(vocabulary.unk, defaults.unknown);

        let pieces = Pieces::new(vocabulary, spelling, eog::ends_generation)?;
        let specials = Specials::new(&pieces)?;
        let (rules, add_bos) = match (json, spelling) {
            (Some(path), _) => {
                (Rules::Pipeline(Box::new(json::pipeline(path, vocabulary, &pieces)?)), defaults.add_bos)
            }
            (None, Spelling::ByteLevel) => {
                let pre = Pre::named(vocabulary.pre)?;
                (Rules::Pipeline(Box::new(bpe::pipeline(vocabulary, &pieces, pre)?)), pre.add_bos)
            }
            (None, Spelling::Spaces) => {
                (Rules::Spm(Box::new(Spm::new(vocabulary, &pieces, unknown)?)), defaults.add_bos)
            }
        };
        let stated = [eos, vocabulary.eot].into_iter().flatten().chain(vocabulary.ends.iter().copied());
        let known = vocabulary.tokens.iter().zip(0..).filter(|(text, _)| eog::ends_generation(text));
        let mut ends: Vec<u32> = stated.chain(known.map(|(_, id)| id)).collect();
        ends.sort_unstable();
        ends.dedup();
        Ok(Tokenizer {
            pieces,
            rules,
            specials,
            ends,
            leading_bos: bos.filter(|_| vocabulary.add_bos.unwrap_or(add_bos)),
            space_prefix: vocabulary.add_space_prefix.unwrap_or(defaults.space_prefix)
                && spelling == Spelling::Spaces,
        })
    }

    /// The tokens of a text. No `bos` is put before them; see [`Tokenizer::leading_bos`].
    ///
    /// # Errors
    /// [`TokenizerError::TextTooLong`], [`TokenizerError::SpaceTooLong`], [`TokenizerError::Encode`].
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>, TokenizerError> {
        let allowed = match special {
            Special::Parse => Allowed::NotAcross(&[]),
            Special::AsText => Allowed::Nowhere,
        };
        self.encode_where(text, allowed)
    }

    /// The tokens of a text in which special tokens are allowed in some places only.
    pub(crate) fn encode_where(&self, text: &str, allowed: Allowed<'_>) -> Result<Vec<u32>, TokenizerError> {
        let (found, limit) = (text.len(), MAX_TEXT_BYTES);
        if found > limit {
            return Err(TokenizerError::TextTooLong { found, limit });
        }
        let found = self.specials.find(text, allowed);
        // About four bytes a token.
        let mut ids = Vec::with_capacity(text.len() / 4 + found.len() + 1);
        match &self.rules {
            Rules::Pipeline(pipeline) => pipeline.encode(text, &found, &mut ids)?,
            Rules::Spm(spm) => self.encode_spm(spm, text, &found, &mut ids),
        }
        Ok(ids)
    }

    fn encode_spm(&self, spm: &Spm, text: &str, found: &[Found], ids: &mut Vec<u32>) {
        let mut merger = Merger::default();
        let mut at = 0;
        // A text begins anew after every special token.
        for special in found {
            if at < special.range.start {
                spm.encode(&text[at..special.range.start], self.space_prefix, &mut merger, ids);
            }
            ids.push(special.id);
            at = special.range.end;
        }
        if at < text.len() {
            spm.encode(&text[at..], self.space_prefix, &mut merger, ids);
        }
    }

    /// The text of tokens that stand at the beginning of a text. Control tokens have none; bytes that
    /// are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        let mut stream = TokenStream::at_start(self);
        for &id in ids {
            stream.push(id, &mut text);
        }
        stream.finish(&mut text);
        text
    }

    /// The bytes that a token stands for: for a control token the text that names it, for an id that
    /// is not in the vocabulary none.
    pub fn piece(&self, id: u32) -> &[u8] {
        self.pieces.bytes(id)
    }

    /// The most bytes that a token stands for.
    pub fn longest_piece(&self) -> usize {
        (0..self.vocab_size()).map(|id| self.piece(id).len()).max().unwrap_or(0)
    }

    /// How many tokens the vocabulary has.
    pub fn vocab_size(&self) -> u32 {
        self.pieces.len()
    }

    /// The token that is to be put before a text, if the model wants one.
    pub fn leading_bos(&self) -> Option<u32> {
        self.leading_bos
    }

    /// Whether a token ends a generation.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// Whether a token steers the model and is no part of any text.
    pub fn is_control(&self, id: u32) -> bool {
        matches!(self.pieces.kind(id), Kind::Control | Kind::Unknown)
    }

    /// The texts that steer the model where a template writes them: those of control tokens, and of the tokens that the
    /// file defines beside them and this template uses.
    pub fn control_strings(&self, template: &str) -> Vec<String> {
        let guarded =
            self.specials.guarded().map(|id| (id, String::from_utf8_lossy(self.piece(id)).into_owned()));
        guarded
            .filter(|(id, text)| self.is_control(*id) || template.contains(text))
            .map(|(_, text)| text)
            .collect()
    }

    /// Whether a token is text and no more: no control token, and none that a file defines beside them.
    pub fn is_text(&self, id: u32) -> bool {
        matches!(self.pieces.kind(id), Kind::Normal | Kind::Byte)
    }

    /// What each token ends, by id: the kernel lays out slices by it. A message ends with a token
    /// that ends a generation.
    pub fn delimiter_classes(&self) -> Vec<Delimiter> {
        (0..self.vocab_size()).map(|id| self.delimiter(id)).collect()
    }

    /// What a token ends.
    pub fn delimiter(&self, id: u32) -> Delimiter {
        match self.pieces.kind(id) {
            _ if self.is_end_of_generation(id) => Delimiter::Message,
            Kind::Control | Kind::Unknown => Delimiter::None,
            Kind::Normal | Kind::UserDefined | Kind::Byte => delimiter::class(self.pieces.bytes(id)),
        }
    }

    /// Whether the vocabulary's rules make this token from a text, and not another way.
    pub(crate) fn is_plain(&self, id: u32) -> bool {
        self.pieces.is_plain(id)
    }

    /// A space is put before texts, and taken away again from decoded ones.
    pub(crate) fn space_prefix(&self) -> bool {
        self.space_prefix
    }

    /// The tokens that are more than text.
    pub(crate) fn specials(&self) -> &Specials {
        &self.specials
    }
}

/// What a kind of vocabulary does where the file says nothing.
struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    add_bos: bool,
    space_prefix: bool,
}

impl Defaults {
    const NONE: Defaults =
        Defaults { bos: None, eos: None, unknown: None, add_bos: false, space_prefix: false };
    /// As SentencePiece trains them.
    const LLAMA: Defaults =
        Defaults { bos: Some(1), eos: Some(2), unknown: Some(0), add_bos: true, space_prefix: true };
}

fn check_ids(vocabulary: &Vocabulary<'_>) -> Result<(), TokenizerError> {
    let tokens = vocabulary.tokens.len();
    let roles = [
        ("beginning-of-text", vocabulary.bos),
        ("end-of-text", vocabulary.eos),
        ("unknown", vocabulary.unk),
        ("end-of-turn", vocabulary.eot),
    ];
    let ends = vocabulary.ends.iter().map(|&id| ("end-of-generation", Some(id)));
    for (role, id) in roles.into_iter().chain(ends) {
        if let Some(id) = id.filter(|&id| id as usize >= tokens) {
            return Err(TokenizerError::Id { role, id, tokens });
        }
    }
    Ok(())
}
