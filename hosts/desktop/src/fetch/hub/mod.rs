//! Models from the Hugging Face hub: `-hf owner/repository[:file]`.
//!
//! The repository's list of files says which GGUF files there are, how large they are and what their
//! SHA-256 is ([`listing`]); one is chosen, downloaded with resume (`download`) and put in place. Once a
//! file is there, no call for it touches the network again.

mod address;
mod client;
mod download;
pub mod error;
pub mod listing;
mod part;
pub mod spec;

use std::path::{Path, PathBuf};

pub use spec::{HubSpec, Wanted};

use self::client::Client;
use self::listing::HubFile;
use super::cache::{self, Cache};
use super::environment::Environment;
use super::error::FetchError;
use super::place::{self, Lock};
use super::progress::Progress;
use super::stamp::{self, Expected, Stamp};

/// The path of the file that `spec` names, which is downloaded first unless a verified copy is in the
/// cache. A damaged copy is replaced; an interrupted download goes on where it stopped; while another
/// process does the same, this one waits.
///
/// # Errors
/// All of [`FetchError`] except `MissingModel` and `Package`. What has been downloaded stays for the next
/// call, unless it turned out to be wrong.
pub fn hub_model(
    spec: &HubSpec,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<PathBuf, FetchError> {
    let folder = Cache::locate(environment)?.hub(spec.owner(), spec.repository());
    if let Some(path) = cached(spec, &folder, progress)? {
        return Ok(path);
    }
    let client = Client::new(environment)?;
    let files = listing::list(&client, spec, environment, progress)?;
    let file = listing::choose(spec, &files)?;
    let path = folder.join(&file.path);
    let fetched = fetch(&client, spec, file, &path, environment, progress);
    progress.finish();
    fetched?;
    remember(spec, &folder, file);
    Ok(path)
}

/// The verified copy in the cache, without asking the network.
fn cached(spec: &HubSpec, folder: &Path, progress: &mut dyn Progress) -> Result<Option<PathBuf>, FetchError> {
    let name = match spec.wanted() {
        Wanted::File(name) => name.clone(),
        wanted => match remembered(folder, wanted) {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    let path = folder.join(name);
    let Some(stamp) = Stamp::read(&path) else {
        return Ok(None);
    };
    let expected = Expected { size: stamp.size, sha256: Some(stamp.sha256) };
    Ok(stamp::verified(&path, &expected, progress)?.then_some(path))
}

/// The file that keeps which file was chosen for `wanted`; none where a file was named.
fn choice_file(folder: &Path, wanted: &Wanted) -> Option<PathBuf> {
    match wanted {
        Wanted::Any => Some(folder.join(".choice")),
        Wanted::Quantisation(tag) => Some(folder.join(format!(".choice-{}", tag.to_ascii_lowercase()))),
        Wanted::File(_) => None,
    }
}

fn remembered(folder: &Path, wanted: &Wanted) -> Option<String> {
    let name = std::fs::read_to_string(choice_file(folder, wanted)?).ok()?;
    spec::check_file_name(&name).ok()?;
    Some(name)
}

fn remember(spec: &HubSpec, folder: &Path, file: &HubFile) {
    if let Some(path) = choice_file(folder, spec.wanted()) {
        // If this fails, the next call asks the hub again.
        let _ = std::fs::write(path, &file.path);
    }
}

fn fetch(
    client: &Client,
    spec: &HubSpec,
    file: &HubFile,
    path: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<(), FetchError> {
    let expected = Expected { size: file.size, sha256: file.sha256.clone() };
    if stamp::verified(path, &expected, progress)? {
        return Ok(());
    }
    cache::create(path.parent().expect("a model's path has a folder"))?;
    let _lock = Lock::take(path, progress)?;
    // Another process may have been quicker; it leaves a stamp.
    if stamp::trusted(path, Some(&expected)) {
        return Ok(());
    }
    if path.exists() {
        progress.note(&format!("{} is not what the hub has; it is fetched again", path.display()));
    }
    let url = client.url(&[spec.owner(), spec.repository(), "resolve", "main", &file.path], "");
    let (part, sha256) = download::complete(client, &url, path, &expected, environment, progress)?;
    place::publish(&part, path)?;
    part::forget_sidecar(path);
    let _ = Stamp::write(path, &sha256);
    Ok(())
}
