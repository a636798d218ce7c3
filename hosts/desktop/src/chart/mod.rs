//! Drawings as SVG, which every browser shows.
//!
//! * [`canvas`]: the page that a drawing stands on, and text that cannot be taken for marks.
//! * [`bars`]: bars in groups. [`lines`](mod@lines): curves over a common axis. [`axis`]: the numbers beside both.

pub mod axis;
pub mod bars;
pub mod canvas;
pub mod lines;

pub use bars::{Bars, bars};
pub use lines::{Lines, lines};

/// Colours that are told apart also by those who see fewer: Okabe and Ito, "Color universal design" (2008).
pub const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#444444"];

/// The colour of series number `index`.
pub const fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// The width of what charts draw in.
pub const WIDTH: f64 = 720.0;

/// What is left of it, for the numbers.
pub const LEFT: f64 = 64.0;

/// The names of series beside their colours, in a row that begins at `y`.
pub fn legend(names: &[String], y: f64) -> String {
    let mut x = LEFT;
    let mut svg = String::new();
    for (index, name) in names.iter().enumerate() {
        let (colour, text) = (colour(index), canvas::escaped(name));
        svg += &format!(
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{text}</text>\n",
            y - 9.0,
            x + 14.0
        );
        x += 30.0 + 6.5 * name.chars().count() as f64;
    }
    svg
}
