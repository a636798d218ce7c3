//! The exact scan finds the best; the approximate one nearly always finds the same.

use crate::common::Random;
use std::sync::Arc;

use agentos_store::VectorIndex;
use agentos_store::scan::{Approximate, Exact, Growing, Rows, SearchBounds, index};
use half::f16;
use proptest::prelude::*;

fn rows(width: usize, numbers: impl Iterator<Item = f32>) -> Rows {
    let numbers: Vec<_> = numbers.map(f16::from_f32).collect();
    let mut rows = Rows::new(width);
    assert!(numbers.chunks_exact(width).all(|row| rows.push(row)));
    rows
}

/// Numbers like those of mean keys: topics with slices around them, all off the origin.
fn topics(width: usize, count: usize, seed: u64) -> (Rows, Vec<Vec<f32>>) {
    let mut random = Random(seed);
    // Nearly normal: the sum of four uniform numbers.
    let mut normal =
        move || (0..4).map(|_| random.below(1 << 20) as f32 / (1 << 20) as f32 - 0.5).sum::<f32>();
    let offset: Vec<f32> = (0..width).map(|_| 3.0 * normal()).collect();
    let topics: Vec<Vec<f32>> = (0..40).map(|_| (0..width).map(|_| normal()).collect()).collect();
    let near = |topic: &[f32], normal: &mut dyn FnMut() -> f32| -> Vec<f32> {
        (0..width).map(|i| offset[i] + topic[i] + 0.7 * normal()).collect()
    };
    let all: Vec<Vec<f32>> = (0..count).map(|row| near(&topics[row % 40], &mut normal)).collect();
    let queries = (0..50).map(|query| near(&topics[query % 40], &mut normal)).collect();
    (rows(width, all.into_iter().flatten()), queries)
}

proptest! {
    #[test]
    fn the_scan_finds_the_largest_products(
        width in 1..70usize,
        numbers in proptest::collection::vec(-8..8i32, 0..600),
        query in proptest::collection::vec(-8..8i32, 70),
        count in 0..12usize
    ) {
        let query: Vec<f32> = query[..width].iter().map(|&x| x as f32).collect();
        let index = Exact::new(rows(width, numbers.iter().map(|&x| x as f32)));
        let mut wanted: Vec<(i32, u32)> = numbers
            .chunks_exact(width)
            .zip(0..)
            .map(|(row, at)| (-row.iter().zip(&query).map(|(x, q)| x * *q as i32).sum::<i32>(), at))
            .collect();
        wanted.sort_unstable();
        wanted.truncate(count);
        prop_assert_eq!(index.len(), numbers.len() / width);
        let found: Vec<_> = index.top(&query, count).iter().map(|hit| (-(hit.score as i32), hit.row)).collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn the_graph_finds_nearly_all_that_the_scan_finds() {
    let (rows, queries) = topics(32, 1000, 1);
    let exact = Arc::new(Exact::new(rows));
    let graph = Approximate::new(Arc::clone(&exact), 2);
    assert_eq!((graph.len(), graph.width()), (1000, 32));
    let (mut found, mut all) = (0, 0);
    for query in &queries {
        let wanted = exact.top(query, 10);
        let got = graph.top(query, 10);
        assert!(got.windows(2).all(|pair| pair[0].score >= pair[1].score));
        // What it finds has the score that the scan gives it.
        for hit in &got {
            if let Some(same) = wanted.iter().find(|wanted| wanted.row == hit.row) {
                assert_eq!(same.score, hit.score);
            }
        }
        all += wanted.len();
        found += wanted.iter().filter(|wanted| got.iter().any(|hit| hit.row == wanted.row)).count();
    }
    assert!(found as f64 >= 0.95 * all as f64, "{found} of {all}");
    // Who asks for many gets them.
    assert_eq!(graph.top(&queries[0], 900), exact.top(&queries[0], 900));
}

#[test]
fn a_graph_of_anything_is_searched() {
    let odd = [f32::NAN, f32::INFINITY, 0.0, 1.0, -1.0, f32::NEG_INFINITY];
    for count in [0, 1, 2, 9] {
        let rows = rows(3, odd.iter().copied().cycle().take(3 * count));
        let graph = Approximate::new(Arc::new(Exact::new(rows)), 1);
        assert_eq!(graph.top(&[1.0, 2.0, f32::NAN], 4).len(), count.min(4));
    }
}

/// Beyond the bound rows are searched by a graph, at once or once that pays, and each has the score that it has.
#[test]
fn many_rows_get_a_graph_when_it_pays() {
    let (rows, queries) = topics(24, 600, 5);
    let exact = Exact::new(rows.clone());
    let few = index(rows.clone(), SearchBounds { exact_rows: 600, scans: 0 });
    let many = index(rows.clone(), SearchBounds { exact_rows: 599, scans: 0 });
    assert_eq!((many.len(), many.width()), (600, 24));
    let mut found = 0;
    for query in &queries {
        let wanted = exact.top(query, 8);
        assert_eq!(few.top(query, 8), wanted);
        for hit in many.top(query, 8) {
            assert_eq!(hit.score, exact.score(hit.row, query));
            found += usize::from(wanted.contains(&hit));
        }
    }
    assert!(found as f64 >= 0.95 * 8.0 * queries.len() as f64, "{found}");
    // Whoever asks less often than pays has all rows searched, and the next has the graph built beside.
    let growing = Growing::new(Exact::new(rows), 3);
    for query in &queries[..2] {
        assert_eq!(growing.top(query, 8), exact.top(query, 8));
    }
    assert!(!growing.is_grown());
    assert_eq!(growing.top(&queries[2], 8), exact.top(&queries[2], 8));
    while !growing.is_grown() {
        std::thread::yield_now();
    }
    assert_eq!(growing.score(7, &queries[2]), exact.score(7, &queries[2]));
    assert_eq!(growing.top(&queries[2], 600), exact.top(&queries[2], 600));
}
