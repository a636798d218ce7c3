//! A thousand damaged files: bits that flipped, files that end too early. What is read is right or refused.

use std::path::Path;

use crate::common::documents::{collection, draft};
use crate::common::{KIND, Random, entry, image, key, options, place, put, wait};
use agentos_hal::{ColdStore, StoreError};
use agentos_store::{KnowledgeError, OpenError, Store};

const SLICES: u64 = 8;

fn sound(path: &Path) -> Vec<u8> {
    let mut store = Store::open(path, KIND, options()).unwrap();
    for number in 0..SLICES {
        put(&mut store, number).unwrap();
    }
    store.create_collection(&collection("a")).unwrap();
    store.enter("a", draft("x", &[0, 1, 2])).unwrap();
    store.enter("a", draft("y", &[2, 3])).unwrap();
    drop(store);
    std::fs::read(path).unwrap()
}

/// What became of a damaged file.
#[derive(Debug, Default)]
struct Tally {
    refused: u32,
    corrupt: u32,
    right: u32,
}

/// Reads all that a store has and should have.
fn read_all(store: &mut Store, seed: u64, tally: &mut Tally) {
    let mut page_image = vec![0; crate::common::PACKING.image_bytes()];
    for number in 0..SLICES {
        for page in 0..entry(number).pages {
            match wait(|| store.get(&key(number), page, &mut page_image)) {
                Ok(()) => assert_eq!(page_image, image(number, page), "seed {seed}: slice {number} is wrong"),
                Err(StoreError::Corrupt | StoreError::Missing | StoreError::Io | StoreError::Gone) => {
                    tally.corrupt += 1;
                    break;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
            tally.right += 1;
        }
    }
    for (path, slices) in [("x", [0, 1, 2].as_slice()), ("y", &[2, 3])] {
        let wanted = draft(path, slices);
        let Some(document) = right_or(store.document("a", path), seed).flatten() else { continue };
        assert_eq!((document.content, document.modified), (wanted.content, wanted.modified), "seed {seed}");
        let Some(passages) = right_or(store.passages(document.number), seed) else { continue };
        let wanted: Vec<_> = wanted.passages.into_iter().map(|(passage, _)| passage).collect();
        assert!(passages.iter().all(|passage| wanted.contains(passage)), "seed {seed}: {passages:?}");
    }
    right_or(store.schemas("a"), seed);
}

fn right_or<T>(result: Result<T, KnowledgeError>, seed: u64) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(KnowledgeError::Store(_) | KnowledgeError::NoCollection { .. }) => None,
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

fn damage(bytes: &mut Vec<u8>, seed: u64) {
    let mut random = Random(seed);
    if random.below(4) == 0 {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
        return;
    }
    for _ in 0..1 + random.below(8) {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
    }
}

/// With redb's own check of the whole file, and without it.
fn a_thousand(verify: bool) -> Tally {
    let (_folder, path) = place();
    let whole = sound(&path);
    let mut tally = Tally::default();
    for seed in 0..1000 {
        let mut bytes = whole.clone();
        damage(&mut bytes, seed);
        std::fs::write(&path, &bytes).unwrap();
        let options = agentos_store::Options { verify, ..options() };
        match Store::open(&path, KIND, options) {
            Err(
                OpenError::Damaged(_)
                | OpenError::Foreign
                | OpenError::Version { .. }
                | OpenError::Layout { .. }
                | OpenError::Identity { .. },
            ) => tally.refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
            Ok(mut store) => {
                read_all(&mut store, seed, &mut tally);
                // What was put since is as good as ever, or refused.
                let _ = put(&mut store, 100 + seed);
                read_all(&mut store, seed, &mut tally);
            }
        }
    }
    tally
}

#[test]
fn a_damaged_file_gives_what_was_written_or_is_refused() {
    let tally = a_thousand(false);
    assert!(tally.refused > 100 && tally.corrupt > 100 && tally.right > 1000, "{tally:?}");
}

#[test]
fn a_file_that_is_checked_whole_is_right_or_refused() {
    let tally = a_thousand(true);
    assert!(tally.refused > 500, "{tally:?}");
    assert_eq!(tally.corrupt, 0, "{tally:?}");
}
