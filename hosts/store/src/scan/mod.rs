//! Finding slices by their schemas: rows of numbers, and which of them have the largest products with a query.

mod approximate;
mod exact;
mod growing;
mod rows;
mod top;

pub use approximate::Approximate;
pub use exact::Exact;
pub use growing::Growing;
pub use rows::Rows;

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its number.
    pub row: u32,
    /// The sum of products of its numbers and the query's.
    pub score: f32,
}

/// Rows that can be searched.
pub trait VectorIndex: Send + Sync {
    /// How many rows there are.
    fn len(&self) -> usize;

    /// There are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many numbers a row has.
    fn width(&self) -> usize;

    /// The rows with the largest products with a query: `count` of them or all that there are, the largest
    /// first, of equal ones that with the smaller number first. What is no number counts as the least.
    ///
    /// # Panics
    /// When the query is not as long as a row.
    fn top(&self, query: &[f32], count: usize) -> Vec<Hit>;

    /// The sum of products of a row's numbers and a query's: exact, whatever finds the best.
    ///
    /// # Panics
    /// When there is no such row, or the query is not as long as a row.
    fn score(&self, row: u32, query: &[f32]) -> f32;
}

/// When rows are searched by a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchBounds {
    /// Rows up to which all of them are searched, however often.
    pub exact_rows: usize,
    /// Searches of more rows than that which go over all of them: so many cost as much as building a graph does.
    pub scans: u32,
}

impl Default for SearchBounds {
    fn default() -> SearchBounds {
        SearchBounds { exact_rows: EXACT_ROWS, scans: SCANS }
    }
}

/// Rows up to which all of them are searched.
const EXACT_ROWS: usize = 100_000;
/// Searches that cost about as much as building a graph (xtask/BENCHMARKS.md, "Searching schemas").
const SCANS: u32 = 10_000;

/// An index of rows: exact for as many as can be searched at once, approximate beyond, once that pays.
pub fn index(rows: Rows, bounds: SearchBounds) -> Box<dyn VectorIndex> {
    let is_exact = rows.len() <= bounds.exact_rows;
    let rows = Exact::new(rows);
    if is_exact { Box::new(rows) } else { Box::new(Growing::new(rows, bounds.scans)) }
}
