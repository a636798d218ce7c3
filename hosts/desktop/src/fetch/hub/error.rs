//! Why a file of the hub could not be had.

use std::fmt;
use std::path::PathBuf;

use crate::fetch::error::shown;
use crate::fetch::progress::megabytes;

/// How many names a message lists.
const NAMES_SHOWN: usize = 20;

/// What was asked of the hub cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The text after `-hf` does not name a model.
    Spec {
        /// The text.
        text: String,
        /// What is wrong with it.
        fault: SpecFault,
    },
    /// `HF_ENDPOINT` is not the address of a hub.
    Endpoint {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// `HF_TOKEN` cannot be sent. The message does not show it.
    Token,
    /// `SSL_CERT_FILE` cannot be used.
    RootCertificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file name could lead out of the cache.
    UnsafeName {
        /// The name.
        name: String,
    },
    /// The model is cut into several files, which is not supported.
    SplitModel {
        /// One of the files.
        name: String,
    },
    /// The repository has no GGUF file.
    NoGguf {
        /// `owner/repository`.
        repository: String,
    },
    /// Several files fit.
    Ambiguous {
        /// `owner/repository`.
        repository: String,
        /// The files.
        candidates: Vec<String>,
    },
    /// No file fits.
    NoSuchFile {
        /// `owner/repository`.
        repository: String,
        /// What was asked for.
        wanted: String,
        /// The files that there are.
        candidates: Vec<String>,
    },
}

/// What is wrong with the text of a hub model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecFault {
    /// There is no `/`, or more than one, before the colon.
    NotOwnerAndRepository,
    /// The owner or the repository has characters that the hub does not allow.
    Name,
    /// There is nothing behind the colon.
    EmptyFile,
}

/// An answer of a server that does not help, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// What was asked for, without anything secret.
    pub url: String,
    /// What is wrong.
    pub fault: ServerFault,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFault {
    /// The hub wants to know who asks (401), which it also answers for repositories that do not exist.
    Unauthorized {
        /// Whether a token was sent.
        token_sent: bool,
    },
    /// The hub does not let this user have it (403).
    Forbidden,
    /// There is no such thing on the hub (404).
    NotFound,
    /// The server is busy or broken (408, 429, 5xx).
    Unavailable {
        /// The status.
        status: u16,
        /// Seconds after which it wants to be asked again.
        retry_after_s: Option<u64>,
    },
    /// A status that has no meaning here.
    Status(u16),
    /// The connection failed, or data stopped coming.
    Network(String),
    /// The server's certificate or its TLS is not acceptable.
    Tls(String),
    /// A redirect without a usable address.
    Redirect,
    /// A redirect from an encrypted to an open connection.
    Downgrade,
    /// More redirects than any hub needs.
    TooManyRedirects,
    /// A list of files larger than this many bytes.
    ListingTooLarge(u64),
    /// A list of files that cannot be read as one.
    Listing,
    /// A web page where a file should be, as login walls and proxies send.
    WebPage,
    /// Data that do not begin as a GGUF file does.
    NotGguf,
    /// The part of a file that was sent is not the part that was asked for.
    Range,
}

impl std::error::Error for RequestError {}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Spec { text, fault } => {
                let text = shown(text);
                write!(f, "`{text}` does not name a model on the hub: {fault}; write owner/repository[:file]")
            }
            RequestError::Endpoint { fault } => {
                write!(f, "HF_ENDPOINT cannot be used: {fault}; an example is https://huggingface.co")
            }
            RequestError::Token => f.write_str("HF_TOKEN has characters that no hub token has"),
            RequestError::RootCertificates { path, why } => {
                write!(f, "SSL_CERT_FILE names {}, which cannot be used: {why}", path.display())
            }
            RequestError::UnsafeName { name } => {
                write!(f, "`{}` is refused: such a file name could lead out of the cache", shown(name))
            }
            RequestError::SplitModel { name } => write!(
                f,
                "`{}` is one part of a model that is cut into several files, which is not supported; choose a \
                 model in one file, or join the parts with `llama-gguf-split --merge` and use --model",
                shown(name)
            ),
            RequestError::NoGguf { repository } => {
                write!(f, "{repository} has no GGUF file; look for a repository whose name ends in -GGUF")
            }
            RequestError::Ambiguous { repository, candidates } => {
                write!(f, "{repository} has several models that fit; add one of these behind a colon:")?;
                list(f, candidates)
            }
            RequestError::NoSuchFile { repository, wanted, candidates } => {
                write!(f, "{repository} has no GGUF file `{}`; it has:", shown(wanted))?;
                list(f, candidates)
            }
        }
    }
}

impl fmt::Display for SpecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpecFault::NotOwnerAndRepository => "it needs one `/` between owner and repository",
            SpecFault::Name => {
                "owner and repository are letters, digits, `.`, `_` and single `-`, at most 96"
            }
            SpecFault::EmptyFile => "there is nothing behind the colon",
        })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.fault)
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ServerFault::Unavailable { status, .. } => {
                return write!(
                    f,
                    "the server is busy or broken ({status}); try again later: what has been downloaded is kept"
                );
            }
            ServerFault::Network(why) => {
                return write!(
                    f,
                    "{why}; check the connection (HTTPS_PROXY, HF_ENDPOINT) and try again: what has been \
                     downloaded is kept"
                );
            }
            ServerFault::Tls(why) => {
                return write!(
                    f,
                    "no trusted connection: {why}; behind a proxy with a certificate of its own, set \
                     SSL_CERT_FILE to its PEM file"
                );
            }
            ServerFault::Status(status) => return write!(f, "unexpected answer ({status})"),
            ServerFault::ListingTooLarge(limit) => {
                return write!(f, "the list of files is larger than {}", megabytes(*limit));
            }
            ServerFault::Unauthorized { token_sent: false } => {
                "the hub asks who you are (401). Check the spelling: it answers so for a repository that does \
                 not exist, too. For a private or gated one set HF_TOKEN"
            }
            ServerFault::Unauthorized { token_sent: true } => {
                "the hub does not accept HF_TOKEN for this (401). Check the spelling, and that the token is \
                 valid and may read the repository"
            }
            ServerFault::Forbidden => {
                "the hub refuses (403). If the model asks to accept a licence, do so on its page and set \
                 HF_TOKEN to a token that may read it"
            }
            ServerFault::NotFound => "not found (404). Check the spelling of owner, repository and file",
            ServerFault::Redirect => "it redirects to an address that cannot be used",
            ServerFault::Downgrade => "it redirects from an encrypted connection to an open one",
            ServerFault::TooManyRedirects => "it redirects without end",
            ServerFault::Listing => "the list of files cannot be understood; is HF_ENDPOINT a hub?",
            ServerFault::WebPage => "a web page came instead of data; is there a login wall or a proxy?",
            ServerFault::NotGguf => "the file does not begin as a GGUF file does",
            ServerFault::Range => "it sent another part of the file than was asked for",
        };
        f.write_str(text)
    }
}

fn list(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    for name in names.iter().take(NAMES_SHOWN) {
        write!(f, "\n  {}", shown(name))?;
    }
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => Ok(()),
        more => write!(f, "\n  and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let candidates = (0..25).map(|index| format!("{index}.gguf")).collect();
        let text = RequestError::Ambiguous { repository: "o/r".into(), candidates }.to_string();
        assert!(text.ends_with("19.gguf\n  and 5 more"), "{text}");
    }
}
