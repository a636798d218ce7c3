//! Writing to a person or a program.

use agentos_hal::Console;

use super::error::CliError;

/// A result in lines of text, or as one line of JSON.
pub fn write_all(console: &mut Console<'_>, text: &str) -> Result<(), CliError> {
    console.write_all(text.as_bytes())?;
    Ok(console.flush()?)
}

/// One JSON value on a line.
pub fn write_json(console: &mut Console<'_>, value: &impl serde::Serialize) -> Result<(), CliError> {
    let mut line = serde_json::to_string(value).expect("the program's own types can be written as JSON");
    line.push('\n');
    write_all(console, &line)
}

/// Appends text from a model, made fit for a terminal: control characters but line ends and tabs could
/// steer it.
pub fn push_harmless(text: &str, out: &mut String) {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    out.extend(text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_steer_the_terminal() {
        let mut out = String::new();
        push_harmless("a\x1b[2J\tb\r\n", &mut out);
        assert_eq!(out, "a\u{fffd}[2J\tb\u{fffd}\n");
    }
}
