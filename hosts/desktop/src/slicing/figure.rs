//! The paper's figure 3.2 as SVG: the density of each token's attention, and below it the attention between slices as
//! a heat map with the blocks of topics.

use std::fmt::Write as _;

use agentos_hal::Mass;
use agentos_kernel::slicing::topics::Cause;

use super::topics::Sliced;
use crate::chart::canvas::document;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 48.0;
const CURVE_TOP: f64 = 40.0;
const CURVE_HEIGHT: f64 = 120.0;
const MAP_TOP: f64 = CURVE_TOP + CURVE_HEIGHT + 48.0;

/// Points of the curve at most: more than a screen can tell apart.
const MOST_POINTS: usize = 2000;

/// Slices of the map at most; longer texts are shown up to there.
const MOST_SLICES: usize = 400;

/// Draws a text that was sliced with its picture. `title` stands above.
pub fn draw(sliced: &Sliced, title: &str) -> String {
    let height = MAP_TOP + WIDTH + 40.0;
    let width = LEFT + WIDTH + 16.0;
    document(title, width, height, LEFT, &format!("{}{}", curve(sliced), map(sliced)))
}

/// The density over the tokens, with lines where topics end.
fn curve(sliced: &Sliced) -> String {
    let tokens = sliced.density.len().max(1);
    let x = |token: f64| LEFT + WIDTH * token / tokens as f64;
    let y = |density: f64| CURVE_TOP + CURVE_HEIGHT * (1.0 - density.clamp(0.0, 1.0));
    let stride = tokens.div_ceil(MOST_POINTS);
    let points: Vec<String> = sliced
        .density
        .chunks(stride)
        .enumerate()
        .map(|(index, part)| {
            let mean = part.iter().map(|&d| f64::from(d)).sum::<f64>() / part.len() as f64;
            format!("{:.1},{:.1}", x((index * stride) as f64), y(mean))
        })
        .collect();
    let mut svg = format!(
        "<text x=\"4\" y=\"{:.1}\">D(t)</text><rect x=\"{LEFT}\" y=\"{CURVE_TOP}\" width=\"{WIDTH}\" \
         height=\"{CURVE_HEIGHT}\" fill=\"none\" stroke=\"#bbb\"/>\n\
         <polyline fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"0.8\" points=\"{}\"/>\n",
        CURVE_TOP + 12.0,
        points.join(" ")
    );
    for boundary in &sliced.boundaries {
        let x = x(f64::from(boundary.end.at));
        let colour = if boundary.cause == Cause::Change { "#c0392b" } else { "#7f8c8d" };
        writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{CURVE_TOP}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
            CURVE_TOP + CURVE_HEIGHT
        )
        .expect("a string takes all text");
    }
    let end = CURVE_TOP + CURVE_HEIGHT + 16.0;
    svg + &format!(
        "<text x=\"{LEFT}\" y=\"{end:.1}\">token 0</text><text x=\"{:.1}\" y=\"{end:.1}\" text-anchor=\"end\">{tokens}</text>\n",
        LEFT + WIDTH
    )
}

/// The attention that each slice pays to each, by the token: rows pay, columns receive. Squares are topics.
fn map(sliced: &Sliced) -> String {
    let shown = sliced.attention.len().min(MOST_SLICES);
    if shown == 0 {
        return String::new();
    }
    let starts: Vec<u32> = std::iter::once(0).chain(sliced.ends.iter().copied()).collect();
    let tokens = f64::from(starts[shown]);
    let place = |token: u32| WIDTH * f64::from(token) / tokens;
    let mut svg = format!(
        "<text x=\"{LEFT}\" y=\"{:.1}\">attention of slices (down) to slices (across)</text>\n<g \
         transform=\"translate({LEFT} {MAP_TOP})\">\n",
        MAP_TOP - 8.0
    );
    for (row, paid) in sliced.attention[..shown].iter().enumerate() {
        let (top, bottom) = (place(starts[row]), place(starts[row + 1]));
        for (column, shade) in shades(paid, &starts).into_iter().enumerate() {
            if shade > 0.01 {
                let (left, right) = (place(starts[column]), place(starts[column + 1]));
                writeln!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#1f5fa8\" \
                     fill-opacity=\"{shade:.2}\"/>",
                    right - left,
                    bottom - top
                )
                .expect("a string takes all text");
            }
        }
    }
    for topic in sliced.topics().iter().filter(|topic| topic.start < starts[shown]) {
        let (from, to) = (place(topic.start), place(topic.end.min(starts[shown])));
        writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{from:.1}\" width=\"{0:.1}\" height=\"{0:.1}\" fill=\"none\" \
             stroke=\"#c0392b\" stroke-width=\"1.5\"/>",
            to - from
        )
        .expect("a string takes all text");
    }
    svg + "</g>\n"
}

/// How dark each slice is in the row of one: attention by the token that receives it, of the most but for the first
/// slice, which has the sink. A root, so that what is faint is seen.
fn shades(paid: &[Mass], starts: &[u32]) -> Vec<f64> {
    let dense = |(slice, mass): (usize, &Mass)| {
        f64::from(mass.as_f32()) / f64::from((starts[slice + 1] - starts[slice]).max(1))
    };
    let density: Vec<f64> = paid.iter().enumerate().map(dense).collect();
    let most = density.iter().skip(usize::from(density.len() > 1)).copied().fold(0.0, f64::max);
    density.iter().map(|d| if most > 0.0 { (d / most).min(1.0).sqrt() } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentos_kernel::slicing::ends::{End, Structure};
    use agentos_kernel::slicing::topics::Boundary;

    fn sliced() -> Sliced {
        let boundary = Boundary {
            end: End { at: 16, structure: Structure::Sentence },
            score: 0.3,
            cause: Cause::Change,
        };
        Sliced {
            ends: vec![8, 16, 24],
            boundaries: vec![boundary],
            density: vec![0.5; 24],
            attention: vec![vec![Mass(8)], vec![Mass(8), Mass(4)], vec![Mass(8), Mass(0), Mass(2)]],
            ..Sliced::default()
        }
    }

    #[test]
    fn a_picture_has_a_curve_a_cell_for_each_pair_and_a_block_for_each_topic() {
        let svg = draw(&sliced(), "a <b> & c\u{1b}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt;b&gt; &amp; c "));
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert_eq!(svg.matches("<line ").count(), 1);
        assert_eq!(svg.matches("fill-opacity").count(), 5);
        assert_eq!(svg.matches("stroke-width=\"1.5\"").count(), 2);
    }

    #[test]
    fn shades_are_by_the_token_and_leave_the_sink_out() {
        let starts = [0, 8, 24, 32];
        assert_eq!(shades(&[Mass(800), Mass(16), Mass(2)], &starts), [1.0, 1.0, 0.5]);
        assert_eq!(shades(&[Mass(5)], &starts), [1.0]);
        assert_eq!(shades(&[Mass(0), Mass(0)], &starts), [0.0, 0.0]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(draw(&Sliced::default(), "").ends_with("</svg>\n"));
    }
}
