//! PDF, through `hayro`: pages are interpreted, and glyphs are read off where they would be drawn.

mod glyphs;
mod lines;

use hayro_interpret::hayro_syntax::{LoadPdfError, Pdf};
use hayro_interpret::kurbo::{Affine, Rect};
use hayro_interpret::{Context, InterpreterCache, InterpreterSettings, interpret_page};

use crate::characters;
use crate::document::{Document, Note, Place};
use crate::error::DocumentError;
use crate::kind::Kind;
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
        let too_long = || DocumentError::TooLong { limit: limits.text_bytes };
        let room = limits.text_bytes.checked_sub(bytes).ok_or_else(too_long)?;
        let mut glyphs = Glyphs::new(number, room);
        interpret_page(page, &mut context, &mut glyphs);
        nameless += glyphs.nameless;
        let read = glyphs.done().ok_or_else(too_long)?;
        bytes += read.iter().map(|line| line.text.len() as u64).sum::<u64>();
        lines.extend(read);
    }
    let running = lines::drop_running(&mut lines);
    let mut writer = Writer::new(limits);
    for (kind, text, page) in lines::blocks(&lines) {
        writer.push(kind, &text, Place::Page(page))?;
    }
    let nameless = (nameless > 0).then_some(Note::Nameless(nameless));
    let running = (running > 0).then_some(Note::Running(running));
    let mut document = writer.done(nameless.into_iter().chain(running));
    document.title = pdf.metadata().title.as_deref().and_then(named);
    Ok(document)
}

/// A title that was written as such texts are in a PDF: in UTF-16 or UTF-8 with their marks, or in bytes.
fn named(bytes: &[u8]) -> Option<String> {
    let characters = characters::decode(bytes, Kind::Text).ok()?;
    title(&characters.text)
}
