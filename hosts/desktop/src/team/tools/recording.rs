//! What tools gave in an earlier run, for one that is to be the same: lines of `agentos run --json`.
//!
//! The calls of an agent are answered in the order in which it made them, each with what was read then. A call that is
//! not the recorded one ends the run: what it would have come to, nobody knows.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::task::Poll;

use agentos_hal::PeripheralError;
use agentos_kernel::tool::CallOutcome;
use serde::Deserialize;

use super::align::Reduce;

/// What tools gave in an earlier run.
#[derive(Debug, Default)]
pub struct Recording {
    /// By the names of agents.
    calls: HashMap<String, VecDeque<Recorded>>,
}

/// A call that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recorded {
    tool: String,
    /// Its arguments, as JSON.
    arguments: String,
    result: Option<Played>,
}

/// What came of a recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// What came of it.
    pub outcome: CallOutcome,
    /// The result as its agent read it.
    pub text: String,
    /// The output was of the form that its tool declares.
    pub fits: bool,
    /// What decided what of a long text is there.
    pub reduced: Option<Reduce>,
}

impl Played {
    /// What a tool says that it came of.
    pub fn result(&self) -> Poll<Result<(), PeripheralError>> {
        Poll::Ready(match self.outcome {
            CallOutcome::Done => Ok(()),
            CallOutcome::Refused => Err(PeripheralError::Refused),
            CallOutcome::Failed => Err(PeripheralError::Failed),
            CallOutcome::Output => Err(PeripheralError::Output),
            CallOutcome::Gone => Err(PeripheralError::Gone),
            // The kernel gives it up again, or has not begun with it.
            CallOutcome::TimedOut | CallOutcome::Budget | CallOutcome::Unknown => return Poll::Pending,
        })
    }
}

/// Why there is no recording.
#[derive(Debug)]
pub enum RecordingError {
    /// Its file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of it is none.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordingError::Read { path, source } => {
                write!(f, "cannot read the recording {}: {source}", path.display())
            }
            RecordingError::Line { path, line, why } => {
                write!(f, "{}, line {line}: {why}; what `agentos run --json` tells would fit", path.display())
            }
        }
    }
}

impl std::error::Error for RecordingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecordingError::Read { source, .. } => Some(source),
            RecordingError::Line { .. } => None,
        }
    }
}

/// An agent makes another call than the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The agent.
    pub agent: String,
    /// The tool and the arguments that it calls.
    pub called: (String, String),
    /// Those that were recorded; `None`: no further call, or none that was answered.
    pub recorded: Option<(String, String)>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { agent, called: (tool, arguments), recorded } = self;
        write!(f, "agent {agent} calls {tool} with {arguments}, ")?;
        match recorded {
            Some((tool, arguments)) => write!(f, "and the recording has {tool} with {arguments}")?,
            None => f.write_str("and the recording has no result for that")?,
        }
        f.write_str("; the run of the same team, model and seed would fit")
    }
}

impl std::error::Error for Mismatch {}

/// The lines that matter.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    ToolCalled {
        agent: String,
        call: u64,
        tool: String,
        arguments: String,
    },
    ToolResult {
        agent: String,
        call: u64,
        outcome: String,
        text: String,
        fits: bool,
        #[serde(default)]
        reduced: Option<String>,
    },
    Message {
        from: Option<String>,
    },
    Restored {},
    #[serde(other)]
    Other,
}

/// What may come of a call that is made once.
const OUTCOMES: [CallOutcome; 7] = [
    CallOutcome::Done,
    CallOutcome::Refused,
    CallOutcome::Failed,
    CallOutcome::Output,
    CallOutcome::TimedOut,
    CallOutcome::Gone,
    CallOutcome::Budget,
];

fn named(name: &str) -> Option<CallOutcome> {
    OUTCOMES.into_iter().find(|outcome| outcome.name() == name)
}

