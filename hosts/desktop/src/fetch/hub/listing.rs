//! The files of a repository, and which of them to take.

use std::io::Read;

use serde::Deserialize;

use super::address;
use super::client::{Client, Reply};
use super::download::Backoff;
use super::error::{RequestError, ServerError, ServerFault};
use super::spec::{HubSpec, Wanted, check_file_name, is_gguf, is_split};
use crate::fetch::environment::Environment;
use crate::fetch::error::FetchError;
use crate::fetch::progress::Progress;
use crate::fetch::stamp::Digest256;

/// One page of a list is at most this long; the hub's have a thousand entries of some 300 bytes.
const PAGE_BYTES_MAX: u64 = 4 << 20;
/// Pages that are followed.
const PAGES_MAX: usize = 16;
/// Quantisations in the order of preference where nothing was asked for: small, and good for its size.
const PREFERRED: [&str; 4] = ["Q4_K_M", "Q4_1", "Q4_0", "Q8_0"];

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// Its path in the repository. Not checked: it is what a server says.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, which the hub knows of large files.
    pub sha256: Option<Digest256>,
}

/// An entry as the hub sends it. Fields that we do not need are left out.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: String,
    size: u64,
}

/// The GGUF files of the repository of `spec`.
///
/// # Errors
/// [`FetchError::Server`].
pub(super) fn list(
    client: &Client,
    spec: &HubSpec,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<Vec<HubFile>, FetchError> {
    let segments = ["api", "models", spec.owner(), spec.repository(), "tree", "main"];
    let first = client.url(&segments, "recursive=true");
    let mut next = Some(first.clone());
    let mut files = Vec::new();
    for _ in 0..PAGES_MAX {
        let Some(url) = next.take() else { return Ok(files) };
        let mut backoff = Backoff::default();
        let (entries, following) = loop {
            match client.list(&url).and_then(read_page) {
                Ok(page) => break page,
                Err(error) => backoff.wait(error, environment, progress)?,
            }
        };
        files.extend(entries.into_iter().filter_map(gguf_file));
        next = following.map(|link| client.page(&url, &link)).transpose()?;
    }
    let fault = ServerFault::ListingTooLarge(PAGES_MAX as u64 * PAGE_BYTES_MAX);
    Err(ServerError { url: address::shown(&first), fault }.into())
}

fn read_page(reply: Reply) -> Result<(Vec<Entry>, Option<String>), FetchError> {
    let url = reply.url.clone();
    let fail = |fault| FetchError::from(ServerError { url: url.clone(), fault });
    if reply.is_web_page() {
        return Err(fail(ServerFault::WebPage));
    }
    let next = reply.next_page();
    let mut text = Vec::new();
    let read = reply.body.take(PAGE_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| fail(ServerFault::Network(error.to_string())))?;
    if text.len() as u64 > PAGE_BYTES_MAX {
        return Err(fail(ServerFault::ListingTooLarge(PAGE_BYTES_MAX)));
    }
    let entries = serde_json::from_slice(&text).map_err(|_| fail(ServerFault::Listing))?;
    Ok((entries, next))
}

fn gguf_file(entry: Entry) -> Option<HubFile> {
    if entry.kind != "file" || !is_gguf(&entry.path) {
        return None;
    }
    let (size, sha256) = match entry.lfs {
        Some(large) => (large.size, Digest256::parse(&large.oid)),
        None => (entry.size, None),
    };
    Some(HubFile { path: entry.path, size, sha256 })
}

/// The file among `files` that `spec` means.
///
/// # Errors
/// [`RequestError::NoGguf`], [`RequestError::NoSuchFile`], [`RequestError::Ambiguous`],
/// [`RequestError::SplitModel`], [`RequestError::UnsafeName`].
pub fn choose<'f>(spec: &HubSpec, files: &'f [HubFile]) -> Result<&'f HubFile, FetchError> {
    // A projector is the half of a vision model that does not speak.
    let is_projector = |file: &HubFile| file_name(&file.path).to_ascii_lowercase().starts_with("mmproj");
    let whole: Vec<&HubFile> =
        files.iter().filter(|file| !is_split(&file.path) && !is_projector(file)).collect();
    let names = |files: &[&HubFile]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let repository = || format!("{}/{}", spec.owner(), spec.repository());
    let missing = |wanted: &str| {
        let (wanted, candidates) = (wanted.to_owned(), names(&whole));
        FetchError::from(RequestError::NoSuchFile { repository: repository(), wanted, candidates })
    };

    let fitting = match spec.wanted() {
        Wanted::File(name) => {
            let named = files.iter().find(|file| file.path == *name);
            return named.map_or_else(|| Err(missing(name)), safe);
        }
        Wanted::Quantisation(tag) => {
            let split = files.iter().find(|file| is_split(&file.path) && has_tag(&file.path, tag));
            match (with_tag(&whole, tag), split) {
                (fitting, None) if fitting.is_empty() => return Err(missing(tag)),
                (fitting, Some(split)) if fitting.is_empty() => return Err(split_model(split)),
                (fitting, _) => fitting,
            }
        }
        Wanted::Any => {
            let preferred = PREFERRED.iter().map(|tag| with_tag(&whole, tag));
            preferred.into_iter().find(|fitting| !fitting.is_empty()).unwrap_or_else(|| whole.clone())
        }
    };
    match (fitting.as_slice(), files) {
        ([file], _) => safe(file),
        ([], [.., split]) if is_split(&split.path) => Err(split_model(split)),
        ([], _) => Err(RequestError::NoGguf { repository: repository() }.into()),
        (several, _) => {
            Err(RequestError::Ambiguous { repository: repository(), candidates: names(several) }.into())
        }
    }
}

