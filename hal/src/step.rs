//! A batch descriptor: which tokens are computed, where they live and what they may look at.

use core::ops::Range;

use crate::late::MOST_LATE;
use crate::limits::Limits;
use crate::op::Reg;
use crate::page::{PAGE_TOKENS, PageId, pages_for};
use crate::shape::ModelShape;
use crate::walk;

/// One step: several agents' prefill chunks and decode rows, as plain data.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Tokens to compute, grouped by span.
    pub rows: &'a [Row],
    /// Which rows belong together, and the segments they may attend to. Spans tile `rows` in order.
    pub spans: &'a [Span],
    /// Mapped runs of tokens. Spans tile `segments` in order; ascending by `base` inside a span.
    pub segments: &'a [Segment],
    /// The pages of the segments. Segments tile `pages` in order.
    pub pages: &'a [PageId],
    /// Token masks of `vocab` bits each, in words of 32; a set bit allows the token. One that is empty comes later, by
    /// [`TensorDevice::allow`](crate::TensorDevice::allow), where the device takes such ([`LateMasks`](crate::LateMasks)).
    pub masks: &'a [&'a [u32]],
    /// What exposed rows put into the report.
    pub taps: &'a [Tap],
    /// The layers in which entropy and mass are counted; empty: nowhere.
    pub counters: LayerRange,
    /// The layers that are computed: `None` for all of them, or the first ones, at least one. Then no row wants anything, and
    /// taps and counters are of those layers. What the rows leave in page memory of later layers is not to be relied
    /// on: whoever only looks computes these rows again before others attend to them. A device may compute more
    /// than it is asked for.
    pub depth: Option<u32>,
}

/// One token to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The token; below `vocab`.
    pub token: u32,
    /// Its address in the agent's context.
    pub address: u32,
    /// The page that receives its key and value.
    pub page: PageId,
    /// Its place in that page; below `PAGE_TOKENS`.
    pub place: u8,
    /// Its offset inside its slice: keys are stored rotated by it.
    pub offset: u32,
    /// What is wanted of the next token.
    pub want: Want,
    /// Index of the mask that holds for `want`.
    pub mask: Option<u16>,
    /// The taps are read for this row.
    pub expose: bool,
}

/// What a row wants to know of the next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing: a row inside a prompt.
    Nothing,
    /// The best candidates.
    Candidates,
    /// The best candidates, and the logit of this token whether it is among them or not.
    Score(u32),
}

/// Consecutive rows of one agent and the segments that they may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number of rows; ascending by address.
    pub rows: u32,
    /// Number of segments.
    pub segments: u32,
}

/// A run of tokens at consecutive addresses whose keys were rotated from offset 0: a slice, mapped.
///
/// The base is the only place where a slice has an address: mapping the same pages elsewhere is a
/// segment with another base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address of its first token.
    pub base: u32,
    /// Tokens; after this step's rows are stored.
    pub len: u32,
}

impl Segment {
    /// Number of pages it names in `Step::pages`.
    pub const fn pages(&self) -> u32 {
        pages_for(self.len)
    }

    /// Its tokens that a row at `address` may attend to: those from the first up to the row itself.
    pub const fn visible(&self, address: u32) -> u32 {
        match address.checked_sub(self.base) {
            Some(distance) if distance < self.len => distance + 1,
            Some(_) => self.len,
            None => 0,
        }
    }
}

/// A register at a layer that is copied into the report for exposed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    /// The register at the `Expose` instruction of this layer.
    Layer(u32, Reg),
    /// The register at the `Expose` instruction of the epilogue.
    Final(Reg),
}

impl Tap {
    /// The tap that an `Expose` of `reg` serves: in a layer, or (`None`) in the epilogue.
    pub const fn at(layer: Option<u32>, reg: Reg) -> Tap {
        match layer {
            Some(layer) => Tap::Layer(layer, reg),
            None => Tap::Final(reg),
        }
    }

    /// The register.
    pub const fn reg(self) -> Reg {
        let (Tap::Layer(_, reg) | Tap::Final(reg)) = self;
        reg
    }
}

