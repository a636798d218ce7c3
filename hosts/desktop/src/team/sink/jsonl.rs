//! A line of JSON for every event.

use std::io::{BufWriter, Write};

use super::{DeviceNews, KnowledgeNews, PeopleNews, Refusal, Sink, Told, ToolNews};
use crate::team::json::{Asked, Line, LineEvent, LinePassage, Summary, line};
use crate::team::knowledge::GivenPassage;
use crate::team::people::Asking;
use crate::team::runner::RunError;
use crate::team::tools::{Reply, Spoken};

/// Bytes that wait to be written at most.
const ROOM: usize = 1 << 16;

/// Writes a line of JSON for every event, and the summary last.
pub struct JsonLines<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { out: BufWriter::with_capacity(ROOM, out) }
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), RunError> {
        serde_json::to_writer(&mut self.out, line).map_err(|error| RunError::Output(error.into()))?;
        self.out.write_all(b"\n").map_err(RunError::Output)
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError> {
        match line(told.record, told.names, (told.text, told.form)) {
            Some(line) => self.write(&line),
            None => Ok(()),
        }
    }

    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), RunError> {
        let event = LineEvent::Refused { agent: refusal.name.into(), reason: refusal.reason.to_owned() };
        self.write(&Line { at_us: refusal.at_us, event })
    }

    fn device(&mut self, news: &DeviceNews) -> Result<(), RunError> {
        self.write(&match *news {
            DeviceNews::Lost { at_us, losses } => Line { at_us, event: LineEvent::DeviceLost { losses } },
            DeviceNews::Restored { at_us, tries, took_us } => {
                Line { at_us, event: LineEvent::DeviceRestored { tries, took_us } }
            }
        })
    }

    fn tool(&mut self, news: &ToolNews<'_>) -> Result<(), RunError> {
        let (at_us, event) = match *news {
            ToolNews::Called { name, at_us, call, tool, arguments, .. } => {
                let (tool, arguments) = (tool.to_owned(), arguments.to_owned());
                (at_us, LineEvent::ToolCalled { agent: name.into(), call, tool, arguments })
            }
            ToolNews::Asked { name, at_us, call, by, depth, .. } => {
                (at_us, LineEvent::Asked { agent: name.into(), by: by.into(), call, depth })
            }
            ToolNews::Result { name, at_us, call, tool, outcome, text, fits, reduced, .. } => {
                let (agent, tool, text) = (name.into(), tool.to_owned(), text.to_owned());
                (at_us, LineEvent::ToolResult { agent, call, tool, outcome, text, fits, reduced })
            }
        };
        self.write(&Line { at_us, event })
    }

    fn people(&mut self, news: &PeopleNews<'_>) -> Result<(), RunError> {
        let Spoken { asking, reply, .. } = news.spoken;
        let call = news.spoken.call();
        let (kind, agent, what) = match asking {
            Asking::Question { agent, question } => {
                ("question", Some(agent), Asked { question: Some(question), ..Asked::default() })
            }
            Asking::Approval { agent, tool, arguments, again } => {
                let asked =
                    Asked { tool: Some(tool), arguments: Some(arguments), again: *again, question: None };
                ("approval", Some(agent), asked)
            }
            Asking::Pause => ("pause", None, Asked::default()),
        };
        let agent = agent.map(|agent| agent.as_str().into());
        let event = match reply {
            Reply::Awaited => LineEvent::PersonAsked { agent, call, kind, what },
            Reply::Answered(answer) => {
                LineEvent::PersonAnswered { agent, call, kind, reply: reply.name(), answer: Some(answer) }
            }
            _ => LineEvent::PersonAnswered { agent, call, kind, reply: reply.name(), answer: None },
        };
        self.write(&Line { at_us: news.at_us, event })
    }

    fn knowledge(&mut self, news: &KnowledgeNews<'_>) -> Result<(), RunError> {
        let given = |(number, passage): (usize, &GivenPassage)| LinePassage {
            collection: passage.collection.clone(),
            path: passage.path.clone(),
            place: passage.place.clone(),
            tokens: passage.tokens.len(),
            score: passage.score,
            how: news.given.how(number),
        };
        let passages = news.given.passages.iter().enumerate().map(given).collect();
        self.write(&Line {
            at_us: news.at_us,
            event: LineEvent::Knowledge { agent: news.name.into(), passages },
        })
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.out.flush().map_err(RunError::Output)
    }

    fn end(&mut self, at_us: u64, summary: &Summary) -> Result<(), RunError> {
        self.write(&Line { at_us, event: LineEvent::Summary(Box::new(summary.clone())) })?;
        self.flush()
    }
}
