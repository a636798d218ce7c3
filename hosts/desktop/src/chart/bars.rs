//! Bars in groups: a few figures of a few contenders.

use super::axis::{self, Axis};
use super::canvas::escaped;
use super::{LEFT, WIDTH, colour, legend};

/// Bars of several series in groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// What the numbers are.
    pub label: String,
    /// The series, each of one colour.
    pub series: Vec<String>,
    /// The groups: a name, and a number of each series; what is not there has no bar.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

const HEIGHT: f64 = 220.0;

/// Draws bars from `top` on; returns the drawing, and where it ends.
pub fn bars(chart: &Bars, top: f64) -> (String, f64) {
    let (top, bottom) = (top + 40.0, top + 40.0 + HEIGHT);
    let numbers = chart.groups.iter().flat_map(|(_, numbers)| numbers.iter().flatten().copied());
    let axis = Axis::of(numbers);
    let y = |number: f64| bottom - HEIGHT * axis.place(number);
    let mut svg = format!("<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>\n", top - 26.0, escaped(&chart.label));
    svg += &legend(&chart.series, top - 10.0);
    svg += &axis::draw(&axis, (LEFT, LEFT + WIDTH), (top, bottom));
    let group_width = WIDTH / chart.groups.len().max(1) as f64;
    let bar = group_width * 0.8 / chart.series.len().max(1) as f64;
    for (number, (name, numbers)) in chart.groups.iter().enumerate() {
        let left = LEFT + group_width * (number as f64 + 0.1);
        for (series, value) in numbers.iter().enumerate() {
            let Some(value) = value else { continue };
            let (from, to) = (y(value.max(0.0)), y(value.min(0.0)));
            svg += &format!(
                "<rect x=\"{:.1}\" y=\"{from:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\">\
                 <title>{value:.4}</title></rect>\n",
                left + bar * series as f64,
                bar * 0.92,
                (to - from).max(0.5),
                colour(series)
            );
        }
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            left + group_width * 0.4,
            bottom + 16.0,
            escaped(name)
        );
    }
    (svg, bottom + 28.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_bar_as_high_as_it_is() {
        let chart = Bars {
            label: "loss".into(),
            series: vec!["a".into(), "b<".into()],
            groups: vec![
                ("25 %".into(), vec![Some(0.2), Some(0.1)]),
                ("12 %".into(), vec![None, Some(-0.1)]),
            ],
        };
        let (svg, end) = bars(&chart, 0.0);
        let heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("<title>"))
            .map(|line| line.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 3);
        assert!((heights[0] - 2.0 * heights[1]).abs() < 0.2 && (heights[1] - heights[2]).abs() < 0.2);
        assert!(svg.contains("b&lt;") && end > HEIGHT);
        let (empty, _) = bars(&Bars::default(), 0.0);
        assert!(!empty.contains("<title>"));
    }
}
