//! Rows of numbers, one after the other.

use half::f16;

/// Rows of so many numbers, in half precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    width: usize,
    numbers: Vec<f16>,
}

impl Rows {
    /// No rows yet.
    pub fn new(width: usize) -> Rows {
        Rows { width, numbers: Vec::new() }
    }

    /// How many numbers a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.numbers.len().checked_div(self.width).unwrap_or(0)
    }

    /// There are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row, unless it is not as long as the others.
    #[must_use]
    pub fn push(&mut self, row: &[f16]) -> bool {
        let fits = row.len() == self.width;
        if fits {
            self.numbers.extend_from_slice(row);
        }
        fits
    }

    /// A row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &[f16] {
        &self.numbers[row * self.width..][..self.width]
    }

    /// All numbers, row by row.
    pub fn numbers(&self) -> &[f16] {
        &self.numbers
    }
}
