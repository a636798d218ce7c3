//! Where slices end: a pure function of the tokens.
//!
//! A slice is an immutable run of tokens on whole pages. It is sealed at once when a delimiter is
//! appended and it is long enough, or when it is as long as a slice may be; the next token begins a
//! slice of its own on a fresh page. Nothing else decides: not the chunking of a prompt, not what
//! else runs, not time. This is why a result cannot depend on any of them.

use agentos_hal::PAGE_TOKENS;
use serde::{Deserialize, Serialize};

/// What a token ends, as the host's table of the vocabulary says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// Nothing.
    #[default]
    None,
    /// A sentence.
    Sentence,
    /// A line.
    Line,
    /// A line, with a blank one after it.
    Paragraph,
    /// A message of a conversation.
    Message,
}

/// How short and how long a sealed slice may be, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceLimits {
    min: u32,
    max: u32,
}

impl SliceLimits {
    /// What every host uses, so that slices mean the same everywhere.
    pub const DEFAULT: SliceLimits = SliceLimits::new(8, 64);

    /// Limits of at least `min` and at most `max` tokens.
    ///
    /// # Panics
    /// When `min` is 0, or `max` below `min` or beyond any context. As a `const`, that is an error
    /// of the build.
    pub const fn new(min: u32, max: u32) -> SliceLimits {
        assert!(min >= 1 && min <= max && max <= 1 << 16, "a slice holds 1 <= min <= max <= 65536 tokens");
        SliceLimits { min, max }
    }

    /// Fewest tokens of a slice that a delimiter seals.
    pub const fn min(&self) -> u32 {
        self.min
    }

    /// Most tokens of a slice.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// Most slices that a context of `tokens` can have, the open one included.
    pub const fn worst_slices(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.min)
    }

    /// Most pages that a context of `tokens` can take. Every slice wastes less than a page.
    pub const fn worst_pages(&self, tokens: u32) -> u32 {
        let page = PAGE_TOKENS as u64;
        let slices = self.worst_slices(tokens) as u64;
        ((tokens as u64 + slices * (page - 1)) / page) as u32
    }
}

/// Whether a slice that has grown to `len` tokens is sealed, when its last token is this delimiter.
pub const fn seals(len: u32, last: Delimiter, limits: SliceLimits) -> bool {
    len >= limits.max || (len >= limits.min && !matches!(last, Delimiter::None))
}

/// Where a context ends: what must be known of its tokens to place the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Tokens placed.
    pub tokens: u32,
    /// Slices begun.
    pub slices: u32,
    /// Pages begun.
    pub pages: u32,
    /// Tokens of the open slice; 0 when the last one is sealed.
    pub open: u32,
}

/// Where a token goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its address in the context.
    pub address: u32,
    /// Its slice, counted from the context's first.
    pub slice: u32,
    /// Its offset inside the slice.
    pub offset: u32,
    /// Its page, counted from the context's first.
    pub page: u32,
    /// Its place in the page.
    pub place: u8,
}

impl Layout {
    /// Places one token.
    pub const fn append(self, token: Delimiter, limits: SliceLimits) -> (Layout, Placement) {
        let place = self.open as usize % PAGE_TOKENS;
        let slices = self.slices + (self.open == 0) as u32;
        let pages = self.pages + (place == 0) as u32;
        let placement = Placement {
            address: self.tokens,
            slice: slices - 1,
            offset: self.open,
            page: pages - 1,
            place: place as u8,
        };
        let len = self.open + 1;
        let open = if seals(len, token, limits) { 0 } else { len };
        (Layout { tokens: self.tokens + 1, slices, pages, open }, placement)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    const LIMITS: SliceLimits = SliceLimits::DEFAULT;

    fn place(tokens: &[Delimiter], limits: SliceLimits) -> (Layout, Vec<Placement>) {
        let mut layout = Layout::default();
        let place = |&token: &Delimiter| {
            let (next, placement) = layout.append(token, limits);
            layout = next;
            placement
        };
        let placements = tokens.iter().map(place).collect();
        (layout, placements)
    }

    fn delimiters() -> impl Strategy<Value = Vec<Delimiter>> {
        let token = prop_oneof![
            8 => Just(Delimiter::None),
            1 => Just(Delimiter::Sentence),
            1 => Just(Delimiter::Line),
            1 => Just(Delimiter::Paragraph),
            1 => Just(Delimiter::Message),
        ];
        proptest::collection::vec(token, 0..400)
    }

    #[test]
    fn a_delimiter_seals_only_what_is_long_enough() {
        assert!(!seals(7, Delimiter::Message, LIMITS));
        assert!(seals(8, Delimiter::Sentence, LIMITS));
        assert!(!seals(63, Delimiter::None, LIMITS));
        assert!(seals(64, Delimiter::None, LIMITS));
    }

    #[test]
    fn the_next_slice_begins_on_a_fresh_page() {
        let mut tokens = [Delimiter::None; 10];
        tokens[8] = Delimiter::Line;
        let (layout, placements) = place(&tokens, LIMITS);
        assert_eq!(placements[8], Placement { address: 8, slice: 0, offset: 8, page: 1, place: 0 });
        assert_eq!(placements[9], Placement { address: 9, slice: 1, offset: 0, page: 2, place: 0 });
        assert_eq!(layout, Layout { tokens: 10, slices: 2, pages: 3, open: 1 });
    }

    #[test]
    fn the_worst_case_is_reached() {
        let tokens = [Delimiter::Line; 90];
        let limits = SliceLimits::new(9, 64);
        let (layout, _) = place(&tokens, limits);
        assert_eq!((layout.slices, layout.pages), (limits.worst_slices(90), 20));
        assert_eq!(limits.worst_pages(90), 20);
        assert_eq!(limits.worst_pages(u32::MAX), 954_437_177);
    }

    proptest! {
        #[test]
        fn what_follows_moves_nothing(tokens in delimiters(), split in 0usize..400) {
            let split = split.min(tokens.len());
            let (_, whole) = place(&tokens, LIMITS);
            let (_, part) = place(&tokens[..split], LIMITS);
            prop_assert_eq!(&whole[..split], &part[..]);
        }

        #[test]
        fn sealed_slices_keep_the_limits(tokens in delimiters(), min in 1u32..20, more in 0u32..50) {
            let limits = SliceLimits::new(min, min + more);
            let (layout, placements) = place(&tokens, limits);
            prop_assert!(layout.slices <= limits.worst_slices(layout.tokens));
            prop_assert!(layout.pages <= limits.worst_pages(layout.tokens));
            for pair in placements.windows(2) {
                if pair[0].slice == pair[1].slice {
                    prop_assert_eq!(pair[1].offset, pair[0].offset + 1);
                    let fresh = u32::from(pair[1].place == 0);
                    prop_assert_eq!(pair[1].page, pair[0].page + fresh);
                } else {
                    let len = pair[0].offset + 1;
                    prop_assert!(len >= min && len <= min + more);
                    prop_assert_eq!((pair[1].offset, pair[1].place), (0, 0));
                    prop_assert_eq!(pair[1].page, pair[0].page + 1);
                }
            }
            for placement in placements {
                prop_assert_eq!(u32::from(placement.place), placement.offset % PAGE_TOKENS as u32);
            }
        }
    }
}
