//! Documents as plain text with structure and places: text, Markdown, HTML and PDF.
//!
//! * [`kind`]: what a file is, by what is in it first and by its name second.
//! * [`characters`]: bytes become characters, whatever character set they are in.
//! * [`text`], [`markdown`], [`html`], [`pdf`]: one reader each, over libraries that others keep.
//! * [`document`]: what they give: blocks (headings, paragraphs, items, rows, code) that know their place.
//! * [`apart`]: reading in a process of its own, with bounds on its memory and its time.
//!
//! [`read`] is a pure function of the bytes. What must never happen in it: a panic, whatever the bytes; a
//! character in a block that a reader would not see; a block without its place; something left out without a
//! note. What a library below may do with a hostile file (a PDF above all: streams that unpack to gigabytes,
//! objects that refer to themselves) is bounded by [`apart`], which hosts use for files of strangers.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod apart;
pub mod characters;
pub mod document;
pub mod error;
pub mod html;
pub mod kind;
pub mod limits;
pub mod markdown;
pub mod pdf;
pub mod text;
mod write;

use std::path::Path;

pub use document::{Block, BlockKind, Document, Note, Place};
pub use error::DocumentError;
pub use kind::Kind;
pub use limits::Limits;

/// Reads a document. `name` is its file's, whose ending tells kinds apart that look alike.
///
/// # Errors
/// Any [`DocumentError`] but those of a process.
pub fn read(bytes: &[u8], name: &Path, limits: &Limits) -> Result<Document, DocumentError> {
    let found = bytes.len() as u64;
    if found > limits.source_bytes {
        return Err(DocumentError::TooLarge { found, limit: limits.source_bytes });
    }
    let document = match kind::of(bytes, name)? {
        Kind::Pdf => pdf::read(bytes, limits)?,
        kind => {
            let characters = characters::decode(bytes, kind)?;
            match kind {
                Kind::Markdown => markdown::read(&characters, limits),
                Kind::Html => html::read(&characters, limits),
                Kind::Text | Kind::Pdf => text::read(&characters, limits),
            }?
        }
    };
    if document.blocks.is_empty() { Err(DocumentError::Empty) } else { Ok(document) }
}
