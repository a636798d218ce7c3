//! The first thing a store's file says: what it is, how it is written, and what for.

use agentos_hal::KvType;

use crate::error::OpenError;
use crate::options::Kind;

/// What begins a header.
const MAGIC: &[u8; 14] = b"agentos store\0";
/// How this program writes a store.
pub const VERSION: u32 = 2;
/// Bytes of a header: magic, version, identity, heads, head width, element type, image bytes, checksum.
const BYTES: usize = 14 + 4 + 32 + 8 + 8 + 1 + 8 + 8;

/// The header of a store, integers little endian.
pub fn write(kind: &Kind) -> Vec<u8> {
    let Kind { identity, packing } = kind;
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(identity);
    bytes.extend_from_slice(&(packing.heads as u64).to_le_bytes());
    bytes.extend_from_slice(&(packing.head_dim as u64).to_le_bytes());
    bytes.push(code(packing.kv));
    bytes.extend_from_slice(&(packing.image_bytes() as u64).to_le_bytes());
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// Whether a header is that of a store for `kind`.
///
/// # Errors
/// [`OpenError::Foreign`], [`OpenError::Version`], [`OpenError::Damaged`], [`OpenError::Layout`],
/// [`OpenError::Identity`].
pub fn check(bytes: &[u8], kind: &Kind) -> Result<(), OpenError> {
    let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(OpenError::Foreign)?;
    let version = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(OpenError::Foreign)?;
    if version != VERSION {
        return Err(OpenError::Version { found: version, expected: VERSION });
    }
    let damaged = || OpenError::Damaged("its header is not what was written".to_owned());
    let bytes: &[u8; BYTES] = bytes.try_into().map_err(|_| damaged())?;
    let (said, sum) = bytes.split_at(BYTES - 8);
    if checksum(said) != sum {
        return Err(damaged());
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| said[at + i]));
    let (heads, head_dim, kv, image) = (number(50), number(58), said[66], number(67));
    let expected = kind.packing;
    if (heads, head_dim, kv) != (expected.heads as u64, expected.head_dim as u64, code(expected.kv)) {
        return Err(OpenError::Layout { found: image, expected: expected.image_bytes() as u64 });
    }
    let identity = std::array::from_fn(|i| said[18 + i]);
    if identity != kind.identity {
        return Err(OpenError::Identity { found: identity, expected: kind.identity });
    }
    Ok(())
}

const fn code(kv: KvType) -> u8 {
    match kv {
        KvType::F16 => 1,
        KvType::F32 => 2,
    }
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(bytes);
    std::array::from_fn(|i| hash.as_bytes()[i])
}

#[cfg(test)]
mod tests {
    use agentos_kernel::memory::pack::Packing;

    use super::*;

    const KIND: Kind =
        Kind { identity: [7; 32], packing: Packing { heads: 4, head_dim: 16, kv: KvType::F16 } };

    #[test]
    fn a_header_is_told_from_all_others() {
        let header = write(&KIND);
        assert_eq!(header.len(), BYTES);
        assert!(check(&header, &KIND).is_ok());
        for (at, bit) in (0..header.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = header.clone();
            flipped[at] ^= 1 << bit;
            assert!(check(&flipped, &KIND).is_err(), "bit {bit} of byte {at}");
        }
        for end in 0..header.len() {
            assert!(check(&header[..end], &KIND).is_err());
        }
    }

    #[test]
    fn a_refusal_says_what_there_is_and_what_would_fit() {
        let header = write(&KIND);
        let other = Kind { identity: [8; 32], ..KIND };
        assert!(matches!(check(&header, &other), Err(OpenError::Identity { found, .. }) if found == [7; 32]));
        let wide = Kind { packing: Packing { head_dim: 32, ..KIND.packing }, ..KIND };
        let expected = wide.packing.image_bytes() as u64;
        assert!(
            matches!(check(&header, &wide), Err(OpenError::Layout { found: 2048, expected: e }) if e == expected)
        );
        let mut newer = header;
        newer[14] = 9;
        assert!(matches!(check(&newer, &KIND), Err(OpenError::Version { found: 9, expected: VERSION })));
    }
}