/// Layers from `start` up to and without `end`; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerRange {
    /// The first layer.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl LayerRange {
    /// No layer.
    pub const NONE: LayerRange = LayerRange { start: 0, end: 0 };

    /// Whether a layer is in the range.
    pub const fn contains(&self, layer: u32) -> bool {
        self.start <= layer && layer < self.end
    }

    /// How many layers it has.
    pub const fn count(&self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

/// What is wrong with a step. Indices count within the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StepFault {
    /// A part of the step is longer than `Limits` allows.
    TooMany {
        /// The part: a field of `Limits`.
        what: &'static str,
        /// How many there are.
        count: u32,
        /// How many would fit.
        limit: u32,
    },
    /// Spans do not tile the rows or the segments, or segments do not tile the pages.
    Tiling {
        /// `"rows"`, `"segments"` or `"pages"`.
        what: &'static str,
        /// How many the parts name.
        named: u32,
        /// How many there are.
        given: u32,
    },
    /// A row's token is not in the vocabulary.
    Token {
        /// The row.
        row: u32,
    },
    /// A row's address is not below `Limits::context`, is not above its predecessor's, or is in no
    /// segment at the page, place and offset that the row names.
    Address {
        /// The row.
        row: u32,
    },
    /// A page id is not below `Limits::pages`.
    Page {
        /// The id.
        page: PageId,
    },
    /// A segment is empty, or overlaps or precedes the one before it, or ends beyond
    /// `Limits::context`.
    Segment {
        /// The segment.
        segment: u32,
    },
    /// A row names a mask that the step lacks, or a mask has the wrong length or allows nothing.
    Mask {
        /// The mask.
        mask: u32,
    },
    /// A mask is to come later, and the device takes none that does, or none of this number.
    LateMask {
        /// The mask.
        mask: u32,
    },
    /// A tap or the counters name a layer that the model lacks, or a tap a register without an
    /// `Expose` there.
    Tap {
        /// The tap.
        tap: u32,
    },
    /// The model has no such number of layers to end after, or something is asked for that comes after them.
    Depth {
        /// The number of layers.
        depth: u32,
    },
}

impl core::fmt::Display for StepFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StepFault::TooMany { what, count, limit } => {
                write!(f, "the step has {count} {what}; {limit} would fit")
            }
            StepFault::Tiling { what, named, given } => {
                write!(f, "the step's parts name {named} {what}, but it has {given}")
            }
            StepFault::Token { row } => write!(f, "row {row}: the token is not in the vocabulary"),
            StepFault::Address { row } => write!(
                f,
                "row {row}: the address is out of range or order, or its segment does not store it at that page, place and offset"
            ),
            StepFault::Page { page } => write!(f, "page {} does not exist", page.0),
            StepFault::Segment { segment } => {
                write!(f, "segment {segment} is empty, out of order or beyond the context")
            }
            StepFault::Mask { mask } => {
                write!(f, "mask {mask} is missing, not of the vocabulary's length, or allows no token")
            }
            StepFault::LateMask { mask } => {
                write!(f, "mask {mask} is to come later, and the device does not wait for it")
            }
            StepFault::Tap { tap } => write!(f, "tap {tap} names a layer or register that is not exposed"),
            StepFault::Depth { depth } => {
                write!(f, "the step cannot end after {depth} layers, or asks for what comes after them")
            }
        }
    }
}

impl core::error::Error for StepFault {}

