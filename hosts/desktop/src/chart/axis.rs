//! An axis of numbers: how far it goes, and where its marks are.

/// An axis that shows some numbers, from at most 0 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Its lower end.
    pub least: f64,
    /// Its upper end.
    pub most: f64,
    /// Between two marks.
    pub step: f64,
}

/// Marks that an axis has about.
const MARKS: f64 = 5.0;

impl Axis {
    /// An axis for all of these numbers; those that are none do not count.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Axis {
        let finite = numbers.into_iter().filter(|number| number.is_finite());
        let (least, most) = finite.fold((0.0f64, 0.0f64), |(a, b), x| (a.min(x), b.max(x)));
        let range = if most > least { most - least } else { 1.0 };
        let step = round_step(range / MARKS);
        Axis { least: (least / step).floor() * step, most: ((least + range) / step).ceil() * step, step }
    }

    /// Where a number stands between the ends, from 0 to 1; the nearest end where it is beyond.
    pub fn place(&self, number: f64) -> f64 {
        let place = (number - self.least) / (self.most - self.least);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Its marks, from the lower end on.
    pub fn marks(&self) -> impl Iterator<Item = f64> + use<> {
        let Axis { least, most, step } = *self;
        let count = ((most - least) / step).round() as u32;
        (0..=count).map(move |mark| least + f64::from(mark) * step)
    }

    /// A number with as many digits as tell marks apart.
    pub fn label(&self, number: f64) -> String {
        let digits = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        // No mark is a negative nothing.
        let number = if number.abs() < self.step / 1e6 { 0.0 } else { number };
        format!("{number:.digits$}")
    }
}

/// 1, 2 or 5 times a power of ten, not less than this.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// The marks of an axis as lines across a drawing, and their numbers left of it.
pub fn draw(axis: &Axis, (left, right): (f64, f64), (top, bottom): (f64, f64)) -> String {
    let line = |mark: f64| {
        let y = bottom - (bottom - top) * axis.place(mark);
        format!(
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            left - 6.0,
            y + 4.0,
            axis.label(mark)
        )
    };
    axis.marks().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_all_numbers_and_zero() {
        let axis = Axis::of([0.31, 0.07, f64::NAN]);
        assert_eq!((axis.least, axis.step), (0.0, 0.1));
        assert!((axis.most - 0.4).abs() < 1e-9);
        let labels: Vec<String> = axis.marks().map(|mark| axis.label(mark)).collect();
        assert_eq!(labels, ["0.0", "0.1", "0.2", "0.3", "0.4"]);
        let axis = Axis::of([-3.0, 12.0]);
        assert_eq!((axis.least, axis.most, axis.step), (-5.0, 15.0, 5.0));
        assert_eq!((axis.place(-5.0), axis.place(5.0), axis.place(99.0)), (0.0, 0.5, 1.0));
        assert_eq!(axis.place(f64::NAN), 0.0);
    }

    #[test]
    fn nothing_has_an_axis_too() {
        for axis in [Axis::of([]), Axis::of([0.0]), Axis::of([f64::INFINITY])] {
            assert!(axis.most > axis.least && axis.marks().count() < 20, "{axis:?}");
        }
        assert_eq!(Axis::of([-1.0]).label(-0.0), "0.0");
    }
}
