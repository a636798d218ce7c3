//! HTML, through `html5gum`: its tokens, as browsers take them, without a tree that could be too deep.

use std::convert::Infallible;
use std::ops::Range;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use crate::characters::Characters;
use crate::document::{BlockKind, Document};
use crate::error::DocumentError;
use crate::limits::Limits;
use crate::write::{Places, Writer, title};

/// Reads a page of the web: what is on it to be read, without scripts, styles and ways to other pages.
///
/// # Errors
/// [`DocumentError::TooLong`].
pub fn read(characters: &Characters<'_>, limits: &Limits) -> Result<Document, DocumentError> {
    let page = tokens(&characters.text);
    let mut writer = Writer::new(limits);
    let mut places = Places::new(characters);
    for found in page.found {
        writer.push(found.kind, &found.text, places.of(found.range))?;
    }
    let mut document = writer.done(characters.notes.iter().cloned());
    document.title = title(&page.title);
    Ok(document)
}

/// The blocks of a piece of HTML that stands in another document.
pub(crate) fn blocks(piece: &str) -> impl Iterator<Item = (BlockKind, String)> {
    tokens(piece).found.into_iter().map(|found| (found.kind, found.text))
}

fn tokens(text: &str) -> Page {
    let page = page(text, true);
    // An element that is never closed would swallow the rest.
    if page.silent.is_some() { self::page(text, false) } else { page }
}

fn page(text: &str, skips: bool) -> Page {
    let mut page = Page { skips, ..Page::default() };
    let mut emitter = CallbackEmitter::new(&mut page);
    emitter.naively_switch_states(true);
    // Neither a string nor this emitter can fail.
    let Ok(()) = Tokenizer::new_with_emitter(text, emitter).finish();
    page.close();
    page
}

#[derive(Default)]
struct Page {
    title: String,
    found: Vec<Found>,
    open: Option<Found>,
    /// The start tag that is being read.
    tag: Vec<u8>,
    /// Whether the attribute that is being read may make its element silent.
    attribute: Vec<u8>,
    hides: bool,
    /// Whether elements may be silent.
    skips: bool,
    /// An element whose text is not the document's, and how many of its name are open in it.
    silent: Option<(Vec<u8>, usize)>,
    in_title: bool,
    /// How many elements are open that keep lines and spaces.
    kept: usize,
}

struct Found {
    kind: BlockKind,
    text: String,
    range: Range<usize>,
}

/// Elements without text to be read.
const SILENT: [&[u8]; 14] = [
    b"script",
    b"style",
    b"template",
    b"nav",
    b"noscript",
    b"iframe",
    b"object",
    b"select",
    b"button",
    b"svg",
    b"canvas",
    b"audio",
    b"video",
    b"textarea",
];

/// Elements that begin and end a block.
const BLOCKS: [&[u8]; 32] = [
    b"p",
    b"div",
    b"section",
    b"article",
    b"main",
    b"header",
    b"footer",
    b"aside",
    b"blockquote",
    b"ul",
    b"ol",
    b"dl",
    b"dt",
    b"dd",
    b"li",
    b"table",
    b"thead",
    b"tbody",
    b"tfoot",
    b"tr",
    b"caption",
    b"form",
    b"fieldset",
    b"figure",
    b"figcaption",
    b"address",
    b"details",
    b"summary",
    b"hr",
    b"body",
    b"html",
    b"head",
];

impl Callback<Infallible, usize> for &mut Page {
    fn handle_event(&mut self, event: CallbackEvent<'_>, span: Span<usize>) -> Option<Infallible> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.clear();
                self.tag.extend_from_slice(name);
                self.hides = SILENT.contains(&name);
            }
            CallbackEvent::AttributeName { name } => {
                self.attribute.clear();
                self.attribute.extend_from_slice(name);
                self.hides |= name == b"hidden";
            }
            CallbackEvent::AttributeValue { value } => {
                self.hides |= self.attribute == b"role" && matches!(value, b"navigation" | b"search");
            }
            CallbackEvent::CloseStartTag { .. } => {
                let tag = std::mem::take(&mut self.tag);
                self.start(&tag, span.start);
                self.tag = tag;
            }
            CallbackEvent::EndTag { name } => self.end(name, span.start),
            CallbackEvent::String { value } => {
                self.text(&String::from_utf8_lossy(value), span.start..span.end)
            }
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
        }
        None
    }
}

