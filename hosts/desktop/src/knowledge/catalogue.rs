//! A collection in memory, as much of it as finding takes.

use std::collections::HashMap;

use agentos_hal::StoreKey;
use agentos_store::PassageId;
use agentos_store::scan::SearchBounds;
use half::f16;

use super::heavy;
use super::library::{Library, LibraryError};
use super::recall::{Field, Score, best, within};
use super::relevance::{Relevance, Rows};
use super::twins::Twins;
use super::words::{Weighed, Words};
use crate::text::Tokenizer;

/// A passage of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its name in the store.
    pub id: PassageId,
    /// The file of its document.
    pub path: String,
    /// Where it stands in it, for a reader.
    pub place: String,
    /// Where it stands in it, in bytes; empty where its kind of document has none.
    pub bytes: std::ops::Range<u64>,
    /// Its tokens: the header that names its source first.
    pub tokens: Vec<u32>,
    /// What they say.
    pub text: String,
    /// Its slices' names in the store.
    pub keys: Vec<StoreKey>,
    /// Their lengths in tokens.
    pub slices: Vec<u32>,
    /// Of each the tokens that drew most attention, the heaviest first; none in collections that were made before these
    /// were counted.
    pub heavy: Vec<Vec<u32>>,
}

impl Known {
    /// The words that the heavy tokens of one of its slices stand in, the heaviest first.
    pub fn heavy_words(&self, slice: usize, tokenizer: &Tokenizer) -> Vec<String> {
        let from: u32 = self.slices.iter().take(slice).sum();
        let tokens = self.slices.get(slice).map_or(0, |&tokens| tokens as usize);
        let own = self.tokens.iter().skip(from as usize).take(tokens);
        let heavy = self.heavy.get(slice).map_or(&[][..], Vec::as_slice);
        heavy::words(own.map(|&id| (id, tokenizer.piece(id))), heavy)
    }
}

/// A passage that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<'c> {
    /// The passage.
    pub passage: &'c Known,
    /// Why.
    pub score: Score,
    /// Passages that say the same and were left out for it.
    pub twins: u32,
}

/// Which of the passages that were found, the best first, fit a prompt and go into it, in its order: those of [`within`].
pub fn fitting<'h, 'c: 'h>(found: impl Iterator<Item = &'h Hit<'c>>, budget_tokens: usize) -> Vec<usize> {
    let sizes: Vec<(usize, f64)> = found.map(|hit| (hit.passage.tokens.len(), hit.score.total)).collect();
    within(&sizes, budget_tokens)
}

/// The passages of a collection, and what finds them.
pub struct Catalogue {
    passages: Vec<Known>,
    /// The pooled hidden rows of all slices, one passage behind another.
    rows: Rows,
    /// For each passage where its own end among those.
    ends: Vec<usize>,
    words: Words,
    twins: Twins,
}

/// Slices and passages that are looked at first: as many as a graph of slices finds.
const DEPTH: usize = 128;
/// How many times more are looked at where those are too few.
const DEEPER: usize = 8;

