//! Finding the tokens that are more than text, in a text.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::error::TokenizerError;
use super::pieces::{Kind, Pieces};

/// Which parts of a text may be tokens that are more than text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allowed<'a> {
    /// None.
    Nowhere,
    /// Any, but not across one of these places (bytes from the text's start, rising). For a token of
    /// one character, its beginning is across it.
    NotAcross(&'a [usize]),
}

/// A special token in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its bytes in the text.
    pub(crate) range: Range<usize>,
    /// The token.
    pub(crate) id: u32,
}

/// The special tokens of a vocabulary: control, user-defined and unknown ones.
pub(crate) struct Specials {
    finder: AhoCorasick,
    /// By pattern of the finder.
    patterns: Vec<Pattern>,
    any_open: bool,
}

struct Pattern {
    id: u32,
    /// A user-defined token of white space or of one character: it steers nothing, it is how the
    /// vocabulary writes indentation and rare characters. It is found in any text.
    open: bool,
    /// It has one character only, so that nothing fits inside it.
    single: bool,
}

impl Specials {
    /// Collects them.
    ///
    /// # Errors
    /// [`TokenizerError::TooLarge`].
    pub(crate) fn new(pieces: &Pieces) -> Result<Specials, TokenizerError> {
        let special = |&id: &u32| {
            let kind = matches!(pieces.kind(id), Kind::Control | Kind::UserDefined | Kind::Unknown);
            kind && !pieces.bytes(id).is_empty()
        };
        let ids: Vec<u32> = (0..pieces.len()).filter(special).collect();
        // Building fails only for more patterns than an automaton can number.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(ids.iter().map(|&id| pieces.bytes(id)))
            .map_err(|_| TokenizerError::TooLarge {
                what: "special tokens",
                found: ids.len(),
                limit: 1 << 20,
            })?;
        let patterns: Vec<Pattern> = ids.iter().map(|&id| Pattern::new(pieces, id)).collect();
        Ok(Specials { finder, any_open: patterns.iter().any(|pattern| pattern.open), patterns })
    }

    /// The tokens that people and tools must not write.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = u32> {
        let guarded = self.patterns.iter().filter(|pattern| !pattern.open);
        guarded.map(|pattern| pattern.id)
    }

    /// Wherever a text has one of those tokens: the first place that, if nothing may go across it,
    /// keeps it from being found.
    pub(crate) fn bars(&self, text: &str) -> Vec<usize> {
        let found = self.finder.find_overlapping_iter(text);
        let bar = |found: aho_corasick::Match| {
            let pattern = &self.patterns[found.pattern().as_usize()];
            let first = text[found.range()].chars().next().filter(|_| !pattern.open)?;
            Some(found.start() + if pattern.single { 0 } else { first.len_utf8() })
        };
        found.filter_map(bar).collect()
    }

    /// The special tokens of a text, in order. Where two overlap, the longer one wins, then the one
    /// with the lower id, then the first (llama.cpp's order).
    pub(crate) fn find(&self, text: &str, allowed: Allowed<'_>) -> Vec<Found> {
        if matches!(allowed, Allowed::Nowhere) && !self.any_open {
            return Vec::new();
        }
        let mut found: Vec<Found> = Vec::new();
        for candidate in self.finder.find_overlapping_iter(text) {
            let pattern = &self.patterns[candidate.pattern().as_usize()];
            let (range, id) = (candidate.range(), pattern.id);
            if pattern.is_allowed(&range, allowed) {
                found.push(Found { range, id });
            }
        }
        found.sort_unstable_by_key(|found| (usize::MAX - found.range.len(), found.id, found.range.start));
        let mut taken: BTreeMap<usize, Found> = BTreeMap::new();
        for found in found {
            let before = taken.range(..found.range.end).next_back();
            if before.is_none_or(|(_, before)| before.range.end <= found.range.start) {
                taken.insert(found.range.start, found);
            }
        }
        taken.into_values().collect()
    }
}

impl Pattern {
    fn new(pieces: &Pieces, id: u32) -> Pattern {
        // A special token's bytes are those of its text.
        let text = std::str::from_utf8(pieces.bytes(id)).unwrap_or_default();
        let single = text.chars().nth(1).is_none();
        let open = pieces.kind(id) == Kind::UserDefined && (single || text.trim().is_empty());
        Pattern { id, open, single }
    }

    fn is_allowed(&self, range: &Range<usize>, allowed: Allowed<'_>) -> bool {
        match allowed {
            _ if self.open => true,
            Allowed::Nowhere => false,
            Allowed::NotAcross(places) => {
                let least = if self.single { range.start } else { range.start + 1 };
                let next = places.partition_point(|&place| place < least);
                places.get(next).is_none_or(|&place| place >= range.end)
            }
        }
    }
}
