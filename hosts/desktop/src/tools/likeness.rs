//! The tool whose known requests are most like a new one: cosine of pooled hidden rows.
//!
//! Hidden rows have a large part in common, and a few numbers in them are much larger than all others. Either
//! hides what differs. So rows are seen in a [`Frame`]: as differences from the mean of many, and where that tells
//! tools apart better, in units of each number's spread.

use super::hidden::Pooled;

/// How rows are made comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As differences from their mean.
    Centred,
    /// And each number in units of its standard deviation.
    Standardised,
}

/// The mean of some rows, and the spread of each number in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    mean: Vec<f32>,
    /// What each difference is multiplied with.
    factor: Vec<f32>,
}

impl Frame {
    /// The frame of these rows, all of one length; at least one.
    pub fn of<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone, scale: Scale) -> Frame {
        let count = rows.clone().count().max(1) as f64;
        let width = rows.clone().map(<[f32]>::len).min().unwrap_or(0);
        let mean_of = |number: &dyn Fn(&[f32], usize) -> f64| -> Vec<f64> {
            let sum = |index| rows.clone().map(|row| number(row, index)).sum::<f64>();
            (0..width).map(|index| sum(index) / count).collect()
        };
        let mean = mean_of(&|row, index| f64::from(row[index]));
        let variance = mean_of(&|row, index| (f64::from(row[index]) - mean[index]).powi(2));
        let factor = variance.iter().map(|&variance| match scale {
            Scale::Standardised if variance > 0.0 => (1.0 / variance.sqrt()) as f32,
            Scale::Standardised | Scale::Centred => 1.0,
        });
        Frame { factor: factor.collect(), mean: mean.iter().map(|&mean| mean as f32).collect() }
    }

    /// A row in this frame, of length 1; all zeros where it is the mean itself.
    pub fn place(&self, row: &[f32]) -> Vec<f32> {
        let own = self.mean.iter().zip(&self.factor);
        let mut placed: Vec<f32> =
            row.iter().zip(own).map(|(x, (mean, factor))| (x - mean) * factor).collect();
        let length = dot(&placed, &placed).sqrt();
        if length > 0.0 {
            placed.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
        placed
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Tools, each with texts that are known to mean it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The tool of each text, and the text's place.
    places: Vec<(usize, Vec<f32>)>,
    tools: usize,
}

impl Known {
    /// Texts, each with the index of its tool, seen in a frame.
    pub fn new<'a>(texts: impl Iterator<Item = (usize, &'a [f32])>, frame: &Frame) -> Known {
        let places: Vec<(usize, Vec<f32>)> = texts.map(|(tool, row)| (tool, frame.place(row))).collect();
        let tools = places.iter().map(|(tool, _)| tool + 1).max().unwrap_or(0);
        Known { places, tools }
    }

    /// How like each tool is to a request that was placed in its own frame: the cosine with the most alike of the
    /// tool's texts, from -1 to 1; -1 for a tool without a text.
    pub fn likeness(&self, request: &[f32]) -> Vec<f64> {
        let mut likeness = vec![-1.0f64; self.tools];
        for (tool, place) in &self.places {
            likeness[*tool] = likeness[*tool].max(dot(place, request));
        }
        likeness
    }
}

/// The index of the largest, the first of equals.
pub fn best(likeness: &[f64]) -> Option<usize> {
    (0..likeness.len()).reduce(|best, next| if likeness[next] > likeness[best] { next } else { best })
}

/// Which layer tells tools apart, and how well it does by their own examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The index among the layers that the rows are of.
    pub layer: usize,
    /// How rows are to be seen.
    pub scale: Scale,
    /// Examples whose tool is found from all the others.
    pub right: usize,
    /// Examples in all.
    pub of: usize,
    /// By how much the right tool is more alike than the best wrong one, on average.
    pub margin: f64,
}

