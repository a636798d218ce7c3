//! Documents whose content follows from a number.

use agentos_store::{Collection, Draft, Modified, Passage, PassageSlice, Schema};

use super::{Random, entry, key};

/// Numbers of a mean key and of a hidden row.
pub const WIDTHS: (usize, usize) = (64, 48);

pub fn collection(name: &str) -> Collection {
    Collection { name: name.to_owned(), prefix: [3; 32], pinned: false, settings: b"settings".to_vec() }
}

/// A schema that half precision keeps as it is.
pub fn schema(number: u64) -> Schema {
    let mut random = Random(number ^ 0x5EED);
    let mut numbers = |count| (0..count).map(|_| random.below(64) as f32 / 16.0 - 2.0).collect();
    Schema { mean_key: numbers(WIDTHS.0), hidden: numbers(WIDTHS.1) }
}

/// A document of two passages, which name these slices between them.
pub fn draft(path: &str, slices: &[u64]) -> Draft {
    let (first, second) = slices.split_at(slices.len() / 2);
    let passage = |slices: &[u64]| {
        let of_passage = |&number| {
            let heavy = vec![number as u32, 2];
            PassageSlice { key: key(number), tokens: entry(number).tokens, heavy }
        };
        let start = slices.first().copied().unwrap_or(0);
        let passage = Passage {
            tokens: slices.iter().map(|&number| number as u32 * 3).collect(),
            bytes: start..start + 100,
            place: format!("page {start}"),
            content: [slices.len() as u8; 32],
            slices: slices.iter().map(of_passage).collect(),
        };
        (passage, slices.iter().map(|&number| schema(number)).collect())
    };
    let content = [slices.iter().fold(slices.len() as u8, |sum, &number| sum ^ number as u8); 32];
    let modified = Modified { bytes: slices.len() as u64, at_ns: 1 };
    Draft { path: path.to_owned(), content, modified, passages: vec![passage(first), passage(second)] }
}
