//! What the tests of a store share: slices whose bytes follow from their number, and a caller that waits.

pub mod documents;
pub mod faults;

use std::path::PathBuf;
use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_hal::{ColdStore, Entry, KvType, StoreError, StoreKey};
use agentos_kernel::memory::pack::Packing;
use agentos_store::{Kind, Options, Store};

/// Sizes of a small model.
pub const PACKING: Packing = Packing { heads: 4, head_dim: 32, kv: KvType::F16 };
/// A store for it.
pub const KIND: Kind = Kind { identity: [7; 32], packing: PACKING };

/// Options that make tests quick.
pub fn options() -> Options {
    Options { batch_wait: Duration::from_millis(1), batch_bytes: 1 << 20, ..Options::default() }
}

/// Random words: splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: u64) -> u64 {
        self.word() % count
    }
}

/// The slice of a number.
pub fn key(number: u64) -> StoreKey {
    let mut random = Random(number ^ 0xA5A5);
    let mut key = [0; 32];
    key.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.word().to_le_bytes()));
    StoreKey(key)
}

/// From 1 to 64 tokens.
pub fn entry(number: u64) -> Entry {
    let tokens = 1 + (number * 37 % 64) as u8;
    Entry { pages: tokens.div_ceil(8), tokens, exact: true }
}

/// A page image of a slice: numbers like those of keys and values.
pub fn image(number: u64, page: u8) -> Vec<u8> {
    let mut random = Random(number << 8 | u64::from(page));
    let mut image = vec![0; PACKING.image_bytes()];
    for element in 0..image.len() / 2 {
        let x = (random.below(2001) as f32 - 1000.0) / 250.0;
        PACKING.kv.write(&mut image, element, x);
    }
    image
}

/// Waits for what is pending. A store that never answers fails the test.
pub fn wait<T>(mut ask: impl FnMut() -> Poll<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match ask() {
            Poll::Ready(value) => return value,
            Poll::Pending => assert!(Instant::now() < deadline, "no answer"),
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Hands over a slice.
pub fn hand_over(store: &mut Store, number: u64, entry: Entry) -> Result<(), StoreError> {
    (0..entry.pages).try_for_each(|page| {
        let image = image(number, page);
        wait(|| store.put(&key(number), entry, page, &image))
    })
}

/// Hands over a slice and waits until it is durable, or not.
pub fn put(store: &mut Store, number: u64) -> Result<(), StoreError> {
    put_as(store, number, entry(number))
}

/// As [`put`], with an entry of one's own.
pub fn put_as(store: &mut Store, number: u64, entry: Entry) -> Result<(), StoreError> {
    hand_over(store, number, entry)?;
    let (told, result) = wait(|| store.poll().map_or(Poll::Pending, Poll::Ready));
    assert_eq!(told, key(number));
    result
}

/// Fetches a page.
pub fn get(store: &mut Store, number: u64, page: u8) -> Result<Vec<u8>, StoreError> {
    let mut image = vec![0; PACKING.image_bytes()];
    wait(|| store.get(&key(number), page, &mut image)).map(|()| image)
}

/// Whether a slice comes back bit for bit.
pub fn is_whole(store: &mut Store, number: u64) -> Result<bool, StoreError> {
    for page in 0..entry(number).pages {
        if get(store, number, page)? != image(number, page) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A folder of one's own, and the path of a store in it.
pub fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slices.store");
    (folder, path)
}
