//! The tensor machine in plain scalar code: what the others are measured against, and where a port
//! begins. This file is the device: its life, its refusals, its page operations. `memory` makes
//! everything in `prepare`; `interpret` runs the program over the rows of a step; `attention` and
//! `head` are the two instructions that take more than a few lines.
//!
//! Every sum and every function runs in `f64` and is rounded to `f32` once, when it is written to a
//! register. The oracle is thus nearly exact, and what the conformance suite measures is the error
//! of the other backend's `f32` arithmetic alone, not the difference of two summation orders.
//!
//! What must never happen here: cleverness. No instruction looks at another one, no row at another
//! row. A step allocates nothing: vectors grow inside the capacity that `prepare` gave them.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

mod attention;
mod head;
mod interpret;
mod memory;
mod pages;

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, Inputs, Limits, ModelShape, PAGE_TOKENS, PageError, PageId,
    PrepareError, Program, Step, StepReport, SubmitError, TensorDevice, WeightSource,
};

use crate::memory::Machine;

/// The scalar device. It computes in `poll` and copies pages at once.
pub struct Reference {
    memory_bytes: u64,
    machine: Option<Machine>,
}

impl Reference {
    /// A device that refuses, in `prepare`, what needs more than this many bytes.
    pub const fn new(memory_bytes: u64) -> Reference {
        Reference { memory_bytes, machine: None }
    }

    /// The machine, when it is idle and has these pages.
    fn idle(&mut self, pages: &[PageId]) -> Result<&mut Machine, PageError> {
        let machine = self.machine.as_mut().ok_or(PageError::NotPrepared)?;
        if machine.pending {
            return Err(PageError::Busy);
        }
        match pages.iter().find(|page| page.0 >= machine.limits.pages) {
            Some(&page) => Err(PageError::Page(page)),
            None => Ok(machine),
        }
    }
}

impl TensorDevice for Reference {
    fn caps(&self) -> Caps {
        Caps { backend: "reference", variant: "scalar", dtypes: &DType::ALL, threads: 1, inputs: Inputs::F32 }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.machine = None;
        shape.check()?;
        program.verify(shape)?;
        let (machine, footprint) = Machine::new(*program, *shape, *limits, weights, self.memory_bytes)?;
        self.machine = Some(machine);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let machine = self.machine.as_mut().ok_or(SubmitError::NotPrepared)?;
        if machine.pending {
            return Err(SubmitError::Busy);
        }
        step.check(&machine.shape, &machine.limits, &machine.program)?;
        machine.load(step);
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let Some(machine) = self.machine.as_mut().filter(|machine| machine.pending) else {
            return Poll::Ready(Err(DeviceError::Idle));
        };
        machine.pending = false;
        Poll::Ready(machine.run().map(|()| machine.report()))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let copy = |machine: &mut Machine| {
            let source = &machine.pages.bytes[machine.pages.image(page)];
            fits(image.len(), source.len())?;
            image.copy_from_slice(source);
            Ok(())
        };
        Poll::Ready(self.idle(&[page]).and_then(copy))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        let copy = |machine: &mut Machine| {
            let target = machine.pages.image(page);
            fits(image.len(), target.len())?;
            machine.pages.bytes[target].copy_from_slice(image);
            machine.pages.forget_mass(page);
            Ok(())
        };
        Poll::Ready(self.idle(&[page]).and_then(copy))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        for &(from, to) in pairs {
            self.idle(&[from, to])?;
        }
        let pages = &mut self.idle(&[])?.pages;
        for &(from, to) in pairs {
            let (from, start) = (pages.image(from), pages.image(to).start);
            pages.bytes.copy_within(from, start);
            pages.forget_mass(to);
        }
        Ok(())
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        let summarise = |machine: &mut Machine| {
            if layer >= machine.shape.layers {
                return Err(PageError::Layer(layer));
            }
            if tokens == 0 || tokens > PAGE_TOKENS {
                return Err(PageError::Length { found: tokens, expected: PAGE_TOKENS });
            }
            fits(summary.mean_key.len(), machine.shape.kv_width() as usize)?;
            machine.pages.summarise(page, layer, tokens, summary);
            Ok(())
        };
        Poll::Ready(self.idle(&[page]).and_then(summarise))
    }
}

fn fits(found: usize, expected: usize) -> Result<(), PageError> {
    if found == expected { Ok(()) } else { Err(PageError::Length { found, expected }) }
}
