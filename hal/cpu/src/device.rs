//! The device: `prepare` lays memory out and packs weights, `submit` fills the step's tables, `poll`
//! computes.

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, Inputs, Limits, ModelShape, PageError, PageId, PrepareError,
    Program, Step, StepReport, SubmitError, TensorDevice, WeightSource,
};

use crate::layout::{self, Layout};
use crate::memory::{self, Blocks, MemorySource, Shortage};
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
    model: Option<Model>,
}

impl<M: MemorySource, T: Team> CpuDevice<M, T> {
    /// A device without a model, whose matrix products take their inputs as integers where the weights are
    /// quantised. `isa` must be one of [`Isa::all`].
    ///
    /// # Panics
    /// When the machine lacks the instruction set.
    pub fn new(memory: M, team: T, isa: Isa) -> Self {
        CpuDevice { memory, team, kernels: Kernels::available(isa), inputs: Inputs::Int16, model: None }
    }

    /// The same device, with matrix products that take their inputs so.
    #[must_use]
    pub fn with_inputs(self, inputs: Inputs) -> Self {
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
        check(program, shape)?;
        let weights = weights::plan(program, shape, source, |_, _| Ok(()))?;
        let layout = Layout::new(program, shape, limits, self.inputs, self.team.workers());
        Ok(Footprint { weights, pages: layout::page_bytes(shape, limits), scratch: layout.bytes })
    }
}

fn check(program: &Program, shape: &ModelShape) -> Result<(), PrepareError> {
    shape.check()?;
    program.verify(shape)?;
    if !shape.head_dim.is_multiple_of(HEAD_DIM_MULTIPLE) {
        return Err(PrepareError::HeadDim { head_dim: shape.head_dim, multiple_of: HEAD_DIM_MULTIPLE });
    }
    Ok(())
}

impl<M: MemorySource, T: Team> TensorDevice for CpuDevice<M, T> {
    fn caps(&self) -> Caps {
        Caps {
            backend: "cpu",
            variant: self.kernels.name,
            dtypes: &DType::ALL,
            threads: self.team.workers() as u32,
            inputs: self.inputs,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        source: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.model = None;
        let footprint = self.footprint(program, shape, limits, source)?;
        self.memory.reserve(&footprint).map_err(|Shortage { what, available }| {
            let sizes = memory::purposes(&footprint);
            let needed = sizes.iter().find(|size| size.0 == what).map_or(0, |size| size.1);
            PrepareError::TooLarge { what, needed, available }
        })?;
        let layout = Layout::new(program, shape, limits, self.inputs, self.team.workers());
        let model = Model { program: *program, shape: *shape, limits: *limits, layout, step: None };
        let mut blocks = self.memory.blocks();
        model.load_angles(blocks.scratch, source)?;
        model.load_weights(&mut blocks, source, &self.team)?;
        self.model = Some(model);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let model = self.model.as_mut().ok_or(SubmitError::NotPrepared)?;
        if model.step.is_some() {
            return Err(SubmitError::Busy);
        }
        step.check(&model.shape, &model.limits, &model.program)?;
        model.fill(self.memory.blocks().scratch, step);
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let Some(model) = self.model.as_mut() else { return Poll::Ready(Err(DeviceError::Idle)) };
        let Some(step) = model.step.take() else { return Poll::Ready(Err(DeviceError::Idle)) };
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
            counts: step.counts,
            counters: step.counters,
        };
        machine.run(&self.team);
        Poll::Ready(model.report(self.memory.blocks().scratch, &step, self.team.workers()))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.idle_model().and_then(|(model, blocks)| {
            model.check_image(page, image.len())?;
            for (index, image) in image.chunks_exact_mut(model.half_bytes()).enumerate() {
                image.copy_from_slice(&blocks.pages[model.place(page, index)]);
            }
            Ok(())
        }))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.idle_model().and_then(|(model, blocks)| {
            model.check_image(page, image.len())?;
            for (index, image) in image.chunks_exact(model.half_bytes()).enumerate() {
                blocks.pages[model.place(page, index)].copy_from_slice(image);
            }
            model.clear_mass(blocks.scratch, page);
            Ok(())
        }))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let (model, blocks) = self.idle_model()?;
        for &(from, to) in pairs {
            model.check_page(from)?;
            model.check_page(to)?;
        }
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
        Poll::Ready(
            self.idle_model()
                .and_then(|(model, blocks)| model.summarise(&blocks, page, layer, tokens, summary)),
        )
    }
}

impl<M: MemorySource, T: Team> CpuDevice<M, T> {
    fn idle_model(&mut self) -> Result<(&Model, Blocks<'_>), PageError> {
        let model = self.model.as_ref().ok_or(PageError::NotPrepared)?;
        if model.step.is_some() { Err(PageError::Busy) } else { Ok((model, self.memory.blocks())) }
    }
}
