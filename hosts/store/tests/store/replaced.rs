//! A slice that was read before it was deleted or put again: what is served is what is there now.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::faults::{Faults, FaultyMedium};
use crate::common::{KIND, entry, get, image, is_whole, key, options, place, put, put_as, wait};
use agentos_hal::{ColdStore, Entry, StoreError};
use agentos_store::{Encoding, Options, Store};

/// Puts slice 1 with the page images of another.
fn put_as_if(store: &mut Store, other: u64) {
    for page in 0..entry(1).pages {
        let image = image(other, page);
        wait(|| store.put(&key(1), entry(1), page, &image)).unwrap();
    }
    store.flush().unwrap();
}

/// Whether slice 1 comes back with the page images of another.
fn is_as_if(store: &mut Store, other: u64) -> Result<bool, StoreError> {
    for page in 0..entry(1).pages {
        if get(store, 1, page)? != image(other, page) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[test]
fn a_slice_that_was_fetched_packed_comes_back_exact_when_it_was_put_so() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, Options { encoding: Encoding::K4V4, ..options() }).unwrap();
    put_as(&mut store, 1, Entry { exact: false, ..entry(1) }).unwrap();
    assert_eq!(is_whole(&mut store, 1), Ok(false));
    put_as(&mut store, 1, entry(1)).unwrap();
    assert_eq!(is_whole(&mut store, 1), Ok(true));
}

#[test]
fn what_was_read_ahead_of_a_deleted_slice_is_not_served_for_a_new_one() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    put(&mut store, 1).unwrap();
    store.prefetch(&key(1));
    while store.stats().read == 0 {
        std::thread::yield_now();
    }
    store.delete(&key(1)).unwrap();
    put_as_if(&mut store, 2);
    assert_eq!(is_as_if(&mut store, 2), Ok(true));
}

#[test]
fn that_a_slice_was_missing_says_nothing_of_a_new_one() {
    let (_folder, path) = place();
    let faults = Faults::new(0, 0);
    let open = || Store::open_on(Box::new(FaultyMedium::new(&path, &faults)), KIND, options()).unwrap();
    let mut store = open();
    put(&mut store, 1).unwrap();
    put(&mut store, 3).unwrap();
    drop(store);
    let mut store = open();
    // While slice 3 is read, slice 1 is deleted, which is read next.
    faults.held.store(true, Ordering::SeqCst);
    store.prefetch(&key(3));
    store.prefetch(&key(1));
    store.delete(&key(1)).unwrap();
    store.flush().unwrap();
    faults.held.store(false, Ordering::SeqCst);
    while store.stats().read == 0 {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(100));
    put_as_if(&mut store, 2);
    assert_eq!(is_as_if(&mut store, 2), Ok(true));
    assert_eq!(store.find(&key(1)), Some(entry(1)));
    drop(store);
    assert_eq!(is_as_if(&mut open(), 2), Ok(true));
}
