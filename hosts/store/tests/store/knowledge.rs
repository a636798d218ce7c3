//! Collections, documents and passages: whole or not at all, again after closing, and gone with all that only
//! they named.

use crate::common::documents::{WIDTHS, collection, draft, schema};
use crate::common::{KIND, key, options, place, put};
use agentos_hal::{ColdStore, StoreError};
use agentos_store::scan::Exact;
use agentos_store::{Collection, KnowledgeError, Modified, PassageId, Store, VectorIndex};

fn with_slices(store: &mut Store, slices: std::ops::Range<u64>) {
    for number in slices {
        put(store, number).unwrap();
    }
}

#[test]
fn what_is_entered_comes_back_also_after_closing() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    with_slices(&mut store, 0..8);
    store.create_collection(&collection("b")).unwrap();
    store.create_collection(&collection("a")).unwrap();
    let entered = store.enter("a", draft("x.txt", &[0, 1, 2, 3])).unwrap();
    assert!(!entered.replaced);
    store.enter("a", draft("w.txt", &[4, 5])).unwrap();
    for mut reopened in [None, Some(())] {
        if reopened.take().is_some() {
            drop(store);
            store = Store::open(&path, KIND, options()).unwrap();
        }
        assert_eq!(store.collections().unwrap(), [collection("a"), collection("b")]);
        assert_eq!(store.collection("c").unwrap(), None);
        let documents = store.documents("a").unwrap();
        assert_eq!(documents.iter().map(|document| &*document.path).collect::<Vec<_>>(), ["w.txt", "x.txt"]);
        let document = store.document("a", "x.txt").unwrap().unwrap();
        assert_eq!(document, documents[1]);
        let wanted = draft("x.txt", &[0, 1, 2, 3]);
        assert_eq!(
            (document.content, document.modified, document.passages),
            (wanted.content, wanted.modified, 2)
        );
        let passages: Vec<_> = wanted.passages.into_iter().map(|(passage, _)| passage).collect();
        assert_eq!(store.passages(document.number).unwrap(), passages);
        let id = PassageId { document: document.number, passage: 1 };
        assert_eq!(store.passage(id).unwrap().as_ref(), Some(&passages[1]));
        assert_eq!(store.passage(PassageId { passage: 2, ..id }).unwrap(), None);
        assert_eq!(store.documents("b").unwrap(), []);
    }
    let schemas = store.schemas("a").unwrap();
    assert_eq!(
        (schemas.places.len(), schemas.mean_keys.width(), schemas.hidden.width()),
        (6, WIDTHS.0, WIDTHS.1)
    );
    // A slice is found by its own schema, and its place leads to its key.
    let index = Exact::new(schemas.mean_keys);
    for number in 0..6u64 {
        let best = index.top(&schema(number).mean_key, 1)[0];
        let place = schemas.places[best.row as usize];
        let passage = store.passage(place.passage).unwrap().unwrap();
        assert_eq!(place.key(&passage), Some(key(number)));
    }
}

#[test]
fn a_document_takes_the_place_of_an_older_one_and_only_orphans_go() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    with_slices(&mut store, 0..6);
    store.create_collection(&collection("a")).unwrap();
    store.create_collection(&collection("b")).unwrap();
    let old = store.enter("a", draft("x", &[0, 1, 2])).unwrap();
    store.enter("b", draft("x", &[2, 3])).unwrap();
    let new = store.enter("a", draft("x", &[1, 4])).unwrap();
    assert!(new.replaced && new.document > old.document);
    // Slice 0 is nobody's now; 1 is still its own, 2 is the other collection's.
    assert_eq!(new.slices_removed, 1);
    let there =
        |store: &Store| (0..6).filter(|&number| store.find(&key(number)).is_some()).collect::<Vec<_>>();
    assert_eq!(there(&store), [1, 2, 3, 4, 5]);
    assert_eq!(store.passages(old.document).unwrap(), []);
    assert_eq!(store.remove_document("a", "none").unwrap().documents, 0);
    let removed = store.remove_document("a", "x").unwrap();
    assert_eq!((removed.documents, removed.slices), (1, 2));
    assert_eq!(store.documents("a").unwrap(), []);
    assert_eq!(there(&store), [2, 3, 5]);
    let removed = store.remove_collection("b").unwrap();
    assert_eq!((removed.documents, removed.slices), (1, 2));
    assert_eq!(there(&store), [5]);
    let gone = KnowledgeError::NoCollection { name: "b".to_owned() };
    assert_eq!(store.documents("b"), Err(gone));
    drop(store);
    let store = Store::open(&path, KIND, options()).unwrap();
    assert_eq!(there(&store), [5]);
    assert_eq!(store.collections().unwrap(), [collection("a")]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    with_slices(&mut store, 0..4);
    let unknown = KnowledgeError::NoCollection { name: "a".to_owned() };
    assert_eq!(store.enter("a", draft("x", &[0])).unwrap_err(), unknown);
    store.create_collection(&collection("a")).unwrap();
    store.enter("a", draft("x", &[0, 1])).unwrap();
    let before = store.documents("a").unwrap();

    let missing = store.enter("a", draft("x", &[0, 9])).unwrap_err();
    assert_eq!(missing, KnowledgeError::NoSlice { key: key(9), passage: 1 });
    let mut few = draft("y", &[0, 1]);
    few.passages[1].1.clear();
    let error = store.enter("a", few).unwrap_err();
    assert_eq!(error, KnowledgeError::Schemas { passage: 1, found: 0, expected: 1 });
    let mut narrow = draft("y", &[0, 1]);
    narrow.passages[0].1[0].hidden.pop();
    let error = store.enter("a", narrow).unwrap_err();
    assert_eq!(error, KnowledgeError::Schemas { passage: 0, found: WIDTHS.1 - 1, expected: WIDTHS.1 });
    let error = store.enter("a", draft(&"y".repeat(5000), &[0])).unwrap_err();
    assert!(matches!(error, KnowledgeError::TooLong { found: 5000, most: 4096, .. }), "{error}");
    let error = store.create_collection(&Collection { prefix: [4; 32], ..collection("a") }).unwrap_err();
    assert_eq!(error, KnowledgeError::Prefix { name: "a".to_owned() });
    assert_eq!(store.documents("a").unwrap(), before);
    let reader = Store::open_read_only(&path, KIND).unwrap();
    assert_eq!(reader.documents("a").unwrap(), before);
    assert_eq!(reader.enter("a", draft("x", &[0])), Err(StoreError::ReadOnly.into()));
}

