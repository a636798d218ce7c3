//! What all workers see of a prepared machine.

use agentos_hal::{Inputs, LayerRange, Limits, ModelShape, Op, Program, Reg, WeightId, WeightRole};

use super::Counts;
use crate::layout::{self, Half, Layout, NONE};
use crate::memory::Region;
use crate::simd::attend::Angles;
use crate::simd::kernels::{Kernels, Strip};
use crate::simd::narrow::{self, Scale};
use crate::weights::{self, Packed};

/// What all workers see. Raw pointers, since workers write disjoint parts of the same regions.
pub struct Shared<'a> {
    /// The instruction set's kernels.
    pub kernels: &'static Kernels,
    /// How matrix products take their inputs.
    pub inputs: Inputs,
    /// The program.
    pub program: &'a Program,
    /// The model's sizes.
    pub shape: &'a ModelShape,
    /// The limits.
    pub limits: &'a Limits,
    /// Where everything lies in scratch memory.
    pub layout: &'a Layout,
    /// Scratch memory.
    pub scratch: *mut u8,
    /// Page memory.
    pub pages: *mut u8,
    /// Weight memory.
    pub weights: *const u8,
    /// The step's sizes.
    pub counts: Counts,
    /// The step's counted layers.
    pub counters: LayerRange,
    /// Layers to compute.
    pub layers: u32,
    /// Workers of the team.
    pub workers: usize,
}

// SAFETY: the pointers stay valid while the team runs (`Machine::run` holds the borrows); what is
// written through them is divided by chunk, see `Worker`.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    /// A region's first element.
    pub fn at<U, T: bytemuck::Pod>(&self, region: Region<T>) -> *mut U {
        region.at(self.scratch).cast()
    }

    /// A table that no phase writes.
    pub fn table<T: bytemuck::Pod>(&self, region: Region<T>) -> &[T] {
        // SAFETY: the region lies in scratch memory; it was filled before the step and is only read.
        unsafe { core::slice::from_raw_parts(region.at(self.scratch), region.len()) }
    }

    /// Instruction number `index` of the whole run, and its layer: [`NONE`] outside of layers.
    pub fn op(&self, index: usize) -> Option<(u32, &'static Op)> {
        let program = self.program;
        if let Some(op) = program.prologue.get(index) {
            return Some((NONE, op));
        }
        let index = index - program.prologue.len();
        let body = program.layer.len() * self.layers as usize;
        if index < body {
            return Some(((index / program.layer.len()) as u32, &program.layer[index % program.layer.len()]));
        }
        program.epilogue.get(index - body).map(|op| (NONE, op))
    }

    /// Where a weight lies, and its first byte.
    pub fn weight(&self, role: WeightRole, layer: u32) -> (&Packed, *const u8) {
        let layer = if role.per_layer() { layer } else { 0 };
        let packed = &self.table(self.layout.weights)[weights::index(self.shape, WeightId { role, layer })];
        (packed, self.weights.wrapping_add(packed.offset as usize))
    }

    /// A weight that is a plain vector.
    pub fn vector(&self, role: WeightRole, layer: u32) -> *const f32 {
        self.weight(role, layer).1.cast()
    }

    /// A row of a register.
    pub fn reg(&self, reg: Reg, row: usize) -> *mut f32 {
        let number = reg as usize;
        self.at::<f32, f32>(self.layout.registers[number]).wrapping_add(row * self.layout.strides[number])
    }

    /// A row of a register that feeds products, as integers.
    pub fn narrow(&self, reg: Reg, row: usize) -> (*mut i16, *mut Scale) {
        let (number, width) = (reg as usize, reg.width(self.shape) as usize);
        let codes: *mut i16 = self.at(self.layout.codes[number]);
        let scales: *mut Scale = self.at(self.layout.scales[number]);
        (codes.wrapping_add(row * width), scales.wrapping_add(row * (width / narrow::BLOCK)))
    }

    /// The kernel for a product of integers, where the weights and the device's inputs are.
    pub fn dots(&self, weights: &Packed) -> Option<Strip> {
        match self.inputs {
            Inputs::F32 => None,
            Inputs::Int16 | Inputs::Int8 | Inputs::F16 => self.kernels.dots(weights.dtype()),
        }
    }

    /// The rotation tables.
    pub fn angles(&self) -> Angles<'_> {
        let layout = self.layout;
        Angles {
            fine: (self.table(layout.fine[0]), self.table(layout.fine[1])),
            coarse: (self.table(layout.coarse[0]), self.table(layout.coarse[1])),
            partner: self.table(layout.partner),
        }
    }

    /// One head's keys or values of a page at a layer.
    pub fn half_page(&self, layer: u32, head: u32, half: Half, page: u32) -> *mut u8 {
        self.pages.wrapping_add(layout::half_page(self.shape, self.limits, layer, head, half, page))
    }
}
