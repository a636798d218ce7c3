//! What people are asked, and what they answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::team::tools::words;

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asking {
    /// A question of an agent.
    Question {
        /// Who asks.
        agent: String,
        /// The question, as the agent wrote it.
        question: String,
    },
    /// Whether a call may be made.
    Approval {
        /// Whose call it is.
        agent: String,
        /// The tool.
        tool: String,
        /// The call's exact arguments, as JSON.
        arguments: String,
        /// It is made once more, after a restore.
        again: bool,
    },
    /// When everybody is to go on.
    Pause,
}

impl Asking {
    /// What is put to a person at a terminal. Nothing in it steers one.
    pub fn text(&self) -> String {
        match self {
            Asking::Question { agent, question } => words::asks(agent, question),
            Asking::Approval { agent, tool, arguments, again } => {
                words::question(agent, tool, arguments, *again)
            }
            Asking::Pause => words::PAUSED.to_owned(),
        }
    }

    /// The only answers that it takes; none where it takes any.
    pub fn options(&self) -> &'static [&'static str] {
        match self {
            Asking::Approval { .. } => &["yes", "no"],
            Asking::Question { .. } | Asking::Pause => &[],
        }
    }
}

/// Most bytes of an answer.
pub const MOST_ANSWER_BYTES: usize = 4096;

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// There never was such a question.
    Unknown {
        /// Its number.
        id: u64,
    },
    /// It was answered already, or nobody waits for it any more.
    Closed {
        /// Its number.
        id: u64,
    },
    /// It takes other answers.
    Option {
        /// Those.
        options: &'static [&'static str],
    },
    /// It is too long.
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// Everybody pauses already.
    Paused,
    /// Nobody pauses.
    NotPaused,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerError::Unknown { id } => write!(f, "there is no question {id}; GET /questions lists them"),
            AnswerError::Closed { id } => {
                write!(f, "question {id} was answered already, or nobody waits for it any more")
            }
            AnswerError::Option { options } => {
                write!(f, "one of these would be an answer: {}", options.join(", "))
            }
            AnswerError::TooLong { bytes } => {
                write!(f, "an answer of {bytes} bytes; {MOST_ANSWER_BYTES} would fit")
            }
            AnswerError::Paused => f.write_str("everybody pauses already; POST /resume lets them go on"),
            AnswerError::NotPaused => f.write_str("nobody pauses; POST /pause makes everybody pause"),
        }
    }
}

impl std::error::Error for AnswerError {}

/// What people are asked, and what they answer, between the run and those who answer. Copies are the same board.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Questions so far: they are numbered from 1.
    asked: u64,
    open: BTreeMap<u64, Open>,
    /// Somebody wants everybody to pause.
    pause_wanted: bool,
    /// What is said to all when that pause, which has not begun, ends.
    resumed: Option<String>,
}

struct Open {
    asking: Asking,
    since: Instant,
    answer: Option<String>,
}

impl Board {
    /// Puts a question up; returns its number.
    pub fn post(&self, asking: Asking) -> u64 {
        let mut state = self.lock();
        state.asked += 1;
        let id = state.asked;
        let is_pause = asking == Asking::Pause;
        state.pause_wanted &= !is_pause;
        let answer = if is_pause { state.resumed.take() } else { None };
        state.open.insert(id, Open { asking, since: Instant::now(), answer });
        id
    }

    /// The answer to a question, which is closed with that.
    pub fn take(&self, id: u64) -> Option<String> {
        let mut state = self.lock();
        let answer = state.open.get_mut(&id)?.answer.take()?;
        state.open.remove(&id);
        Some(answer)
    }

    /// Nobody waits for an answer any more.
    pub fn close(&self, id: u64) {
        self.lock().open.remove(&id);
    }

    /// Whether somebody wants a pause that has not begun: it does when it is posted.
    pub fn wants_pause(&self) -> bool {
        self.lock().pause_wanted
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`AnswerError`], but for those of pauses.
    pub fn answer(&self, id: u64, answer: String) -> Result<(), AnswerError> {
        let mut state = self.lock();
        let known = 0 < id && id <= state.asked;
        let open = state.open.get_mut(&id).filter(|open| open.asking != Asking::Pause);
        let Some(open) = open.filter(|open| open.answer.is_none()) else {
            return Err(if known { AnswerError::Closed { id } } else { AnswerError::Unknown { id } });
        };
        let options = open.asking.options();
        if !options.is_empty() && !options.contains(&answer.as_str()) {
            return Err(AnswerError::Option { options });
        }
        open.answer = Some(fitting(answer)?);
        Ok(())
    }

    /// Has everybody pause.
    ///
    /// # Errors
    /// [`AnswerError::Paused`].
    pub fn pause(&self) -> Result<(), AnswerError> {
        let mut state = self.lock();
        if state.pause_wanted || state.pause().is_some() {
            return Err(AnswerError::Paused);
        }
        state.pause_wanted = true;
        Ok(())
    }

    /// Has everybody go on, and read these words if there are any.
    ///
    /// # Errors
    /// [`AnswerError::NotPaused`], [`AnswerError::TooLong`].
    pub fn resume(&self, words: String) -> Result<(), AnswerError> {
        let words = fitting(words)?;
        let mut state = self.lock();
        if state.pause_wanted && state.resumed.is_none() {
            // It ends when it has begun.
            state.resumed = Some(words);
            return Ok(());
        }
        let pause = state.pause().filter(|pause| pause.answer.is_none()).ok_or(AnswerError::NotPaused)?;
        pause.answer = Some(words);
        Ok(())
    }

