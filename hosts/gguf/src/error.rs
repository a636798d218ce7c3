//! Why a file is refused.

use agentos_hal::DType;

use crate::ggml_type::unsupported_name;
use crate::short::ShortName;
use crate::{MAX_ARRAY_DEPTH, MAX_DIMS};

/// Why a file is refused. `at` is always a byte of the file, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufError {
    /// The file does not begin with `GGUF`.
    Magic {
        /// What it begins with.
        found: [u8; 4],
    },
    /// The file's numbers are big endian.
    BigEndian,
    /// The file's version is neither 2 nor 3.
    Version {
        /// Its version.
        found: u32,
    },
    /// The file ends too early, or states a length that it does not have.
    Truncated {
        /// What does not fit.
        part: &'static str,
        /// Where it begins.
        at: u64,
        /// Bytes that it needs at least.
        needed: u64,
        /// Bytes from there to the end of the file.
        available: u64,
    },
    /// The file states more metadata pairs or tensors than [`crate::MAX_ENTRIES`].
    Count {
        /// Of what.
        part: &'static str,
        /// Where it says so.
        at: u64,
        /// How many it states.
        found: u64,
        /// How many would fit.
        limit: u64,
    },
    /// The caller's index is too short for the file.
    Index {
        /// Entries that the file needs.
        needed: usize,
        /// Entries that it was lent.
        available: usize,
    },
    /// A name is too long.
    Length {
        /// What it names.
        part: &'static str,
        /// Where its length stands.
        at: u64,
        /// Its length in bytes.
        found: u64,
        /// The length that would fit.
        limit: u64,
    },
    /// A text is not UTF-8.
    Utf8 {
        /// What it is.
        part: &'static str,
        /// The first byte that is wrong.
        at: u64,
    },
    /// A metadata value has a type that the format does not know.
    ValueType {
        /// Where the type stands.
        at: u64,
        /// Its number.
        found: u32,
    },
    /// A boolean is neither 0 nor 1.
    Bool {
        /// Where it stands.
        at: u64,
        /// What it is.
        found: u8,
    },
    /// Arrays are nested deeper than [`MAX_ARRAY_DEPTH`].
    ArrayDepth {
        /// Where the array begins that is too deep.
        at: u64,
    },
    /// Two metadata pairs have the same key.
    DuplicateKey {
        /// The key.
        key: ShortName,
        /// Where it stands for the second time.
        at: u64,
    },
    /// `general.alignment` is not a power of two from 8 to 2147483648.
    Alignment {
        /// What it is; `None` if it is no unsigned number.
        found: Option<u64>,
    },
    /// A tensor cannot be what its description says.
    Tensor {
        /// Its name.
        name: ShortName,
        /// Where its description begins.
        at: u64,
        /// What is wrong with it.
        fault: TensorFault,
    },
}

/// What is wrong with a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorFault {
    /// It has no dimension or too many.
    DimCount {
        /// How many it has.
        found: u32,
    },
    /// It has a dimension of 0, or is larger than can be addressed.
    Dims {
        /// Its dimensions, innermost first; 1 where it has none.
        found: [u64; MAX_DIMS],
    },
    /// It has a type that no device knows.
    Type {
        /// The type's number.
        found: u32,
    },
    /// Its rows are no whole number of its type's blocks.
    RowLength {
        /// Its type.
        dtype: DType,
        /// Elements of a row.
        cols: u32,
    },
    /// A tensor described earlier has the same name.
    Duplicate,
    /// Its bytes do not begin at a multiple of the file's alignment.
    Misaligned {
        /// Where its bytes begin, counted from the beginning of the tensors' part.
        offset: u64,
        /// The alignment.
        alignment: u64,
    },
    /// Its bytes are not all inside the file.
    OutsideFile {
        /// Where its bytes begin, counted from the beginning of the file (or the largest number,
        /// if that is larger).
        at: u64,
        /// How many they are.
        bytes: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// It begins inside another tensor.
    Overlap {
        /// The other.
        other: ShortName,
        /// The first byte of the file that both have.
        at: u64,
    },
}

