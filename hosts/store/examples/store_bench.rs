//! Times a store: page-in of a slice of 64 tokens of the default model, put, and the search of schemas, exact and by a
//! graph.
//!
//! `cargo run --release -p agentos-store --example store_bench [FOLDER [slices] [scan] [graph[=ROWS]]]`

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
const KEY_WIDTH: usize = 192;
/// Numbers of a hidden row, by which passages are found.
const HIDDEN_WIDTH: usize = 576;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let parts: Vec<_> = arguments.collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("slices") {
        let folder = tempfile::tempdir_in(folder)?;
        for encoding in [Encoding::Lossless, Encoding::Int8, Encoding::K4V4] {
            slices(&folder.path().join(format!("{encoding:?}.store")), encoding)?;
        }
    }
    if wanted("scan") {
        scan(100_000, KEY_WIDTH);
        scan(100_000, HIDDEN_WIDTH);
    }
    let mut given = parts.iter().filter_map(|part| part.to_str()?.strip_prefix("graph=")?.parse().ok());
    let count = given.next().or(wanted("graph").then_some(200_000));
    if let Some(count) = count {
        graph(count, KEY_WIDTH);
    }
    Ok(())
}

fn slices(path: &Path, encoding: Encoding) -> Result<(), Box<dyn std::error::Error>> {
    let entry = Entry { pages: 8, tokens: 64, exact: encoding == Encoding::Lossless };
    let options = Options { encoding, ..Options::default() };
    let mut store = Store::open(path, KIND, options)?;
    let image = image();
    let (begun, before) = (Instant::now(), worked());
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
    println!("{encoding:?}: a put is work of {}", shares(&before, SLICES));
    drop(store);
    let (begun, before) = (Instant::now(), worked());
    let mut store = Store::open(path, KIND, options)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{encoding:?}: opened in {:.1} ms, work of {}", seconds * 1e3, shares(&before, 1));
    let before = worked();
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
    println!("{encoding:?}: a page-in is work of {}", shares(&before, 3 * SLICES));
    Ok(())
}

fn scan(count: usize, width: usize) {
    let (rows, query) = (rows(count, width), numbers(5).take(width).collect::<Vec<f32>>());
    let bytes = (count * width * 2) as f64;
    let index = Exact::new(rows);
    let before = worked();
    let mut all: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            black_box(index.top(&query, 16));
            begun.elapsed()
        })
        .collect();
    let spread = spread(&mut all);
    println!(
        "scan of {count} x {width}: {spread}, {:.1} GB/s",
        bytes / all[all.len() / 2].as_secs_f64() / 1e9
    );
    println!("scan: work of {}", shares(&before, 20));
    let before = worked();
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
    println!("memory: work of {}", shares(&before, 20));
}

/// Searches around the topics of the rows, as questions about what is there are.
fn graph(count: usize, width: usize) {
    let exact = Arc::new(Exact::new(rows(count, width)));
    let (begun, before) = (Instant::now(), worked());
    let graph = Approximate::new(Arc::clone(&exact), 1);
    println!("graph of {count} x {width}: built in {:.1} s", begun.elapsed().as_secs_f64());
    println!("graph: built with work of {}", shares(&before, 1));
    for most in [1, 16, 128] {
        let (mut by_graph, mut by_scan, mut found) = (Vec::new(), Vec::new(), 0);
        for turn in 0..SEARCHES {
            let topic = numbers(1000 + turn * 7 % TOPICS);
            let query: Vec<f32> =
                topic.zip(numbers(turn + 77_000_000)).take(width).map(|(a, b)| a + 0.5 * b).collect();
            let begun = Instant::now();
            let got = graph.top(&query, most);
            by_graph.push(begun.elapsed());
            let begun = Instant::now();
            let wanted = exact.top(&query, most);
            by_scan.push(begun.elapsed());
            found += wanted.iter().filter(|wanted| got.iter().any(|hit| hit.row == wanted.row)).count();
        }
        println!("graph, best {most}: {}", spread(&mut by_graph));
        println!("scan,  best {most}: {}", spread(&mut by_scan));
        println!("graph: {:.1} % of the best {most}", 100.0 * found as f64 / (most as u64 * SEARCHES) as f64);
    }
}

/// Searches for each number of hits.
const SEARCHES: u64 = 50;

fn spread(all: &mut [Duration]) -> String {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("{:.2} ms in the middle, {:.2} at the 95th, {:.2} at most", at(0.5), at(0.95), at(1.0))
}

/// Milliseconds for which each of the store's threads, and the caller, had a processor: on a machine that others
/// use, that says more than the clock. Nothing where the system does not tell.
fn worked() -> Vec<(String, f64)> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let task = |path: PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let nanoseconds = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let nanoseconds: f64 = nanoseconds.split_whitespace().next()?.parse().ok()?;
        Some((name.trim().to_owned(), nanoseconds / 1e6))
    };
    tasks.filter_map(|entry| task(entry.path())).collect()
}

/// What the threads worked since, for each of so many things.
fn shares(before: &[(String, f64)], things: u64) -> String {
    let since = |(name, now): &(String, f64)| {
        let before = before.iter().find(|(before, _)| before == name).map_or(0.0, |(_, worked)| *worked);
        format!("{name} {:.2} ms", (now - before) / things as f64)
    };
    worked().iter().map(since).collect::<Vec<_>>().join(", ")
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
            // As a kernel that has other agents to run would look again later.
            Poll::Pending => std::thread::sleep(Duration::from_micros(20)),
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

/// What rows are about.
const TOPICS: u64 = 400;

/// Rows around some topics.
fn rows(count: usize, width: usize) -> Rows {
    let mut rows = Rows::new(width);
    for row in 0..count as u64 {
        let topic = numbers(1000 + row % TOPICS);
        let near: Vec<f16> =
            topic.zip(numbers(row)).take(width).map(|(a, b)| f16::from_f32(a + 0.5 * b)).collect();
        assert!(rows.push(&near), "a row is as wide as the others");
    }
    rows
}