impl Step<'_> {
    /// How many layers are computed.
    pub fn layers(&self, shape: &ModelShape) -> u32 {
        self.depth.unwrap_or(shape.layers)
    }

    /// Checks every promise that the fields' documentation makes, so that a backend can index
    /// without fear. Costs O(rows + segments + pages).
    ///
    /// # Errors
    /// The first [`StepFault`] found.
    pub fn check(
        &self,
        shape: &ModelShape,
        limits: &Limits,
        program: &crate::Program,
    ) -> Result<(), StepFault> {
        self.check_counts(limits)?;
        self.check_tiling()?;
        self.check_masks(shape)?;
        self.check_taps(shape, program)?;
        self.check_depth(shape)?;
        if let Some(&page) = self.pages.iter().find(|page| page.0 >= limits.pages) {
            return Err(StepFault::Page { page });
        }
        for span in walk::spans(self.spans, self.segments) {
            let segments = &self.segments[span.segments.clone()];
            self.check_segments(segments, span.segments.start as u32, limits)?;
            self.check_rows(span.rows, segments, &self.pages[span.pages], shape, limits)?;
        }
        Ok(())
    }

    fn check_counts(&self, limits: &Limits) -> Result<(), StepFault> {
        let wanted = walk::wanted(self.rows).count();
        let exposed = walk::exposed(self.rows).count();
        for (what, count, limit) in [
            ("rows", self.rows.len(), limits.rows),
            ("spans", self.spans.len(), limits.spans),
            ("segments", self.segments.len(), limits.segments),
            ("segment_pages", self.pages.len(), limits.segment_pages),
            ("outcomes", wanted, limits.outcomes),
            ("masks", self.masks.len(), limits.masks),
            ("taps", self.taps.len(), limits.taps),
            ("exposed", exposed, limits.exposed),
        ] {
            if count > limit as usize {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                return Err(StepFault::TooMany { what, count, limit });
            }
        }
        Ok(())
    }

    fn check_tiling(&self) -> Result<(), StepFault> {
        let total = |counts: &mut dyn Iterator<Item = u32>| counts.fold(0u32, u32::saturating_add);
        for (what, named, given) in [
            ("rows", total(&mut self.spans.iter().map(|span| span.rows)), self.rows.len()),
            ("segments", total(&mut self.spans.iter().map(|span| span.segments)), self.segments.len()),
            ("pages", total(&mut self.segments.iter().map(Segment::pages)), self.pages.len()),
        ] {
            if named as usize != given {
                return Err(StepFault::Tiling { what, named, given: given as u32 });
            }
        }
        Ok(())
    }

    /// The masks that come later.
    pub fn late_masks(&self) -> impl Iterator<Item = usize> {
        self.masks.iter().enumerate().filter_map(|(index, mask)| mask.is_empty().then_some(index))
    }

    fn check_masks(&self, shape: &ModelShape) -> Result<(), StepFault> {
        if let Some(mask) = self.late_masks().find(|&mask| mask >= MOST_LATE) {
            return Err(StepFault::LateMask { mask: mask as u32 });
        }
        for (index, mask) in self.masks.iter().enumerate().filter(|(_, mask)| !mask.is_empty()) {
            if mask.len() != shape.mask_words() || !allows_any(mask, shape) {
                return Err(StepFault::Mask { mask: index as u32 });
            }
        }
        Ok(())
    }

    fn check_taps(&self, shape: &ModelShape, program: &crate::Program) -> Result<(), StepFault> {
        for (index, tap) in self.taps.iter().enumerate() {
            let exposed = match *tap {
                Tap::Layer(layer, reg) => layer < shape.layers && program.exposes(program.layer, reg),
                Tap::Final(reg) => program.exposes(program.epilogue, reg),
            };
            if !exposed {
                return Err(StepFault::Tap { tap: index as u32 });
            }
        }
        if self.counters.start > self.counters.end || self.counters.end > shape.layers {
            return Err(StepFault::Tap { tap: self.taps.len() as u32 });
        }
        Ok(())
    }

    fn check_depth(&self, shape: &ModelShape) -> Result<(), StepFault> {
        let Some(depth) = self.depth else { return Ok(()) };
        let is_within = |tap: &Tap| matches!(*tap, Tap::Layer(layer, _) if layer < depth);
        let is_sound = (1..=shape.layers).contains(&depth)
            && walk::wanted(self.rows).next().is_none()
            && self.taps.iter().all(is_within)
            && (self.counters.count() == 0 || self.counters.end <= depth);
        if is_sound { Ok(()) } else { Err(StepFault::Depth { depth }) }
    }

    fn check_segments(&self, segments: &[Segment], first: u32, limits: &Limits) -> Result<(), StepFault> {
        let mut end = 0u32;
        for (index, segment) in segments.iter().enumerate() {
            let fault = StepFault::Segment { segment: first + index as u32 };
            let next = segment.base.checked_add(segment.len).ok_or(fault)?;
            if segment.len == 0 || segment.base < end || next > limits.context {
                return Err(fault);
            }
            end = next;
        }
        Ok(())
    }

    fn check_rows(
        &self,
        span: Range<usize>,
        segments: &[Segment],
        pages: &[PageId],
        shape: &ModelShape,
        limits: &Limits,
    ) -> Result<(), StepFault> {
        let (mut at, mut page_base) = (0, 0usize);
        let mut previous = None;
        for (row, index) in self.rows[span.clone()].iter().zip(span) {
            let number = index as u32;
            if row.token >= shape.vocab || matches!(row.want, Want::Score(token) if token >= shape.vocab) {
                return Err(StepFault::Token { row: number });
            }
            if let Some(mask) = row.mask
                && usize::from(mask) >= self.masks.len()
            {
                return Err(StepFault::Mask { mask: u32::from(mask) });
            }
            let fault = StepFault::Address { row: number };
            if row.address >= limits.context || previous.is_some_and(|before| row.address <= before) {
                return Err(fault);
            }
            previous = Some(row.address);
            while segments.get(at).is_some_and(|s| s.base + s.len <= row.address) {
                page_base += segments[at].pages() as usize;
                at += 1;
            }
            let segment = segments.get(at).filter(|s| s.base <= row.address).ok_or(fault)?;
            let offset = row.address - segment.base;
            let page = pages[page_base + offset as usize / PAGE_TOKENS];
            let place = offset as usize % PAGE_TOKENS;
            if row.offset != offset || row.page != page || usize::from(row.place) != place {
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// Whether a mask of the right length allows a token.
pub(crate) fn allows_any(mask: &[u32], shape: &ModelShape) -> bool {
    let whole = (shape.vocab / 32) as usize;
    let rest = shape.vocab % 32;
    mask[..whole].iter().any(|&word| word != 0) || (rest != 0 && mask[whole] & ((1u32 << rest) - 1) != 0)
}
