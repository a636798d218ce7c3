//! How well boundaries that were found agree with those that are known.

use serde::Serialize;

/// Counts of boundaries. Add up over texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Known boundaries that were found.
    pub right: u32,
    /// Boundaries found.
    pub found: u32,
    /// Boundaries known.
    pub known: u32,
}

impl Agreement {
    /// Of boundaries in rising order. One that was found counts for one known boundary at most, from which it is
    /// `tolerance` tokens away at most.
    pub fn of(found: &[u32], known: &[u32], tolerance: u32) -> Agreement {
        let mut right = 0;
        let mut left = found.iter().peekable();
        for &place in known {
            while left.next_if(|&&found| found + tolerance < place).is_some() {}
            right += u32::from(left.next_if(|&&found| found <= place + tolerance).is_some());
        }
        Agreement { right, found: found.len() as u32, known: known.len() as u32 }
    }

    /// The part of those found that is right.
    pub fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from(self.found.max(1))
    }

    /// The part of those known that was found.
    pub fn recall(&self) -> f64 {
        f64::from(self.right) / f64::from(self.known.max(1))
    }

    /// The harmonic mean of both, F1.
    pub fn f1(&self) -> f64 {
        2.0 * f64::from(self.right) / f64::from((self.found + self.known).max(1))
    }
}

impl std::ops::AddAssign for Agreement {
    fn add_assign(&mut self, other: Agreement) {
        self.right += other.right;
        self.found += other.found;
        self.known += other.known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_boundary_counts_once() {
        let of = |found: &[u32], known: &[u32]| Agreement::of(found, known, 8).right;
        assert_eq!(of(&[100], &[108]), 1);
        assert_eq!(of(&[100], &[109]), 0);
        assert_eq!(of(&[100], &[92]), 1);
        assert_eq!(of(&[100, 104], &[102]), 1);
        assert_eq!(of(&[100], &[96, 104]), 1);
        assert_eq!(of(&[96, 104], &[99, 101]), 2);
        assert_eq!(of(&[], &[5]), 0);
        assert_eq!(of(&[5], &[]), 0);
    }

    #[test]
    fn f1_is_between_precision_and_recall() {
        let mut all = Agreement::of(&[10, 50, 90], &[10, 200], 8);
        all += Agreement::of(&[10], &[10], 8);
        assert_eq!(all, Agreement { right: 2, found: 4, known: 3 });
        assert_eq!((all.precision(), all.recall()), (0.5, 2.0 / 3.0));
        assert!((all.f1() - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!(Agreement::default().f1(), 0.0);
    }
}
