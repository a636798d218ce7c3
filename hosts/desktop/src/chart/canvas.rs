//! The page of a drawing.

use std::fmt::Write as _;

/// A whole drawing of this size with a title above `body`.
pub fn document(title: &str, width: f64, height: f64, left: f64, body: &str) -> String {
    let mut svg = String::new();
    write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"20\" font-size=\"14\">{}</text>\n{body}</svg>\n",
        escaped(title)
    )
    .expect("a string takes all text");
    svg
}

/// Text that cannot be taken for marks.
pub fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '&' => "&amp;".to_owned(),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_text_and_nothing_else() {
        let svg = document("a <b> & c\u{1b}", 10.0, 20.0, 3.0, "<g/>");
        assert!(svg.starts_with("<svg ") && svg.ends_with("<g/></svg>\n"));
        assert!(svg.contains(">a &lt;b&gt; &amp; c </text>"));
    }
}
