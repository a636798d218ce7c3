//! What is declared of a server, and why one cannot be had.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::descriptor::{Example, Urgency};

/// What is declared of a server of tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Its name, which its tools' names begin with.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// How long it may take to start and to tell its tools.
    pub start: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How urgent the end of a call is.
    pub urgency: Urgency,
    /// Bytes that it may send as one message.
    pub message_bytes: usize,
    /// Calls that may be under way at once.
    pub calls: usize,
    /// Bytes of output that are taken of a call.
    pub output_bytes: usize,
    /// Tokens that the output of a call may take in a context.
    pub output_tokens: u32,
    /// Requests for which one of its tools is the right one, each with the name that the server has for the tool: a
    /// server itself tells of none.
    pub examples: Vec<(String, Example)>,
    /// Believe what it says about what its tools do to the world. Of a server that is not believed every call
    /// counts as irreversible.
    pub trusted: bool,
}

/// How a server is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum Reach {
    /// It is a program that is started here and spoken with over its standard input and output.
    Command {
        /// The program.
        program: PathBuf,
        /// What it is started with. No shell sees it.
        arguments: Vec<String>,
        /// Names of the variables of this process's environment that it gets, besides `PATH`.
        environment: Vec<String>,
        /// The folder that it runs in; this process's own if none.
        folder: Option<PathBuf>,
    },
    /// It answers at an address (streamable HTTP).
    Http {
        /// The address.
        url: String,
        /// Sent as `Authorization: Bearer …`.
        token: Option<Token>,
    },
}

/// What tells a server who asks. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// This text.
    Text(String),
    /// The value of this variable of the environment, when the server is asked for its tools.
    Variable(String),
}

impl Token {
    /// The token itself, with the variables of an environment.
    ///
    /// # Errors
    /// The name of the variable that there is not, or that is no text.
    pub(super) fn text(&self, variable: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        match self {
            Token::Text(text) => Ok(text.clone()),
            Token::Variable(name) => variable(name).filter(|value| !value.is_empty()).ok_or(name),
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reach::Command { program, arguments, .. } => {
                f.debug_struct("Command").field("program", program).field("arguments", arguments).finish()
            }
            // A token is nobody's business.
            Reach::Http { url, .. } => f.debug_struct("Http").field("url", url).finish(),
        }
    }
}

/// Why a server cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum McpError {
    /// The thread that talks to servers cannot be started, or has ended.
    Thread(String),
    /// The program cannot be started.
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        why: String,
    },
    /// The address or what is sent there is none.
    Address {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// It did not start in time.
    Slow {
        /// The time that it had.
        limit: Duration,
        /// The last that it said on its standard error.
        last_words: String,
    },
    /// It does not speak the protocol, or gave up.
    Protocol {
        /// What went wrong.
        why: String,
        /// The last that it said on its standard error.
        last_words: String,
    },
    /// It has more tools than are taken.
    ManyTools {
        /// How many would be.
        limit: usize,
    },
}

impl fmt::Display for McpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            McpError::Thread(why) => write!(f, "the thread for servers of tools is not there: {why}"),
            McpError::Spawn { program, why } => write!(f, "cannot start {}: {why}", program.display()),
            McpError::Address { url, why } => write!(f, "cannot reach {url:?}: {why}"),
            McpError::Slow { limit, last_words } => {
                write!(f, "it had not started after {} ms", limit.as_millis())?;
                said(f, last_words)
            }
            McpError::Protocol { why, last_words } => {
                write!(f, "it does not speak the protocol: {why}")?;
                said(f, last_words)
            }
            McpError::ManyTools { limit } => write!(f, "it has more than {limit} tools, which is the most"),
        }
    }
}

fn said(f: &mut fmt::Formatter<'_>, last_words: &str) -> fmt::Result {
    if last_words.is_empty() { Ok(()) } else { write!(f, "; it last said: {last_words}") }
}

impl std::error::Error for McpError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_text_or_what_a_variable_says() {
        let variable = |name: &str| match name {
            "SET" => Some("secret".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let of = |name: &str| Token::Variable(name.to_owned());
        assert_eq!(Token::Text("plain".to_owned()).text(variable), Ok("plain".to_owned()));
        assert_eq!(of("SET").text(variable), Ok("secret".to_owned()));
        assert_eq!(of("EMPTY").text(variable), Err("EMPTY"));
        assert_eq!(of("GONE").text(variable), Err("GONE"));
    }
}
