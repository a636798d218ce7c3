//! A store is as large as it may be and no larger, and what goes for others is what is worth least.

use crate::common::documents::{collection, draft};
use crate::common::faults::{Faults, FaultyMedium};
use crate::common::{KIND, get, is_whole, key, options, place, put, put_as};
use agentos_hal::{ColdStore, Entry, StoreError};
use agentos_store::{Bound, Collection, Options, Store};

/// A slice takes one piece: 8 pages of 4 KiB, and what the file adds.
const WHOLE: Entry = Entry { pages: 8, tokens: 64, exact: true };
const MOST: u64 = 2 << 20;

fn small() -> Options {
    Options { max_bytes: Bound::Said(MOST), batch_bytes: 128 << 10, ..options() }
}

fn there(store: &Store, numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers.filter(|&number| store.find(&key(number)).is_some()).collect()
}

#[test]
fn a_store_stays_within_its_bytes_and_keeps_what_is_used() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, small()).unwrap();
    for number in 0..300 {
        assert_eq!(put_as(&mut store, number, WHOLE), Ok(()), "slice {number}");
        assert!(store.stats().bytes <= MOST);
        // Slice 0 is read now and then, slice 1 draws attention, and nobody cares for the rest.
        if number % 8 == 7 {
            assert_eq!(get(&mut store, 0, 7), Ok(crate::common::image(0, 7)), "after slice {number}");
        }
        store.weigh(&key(1), 1e6);
    }
    let stats = store.stats();
    assert!(stats.evicted > 200 && stats.bytes > MOST / 2, "{stats:?}");
    let kept = there(&store, 0..300);
    assert_eq!(kept[..2], [0, 1]);
    assert!(kept.contains(&299) && !kept.contains(&2));
    for &number in &kept {
        assert_eq!(get(&mut store, number, 3), Ok(crate::common::image(number, 3)));
    }
    drop(store);
    // The file has what the bound says, the tables' own words, and what the last transactions let go.
    #[cfg(unix)]
    {
        let bytes = 512 * std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
        assert!(bytes < MOST + MOST / 2, "{bytes} bytes on the disk");
    }
    let mut store = Store::open(&path, KIND, small()).unwrap();
    assert_eq!(there(&store, 0..300), kept);
    // What was used is known after closing, too.
    for number in 300..340 {
        put_as(&mut store, number, WHOLE).unwrap();
    }
    assert_eq!(there(&store, 0..3), [0, 1]);
}

/// Attention decides between slices that were used as often: the one that was looked at less goes first, though it was
/// used last.
#[test]
fn of_two_slices_used_equally_the_one_attended_to_more_survives() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, small()).unwrap();
    for number in 0..2 {
        put_as(&mut store, number, WHOLE).unwrap();
    }
    for number in [1, 0, 1, 0] {
        assert_eq!(get(&mut store, number, 7), Ok(crate::common::image(number, 7)));
    }
    store.weigh(&key(0), 0.1);
    store.weigh(&key(1), 6.0);
    // What a slice drew is known after closing, too.
    drop(store);
    let mut store = Store::open(&path, KIND, small()).unwrap();
    let mut next = 10;
    while there(&store, 0..2).len() == 2 {
        assert!(next < 1000, "neither goes");
        put_as(&mut store, next, WHOLE).unwrap();
        next += 1;
    }
    assert_eq!(there(&store, 0..2), [1]);
    // What it drew before counts half of what it draws now: in the end it goes as well.
    for _ in 0..12 {
        store.weigh(&key(1), 0.0);
    }
    while !there(&store, 0..2).is_empty() {
        assert!(next < 2000, "it stays for ever");
        put_as(&mut store, next, WHOLE).unwrap();
        next += 1;
    }
}

