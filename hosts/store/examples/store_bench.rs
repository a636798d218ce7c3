//! Times a store: page-in of a slice of 64 tokens of the default model, put, and the scan of schemas.
//!
//! `cargo run --release -p agentos-store --example store_bench [FOLDER]`

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_hal::{ColdStore, Entry, KvType, StoreKey};
use agentos_kernel::memory::pack::Packing;
use agentos_store::scan::{Approximate, Exact, Rows};
use agentos_store::{Encoding, Kind, Options, Store, VectorIndex};
use half::f16;

/// SmolLM2-135M: 30 layers of 3 heads of 64.
const PACKING: Packing = Packing { heads: 90, head_dim: 64, kv: KvType::F16 };
const KIND: Kind = Kind { identity: [1; 32], packing: PACKING };
const SLICES: u64 = 200;
/// Numbers of a mean key: 3 heads of 64.
const WIDTH: usize = 192;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    for encoding in [Encoding::Lossless, Encoding::Int8, Encoding::K4V4] {
        slices(&folder.path().join(format!("{encoding:?}.store")), encoding)?;
    }
    scan(100_000);
    graph(120_000);
    Ok(())
}

fn slices(path: &Path, encoding: Encoding) -> Result<(), Box<dyn std::error::Error>> {
    let entry = Entry { pages: 8, tokens: 64, exact: encoding == Encoding::Lossless };
    let options = Options { encoding, ..Options::default() };
    let mut store = Store::open(path, KIND, options)?;
    let image = image();
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..SLICES {
        for page in 0..entry.pages {
            let (_, call) = wait(|| store.put(&key(number), entry, page, &image));
            longest = longest.max(call);
        }
    }
    store.flush()?;
    let seconds = begun.elapsed().as_secs_f64();
    let megabytes = SLICES as f64 * 8.0 * image.len() as f64 / 1e6;
    let stats = store.stats();
    println!(
        "{encoding:?}: put {:.0} slices/s, {:.0} MB/s of images, {:.3} MB a slice in the file, {} transactions; longest \
         call {:.2} ms",
        SLICES as f64 / seconds,
        megabytes / seconds,
        stats.bytes as f64 / SLICES as f64 / 1e6,
        stats.batches,
        longest.as_secs_f64() * 1e3
    );
    drop(store);
    let begun = Instant::now();
    let mut store = Store::open(path, KIND, options)?;
    println!("{encoding:?}: opened in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let (mut all, mut calls) = (Vec::new(), Vec::new());
    let mut page_image = vec![0; image.len()];
    for turn in 0..3 * SLICES {
        let key = key(turn * 7919 % SLICES);
        let begun = Instant::now();
        for page in 0..entry.pages {
            let (_, call) = wait(|| store.get(&key, page, &mut page_image));
            calls.push(call);
        }
        all.push(begun.elapsed());
        black_box(&page_image);
    }
    println!(
        "{encoding:?}: page-in of 64 tokens {}; longest call {:.2} ms",
        spread(&mut all),
        calls.iter().max().map_or(0.0, |call| call.as_secs_f64() * 1e3)
    );
    Ok(())
}

fn scan(count: usize) {
    let (rows, query) = (rows(count), query());
    let bytes = (count * WIDTH * 2) as f64;
    let index = Exact::new(rows);
    let mut all: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            black_box(index.top(&query, 16));
            begun.elapsed()
        })
        .collect();
    let spread = spread(&mut all);
    println!(
        "scan of {count} x {WIDTH}: {spread}, {:.1} GB/s",
        bytes / all[all.len() / 2].as_secs_f64() / 1e9
    );
    // What memory gives: the same bytes, only added up.
    let words = vec![1u64; bytes as usize / 8];
    let mut sums: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            black_box(black_box(&words).iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));
            begun.elapsed()
        })
        .collect();
    sums.sort_unstable();
    println!("memory: {:.1} GB/s by one thread", bytes / sums[sums.len() / 2].as_secs_f64() / 1e9);
}

fn graph(count: usize) {
    let rows = rows(count);
    let exact = Exact::new(rows.clone());
    let begun = Instant::now();
    let graph = Approximate::new(rows, 1);
    println!("graph of {count} x {WIDTH}: built in {:.1} s", begun.elapsed().as_secs_f64());
    let (mut all, mut found) = (Vec::new(), 0);
    for turn in 0..50 {
        let query: Vec<f32> = numbers(turn + 77).take(WIDTH).collect();
        let begun = Instant::now();
        let got = graph.top(&query, 16);
        all.push(begun.elapsed());
        let wanted = exact.top(&query, 16);
        found += wanted.iter().filter(|wanted| got.iter().any(|hit| hit.row == wanted.row)).count();
    }
    println!("graph: search {}; {:.1} % of the best 16", spread(&mut all), f64::from(found as u32) / 8.0);
}

fn spread(all: &mut [Duration]) -> String {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("{:.2} ms in the middle, {:.2} at the 95th, {:.2} at most", at(0.5), at(0.95), at(1.0))
}

/// Waits, and says how long the longest call took.
fn wait<T>(mut ask: impl FnMut() -> Poll<Result<T, agentos_hal::StoreError>>) -> (T, Duration) {
    let mut longest = Duration::ZERO;
    loop {
        let begun = Instant::now();
        let answer = ask();
        longest = longest.max(begun.elapsed());
        match answer {
            Poll::Ready(Ok(value)) => return (value, longest),
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

fn key(number: u64) -> StoreKey {
    StoreKey(std::array::from_fn(|i| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 8 * 8)) as u8))
}

fn numbers(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 22) as f32 - 2.0
    })
}

fn image() -> Vec<u8> {
    let elements = PACKING.image_bytes() / 2;
    numbers(1).take(elements).flat_map(|x| f16::from_f32(x).to_le_bytes()).collect()
}

/// Rows around four hundred topics.
fn rows(count: usize) -> Rows {
    let mut rows = Rows::new(WIDTH);
    for row in 0..count as u64 {
        let topic = numbers(1000 + row % 400);
        let near: Vec<f16> =
            topic.zip(numbers(row)).take(WIDTH).map(|(a, b)| f16::from_f32(a + 0.5 * b)).collect();
        assert!(rows.push(&near), "a row is as wide as the others");
    }
    rows
}

fn query() -> Vec<f32> {
    numbers(5).take(WIDTH).collect()
}
