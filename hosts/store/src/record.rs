//! Records: postcard behind a magic, a version and a checksum. The checksum covers the key that a record is
//! found under, so that a record in another's place is none.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What begins every record.
const MAGIC: [u8; 2] = *b"aS";
/// Bytes of the checksum that are kept.
const CHECKSUM_BYTES: usize = 8;
/// Bytes before the value: magic, sort, version, checksum.
const HEAD_BYTES: usize = MAGIC.len() + 2 + CHECKSUM_BYTES;

/// What a record is about. The number goes into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sort {
    /// A slice.
    Slice = 1,
    /// A collection.
    Collection = 2,
    /// A document.
    Document = 3,
    /// A passage.
    Passage = 4,
    /// The schema of a slice of a passage.
    Schema = 5,
    /// A document that passages were put aside for.
    Aside = 6,
}

impl Sort {
    /// The version of these records that this program writes and reads.
    const fn version(self) -> u8 {
        1
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It does not begin as this sort of record does.
    Foreign,
    /// It was written by a program that writes these records otherwise.
    Version {
        /// The version that it has.
        found: u8,
    },
    /// Its bytes are not those that were written.
    Checksum,
    /// Its bytes are right and make no such value.
    Shape,
}

/// A record of a value, to be found under a key.
pub fn seal<T: Serialize>(sort: Sort, key: &[u8], value: &T) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES];
    bytes[..2].copy_from_slice(&MAGIC);
    (bytes[2], bytes[3]) = (sort as u8, sort.version());
    // Into memory, and of types that are made here: there is nothing that could fail.
    let mut bytes = postcard::to_extend(value, bytes).expect("plain values have a postcard form");
    let sum = checksum(&bytes[..4], key, &bytes[HEAD_BYTES..]);
    bytes[4..HEAD_BYTES].copy_from_slice(&sum);
    bytes
}

/// The value of a record that was found under a key.
///
/// # Errors
/// [`RecordError`].
pub fn open<T: DeserializeOwned>(sort: Sort, key: &[u8], bytes: &[u8]) -> Result<T, RecordError> {
    let (head, value) = bytes.split_at_checked(HEAD_BYTES).ok_or(RecordError::Foreign)?;
    if head[..2] != MAGIC || head[2] != sort as u8 {
        return Err(RecordError::Foreign);
    }
    if checksum(&head[..4], key, value) != head[4..] {
        return Err(RecordError::Checksum);
    }
    if head[3] != sort.version() {
        return Err(RecordError::Version { found: head[3] });
    }
    match postcard::take_from_bytes(value) {
        Ok((value, [])) => Ok(value),
        _ => Err(RecordError::Shape),
    }
}

fn checksum(head: &[u8], key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Value = (u64, String, Vec<u32>);

    proptest! {
        #[test]
        fn a_record_comes_back_and_no_changed_one_does(
            value: Value, key: Vec<u8>, at: prop::sample::Index, bit in 0..8u32
        ) {
            let sealed = seal(Sort::Passage, &key, &value);
            prop_assert_eq!(open::<Value>(Sort::Passage, &key, &sealed), Ok(value));
            let mut flipped = sealed.clone();
            flipped[at.index(sealed.len())] ^= 1 << bit;
            prop_assert!(open::<Value>(Sort::Passage, &key, &flipped).is_err());
            prop_assert!(open::<Value>(Sort::Passage, &key, &sealed[..at.index(sealed.len())]).is_err());
            prop_assert!(open::<Value>(Sort::Document, &key, &sealed).is_err());
            let mut other = key.clone();
            other.push(0);
            prop_assert_eq!(open::<Value>(Sort::Passage, &other, &sealed), Err(RecordError::Checksum));
        }

        #[test]
        fn any_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(open::<Value>(Sort::Slice, &[], &bytes).is_err());
        }
    }

    #[test]
    fn another_version_is_told() {
        let mut sealed = seal(Sort::Slice, b"key", &7u8);
        sealed[3] = 9;
        let sum = checksum(&sealed[..4], b"key", &sealed[HEAD_BYTES..]);
        sealed[4..HEAD_BYTES].copy_from_slice(&sum);
        assert_eq!(open::<u8>(Sort::Slice, b"key", &sealed), Err(RecordError::Version { found: 9 }));
    }
}
