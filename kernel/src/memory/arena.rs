//! The second tier (L2): memory of the host, divided into frames at boot. A lossless frame holds the
//! image of a page as it is, a packed frame holds it packed (see [`super::pack`]).
//!
//! One table of a number per frame is all that the arena keeps of them: the free frames of a kind are
//! a chain through it, and a frame in use is marked there. So whoever gives a frame back twice, or
//! looks into one that is free, is stopped at once.

/// A frame of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameId(u32);

impl FrameId {
    /// No frame.
    pub const NONE: FrameId = FrameId(u32::MAX);

    /// Counts lossless frames from 0, and packed ones behind them.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What stands in the table for a frame in use.
const IN_USE: u32 = u32::MAX;
/// What stands in the table for the last of the free frames.
const LAST: u32 = u32::MAX - 1;

/// Frames of one size and those of them that are free.
#[derive(Debug)]
struct Frames<'m> {
    bytes: &'m mut [u8],
    frame_bytes: usize,
    /// The id of the first frame.
    first: u32,
    /// Per frame: the next free one, counted from the first, or a mark.
    next: &'m mut [u32],
    /// The free frame that is taken next.
    free: u32,
    count: u32,
}

/// The arena.
#[derive(Debug)]
pub struct Arena<'m> {
    lossless: Frames<'m>,
    packed: Frames<'m>,
}

impl<'m> Arena<'m> {
    /// Divides `bytes` into lossless and packed frames, each given as the bytes of one and how many.
    /// `table` has a place for every frame.
    ///
    /// # Panics
    /// When `bytes` or `table` are not as long as that takes.
    pub fn new(
        bytes: &'m mut [u8],
        table: &'m mut [u32],
        (lossless_bytes, lossless): (usize, u32),
        (packed_bytes, packed): (usize, u32),
    ) -> Arena<'m> {
        // In 64 bits, where no product of what a host can lend overflows.
        let needed = lossless_bytes as u64 * u64::from(lossless) + packed_bytes as u64 * u64::from(packed);
        assert_eq!(bytes.len() as u64, needed, "bytes of the arena");
        let frames = u64::from(lossless) + u64::from(packed);
        assert_eq!(table.len() as u64, frames, "frames of the arena");
        assert!(frames <= LAST.into(), "frames have numbers of 32 bits");
        let (first, second) = bytes.split_at_mut(lossless_bytes * lossless as usize);
        let (first_table, second_table) = table.split_at_mut(lossless as usize);
        Arena {
            lossless: Frames::new(first, lossless_bytes, 0, first_table),
            packed: Frames::new(second, packed_bytes, lossless, second_table),
        }
    }

    /// Lossless frames that nobody uses.
    pub fn free_lossless(&self) -> u32 {
        self.lossless.count
    }

    /// Packed frames that nobody uses.
    pub fn free_packed(&self) -> u32 {
        self.packed.count
    }

    /// Every frame, and whether it is in use.
    pub fn frames(&self) -> impl Iterator<Item = (FrameId, bool)> {
        let marks = self.lossless.next.iter().chain(self.packed.next.iter());
        (0..).map(FrameId).zip(marks.map(|&mark| mark == IN_USE))
    }

    /// A lossless frame.
    pub fn take_lossless(&mut self) -> Option<FrameId> {
        self.lossless.take()
    }

    /// A packed frame.
    pub fn take_packed(&mut self) -> Option<FrameId> {
        self.packed.take()
    }

    /// Takes a frame back.
    ///
    /// # Panics
    /// When the frame is not in use: it was given back twice.
    pub fn give(&mut self, frame: FrameId) {
        self.frames_mut(frame).give(frame);
    }

    /// Whether a frame holds packed images.
    pub fn is_packed(&self, frame: FrameId) -> bool {
        frame.0 >= self.packed.first
    }

    /// What is in a frame.
    ///
    /// # Panics
    /// When the frame is not in use.
    pub fn image(&self, frame: FrameId) -> &[u8] {
        let frames = if self.is_packed(frame) { &self.packed } else { &self.lossless };
        &frames.bytes[frames.range(frame)]
    }

    /// What is in a frame, to be changed.
    ///
    /// # Panics
    /// When the frame is not in use.
    pub fn image_mut(&mut self, frame: FrameId) -> &mut [u8] {
        let frames = self.frames_mut(frame);
        let range = frames.range(frame);
        &mut frames.bytes[range]
    }

    fn frames_mut(&mut self, frame: FrameId) -> &mut Frames<'m> {
        if self.is_packed(frame) { &mut self.packed } else { &mut self.lossless }
    }
}