impl Recording {
    /// Reads the lines of a run.
    ///
    /// # Errors
    /// [`RecordingError`]: also of a run that people spoke in, or that went on from a checkpoint, as that was more than
    /// tools gave.
    pub fn read(path: &Path) -> Result<Recording, RecordingError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecordingError::Read { path: path.to_owned(), source })?;
        Recording::of(&text).map_err(|(line, why)| RecordingError::Line { path: path.to_owned(), line, why })
    }

    /// Of the lines; or the number of the one that is none, and why.
    fn of(text: &str) -> Result<Recording, (usize, String)> {
        let mut recording = Recording::default();
        let mut places = HashMap::new();
        for (line, number) in text.lines().zip(1..) {
            let wrong = |why: &str| Err((number, why.to_owned()));
            match serde_json::from_str(line).map_err(|error| (number, error.to_string()))? {
                Line::ToolCalled { agent, call, tool, arguments } => {
                    let calls = recording.calls.entry(agent).or_default();
                    places.insert(call, calls.len());
                    calls.push_back(Recorded { tool, arguments, result: None });
                }
                Line::ToolResult { agent, call, outcome, text, fits, reduced } => {
                    let recorded = places
                        .remove(&call)
                        .and_then(|place| recording.calls.get_mut(&agent).and_then(|all| all.get_mut(place)));
                    let (Some(recorded), Some(outcome)) = (recorded, named(&outcome)) else {
                        return wrong("a result without its call, or of an outcome that there is not");
                    };
                    let reduced = reduced.as_deref().and_then(Reduce::named);
                    recorded.result = Some(Played { outcome, text, fits, reduced });
                }
                Line::Message { from: None } => return wrong("somebody spoke with the agents"),
                Line::Restored {} => return wrong("the run went on from a checkpoint"),
                Line::Message { .. } | Line::Other => (),
            }
        }
        Ok(recording)
    }

    /// What comes of the next call of an agent.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn play(&mut self, agent: &str, tool: &str, arguments: &str) -> Result<Played, Mismatch> {
        let next = self.calls.get_mut(agent).and_then(VecDeque::pop_front);
        match next {
            Some(Recorded { tool: its, arguments: with, result: Some(played) })
                if its == tool && with == arguments =>
            {
                Ok(played)
            }
            other => Err(Mismatch {
                agent: agent.to_owned(),
                called: (tool.to_owned(), arguments.to_owned()),
                recorded: other
                    .filter(|other| other.result.is_some())
                    .map(|other| (other.tool, other.arguments)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLED: &str =
        r#"{"at_us":1,"event":"tool_called","agent":"ann","call":7,"tool":"clock","arguments":"{}"}"#;
    const RESULT: &str = r#"{"at_us":2,"event":"tool_result","agent":"ann","call":7,"tool":"clock","outcome":"done","text":"noon","fits":true,"reduced":"words"}"#;

    fn of(lines: &[&str]) -> Result<Recording, (usize, String)> {
        Recording::of(&lines.join("\n"))
    }

    #[test]
    fn calls_are_answered_once_each_and_no_others_are() {
        let mut recording =
            of(&[r#"{"at_us":0,"event":"step","rows":[{}]}"#, CALLED, RESULT, CALLED]).unwrap();
        let noon = Played {
            outcome: CallOutcome::Done,
            text: "noon".to_owned(),
            fits: true,
            reduced: Some(Reduce::Words),
        };
        assert_eq!(recording.play("ann", "clock", "{}"), Ok(noon));
        // The second was not answered.
        let refused = recording.play("ann", "clock", "{}").unwrap_err();
        assert_eq!(refused.recorded, None);
        let mut recording = of(&[CALLED, RESULT]).unwrap();
        assert_eq!(recording.play("ben", "clock", "{}").unwrap_err().recorded, None);
        let refused = recording.play("ann", "clock", "{\"zone\": \"UTC\"}").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "agent ann calls clock with {\"zone\": \"UTC\"}, and the recording has clock with {}; the run of the same \
             team, model and seed would fit"
        );
    }

    #[test]
    fn what_is_more_than_tools_gave_is_refused() {
        let spoken = r#"{"at_us":3,"event":"message","from":null,"to":"ann","tokens":4}"#;
        let among = r#"{"at_us":3,"event":"message","from":"ben","to":"ann","tokens":4}"#;
        let restored = r#"{"at_us":3,"event":"restored","agent":"ann","tokens":4,"computed":4}"#;
        assert!(of(&[among]).is_ok());
        for wrong in [spoken, restored, RESULT, "no line", r#"{"at_us":3}"#] {
            assert_eq!(
                of(&[CALLED, among, wrong, wrong]).map(|_| ()).unwrap_err().0,
                if wrong == RESULT { 4 } else { 3 }
            );
        }
    }
}
