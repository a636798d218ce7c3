//! How much everything takes, before anything is taken.

use agentos_hal::{Footprint, Inputs, Limits, ModelShape, PAGE_TOKENS, PrepareError, Reg, Resource, page};

use crate::angles;
use crate::lower::MOST_SHARED_CANDIDATES;
use crate::matmul::{narrow_bytes, squares_bytes};
use crate::register::{Register, stride};
use crate::report::Parts;
use crate::step::Packed;

/// Heads are whole groups of eight dimensions: sixteen bytes of a half-precision value.
pub const HEAD_DIM_MULTIPLE: u32 = 8;

/// Tokens of a block of the vocabulary, as in `shaders/allowed.wgsl`.
pub const VOCAB_BLOCK: u32 = 256;

/// Fewest pages of a split. One row alone should still be split over many workgroups.
const LEAST_SPLIT_PAGES: u32 = 32;

/// What the parts of attention may take. Where a step's worst case is more, splits are longer.
const PART_BYTES: u64 = 64 << 20;

/// Loops of one invocation may take this many turns in all: a software driver ends them after 65,535.
const MOST_TURNS: u32 = 60_000;

/// The largest vocabulary of which one invocation alone can choose any number of candidates.
const MOST_LONE_VOCAB: u32 = 4096;

/// Bytes of a page's masses.
pub const PAGE_MASS_BYTES: u64 = PAGE_TOKENS as u64 * 8;

/// Bytes of one layer's operands: the alignment that any device takes.
pub const OPERAND_BYTES: u64 = 256;

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Pages of a split.
    pub split_pages: u32,
    /// One layer of a page.
    pub page_layer: u64,
    /// Page memory of one layer.
    pub layer_pages: u64,
    /// Masses of all tokens of page memory.
    pub masses: u64,
    /// The step.
    pub step: u64,
    /// The report.
    pub report: u64,
    /// What splits leave.
    pub parts: u64,
    /// What heads leave.
    pub totals: u64,
    /// What blocks of the vocabulary leave.
    pub blocks: u64,
    /// Inputs of a product as they are rounded; 0 where products take them as they are.
    pub narrow: u64,
    /// Sums of squares of what is to be normed.
    pub squares: u64,
    /// Angles.
    pub angles: u64,
    /// Operands of all layers, and of the epilogue.
    pub operands: u64,
    /// A page's way in, and between two pages.
    pub page: u64,
    /// One buffer of the ring that things come back through.
    pub readback: u64,
}

impl Sizes {
    /// Those of a model.
    ///
    /// # Errors
    /// [`PrepareError::HeadDim`], [`PrepareError::TooLarge`] of a limit that no device's dispatch has.
    pub fn new(
        shape: &ModelShape,
        limits: &Limits,
        most_groups: u32,
        inputs: Inputs,
    ) -> Result<Sizes, PrepareError> {
        if !shape.head_dim.is_multiple_of(HEAD_DIM_MULTIPLE) {
            return Err(PrepareError::HeadDim { head_dim: shape.head_dim, multiple_of: HEAD_DIM_MULTIPLE });
        }
        // A dispatch has a workgroup or more for each row, and one for every few pages or counters.
        for (name, count) in [("rows", limits.rows), ("segments", limits.segments)] {
            at_most(name, count, most_groups)?;
        }
        // Words of page memory, masses and the report are counted in 32 bits.
        for (name, count) in [("pages", limits.pages), ("segment_pages", limits.segment_pages)] {
            at_most(name, count, 1 << 26)?;
        }
        if shape.vocab > MOST_LONE_VOCAB {
            at_most("candidates", limits.candidates, MOST_SHARED_CANDIDATES)?;
        }
        let (split_pages, parts) = split(shape, limits);
        let kv_layer = page::layer_bytes(shape, limits.kv) as u64;
        let image = page::image_bytes(shape, limits.kv) as u64;
        let report = 4 * Parts::most_words(shape, limits);
        let rows = u64::from(limits.rows);
        let widest = Reg::ALL.iter().map(|reg| reg.width(shape)).max().unwrap_or(0);
        let narrow = narrow_bytes(inputs, limits.rows.max(limits.outcomes), widest);
        Ok(Sizes {
            split_pages,
            page_layer: kv_layer,
            layer_pages: kv_layer * u64::from(limits.pages),
            masses: PAGE_MASS_BYTES * u64::from(limits.pages),
            step: 4 * Packed::most_words(shape, limits),
            report,
            parts,
            totals: rows * u64::from(shape.heads) * 16,
            blocks: u64::from(limits.outcomes) * u64::from(shape.vocab.div_ceil(VOCAB_BLOCK)) * 16,
            narrow,
            squares: squares_bytes(limits.rows, widest),
            angles: 4 * angles::numbers(shape, limits),
            operands: (u64::from(shape.layers) + 1) * OPERAND_BYTES,
            page: image,
            readback: report.max(image).max(kv_layer + PAGE_MASS_BYTES),
        })
    }

