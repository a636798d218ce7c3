//! Reads GGUF model files where they lie.
//!
//! GGUF is the format in which llama.cpp's world ships models: a header, named metadata values, a
//! table of tensors, and the tensors' bytes. [`Gguf::parse`] walks everything but the tensors' bytes
//! once, and refuses a file that lies about anything; what comes after are lookups that borrow from
//! the file and cannot fail for reasons of format. [`GgufWeights`] hands the tensors to a device by
//! role.
//!
//! ```
//! # fn sizes(file: &[u8]) -> Result<(), agentos_gguf::GgufError> {
//! use agentos_gguf::{Gguf, IndexEntry};
//!
//! let mut index = vec![IndexEntry::default(); Gguf::index_len(file)?];
//! let gguf = Gguf::parse(file, &mut index)?;
//! let layers = gguf.arch_uint("block_count"); // `llama.block_count` in a Llama model
//! let embedding = gguf.tensor("token_embd.weight").map(|tensor| tensor.info);
//! # assert!(layers.is_none() && embedding.is_none());
//! # Ok(())
//! # }
//! # sizes(b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").expect("an empty file of the format");
//! ```
//!
//! What must never happen here: an allocation, a panic, `unsafe`, or work that grows faster than the
//! file. Duplicate and overlap checks and quick lookups need a sorted table; the caller lends it
//! ([`IndexEntry`]), [`Gguf::index_len`] says how long it must be, and [`MAX_ENTRIES`] bounds it.
//!
//! Source of the format: `docs/gguf.md` of ggml-org/ggml. Versions 2 and 3, little endian.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
mod ggml_type;
mod gguf;
pub mod names;
mod reader;
mod short;
mod tensor;
mod value;
mod weights;

pub use error::{GgufError, TensorFault};
pub use gguf::{Gguf, IndexEntry, Metadata, Tensors};
pub use short::ShortName;
pub use tensor::TensorEntry;
pub use value::{Array, Elements, Value, ValueType, Values};
pub use weights::GgufWeights;

/// Metadata pairs that a file may have, and also tensors that it may have. The largest models have
/// a few hundred pairs and a few thousand tensors.
pub const MAX_ENTRIES: u64 = 65_536;

/// Bytes of a metadata key (the format's own limit).
pub const MAX_KEY_BYTES: u64 = 65_535;

/// Bytes of a tensor's name (the format's own limit).
pub const MAX_TENSOR_NAME_BYTES: u64 = 64;

/// Arrays inside arrays: an array of numbers is 1 deep.
pub const MAX_ARRAY_DEPTH: u32 = 4;

/// Dimensions of a tensor (the format's own limit).
pub const MAX_DIMS: usize = 4;

/// Alignment of the tensors' bytes where the file does not state one.
pub const DEFAULT_ALIGNMENT: u64 = 32;