fn safe(file: &HubFile) -> Result<&HubFile, FetchError> {
    check_file_name(&file.path)?;
    Ok(file)
}

fn split_model(file: &HubFile) -> FetchError {
    RequestError::SplitModel { name: file.path.clone() }.into()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn with_tag<'f>(files: &[&'f HubFile], tag: &str) -> Vec<&'f HubFile> {
    files.iter().copied().filter(|file| has_tag(&file.path, tag)).collect()
}

/// Whether the file's name has `tag` as a word of its own: `m-Q4_0.gguf` has `q4_0`, `m-Q4_0_8.gguf` not.
fn has_tag(path: &str, tag: &str) -> bool {
    let (name, tag) = (file_name(path).to_ascii_lowercase(), tag.to_ascii_lowercase());
    name.match_indices(&tag).any(|(start, _)| {
        let before = name[..start].chars().next_back();
        let after = name[start + tag.len()..].chars().next();
        before.is_none_or(|c| matches!(c, '-' | '.' | '_')) && after.is_none_or(|c| matches!(c, '-' | '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> HubFile {
        HubFile { path: path.to_owned(), size: 1, sha256: None }
    }

    fn chosen(spec: &str, paths: &[&str]) -> Result<String, FetchError> {
        let files: Vec<HubFile> = paths.iter().map(|path| file(path)).collect();
        choose(&HubSpec::parse(spec).unwrap(), &files).map(|file| file.path.clone())
    }

    #[test]
    fn the_preferred_quantisation_wins() {
        let all = ["m.F16.gguf", "m.Q8_0.gguf", "m-q4_k_m.gguf", "m.Q4_0.gguf", "m.Q4_1.gguf"];
        assert_eq!(chosen("o/r", &all).unwrap(), "m-q4_k_m.gguf");
        assert_eq!(chosen("o/r", &["m.F16.gguf", "m.Q4_0.gguf", "m.Q4_1.gguf"]).unwrap(), "m.Q4_1.gguf");
        assert_eq!(chosen("o/r", &["m.Q4_0_4_4.gguf", "m.Q8_0.gguf"]).unwrap(), "m.Q8_0.gguf");
        assert_eq!(chosen("o/r", &["sub/m.F16.gguf", "mmproj-m.gguf"]).unwrap(), "sub/m.F16.gguf");
    }

    #[test]
    fn a_quantisation_is_found_by_its_name() {
        let all = ["m-Q4_0.gguf", "m-Q5_K_M.gguf"];
        assert_eq!(chosen("o/r:q5_k_m", &all).unwrap(), "m-Q5_K_M.gguf");
        let error = chosen("o/r:Q6_K", &all).unwrap_err();
        assert!(matches!(
            &error,
            FetchError::Request(RequestError::NoSuchFile { candidates, .. }) if candidates.len() == 2
        ));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let request = |spec, paths: &[&str]| match chosen(spec, paths) {
            Err(FetchError::Request(error)) => error,
            other => panic!("{other:?}"),
        };
        let several = request("o/r", &["a-F16.gguf", "b-F16.gguf"]);
        assert!(matches!(&several, RequestError::Ambiguous { candidates, .. } if candidates.len() == 2));
        assert!(matches!(request("o/r", &["a-Q8_0.gguf", "b-Q8_0.gguf"]), RequestError::Ambiguous { .. }));
        assert!(matches!(request("o/r", &[]), RequestError::NoGguf { .. }));
        let split = ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"];
        assert!(matches!(request("o/r", &split), RequestError::SplitModel { .. }));
        assert!(matches!(request("o/r:Q8_0", &split), RequestError::SplitModel { .. }));
        assert!(matches!(request("o/r", &["../m.gguf"]), RequestError::UnsafeName { .. }));
        assert!(matches!(request("o/r:x.gguf", &["m.gguf"]), RequestError::NoSuchFile { .. }));
    }
}
