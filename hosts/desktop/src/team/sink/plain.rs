//! Lines for a person.

use std::io::{BufWriter, Write};

use agentos_kernel::event::Event;
use agentos_kernel::memory::cold::StoreFault;
use unicode_width::UnicodeWidthStr;

use super::table::table;
use super::wrap::Wrap;
use super::{DeviceNews, KnowledgeNews, Refusal, Sink, Told, ToolNews};
use crate::team::Team;
use crate::team::json::Summary;
use crate::team::runner::RunError;
use crate::team::tools::Form;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of a line.
    pub columns: usize,
    /// Whether names have colours.
    pub colours: bool,
}

/// Columns of a name at most: the rest of a longer one is pushed to the right.
const NAME_COLUMNS: usize = 20;

/// Columns that are left to a text, however narrow the lines are.
const LEAST_COLUMNS: usize = 20;

/// Colours of names in turn, as terminals number them.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Bytes that wait to be written at most.
const ROOM: usize = 1 << 16;

/// Writes what agents say in lines, each under the name of who says it, so that it can be read when
/// several speak at once. A line is written when it is complete or as wide as it may be.
pub struct Plain<W: Write> {
    out: BufWriter<W>,
    style: Style,
    voices: Vec<Voice>,
    name_columns: usize,
    /// Faults of the cold store that were told: each kind once.
    faults: Vec<StoreFault>,
}

/// An agent as it is heard.
struct Voice {
    name: String,
    /// Columns between the name and the line.
    pad: usize,
    colour: u8,
    wrap: Wrap,
}

impl<W: Write> Plain<W> {
    /// Writes to `out`.
    pub fn new(team: &Team, style: Style, out: W) -> Plain<W> {
        let widths = team.agents.iter().map(|agent| agent.name.width());
        let name_columns = widths.max().unwrap_or(0).min(NAME_COLUMNS);
        let width = style.columns.saturating_sub(name_columns + MARGIN).max(LEAST_COLUMNS);
        let voice = |(index, name): (usize, &String)| Voice {
            name: name.clone(),
            pad: name_columns.saturating_sub(name.width()),
            colour: COLOURS[index % COLOURS.len()],
            wrap: Wrap::new(width),
        };
        let voices = team.agents.iter().map(|agent| &agent.name).enumerate().map(voice).collect();
        Plain { out: BufWriter::with_capacity(ROOM, out), style, voices, name_columns, faults: Vec::new() }
    }

    fn say(&mut self, member: usize, text: &str) -> Result<(), RunError> {
        let Voice { name, pad, colour, wrap } = &mut self.voices[member];
        let (out, style) = (&mut self.out, self.style);
        wrap.push(text, &mut |line| write_line(out, style, (name, *pad, *colour), SAYS, line))
            .map_err(RunError::Output)
    }

    /// Writes what is left of an agent's line.
    fn end_line(&mut self, member: usize) -> Result<(), RunError> {
        let Voice { name, pad, colour, wrap } = &mut self.voices[member];
        if wrap.is_empty() {
            return Ok(());
        }
        let (out, style) = (&mut self.out, self.style);
        wrap.finish(&mut |line| write_line(out, style, (name, *pad, *colour), SAYS, line))
            .map_err(RunError::Output)
    }

    /// Writes what happened to an agent.
    fn note(&mut self, member: usize, what: std::fmt::Arguments<'_>) -> Result<(), RunError> {
        self.end_line(member)?;
        let Voice { name, pad, colour, .. } = &self.voices[member];
        write_line(&mut self.out, self.style, (name, *pad, *colour), DOES, what).map_err(RunError::Output)
    }
}

impl<W: Write> Plain<W> {
    /// Writes what happened to all of them, under nobody's name.
    fn note_all(&mut self, what: std::fmt::Arguments<'_>) -> Result<(), RunError> {
        (0..self.voices.len()).try_for_each(|member| self.end_line(member))?;
        write_line(&mut self.out, self.style, ("", self.name_columns, COLOURS[0]), DOES, what)
            .map_err(RunError::Output)
    }

    /// Tells the first fault of each kind that the cold store had; the summary counts them.
    fn store_fault(&mut self, what: &str, fault: StoreFault) -> Result<(), RunError> {
        if self.faults.contains(&fault) {
            return Ok(());
        }
        self.faults.push(fault);
        self.note_all(format_args!("the cold store {what} ({})", fault.name()))
    }
}

/// Between a name and what the agent says, or what becomes of it.
const SAYS: char = '│';
const DOES: char = '·';

/// Columns between names and lines.
const MARGIN: usize = 3;

/// Characters of a call or a result that a line shows.
const SHOWN_CHARS: usize = 240;

