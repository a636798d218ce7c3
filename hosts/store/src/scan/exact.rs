//! Searching all rows.

use half::slice::HalfFloatSliceExt;

use super::top::Top;
use super::{Hit, Rows, VectorIndex};

/// Numbers that are summed beside each other: as many as fill the registers of a small machine.
const LANES: usize = 16;
/// Rows that are widened at once: they stay in the nearest cache.
const BLOCK_NUMBERS: usize = 4096;

/// All rows, searched one after the other: exact, and fast enough for a hundred thousand.
#[derive(Clone, Debug)]
pub struct Exact {
    rows: Rows,
}

impl Exact {
    /// Searches these.
    pub fn new(rows: Rows) -> Exact {
        Exact { rows }
    }

    /// The rows.
    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The product of every row with a query.
    fn scores(&self, query: &[f32], mut tell: impl FnMut(u32, f32)) {
        let width = self.rows.width();
        assert_eq!(query.len(), width, "a query is as long as a row");
        if width == 0 {
            return;
        }
        let rows = (BLOCK_NUMBERS / width).max(1);
        let mut wide = vec![0.0; rows * width];
        for (block, narrow) in self.rows.numbers().chunks(rows * width).enumerate() {
            let wide = &mut wide[..narrow.len()];
            narrow.convert_to_f32_slice(wide);
            for (row, numbers) in wide.chunks_exact(width).enumerate() {
                tell((block * rows + row) as u32, product(numbers, query));
            }
        }
    }
}

impl VectorIndex for Exact {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.rows.width()
    }

    fn top(&self, query: &[f32], count: usize) -> Vec<Hit> {
        let mut top = Top::new(count);
        self.scores(query, |row, score| top.show(row, score));
        top.sorted()
    }

    fn score(&self, row: u32, query: &[f32]) -> f32 {
        assert_eq!(query.len(), self.width(), "a query is as long as a row");
        let mut wide = vec![0.0; query.len()];
        self.rows.row(row as usize).convert_to_f32_slice(&mut wide);
        product(&wide, query)
    }
}

/// The sum of products, in an order that is the same everywhere.
pub(super) fn product(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
