//! A collection in memory, as much of it as finding takes.

use std::collections::HashMap;

use agentos_hal::StoreKey;
use agentos_store::PassageId;
use half::f16;

use super::library::{Library, LibraryError};
use super::recall::{Score, best, scores, within};
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
    words: Words,
    twins: Twins,
}

impl Catalogue {
    /// Reads a collection.
    ///
    /// # Errors
    /// [`LibraryError::Store`].
    pub fn load(
        library: &Library,
        collection: &str,
        tokenizer: &Tokenizer,
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
        Ok(Catalogue { passages, rows: Rows::new(&numbers, width), words, twins })
    }

    /// The passages that a question is about, the best first: at most so many. Of those that say the same the best is
    /// there.
    pub fn find(&self, question: &str, relevance: &Relevance, most: usize) -> Vec<Hit<'_>> {
        let mut end = 0;
        let end_of = |passage: &Known| {
            end += passage.slices.len();
            end
        };
        let ends: Vec<usize> = self.passages.iter().map(end_of).collect();
        let scores = scores(question, relevance, &self.words, &self.rows, &ends);
        let mut taken: Vec<(usize, u32)> = Vec::with_capacity(most.min(scores.len()));
        for passage in best(&scores, scores.len()) {
            let text = |passage: usize| (passage, &self.passages[passage].text[..]);
            let twin = taken.iter().position(|&(taken, _)| self.twins.are(text(taken), text(passage)));
            match twin {
                Some(twin) => taken[twin].1 += 1,
                None if taken.len() == most => break,
                None => taken.push((passage, 0)),
            }
        }
        let hit = |(passage, twins): (usize, u32)| Hit {
            passage: &self.passages[passage],
            score: scores[passage],
            twins,
        };
        taken.into_iter().map(hit).collect()
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
