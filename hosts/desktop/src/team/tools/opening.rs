//! Where a call begins in what a model says.

use crate::text::Opens;

/// What a token has of a call that begins with it: what stands behind its opening. `tail` is what was said before, as
/// far as a call may have begun in it.
pub fn begun(opens: &Opens, tail: &mut String, (token, text): (u32, &str)) -> Option<String> {
    tail.push_str(text);
    let behind = match opens {
        Opens::Token(id) => (token == *id).then_some(""),
        Opens::Text(opens) => tail.split_once(opens.as_str()).map(|(_, behind)| behind),
        Opens::Answer(opens) => tail.trim_start().strip_prefix(opens.as_str()),
    };
    let begun = behind.map(str::to_owned);
    match opens {
        _ if begun.is_some() => tail.clear(),
        Opens::Token(_) => tail.clear(),
        Opens::Text(opens) => keep_end(tail, opens.len()),
        // What an answer begins with, it has begun with for good.
        Opens::Answer(opens) => keep_start(tail, opens.len()),
    }
    begun
}

/// Keeps the first characters of a text behind white space: at least so many bytes, where there are.
fn keep_start(text: &mut String, bytes: usize) {
    let white = text.len() - text.trim_start().len();
    text.drain(..white);
    if let Some((end, _)) = text.char_indices().find(|(at, _)| *at >= bytes) {
        text.truncate(end);
    }
}

/// Keeps the last characters of a text: at least so many bytes, where there are.
fn keep_end(text: &mut String, bytes: usize) {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    text.drain(..from);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a call's beginning when these tokens have been said.
    fn begin(opens: &Opens, said: &[&str]) -> Option<String> {
        let mut tail = String::new();
        said.iter().find_map(|text| begun(opens, &mut tail, (7, text)))
    }

    #[test]
    fn a_call_begins_wherever_its_opening_ends() {
        let text = Opens::Text("<call>".to_owned());
        for (said, left) in [
            (&["I look. ", "<ca", "ll>"][..], Some("")),
            (&["<call>{\"na"], Some("{\"na")),
            (&["<call", " >"], None),
            (&["é".repeat(9).as_str(), "<cal", "l>x"], Some("x")),
        ] {
            assert_eq!(begin(&text, said).as_deref(), left, "{said:?}");
        }
        let answer = Opens::Answer("{\"name\": \"".to_owned());
        for (said, left) in [
            (&["\n", "{\"", "name", "\": \"cl"][..], Some("cl")),
            (&["So: ", "{\"name\": \""], None),
            (&["{\"nam", "es\": 1} ", "{\"name\": \""], None),
        ] {
            assert_eq!(begin(&answer, said).as_deref(), left, "{said:?}");
        }
        assert_eq!(begin(&Opens::Token(7), &["["]).as_deref(), Some(""));
        assert_eq!(begin(&Opens::Token(8), &["<call>"]), None);
    }

    #[test]
    fn the_end_of_a_text_is_kept_in_whole_characters() {
        let mut text = "a→→b".to_owned();
        keep_end(&mut text, 3);
        assert_eq!(text, "→b");
        keep_end(&mut text, 99);
        assert_eq!(text, "→b");
    }
}
