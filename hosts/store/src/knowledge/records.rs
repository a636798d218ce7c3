//! What the file says of collections, documents, passages and schemas.

use std::fmt;

use agentos_hal::StoreKey;
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Collection, Document, Modified, Passage, PassageSlice, Schema};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionRecord {
    /// Its number: the only one of the store.
    pub number: u32,
    pub prefix: [u8; 32],
    pub pinned: bool,
    pub settings: Vec<u8>,
    /// How many numbers the vectors of its schemas have, once there is one.
    pub widths: Option<(u32, u32)>,
}

impl CollectionRecord {
    pub fn told(self, name: &str) -> Collection {
        let CollectionRecord { prefix, pinned, settings, .. } = self;
        Collection { name: name.to_owned(), prefix, pinned, settings }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DocumentRecord {
    pub number: u64,
    pub content: [u8; 32],
    pub modified: Modified,
    pub passages: u32,
}

impl DocumentRecord {
    pub fn told(self, path: &str) -> Document {
        let DocumentRecord { number, content, modified, passages } = self;
        Document { number, path: path.to_owned(), content, modified, passages }
    }
}

/// A document that passages were put aside for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AsideRecord {
    /// What its passages are found under: a document's number, of which there is no document.
    pub number: u64,
    /// How many passages were put aside.
    pub passages: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PassageRecord {
    pub tokens: Vec<u32>,
    pub start: u64,
    pub end: u64,
    pub place: String,
    pub content: [u8; 32],
    pub slices: Vec<SliceOfPassage>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SliceOfPassage {
    pub key: [u8; 32],
    pub tokens: u8,
    pub heavy: Vec<u32>,
}

impl PassageRecord {
    pub fn of(passage: Passage) -> PassageRecord {
        let Passage { tokens, bytes, place, content, slices } = passage;
        let slice = |PassageSlice { key, tokens, heavy }| SliceOfPassage { key: key.0, tokens, heavy };
        let slices = slices.into_iter().map(slice).collect();
        PassageRecord { tokens, start: bytes.start, end: bytes.end, place, content, slices }
    }

    pub fn told(self) -> Passage {
        let PassageRecord { tokens, start, end, place, content, slices } = self;
        let slice =
            |SliceOfPassage { key, tokens, heavy }| PassageSlice { key: StoreKey(key), tokens, heavy };
        let slices = slices.into_iter().map(slice).collect();
        Passage { tokens, bytes: start..end, place, content, slices }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaRecord {
    pub mean_key: Halves,
    pub hidden: Halves,
}

impl SchemaRecord {
    pub fn of(schema: &Schema) -> SchemaRecord {
        SchemaRecord { mean_key: Halves::of(&schema.mean_key), hidden: Halves::of(&schema.hidden) }
    }

    pub fn told(self) -> Schema {
        Schema { mean_key: self.mean_key.told(), hidden: self.hidden.told() }
    }
}

/// Numbers in half precision. In a record they are bytes, which are read at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Halves(pub Vec<f16>);

impl Halves {
    fn of(numbers: &[f32]) -> Halves {
        let mut halves = vec![f16::ZERO; numbers.len()];
        halves.convert_from_f32_slice(numbers);
        Halves(halves)
    }

    fn told(&self) -> Vec<f32> {
        self.0.iter().map(|half| half.to_f32()).collect()
    }
}

impl Serialize for Halves {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|half| half.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Halves {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Halves, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Halves;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers of two bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Halves, E> {
        match bytes.as_chunks() {
            (halves, []) => Ok(Halves(halves.iter().map(|half| f16::from_le_bytes(*half)).collect())),
            (_, [_, ..]) => Err(E::invalid_length(bytes.len(), &self)),
        }
    }
}
