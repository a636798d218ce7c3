//! The device: `prepare` lays memory out and packs weights, `submit` fills the step's tables, `poll`
//! computes.

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, Inputs, LateMasks, Lifecycle, Limits, MaskError, ModelShape,
    PageError, PageId, PrepareError, Prepared, Program, Step, StepReport, SubmitError, TensorDevice,
    WeightSource,
};

use crate::layout::{self, Layout};
use crate::memory::{self, MemorySource, Shortage};
use crate::model::Model;
use crate::simd::detect::Isa;
use crate::simd::kernels::Kernels;
use crate::simd::run::Machine;
use crate::team::Team;
use crate::weights;

/// Heads are whole lane groups.
const HEAD_DIM_MULTIPLE: u32 = 16;

/// The CPU as a tensor machine.
pub struct CpuDevice<M: MemorySource, T: Team> {
    memory: M,
    team: T,
    kernels: &'static Kernels,
    inputs: Inputs,
    life: Lifecycle<Model>,
}

impl<M: MemorySource, T: Team> CpuDevice<M, T> {
    /// A device without a model, whose matrix products take their inputs as integers where the weights are
    /// quantised. `isa` must be one of [`Isa::all`].
    ///
    /// # Panics
    /// When the machine lacks the instruction set.
    pub fn new(memory: M, team: T, isa: Isa) -> Self {
        CpuDevice {
            memory,
            team,
            kernels: Kernels::available(isa),
            inputs: Inputs::Int16,
            life: Lifecycle::with_late_masks(),
        }
    }

    /// The same device, with matrix products that take their inputs so: of 8 bits and in half precision it has no kernels, and
    /// takes 16 bits.
    #[must_use]
    pub fn with_inputs(self, inputs: Inputs) -> Self {
        let inputs = match inputs {
            Inputs::F32 => Inputs::F32,
            Inputs::Int16 | Inputs::Int8 | Inputs::F16 => Inputs::Int16,
        };
        CpuDevice { inputs, ..self }
    }

    /// The memory that `prepare` would take, without taking it.
    ///
    /// # Errors
    /// Those of `prepare` that concern sizes.
    pub fn footprint(
        &self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        source: &dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        let layout = self.layout(&self.check(program, shape, limits)?);
        let weights = weights::plan(program, shape, source, |_, _| Ok(()))?;
        Ok(Footprint { weights, pages: layout::page_bytes(shape, limits), scratch: layout.bytes })
    }

    fn check(
        &self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
    ) -> Result<Prepared, PrepareError> {
        let prepared = Prepared::new(program, shape, limits)?;
        if !shape.head_dim.is_multiple_of(HEAD_DIM_MULTIPLE) {
            return Err(PrepareError::HeadDim { head_dim: shape.head_dim, multiple_of: HEAD_DIM_MULTIPLE });
        }
        Ok(prepared)
    }

    fn layout(&self, Prepared { program, shape, limits }: &Prepared) -> Layout {
        Layout::new(program, shape, limits, self.inputs, self.team.workers())
    }
}

impl<M: MemorySource, T: Team> TensorDevice for CpuDevice<M, T> {
    fn caps(&self) -> Caps {
        Caps {
            backend: "cpu",
            variant: self.kernels.name,
            dtypes: &DType::ALL,
            threads: self.team.workers() as u32,
            inputs: self.inputs,
            late_masks: LateMasks::InPoll,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        source: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.life.clear();
        let prepared = self.check(program, shape, limits)?;
        let footprint = self.footprint(program, shape, limits, source)?;
        self.memory.reserve(&footprint).map_err(|Shortage { what, available }| {
            let sizes = memory::purposes(&footprint);
            let needed = sizes.iter().find(|size| size.0 == what).map_or(0, |size| size.1);
            PrepareError::TooLarge { what, needed, available }
        })?;
        let model = Model::new(&prepared, self.layout(&prepared));
        let mut blocks = self.memory.blocks();
        model.load_angles(blocks.scratch, source)?;
        model.load_weights(&mut blocks, source, &self.team)?;
        self.life.ready(prepared, model);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let model = self.life.submit(step)?;
        model.fill(self.memory.blocks().scratch, step);
        Ok(())
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        let model = self.life.allow(mask, words)?;
        model.allow(self.memory.blocks().scratch, mask, words);
        Ok(())
    }

    /// Computes all of the step, or, where masks are still to come, what the head is computed from.
    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let lacks_masks = self.life.lacks_masks();
        let model = match if lacks_masks { self.life.running() } else { self.life.finish() } {
            Ok(model) => model,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let part = model.go_on(lacks_masks);
        if !part.is_empty() {
            let blocks = self.memory.blocks();
            let machine = Machine {
                kernels: self.kernels,
                inputs: self.inputs,
                program: &model.program,
                shape: &model.shape,
                limits: &model.limits,
                layout: &model.layout,
                scratch: blocks.scratch,
                pages: blocks.pages,
                weights: blocks.weights,
                counts: model.step.counts,
                counters: model.step.counters,
                layers: model.step.layers,
            };
            machine.run(&self.team, part);
        }
        if lacks_masks {
            return Poll::Pending;
        }
        Poll::Ready(model.report(self.memory.blocks().scratch, self.team.workers()))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.life.image(page, image.len()).map(|model| {
            let pages = self.memory.blocks().pages;
            for (index, image) in image.chunks_exact_mut(model.half_bytes()).enumerate() {
                image.copy_from_slice(&pages[model.place(page, index)]);
            }
        }))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.life.image(page, image.len()).map(|model| {
            let blocks = self.memory.blocks();
            for (index, image) in image.chunks_exact(model.half_bytes()).enumerate() {
                blocks.pages[model.place(page, index)].copy_from_slice(image);
            }
            model.clear_mass(blocks.scratch, page);
        }))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let model = self.life.copies(pairs)?;
        let blocks = self.memory.blocks();
        for &(from, to) in pairs {
            for index in 0..model.halves() {
                let place = model.place(to, index).start;
                let from = model.place(from, index);
                blocks.pages.copy_within(from, place);
            }
            model.clear_mass(blocks.scratch, to);
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
        let checked = self.life.summary(page, layer, tokens, &summary);
        Poll::Ready(checked.map(|model| {
            model.summarise(&self.memory.blocks(), page, layer, tokens, summary);
        }))
    }
}
