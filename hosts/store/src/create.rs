//! Making a store where there is none: beside its place first, so that a crash leaves none or a whole one, and never in
//! the place of another's.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::path::Path;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::medium::{Access, FileMedium};
use crate::options::Kind;

/// Makes an empty store where there is no file, or an empty one.
pub fn create(path: &Path, kind: &Kind) -> Result<(), OpenError> {
    let is_in_the_way = match std::fs::metadata(path) {
        Ok(metadata) if !is_nobodys(&metadata) => return Ok(()),
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(OpenError::Io(error)),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".store").tempfile_in(folder).map_err(OpenError::Io)?;
    drop(Engine::open(Box::new(FileMedium::new(file.path())), *kind, Access::Write, false)?);
    if is_in_the_way {
        clear_away(path).map_err(OpenError::Io)?;
    }
    match file.persist_noclobber(path) {
        Ok(_) => sync(folder),
        // Another program was faster, and its store is as good.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(OpenError::Io(error.error)),
    }
    Ok(())
}

/// An empty file is nobody's store.
fn is_nobodys(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.len() == 0
}

/// Removes an empty file. Only who holds its lock does, and looks once more: another may have removed it meanwhile and
/// put a store in its place.
fn clear_away(path: &Path) -> io::Result<()> {
    let clear = || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.lock()?;
        if is_nobodys(&std::fs::metadata(path)?) { std::fs::remove_file(path) } else { Ok(()) }
    };
    match clear() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        cleared => cleared,
    }
}

/// Makes the name of a new file durable, where folders are files.
fn sync(folder: &Path) {
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}