#[test]
fn a_file_that_only_looks_newer_is_noted() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    with_slices(&mut store, 0..2);
    store.create_collection(&collection("a")).unwrap();
    store.enter("a", draft("x", &[0, 1])).unwrap();
    let modified = Modified { bytes: 2, at_ns: 99 };
    store.set_modified("a", "x", modified).unwrap();
    let document = store.document("a", "x").unwrap().unwrap();
    assert_eq!((document.modified, document.passages), (modified, 2));
    assert_eq!(store.set_modified("a", "y", modified), Err(StoreError::Missing.into()));
}

/// What is put aside for a document is listed nowhere, stays over a crash, and goes with the document.
#[test]
fn passages_are_put_aside_until_their_document_is_entered_or_removed() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    store.create_collection(&collection("island")).unwrap();
    for number in 0..8 {
        put(&mut store, number).unwrap();
    }
    let (first, second) = (draft("log", &[0, 1, 2, 3]).passages, draft("log", &[4, 5, 6, 7]).passages);
    store.put_aside("island", "log", first.clone()).unwrap().wait().unwrap();
    store.put_aside("island", "other", first.clone()).unwrap().wait().unwrap();
    // Nobody waits for this one: it is durable all the same when the store is closed.
    drop(store.put_aside("island", "log", second.clone()).unwrap());
    drop(store);
    let store = Store::open(&path, KIND, options()).unwrap();
    let both = [first.clone(), second].concat();
    assert_eq!(store.aside("island", "log").unwrap(), both);
    assert_eq!(store.paths_aside("island").unwrap(), ["log", "other"]);
    assert_eq!(store.documents("island").unwrap(), []);
    assert!(store.schemas("island").unwrap().places.is_empty());
    assert_eq!(store.aside("island", "nowhere").unwrap(), []);
    assert!(matches!(store.aside("atoll", "log"), Err(KnowledgeError::NoCollection { .. })));
    // Schemas of other lengths than the collection's are refused, once it has some.
    store.enter("island", draft("short", &[0])).unwrap();
    let mut narrow = first.clone();
    narrow[0].1[0].hidden.pop();
    let refused = store.put_aside("island", "log", narrow).unwrap().wait();
    assert!(matches!(refused, Err(KnowledgeError::Schemas { .. })), "{refused:?}");
    assert_eq!(store.aside("island", "log").unwrap(), both);

    store.enter("island", draft("log", &[0, 1, 2, 3, 4, 5, 6, 7])).unwrap();
    assert_eq!(store.paths_aside("island").unwrap(), ["other"]);
    assert_eq!(store.documents("island").unwrap().len(), 2);
    store.remove_document("island", "other").unwrap();
    assert_eq!(store.paths_aside("island").unwrap(), [""; 0]);
    // What was put aside named no slice, so none went with it.
    assert!((0..8).all(|number| store.find(&key(number)).is_some()));
    store.put_aside("island", "log", first.clone()).unwrap().wait().unwrap();
    store.forget_aside("island", "log").unwrap();
    store.forget_aside("island", "log").unwrap();
    assert_eq!(store.aside("island", "log").unwrap(), []);
    store.put_aside("island", "log", first).unwrap().wait().unwrap();
    store.remove_collection("island").unwrap();
    store.create_collection(&collection("island")).unwrap();
    assert_eq!(store.paths_aside("island").unwrap(), [""; 0]);
}

/// A file of an earlier version has nothing aside, and takes what is put there.
#[test]
fn a_file_without_a_table_of_what_is_put_aside_is_as_good() {
    let (_folder, path) = place();
    let mut store = Store::open(&path, KIND, options()).unwrap();
    store.create_collection(&collection("island")).unwrap();
    with_slices(&mut store, 0..4);
    store.enter("island", draft("log", &[0, 1])).unwrap();
    drop(store);
    let file = redb::Database::open(&path).unwrap();
    let transaction = file.begin_write().unwrap();
    let aside: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("aside");
    assert!(transaction.delete_table(aside).unwrap());
    transaction.commit().unwrap();
    drop(file);
    let store = Store::open_read_only(&path, KIND).unwrap();
    assert_eq!(store.aside("island", "log").unwrap(), []);
    assert_eq!(store.paths_aside("island").unwrap(), [""; 0]);
    drop(store);
    let store = Store::open(&path, KIND, options()).unwrap();
    store.enter("island", draft("log", &[2, 3])).unwrap();
    let passages = draft("other", &[0]).passages;
    store.put_aside("island", "other", passages.clone()).unwrap().wait().unwrap();
    assert_eq!(store.aside("island", "other").unwrap(), passages);
    store.remove_document("island", "log").unwrap();
    store.remove_collection("island").unwrap();
}
