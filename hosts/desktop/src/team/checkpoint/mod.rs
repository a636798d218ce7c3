//! A team in a file: how far it has come, and the kernel's checkpoint of its agents.
//!
//! The file is, in this order: [`MAGIC`]; the version as two bytes and the length of what follows as four,
//! little endian; a [`State`] in the postcard format; the SHA-256 of all of this; and the kernel's
//! checkpoint (`agentos_kernel::checkpoint`), which has a checksum of its own.

mod error;
pub mod journal;

pub use error::{CheckpointFileError, Problem};

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::journal::RunId;
use crate::aside::Aside;
use crate::team::Team;
use crate::team::runner::Roster;

/// What the file begins with.
pub const MAGIC: [u8; 8] = *b"AGTEAM\0\0";

/// The version that is written, and the only one that is read.
pub const VERSION: u16 = 7;

/// Bytes of magic, version and length.
const HEAD: usize = MAGIC.len() + 2 + 4;

/// Bytes of the hash behind the state.
const HASH: usize = 32;

/// What a team is besides its agents in the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`fingerprint`] of the team file.
    pub team: [u8; 32],
    /// The run, whatever file it is kept in and however often it is gone on with.
    pub run: RunId,
    /// The seed of a replay.
    pub replay: Option<u64>,
    /// The time on the run's clock, in nanoseconds.
    pub now_ns: u64,
    /// How far each agent has come.
    pub roster: Roster,
}

/// What tells one team from another: everything of its file that agents get to see or that decides what
/// becomes of them.
pub fn fingerprint(team: &Team) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}", team.document));
    for agent in &team.agents {
        let said = (&agent.name, &agent.system, &agent.prompt, &agent.after);
        let declared = (agent.memory, agent.max_tokens, agent.context, agent.max_time_us, agent.sampling);
        hash.update(format!("{said:?} {declared:?} {:?}\n", agent.priority));
        hash.update(format!("{:?} {:?} {:?}\n", agent.tools, agent.response_schema, agent.knowledge));
    }
    hash.finalize().into()
}

/// Writes the file: the state, and then what `kernel` writes. It is there whole or not at all.
///
/// # Errors
/// The system's, and those of `kernel`.
pub fn write<E: From<io::Error>>(
    path: &Path,
    state: &State,
    kernel: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let (aside, file) = Aside::create(path)?;
    let mut out = BufWriter::new(&file);
    out.write_all(&head(state))?;
    kernel(&mut out)?;
    out.flush()?;
    drop(out);
    Ok(aside.complete(&file)?)
}

/// Everything before the kernel's checkpoint.
fn head(state: &State) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut bytes = postcard::to_extend(state, bytes).expect("a state has a length that is known");
    let length = u32::try_from(bytes.len() - HEAD).expect("answers are shorter than memory");
    bytes[HEAD - 4..HEAD].copy_from_slice(&length.to_le_bytes());
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// Reads a file of at most so many bytes: the state, and the kernel's checkpoint.
///
/// # Errors
/// [`CheckpointFileError`].
pub fn read(path: &Path, most_bytes: u64) -> Result<(State, Vec<u8>), CheckpointFileError> {
    let refuse = |problem| CheckpointFileError { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|source| refuse(Problem::Read(source)))?;
    let mut bytes = Vec::new();
    file.take(most_bytes + 1).read_to_end(&mut bytes).map_err(|source| refuse(Problem::Read(source)))?;
    if bytes.len() as u64 > most_bytes {
        return Err(refuse(Problem::TooLong { limit: most_bytes }));
    }
    let (state, rest) = parse(&bytes).map_err(refuse)?;
    bytes.drain(..bytes.len() - rest);
    Ok((state, bytes))
}

/// The state of a file, and how many bytes come behind it.
fn parse(bytes: &[u8]) -> Result<(State, usize), Problem> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(Problem::NotACheckpoint)?;
    let (version, rest) = rest.split_first_chunk().ok_or(Problem::Damaged)?;
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(Problem::Version { found, expected: VERSION });
    }
    let (length, rest) = rest.split_first_chunk().ok_or(Problem::Damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (state, rest) = rest.split_at_checked(length).ok_or(Problem::Damaged)?;
    let (hash, rest) = rest.split_at_checked(HASH).ok_or(Problem::Damaged)?;
    if Sha256::digest(&bytes[..HEAD + length])[..] != *hash {
        return Err(Problem::Damaged);
    }
    let state = postcard::from_bytes(state).map_err(|_| Problem::Damaged)?;
    Ok((state, rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team::builtin;

    fn state() -> State {
        let team = builtin();
        let roster = Roster::new(&team, |_| 10, 4);
        State { team: fingerprint(&team), run: [3; 16], replay: Some(7), now_ns: 12, roster }
    }

    #[test]
    fn what_is_written_is_read_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("team.checkpoint");
        write(&path, &state(), |out| out.write_all(b"the kernel's")).unwrap();
        let (found, rest) = read(&path, 1 << 20).unwrap();
        assert_eq!((found, &rest[..]), (state(), &b"the kernel's"[..]));
        let bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len() - rest.len();
        for at in 0..whole {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert!(parse(&damaged).is_err(), "byte {at}");
            assert!(parse(&bytes[..at]).is_err(), "the first {at} bytes");
        }
        let too_long = read(&path, bytes.len() as u64 - 1).unwrap_err();
        assert!(matches!(too_long.problem, Problem::TooLong { .. }), "{too_long}");
        let failed: Result<(), io::Error> =
            write(&path, &state(), |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the old one is still there");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_team_has_another_fingerprint() {
        let team = builtin();
        let mut other = team.clone();
        other.agents[0].max_tokens += 1;
        assert_ne!(fingerprint(&team), fingerprint(&other));
        let mut moved = team.clone();
        moved.path = "elsewhere".into();
        assert_eq!(fingerprint(&team), fingerprint(&moved));
    }
}
