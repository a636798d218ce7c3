//! The file: one walk that checks it, then lookups through the index that the walk left.

use core::cmp::Ordering;

use crate::error::{GgufError, TensorFault};
use crate::reader::Reader;
use crate::short::ShortName;
use crate::tensor::{Record, TensorEntry};
use crate::value::Value;
use crate::{DEFAULT_ALIGNMENT, MAX_ENTRIES, MAX_KEY_BYTES};

/// A place in the table that the caller lends to [`Gguf::parse`]: where a key or a tensor's record
/// stands in the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexEntry(u64);

/// A GGUF file that has been checked. Copying it copies references.
#[derive(Clone, Copy)]
pub struct Gguf<'a> {
    bytes: &'a [u8],
    version: u32,
    alignment: u64,
    /// Where the table of tensors begins.
    records_at: u64,
    /// Where the tensors' bytes begin.
    data_at: u64,
    /// Metadata pairs by key.
    keys: &'a [IndexEntry],
    /// Tensor records by name.
    tensors: &'a [IndexEntry],
}

/// What stands before everything else.
struct Header {
    version: u32,
    tensors: usize,
    keys: usize,
}

impl Header {
    const BYTES: u64 = 24;
    const TENSORS_AT: u64 = 8;
    const KEYS_AT: u64 = 16;
    /// A pair with an empty key and a value of one byte.
    const LEAST_PAIR_BYTES: u64 = 8 + 4 + 1;

    fn read(bytes: &[u8]) -> Result<Header, GgufError> {
        const PART: &str = "the header";
        let mut reader = Reader::new(bytes, 0);
        let found = reader.array(PART)?;
        if &found != b"GGUF" {
            return Err(GgufError::Magic { found });
        }
        let version = reader.u32(PART)?;
        match version {
            2 | 3 => {}
            _ if (1..=3).contains(&version.swap_bytes()) => return Err(GgufError::BigEndian),
            found => return Err(GgufError::Version { found }),
        }
        let (tensors, keys) = (reader.u64(PART)?, reader.u64(PART)?);
        let tensors = count("tensors", Self::TENSORS_AT, tensors)?;
        let keys = count("metadata pairs", Self::KEYS_AT, keys)?;

        // Cannot overflow: `count` has bounded both.
        let needed = keys as u64 * Self::LEAST_PAIR_BYTES + tensors as u64 * Record::LEAST_BYTES;
        let (at, available) = (reader.at(), reader.left());
        if needed > available {
            return Err(GgufError::Truncated { part: "the metadata", at, needed, available });
        }
        Ok(Header { version, tensors, keys })
    }
}

fn count(part: &'static str, at: u64, found: u64) -> Result<usize, GgufError> {
    if found > MAX_ENTRIES {
        return Err(GgufError::Count { part, at, found, limit: MAX_ENTRIES });
    }
    Ok(found as usize)
}

impl<'a> Gguf<'a> {
    /// Entries of the index that [`Gguf::parse`] needs for this file: at most twice
    /// [`MAX_ENTRIES`], and never more than the file has bytes for. Reads the header only.
    ///
    /// # Errors
    /// [`GgufError::Magic`], [`GgufError::BigEndian`], [`GgufError::Version`],
    /// [`GgufError::Count`], [`GgufError::Truncated`].
    pub fn index_len(bytes: &[u8]) -> Result<usize, GgufError> {
        let header = Header::read(bytes)?;
        Ok(header.keys + header.tensors)
    }

    /// Checks a file: everything but what the tensors' bytes mean (those are not touched). What
    /// `index` held before does not matter; entries over [`Gguf::index_len`] are left alone. The
    /// work is that of sorting the entries and of reading each byte of the metadata once.
    ///
    /// # Errors
    /// Any [`GgufError`].
    pub fn parse(bytes: &'a [u8], index: &'a mut [IndexEntry]) -> Result<Gguf<'a>, GgufError> {
        let header = Header::read(bytes)?;
        let (needed, available) = (header.keys + header.tensors, index.len());
        let index = index.get_mut(..needed).ok_or(GgufError::Index { needed, available })?;
        let (keys, tensors) = index.split_at_mut(header.keys);

