//! The stores for tests keep the promises of `ColdStore`, and each fault happens and is counted.

use std::task::Poll;

use agentos_fault::{FaultStore, RamStore, StoreInjected, StoreOdds, VACANT_RAM_SLOT};
use agentos_hal::{ColdStore, Entry, NoStore, StoreError, StoreKey};

const IMAGE: usize = 16;

fn key(number: u8) -> StoreKey {
    StoreKey([number; 32])
}

fn entry(pages: u8) -> Entry {
    Entry { pages, tokens: 8 * pages, exact: true }
}

fn image(number: u8, page: u8) -> [u8; IMAGE] {
    [number ^ page << 5; IMAGE]
}

fn with_store(slots: usize, act: impl FnOnce(RamStore<'_>)) {
    let mut slots = vec![VACANT_RAM_SLOT; slots];
    let mut images = vec![0; slots.len() * 8 * IMAGE];
    act(RamStore::new(&mut slots, &mut images, IMAGE));
}

/// Hands over a whole slice, page by page, however often a page is pending or refused as busy.
fn put(store: &mut dyn ColdStore, number: u8, pages: u8) -> Result<(), StoreError> {
    for page in 0..pages {
        loop {
            match store.put(&key(number), entry(pages), page, &image(number, page)) {
                Poll::Pending | Poll::Ready(Err(StoreError::Busy)) => (),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) => break,
            }
        }
    }
    Ok(())
}

fn get(store: &mut dyn ColdStore, number: u8, page: u8) -> Result<[u8; IMAGE], StoreError> {
    let mut found = [0; IMAGE];
    loop {
        match store.get(&key(number), page, &mut found) {
            Poll::Pending | Poll::Ready(Err(StoreError::Busy)) => (),
            Poll::Ready(result) => return result.map(|()| found),
        }
    }
}

#[test]
fn a_slice_is_there_once_it_is_told_to_be_durable() {
    with_store(2, |mut store| {
        put(&mut store, 1, 3).unwrap();
        assert_eq!((store.find(&key(1)), get(&mut store, 1, 0)), (None, Err(StoreError::Missing)));
        assert_eq!(store.poll(), Some((key(1), Ok(()))));
        assert_eq!(store.poll(), None);
        assert_eq!(store.find(&key(1)), Some(entry(3)));
        for page in 0..3 {
            assert_eq!(get(&mut store, 1, page), Ok(image(1, page)));
        }
        assert_eq!(get(&mut store, 1, 3), Err(StoreError::Missing));
        assert_eq!(store.delete(&key(1)), Ok(()));
        assert_eq!((store.find(&key(1)), store.is_empty()), (None, true));
    });
}

#[test]
fn a_crash_takes_what_was_not_told() {
    with_store(3, |mut store| {
        put(&mut store, 1, 1).unwrap();
        assert!(store.poll().is_some());
        put(&mut store, 2, 2).unwrap();
        assert_eq!(store.put(&key(3), entry(2), 0, &image(3, 0)), Poll::Ready(Ok(())));
        store.crash();
        assert_eq!([1, 2, 3].map(|number| store.find(&key(number)).is_some()), [true, false, false]);
        assert_eq!(store.poll(), None);
        assert_eq!(store.put(&key(3), entry(2), 1, &image(3, 1)), Poll::Ready(Err(StoreError::Missing)));
    });
}

#[test]
fn pages_come_in_order_and_another_slice_drops_what_is_not_whole() {
    with_store(3, |mut store| {
        assert_eq!(store.put(&key(1), entry(2), 1, &image(1, 1)), Poll::Ready(Err(StoreError::Missing)));
        assert_eq!(store.put(&key(1), entry(2), 0, &image(1, 0)), Poll::Ready(Ok(())));
        put(&mut store, 2, 1).unwrap();
        assert_eq!(store.put(&key(1), entry(2), 1, &image(1, 1)), Poll::Ready(Err(StoreError::Missing)));
        assert_eq!(store.poll(), Some((key(2), Ok(()))));
        let short = store.put(&key(1), entry(1), 0, &[0; 3]);
        assert_eq!(short, Poll::Ready(Err(StoreError::Length { found: 3, expected: IMAGE })));
    });
}