    /// Refuses what no buffer or binding of the device holds, before anything is loaded.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`].
    pub fn check(
        &self,
        device: &wgpu::Limits,
        shape: &ModelShape,
        limits: &Limits,
    ) -> Result<(), PrepareError> {
        let widest = Reg::ALL.iter().map(|reg| reg.width(shape)).max().unwrap_or(0);
        let most = device.max_buffer_size;
        let bound = most.min(device.max_storage_buffer_binding_size);
        for (what, needed) in [
            (Resource::PageBytes, self.layer_pages),
            (Resource::PageBytes, self.masses),
            (Resource::ScratchBytes, Register::bytes(limits.rows, widest)),
            (Resource::ScratchBytes, Register::bytes(limits.outcomes, shape.vocab)),
            (Resource::ScratchBytes, self.step),
            (Resource::ScratchBytes, self.report),
            (Resource::ScratchBytes, self.parts),
            (Resource::ScratchBytes, self.totals),
            (Resource::ScratchBytes, self.blocks),
            (Resource::ScratchBytes, self.narrow),
            (Resource::ScratchBytes, self.squares),
            (Resource::ScratchBytes, self.angles),
        ] {
            if needed > most {
                return Err(PrepareError::TooLarge { what, needed, available: most });
            }
            if needed > bound {
                let what = Resource::BindingBytes;
                return Err(PrepareError::TooLarge { what, needed, available: bound });
            }
        }
        if self.readback > most {
            let (needed, available) = (self.readback, most);
            return Err(PrepareError::TooLarge { what: Resource::ScratchBytes, needed, available });
        }
        Ok(())
    }

    /// All of it, beside weights of so many bytes.
    pub fn footprint(&self, shape: &ModelShape, limits: &Limits, weights: u64, ring: u64) -> Footprint {
        let registers: u64 = Reg::ALL.iter().map(|reg| Register::bytes(limits.rows, reg.width(shape))).sum();
        let widest = Reg::ALL.iter().map(|reg| reg.width(shape)).max().unwrap_or(0);
        let head = Register::bytes(limits.outcomes, widest)
            .saturating_add(Register::bytes(limits.outcomes, stride(shape.vocab)));
        let scratch = [
            registers,
            head,
            self.masses,
            self.step,
            self.report,
            self.parts,
            self.totals,
            self.blocks,
            self.narrow,
            self.squares,
            self.angles,
            self.operands,
            self.page,
        ];
        Footprint {
            weights,
            pages: self.layer_pages * u64::from(shape.layers),
            scratch: scratch.iter().fold(ring * self.readback, |sum, bytes| sum.saturating_add(*bytes)),
        }
    }
}

fn at_most(name: &'static str, count: u32, most: u32) -> Result<(), PrepareError> {
    if count > most {
        let (needed, available) = (u64::from(count), u64::from(most));
        return Err(PrepareError::TooLarge { what: Resource::Limit(name), needed, available });
    }
    Ok(())
}

/// Pages of a split, and the bytes that the worst step's parts then take. A function of the model and
/// its limits, never of a step.
fn split(shape: &ModelShape, limits: &Limits) -> (u32, u64) {
    let of_split = u64::from(limits.rows) * u64::from(shape.heads) * u64::from(shape.head_dim + 4) * 4;
    let bytes = |pages: u32| of_split.saturating_mul(limits.segment_pages.div_ceil(pages).max(1).into());
    let mut pages = LEAST_SPLIT_PAGES;
    // Of a page in `attend_rows`: its scores, its shares, and eight tokens for every eight dimensions.
    let turns = 2 * shape.head_dim + 32;
    while bytes(pages) > PART_BYTES && pages < limits.segment_pages && 2 * pages * turns <= MOST_TURNS {
        pages *= 2;
    }
    (pages, bytes(pages))
}
