//! Keeping the content of messages from becoming control tokens while a chat template is rendered.
//!
//! The template's own text is encoded with control tokens, the content of messages without, but both
//! make one text: merges may cross their border, and templates trim, cut and test contents. So the
//! template gets the contents themselves. Only where a content holds the text of a control token, or
//! where its ends could make one together with the template's text, it gets a mark: a character that
//! no text may have (a Unicode noncharacter). The marks are taken out of the rendered text again, and
//! no control token may go across a place where one was.

use super::special::Specials;
use super::tokenizer::Tokenizer;

/// Characters that Unicode keeps out of texts.
pub(crate) const NONCHARACTERS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// Marks contents, and takes marks out of texts.
pub(crate) struct Guard<'t> {
    specials: &'t Specials,
    /// The texts of control and user-defined tokens.
    texts: Vec<&'t str>,
    mark: char,
}

/// A rendered text and the places that no control token may go across.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Guarded {
    pub(crate) text: String,
    /// Bytes from the text's start, rising.
    pub(crate) places: Vec<usize>,
}

impl<'t> Guard<'t> {
    /// A guard whose mark is in none of `texts`; `None` if every possible mark is.
    pub(crate) fn new<'a>(
        tokenizer: &'t Tokenizer,
        texts: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Guard<'t>> {
        let unused = |mark: &char| !texts.clone().any(|text| text.contains(*mark));
        let mark = NONCHARACTERS.into_iter().find(unused)?;
        let specials = tokenizer.specials();
        let bytes = specials.guarded().map(|id| tokenizer.piece(id));
        let texts = bytes.filter_map(|bytes| std::str::from_utf8(bytes).ok()).collect();
        Some(Guard { specials, texts, mark })
    }

    /// The mark, where a control token could be made of characters that JSON writes for others: of a backslash, or of a
    /// letter or digit behind one.
    pub(crate) fn mark_in_json(&self) -> Option<char> {
        let by_json = |text: &&str| {
            text.contains('\\') || text.starts_with(|first: char| first.is_ascii_alphanumeric())
        };
        self.texts.iter().any(by_json).then_some(self.mark)
    }

    /// The content with marks where it needs them, which is seldom.
    pub(crate) fn mark(&self, content: &str) -> String {
        let mut places = self.specials.bars(content);
        let core = content.trim();
        let core_start = content.len() - content.trim_start().len();
        for (start, part) in [(0, content), (core_start, core)] {
            if self.texts.iter().any(|text| could_share(part, text)) {
                places.extend([start, start + part.len()]);
            }
        }
        places.sort_unstable();
        places.dedup();
        let mut marked = String::with_capacity(content.len() + places.len() * self.mark.len_utf8());
        let mut at = 0;
        for place in places {
            marked.push_str(&content[at..place]);
            marked.push(self.mark);
            at = place;
        }
        marked.push_str(&content[at..]);
        marked
    }

    /// The rendered text without its marks, and where they were.
    pub(crate) fn unmark(&self, rendered: &str) -> Guarded {
        let mut guarded = Guarded { text: String::with_capacity(rendered.len()), places: Vec::new() };
        for (index, part) in rendered.split(self.mark).enumerate() {
            if index > 0 {
                guarded.places.push(guarded.text.len());
            }
            guarded.text.push_str(part);
        }
        guarded
    }
}

/// Whether text around `content` could complete it, or one end of it, to `token`.
fn could_share(content: &str, token: &str) -> bool {
    if content.is_empty() {
        return false;
    }
    let mut cuts = token.char_indices().map(|(cut, _)| cut).skip(1);
    token.contains(content)
        || cuts.any(|cut| content.starts_with(&token[cut..]) || content.ends_with(&token[..cut]))
}

#[cfg(test)]
mod tests {
    use super::could_share;

    #[test]
    fn an_end_that_a_template_could_complete_is_seen() {
        let token = "<|im_end|>";
        for content in ["x<", "x<|im_end|", ">", "|>x", "im_end|> x", "im", "|im_end|"] {
            assert!(could_share(content, token), "{content}");
        }
        for content in ["x", "", "im x", "x im_end|> x", "|>", "hello."] {
            assert_eq!(could_share(content, token), content == "|>", "{content}");
        }
    }
}
