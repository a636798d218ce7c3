//! How page images are written: as they are, or packed.

pub mod k4v4;

use agentos_hal::{Entry, StoreKey};
use agentos_kernel::memory::pack::Packing;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// How the page images of a slice are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// As they are. The only one for slices that come back bit for bit.
    Lossless,
    /// Int8 with a scale per token and head: half of the bytes of half precision.
    Int8,
    /// Keys as four bits with a range per channel of the slice, values as four bits with a range per 32
    /// dimensions: see [`k4v4`]. The sink slice of a context should be kept lossless beside it.
    K4V4,
}

impl Encoding {
    /// Bytes of a slice.
    pub fn bytes(self, packing: &Packing, entry: Entry) -> usize {
        let pages = usize::from(entry.pages);
        match self {
            Encoding::Lossless => pages * packing.image_bytes(),
            Encoding::Int8 => pages * packing.packed_bytes(),
            Encoding::K4V4 => k4v4::bytes(packing, usize::from(entry.tokens)),
        }
    }

    /// Encodes the page images of a slice, one after the other.
    ///
    /// # Panics
    /// When the images are not those of so many pages.
    pub fn encode(self, packing: &Packing, entry: Entry, images: Vec<u8>) -> Vec<u8> {
        let image_bytes = packing.image_bytes();
        assert_eq!(images.len(), usize::from(entry.pages) * image_bytes, "all pages of a slice");
        if self == Encoding::Lossless {
            return images;
        }
        let mut encoded = vec![0; self.bytes(packing, entry)];
        match self {
            Encoding::Lossless => {}
            Encoding::Int8 => {
                let pages =
                    images.chunks_exact(image_bytes).zip(encoded.chunks_exact_mut(packing.packed_bytes()));
                pages.for_each(|(image, packed)| packing.pack(image, packed));
            }
            Encoding::K4V4 => k4v4::encode(packing, usize::from(entry.tokens), &images, &mut encoded),
        }
        encoded
    }

    /// Makes the page images of an encoded slice.
    ///
    /// # Panics
    /// When the lengths are not those of so many pages.
    pub fn decode(self, packing: &Packing, entry: Entry, encoded: &[u8], images: &mut [u8]) {
        let image_bytes = packing.image_bytes();
        assert_eq!(images.len(), usize::from(entry.pages) * image_bytes, "all pages of a slice");
        assert_eq!(encoded.len(), self.bytes(packing, entry), "all bytes of a slice");
        match self {
            Encoding::Lossless => images.copy_from_slice(encoded),
            Encoding::Int8 => {
                let pages =
                    encoded.chunks_exact(packing.packed_bytes()).zip(images.chunks_exact_mut(image_bytes));
                pages.for_each(|(packed, image)| packing.unpack(packed, image));
            }
            Encoding::K4V4 => k4v4::decode(packing, usize::from(entry.tokens), encoded, images),
        }
    }
}

/// The checksum (XXH3, 128 bits) of an encoded slice and of all that says how to read it. It tells what a disk or a crash
/// made of it. Whoever can write the file could make any checksum, so a hash that nobody can forge would only be
/// slower: reading a slice spent more time on that than on all else.
pub fn checksum(key: &StoreKey, entry: Entry, encoding: Encoding, encoded: &[u8]) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    hasher.update(&key.0);
    hasher.update(&[entry.pages, entry.tokens, entry.exact.into(), encoding as u8]);
    hasher.update(encoded);
    hasher.digest128().to_le_bytes()
}