/// Somebody who opens a store and says nothing of its size takes nothing away, and nobody takes away what a pinned
/// collection names.
#[test]
fn whoever_only_opens_a_store_takes_nothing_away() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, small()).unwrap();
    for number in 0..20 {
        put_as(&mut store, number, WHOLE).unwrap();
    }
    store.create_collection(&Collection { pinned: true, ..collection("pinned") }).unwrap();
    store.enter("pinned", draft("x", &(0..16).collect::<Vec<_>>())).unwrap();
    drop(store);
    // As usual, this one would be smaller.
    let usual = Options { max_bytes: Bound::Usual(16 << 10), ..small() };
    for _ in 0..2 {
        let mut store = Store::open(&path, KIND, usual).unwrap();
        assert_eq!(get(&mut store, 3, 0), Ok(crate::common::image(3, 0)));
        drop(store);
    }
    let mut store = Store::open(&path, KIND, usual).unwrap();
    assert_eq!(there(&store, 0..20).len(), 20);
    // What is new takes the place of what nobody names.
    put_as(&mut store, 30, WHOLE).unwrap();
    assert_eq!(there(&store, 0..16).len(), 16);
    assert!(store.find(&key(30)).is_some() && store.stats().evicted > 0);
    drop(store);
    let said = Options { max_bytes: Bound::Said(256 << 10), ..small() };
    let mut store = Store::open(&path, KIND, said).unwrap();
    let error = put_as(&mut store, 40, WHOLE).unwrap_err();
    assert!(matches!(error, StoreError::Held { needed: 65_536, held: 1_048_576, most: 196_608 }), "{error}");
    drop(store);
    let mut store = Store::open(&path, KIND, said).unwrap();
    assert_eq!(there(&store, 0..50), (0..16).collect::<Vec<_>>());
    for number in 0..16 {
        assert_eq!(get(&mut store, number, 5), Ok(crate::common::image(number, 5)));
    }
    // A removed document's slices are nobody's.
    store.remove_document("pinned", "x").unwrap();
    assert_eq!(put_as(&mut store, 40, WHOLE), Ok(()));
}

#[test]
fn slices_of_pinned_collections_stay_until_they_are_unpinned() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, small()).unwrap();
    for number in 0..4 {
        put_as(&mut store, number, WHOLE).unwrap();
    }
    store.create_collection(&collection("pinned")).unwrap();
    store.enter("pinned", draft("x", &[0, 1, 2, 3])).unwrap();
    // Pinned after it was entered, and after the store was closed.
    store.create_collection(&Collection { pinned: true, ..collection("pinned") }).unwrap();
    drop(store);
    let mut store = Store::open(&path, KIND, small()).unwrap();
    for number in 10..200 {
        put_as(&mut store, number, WHOLE).unwrap();
        store.weigh(&key(number), 100.0);
    }
    assert_eq!(there(&store, 0..4), [0, 1, 2, 3]);
    store.create_collection(&collection("pinned")).unwrap();
    for number in 200..300 {
        put_as(&mut store, number, WHOLE).unwrap();
        store.weigh(&key(number), 100.0);
    }
    assert_eq!(there(&store, 0..4), [0u64; 0]);
    // The document is still known: its tokens can be computed again.
    assert_eq!(store.documents("pinned").unwrap().len(), 1);
}

#[test]
fn a_slice_larger_than_the_store_is_refused_with_what_would_fit() {
    let (_folder, path) = place();
    let options = Options { max_bytes: Bound::Said(16 << 10), ..small() };
    let mut store = Store::open(&path, KIND, options).unwrap();
    let error = put_as(&mut store, 1, WHOLE).unwrap_err();
    assert!(matches!(error, StoreError::Full { needed: 65_536, available: 12_288 }), "{error}");
    let page = Entry { pages: 1, tokens: 8, exact: true };
    assert_eq!(put_as(&mut store, 2, page), Ok(()));
}

#[test]
fn a_full_disk_loses_nothing_and_slices_still_give_way_to_others() {
    let (_folder, path) = place();
    let faults = Faults::new(1, 0);
    let medium = || Box::new(FaultyMedium::new(&path, &faults));
    let mut store = Store::open_on(medium(), KIND, options()).unwrap();
    for number in 0..20 {
        put(&mut store, number).unwrap();
    }
    let length = std::fs::metadata(&path).unwrap().len();
    faults.most_bytes.store(length, std::sync::atomic::Ordering::SeqCst);
    let mut durable: Vec<u64> = (0..20).collect();
    let mut refused = 0;
    for number in 20..120 {
        match put(&mut store, number) {
            Ok(()) => durable.push(number),
            Err(StoreError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        // Nothing that is found is wrong, or half there.
        for number in [number, number / 2, 3] {
            if store.find(&key(number)).is_some() {
                assert_eq!(is_whole(&mut store, number), Ok(true));
            }
        }
    }
    assert!(store.stats().reopened > 0);
    assert!(durable.len() > 60, "{} of 100 came in, {refused} did not", durable.len() - 20);
    // With room again, all is as before.
    faults.most_bytes.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
    let there = there(&store, 0..120);
    for number in 200..240 {
        put(&mut store, number).unwrap();
    }
    drop(store);
    let mut store = Store::open_on(medium(), KIND, options()).unwrap();
    for number in there.into_iter().chain(200..240) {
        assert_eq!(is_whole(&mut store, number), Ok(true), "slice {number}");
    }
}