impl core::fmt::Display for GgufError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            GgufError::Magic { found } => {
                write!(f, "not a GGUF file: it begins with \"{}\", not with \"GGUF\"", found.escape_ascii())
            }
            GgufError::BigEndian => {
                f.write_str("a big-endian GGUF file; only little-endian ones can be read")
            }
            GgufError::Version { found } => {
                write!(f, "a GGUF file of version {found}; versions 2 and 3 can be read")
            }
            GgufError::Truncated { part, at, needed, available } => write!(
                f,
                "the file is cut short or lies: {part} at byte {at} needs {needed} bytes or more, and {available} are left"
            ),
            GgufError::Count { part, at, found, limit } => {
                write!(f, "the file states {found} {part} (byte {at}); at most {limit} can be read")
            }
            GgufError::Index { needed, available } => {
                write!(f, "the file needs an index of {needed} entries; there are {available}")
            }
            GgufError::Length { part, at, found, limit } => {
                write!(f, "{part} at byte {at} is {found} bytes long; at most {limit} are allowed")
            }
            GgufError::Utf8 { part, at } => write!(f, "{part} is not UTF-8 at byte {at}"),
            GgufError::ValueType { at, found } => {
                write!(f, "unknown metadata type {found} at byte {at}; types 0 to 12 exist")
            }
            GgufError::Bool { at, found } => {
                write!(f, "a boolean at byte {at} is {found}; 0 and 1 are allowed")
            }
            GgufError::ArrayDepth { at } => {
                write!(f, "an array at byte {at} is nested too deep; {MAX_ARRAY_DEPTH} levels are allowed")
            }
            GgufError::DuplicateKey { key, at } => {
                write!(f, "the metadata key {key} stands there twice, again at byte {at}")
            }
            GgufError::Alignment { found } => {
                match found {
                    Some(found) => write!(f, "general.alignment is {found}")?,
                    None => f.write_str("general.alignment is no unsigned number")?,
                }
                f.write_str("; a power of two from 8 to 2147483648 is needed")
            }
            GgufError::Tensor { name, at, fault } => {
                write!(f, "tensor {name} (described at byte {at}) {fault}")
            }
        }
    }
}

impl core::fmt::Display for TensorFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TensorFault::DimCount { found } => {
                write!(f, "has {found} dimensions; 1 to {MAX_DIMS} are allowed")
            }
            TensorFault::Dims { found: [a, b, c, d] } => write!(
                f,
                "is {a} x {b} x {c} x {d}; no dimension may be 0, and rows and columns may each be at most {}",
                u32::MAX
            ),
            TensorFault::Type { found } => fmt_unsupported(*found, f),
            TensorFault::RowLength { dtype, cols } => {
                let block = dtype.block_len();
                write!(f, "has rows of {cols} elements; {dtype} needs a multiple of {block}")
            }
            TensorFault::Duplicate => f.write_str("has the name of a tensor before it"),
            TensorFault::Misaligned { offset, alignment } => {
                write!(f, "begins {offset} bytes into the tensors' part; a multiple of {alignment} is needed")
            }
            TensorFault::OutsideFile { at, bytes, file } => write!(
                f,
                "has {bytes} bytes from byte {at}, but the file ends at byte {file}: it is cut short or lies"
            ),
            TensorFault::Overlap { other, at } => write!(f, "begins inside tensor {other}, at byte {at}"),
        }
    }
}

/// The sentence about a tensor type that no device knows.
fn fmt_unsupported(number: u32, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match unsupported_name(number) {
        Some(name) => write!(f, "has the type {number} ({name})")?,
        None => write!(f, "has the unknown type {number}")?,
    }
    f.write_str(", which is not supported; supported are")?;
    for (i, dtype) in DType::ALL.iter().enumerate() {
        write!(f, "{} {dtype}", if i == 0 { "" } else { "," })?;
    }
    Ok(())
}

impl core::error::Error for GgufError {}

impl core::error::Error for TensorFault {}