/// Finds the layer and the scale in which the tool of most examples is found from the others; of equally good
/// ones that with the largest margin. `None` with fewer than two tools or examples.
pub fn calibrate(examples: &[(usize, Pooled)]) -> Option<Calibration> {
    let layers = examples.iter().map(|(_, pooled)| pooled.len()).min()?;
    let mixed = examples.iter().any(|(tool, _)| *tool != examples[0].0);
    if !mixed {
        return None;
    }
    let scales = [Scale::Centred, Scale::Standardised];
    let all = (0..layers).flat_map(|layer| scales.map(|scale| fit(examples, layer, scale)));
    all.reduce(|best, next| {
        let better = (next.right, next.margin) > (best.right, best.margin);
        if better { next } else { best }
    })
}

/// How well the tool of each example is found from the others.
fn fit(examples: &[(usize, Pooled)], layer: usize, scale: Scale) -> Calibration {
    let (mut right, mut margin) = (0, 0.0);
    for (index, (tool, pooled)) in examples.iter().enumerate() {
        let others = examples.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others.map(|(_, (tool, pooled))| (*tool, pooled[layer].as_slice()));
        let frame = Frame::of(others.clone().map(|(_, row)| row), scale);
        let likeness = Known::new(others, &frame).likeness(&frame.place(&pooled[layer]));
        let own = likeness.get(*tool).copied().unwrap_or(-1.0);
        let wrong = likeness.iter().enumerate().filter(|(other, _)| other != tool);
        let wrong = wrong.map(|(_, &likeness)| likeness).fold(-1.0, f64::max);
        right += usize::from(own > wrong);
        margin += own - wrong;
    }
    Calibration { layer, scale, right, of: examples.len(), margin: margin / examples.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row whose large first number says nothing, and whose small ones say which tool it is.
    fn row(tool: usize, nth: usize) -> Vec<f32> {
        let noise = |at: usize| ((tool * 7 + nth * 13 + at * 5) % 11) as f32 / 50.0;
        let mut row: Vec<f32> =
            (0..6).map(|at| 3.0 + noise(at) + f32::from(u8::from(at == tool + 1))).collect();
        row[0] = 1000.0 + 40.0 * ((nth * 31 + tool * 17) % 7) as f32;
        row
    }

    fn examples() -> Vec<(usize, Pooled)> {
        let noise = |tool: usize, nth: usize| vec![((tool + nth * 3) % 4) as f32, (nth % 2) as f32];
        (0..12).map(|n| (n % 4, vec![noise(n % 4, n / 4), row(n % 4, n / 4)])).collect()
    }

    #[test]
    fn the_layer_and_scale_that_tell_are_found() {
        let calibration = calibrate(&examples()).unwrap();
        assert_eq!((calibration.layer, calibration.scale), (1, Scale::Standardised));
        assert_eq!((calibration.right, calibration.of), (12, 12));
        assert!(calibration.margin > 0.1);
    }

    #[test]
    fn a_new_request_goes_to_the_tool_that_it_is_like() {
        let examples = examples();
        let rows = || examples.iter().map(|(tool, pooled)| (*tool, pooled[1].as_slice()));
        let frame = Frame::of(rows().map(|(_, row)| row), Scale::Standardised);
        let known = Known::new(rows(), &frame);
        for tool in 0..4 {
            let likeness = known.likeness(&frame.place(&row(tool, 9)));
            assert_eq!(best(&likeness), Some(tool), "{likeness:?}");
            assert!(likeness.iter().all(|x| x.abs() <= 1.001));
        }
    }

    #[test]
    fn without_two_tools_there_is_nothing_to_calibrate() {
        assert_eq!(calibrate(&[]), None);
        assert_eq!(calibrate(&examples()[..1]), None);
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[0.5, 0.5]), Some(0));
        let frame = Frame::of([[1.0f32, 2.0].as_slice()].into_iter(), Scale::Standardised);
        assert_eq!(frame.place(&[1.0, 2.0]), [0.0, 0.0]);
    }
}
