//! The sizes that a host fixes at boot. Everything a device allocates follows from them.

use half::f16;

/// How keys and values are stored in page memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
}

impl KvType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            KvType::F16 => 2,
            KvType::F32 => 4,
        }
    }

    /// Element number `element` of page memory or of a page image.
    ///
    /// # Panics
    /// When `bytes` has no such element.
    pub fn read(self, bytes: &[u8], element: usize) -> f32 {
        let at = element * self.bytes();
        match self {
            KvType::F16 => f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32(),
            KvType::F32 => f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]),
        }
    }

    /// Stores element number `element`; half precision rounds to nearest, ties to even.
    ///
    /// # Panics
    /// When `bytes` has no such element.
    pub fn write(self, bytes: &mut [u8], element: usize, x: f32) {
        let at = element * self.bytes();
        match self {
            KvType::F16 => bytes[at..at + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes()),
            KvType::F32 => bytes[at..at + 4].copy_from_slice(&x.to_le_bytes()),
        }
    }
}

/// The worst-case step, and the page memory. A device makes everything from these in `prepare` and
/// refuses there what does not fit; a step within them never fails for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows (tokens) of a step.
    pub rows: u32,
    /// Spans of a step.
    pub spans: u32,
    /// Segments of a step, over all spans.
    pub segments: u32,
    /// Page references of a step, over all segments.
    pub segment_pages: u32,
    /// Rows of a step that want an outcome.
    pub outcomes: u32,
    /// Candidates per outcome.
    pub candidates: u32,
    /// Token masks of a step.
    pub masks: u32,
    /// Taps of a step.
    pub taps: u32,
    /// Rows of a step that are exposed.
    pub exposed: u32,
    /// One more than the highest address a row may have, and the most tokens a span may map.
    pub context: u32,
    /// Pages of page memory.
    pub pages: u32,
    /// Element type of page memory.
    pub kv: KvType,
}
