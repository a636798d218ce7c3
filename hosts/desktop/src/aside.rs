//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A file that is written beside the one that it is to become. Whoever reads that one sees the old
/// content or the whole new one, whatever happens in between; a file that is not completed is taken away.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    /// Where it is written; `None` when there is nothing to take away any more.
    aside: Option<PathBuf>,
}

impl Aside {
    /// Begins a file that is to become `path`, in the same folder so that it can be renamed.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::IsADirectory`] where `path` is a folder.
    pub fn create(path: &Path) -> io::Result<(Aside, File)> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(format!(".{}.part", std::process::id()));
        let aside = path.with_file_name(name);
        let file = File::create(&aside)?;
        Ok((Aside { path: path.to_owned(), aside: Some(aside) }, file))
    }

    /// Gives the file its name, on the disk and not only in memory.
    ///
    /// # Errors
    /// The system's; the file is taken away then.
    pub fn complete(mut self, file: &File) -> io::Result<()> {
        let Some(aside) = &self.aside else { return Ok(()) };
        file.sync_all()?;
        std::fs::rename(aside, &self.path)?;
        self.aside = None;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new(".")))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            // What cannot be taken away stays; there is nobody to tell.
            let _ = std::fs::remove_file(aside);
        }
    }
}

/// Makes a rename survive a power cut. Only Unix lets a folder be opened for that.
///
/// # Errors
/// The system's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "old").unwrap();
        let (aside, mut file) = Aside::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(aside);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let (aside, mut file) = Aside::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        aside.complete(&file).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(Aside::create(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
