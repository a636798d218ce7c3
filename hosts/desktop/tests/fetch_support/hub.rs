//! A hub of one repository, `o/r`, for the tests that download from it.

#[path = "mod.rs"]
pub mod fetch_support;
#[path = "server.rs"]
pub mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentos_desktop::fetch::environment::Patience;
use agentos_desktop::fetch::stamp::Digest256;
use agentos_desktop::fetch::{Environment, FetchError, HubSpec, hub_model};
use fetch_support::{Recorder, TestSystem};
use server::{Answer, Request, Server};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What a client asks for to see the files of `o/r`.
pub const LISTING: &str = "/api/models/o/r/tree/main?recursive=true";

/// A server, and an environment that knows it as the hub.
pub struct Bench {
    pub folder: TempDir,
    pub system: TestSystem,
    pub server: Server,
    pub environment: Environment,
}

impl Bench {
    /// A hub that answers as `handler` says.
    pub fn new(handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let system = TestSystem::default();
        let server = Server::start(handler);
        let environment = environment(folder.path(), &server.url(), &system);
        Bench { folder, system, server, environment }
    }

    pub fn fetch(&self, spec: &str) -> Result<PathBuf, FetchError> {
        hub_model(&HubSpec::parse(spec).unwrap(), &self.environment, &mut Recorder::default())
    }

    /// Where `name` of the repository is, or would be, in the cache.
    pub fn hub_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("models/hub/o--r").join(name)
    }

    /// The waits between attempts, in seconds.
    pub fn waits_s(&self) -> Vec<u64> {
        self.system.waits.lock().unwrap().iter().map(Duration::as_secs).collect()
    }
}

/// An environment with the hub at `endpoint` and little patience.
pub fn environment(home: &Path, endpoint: &str, system: &TestSystem) -> Environment {
    let mut environment = fetch_support::environment(home, system);
    environment.endpoint = endpoint.to_owned();
    environment.patience = Patience {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(20),
        stall: Duration::from_secs(2),
    };
    environment
}

/// The hub's list of `files`, which it keeps as large files do: with their digest.
pub fn listing(files: &[(&str, &[u8])]) -> Answer {
    let entry = |(path, bytes): &(&str, &[u8])| {
        serde_json::json!({
            "type": "file", "oid": "0123", "path": path, "size": bytes.len(),
            "lfs": { "oid": digest(bytes), "size": bytes.len(), "pointerSize": 134 },
        })
    };
    let folder = serde_json::json!({ "type": "directory", "oid": "4567", "path": "x.gguf", "size": 0 });
    let entries: Vec<_> = files.iter().map(entry).chain([folder]).collect();
    Answer::new(200, serde_json::to_vec(&entries).unwrap()).with("Content-Type", "application/json")
}

/// The SHA-256 of `bytes`, in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    Digest256::of(hasher).to_string()
}
