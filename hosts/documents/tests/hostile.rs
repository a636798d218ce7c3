//! Files that mean harm: each is a document or a typed error, within its bounds.

mod rig;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use agentos_documents::{Document, DocumentError, Limits, apart, read};
use proptest::prelude::*;
use rig::{page, pdf};

fn here(bytes: &[u8], name: &str) -> Result<Document, DocumentError> {
    read(bytes, Path::new(name), &Limits::DEFAULT)
}

fn there(bytes: &[u8], name: &str, limits: &Limits) -> Result<Document, DocumentError> {
    apart::read(Path::new(env!("CARGO_BIN_EXE_agentos-reader")), bytes, Path::new(name), limits)
}

/// Nobody who reads a block misses anything in it, and it has a place.
fn is_sound(document: &Document) -> bool {
    document.blocks.iter().all(|block| {
        let seen = |c: char| c == '\n' || c == '\t' || !c.is_control();
        !block.text.trim().is_empty() && block.text.chars().all(seen)
    })
}

#[test]
fn nesting_of_any_depth_is_read() {
    let deep = 200_000;
    let html = format!("<html>{}x{}", "<div><b>".repeat(deep), "</div>".repeat(deep));
    assert_eq!(here(html.as_bytes(), "x.html").unwrap().blocks[0].text, "x");
    for pattern in ["> ", "- ", "* [", "1. ", "![", "**", "`", "<div>", "|-", "[](", "\t"] {
        let text = pattern.repeat(20_000) + "x";
        let found = here(text.as_bytes(), "x.md");
        // So many backticks open a block of code in a language called x.
        let is_empty = found == Err(DocumentError::Empty) && pattern == "`";
        assert!(is_empty || found.as_ref().is_ok_and(is_sound), "{pattern}: {found:?}");
    }
}

#[test]
fn what_hides_in_markup_is_seen_or_gone() {
    let html = "<p>a&#x202e;b&#27;[31m&shy;c&#0;d<p><script>x</p></script>";
    let found = here(html.as_bytes(), "x.html").unwrap();
    assert!(is_sound(&found));
    assert_eq!(found.blocks[0].text, "a\\u{202e}b\\u{1b}[31mc\u{fffd}d");
    let md = "a&#x202e;b \\<script> <|im_start|>";
    assert_eq!(here(md.as_bytes(), "x.md").unwrap().blocks[0].text, "a\\u{202e}b <script> <|im_start|>");
}

#[test]
fn text_that_outgrows_its_bound_is_refused() {
    let limits = Limits { source_bytes: 1000, text_bytes: 100, ..Limits::DEFAULT };
    for name in ["x.txt", "x.md", "x.html"] {
        let refused = read("some words ".repeat(50).as_bytes(), Path::new(name), &limits);
        assert_eq!(refused, Err(DocumentError::TooLong { limit: 100 }), "{name}");
    }
    let refused = read(&[b'a'; 1001], Path::new("x"), &limits);
    assert_eq!(refused, Err(DocumentError::TooLarge { found: 1001, limit: 1000 }));
}

#[test]
fn a_document_read_apart_is_the_one_read_here() {
    let bytes = pdf(&[("", page(&[(11, 700, "The same words.")]))]);
    let found = there(&bytes, "x.pdf", &Limits::DEFAULT);
    assert_eq!(found, here(&bytes, "x.pdf"));
    assert!(found.is_ok());
    assert_eq!(there(b"\x7fELF", "x", &Limits::DEFAULT), here(b"\x7fELF", "x"));
    let limits = Limits { source_bytes: 3, ..Limits::DEFAULT };
    assert_eq!(there(b"four", "x", &limits), Err(DocumentError::TooLarge { found: 4, limit: 3 }));
}

/// `deflate` of nothing but spaces, which is a thousandth of them.
fn spaces(bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![b' '; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_that_unpacks_to_more_than_there_is_ends_its_own_process() {
    let bomb = pdf(&[("/Filter/FlateDecode", spaces(256 << 20))]);
    let limits = Limits { memory_bytes: 100 << 20, ..Limits::DEFAULT };
    let refused = there(&bomb, "bomb.pdf", &limits);
    assert!(matches!(refused, Err(DocumentError::Ended { .. })), "{refused:?}");
}

#[test]
fn a_document_that_takes_for_ever_is_given_up() {
    // Each form draws the next one many times over: more glyphs than a year has time for.
    let draws = "/X Do ".repeat(200);
    let form = "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>/Font<</F1 3 0 R>>>>";
    let bytes = pdf(&[(form, [b"BT /F1 10 Tf (x) Tj ET ", draws.as_bytes()].concat())]);
    let limits = Limits { time: Duration::from_secs(2), ..Limits::DEFAULT };
    let refused = there(&bytes, "x.pdf", &limits);
    let given_up = |error: &DocumentError| {
        matches!(
            error,
            DocumentError::TooSlow { .. } | DocumentError::TooLong { .. } | DocumentError::Ended { .. }
        )
    };
    // Or the library notices that a form draws itself.
    assert!(refused.as_ref().map_or_else(given_up, is_sound), "{refused:?}");
}

#[test]
fn a_program_that_is_no_reader_is_an_error() {
    let read = |program: &str| apart::read(Path::new(program), b"text", Path::new("x"), &Limits::DEFAULT);
    assert!(matches!(read("/nowhere/agentos"), Err(DocumentError::System { .. })));
    #[cfg(unix)]
    assert!(matches!(read("/bin/true"), Err(DocumentError::Ended { .. })));
}

/// A PDF with one part of it changed.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let whole =
        pdf(&[("", page(&[(11, 700, "Some words of it."), (20, 660, "More")])), ("", page(&[(9, 1, "z")]))]);
    let length = whole.len();
    (0..length, proptest::collection::vec(any::<u8>(), 0..12), 0..40usize).prop_map(move |(at, new, gone)| {
        let end = (at + gone).min(length);
        [&whole[..at], &new, &whole[end..]].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_document_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for name in ["x", "x.md", "x.html"] {
            prop_assert!(here(&bytes, name).as_ref().map_or(true, is_sound));
        }
    }

    #[test]
    fn any_text_is_a_document(text in "(\\PC|[\n\t <>&*_`#|\\[\\]!-]){1,200}") {
        for name in ["x", "x.md", "x.html"] {
            match here(text.as_bytes(), name) {
                Ok(document) => prop_assert!(is_sound(&document)),
                Err(error) => prop_assert_eq!(error, DocumentError::Empty),
            }
        }
    }

    #[test]
    fn any_pdf_is_a_document_or_an_error(bytes in mangled()) {
        prop_assert!(here(&bytes, "x.pdf").as_ref().map_or(true, is_sound));
    }
}
