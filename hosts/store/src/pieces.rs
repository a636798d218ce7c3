//! Large values in pieces: the file rounds what a value takes up to a power of two, so a slice is cut where
//! that costs least.

use agentos_hal::StoreKey;

/// Bytes of a piece: what fits an allocation of 64 KiB beside the file's own words.
pub const PIECE_BYTES: usize = 65_300;
/// The file's smallest allocation.
const PAGE_BYTES: u64 = 4096;
/// What the file adds to a value: its key and the words of a page.
const OVERHEAD_BYTES: u64 = 96;

/// A key of a piece: the slice's, then the number of the piece, big endian, so that pieces lie in order.
pub type PieceKey = [u8; 34];

/// The key of a piece.
pub fn piece_key(slice: &StoreKey, piece: u16) -> PieceKey {
    let mut key = [0; 34];
    key[..32].copy_from_slice(&slice.0);
    key[32..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// How many pieces a slice of these bytes has.
pub fn count(bytes: u64) -> u16 {
    u16::try_from(bytes.div_ceil(PIECE_BYTES as u64)).unwrap_or(u16::MAX)
}

/// What a slice of these bytes takes up in the file.
pub fn allocated(bytes: u64) -> u64 {
    let (whole, rest) = (bytes / PIECE_BYTES as u64, bytes % PIECE_BYTES as u64);
    let last = if rest == 0 { 0 } else { (rest + OVERHEAD_BYTES).next_power_of_two().max(PAGE_BYTES) };
    whole * (1 << 16) + last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_cut_where_it_costs_least() {
        assert_eq!((count(0), allocated(0)), (0, 0));
        assert_eq!((count(1), allocated(1)), (1, 4096));
        assert_eq!((count(65_300), allocated(65_300)), (1, 65_536));
        assert_eq!((count(65_301), allocated(65_301)), (2, 65_536 + 4096));
        // Eight pages of the default model: 23 pieces, 2 % more than their bytes.
        let slice = 8 * 184_320;
        assert_eq!(count(slice), 23);
        assert_eq!(allocated(slice), 23 << 16);
    }

    #[test]
    fn pieces_lie_in_order_and_apart() {
        let (a, b) = (StoreKey([1; 32]), StoreKey([2; 32]));
        assert!(piece_key(&a, 255) < piece_key(&a, 256));
        assert!(piece_key(&a, u16::MAX) < piece_key(&b, 0));
    }
}
