//! The file in which a calibration is kept: a line that says what it is and of which model, with a checksum, and the
//! numbers as JSON.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use agentos_hal::ModelShape;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Calibration, Misfit};
use crate::aside::Aside;

/// What the first line begins with; with another number the rest means something else.
const FORMAT: &str = "agentos calibration 1";

/// More than a model with the widest rows fills.
const MOST_BYTES: u64 = 1 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    /// The model's identity.
    model: String,
    /// Of all bytes after this line.
    sha256: String,
}

/// Why a file is not taken.
#[derive(Debug)]
pub enum FileError {
    /// It cannot be read or written.
    Io(io::Error),
    /// It has more bytes than a calibration can have: that many.
    Long {
        /// Bytes that would fit.
        limit: u64,
    },
    /// It is no calibration: why.
    Form(String),
    /// It is of another version of the program.
    Version(String),
    /// It is of another model: that one's identity.
    Model(String),
    /// Its bytes are not those that were written.
    Checksum,
    /// A number cannot be this model's.
    Misfit(Misfit),
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileError::Io(error) => error.fmt(f),
            FileError::Long { limit } => write!(f, "it has more than the {limit} bytes that would fit"),
            FileError::Form(why) => write!(f, "it is no calibration: {why}"),
            FileError::Version(found) => {
                write!(f, "it begins with {found:?}; {FORMAT:?} would fit")
            }
            FileError::Model(found) => write!(f, "it is of another model, {found}"),
            FileError::Checksum => f.write_str("it is damaged: its checksum is another"),
            FileError::Misfit(misfit) => write!(f, "it cannot be this model's: {misfit}"),
        }
    }
}

impl std::error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        FileError::Io(error)
    }
}

/// The bytes of a file for a model.
pub fn encode(calibration: &Calibration, identity: &[u8; 32]) -> Vec<u8> {
    let mut body = serde_json::to_vec_pretty(calibration).expect("numbers and names can be written as JSON");
    body.push(b'\n');
    let header = Header {
        format: FORMAT.to_owned(),
        model: hex(identity),
        sha256: hex(&Sha256::digest(&body).into()),
    };
    let mut bytes = serde_json::to_vec(&header).expect("names can be written as JSON");
    bytes.push(b'\n');
    bytes.extend(body);
    bytes
}

/// The calibration in the bytes of a file, if it is this model's.
///
/// # Errors
/// Any [`FileError`] but [`FileError::Io`].
pub fn decode(bytes: &[u8], identity: &[u8; 32], shape: &ModelShape) -> Result<Calibration, FileError> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::Long { limit: MOST_BYTES });
    }
    let split = bytes.iter().position(|&byte| byte == b'\n');
    let (line, body) = bytes.split_at(split.map_or(bytes.len(), |end| end + 1));
    let header: Header = serde_json::from_slice(line).map_err(|error| FileError::Form(error.to_string()))?;
    if header.format != FORMAT {
        return Err(FileError::Version(header.format.chars().take(64).collect()));
    }
    if header.model != hex(identity) {
        return Err(FileError::Model(header.model.chars().take(64).collect()));
    }
    if header.sha256 != hex(&Sha256::digest(body).into()) {
        return Err(FileError::Checksum);
    }
    let calibration: Calibration =
        serde_json::from_slice(body).map_err(|error| FileError::Form(error.to_string()))?;
    calibration.check(shape).map_err(FileError::Misfit)?;
    Ok(calibration)
}

/// Reads a file of a model.
///
/// # Errors
/// Any [`FileError`].
pub fn read(path: &Path, identity: &[u8; 32], shape: &ModelShape) -> Result<Calibration, FileError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    decode(&bytes, identity, shape)
}

/// Writes a file; whoever reads meanwhile sees the old one or the new one.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, calibration: &Calibration, identity: &[u8; 32]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let (aside, mut file) = Aside::create(path)?;
    file.write_all(&encode(calibration, identity))?;
    aside.complete(&file)
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::SHAPE;
    use super::*;

    const MODEL: [u8; 32] = [7; 32];

    fn calibration() -> Calibration {
        Calibration { centre: vec![0.1, -2.5e-7, 3e8, 0.0], ..Calibration::default_for(&SHAPE) }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("one.json");
        write(&path, &calibration(), &MODEL).unwrap();
        assert_eq!(read(&path, &MODEL, &SHAPE).unwrap(), calibration());
        let missing = read(folder.path().join("no").as_path(), &MODEL, &SHAPE).unwrap_err();
        assert!(matches!(missing, FileError::Io(_)));
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let bytes = encode(&calibration(), &MODEL);
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                assert!(decode(&damaged, &MODEL, &SHAPE).is_err(), "byte {at} bit {bit}");
            }
            assert!(decode(&bytes[..at], &MODEL, &SHAPE).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn refusals_say_why() {
        let refused =
            |bytes: &[u8], shape: &ModelShape| decode(bytes, &MODEL, shape).unwrap_err().to_string();
        let bytes = encode(&calibration(), &MODEL);
        let other = decode(&bytes, &[8; 32], &SHAPE).unwrap_err();
        assert_eq!(other.to_string(), format!("it is of another model, {}", "07".repeat(32)));
        let narrow = ModelShape { layers: 10, ..SHAPE };
        assert_eq!(
            refused(&bytes, &narrow),
            "it cannot be this model's: slicing_layer is 14; 0 to 9 would fit"
        );
        let old = String::from_utf8(bytes.clone()).unwrap().replace("calibration 1", "calibration 0");
        assert!(refused(old.as_bytes(), &SHAPE).contains("\"agentos calibration 1\" would fit"));
        assert!(refused(&[b' '; 2 << 20], &SHAPE).contains("more than the 1048576 bytes"));
        // The checksum is right, but the content is none.
        let body = b"{\"sink_tokens\": 1e99}\n";
        let header = Header {
            format: FORMAT.to_owned(),
            model: hex(&MODEL),
            sha256: hex(&Sha256::digest(body).into()),
        };
        let mut hostile = serde_json::to_vec(&header).unwrap();
        hostile.push(b'\n');
        hostile.extend(body);
        assert!(refused(&hostile, &SHAPE).starts_with("it is no calibration: "));
    }
}
