//! From the bytes of a tool to text for a context.

use std::cell::Cell;
use std::fmt;

use crate::control::ControlStrings;
use crate::note::Note;
use crate::provenance::{Provenance, header};
use crate::reduce::fit::{MOST_BYTES_A_TOKEN, fit};
use crate::reduce::json::Document;
use crate::reduce::json::tree::{MAX_DEPTH, NoJson};
use crate::reduce::long::Long;
use crate::reduce::table::Table;
use crate::reduce::words::Words;
use crate::reduce::{Content, Cut, Score};
use crate::schema::{Mismatch, Schema};
use crate::text::{capped, decode, visible};

/// What is known of a result, and how much of it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// Where the tool had it from: a path, an address, a command. May be empty.
    pub source: &'a str,
    /// The call did not work, and the bytes say why.
    pub failed: bool,
    /// When it was taken, in whatever way the host tells times. May be empty.
    pub taken: &'a str,
    /// What the agent wants to know: what has to do with it is kept first. May be empty.
    pub about: &'a str,
    /// The declared character set, or a media type that names one.
    pub charset: Option<&'a str>,
    /// The declared shape of the output.
    pub schema: Option<&'a Schema>,
    /// The model's control strings.
    pub controls: &'a ControlStrings,
    /// Bytes that are looked at.
    pub limit_bytes: usize,
    /// Tokens that the text may have, its header among them.
    pub budget_tokens: usize,
}

/// What the host computes with its model.
pub struct Measures<'m> {
    /// The tokens of a text. Takes time in proportion to it, so it is asked a few times only, for texts of about
    /// the budget.
    pub count: &'m dyn Fn(&str) -> usize,
    /// Judges pieces of text; without it their words do.
    pub score: Option<&'m mut Score<'m>>,
}

/// Text for a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    /// The text, its header first. It holds no control string.
    pub text: String,
    /// Its tokens: at most the budget.
    pub tokens: usize,
    /// What was done to it.
    pub notes: Vec<Note>,
}

/// Why there is no text for a context.
///
/// What it says may quote the output: to give it to a model, [`align`] it as a result of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The output does not have its declared shape.
    Schema(Mismatch),
    /// Not even the header fits.
    Budget {
        /// Tokens of the header and the shortest mark.
        needed: usize,
        /// Tokens that there are.
        budget: usize,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Schema(mismatch) => write!(f, "the output {mismatch}"),
            Misfit::Budget { needed, budget } => write!(
                f,
                "the result's header alone takes {needed} tokens, and its budget is {budget}; {} would do",
                needed.saturating_mul(2)
            ),
        }
    }
}

impl std::error::Error for Misfit {}

/// Turns the bytes of a tool into text for a context.
///
/// # Errors
/// [`Misfit`].
pub fn align(bytes: &[u8], request: &Request<'_>, measures: Measures<'_>) -> Result<Aligned, Misfit> {
    let read = capped(bytes, request.limit_bytes);
    let decoded = decode(read, request.charset);
    if let Some(schema) = request.schema {
        hold(schema, bytes, &decoded.text, request.limit_bytes).map_err(Misfit::Schema)?;
    }
    let mut notes = notes_of(bytes, request, &decoded);
    let (clean, shown) = visible(&decoded.text);
    let json = Document::read(&decoded.text);
    if matches!(json, Err(NoJson::TooDeep)) {
        notes.push(Note::TooDeep { limit: MAX_DEPTH });
    }
    if shown.total() > 0 {
        notes.push(Note::Shown(shown));
    }
    let page = Page { provenance: provenance(bytes, request), controls: request.controls, notes };
    let whole = |text: &str| text.len() / MOST_BYTES_A_TOKEN <= request.budget_tokens;
    if whole(&clean) {
        let text = page.write(&clean, Cut::Nothing);
        let tokens = (measures.count)(&text.0);
        if tokens <= request.budget_tokens {
            return Ok(page.done(text, tokens, Cut::Nothing));
        }
    }
    let mut content = match json {
        Ok(document) => Content::Json(document),
        Err(_) => Table::read(&clean).map_or_else(|| Content::Long(Long::new(&clean)), Content::Table),
    };
    content.judge(&Words::of(request.about), measures.score);
    reduce(&page, &content, request.budget_tokens, measures.count)
}

fn hold(schema: &Schema, bytes: &[u8], text: &str, limit: usize) -> Result<(), Mismatch> {
    if bytes.len() > limit {
        return Err(Mismatch::TooLong { found: bytes.len(), limit });
    }
    schema.check(text).map(drop)
}

/// The most of it that fits.
fn reduce(
    page: &Page<'_>,
    content: &Content<'_>,
    budget: usize,
    count: &dyn Fn(&str) -> usize,
) -> Result<Aligned, Misfit> {
    let fewest = Cell::new(usize::MAX);
    let count = |text: &str| {
        let tokens = count(text);
        fewest.set(fewest.get().min(tokens));
        tokens
    };
    let make = |bytes: usize| {
        let reduced = content.within(bytes);
        Draft { text: page.write(&reduced.text, reduced.cut), cut: reduced.cut }
    };
    match fit(budget, &count, make) {
        Some(fitted) => Ok(page.done(fitted.text.text, fitted.tokens, fitted.text.cut)),
        None => Err(Misfit::Budget { needed: fewest.get(), budget }),
    }
}

struct Draft {
    text: (String, usize),
    cut: Cut,
}

impl AsRef<str> for Draft {
    fn as_ref(&self) -> &str {
        &self.text.0
    }
}

fn provenance<'a>(bytes: &[u8], request: &Request<'a>) -> Provenance<'a> {
    Provenance {
        tool: request.tool,
        source: request.source,
        failed: request.failed,
        taken: request.taken,
        bytes: bytes.len(),
    }
}

fn notes_of(bytes: &[u8], request: &Request<'_>, decoded: &crate::text::Decoded<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    if decoded.charset != "UTF-8" {
        notes.push(Note::Charset(decoded.charset));
    }
    if decoded.misdeclared {
        notes.push(Note::Misdeclared);
    }
    if decoded.invalid > 0 {
        notes.push(Note::Invalid(decoded.invalid));
    }
    if bytes.len() > request.limit_bytes {
        notes.push(Note::Capped { limit: request.limit_bytes });
    }
    notes
}

/// The page that a text is written on: its header, and the last step that every text goes through.
struct Page<'a> {
    provenance: Provenance<'a>,
    controls: &'a ControlStrings,
    notes: Vec<Note>,
}

impl Page<'_> {
    /// The header and the text without control strings, and how many were broken.
    fn write(&self, body: &str, cut: Cut) -> (String, usize) {
        let mut remarks: Vec<String> = self.notes.iter().map(Note::to_string).collect();
        if cut != Cut::Nothing {
            remarks.push(cut.to_string());
        }
        let mut text = header(&self.provenance, &remarks);
        if !body.is_empty() {
            text.push('\n');
            text.push_str(body);
        }
        let (escaped, broken) = self.controls.escape(&text);
        (escaped.into_owned(), broken)
    }

    fn done(&self, (text, broken): (String, usize), tokens: usize, cut: Cut) -> Aligned {
        let mut notes = self.notes.clone();
        if broken > 0 {
            notes.push(Note::Broken(broken));
        }
        if cut != Cut::Nothing {
            notes.push(Note::Cut(cut));
        }
        Aligned { text, tokens, notes }
    }
}
