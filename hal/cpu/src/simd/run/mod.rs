//! The run of a program: what each worker does, phase by phase.
//!
//! Neighbouring instructions that work row by row form one phase, so that a row passes through all of
//! them in one worker's cache. A phase starts when what it reads is written and what it writes is no
//! longer read; phases that do not touch each other (the projections of queries, keys and values)
//! overlap.

mod attention;
mod by_row;
mod head;
mod products;
mod shared;
mod worker;

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32};

use agentos_hal::page::PAGE_TOKENS;
use agentos_hal::{Inputs, LayerRange, Limits, Mass, ModelShape, Program};

use super::kernels::Kernels;
use super::phases::Phases;
use crate::layout::Layout;
use crate::team::Team;
use shared::Shared;
use worker::Worker;

/// How much of each table the step under way uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Rows.
    pub rows: usize,
    /// Attention tasks per key/value head.
    pub tasks: usize,
    /// Rows that want an outcome.
    pub wants: usize,
    /// Taps.
    pub taps: usize,
    /// Elements of an exposed row, over all taps.
    pub exposed_width: usize,
}

/// A prepared machine with a step in its tables.
pub struct Machine<'a> {
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
    pub scratch: &'a mut [u8],
    /// Page memory: for each layer, for each page, as in a page image.
    pub pages: &'a mut [u8],
    /// Weight memory.
    pub weights: &'a [u8],
    /// The step's sizes.
    pub counts: Counts,
    /// The step's counted layers.
    pub counters: LayerRange,
    /// Layers to compute.
    pub layers: u32,
}

impl Machine<'_> {
    /// Computes a part of the step's instructions with all workers of the team.
    pub fn run(self, team: &dyn Team, part: Range<usize>) {
        let layout = self.layout;
        layout.claims.of_mut(self.scratch).fill(0);
        layout.done.of_mut(self.scratch).fill(0);
        let failed = AtomicBool::new(false);
        let shared = Shared {
            kernels: self.kernels,
            inputs: self.inputs,
            program: self.program,
            shape: self.shape,
            limits: self.limits,
            layout,
            scratch: self.scratch.as_mut_ptr(),
            pages: self.pages.as_mut_ptr(),
            weights: self.weights.as_ptr(),
            counts: self.counts,
            counters: self.counters,
            layers: self.layers,
            workers: team.workers(),
        };
        // SAFETY: both regions hold `u32`, which has the size and alignment of `AtomicU32`, and are used
        // through these references alone until the team is done.
        let (claims, done) = unsafe {
            (
                core::slice::from_raw_parts(shared.at::<AtomicU32, u32>(layout.claims), layout.claims.len()),
                core::slice::from_raw_parts(shared.at::<AtomicU32, u32>(layout.done), layout.done.len()),
            )
        };
        let phases = Phases::new(claims, done, &failed, team);
        team.run(&|worker| Worker { shared: &shared, worker }.run(phases.cursor(worker), part.clone()));
    }
}

/// Adds the workers' masses to the report and to page memory's counters, and clears them.
pub fn collect_mass(
    scratch: &mut [u8],
    layout: &Layout,
    workers: usize,
    segments: usize,
    pages: impl Iterator<Item = u32> + Clone,
) {
    for worker in 0..workers {
        let shift = worker * layout.worker_bytes;
        for segment in 0..segments {
            let mass =
                core::mem::take(&mut layout.worker.segment_mass.of_mut(&mut scratch[shift..])[segment]);
            layout.mass.of_mut(scratch)[segment] += mass;
        }
        for page in pages.clone() {
            let tokens = page as usize * PAGE_TOKENS..(page as usize + 1) * PAGE_TOKENS;
            let mut masses = [Mass(0); PAGE_TOKENS];
            let of_worker = &mut layout.worker.token_mass.of_mut(&mut scratch[shift..])[tokens.clone()];
            masses.copy_from_slice(of_worker);
            of_worker.fill(Mass(0));
            for (total, mass) in layout.token_mass.of_mut(scratch)[tokens].iter_mut().zip(masses) {
                *total += mass;
            }
        }
    }
}
