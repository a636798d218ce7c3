//! A change of collections that is told as failed and has happened: it counts once.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::common::documents::{collection, draft};
use crate::common::faults::{Faults, FaultyMedium};
use crate::common::{KIND, options, place, put};
use agentos_store::Store;
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};

/// Syncs of which each is told as failed once: more than a change has.
const SYNCS: u64 = 6;

/// How many passages, schemas and references there are in a file.
fn rows(path: &Path) -> [u64; 3] {
    let passages: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("passages");
    let schemas: TableDefinition<'_, &[u8; 13], &[u8]> = TableDefinition::new("schemas");
    let references: TableDefinition<'_, &[u8; 44], u32> = TableDefinition::new("references");
    let file = redb::Database::open(path).unwrap();
    let transaction = file.begin_read().unwrap();
    [
        transaction.open_table(passages).unwrap().len().unwrap(),
        transaction.open_table(schemas).unwrap().len().unwrap(),
        transaction.open_table(references).unwrap().len().unwrap(),
    ]
}

#[test]
fn what_happened_though_it_was_told_as_failed_is_not_done_again() {
    let mut failed = 0;
    for sync in 1..=SYNCS {
        let (_folder, path) = place();
        let faults = Faults::new(0, 0);
        let mut store = Store::open_on(Box::new(FaultyMedium::new(&path, &faults)), KIND, options()).unwrap();
        store.create_collection(&collection("a")).unwrap();
        for number in 0..4 {
            put(&mut store, number).unwrap();
        }
        let fail = || faults.false_sync.store(sync, Ordering::SeqCst);
        fail();
        let aside = draft("x", &[0, 1]).passages;
        store.put_aside("a", "x", aside.clone()).unwrap().wait().unwrap();
        fail();
        assert_eq!(store.aside("a", "x").unwrap(), aside);
        assert!(!store.enter("a", draft("x", &[0, 1])).unwrap().replaced, "with sync {sync}");
        fail();
        assert!(!store.enter("a", draft("y", &[1, 2])).unwrap().replaced, "with sync {sync}");
        fail();
        let replaced = store.enter("a", draft("y", &[2, 3])).unwrap();
        assert!(replaced.replaced && replaced.slices_removed == 0, "with sync {sync}: {replaced:?}");
        failed += u64::from(faults.false_sync.swap(0, Ordering::SeqCst) == 0);
        assert_eq!(store.documents("a").unwrap().len(), 2);
        drop(store);
        assert_eq!(rows(&path), [4, 4, 4], "with sync {sync}");
    }
    assert!(failed >= 2, "{failed} changes were told as failed");
}
