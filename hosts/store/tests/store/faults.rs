//! A thousand errors of the medium: whatever is told as durable is there, and nothing wrong is read.

use crate::common::documents::{collection, draft};
use crate::common::faults::{Faults, FaultyMedium};
use crate::common::{KIND, Random, entry, hand_over, image, is_whole, key, options, place, wait};
use agentos_hal::{ColdStore, StoreError};
use agentos_store::{OpenError, Store};

/// What is known of slices and documents by what the store said.
#[derive(Default)]
struct Known {
    durable: Vec<u64>,
    documents: Vec<u64>,
}

/// One store and one seed, until the medium has failed so often; says how often it did.
fn run(seed: u64) -> u64 {
    let (_folder, path) = place();
    // From now and then to nearly always.
    let faults = Faults::new(seed, [50, 200, 500, 1500][seed as usize % 4]);
    let medium = || Box::new(FaultyMedium::new(&path, &faults));
    let mut random = Random(seed ^ 0xFA17);
    let mut known = Known::default();
    let store = Store::open_on(medium(), KIND, options()).unwrap();
    store.create_collection(&collection("a")).unwrap();
    drop(store);
    faults.arm(true);
    for opened in 0..6 {
        let mut store = match Store::open_on(medium(), KIND, options()) {
            Ok(store) => store,
            Err(OpenError::Io(_)) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        for step in 0..12 {
            let number = 1000 * opened + step;
            match random.below(4) {
                0 => read_one(&mut store, &known, &mut random, seed),
                1 if known.durable.len() > 1 => {
                    let slices = &known.durable[known.durable.len() - 2..];
                    match store.enter("a", draft(&number.to_string(), slices)) {
                        Ok(_) => known.documents.push(number),
                        Err(error) => assert!(is_of_the_medium(&error), "seed {seed}: {error}"),
                    }
                }
                _ => put_one(&mut store, number, &mut known, seed),
            }
        }
        if random.below(3) == 0 {
            store.flush().unwrap();
        }
    }
    faults.arm(false);
    check(&path, &known, seed);
    faults.count()
}

fn put_one(store: &mut Store, number: u64, known: &mut Known, seed: u64) {
    let told = hand_over(store, number, entry(number)).and_then(|()| {
        let (told, result) = wait(|| store.poll().map_or(std::task::Poll::Pending, std::task::Poll::Ready));
        assert_eq!(told, key(number));
        result
    });
    match told {
        Ok(()) => known.durable.push(number),
        Err(StoreError::Io) => {}
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

fn read_one(store: &mut Store, known: &Known, random: &mut Random, seed: u64) {
    let Some(&number) = known.durable.get(random.below(known.durable.len().max(1) as u64) as usize) else {
        return;
    };
    let mut page_image = vec![0; crate::common::PACKING.image_bytes()];
    for page in 0..entry(number).pages {
        match wait(|| store.get(&key(number), page, &mut page_image)) {
            Ok(()) => assert_eq!(page_image, image(number, page), "seed {seed}: slice {number}"),
            Err(StoreError::Io) => return,
            Err(error) => panic!("seed {seed}: slice {number}: {error}"),
        }
    }
}

fn is_of_the_medium(error: &agentos_store::KnowledgeError) -> bool {
    matches!(error, agentos_store::KnowledgeError::Store(StoreError::Io))
}

/// All that was told is there, without faults.
fn check(path: &std::path::Path, known: &Known, seed: u64) {
    let mut store = Store::open(path, KIND, options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    for &number in &known.durable {
        assert_eq!(is_whole(&mut store, number), Ok(true), "seed {seed}: slice {number}");
    }
    for &number in &known.documents {
        let document = store.document("a", &number.to_string()).unwrap();
        assert!(document.is_some_and(|document| document.passages == 2), "seed {seed}: document {number}");
    }
    assert_eq!(store.stats().corrupt, 0, "seed {seed}");
}

#[test]
fn a_thousand_errors_lose_nothing_that_was_told() {
    let mut failed = 0;
    for seed in 0.. {
        failed += run(seed);
        if failed >= 1000 {
            return;
        }
        assert!(seed < 200, "{failed} faults only");
    }
}
