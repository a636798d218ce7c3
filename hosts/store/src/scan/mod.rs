//! Finding slices by their schemas: rows of numbers, and which of them have the largest products with a query.

mod exact;
mod rows;
mod top;

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
