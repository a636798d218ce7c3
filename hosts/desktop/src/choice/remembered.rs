//! What was measured, in a file of the user's folder.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Machine, Measured};
use crate::aside::Aside;

/// The file's name in the user's folder.
pub const FILE_NAME: &str = "device.json";

/// More than what a machine with many adapters fills.
const MOST_BYTES: u64 = 1 << 16;

/// What was measured, and on which machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The machine.
    pub machine: Machine,
    /// The devices, the CPU first.
    pub measured: Vec<Measured>,
}

/// What is remembered of this machine. A file that is not there, cannot be read, is of another machine or
/// version, or makes no sense is as good as none: what it told is measured anew.
pub fn read(path: &Path, machine: &Machine) -> Option<Vec<Measured>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    let remembered: Remembered = serde_json::from_slice(&bytes).ok()?;
    let holds = remembered.machine == *machine && super::fastest(&remembered.measured).is_some();
    holds.then_some(remembered.measured)
}

/// Remembers; whoever reads meanwhile sees the old file or the new one.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, remembered: &Remembered) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let (aside, mut file) = Aside::create(path)?;
    file.write_all(&serde_json::to_vec_pretty(remembered)?)?;
    aside.complete(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered() -> Remembered {
        let machine = Machine {
            program: "1".to_owned(),
            cpu: "c".to_owned(),
            graphics: vec!["g".to_owned()],
            may_have_gpu: true,
        };
        let measured = Measured {
            backend: "cpu".to_owned(),
            adapter: None,
            variant: "avx2".to_owned(),
            threads: 2,
            ms: Some(1.5),
            error: None,
        };
        Remembered { machine, measured: vec![measured] }
    }

    #[test]
    fn what_is_remembered_holds_for_this_machine_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join(FILE_NAME);
        let one = remembered();
        assert_eq!(read(&path, &one.machine), None);
        write(&path, &one).unwrap();
        assert_eq!(read(&path, &one.machine), Some(one.measured.clone()));
        for change in [
            |machine: &mut Machine| machine.program.push('2'),
            |machine: &mut Machine| machine.cpu.push('2'),
            |machine: &mut Machine| machine.graphics.clear(),
        ] {
            let mut other = one.machine.clone();
            change(&mut other);
            assert_eq!(read(&path, &other), None);
        }
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let one = remembered();
        let text = serde_json::to_string(&one).unwrap();
        let untimed = text.replace("1.5", "null");
        let huge = format!("{}{text}", " ".repeat(MOST_BYTES as usize));
        for damaged in ["", "{}", "\u{0}", &text[..text.len() - 1], &untimed, &huge] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read(&path, &one.machine), None, "{damaged:.80}");
        }
        std::fs::write(&path, &text).unwrap();
        assert!(read(&path, &one.machine).is_some());
        assert_eq!(read(folder.path(), &one.machine), None);
    }
}
