//! Everything that fetching reads from the process and the machine, gathered once.
//!
//! Nothing else in this folder reads an environment variable, sleeps, or asks a disk for its free space, so
//! a test builds its own [`Environment`] and decides what they say.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kinds of machine that put a user's cache in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Linux and other systems that follow the XDG base directories.
    Xdg,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl Platform {
    /// The kind of machine this program was built for.
    pub const HERE: Platform = if cfg!(windows) {
        Platform::Windows
    } else if cfg!(target_os = "macos") {
        Platform::Mac
    } else {
        Platform::Xdg
    };
}

/// The few things that fetching asks of the machine and that a test replaces.
pub trait System: Send + Sync {
    /// Waits. Called between retries and while another program works.
    fn sleep(&self, time: Duration);
    /// Bytes that this user can still write into `folder`.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
    /// Writes all of `bytes` to `file`: each byte of a model goes through here.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
}

/// The real machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl System for Machine {
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        fs4::available_space(folder)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}

/// A hub token. It shows itself nowhere: `Debug` hides it and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a token, without the blanks around it; nothing for an empty one.
    pub fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.to_owned()))
    }

    /// The secret, for the one header it belongs in.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// For the header of an answer.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(30),
        }
    }
}

/// Where the hub is when `HF_ENDPOINT` does not say otherwise.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// What fetching knows of the process it runs in.
pub struct Environment {
    /// The per-user folder; none when no variable says where it could be.
    pub home: Option<PathBuf>,
    /// Python programs to try, in this order, for the package client.
    pub pythons: Vec<PathBuf>,
    /// The hub's address (`HF_ENDPOINT`).
    pub endpoint: String,
    /// The hub's token (`HF_TOKEN`).
    pub token: Option<Token>,
    /// The proxy for the hub (`HTTPS_PROXY` and its kin).
    pub proxy: Option<ureq::Proxy>,
    /// A PEM file of root certificates to trust instead of the built-in ones (`SSL_CERT_FILE`).
    pub root_certificates: Option<PathBuf>,
    /// How long to wait for a server.
    pub patience: Patience,
    /// The machine.
    pub system: Box<dyn System>,
}

impl Environment {
    /// Reads the environment of this process. The one place that does.
    pub fn from_process() -> Environment {
        let read = |name: &str| std::env::var_os(name);
        let mut environment = Environment::from_variables(Platform::HERE, &read);
        environment.proxy = ureq::Proxy::try_from_env();
        environment
    }

    /// Builds an environment for `platform` from variables that `read` looks up. Empty ones count as unset.
    pub fn from_variables(platform: Platform, read: &dyn Fn(&str) -> Option<OsString>) -> Environment {
        let text = |name: &str| set(read, name).map(|value| value.to_string_lossy().into_owned());
        Environment {
            home: user_folder(platform, read),
            pythons: pythons(platform),
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: text("HF_TOKEN").as_deref().and_then(Token::new),
            proxy: None,
            root_certificates: set(read, "SSL_CERT_FILE").map(PathBuf::from),
            patience: Patience::default(),
            system: Box::new(Machine),
        }
    }
}

fn set(read: &dyn Fn(&str) -> Option<OsString>, name: &str) -> Option<OsString> {
    read(name).filter(|value| !value.is_empty())
}

fn pythons(platform: Platform) -> Vec<PathBuf> {
    let names: &[&str] = match platform {
        Platform::Windows => &["py", "python3", "python"],
        Platform::Xdg | Platform::Mac => &["python3", "python"],
    };
    names.iter().map(PathBuf::from).collect()
}

/// `AGENTOS_HOME`, or the platform's cache folder for this user with `agentos` in it.
fn user_folder(platform: Platform, read: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| set(read, name).map(PathBuf::from);
    if let Some(home) = folder("AGENTOS_HOME") {
        return Some(home);
    }
    let base = match platform {
        // The specification says that a relative path there is to be ignored.
        Platform::Xdg => folder("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| folder("HOME").map(|home| home.join(".cache"))),
        Platform::Mac => folder("HOME").map(|home| home.join("Library").join("Caches")),
        Platform::Windows => folder("LOCALAPPDATA"),
    };
    base.map(|base| base.join("agentos"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(platform: Platform, variables: &[(&str, &str)]) -> Environment {
        Environment::from_variables(platform, &|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_users_folder_follows_the_platform() {
        let home = |platform, variables: &[(&str, &str)]| environment(platform, variables).home;
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            home(Platform::Xdg, &[("AGENTOS_HOME", "/a"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]),
            path("/a")
        );
        assert_eq!(home(Platform::Xdg, &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), path("/x/agentos"));
        assert_eq!(
            home(Platform::Xdg, &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]),
            path("/h/.cache/agentos")
        );
        assert_eq!(home(Platform::Xdg, &[("AGENTOS_HOME", ""), ("HOME", "/h")]), path("/h/.cache/agentos"));
        assert_eq!(home(Platform::Mac, &[("HOME", "/Users/u")]), path("/Users/u/Library/Caches/agentos"));
        assert_eq!(home(Platform::Windows, &[("LOCALAPPDATA", "/l"), ("HOME", "/h")]), path("/l/agentos"));
        assert_eq!(home(Platform::Xdg, &[]), None);
    }

    #[test]
    fn the_hub_has_defaults_and_the_token_stays_hidden() {
        let plain = environment(Platform::Xdg, &[("HF_TOKEN", " \n"), ("HF_ENDPOINT", "")]);
        assert_eq!(plain.endpoint, DEFAULT_ENDPOINT);
        assert_eq!(plain.token, None);
        let set = environment(Platform::Xdg, &[("HF_TOKEN", "hf_secret\n"), ("HF_ENDPOINT", "http://h")]);
        assert_eq!(set.endpoint, "http://h");
        assert_eq!(set.token.as_ref().map(Token::secret), Some("hf_secret"));
        assert!(!format!("{:?}", set.token).contains("secret"));
    }
}
