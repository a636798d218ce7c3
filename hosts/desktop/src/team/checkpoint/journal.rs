//! Calls that cannot be undone, noted on the disk before their tools begin with them.
//!
//! A checkpoint knows the calls that were begun before it. Those that began after it are in this file beside it, so
//! that whoever goes on from the checkpoint begins none of them again. The file is, in this order: [`MAGIC`], the
//! version as two bytes, and the name of the run; then a [`Note`] each in [`NOTE`] bytes, of which the last eight are
//! the beginning of the SHA-256 of the rest. A note that is damaged, or was cut by a crash, is none: its tool was not
//! begun, as a note is on the disk before. It is made anew once a checkpoint that has all of them is on the disk.
//!
//! What must never happen here: that a tool begins with a call that is not noted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::aside::Aside;

/// What the file begins with.
pub const MAGIC: [u8; 8] = *b"AGCALL\0\0";

/// The version that is written, and the only one that is read.
pub const VERSION: u16 = 1;

/// What tells one run from another; a run that goes on from a checkpoint is the same.
pub type RunId = [u8; 16];

/// Bytes of magic, version and run.
const HEAD: usize = MAGIC.len() + 2 + 16;

/// Bytes of a note.
pub const NOTE: usize = 4 + 4 + 32 + 8;

/// Notes between two checkpoints.
const MOST_NOTES: usize = 1 << 16;

/// A call that a tool may have begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose it is, by its index in the team.
    pub member: u32,
    /// How many calls that agent had made before.
    pub nth: u32,
    /// The hash of the tool's name and the arguments.
    pub call: [u8; 32],
}

impl Note {
    /// Of an agent's call.
    pub fn of(member: usize, nth: u32, tool: &str, arguments: &str) -> Note {
        let mut hash = Sha256::new();
        hash.update((tool.len() as u64).to_le_bytes());
        hash.update(tool);
        hash.update(arguments);
        Note { member: u32::try_from(member).unwrap_or(u32::MAX), nth, call: hash.finalize().into() }
    }

    fn bytes(&self) -> [u8; NOTE] {
        let mut bytes = [0; NOTE];
        bytes[..4].copy_from_slice(&self.member.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.nth.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.call);
        let sum = Sha256::digest(&bytes[..40]);
        bytes[40..].copy_from_slice(&sum[..8]);
        bytes
    }

    /// The note that these bytes are, if they are one.
    fn read(bytes: &[u8; NOTE]) -> Option<Note> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let call = bytes[8..40].try_into().ok()?;
        Some(Note { member: number(0), nth: number(4), call }).filter(|note| note.bytes() == *bytes)
    }
}

/// The notes of a run beside the checkpoint from which it would go on.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    run: RunId,
    /// Where notes are added; none before the first.
    file: Option<File>,
    notes: usize,
}

/// Where the notes beside a checkpoint are.
pub fn beside(checkpoint: &Path) -> PathBuf {
    let mut name = checkpoint.file_name().unwrap_or_default().to_owned();
    name.push(".calls");
    checkpoint.with_file_name(name)
}

impl Journal {
    /// The notes of a run beside a checkpoint. Those that are there already stay, and are returned: none where the
    /// file is of another run, or is not there.
    ///
    /// # Errors
    /// The system's, but for a file that is not there; [`io::ErrorKind::InvalidData`] where it is of no run at all.
    pub fn open(checkpoint: &Path, run: RunId) -> io::Result<(Journal, Vec<Note>)> {
        let path = beside(checkpoint);
        let new = |path| Ok((Journal { path, run, file: None, notes: 0 }, Vec::new()));
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take((HEAD + MOST_NOTES * NOTE) as u64).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return new(path),
            Err(error) => return Err(error),
        };
        let Some((head, notes)) = bytes.split_at_checked(HEAD) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if head[..HEAD - run.len()] != head_of(run)[..HEAD - run.len()] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if *head != head_of(run) {
            return new(path);
        }
        let (whole, _torn) = notes.as_chunks::<NOTE>();
        let file = OpenOptions::new().write(true).open(&path)?;
        let mut journal = Journal { path, run, file: Some(file), notes: whole.len() };
        journal.go_to_end()?;
        Ok((journal, whole.iter().filter_map(Note::read).collect()))
    }

    /// Goes behind the last whole note, and lets go what is there.
    fn go_to_end(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let end = (HEAD + self.notes * NOTE) as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end)).map(|_| ())
    }

    /// Notes a call. It is on the disk when this returns.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::QuotaExceeded`] where there are too many since the last checkpoint.
    pub fn note(&mut self, note: Note) -> io::Result<()> {
        if self.notes >= MOST_NOTES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        match &mut self.file {
            None => self.begin(&[note]),
            Some(file) => {
                let noted = file.write_all(&note.bytes()).and_then(|()| file.sync_data());
                match noted {
                    Ok(()) => self.notes += 1,
                    // What comes next begins where a note begins.
                    Err(_) => self.go_to_end()?,
                }
                noted
            }
        }
    }

    /// A checkpoint is on the disk that has all calls which were begun: only these notes are still needed.
    ///
    /// # Errors
    /// The system's.
    pub fn cover(&mut self, still: &[Note]) -> io::Result<()> {
        if self.notes == still.len() && still.is_empty() {
            return Ok(());
        }
        self.begin(still)
    }

    /// Writes the file anew.
    fn begin(&mut self, notes: &[Note]) -> io::Result<()> {
        let (aside, mut file) = Aside::create(&self.path)?;
        let bytes: Vec<u8> = notes.iter().flat_map(Note::bytes).collect();
        file.write_all(&[&head_of(self.run)[..], &bytes].concat())?;
        aside.complete(&file)?;
        (self.file, self.notes) = (Some(file), notes.len());
        Ok(())
    }

    /// The checkpoint that the notes are beside.
    pub fn is_beside(&self, checkpoint: &Path) -> bool {
        self.path == beside(checkpoint)
    }
}

