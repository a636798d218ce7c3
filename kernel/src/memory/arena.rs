//! The second tier (L2): memory of the host, divided into frames at boot. A lossless frame holds the
//! image of a page as it is, a packed frame holds it packed (see [`super::pack`]).

/// A frame of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameId(u32);

impl FrameId {
    /// No frame.
    pub const NONE: FrameId = FrameId(u32::MAX);
}

/// Frames of one size and those of them that are free.
#[derive(Debug)]
struct Frames<'m> {
    bytes: &'m mut [u8],
    frame_bytes: usize,
    /// The id of the first frame.
    first: u32,
    free: &'m mut [u32],
    count: usize,
}

/// The arena.
#[derive(Debug)]
pub struct Arena<'m> {
    lossless: Frames<'m>,
    packed: Frames<'m>,
}

impl<'m> Arena<'m> {
    /// Divides `bytes` into lossless and packed frames, each given as the bytes of one and how many.
    /// `free` has a place for every frame.
    ///
    /// # Panics
    /// When `bytes` or `free` are not as long as that takes.
    pub fn new(
        bytes: &'m mut [u8],
        free: &'m mut [u32],
        (lossless_bytes, lossless): (usize, u32),
        (packed_bytes, packed): (usize, u32),
    ) -> Arena<'m> {
        let (first, second) = bytes.split_at_mut(lossless_bytes * lossless as usize);
        assert_eq!(second.len(), packed_bytes * packed as usize, "bytes of the arena");
        let (free, packed_free) = free.split_at_mut(lossless as usize);
        assert_eq!(packed_free.len(), packed as usize, "frames of the arena");
        Arena {
            lossless: Frames::new(first, lossless_bytes, 0, free),
            packed: Frames::new(second, packed_bytes, lossless, packed_free),
        }
    }

    /// Lossless frames that nobody uses.
    pub fn free_lossless(&self) -> u32 {
        self.lossless.count as u32
    }

    /// Packed frames that nobody uses.
    pub fn free_packed(&self) -> u32 {
        self.packed.count as u32
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
    /// When there are more frames back than there are: one was given twice.
    pub fn give(&mut self, frame: FrameId) {
        let frames = if self.is_packed(frame) { &mut self.packed } else { &mut self.lossless };
        frames.free[frames.count] = frame.0;
        frames.count += 1;
    }

    /// Whether a frame holds packed images.
    pub fn is_packed(&self, frame: FrameId) -> bool {
        frame.0 >= self.packed.first
    }

    /// What is in a frame.
    pub fn image(&self, frame: FrameId) -> &[u8] {
        let frames = if self.is_packed(frame) { &self.packed } else { &self.lossless };
        &frames.bytes[frames.range(frame)]
    }

    /// What is in a frame, to be changed.
    pub fn image_mut(&mut self, frame: FrameId) -> &mut [u8] {
        let frames = if self.is_packed(frame) { &mut self.packed } else { &mut self.lossless };
        let range = frames.range(frame);
        &mut frames.bytes[range]
    }
}

impl<'m> Frames<'m> {
    fn new(bytes: &'m mut [u8], frame_bytes: usize, first: u32, free: &'m mut [u32]) -> Frames<'m> {
        let count = free.len();
        // Taken from the end, so the lowest ids lie there.
        for (id, place) in (first..).zip(free.iter_mut().rev()) {
            *place = id;
        }
        Frames { bytes, frame_bytes, first, free, count }
    }

    fn take(&mut self) -> Option<FrameId> {
        self.count = self.count.checked_sub(1)?;
        Some(FrameId(self.free[self.count]))
    }

    fn range(&self, frame: FrameId) -> core::ops::Range<usize> {
        let begin = (frame.0 - self.first) as usize * self.frame_bytes;
        begin..begin + self.frame_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    proptest! {
        #[test]
        fn frames_never_overlap_and_all_come_back(takes in proptest::collection::vec(any::<(bool, bool)>(), 0..60)) {
            let (mut bytes, mut free) = ([0u8; 5 * 7 + 4 * 3], [0; 9]);
            let mut arena = Arena::new(&mut bytes, &mut free, (7, 5), (3, 4));
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
                for &(frame, number) in &held {
                    prop_assert!(arena.image(frame).iter().all(|&byte| byte == number));
                }
            }
            held.iter().for_each(|&(frame, _)| arena.give(frame));
            prop_assert_eq!((arena.free_lossless(), arena.free_packed()), (5, 4));
        }
    }
}
