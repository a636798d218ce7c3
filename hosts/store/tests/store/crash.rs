//! A program that writes to a store is killed a hundred times: all that it was told as durable is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::Duration;

use crate::common::documents::{collection, draft};
use crate::common::{KIND, Random, entry, hand_over, image, is_whole, key, options, place, put, wait};
use agentos_hal::{ColdStore, Entry, StoreError};
use agentos_store::medium::{Access, Backend, FileMedium, Medium};
use agentos_store::{OpenError, Store};

/// Names the store to the program that is killed.
const STORE: &str = "AGENTOS_STORE_TO_BE_KILLED";
/// The first number of its slices.
const FIRST: &str = "AGENTOS_STORE_FIRST";

/// What the killed program said: slices, and documents, which name the two slices before them.
#[derive(Default)]
struct Told {
    slices: BTreeSet<u64>,
    documents: BTreeSet<u64>,
}

/// Not a test of its own: the program that is killed. It writes for ever, and says what it was told.
#[test]
#[ignore = "run by the test below"]
fn the_program_that_is_killed() {
    let Ok(path) = std::env::var(STORE) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let mut store = Store::open(Path::new(&path), KIND, options()).unwrap();
    store.create_collection(&collection("a")).unwrap();
    let mut output = std::io::stdout();
    writeln!(output, "ready").unwrap();
    for number in first.. {
        hand_over(&mut store, number, entry(number)).unwrap();
        if number % 3 == 0 {
            let (_, result) = wait(|| store.poll().map_or(Poll::Pending, Poll::Ready));
            result.unwrap();
        }
        while let Some((told, result)) = store.poll() {
            result.unwrap();
            let number = (first..=number).find(|&number| key(number) == told).unwrap();
            writeln!(output, "slice {number}").unwrap();
        }
        if number % 7 == 6 && number > first {
            store.flush().unwrap();
            store.enter("a", draft(&number.to_string(), &[number - 1, number])).unwrap();
            writeln!(output, "document {number}").unwrap();
        }
    }
}

/// Runs the program and kills it after a moment; says what it said.
fn killed(path: &Path, first: u64, after: Duration) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_program_that_is_killed", "--ignored", "--nocapture"])
        .env(STORE, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("ready\n") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the program ended before it was killed");
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    let mut told = Told::default();
    // A line that was cut off was not said.
    for line in said.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        match line.trim().split_once(' ') {
            Some(("slice", number)) => drop(told.slices.insert(number.parse().unwrap())),
            Some(("document", number)) => drop(told.documents.insert(number.parse().unwrap())),
            _ => panic!("the program said {line:?}"),
        }
    }
    told
}

#[test]
fn killed_a_hundred_times_it_has_all_that_it_told() {
    let (_folder, path) = place();
    let mut random = Random(6);
    let mut all = Told::default();
    for round in 0..100u64 {
        let first = round * 10_000;
        let told = killed(&path, first, Duration::from_micros(random.below(150_000)));
        all.slices.extend(&told.slices);
        all.documents.extend(&told.documents);
        let mut store = Store::open(&path, KIND, options()).unwrap_or_else(|e| panic!("round {round}: {e}"));
        // What it told in this round, what it may have written without telling, and a share of the rest.
        let sample = all.slices.iter().copied().filter(|number| number % 10 == round % 10);
        for number in told.slices.iter().copied().chain(first..first + 300).chain(sample) {
            match store.find(&key(number)) {
                Some(found) => assert_eq!(found, entry(number)),
                None => assert!(!all.slices.contains(&number), "round {round}: slice {number} is lost"),
            }
            is_right(&mut store, number, entry(number));
        }
        for number in &all.documents {
            let document = store.document("a", &number.to_string()).unwrap();
            let document = document.unwrap_or_else(|| panic!("round {round}: document {number} is lost"));
            let wanted = draft("", &[number - 1, *number]);
            let passages: Vec<_> = wanted.passages.into_iter().map(|(passage, _)| passage).collect();
            assert_eq!(store.passages(document.number).unwrap(), passages);
        }
        assert_eq!(store.stats().corrupt, 0, "round {round}");
    }
    // A slow machine does less before it is killed, but never nothing.
    let (slices, documents) = (all.slices.len(), all.documents.len());
    assert!(slices > 100 && documents > 10, "{slices} slices and {documents} documents were told");
}

/// As a kill leaves it: a copy of the file under a store that still writes.
fn cut_off(path: &Path) -> std::path::PathBuf {
    let mut store = Store::open(path, KIND, options()).unwrap();
    for number in 0..4 {
        put(&mut store, number).unwrap();
    }
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    copy
}

#[test]
fn who_only_reads_puts_in_order_what_a_kill_left() {
    let (_folder, path) = place();
    let copy = cut_off(&path);
    for _ in 0..2 {
        let mut reader = Store::open_read_only(&copy, KIND).unwrap();
        assert!((0..4).all(|number| is_whole(&mut reader, number) == Ok(true)));
        assert_eq!(reader.delete(&key(1)), Err(StoreError::ReadOnly));
    }
    assert_eq!(Store::open(&copy, KIND, options()).unwrap().stats().slices, 4);
}

/// A file that this program may read, and not write.
struct NotMine(FileMedium);

impl Medium for NotMine {
    fn open(&self, access: Access) -> std::io::Result<Backend> {
        match access {
            Access::Read => self.0.open(access),
            Access::Write => Err(std::io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn available(&self) -> Option<u64> {
        None
    }
}

#[test]
fn what_a_kill_left_and_nobody_may_write_is_refused_with_the_reason() {
    let (_folder, path) = place();
    let copy = cut_off(&path);
    let bytes = std::fs::read(&copy).unwrap();
    let error = Store::open_read_only_on(Box::new(NotMine(FileMedium::new(&copy))), KIND).err().unwrap();
    let OpenError::Unrepaired(why) = &error else { panic!("{error}") };
    assert!(matches!(why.as_ref(), OpenError::Io(_)), "{error}");
    assert!(error.to_string().contains("cannot be put in order"), "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    // Once somebody who may has done so, it can be read.
    drop(Store::open(&copy, KIND, options()).unwrap());
    let mut reader = Store::open_read_only_on(Box::new(NotMine(FileMedium::new(&copy))), KIND).unwrap();
    assert_eq!(is_whole(&mut reader, 1), Ok(true));
}

fn is_right(store: &mut Store, number: u64, entry: Entry) {
    if store.find(&key(number)).is_none() {
        return;
    }
    let mut page_image = vec![0; crate::common::PACKING.image_bytes()];
    for page in 0..entry.pages {
        wait(|| store.get(&key(number), page, &mut page_image)).unwrap();
        assert_eq!(page_image, image(number, page), "slice {number}");
    }
}
