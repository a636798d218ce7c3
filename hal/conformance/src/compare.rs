//! How far two results are apart, and where.

use std::fmt::Debug;
use std::ops::{Add, AddAssign};

/// An error, in the unit of a tolerance, and the place where it is largest.
#[derive(Clone, Debug, Default)]
pub struct Apart {
    /// 0 when nothing is wrong; never less.
    pub error: f64,
    /// What is there, and what is right.
    pub place: Option<String>,
}

impl From<f64> for Apart {
    fn from(error: f64) -> Self {
        Apart { error, place: None }
    }
}

impl Apart {
    /// Says of what the place is a part.
    pub fn of(self, what: impl FnOnce() -> String) -> Apart {
        Apart { place: self.place.map(|place| format!("{}, {place}", what())), ..self }
    }
}

/// The sum of errors; the place is that of the first.
impl Add for Apart {
    type Output = Apart;

    fn add(self, other: Apart) -> Apart {
        Apart { error: self.error + other.error, place: self.place.or(other.place) }
    }
}

impl AddAssign for Apart {
    fn add_assign(&mut self, other: Apart) {
        *self = std::mem::take(self) + other;
    }
}

impl std::iter::Sum for Apart {
    fn sum<I: Iterator<Item = Apart>>(apart: I) -> Apart {
        apart.fold(Apart::default(), Add::add)
    }
}

/// The largest |found − expected| / scale, where scale is given per element; infinite where a number
/// is missing or none.
pub fn worst(found: &[f32], expected: &[f32], scale: impl Fn(usize) -> f64) -> Apart {
    if found.len() != expected.len() {
        let place = format!("{} elements, {} are right", found.len(), expected.len());
        return Apart { error: f64::INFINITY, place: Some(place) };
    }
    let mut largest = (0.0, None);
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - f64::from(expected)).abs();
        let error = if error == 0.0 { 0.0 } else { error / scale(i) };
        let error = if error.is_nan() { f64::INFINITY } else { error };
        if error > largest.0 {
            largest = (error, Some(i));
        }
    }
    let place = largest.1.map(|i| place(i, found, expected));
    Apart { error: largest.0, place }
}

/// The largest of the errors; infinite if one is not a number.
pub fn largest<A: Into<Apart>>(errors: impl IntoIterator<Item = A>) -> Apart {
    errors.into_iter().map(Into::into).fold(Apart::default(), |worst, apart: Apart| {
        let error = if apart.error.is_nan() { f64::INFINITY } else { apart.error };
        if error > worst.error { Apart { error, ..apart } } else { worst }
    })
}

/// How many elements are not equal, one that is missing or not a number included.
pub fn differing<T: PartialEq + Debug>(found: &[T], expected: &[T]) -> Apart {
    let mut unequal =
        found.iter().zip(expected).enumerate().filter(|(_, (found, expected))| found != expected);
    let first = unequal.next().map(|(i, _)| i);
    let count = usize::from(first.is_some()) + unequal.count() + found.len().abs_diff(expected.len());
    let lengths = || format!("{} elements, {} are right", found.len(), expected.len());
    let place = match first {
        Some(i) => Some(place(i, found, expected)),
        None => (count > 0).then(lengths),
    };
    Apart { error: count as f64, place }
}

fn place<T: Debug>(i: usize, found: &[T], expected: &[T]) -> String {
    format!("element {i} of {}: {:?}; {:?} is right", found.len(), found[i], expected[i])
}

/// The square root of the mean square.
pub fn rms(numbers: &[f32]) -> f64 {
    let sum: f64 = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / numbers.len().max(1) as f64).sqrt()
}