impl Page {
    fn start(&mut self, name: &[u8], at: usize) {
        if let Some((silent, depth)) = &mut self.silent {
            *depth += usize::from(silent.as_slice() == name);
            return;
        }
        // The parts of a page itself cannot be silent, or nothing is left.
        let part =
            matches!(name, b"html" | b"body" | b"main" | b"article" | b"br" | b"img" | b"input" | b"hr");
        if self.hides && self.skips && !part {
            self.silent = Some((name.to_vec(), 1));
            return;
        }
        match name {
            b"title" => self.in_title = true,
            b"br" => self.text("\n", at..at),
            b"td" | b"th" => {
                let between = self.open.as_ref().is_some_and(|open| !open.text.trim().is_empty());
                if between {
                    self.text(" | ", at..at);
                }
            }
            b"tr" => self.open(BlockKind::Row, at),
            // A list in a table's cell stays in its row.
            b"li" if self.is_open(BlockKind::Row) => self.text(" ", at..at),
            b"p" | b"div" | b"ul" | b"ol" if self.is_open(BlockKind::Row) => self.text(" ", at..at),
            b"li" => {
                self.open(BlockKind::Item, at);
                self.text("- ", at..at);
            }
            b"p" | b"div" if self.is_fresh_item() => {}
            b"pre" => {
                self.kept += 1;
                self.open(BlockKind::Code, at);
            }
            _ => match heading(name) {
                Some(level) => self.open(BlockKind::Heading(level), at),
                None if BLOCKS.contains(&name) => self.open(BlockKind::Paragraph, at),
                None => {}
            },
        }
    }

    fn end(&mut self, name: &[u8], at: usize) {
        if let Some((silent, depth)) = &mut self.silent {
            *depth -= usize::from(silent.as_slice() == name);
            if *depth == 0 {
                self.silent = None;
            }
            return;
        }
        match name {
            b"title" => self.in_title = false,
            b"p" | b"div" | b"ul" | b"ol" | b"li" if self.is_open(BlockKind::Row) => {}
            b"pre" => {
                self.kept = self.kept.saturating_sub(1);
                self.close();
            }
            _ if heading(name).is_some() || BLOCKS.contains(&name) => self.open(BlockKind::Paragraph, at),
            _ => {}
        }
    }

    fn text(&mut self, text: &str, range: Range<usize>) {
        if self.silent.is_some() {
            return;
        }
        if self.in_title {
            self.title.push_str(text);
            return;
        }
        let kind = if self.kept > 0 { BlockKind::Code } else { BlockKind::Paragraph };
        let open = self.open.get_or_insert_with(|| Found { kind, text: String::new(), range: range.clone() });
        if open.text.trim().is_empty() && !text.trim().is_empty() {
            open.range.start = range.start;
        }
        open.text.push_str(text);
        open.range.end = open.range.end.max(range.end);
    }

    fn open(&mut self, kind: BlockKind, at: usize) {
        self.close();
        let kind = if self.kept > 0 { BlockKind::Code } else { kind };
        self.open = Some(Found { kind, text: String::new(), range: at..at });
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if matches!(open.kind, BlockKind::Heading(_)) {
            // The sign by which pages show that a heading can be linked to.
            open.text.truncate(open.text.trim_end().trim_end_matches(['¶', '#', '§']).len());
        }
        let is_bare = matches!(open.text.trim(), "" | "-");
        if !is_bare {
            self.found.push(open);
        }
    }

    fn is_open(&self, kind: BlockKind) -> bool {
        self.open.as_ref().is_some_and(|open| open.kind == kind)
    }

    fn is_fresh_item(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.kind == BlockKind::Item && open.text.trim() == "-")
    }
}

fn heading(name: &[u8]) -> Option<u8> {
    match name {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Place, joined};

    fn document(text: &str) -> Document {
        let characters = Characters { text: text.into(), offset: 0, notes: Vec::new() };
        read(&characters, &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn structure_is_kept() {
        let text = "<!doctype html><title>A &lt;page&gt;</title><style>p{}</style><nav><p>elsewhere</nav>\
                    <h2 id=x>Use<a href=#x>¶</a></h2><p>One\n two<br>three &amp; four<p>five\
                    <ul><li>a<li><p>b</p></ul><table><tr><th>h<th>i<tr><td><p>1</p><td>2</table>\
                    <pre>  x\n\n  y</pre><div role=navigation><div>menu</div></div><script>'</p>'</script>end";
        let found = document(text);
        assert_eq!(found.title.as_deref(), Some("A <page>"));
        let expected = "Use\n\nOne two three & four\n\nfive\n\n- a\n- b\n\nh | i\n1 | 2\n\n  x\n\n  y\n\nend";
        assert_eq!(joined(&found.blocks), expected);
        let Place::Characters { bytes, line: 2 } = &found.blocks[2].place else { panic!() };
        assert!(text[bytes.start as usize..bytes.end as usize].starts_with("five"));
    }

    #[test]
    fn what_is_never_closed_hides_nothing() {
        assert_eq!(joined(&document("<nav>all of <p>the page").blocks), "all of\n\nthe page");
        assert_eq!(joined(&document("<p>a<!-- b").blocks), "a");
    }
}