/// A text in one line, cut where it is long.
fn one_line(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

fn write_line(
    out: &mut impl Write,
    style: Style,
    (name, pad, colour): (&str, usize, u8),
    mark: char,
    line: impl std::fmt::Display,
) -> std::io::Result<()> {
    let paint = |code: &'static str| if style.colours { code } else { "" };
    if style.colours {
        write!(out, "\x1b[{colour}m")?;
    }
    write!(out, "{name}{:pad$} {mark}{} ", "", paint("\x1b[0m"))?;
    if mark == DOES {
        return writeln!(out, "{}{line}{}", paint("\x1b[2m"), paint("\x1b[0m"));
    }
    writeln!(out, "{line}")
}

impl<W: Write> Sink for Plain<W> {
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError> {
        match told.record.event {
            Event::Thrashing { working, pages } => {
                return self.note_all(format_args!(
                    "what the running agents take turns with is {working} pages, and page memory has {pages}: nobody \
                     is let in until that fits"
                ));
            }
            Event::StoreFailed { fault } => return self.store_fault("does not take a slice", fault),
            Event::RecallFailed { fault, .. } => {
                return self.store_fault("does not give a slice, which is computed", fault);
            }
            _ => {}
        }
        let Some(member) = told.member else { return Ok(()) };
        match told.record.event {
            Event::Spawned { tokens, .. } => self.note(member, format_args!("spawned with {tokens} tokens")),
            Event::Token { .. } => self.say(member, told.text),
            Event::PageFault { base, tokens, .. } => {
                let end = base + tokens - 1;
                self.note(member, format_args!("looks for what it read at tokens {base} to {end}: paged in"))
            }
            Event::Replayed { tokens, .. } => {
                self.note(member, format_args!("reads its question again ({tokens} tokens)"))
            }
            Event::Finished { finish, generated, .. } => {
                self.say(member, told.text)?;
                let unfinished =
                    if told.form == Some(Form::Unfinished) { ", its answer unfinished" } else { "" };
                let finish = finish.name();
                self.note(member, format_args!("finished after {generated} tokens ({finish}){unfinished}"))
            }
            Event::Faulted { fault, .. } => {
                self.say(member, told.text)?;
                self.note(member, format_args!("taken out of service ({})", fault.name()))
            }
            _ => Ok(()),
        }
    }

    fn tool(&mut self, news: &ToolNews<'_>) -> Result<(), RunError> {
        match *news {
            ToolNews::Called { member, tool, arguments, .. } => {
                self.note(member, format_args!("calls {tool} with {}", one_line(arguments)))
            }
            ToolNews::Asked { member, by, .. } => self.note(member, format_args!("is asked by {by}")),
            ToolNews::Result { member, tool, outcome, text, .. } => {
                self.note(member, format_args!("{tool} {outcome}: {}", one_line(text)))
            }
        }
    }

    fn knowledge(&mut self, news: &KnowledgeNews<'_>) -> Result<(), RunError> {
        let passages = &news.given.passages;
        if passages.is_empty() {
            return self.note(news.member, format_args!("finds nothing to read"));
        }
        passages.iter().enumerate().try_for_each(|(number, passage)| {
            let (path, place, how) = (&passage.path, &passage.place, news.given.how(number));
            self.note(news.member, format_args!("reads {path} {place} ({:.2}, {how})", passage.score))
        })
    }

    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), RunError> {
        self.note(refusal.member, format_args!("refused: {}", refusal.reason))
    }

    /// Under nobody's name: it happens to all of them.
    fn device(&mut self, news: &DeviceNews) -> Result<(), RunError> {
        match *news {
            DeviceNews::Lost { .. } => {
                self.note_all(format_args!("the device was lost, and with it what was computed there"))
            }
            DeviceNews::Restored { took_us, .. } => self.note_all(format_args!(
                "the device is back after {:.1} s; the agents go on",
                took_us as f64 / 1e6
            )),
        }
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.out.flush().map_err(RunError::Output)
    }

    fn end(&mut self, _: u64, summary: &Summary) -> Result<(), RunError> {
        (0..self.voices.len()).try_for_each(|member| self.end_line(member))?;
        let text = table(summary, self.name_columns);
        self.out.write_all(text.as_bytes()).map_err(RunError::Output)?;
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use agentos_kernel::event::Record;

    use super::*;
    use crate::team::file::parse;
    use crate::team::name::Names;

    #[test]
    fn what_happens_to_all_is_told_and_each_kind_of_fault_once() {
        let team =
            parse(Path::new("team.toml"), "[[agent]]\nname = \"scout\"\nprompt = \"x\"\n").expect("a team");
        let mut printed = Vec::new();
        let mut plain = Plain::new(&team, Style { columns: 80, colours: false }, &mut printed);
        let events = [
            Event::StoreFailed { fault: StoreFault::Full },
            Event::StoreFailed { fault: StoreFault::Full },
            Event::Thrashing { working: 90, pages: 64 },
            Event::StoreFailed { fault: StoreFault::Io },
        ];
        for event in events {
            let record = Record { number: 0, at_us: 0, event };
            let told = Told { record: &record, member: None, text: "", form: None, names: &Names::default() };
            plain.event(&told).expect("written");
        }
        plain.flush().expect("written");
        drop(plain);
        let printed = String::from_utf8(printed).expect("a text");
        let lines: Vec<&str> = printed.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 3, "{printed}");
        assert_eq!(lines[0], "· the cold store does not take a slice (full)");
        assert!(lines[1].contains("90 pages, and page memory has 64"), "{printed}");
        assert_eq!(lines[2], "· the cold store does not take a slice (io)");
    }
}