#[test]
fn the_oldest_goes_for_a_new_one_and_nothing_that_is_on_its_way() {
    with_store(2, |mut store| {
        for number in 1..=3 {
            put(&mut store, number, 2).unwrap();
            assert!(store.poll().is_some());
        }
        assert_eq!([1, 2, 3].map(|number| store.find(&key(number)).is_some()), [false, true, true]);
        assert_eq!((store.len(), store.evicted()), (2, 1));
        put(&mut store, 4, 1).unwrap();
        put(&mut store, 5, 1).unwrap();
        assert!(matches!(put(&mut store, 6, 1), Err(StoreError::Full { .. })));
    });
}

#[test]
fn a_host_without_a_store_has_nothing() {
    assert_eq!(NoStore.find(&key(1)), None);
    assert_eq!(put(&mut NoStore, 1, 1), Err(StoreError::Gone));
    assert_eq!(get(&mut NoStore, 1, 0), Err(StoreError::Gone));
    assert_eq!((NoStore.delete(&key(1)), NoStore.poll()), (Err(StoreError::Gone), None));
}

#[test]
fn without_odds_the_wrapper_is_not_there() {
    with_store(4, |store| {
        let mut store = FaultStore::new(store, StoreOdds::NONE, 1, 3);
        for number in 0..4 {
            put(&mut store, number, 4).unwrap();
            assert_eq!(store.poll(), Some((key(number), Ok(()))));
            assert_eq!(get(&mut store, number, 3), Ok(image(number, 3)));
        }
        assert_eq!(store.injected(), StoreInjected::default());
    });
}

/// Whatever happens, what is told to be durable comes back as it was, or with an error.
#[test]
fn what_is_told_is_true_under_any_fault() {
    let odds = StoreOdds { delay: 300, busy: 100, io: 60, corrupt: 60, full: 60, gone: 0 };
    let mut seen = StoreInjected::default();
    for seed in 0..40 {
        with_store(4, |store| {
            let mut store = FaultStore::new(store, odds, seed, 3);
            for number in 0..30 {
                let result = put(&mut store, number, 1 + number % 4);
                let told = store.poll();
                match result {
                    Ok(()) => assert_eq!(told.map(|(key, _)| key), Some(key(number))),
                    Err(_) => assert_eq!(told, None),
                }
                let durable = told.is_some_and(|(_, result)| result.is_ok());
                assert_eq!(store.find(&key(number)).is_some(), durable);
                let found = get(&mut store, number, 0);
                assert!(found.is_err() || durable && found == Ok(image(number, 0)), "{found:?}");
            }
            let StoreInjected { pending, busy, io, corrupt, full, .. } = store.injected();
            seen.pending += pending;
            (seen.busy, seen.io) = (seen.busy + busy, seen.io + io);
            (seen.corrupt, seen.full) = (seen.corrupt + corrupt, seen.full + full);
        });
    }
    let StoreInjected { pending, busy, io, corrupt, full, .. } = seen;
    assert!([pending, busy, io, corrupt, full].iter().all(|&count| count > 20), "{seen:?}");
}

#[test]
fn a_store_that_is_gone_stays_gone() {
    with_store(2, |mut store| {
        put(&mut store, 1, 1).unwrap();
        assert!(store.poll().is_some());
        let mut store = FaultStore::new(store, StoreOdds { gone: 1000, ..StoreOdds::NONE }, 7, 0);
        assert!(store.find(&key(1)).is_some());
        assert_eq!(get(&mut store, 1, 0), Err(StoreError::Gone));
        assert_eq!((store.find(&key(1)), store.poll()), (None, None));
        assert_eq!(
            (put(&mut store, 2, 1), store.delete(&key(1))),
            (Err(StoreError::Gone), Err(StoreError::Gone))
        );
        assert!(store.into_inner().find(&key(1)).is_some());
    });
}

#[test]
fn a_call_with_other_arguments_gives_up_the_pending_one() {
    with_store(2, |store| {
        let odds = StoreOdds { delay: 1000, ..StoreOdds::NONE };
        let mut store = FaultStore::new(store, odds, 3, 1);
        assert!(store.put(&key(1), entry(1), 0, &image(1, 0)).is_pending());
        assert!(store.put(&key(2), entry(1), 0, &image(2, 0)).is_pending());
        assert_eq!(store.put(&key(2), entry(1), 0, &image(2, 0)), Poll::Ready(Ok(())));
        assert_eq!(store.poll(), Some((key(2), Ok(()))));
        assert_eq!(store.find(&key(1)), None);
    });
}
