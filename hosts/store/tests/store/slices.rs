//! Slices go in and come out, also after the store was closed; and stores that do not fit are refused.

use std::task::Poll;

use crate::common::{
    KIND, PACKING, entry, get, hand_over, image, is_whole, key, options, place, put, put_as, wait,
};
use agentos_hal::{ColdStore, Entry, StoreError};
use agentos_kernel::memory::pack::Packing;
use agentos_store::{Encoding, Kind, OpenError, Options, Store};

#[test]
fn slices_come_back_bit_for_bit_also_after_closing() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    for number in 0..40 {
        assert_eq!(store.find(&key(number)), None);
        assert_eq!(put(&mut store, number), Ok(()));
        assert_eq!(store.find(&key(number)), Some(entry(number)));
    }
    for number in 0..40 {
        assert_eq!(is_whole(&mut store, number), Ok(true));
    }
    drop(store);
    let mut store = Store::open(&path, KIND, options()).unwrap();
    assert_eq!(store.stats().slices, 40);
    for number in (0..40).rev() {
        assert_eq!(is_whole(&mut store, number), Ok(true), "slice {number}");
    }
    assert_eq!(get(&mut store, 41, 0), Err(StoreError::Missing));
    assert_eq!(get(&mut store, 1, entry(1).pages), Err(StoreError::Missing));
}

#[test]
fn what_is_told_ahead_is_read_before_it_is_fetched_and_no_more_than_fits() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    for number in 0..20 {
        put(&mut store, number).unwrap();
    }
    // Of a slice that is not there nothing is read, and of one that is told twice nothing more.
    for number in [30, 0, 1, 0, 1] {
        store.prefetch(&key(number));
    }
    while store.stats().read < 2 {
        std::thread::yield_now();
    }
    for number in 0..2 {
        for page in 0..entry(number).pages {
            let mut found = vec![0; PACKING.image_bytes()];
            // The thread that reads counts before it answers.
            while store.get(&key(number), page, &mut found).is_pending() {}
            assert_eq!(found, image(number, page));
        }
    }
    assert_eq!(store.stats().read, 2);
    // However much is told, not more is kept than what can be fetched page by page.
    for _ in 0..50 {
        (0..20).for_each(|number| store.prefetch(&key(number)));
        std::thread::yield_now();
    }
    let told = store.stats().read;
    assert!(told <= 2 + 4, "{told} slices were read");
    for number in (0..20).rev() {
        assert_eq!(is_whole(&mut store, number), Ok(true), "slice {number}");
    }
}

#[test]
fn what_is_deleted_is_gone_and_stays_gone() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    put(&mut store, 1).unwrap();
    put(&mut store, 2).unwrap();
    store.delete(&key(1)).unwrap();
    store.delete(&key(3)).unwrap();
    assert_eq!(store.find(&key(1)), None);
    assert_eq!(get(&mut store, 1, 0), Err(StoreError::Missing));
    // One that is deleted on its way never shows up.
    hand_over(&mut store, 4, entry(4)).unwrap();
    store.delete(&key(4)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.find(&key(4)), None);
    // One that is handed over again is there again.
    hand_over(&mut store, 4, entry(4)).unwrap();
    store.delete(&key(4)).unwrap();
    hand_over(&mut store, 4, entry(4)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.find(&key(4)), Some(entry(4)));
    drop(store);
    let mut store = Store::open(&path, KIND, options()).unwrap();
    assert_eq!((store.find(&key(1)), store.find(&key(3))), (None, None));
    assert_eq!((is_whole(&mut store, 2), is_whole(&mut store, 4)), (Ok(true), Ok(true)));
}

#[test]
fn a_slice_is_there_when_it_is_whole_and_durable_and_not_before() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    let entry = Entry { pages: 3, tokens: 20, exact: true };
    let page = |page| image(9, page);
    assert_eq!(store.put(&key(9), entry, 0, &page(0)), Poll::Ready(Ok(())));
    assert_eq!(store.put(&key(9), entry, 1, &page(1)), Poll::Ready(Ok(())));
    // Page 0 of another drops it.
    put(&mut store, 10).unwrap();
    assert_eq!(store.put(&key(9), entry, 2, &page(2)), Poll::Ready(Err(StoreError::Missing)));
    assert_eq!(store.find(&key(9)), None);
    // Out of order, of another sort, of other sizes.
    assert_eq!(store.put(&key(9), entry, 0, &page(0)), Poll::Ready(Ok(())));
    assert_eq!(store.put(&key(9), entry, 2, &page(2)), Poll::Ready(Err(StoreError::Missing)));
    assert_eq!(store.put(&key(9), entry, 3, &page(2)), Poll::Ready(Err(StoreError::Missing)));
    let found = page(0).len() - 1;
    let length = StoreError::Length { found, expected: PACKING.image_bytes() };
    assert_eq!(store.put(&key(9), entry, 0, &page(0)[1..]), Poll::Ready(Err(length)));
    assert_eq!(store.get(&key(10), 0, &mut vec![0; found]), Poll::Ready(Err(length)));
    let senseless = Entry { tokens: 7, ..entry };
    assert_eq!(store.put(&key(9), senseless, 0, &page(0)), Poll::Ready(Err(StoreError::Missing)));
    drop(store);
    let store = Store::open(&path, KIND, options()).unwrap();
    assert_eq!((store.find(&key(9)), store.stats().slices), (None, 1));
}

#[test]
fn what_is_there_is_not_written_again() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    put(&mut store, 5).unwrap();
    let before = store.stats();
    put(&mut store, 5).unwrap();
    let after = store.stats();
    assert_eq!((after.written, after.duplicates), (before.written, before.duplicates + 1));
}