impl Catalogue {
    /// Reads a collection. `bounds` says when its slices are searched by a graph.
    ///
    /// # Errors
    /// [`LibraryError::Store`].
    pub fn load(
        library: &Library,
        collection: &str,
        tokenizer: &Tokenizer,
        bounds: SearchBounds,
    ) -> Result<Catalogue, LibraryError> {
        let mut passages = Vec::new();
        for document in library.store.documents(collection)? {
            for (number, passage) in (0..).zip(library.store.passages(document.number)?) {
                let text = tokenizer.decode(&passage.tokens).trim_end().to_owned();
                passages.push(Known {
                    id: PassageId { document: document.number, passage: number },
                    path: document.path.clone(),
                    place: passage.place,
                    bytes: passage.bytes,
                    tokens: passage.tokens,
                    text,
                    keys: passage.slices.iter().map(|slice| slice.key).collect(),
                    slices: passage.slices.iter().map(|slice| u32::from(slice.tokens)).collect(),
                    heavy: passage.slices.into_iter().map(|slice| slice.heavy).collect(),
                });
            }
        }
        let schemas = library.store.schemas(collection)?;
        let width = schemas.hidden.width();
        let places: HashMap<(PassageId, u8), usize> = schemas
            .places
            .iter()
            .enumerate()
            .map(|(row, place)| ((place.passage, place.slice), row))
            .collect();
        let mut numbers = Vec::with_capacity(schemas.hidden.numbers().len());
        for passage in &passages {
            for slice in 0..passage.slices.len() {
                match places.get(&(passage.id, slice as u8)) {
                    Some(&row) => numbers.extend_from_slice(schemas.hidden.row(row)),
                    // Somebody changed the collection between two looks: it is found by its words.
                    None => numbers.extend(std::iter::repeat_n(f16::ZERO, width)),
                }
            }
        }
        let words = Words::of(passages.iter().map(|passage| passage.text.as_str()));
        let twins = Twins::new(&numbers, width, passages.iter().map(|passage| passage.slices.len()));
        let mut end = 0;
        let end_of = |passage: &Known| {
            end += passage.slices.len();
            end
        };
        let ends = passages.iter().map(end_of).collect();
        Ok(Catalogue { rows: Rows::new(&numbers, width, bounds), passages, ends, words, twins })
    }

    /// The passages that a question is about, the best first: at most so many. Of those that say the same the best is
    /// there.
    pub fn find(&self, question: &str, relevance: &Relevance, most: usize) -> Vec<Hit<'_>> {
        let words = self.words.overlap(question);
        let field = Field { relevance, rows: &self.rows, ends: &self.ends, words: &words };
        let mut depth = DEPTH;
        loop {
            let leading = field.leading(depth);
            if let Some(hits) = self.without_twins(&leading.passages, most, leading.all) {
                return hits;
            }
            depth = depth.saturating_mul(DEEPER);
        }
    }

    /// The best of some passages, at most so many, without those that say the same as a better one. Nothing where that
    /// is not certain yet, because others follow that were not looked at.
    fn without_twins(&self, found: &[(usize, Score)], most: usize, all: bool) -> Option<Vec<Hit<'_>>> {
        let mut taken: Vec<(usize, Score, u32)> = Vec::with_capacity(most.min(found.len()));
        let mut closed = all;
        for &(passage, score) in found {
            let text = |passage: usize| (passage, &self.passages[passage].text[..]);
            let twin = taken.iter().position(|&(taken, ..)| self.twins.are(text(taken), text(passage)));
            match twin {
                Some(twin) => taken[twin].2 += 1,
                None if taken.len() == most => {
                    closed = true;
                    break;
                }
                None => taken.push((passage, score, 0)),
            }
        }
        let hit = |(passage, score, twins): (usize, Score, u32)| Hit {
            passage: &self.passages[passage],
            score,
            twins,
        };
        closed.then(|| taken.into_iter().map(hit).collect())
    }

    /// The passages that have the rare words of a question, the best first: at most so many, none of which has less than
    /// half of what the best one has.
    pub fn find_by_words(&self, question: &str, most: usize) -> Vec<Hit<'_>> {
        let score = |words| Score { words, total: words, ..Score::default() };
        let scores: Vec<Score> = self.words.overlap(question).into_iter().map(score).collect();
        let found = best(&scores, most);
        let least = found.first().map_or(0.0, |&first| scores[first].total / 2.0);
        let fits = |&passage: &usize| scores[passage].total > 0.0 && scores[passage].total >= least;
        let hit = |passage: usize| Hit { passage: &self.passages[passage], score: scores[passage], twins: 0 };
        found.into_iter().filter(fits).map(hit).collect()
    }

    /// The words of a question by which passages are told apart, the rarest first.
    pub fn weigh(&self, question: &str) -> Vec<Weighed> {
        self.words.weigh(question)
    }

    /// All passages.
    pub fn passages(&self) -> &[Known] {
        &self.passages
    }
}
