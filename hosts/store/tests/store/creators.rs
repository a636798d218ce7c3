//! Several who make the store of one file at a time: one is made, and none takes another's place.

use std::path::Path;
use std::sync::Barrier;

use crate::common::{KIND, is_whole, options, place, put};
use agentos_store::{OpenError, Store};

const CREATORS: u64 = 3;

/// Opens a store as soon as nobody else has it.
fn open(path: &Path) -> Store {
    loop {
        match Store::open(path, KIND, options()) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            store => return store.unwrap(),
        }
    }
}

#[test]
fn what_one_of_several_creators_has_put_stays() {
    for round in 0..20 {
        let (_folder, path) = place();
        let is_empty_file = round % 2 == 0;
        if is_empty_file {
            std::fs::write(&path, b"").unwrap();
        }
        let begin = Barrier::new(CREATORS as usize);
        std::thread::scope(|scope| {
            for number in 0..CREATORS {
                let (begin, path) = (&begin, &path);
                scope.spawn(move || {
                    begin.wait();
                    put(&mut open(path), number).unwrap();
                });
            }
        });
        let mut store = open(&path);
        let kept: Vec<_> = (0..CREATORS).filter(|&number| is_whole(&mut store, number) == Ok(true)).collect();
        assert_eq!(kept, [0, 1, 2], "in round {round}");
    }
}

#[test]
fn an_empty_file_becomes_a_store_and_what_is_no_file_stays() {
    let (folder, path) = place();
    std::fs::write(&path, b"").unwrap();
    put(&mut Store::open(&path, KIND, options()).unwrap(), 1).unwrap();
    assert_eq!(is_whole(&mut open(&path), 1), Ok(true));
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    assert!(Store::open(&below, KIND, options()).is_err());
    assert!(below.is_dir());
}
