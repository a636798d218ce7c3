//! Which passages have the rare words of a question.
//!
//! A word counts by how few passages have it (inverse document frequency) and by how often a passage has it, as in
//! Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), eq. 3.15.

use std::collections::HashMap;

/// How fast more of the same word counts less.
const SATURATION: f64 = 1.2;
/// How much long passages are held against.
const LENGTH: f64 = 0.6;

/// The words of a collection's passages.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// For each word, the passages that have it and how often, by rising passage.
    places: HashMap<String, Vec<(u32, u32)>>,
    /// How many words each passage has.
    lengths: Vec<u32>,
}

/// A word of a question, as a person may be shown it.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// What all forms of the word have in common here.
    stem: String,
    /// The word, in small letters.
    pub word: String,
    /// What having it counts.
    pub weight: f64,
}

impl Words {
    /// The words of these passages.
    pub fn of<'t>(passages: impl Iterator<Item = &'t str>) -> Words {
        let mut words = Words::default();
        for (passage, text) in (0..).zip(passages) {
            let mut length = 0;
            for word in split(text) {
                length += 1;
                let places = words.places.entry(word.stem).or_default();
                match places.last_mut() {
                    Some((last, count)) if *last == passage => *count += 1,
                    _ => places.push((passage, 1)),
                }
            }
            words.lengths.push(length);
        }
        words
    }

    /// What each passage has of a question's rare words: from 0 to 1, the share of their weight.
    pub fn overlap(&self, question: &str) -> Vec<f64> {
        let mut scores = vec![0.0; self.lengths.len()];
        let weighed = self.weigh(question);
        let all: f64 = weighed.iter().map(|word| word.weight).sum();
        let total: f64 = self.lengths.iter().map(|&length| f64::from(length)).sum();
        let mean = (total / self.lengths.len().max(1) as f64).max(1.0);
        for Weighed { stem, weight, .. } in &weighed {
            for &(passage, count) in self.places.get(stem).map_or(&[][..], Vec::as_slice) {
                let length = f64::from(self.lengths[passage as usize]) / mean;
                let count = f64::from(count);
                let often = count / (count + SATURATION * (1.0 - LENGTH + LENGTH * length));
                scores[passage as usize] += weight / all.max(f64::MIN_POSITIVE) * often;
            }
        }
        scores
    }

    /// The different words of a question that any passage has, the rarest first.
    pub fn weigh(&self, question: &str) -> Vec<Weighed> {
        let passages = self.lengths.len() as f64;
        let mut words: Vec<Word> = split(question).collect();
        words.sort_unstable_by(|one, other| one.stem.cmp(&other.stem));
        words.dedup_by(|one, other| one.stem == other.stem);
        let weight = |Word { stem, form }: Word| {
            let having = self.places.get(&stem)?.len() as f64;
            let weight = (1.0 + (passages - having + 0.5) / (having + 0.5)).ln();
            Some(Weighed { stem, word: form, weight })
        };
        let mut weighed: Vec<Weighed> = words.into_iter().filter_map(weight).collect();
        weighed.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.word.cmp(&other.word)));
        weighed
    }
}

/// The words of a text in small letters, one as often as it stands there.
pub fn split_words(text: &str) -> impl Iterator<Item = String> {
    split(text).map(|word| word.form)
}

/// A word of a text.
struct Word {
    /// What all its forms have in common here.
    stem: String,
    /// The form that it has, in small letters.
    form: String,
}

/// The words of a text. A name such as `read_file` is a word, and so are its parts.
fn split(text: &str) -> impl Iterator<Item = Word> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !is_part(c)).filter(|name| name.chars().any(char::is_alphanumeric)).flat_map(|name| {
        let name = name.to_lowercase();
        let part = |part: &str| Word { stem: stem(part).to_owned(), form: part.to_owned() };
        let parts: Vec<Word> = name.split('_').filter(|part| !part.is_empty()).map(part).collect();
        let whole = (parts.len() > 1).then(|| Word { stem: name.clone(), form: name });
        parts.into_iter().chain(whole)
    })
}

/// A word without the commonest endings of English: what is left of `renames`, `renamed` and `renaming` is one.
fn stem(word: &str) -> &str {
    const ENDINGS: [&str; 6] = ["ing", "ies", "ed", "es", "s", "e"];
    // A short word is its own.
    let cut = |ending: &&str| word.strip_suffix(*ending).filter(|rest| rest.chars().count() >= 3);
    if !word.is_ascii() || word.bytes().any(|byte| byte.is_ascii_digit()) || word.ends_with("ss") {
        return word;
    }
    ENDINGS.iter().find_map(cut).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_are_one_and_names_have_parts() {
        let words = |text| split(text).map(|word| word.stem).collect::<Vec<_>>();
        assert_eq!(words("Renames, renamed; renaming rename!"), ["renam"; 4]);
        assert_eq!(
            words("read_file() __init__ the class"),
            ["read", "fil", "read_file", "init", "the", "class"]
        );
        assert_eq!(words("… -- 38 m"), ["38", "m"]);
    }

    #[test]
    fn rare_words_count_more() {
        let passages = ["the lamp is lit", "the lamp is out", "the sea", "the boat and the lamp"];
        let words = Words::of(passages.into_iter());
        let weighed = words.weigh("Is the lamp lit? Nowhere.");
        assert_eq!(
            weighed.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(),
            ["lit", "is", "lamp", "the"]
        );
        let overlap = words.overlap("Is the lamp lit?");
        assert!(overlap[0] > overlap[1] && overlap[1] > overlap[3] && overlap[3] > overlap[2]);
        assert!(overlap.iter().all(|&share| (0.0..=1.0).contains(&share)));
        assert_eq!(words.overlap("nothing of it"), [0.0; 4]);
        assert_eq!(Words::default().overlap("x"), Vec::<f64>::new());
    }
}
