//! One dispatch of a step: a pipeline, its buffers, and how its size follows from the step.

use agentos_hal::{LayerRange, Reg, Tap};

use crate::matmul::{Lookup, MatMul};
use crate::step::{Counts, Packed};

/// How many workgroups a dispatch has.
#[derive(Clone, Copy, Debug)]
pub enum Grid {
    /// So many for each row.
    Rows(u32),
    /// So many for each row that wants an outcome.
    Wants(u32),
    /// So many for each pair of places that is written.
    Stores(u32),
    /// So many for each exposed row.
    Exposed(u32),
    /// For each row and as many splits as the longest has: `units` for every `per` of them.
    Splits {
        /// Invocations of a split, or workgroups where `per` is 1.
        units: u32,
        /// Invocations of a workgroup.
        per: u32,
    },
    /// So many for each row, where any has more than one split.
    Reduced(u32),
    /// For each row as many pages as the longest sees, so many pages a workgroup.
    Pages(u32),
    /// Invocations for the report's counters and for the rows, so many a workgroup.
    Counters(u32),
}

impl Grid {
    fn size(self, counts: &Counts) -> (u32, u32) {
        match self {
            Grid::Rows(x) => (x, counts.rows),
            Grid::Wants(x) => (x, counts.wants),
            Grid::Stores(x) => (x, counts.stores),
            Grid::Exposed(x) => (x, counts.exposed),
            Grid::Splits { units, per } => ((units * counts.splits).div_ceil(per), counts.rows),
            Grid::Reduced(x) => (if counts.splits > 1 { x } else { 0 }, counts.rows),
            Grid::Pages(per) => (counts.pages.div_ceil(per), counts.rows),
            Grid::Counters(per) => ((counts.rows + 2 * counts.segments).div_ceil(per), 1),
        }
    }
}

/// In which steps a dispatch has something to do.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// In all.
    Always,
    /// Where this layer is counted.
    Counted(u32),
    /// Where a tap names this register at this layer, or at the end.
    Tapped(Tap),
}

impl When {
    fn applies(self, taps: &[Tap], counters: LayerRange) -> bool {
        match self {
            When::Always => true,
            When::Counted(layer) => counters.contains(layer),
            When::Tapped(tap) => taps.contains(&tap),
        }
    }

    /// The tap of a register at a layer, or at the end.
    pub const fn tapped(layer: Option<u32>, reg: Reg) -> When {
        match layer {
            Some(layer) => When::Tapped(Tap::Layer(layer, reg)),
            None => When::Tapped(Tap::Final(reg)),
        }
    }
}

/// A part of the program as it is encoded.
pub enum Act {
    /// Rows of the embedding.
    Lookup(Lookup),
    /// A product over all rows.
    Product(MatMul),
    /// A product over the rows that want an outcome.
    Logits(MatMul),
    /// Anything else.
    Dispatch {
        /// Its name.
        name: &'static str,
        /// The kernel.
        pipeline: wgpu::ComputePipeline,
        /// Its buffers.
        group: wgpu::BindGroup,
        /// Where its slot begins, if it has one.
        offset: Option<u32>,
        /// Its size.
        grid: Grid,
        /// Its steps.
        when: When,
    },
}

impl Act {
    /// What it is called in a profile.
    pub const fn name(&self) -> &'static str {
        match self {
            Act::Lookup(_) => "lookup",
            Act::Product(_) => "product",
            Act::Logits(_) => "logits",
            Act::Dispatch { name, .. } => name,
        }
    }

    /// Encodes it, unless this step gives it nothing to do. Returns the dispatches.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, step: &Packed) -> u32 {
        let counts = &step.counts;
        match self {
            Act::Lookup(lookup) => {
                lookup.encode(pass, counts.rows);
                1
            }
            Act::Product(product) => {
                product.encode(pass, counts.rows);
                product.dispatches(counts.rows)
            }
            Act::Logits(product) if counts.wants > 0 => {
                product.encode(pass, counts.wants);
                product.dispatches(counts.wants)
            }
            Act::Logits(_) => 0,
            Act::Dispatch { pipeline, group, offset, grid, when, .. } => {
                let (x, y) = grid.size(counts);
                if x == 0 || y == 0 || !when.applies(&step.taps, step.counters) {
                    return 0;
                }
                pass.set_pipeline(pipeline);
                pass.set_bind_group(1, group, offset.as_slice());
                pass.dispatch_workgroups(x, y, 1);
                1
            }
        }
    }
}
