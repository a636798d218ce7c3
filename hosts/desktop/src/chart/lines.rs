//! Curves over a common axis: how figures move along a text.

use super::axis::{self, Axis};
use super::canvas::escaped;
use super::{LEFT, WIDTH, colour, legend};

/// Curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// What the numbers are.
    pub label: String,
    /// What they are over.
    pub over: String,
    /// Each curve: its name, and its points from left to right.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

const HEIGHT: f64 = 220.0;

/// Draws curves from `top` on; returns the drawing, and where it ends.
pub fn lines(chart: &Lines, top: f64) -> (String, f64) {
    let (top, bottom) = (top + 40.0, top + 40.0 + HEIGHT);
    let points = || chart.series.iter().flat_map(|(_, points)| points);
    let (across, up) = (Axis::of(points().map(|point| point.0)), Axis::of(points().map(|point| point.1)));
    let names: Vec<String> = chart.series.iter().map(|(name, _)| name.clone()).collect();
    let mut svg = format!("<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>\n", top - 26.0, escaped(&chart.label));
    svg += &legend(&names, top - 10.0);
    svg += &axis::draw(&up, (LEFT, LEFT + WIDTH), (top, bottom));
    for (index, (_, points)) in chart.series.iter().enumerate() {
        let place = |&(x, y): &(f64, f64)| {
            format!("{:.1},{:.1}", LEFT + WIDTH * across.place(x), bottom - HEIGHT * up.place(y))
        };
        let places: Vec<String> = points.iter().map(place).collect();
        svg += &format!(
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" points=\"{}\"/>\n",
            colour(index),
            places.join(" ")
        );
    }
    for mark in across.marks() {
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            LEFT + WIDTH * across.place(mark),
            bottom + 16.0,
            across.label(mark)
        );
    }
    svg += &format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        LEFT + WIDTH,
        bottom + 32.0,
        escaped(&chart.over)
    );
    (svg, bottom + 44.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_points() {
        let chart = Lines {
            label: "loss".into(),
            over: "tokens".into(),
            series: vec![("a".into(), vec![(0.0, 0.0), (1000.0, 0.5)]), ("b".into(), Vec::new())],
        };
        let (svg, end) = lines(&chart, 0.0);
        let bottom = 40.0 + HEIGHT;
        let expected = format!("points=\"{LEFT:.1},{bottom:.1} {:.1},40.0\"", LEFT + WIDTH);
        assert!(svg.contains(&expected), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(end > bottom && svg.contains(">1000</text>"));
    }
}
