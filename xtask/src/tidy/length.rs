//! A file holds one idea, so it is short.

use super::Finding;

/// Lines of a file that nobody minds.
const GOOD_LINES: usize = 400;
/// Lines that a file never exceeds.
const MOST_LINES: usize = 800;

/// Looks at code that people read: Rust and shaders.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if !(path.ends_with(".rs") || path.ends_with(".wgsl")) || lines <= GOOD_LINES {
        return Vec::new();
    }
    let mild = lines <= MOST_LINES;
    let bound = if mild { GOOD_LINES } else { MOST_LINES };
    vec![Finding { mild, ..Finding::of(path, format!("{lines} lines; at most {bound} would fit")) }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found() {
        let text = |lines| "x\n".repeat(lines);
        assert_eq!(check("a.rs", &text(400)), []);
        assert!(check("a.rs", &text(401))[0].mild);
        assert!(check("a.wgsl", &text(800))[0].mild);
        assert!(!check("a.rs", &text(801))[0].mild);
        assert_eq!(check("corpus.txt", &text(9000)), []);
    }
}
