//! Searching some rows: a graph of near neighbours leads to the best, nearly always.
//!
//! The graph is for distances, so rows are moved to a common centre and get one more number each, which
//! makes them equally long: then the nearest row is the one with the largest product. Neither changes which row
//! that is. What the graph finds is scored anew, so scores are those of [`Exact`].
//!
//! Sources: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical
//! navigable small world graphs" (TPAMI 2018); Bachrach et al., "Speeding up the Xbox recommender system using a
//! Euclidean transformation for inner-product spaces" (RecSys 2014).

use std::sync::Arc;

use half::f16;
use instant_distance::{Builder, HnswMap, Point, Search};

use super::exact::product;
use super::top::Top;
use super::{Exact, Hit, Rows, VectorIndex};

/// Rows that a search looks at on its way. More find more, in as much more time.
const BREADTH: usize = 256;
/// Rows that are looked at when the graph is built.
const BUILD_BREADTH: usize = 100;

/// Rows in a graph.
pub struct Approximate {
    graph: HnswMap<Place, u32>,
    rows: Arc<Exact>,
}

/// A row as the graph sees it.
#[derive(Clone)]
struct Place(Vec<f32>);

impl Point for Place {
    fn distance(&self, other: &Place) -> f32 {
        distance(&self.0, &other.0)
    }
}

impl Approximate {
    /// Builds the graph, on all processors: two of the same rows may differ a little. The seed says on which
    /// levels rows are.
    pub fn new(rows: Arc<Exact>, seed: u64) -> Approximate {
        let places = places(rows.rows());
        let numbers = (0..places.len() as u32).collect();
        let graph = Builder::default()
            .seed(seed)
            .ef_construction(BUILD_BREADTH)
            .ef_search(BREADTH)
            .build(places, numbers);
        Approximate { graph, rows }
    }
}

impl VectorIndex for Approximate {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.rows.width()
    }

    fn top(&self, query: &[f32], count: usize) -> Vec<Hit> {
        // A search gives no more than it looks at.
        if count > BREADTH / 2 {
            return self.rows.top(query, count);
        }
        assert_eq!(query.len(), self.width(), "a query is as long as a row");
        let mut place = query.to_vec();
        place.push(0.0);
        let mut top = Top::new(count);
        for item in self.graph.search(&Place(place), &mut Search::default()) {
            top.show(*item.value, self.rows.score(*item.value, query));
        }
        top.sorted()
    }

    fn score(&self, row: u32, query: &[f32]) -> f32 {
        self.rows.score(row, query)
    }
}

/// All rows, moved and made equally long.
fn places(rows: &Rows) -> Vec<Place> {
    let (width, count) = (rows.width(), rows.len());
    let mut centre = vec![0f64; width];
    for row in 0..count {
        let numbers = rows.row(row).iter().map(|&number| f64::from(finite(number)));
        centre.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number / count as f64);
    }
    let mut places: Vec<Vec<f32>> = (0..count)
        .map(|row| rows.row(row).iter().zip(&centre).map(|(&x, &mean)| finite(x) - mean as f32).collect())
        .collect();
    let squares: Vec<f32> = places.iter().map(|place| product(place, place)).collect();
    let longest = squares.iter().copied().fold(0.0, f32::max);
    for (place, square) in places.iter_mut().zip(squares) {
        place.push((longest - square).max(0.0).sqrt());
    }
    places.into_iter().map(Place).collect()
}

/// What is no finite number is nothing to a graph.
fn finite(number: f16) -> f32 {
    if number.is_finite() { number.to_f32() } else { 0.0 }
}

/// The square of the distance, which orders as the distance does.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}
