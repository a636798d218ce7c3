//! What the first lines of a crate say.

use super::Finding;
use super::code::code_only;

/// Crates that need neither an operating system nor trust.
const CORE: [&str; 2] = ["kernel/src/lib.rs", "hal/src/lib.rs"];
/// What such a crate declares.
const CORE_ATTRIBUTES: [&str; 3] = ["#![no_std]", "#![forbid(unsafe_code)]", "#![deny(missing_docs)]"];

/// Looks at crate roots: libraries, programs, and the files from which cargo makes tests and examples.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_root(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if !text.trim_start().starts_with("//!") {
        findings.push(Finding::at(path, 0, "a crate begins with a `//!` that says what lives there and why"));
    }
    if CORE.contains(&path) {
        let code = code_only(text);
        let missing = CORE_ATTRIBUTES.iter().filter(|attribute| !code.contains(**attribute));
        findings.extend(missing.map(|attribute| Finding::of(path, format!("{attribute} is missing"))));
    }
    findings
}

fn is_root(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (file, folder, above) = (parts.next(), parts.next(), parts.next());
    match (file, folder, above) {
        (Some("lib.rs" | "main.rs"), Some("src"), _) => true,
        (Some(file), Some("bin"), Some("src")) => file.ends_with(".rs"),
        // A file in a folder below these is a module of some test.
        (Some(file), Some("tests" | "examples" | "benches" | "fuzz_targets"), Some(above)) => {
            file.ends_with(".rs") && above != "src"
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_without_a_word_is_found() {
        assert_eq!(check("hosts/desktop/src/lib.rs", "pub mod fetch;\n")[0].line, Some(1));
        assert_eq!(check("hal/cpu/tests/suite.rs", "// Not a doc.\n").len(), 1);
        assert_eq!(check("hal/cpu/tests/suite.rs", "\n//! A doc.\n"), []);
        assert_eq!(check("hal/cpu/src/pool.rs", "pub struct Pool;\n"), []);
        assert_eq!(check("kernel/src/model/tests.rs", "use super::*;\n"), []);
    }

    #[test]
    fn the_core_declares_what_it_does_without() {
        let sound = "//! The kernel.\n#![no_std]\n#![forbid(unsafe_code)]\n#![deny(missing_docs)]\n";
        assert_eq!(check("kernel/src/lib.rs", sound), []);
        assert_eq!(check("hal/src/lib.rs", sound), []);
        let planted = sound.replace("#![no_std]", "// #![no_std]");
        assert_eq!(check("kernel/src/lib.rs", &planted)[0].what, "#![no_std] is missing");
    }
}