fn head_of(run: RunId) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[10..].copy_from_slice(&run);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = [7; 16];

    fn note(nth: u32) -> Note {
        Note::of(3, nth, "ring", "{}")
    }

    #[test]
    fn notes_are_there_again_and_a_torn_end_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("kept");
        let (mut journal, found) = Journal::open(&checkpoint, RUN).unwrap();
        assert!(found.is_empty() && !beside(&checkpoint).exists());
        for nth in 0..3 {
            journal.note(note(nth)).unwrap();
        }
        let bytes = std::fs::read(beside(&checkpoint)).unwrap();
        for end in HEAD..bytes.len() {
            std::fs::write(beside(&checkpoint), &bytes[..end]).unwrap();
            let (mut journal, found) = Journal::open(&checkpoint, RUN).unwrap();
            let whole = (end - HEAD) / NOTE;
            assert_eq!(found, (0..whole as u32).map(note).collect::<Vec<_>>());
            // What comes next is whole again.
            journal.note(note(9)).unwrap();
            assert_eq!(Journal::open(&checkpoint, RUN).unwrap().1.last(), Some(&note(9)));
        }
    }

    #[test]
    fn a_damaged_note_is_none_and_the_others_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("kept");
        let mut journal = Journal::open(&checkpoint, RUN).unwrap().0;
        (0..3).for_each(|nth| journal.note(note(nth)).unwrap());
        let bytes = std::fs::read(beside(&checkpoint)).unwrap();
        for at in HEAD + NOTE..HEAD + 2 * NOTE {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(beside(&checkpoint), &damaged).unwrap();
            assert_eq!(Journal::open(&checkpoint, RUN).unwrap().1, [note(0), note(2)], "byte {at}");
        }
    }

    #[test]
    fn what_a_checkpoint_has_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("kept");
        let mut journal = Journal::open(&checkpoint, RUN).unwrap().0;
        journal.cover(&[]).unwrap();
        assert!(!beside(&checkpoint).exists(), "nothing was noted");
        (0..3).for_each(|nth| journal.note(note(nth)).unwrap());
        journal.cover(&[note(2)]).unwrap();
        journal.note(note(4)).unwrap();
        assert_eq!(Journal::open(&checkpoint, RUN).unwrap().1, [note(2), note(4)]);
        journal.cover(&[]).unwrap();
        assert_eq!(Journal::open(&checkpoint, RUN).unwrap().1, []);
        assert_eq!(std::fs::metadata(beside(&checkpoint)).unwrap().len(), HEAD as u64);
    }

    #[test]
    fn another_run_has_no_notes_here_and_what_is_no_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("kept");
        Journal::open(&checkpoint, RUN).unwrap().0.note(note(1)).unwrap();
        let (mut other, found) = Journal::open(&checkpoint, [8; 16]).unwrap();
        assert_eq!(found, []);
        other.note(note(5)).unwrap();
        assert_eq!(Journal::open(&checkpoint, [8; 16]).unwrap().1, [note(5)]);
        assert_eq!(Journal::open(&checkpoint, RUN).unwrap().1, []);
        std::fs::write(beside(&checkpoint), "nothing of the kind, but long enough").unwrap();
        assert_eq!(Journal::open(&checkpoint, RUN).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_call_is_told_from_others_by_all_that_it_is() {
        let all = [
            Note::of(1, 0, "ring", "{}"),
            Note::of(2, 0, "ring", "{}"),
            Note::of(1, 1, "ring", "{}"),
            Note::of(1, 0, "rin", "g{}"),
            Note::of(1, 0, "ring", "{ }"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one));
        }
    }
}
