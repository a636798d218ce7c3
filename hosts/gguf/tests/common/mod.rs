//! A writer of small files, honest or not, for tests.

// Each test crate uses a part of this.
#![allow(dead_code)]

pub mod walk;

use agentos_gguf::{Gguf, GgufError, IndexEntry};

/// Numbers of value types.
pub const U8: u32 = 0;
pub const U32: u32 = 4;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const TEXT: u32 = 8;
pub const ARRAY: u32 = 9;

/// Bytes before the first metadata pair.
pub const HEADER: u64 = 24;

/// A file in the making.
#[derive(Clone, Default)]
pub struct File {
    pairs: Vec<u8>,
    pair_count: u64,
    records: Vec<u8>,
    record_count: u64,
    data: usize,
    alignment: Option<usize>,
}

impl File {
    pub fn new() -> File {
        File::default()
    }

    /// A pair whose value's bytes are given as they stand in the file.
    pub fn pair(mut self, key: &str, kind: u32, value: &[u8]) -> File {
        self.pairs.extend(text(key));
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend(value);
        self.pair_count += 1;
        self
    }

    pub fn u32(self, key: &str, value: u32) -> File {
        self.pair(key, U32, &value.to_le_bytes())
    }

    pub fn text(self, key: &str, value: &str) -> File {
        self.pair(key, TEXT, &text(value))
    }

    /// A record of the tensor table.
    pub fn tensor(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> File {
        self.records.extend(text(name));
        self.records.extend((dims.len() as u32).to_le_bytes());
        for dim in dims {
            self.records.extend(dim.to_le_bytes());
        }
        self.records.extend(kind.to_le_bytes());
        self.records.extend(offset.to_le_bytes());
        self.record_count += 1;
        self
    }

    /// How many bytes follow the tensor table and its padding; they count up.
    pub fn data(mut self, bytes: usize) -> File {
        self.data = bytes;
        self
    }

    /// Pads for this alignment, which a pair must state.
    pub fn padded_to(mut self, alignment: usize) -> File {
        self.alignment = Some(alignment);
        self
    }

    /// Where the tensor table begins.
    pub fn records_at(&self) -> u64 {
        HEADER + self.pairs.len() as u64
    }

    /// Where the tensor table ends.
    pub fn records_end(&self) -> u64 {
        self.records_at() + self.records.len() as u64
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(self.record_count.to_le_bytes());
        file.extend(self.pair_count.to_le_bytes());
        file.extend(&self.pairs);
        file.extend(&self.records);
        if self.data > 0 {
            file.resize(file.len().next_multiple_of(self.alignment.unwrap_or(32)), 0);
            file.extend((0..self.data).map(|i| i as u8));
        }
        file
    }
}

/// The number of the tensor type of that name.
pub const Q8_0: u32 = 8;

/// A small honest file: two tensors of 272 bytes, the second behind padding.
pub fn honest() -> File {
    File::new()
        .text("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .tensor("a.weight", &[256], Q8_0, 0)
        .tensor("b.weight", &[32, 8], Q8_0, 288)
        .data(288 + 272)
}

/// A text as files have it.
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// An array as files have it, its elements' bytes given.
pub fn array(kind: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(len.to_le_bytes());
    bytes.extend(elements);
    bytes
}

/// Parses and hands the result to `check`.
pub fn parsed<T>(bytes: &[u8], check: impl FnOnce(Gguf<'_>) -> T) -> T {
    let mut index = vec![IndexEntry::default(); Gguf::index_len(bytes).expect("an honest header")];
    check(Gguf::parse(bytes, &mut index).expect("an honest file"))
}

/// What the file is refused with.
pub fn refused(bytes: &[u8]) -> GgufError {
    let mut index = [IndexEntry::default(); 64];
    match Gguf::parse(bytes, &mut index) {
        Ok(gguf) => panic!("accepted: {gguf:?}"),
        Err(error) => error,
    }
}
