//! Who writes to a store: a file beside it with the number of the process. The lock is the store's own; this
//! only lets a refusal say who has it, and is read by nobody else.

use std::fs;
use std::path::{Path, PathBuf};

/// Notes that this process writes to the store at `path`. Where that fails, a refusal says less.
pub fn claim(path: &Path) {
    let _ = fs::write(beside(path), std::process::id().to_string());
}

/// Who writes to the store at `path`, when somebody does.
pub fn of(path: &Path) -> Option<u32> {
    fs::read_to_string(beside(path)).ok()?.trim().parse().ok()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".owner");
    path.with_file_name(name)
}