impl<'m> Frames<'m> {
    fn new(bytes: &'m mut [u8], frame_bytes: usize, first: u32, next: &'m mut [u32]) -> Frames<'m> {
        let count = next.len() as u32;
        for (after, place) in (1..).zip(next.iter_mut()) {
            *place = if after == count { LAST } else { after };
        }
        Frames { bytes, frame_bytes, first, next, free: if count == 0 { LAST } else { 0 }, count }
    }

    fn take(&mut self) -> Option<FrameId> {
        if self.free == LAST {
            return None;
        }
        let taken = self.free;
        self.free = core::mem::replace(&mut self.next[taken as usize], IN_USE);
        self.count -= 1;
        Some(FrameId(self.first + taken))
    }

    fn give(&mut self, frame: FrameId) {
        let given = self.in_use(frame);
        self.next[given] = self.free;
        self.free = given as u32;
        self.count += 1;
    }

    fn range(&self, frame: FrameId) -> core::ops::Range<usize> {
        let begin = self.in_use(frame) * self.frame_bytes;
        begin..begin + self.frame_bytes
    }

    /// The place of a frame, which is to be in use.
    fn in_use(&self, frame: FrameId) -> usize {
        let place = (frame.0 - self.first) as usize;
        assert!(self.next[place] == IN_USE, "{frame:?} of the arena is not in use");
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    fn with_arena<T>(test: impl FnOnce(&mut Arena<'_>) -> T) -> T {
        let (mut bytes, mut table) = ([0u8; 5 * 7 + 4 * 3], [9; 9]);
        test(&mut Arena::new(&mut bytes, &mut table, (7, 5), (3, 4)))
    }

    /// Whether something is refused with a panic.
    fn panics(test: impl FnOnce(&mut Arena<'_>)) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| with_arena(test))).is_err()
    }

    #[test]
    fn a_frame_is_given_back_once() {
        for packed in [false, true] {
            let take = |arena: &mut Arena<'_>| {
                if packed { arena.take_packed().unwrap() } else { arena.take_lossless().unwrap() }
            };
            let give_one = |arena: &mut Arena<'_>| {
                // Another frame stays in use, so the counts alone would not tell.
                let (one, _other) = (take(arena), take(arena));
                arena.give(one);
                one
            };
            assert!(!panics(|arena| _ = give_one(arena)));
            assert!(panics(|arena| {
                let one = give_one(arena);
                arena.give(one);
            }));
            assert!(panics(|arena| {
                let one = give_one(arena);
                arena.image_mut(one).fill(1);
            }));
            assert!(panics(|arena| {
                let one = give_one(arena);
                assert!(arena.image(one).len() < 9);
            }));
        }
        assert!(panics(|arena| arena.give(FrameId::NONE)));
        assert!(panics(|arena| arena.give(FrameId(9))));
    }

    #[test]
    fn a_kind_may_have_no_frames() {
        let (mut bytes, mut table) = ([0u8; 6], [0; 2]);
        let mut arena = Arena::new(&mut bytes, &mut table, (7, 0), (3, 2));
        assert_eq!((arena.take_lossless(), arena.free_lossless(), arena.free_packed()), (None, 0, 2));
        let mut arena = Arena::new(&mut bytes, &mut table, (3, 2), (7, 0));
        assert_eq!((arena.take_packed(), arena.free_lossless(), arena.free_packed()), (None, 2, 0));
        assert!(arena.take_lossless().is_some_and(|frame| !arena.is_packed(frame)));
    }

    #[test]
    #[should_panic(expected = "bytes of the arena")]
    fn other_bytes_are_refused() {
        Arena::new(&mut [0; 46], &mut [0; 9], (7, 5), (3, 4));
    }

    #[test]
    #[should_panic(expected = "frames of the arena")]
    fn another_table_is_refused() {
        Arena::new(&mut [0; 47], &mut [0; 8], (7, 5), (3, 4));
    }

    proptest! {
        #[test]
        fn frames_never_overlap_and_all_come_back(takes in proptest::collection::vec(any::<(bool, bool)>(), 0..60)) {
            let (mut bytes, mut table) = ([0u8; 5 * 7 + 4 * 3], [9; 9]);
            let mut arena = Arena::new(&mut bytes, &mut table, (7, 5), (3, 4));
            let mut held: Vec<(FrameId, u8)> = Vec::new();
            for (number, (packed, give)) in (1u8..).zip(takes) {
                if give && !held.is_empty() {
                    let (frame, _) = held.remove(usize::from(number) % held.len());
                    arena.give(frame);
                } else {
                    let frame = if packed { arena.take_packed() } else { arena.take_lossless() };
                    let of_kind = held.iter().filter(|(frame, _)| arena.is_packed(*frame) == packed).count();
                    prop_assert_eq!(frame.is_none(), of_kind == if packed { 4 } else { 5 });
                    if let Some(frame) = frame {
                        prop_assert_eq!(arena.image(frame).len(), if packed { 3 } else { 7 });
                        arena.image_mut(frame).fill(number);
                        held.push((frame, number));
                    }
                }
                let packed = held.iter().filter(|(frame, _)| arena.is_packed(*frame)).count() as u32;
                let lossless = held.len() as u32 - packed;
                prop_assert_eq!((arena.free_lossless(), arena.free_packed()), (5 - lossless, 4 - packed));
                for &(frame, number) in &held {
                    prop_assert!(arena.image(frame).iter().all(|&byte| byte == number));
                }
            }
            held.iter().for_each(|&(frame, _)| arena.give(frame));
            prop_assert_eq!((arena.free_lossless(), arena.free_packed()), (5, 4));
        }
    }
}