        let mut reader = Reader::new(bytes, Header::BYTES);
        walk(&mut reader, keys, |reader| {
            reader.text_within("a metadata key", MAX_KEY_BYTES)?;
            Value::walk_typed(reader)
        })?;
        sort_names(bytes, keys, |key, at| GgufError::DuplicateKey { key, at })?;
        let keys = &*keys;
        let alignment = alignment(find(bytes, keys, &["general.alignment"]))?;

        let records_at = reader.at();
        walk(&mut reader, tensors, |reader| Record::read(reader).map(drop))?;
        let data_at = reader.at().next_multiple_of(alignment);
        check_places(bytes, tensors, data_at, alignment)?;
        sort_names(bytes, tensors, |name, at| GgufError::Tensor { name, at, fault: TensorFault::Duplicate })?;

        let version = header.version;
        Ok(Gguf { bytes, version, alignment, records_at, data_at, keys, tensors })
    }

    /// The version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Every tensor's bytes begin at a multiple of this many bytes into the tensors' part.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        find(self.bytes, self.keys, &[key])
    }

    /// The value of `general.architecture`, which is also the first part of the keys that describe
    /// the model's sizes.
    pub fn architecture(&self) -> Option<&'a str> {
        self.get("general.architecture")?.as_text()
    }

    /// The value of a key of the model's architecture: `block_count` stands for
    /// `llama.block_count` in a file whose architecture is `llama`.
    pub fn arch_get(&self, key: &str) -> Option<Value<'a>> {
        find(self.bytes, self.keys, &[self.architecture()?, ".", key])
    }

    /// [`Gguf::arch_get`], if it is an integer of any width that is not negative.
    pub fn arch_uint(&self, key: &str) -> Option<u64> {
        self.arch_get(key)?.as_uint()
    }

    /// [`Gguf::arch_get`], if it is a floating-point number of either width.
    pub fn arch_float(&self, key: &str) -> Option<f64> {
        self.arch_get(key)?.as_float()
    }

    /// [`Gguf::arch_get`], if it is a text.
    pub fn arch_text(&self, key: &str) -> Option<&'a str> {
        self.arch_get(key)?.as_text()
    }

    /// All metadata, sorted by key.
    pub fn metadata(&self) -> Metadata<'a> {
        Metadata { bytes: self.bytes, keys: self.keys.iter() }
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<TensorEntry<'a>> {
        let at = position(self.bytes, self.tensors, &[name])?;
        let record = Record::read(&mut Reader::new(self.bytes, self.tensors[at].0)).ok()?;
        record.entry(self.bytes, self.data_at)
    }

    /// All tensors, in the order of the file's table.
    pub fn tensors(&self) -> Tensors<'a> {
        let reader = Reader::new(self.bytes, self.records_at);
        Tensors { bytes: self.bytes, data_at: self.data_at, left: self.tensors.len(), reader }
    }
}

impl core::fmt::Debug for Gguf<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (keys, tensors) = (self.keys.len(), self.tensors.len());
        write!(f, "GGUF version {} with {keys} metadata pairs and {tensors} tensors", self.version)
    }
}

/// Notes where each of the next records begins and moves past it.
fn walk<'a>(
    reader: &mut Reader<'a>,
    entries: &mut [IndexEntry],
    mut past: impl FnMut(&mut Reader<'a>) -> Result<(), GgufError>,
) -> Result<(), GgufError> {
    for entry in entries {
        *entry = IndexEntry(reader.at());
        past(reader)?;
    }
    Ok(())
}

/// The name with which a record begins, whether it is a key or a tensor's.
fn name(bytes: &[u8], entry: IndexEntry) -> &[u8] {
    Reader::new(bytes, entry.0).text_bytes("a name", u64::MAX).unwrap_or_default()
}

