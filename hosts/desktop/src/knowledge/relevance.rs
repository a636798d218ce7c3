//! Which slices are about what a question is about: the cosine of hidden rows in one layer of the model.
//!
//! Hidden rows have a large part in common, which hides what differs; slices are seen as differences from the mean of
//! their collection, and a question as the difference from the mean of questions about anything. Queries · mean
//! keys, which find slices within one context, do not find them across contexts: computed behind different texts,
//! the right one of 831 passages was first for none of 58 questions (cosine 19).

use agentos_store::VectorIndex;
use agentos_store::scan::{self, SearchBounds};
use half::f16;

/// What a question is about.
#[derive(Clone, Debug)]
pub struct Relevance {
    /// The difference from other questions, of length 1.
    question: Vec<f32>,
}

/// What a collection's slices are about: hidden rows, all of one length. What is no finite number counts as nothing.
pub struct Rows {
    /// Their differences from their mean, each of length 1: products with a question are cosines.
    index: Box<dyn VectorIndex>,
}

impl Rows {
    /// Rows of `width` numbers, one behind another; `bounds` says when they are searched by a graph.
    pub fn new(numbers: &[f16], width: usize, bounds: SearchBounds) -> Rows {
        let mut index = scan::Rows::new(width);
        let rows = numbers.chunks_exact(width.max(1));
        let mut mean = vec![0.0; width];
        let count = rows.len().max(1) as f64;
        for row in rows.clone() {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += finite(x.to_f64()) / count);
        }
        for row in rows {
            let own = row.iter().zip(&mean).map(|(x, mean)| finite(x.to_f64()) - mean);
            let own = direction(own.collect());
            let own: Vec<f16> = own.into_iter().map(f16::from_f64).collect();
            assert!(index.push(&own), "a row has the width of its index");
        }
        Rows { index: scan::index(index, bounds) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

impl Relevance {
    /// That of a question with this pooled hidden row; `usual` is the mean of such rows over questions about
    /// anything.
    pub fn new(row: &[f32], usual: &[f32]) -> Relevance {
        let own = row.iter().zip(usual).map(|(&x, &usual)| finite(f64::from(x) - f64::from(usual))).collect();
        Relevance { question: direction(own).into_iter().map(|x| x as f32).collect() }
    }

    /// The slices that are most alike to the question, and how much, from -1 to 1: so many or all that there are, the
    /// most alike first. None where rows have another width.
    pub fn most_alike(&self, rows: &Rows, count: usize) -> Vec<(usize, f64)> {
        if self.question.len() != rows.index.width() {
            return Vec::new();
        }
        let hits = rows.index.top(&self.question, count);
        hits.into_iter().map(|hit| (hit.row as usize, f64::from(hit.score).clamp(-1.0, 1.0))).collect()
    }

    /// How alike a slice is to the question. Rows of another width are not alike at all.
    pub fn of(&self, rows: &Rows, slice: usize) -> f64 {
        if self.question.len() != rows.index.width() || slice >= rows.len() {
            return 0.0;
        }
        f64::from(rows.index.score(slice as u32, &self.question)).clamp(-1.0, 1.0)
    }
}

/// What is no finite number is nothing: it would leave no number of any row.
fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

/// A vector of length 1 in the direction of this one; of nothing, nothing.
fn direction(mut vector: Vec<f64>) -> Vec<f64> {
    let length = length(&vector);
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

/// The length of a vector; never so small that dividing by it gives no number.
fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCANNED: SearchBounds = SearchBounds { exact_rows: usize::MAX, scans: 0 };

    fn rows(numbers: &[f32], width: usize) -> Rows {
        let numbers: Vec<f16> = numbers.iter().copied().map(f16::from_f32).collect();
        Rows::new(&numbers, width, SCANNED)
    }

    fn alike(relevance: &Relevance, rows: &Rows) -> Vec<f64> {
        (0..rows.len()).map(|slice| relevance.of(rows, slice)).collect()
    }

    #[test]
    fn what_all_have_in_common_does_not_count() {
        // All rows have a large first number; they differ in the others.
        let rows = rows(&[9.0, 1.0, 0.0, 9.0, 0.0, 1.0, 9.0, -1.0, -1.0], 3);
        let relevance = Relevance::new(&[5.0, 2.0, 0.0], &[5.0, 0.0, 0.0]);
        let found = relevance.most_alike(&rows, 3);
        assert_eq!(found.iter().map(|&(slice, _)| slice).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(found[0].1 > 0.9 && found[2].1 >= -1.0, "{found:?}");
        assert_eq!(found.iter().map(|&(_, cosine)| cosine).collect::<Vec<_>>(), alike(&relevance, &rows));
    }

    #[test]
    fn likeness_is_the_cosine_of_differences() {
        // The mean is (100, 0): what is left are (0, 1), (0, -1), (3, 4) and (-3, -4).
        let rows = rows(&[100.0, 1.0, 100.0, -1.0, 103.0, 4.0, 97.0, -4.0], 2);
        let alike = alike(&Relevance::new(&[0.0, 7.0], &[0.0, 0.0]), &rows);
        for (found, expected) in alike.iter().zip([1.0, -1.0, 0.8, -0.8]) {
            assert!((found - expected).abs() < 1e-3, "{alike:?}");
        }
        assert_eq!(alike.len(), 4);
    }

    #[test]
    fn what_is_no_number_leaves_the_others_as_they_are() {
        let good = [0.0, 1.0, 0.0, -1.0, 3.0, 4.0, -3.0, -4.0];
        for bad in [f32::NAN, f32::INFINITY, 1e6] {
            let with_bad = rows(&[&good[..], &[bad, 0.0]].concat(), 2);
            let relevance = Relevance::new(&[bad, 7.0], &[bad, 0.0]);
            let found = alike(&relevance, &with_bad);
            let expected = alike(&Relevance::new(&[0.0, 7.0], &[0.0, 0.0]), &rows(&good, 2));
            assert_eq!(found, [expected, vec![0.0]].concat(), "with {bad}");
        }
    }

    #[test]
    fn nothing_is_no_division_by_nothing() {
        let same = rows(&[1.0, 1.0, 1.0, 1.0], 2);
        assert_eq!(alike(&Relevance::new(&[2.0, 2.0], &[2.0, 2.0]), &same), [0.0, 0.0]);
        let narrow = Relevance::new(&[2.0], &[1.0]);
        assert_eq!((alike(&narrow, &same), narrow.most_alike(&same, 9)), (vec![0.0, 0.0], vec![]));
        assert_eq!(Relevance::new(&[], &[]).most_alike(&rows(&[], 0), 9), []);
    }
}
