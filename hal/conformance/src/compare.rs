//! How far two results are apart.

/// The largest |found − expected| / scale, where scale is given per element; infinite where a number
/// is missing or none.
pub fn worst(found: &[f32], expected: &[f32], scale: impl Fn(usize) -> f64) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let errors = found.iter().zip(expected).enumerate().map(|(i, (&found, &expected))| {
        let error = (f64::from(found) - f64::from(expected)).abs();
        if error == 0.0 { 0.0 } else { error / scale(i) }
    });
    largest(errors)
}

/// The largest of the errors; infinite if one is not a number.
pub fn largest(errors: impl IntoIterator<Item = f64>) -> f64 {
    errors.into_iter().fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) })
}

/// How many elements are not equal, one that is missing or not a number included.
pub fn differing<T: PartialEq>(found: &[T], expected: &[T]) -> f64 {
    let unequal = found.iter().zip(expected).filter(|(found, expected)| found != expected).count();
    (unequal + found.len().abs_diff(expected.len())) as f64
}

/// The square root of the mean square.
pub fn rms(numbers: &[f32]) -> f64 {
    let sum: f64 = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / numbers.len().max(1) as f64).sqrt()
}