/// Sorts by name; two records of one name are an error, made from it and from the second's place.
fn sort_names(
    bytes: &[u8],
    entries: &mut [IndexEntry],
    duplicate: impl Fn(ShortName, u64) -> GgufError,
) -> Result<(), GgufError> {
    entries.sort_unstable_by(|&a, &b| name(bytes, a).cmp(name(bytes, b)).then(a.0.cmp(&b.0)));
    match entries.windows(2).find(|pair| name(bytes, pair[0]) == name(bytes, pair[1])) {
        Some(pair) => {
            let text = Reader::new(bytes, pair[1].0).text("a name")?;
            Err(duplicate(ShortName::new(text), pair[1].0))
        }
        None => Ok(()),
    }
}

/// Where in the sorted `entries` the name stands that the pieces make together.
fn position(bytes: &[u8], entries: &[IndexEntry], pieces: &[&str]) -> Option<usize> {
    let order = |&entry: &IndexEntry| -> Ordering {
        name(bytes, entry).iter().copied().cmp(pieces.iter().flat_map(|piece| piece.bytes()))
    };
    entries.binary_search_by(order).ok()
}

fn find<'a>(bytes: &'a [u8], keys: &[IndexEntry], pieces: &[&str]) -> Option<Value<'a>> {
    pair(bytes, keys[position(bytes, keys, pieces)?]).map(|(_, value)| value)
}

fn pair(bytes: &[u8], entry: IndexEntry) -> Option<(&str, Value<'_>)> {
    let mut reader = Reader::new(bytes, entry.0);
    let key = reader.text("a metadata key").ok()?;
    Some((key, Value::read_typed(&mut reader).ok()?))
}

fn alignment(value: Option<Value<'_>>) -> Result<u64, GgufError> {
    let Some(value) = value else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let found = value.as_uint();
    // 32 bits are what the format calls for, and what keeps the sums with it from overflowing.
    let fits = found.filter(|&found| found.is_power_of_two() && (8..=1 << 31).contains(&found));
    fits.ok_or(GgufError::Alignment { found })
}

/// Checks that the tensors' bytes are where they may be and that no two tensors share any. Leaves
/// the entries in the order of those bytes.
fn check_places(
    bytes: &[u8],
    tensors: &mut [IndexEntry],
    data_at: u64,
    alignment: u64,
) -> Result<(), GgufError> {
    let record = |entry: IndexEntry| Record::read(&mut Reader::new(bytes, entry.0));
    tensors.sort_unstable_by_key(|&entry| (record(entry).map_or(0, |record| record.offset), entry.0));
    let mut before: Option<(ShortName, u64)> = None;
    for &mut entry in tensors {
        let record = record(entry)?;
        let range = record.place(data_at, alignment, bytes.len() as u64)?;
        if let Some((other, end)) = before
            && range.start < end
        {
            return Err(record.refuse(TensorFault::Overlap { other, at: range.start }));
        }
        before = Some((record.short_name(), range.end));
    }
    Ok(())
}

/// Iterates over metadata as keys and values.
#[derive(Clone)]
pub struct Metadata<'a> {
    bytes: &'a [u8],
    keys: core::slice::Iter<'a, IndexEntry>,
}

impl<'a> Iterator for Metadata<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        pair(self.bytes, *self.keys.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.keys.size_hint()
    }
}

impl ExactSizeIterator for Metadata<'_> {}

/// Iterates over tensors.
#[derive(Clone)]
pub struct Tensors<'a> {
    bytes: &'a [u8],
    data_at: u64,
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for Tensors<'a> {
    type Item = TensorEntry<'a>;

    fn next(&mut self) -> Option<TensorEntry<'a>> {
        self.left = self.left.checked_sub(1)?;
        Record::read(&mut self.reader).ok()?.entry(self.bytes, self.data_at)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Tensors<'_> {}
