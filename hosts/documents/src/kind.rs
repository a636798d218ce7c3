//! What a file is.

use std::path::Path;

use crate::characters;
use crate::error::DocumentError;

/// The kinds of documents that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text as it is, with blank lines between its paragraphs.
    Text,
    /// CommonMark with tables.
    Markdown,
    /// A page of the web.
    Html,
    /// Pages that were laid out.
    Pdf,
}

/// Bytes at the beginning in which a PDF may have its mark.
const LOOKED_AT: usize = 1024;

/// Beginnings that other kinds have, with what they are called.
const OTHERS: [(&[u8], &str); 14] = [
    (b"PK\x03\x04", "a ZIP archive (an office document perhaps)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"%!PS", "PostScript"),
    (b"{\\rtf", "RTF"),
];

/// What a file is: by what is in it, and among texts by the ending of its name.
///
/// # Errors
/// [`DocumentError::Unknown`].
pub fn of(bytes: &[u8], name: &Path) -> Result<Kind, DocumentError> {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    if head.windows(5).any(|window| window == b"%PDF-") {
        return Ok(Kind::Pdf);
    }
    if let Some((_, what)) = OTHERS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Err(DocumentError::Unknown { looks_like: (*what).to_owned() });
    }
    if characters::is_binary(bytes) {
        return Err(DocumentError::Unknown { looks_like: "binary data".to_owned() });
    }
    let ending = name.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    Ok(match ending.as_deref() {
        Some("md" | "markdown" | "mkd") => Kind::Markdown,
        Some("html" | "htm" | "xhtml") => Kind::Html,
        _ if begins_as_html(head) => Kind::Html,
        _ => Kind::Text,
    })
}

fn begins_as_html(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |mark: &[u8]| head.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark));
    begins(b"<!doctype html") || begins(b"<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8], name: &str) -> Result<Kind, String> {
        of(bytes, Path::new(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn content_decides_before_the_name() {
        assert_eq!(kind(b"%PDF-1.7\n", "notes.txt"), Ok(Kind::Pdf));
        assert_eq!(kind(b"\r\n%PDF-1.4", "x"), Ok(Kind::Pdf));
        assert_eq!(kind(b"# A", "x.MD"), Ok(Kind::Markdown));
        assert_eq!(kind(b" <!DOCTYPE HTML><p>", "x"), Ok(Kind::Html));
        assert_eq!(kind(b"<p>", "x.htm"), Ok(Kind::Html));
        assert_eq!(kind(b"fn main() {}", "x.rs"), Ok(Kind::Text));
        assert_eq!(kind("\u{feff}Grüße".as_bytes(), "README"), Ok(Kind::Text));
    }

    #[test]
    fn others_are_refused_with_what_fits() {
        let refusal = kind(b"PK\x03\x04rest", "x.docx").unwrap_err();
        assert_eq!(
            refusal,
            "it is a ZIP archive (an office document perhaps); text, Markdown, HTML and PDF would fit"
        );
        assert!(kind(b"a\0b\0\x01\x02\xff", "x.md").unwrap_err().contains("binary"));
    }
}