    /// All that is asked and not answered, as JSON.
    pub fn shown(&self) -> Value {
        let mut state = self.lock();
        let wanted = state.pause_wanted && state.resumed.is_none();
        let paused = wanted || state.pause().is_some_and(|pause| pause.answer.is_none());
        let open = state.open.iter().filter(|(_, open)| open.answer.is_none());
        let questions: Vec<Value> = open.filter_map(|(&id, open)| shown(id, open)).collect();
        json!({ "paused": paused, "questions": questions })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pause(&mut self) -> Option<&mut Open> {
        self.open.values_mut().find(|open| open.asking == Asking::Pause)
    }
}

fn fitting(answer: String) -> Result<String, AnswerError> {
    let bytes = answer.len();
    if bytes > MOST_ANSWER_BYTES { Err(AnswerError::TooLong { bytes }) } else { Ok(answer) }
}

fn shown(id: u64, open: &Open) -> Option<Value> {
    let mut value = match &open.asking {
        Asking::Question { agent, question } => {
            json!({ "kind": "question", "agent": agent, "question": question })
        }
        Asking::Approval { agent, tool, arguments, again } => {
            // What was written within the tool's schema is JSON; what is not is shown as it is.
            let exact = serde_json::from_str(arguments).unwrap_or_else(|_| Value::from(arguments.as_str()));
            json!({ "kind": "approval", "agent": agent, "tool": tool, "arguments": exact, "again": again })
        }
        Asking::Pause => return None,
    };
    value["id"] = id.into();
    value["options"] = json!(open.asking.options());
    value["waiting_ms"] = json!(u64::try_from(open.since.elapsed().as_millis()).unwrap_or(u64::MAX));
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Asking {
        Asking::Question { agent: "ann".to_owned(), question: "Which?".to_owned() }
    }

    #[test]
    fn a_question_is_answered_once() {
        let board = Board::default();
        let id = board.post(question());
        assert_eq!(board.take(id), None);
        assert_eq!(board.answer(id + 1, "x".to_owned()), Err(AnswerError::Unknown { id: id + 1 }));
        let long = "x".repeat(MOST_ANSWER_BYTES + 1);
        assert_eq!(board.answer(id, long), Err(AnswerError::TooLong { bytes: MOST_ANSWER_BYTES + 1 }));
        assert_eq!(board.shown()["questions"][0]["question"], "Which?");
        board.answer(id, "red".to_owned()).unwrap();
        assert_eq!(board.answer(id, "blue".to_owned()), Err(AnswerError::Closed { id }));
        assert_eq!(board.shown()["questions"], json!([]));
        assert_eq!(board.take(id).as_deref(), Some("red"));
        assert_eq!(board.answer(id, "blue".to_owned()), Err(AnswerError::Closed { id }));
        let id = board.post(question());
        board.close(id);
        assert_eq!(board.answer(id, "x".to_owned()), Err(AnswerError::Closed { id }));
    }

    #[test]
    fn an_approval_shows_the_exact_call_and_takes_yes_or_no() {
        let board = Board::default();
        let (agent, tool) = ("ann".to_owned(), "run".to_owned());
        let arguments = r#"{"command": "wc", "arguments": ["a\u001b[2J"]}"#.to_owned();
        let id = board.post(Asking::Approval { agent, tool, arguments, again: false });
        let shown = board.shown()["questions"][0].clone();
        assert_eq!(shown["arguments"]["arguments"][0], "a\u{1b}[2J");
        assert_eq!((&shown["kind"], &shown["options"]), (&json!("approval"), &json!(["yes", "no"])));
        assert_eq!(board.answer(id, "y".to_owned()), Err(AnswerError::Option { options: &["yes", "no"] }));
        assert_eq!(board.answer(id, "yes".to_owned()), Ok(()));
    }

    #[test]
    fn a_pause_begins_and_ends_once() {
        let board = Board::default();
        assert_eq!(board.resume(String::new()), Err(AnswerError::NotPaused));
        board.pause().unwrap();
        assert_eq!(board.pause(), Err(AnswerError::Paused));
        // It was let go on before it began.
        board.resume("At once.".to_owned()).unwrap();
        assert_eq!(board.resume(String::new()), Err(AnswerError::NotPaused));
        assert!(board.wants_pause());
        let id = board.post(Asking::Pause);
        assert!(!board.wants_pause());
        assert_eq!(board.take(id).as_deref(), Some("At once."));
        let id = board.post(Asking::Pause);
        assert_eq!(board.pause(), Err(AnswerError::Paused));
        assert_eq!(board.shown(), json!({ "paused": true, "questions": [] }));
        // It is no question that an answer would fit.
        assert_eq!(board.answer(id, "x".to_owned()), Err(AnswerError::Closed { id }));
        board.resume("Be brief.".to_owned()).unwrap();
        assert_eq!(board.resume(String::new()), Err(AnswerError::NotPaused));
        assert_eq!(board.take(id).as_deref(), Some("Be brief."));
        assert_eq!(board.shown()["paused"], false);
    }
}
