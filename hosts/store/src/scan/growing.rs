//! Many rows: searched one after the other until so many searches were made that a graph pays, then by that.
//!
//! Building a graph takes as long as ten thousand searches of all rows, so whoever asks once never builds one. It
//! is built beside the searches and kept while the index is; until it is there, all rows are searched.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Approximate, Exact, Hit, VectorIndex};

/// Any number will do.
const SEED: u64 = 6;

/// Rows that get a graph when it pays.
pub struct Growing {
    rows: Arc<Exact>,
    graph: Arc<OnceLock<Approximate>>,
    /// Searches so far.
    searches: AtomicU32,
    /// Searches after which a graph pays.
    scans: u32,
}

impl Growing {
    /// Rows whose graph is built after so many searches; at once, and waited for, where that is 0.
    pub fn new(rows: Exact, scans: u32) -> Growing {
        let growing =
            Growing { rows: Arc::new(rows), graph: Arc::default(), searches: AtomicU32::new(0), scans };
        if scans == 0 {
            growing.graph.get_or_init(|| Approximate::new(Arc::clone(&growing.rows), SEED));
        }
        growing
    }

    /// There is a graph, and searches go by it.
    pub fn is_grown(&self) -> bool {
        self.graph.get().is_some()
    }

    /// Has the graph built beside whatever else is done.
    fn grow(&self) {
        let (rows, graph) = (Arc::clone(&self.rows), Arc::clone(&self.graph));
        let build = move || {
            graph.get_or_init(|| Approximate::new(rows, SEED));
        };
        // Where no thread can be had, all rows are searched as before.
        let _searched_as_before = std::thread::Builder::new().name("schema graph".to_owned()).spawn(build);
    }
}

impl VectorIndex for Growing {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.rows.width()
    }

    fn top(&self, query: &[f32], count: usize) -> Vec<Hit> {
        if let Some(graph) = self.graph.get() {
            return graph.top(query, count);
        }
        if self.searches.fetch_add(1, Ordering::Relaxed) + 1 == self.scans {
            self.grow();
        }
        self.rows.top(query, count)
    }

    fn score(&self, row: u32, query: &[f32]) -> f32 {
        self.rows.score(row, query)
    }
}