#[test]
fn packed_slices_say_so_and_are_near() {
    for encoding in [Encoding::Int8, Encoding::K4V4] {
        let (_folder, path) = place();
        let options = Options { encoding, ..options() };
        let mut store = Store::open(&path, KIND, options).unwrap();
        let packed = Entry { pages: 8, tokens: 64, exact: false };
        put_as(&mut store, 1, packed).unwrap();
        put_as(&mut store, 2, Entry { exact: true, ..packed }).unwrap();
        assert_eq!(store.find(&key(1)), Some(packed));
        assert_eq!(store.find(&key(2)).map(|entry| entry.exact), Some(true));
        // What is there as it was is never replaced by less.
        put_as(&mut store, 2, packed).unwrap();
        assert_eq!(get(&mut store, 2, 7), Ok(image(2, 7)));
        // And what is packed gives way to what is not.
        put_as(&mut store, 1, Entry { exact: true, ..packed }).unwrap();
        assert_eq!(get(&mut store, 1, 7), Ok(image(1, 7)));
        put_as(&mut store, 3, packed).unwrap();
        // Elements lie in [-4, 4]: half a step is 1/64 of that, or 1/30 of its width.
        let bound = if encoding == Encoding::Int8 { 0.02 } else { 0.28 };
        for page in 0..8 {
            let (before, after) = (image(3, page), get(&mut store, 3, page).unwrap());
            for element in 0..before.len() / 2 {
                let moved = PACKING.kv.read(&before, element) - PACKING.kv.read(&after, element);
                assert!(moved.abs() < bound, "{encoding:?} moves element {element} by {moved}");
            }
        }
        drop(store);
        let store = Store::open(&path, KIND, options).unwrap();
        assert_eq!(store.find(&key(3)), Some(packed));
    }
}

#[test]
fn a_store_for_another_model_is_refused_and_not_touched() {
    let (_folder, path) = place();
    put(&mut Store::open(&path, KIND, options()).unwrap(), 1).unwrap();
    let other = Kind { identity: [8; 32], ..KIND };
    let error = Store::open(&path, other, options()).err().unwrap();
    assert!(
        matches!(error, OpenError::Identity { found, expected } if (found, expected) == ([7; 32], [8; 32]))
    );
    let wide = Kind { packing: Packing { head_dim: 64, ..PACKING }, ..KIND };
    let error = Store::open(&path, wide, options()).err().unwrap();
    assert!(matches!(error, OpenError::Layout { found: 4096, expected: 8192 }), "{error}");
    assert!(is_whole(&mut Store::open(&path, KIND, options()).unwrap(), 1).unwrap());
}

#[test]
fn what_is_no_store_is_refused_and_not_touched() {
    let (_folder, path) = place();
    for bytes in [b"GGUF and more".as_slice(), b"x", &[0; 100_000]] {
        std::fs::write(&path, bytes).unwrap();
        let error = Store::open(&path, KIND, options()).err().unwrap();
        assert!(matches!(error, OpenError::Foreign), "{error}");
        let error = Store::open_read_only(&path, KIND).err().unwrap();
        assert!(matches!(error, OpenError::Foreign), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    // Another program's database.
    std::fs::remove_file(&path).unwrap();
    const TABLE: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("numbers");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TABLE).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(Store::open(&path, KIND, options()), Err(OpenError::Foreign)));
    // Places where there can be no store.
    let missing = path.join("below/a/file");
    assert!(matches!(Store::open(&missing, KIND, options()), Err(OpenError::Io(_))));
    assert!(matches!(Store::open_read_only(&missing, KIND), Err(OpenError::Io(_))));
}

#[test]
fn one_writes_and_others_read() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    put(&mut store, 1).unwrap();
    let error = Store::open(&path, KIND, options()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { by } if by == Some(std::process::id())), "{error}");
    let mut reader = Store::open_read_only(&path, KIND).unwrap();
    assert_eq!(is_whole(&mut reader, 1), Ok(true));
    assert_eq!(reader.put(&key(2), entry(2), 0, &image(2, 0)), Poll::Ready(Err(StoreError::ReadOnly)));
    assert_eq!(reader.delete(&key(1)), Err(StoreError::ReadOnly));
    assert_eq!(reader.flush(), Err(StoreError::ReadOnly));
    // What goes meanwhile is missing, not wrong.
    store.delete(&key(1)).unwrap();
    for number in 2..30 {
        put(&mut store, number).unwrap();
    }
    let mut reader_again = Store::open_read_only(&path, KIND).unwrap();
    assert_eq!(is_whole(&mut reader_again, 29), Ok(true));
    assert_eq!(get(&mut reader_again, 1, 0), Err(StoreError::Missing));
}

#[test]
fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let (_folder, path) = place();
    let options = Options { queue_bytes: 3 * 8 * PACKING.image_bytes(), ..options() };
    let mut store = Store::open(&path, KIND, options).unwrap();
    let mut waited = 0;
    for number in 0..200 {
        for page in 0..entry(number).pages {
            let image = image(number, page);
            wait(|| {
                let answer = store.put(&key(number), entry(number), page, &image);
                waited += u32::from(answer.is_pending());
                answer
            })
            .unwrap();
        }
    }
    store.flush().unwrap();
    assert!(waited > 0);
    let told: Vec<_> = std::iter::from_fn(|| store.poll()).collect();
    assert_eq!(told.len(), 200);
    assert!(told.iter().all(|(_, result)| result.is_ok()));
    assert!((0..200).all(|number| is_whole(&mut store, number) == Ok(true)));
}
