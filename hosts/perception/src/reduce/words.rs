//! What matters, judged by words alone: how many rare words of a request are in a piece, and how much is in
//! the piece that is nowhere else.

use std::collections::{HashMap, HashSet};

/// What the pieces' own rarity counts beside the words asked for.
const RARITY_SHARE: f32 = 0.1;
/// Words of a request that are looked for.
const MOST_WORDS: usize = 256;

/// The words of a request, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(HashSet<u64>);

impl Words {
    /// Those of a request; of a long one the first.
    #[must_use]
    pub fn of(request: &str) -> Words {
        let mut words = HashSet::new();
        for_each(request, |word| {
            if words.len() < MOST_WORDS {
                words.insert(word);
            }
        });
        Words(words)
    }

    /// Whether any of them is in a piece.
    #[must_use]
    pub fn any_in(&self, piece: &str) -> bool {
        let mut any = false;
        for_each(piece, |word| any |= self.0.contains(&word));
        any
    }

    /// A number for each piece: the sum over the request's words in it of how rare they are among the
    /// pieces, and a little for the rarity of its own words. Takes time in proportion to the pieces.
    #[must_use]
    pub fn scores(&self, pieces: &[&str]) -> Vec<f32> {
        let counts = Counts::of(pieces);
        let most = (1.0 + pieces.len() as f32).ln().max(f32::MIN_POSITIVE);
        let score = |(distinct, all): &(Vec<u64>, usize)| {
            let rarity = |word: &u64| counts.rarity(*word);
            let asked: f32 = distinct.iter().filter(|word| self.0.contains(word)).map(rarity).sum();
            let own: f32 = distinct.iter().map(rarity).sum::<f32>() / (*all).max(1) as f32 / most;
            asked + RARITY_SHARE * own
        };
        counts.per_piece.iter().map(score).collect()
    }

    /// A number for each piece: the sum over the request's words in it of how rare they are among the pieces; words that
    /// more than so many pieces have are none. 0 where it has none of them.
    #[must_use]
    pub fn asked(&self, pieces: &[&str], most_holding: usize) -> Vec<f32> {
        let counts = Counts::of(pieces);
        let is_asked = |word: &&u64| self.0.contains(word) && counts.holding(**word) as usize <= most_holding;
        let asked =
            |distinct: &Vec<u64>| distinct.iter().filter(is_asked).map(|&word| counts.rarity(word)).sum();
        counts.per_piece.iter().map(|(distinct, _)| asked(distinct)).collect()
    }
}

/// The words of pieces.
struct Counts {
    /// How many pieces have each word.
    holding: HashMap<u64, u32>,
    /// The distinct words of each piece, and how many it has in all.
    per_piece: Vec<(Vec<u64>, usize)>,
}

impl Counts {
    fn of(pieces: &[&str]) -> Counts {
        let mut holding: HashMap<u64, u32> = HashMap::new();
        let mut per_piece: Vec<(Vec<u64>, usize)> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let mut distinct = Vec::new();
            for_each(piece, |word| distinct.push(word));
            let all = distinct.len();
            distinct.sort_unstable();
            distinct.dedup();
            for &word in &distinct {
                *holding.entry(word).or_default() += 1;
            }
            per_piece.push((distinct, all));
        }
        Counts { holding, per_piece }
    }

    /// How many pieces have a word that one of them has.
    fn holding(&self, word: u64) -> u32 {
        self.holding.get(&word).copied().unwrap_or(1)
    }

    fn rarity(&self, word: u64) -> f32 {
        ((1.0 + self.per_piece.len() as f32) / self.holding(word) as f32).ln()
    }
}

/// Calls `each` with every word, as a number that stands for its letters in lower case.
fn for_each(text: &str, mut each: impl FnMut(u64)) {
    // FNV-1a over code points: words are only compared with each other, and a clash costs a wrong guess.
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let (mut hash, mut inside) = (BASIS, false);
    for c in text.chars() {
        if c.is_alphanumeric() {
            inside = true;
            if c.is_ascii() {
                hash = (hash ^ u64::from(c.to_ascii_lowercase())).wrapping_mul(PRIME);
            } else {
                c.to_lowercase().for_each(|c| hash = (hash ^ u64::from(c)).wrapping_mul(PRIME));
            }
        } else if inside {
            each(hash);
            (hash, inside) = (BASIS, false);
        }
    }
    if inside {
        each(hash);
    }
}
