//! Finding slices by their schemas: rows of numbers, and which of them have the largest products with a query.

mod approximate;
mod exact;
mod rows;
mod top;

pub use approximate::Approximate;
pub use exact::Exact;
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
}

/// Rows up to which all of them are searched.
pub const EXACT_ROWS: usize = 100_000;

/// An index of rows: exact for as many as can be searched at once, approximate beyond.
pub fn index(rows: Rows) -> Box<dyn VectorIndex> {
    if rows.len() <= EXACT_ROWS { Box::new(Exact::new(rows)) } else { Box::new(Approximate::new(rows, SEED)) }
}

/// Any number will do.
const SEED: u64 = 6;
