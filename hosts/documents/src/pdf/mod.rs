//! PDF, through `hayro`: pages are interpreted, and glyphs are read off where they would be drawn.

mod glyphs;
mod lines;

use agentos_perception::text::visible;
use hayro_interpret::hayro_syntax::{LoadPdfError, Pdf};
use hayro_interpret::kurbo::{Affine, Rect};
use hayro_interpret::{Context, InterpreterCache, InterpreterSettings, interpret_page};

use crate::document::{Document, Note, Place};
use crate::error::DocumentError;
use crate::limits::Limits;
use crate::write::{Writer, title};
use glyphs::Glyphs;
use lines::Line;

/// Reads a PDF. A library takes it apart, whose time and memory a hostile file decides: of strangers' files,
/// read [`crate::apart`].
///
/// # Errors
/// [`DocumentError::Locked`], [`DocumentError::Broken`], [`DocumentError::Pages`], [`DocumentError::TooLong`].
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Document, DocumentError> {
    let pdf = Pdf::new(bytes.to_vec()).map_err(|error| match error {
        LoadPdfError::Decryption(_) => DocumentError::Locked,
        LoadPdfError::Invalid => DocumentError::Broken,
    })?;
    let pages = pdf.pages();
    let found = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    if found > limits.pages {
        return Err(DocumentError::Pages { found, limit: limits.pages });
    }
    let cache = InterpreterCache::new();
    let mut lines: Vec<Line> = Vec::new();
    let (mut nameless, mut bytes) = (0, 0);
    for (number, page) in (1_u32..).zip(pages.iter()) {
        let bbox = Rect::new(0.0, 0.0, 1.0, 1.0);
        let settings = InterpreterSettings::default();
        let mut context = Context::new(Affine::IDENTITY, bbox, &cache, pdf.xref(), settings);
        let mut glyphs = Glyphs::new(number, limits.text_bytes - bytes);
        interpret_page(page, &mut context, &mut glyphs);
        nameless += glyphs.nameless;
        let read = glyphs.done().ok_or(DocumentError::TooLong { limit: limits.text_bytes })?;
        bytes += read.iter().map(|line| line.text.len() as u64).sum::<u64>();
        lines.extend(read);
    }
    let mut writer = Writer::new(limits);
    for (kind, text, page) in lines::blocks(&lines) {
        writer.push(kind, &text, Place::Page(page))?;
    }
    let mut document = writer.done((nameless > 0).then_some(Note::Nameless(nameless)));
    let named = pdf.metadata().title.as_ref().map(|title| String::from_utf8_lossy(title).into_owned());
    document.title = named.and_then(|name| title(&visible(&name).0));
    Ok(document)
}
