//! Trusting a file that has been verified before.
//!
//! Hashing a model takes longer than loading it, so a file that was verified gets a sidecar that says what
//! was verified: digest, size and modification time. As long as size and time are the same, the file is
//! taken to be the same. This guards against accidents, not against someone who can write to the folder.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::beside;
use super::error::FetchError;
use super::progress::Progress;

/// A SHA-256 as 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest256(String);

impl Digest256 {
    /// Reads 64 hexadecimal digits of either case; nothing for anything else.
    pub fn parse(text: &str) -> Option<Digest256> {
        let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Digest256(text.to_ascii_lowercase()))
    }

    /// The digest that `hasher` has come to.
    pub fn of(hasher: Sha256) -> Digest256 {
        use std::fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in hasher.finalize() {
            write!(text, "{byte:02x}").expect("a string takes all text");
        }
        Digest256(text)
    }
}

impl TryFrom<String> for Digest256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Digest256::parse(&text).ok_or("not 64 hexadecimal digits")
    }
}

impl std::fmt::Display for Digest256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a verified file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The digest that its content had.
    pub sha256: Digest256,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed, in nanoseconds since 1970.
    pub modified_ns: u64,
}

/// A stamp file is three short fields; anything larger is not one.
const STAMP_BYTES_MAX: u64 = 4096;

impl Stamp {
    /// The stamp beside `path`; nothing when it is missing or cannot be read as one.
    pub fn read(path: &Path) -> Option<Stamp> {
        let mut text = Vec::new();
        File::open(beside(path, ".stamp")).ok()?.take(STAMP_BYTES_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether the file that `metadata` describes is the one that was stamped.
    pub fn fits(&self, metadata: &Metadata) -> bool {
        metadata.is_file() && metadata.len() == self.size && modified_ns(metadata) == Some(self.modified_ns)
    }

    /// Writes the stamp of the file at `path`, whose content has the digest `sha256`.
    ///
    /// # Errors
    /// Those of the disk. A caller may go on without a stamp: the next run hashes again.
    pub fn write(path: &Path, sha256: &Digest256) -> io::Result<()> {
        let metadata = std::fs::metadata(path)?;
        let modified_ns = modified_ns(&metadata).ok_or(io::ErrorKind::Unsupported)?;
        let stamp = Stamp { sha256: sha256.clone(), size: metadata.len(), modified_ns };
        let target = beside(path, ".stamp");
        let temporary = beside(path, &format!(".stamp-{}", std::process::id()));
        std::fs::write(&temporary, serde_json::to_vec(&stamp)?)?;
        std::fs::rename(&temporary, &target)
    }
}

fn modified_ns(metadata: &Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// What is known of the content that a file should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, where somebody has published one.
    pub sha256: Option<Digest256>,
}

/// Whether the stamp of the file at `path` says that it is still the one that was verified, and that it is
/// as `expected` where that is given. Reads no content.
pub fn trusted(path: &Path, expected: Option<&Expected>) -> bool {
    let (Ok(metadata), Some(stamp)) = (std::fs::metadata(path), Stamp::read(path)) else {
        return false;
    };
    let as_expected = expected.is_none_or(|expected| {
        expected.size == stamp.size && expected.sha256.as_ref().is_none_or(|sha256| *sha256 == stamp.sha256)
    });
    as_expected && stamp.fits(&metadata)
}

/// Whether the file at `path` is as `expected`, after reading all of it unless its stamp spares that. A
/// file that turns out right gets a new stamp. A missing file is not right.
///
/// # Errors
/// [`FetchError::File`] when it cannot be read.
pub fn verified(path: &Path, expected: &Expected, progress: &mut dyn Progress) -> Result<bool, FetchError> {
    if trusted(path, Some(expected)) {
        return Ok(true);
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == expected.size => {}
        _ => return Ok(false),
    }
    // Where nobody has published a digest, what was downloaded then is all that there is to compare with.
    let Some(wanted) = expected.sha256.clone().or_else(|| Some(Stamp::read(path)?.sha256)) else {
        return Ok(false);
    };
    let sha256 = hash(path, expected.size, progress)?;
    let right = wanted == sha256;
    if right {
        // A read-only cache is still a cache.
        let _ = Stamp::write(path, &sha256);
    }
    Ok(right)
}

fn hash(path: &Path, size: u64, progress: &mut dyn Progress) -> Result<Digest256, FetchError> {
    let failed = |source| FetchError::File { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    progress.begin("verifying", size);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                progress.advance(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    progress.finish();
    Ok(Digest256::of(hasher))
}
