//! The device: its life, its refusals, and one submission a step.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, Inputs, Limits, ModelShape, PAGE_TOKENS, PageError, PageId,
    PrepareError, Program, Step, StepReport, SubmitError, TensorDevice, WeightSource, page,
};

use crate::adapter::{Choice, OpenError, open};
use crate::gpu::Gpu;
use crate::machine::Machine;
use crate::pages;
use crate::profile::{OpTime, Profiler};
use crate::report::Report;
use crate::ring::{Load, Progress, Ring, SLOTS};
use crate::sizes::Sizes;
use crate::step::Packed;
use crate::weights;

/// A GPU, or what a driver offers as one, as a tensor machine.
pub struct WgpuDevice {
    choice: Choice,
    gpu: Gpu,
    model: Option<Model>,
    traffic: Traffic,
    profiler: Option<Profiler>,
}

/// How long `prepare` waits for the device to finish what it is at.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What went over the bus, and how, since the device was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Steps that were submitted with rows.
    pub steps: u64,
    /// Submissions for them.
    pub submits: u64,
    /// Compute passes in them.
    pub passes: u64,
    /// Dispatches in them.
    pub dispatches: u64,
    /// Bytes of their descriptions.
    pub bytes_written: u64,
    /// Bytes of their reports.
    pub bytes_read: u64,
    /// Time that the last one took to be described, encoded and submitted.
    pub last_encode: std::time::Duration,
}

struct Model {
    program: Program,
    shape: ModelShape,
    limits: Limits,
    sizes: Sizes,
    machine: Machine,
    ring: Ring,
    packed: Packed,
    report: Report,
    step: Option<Pending>,
}

/// A step under way.
#[derive(Clone, Copy)]
enum Pending {
    /// Its report comes through this slot.
    Slot(usize),
    /// It has no rows: there is nothing to compute.
    Empty,
}

impl WgpuDevice {
    /// Opens a device.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(choice: Choice) -> Result<WgpuDevice, OpenError> {
        let gpu = open(&choice)?;
        Ok(WgpuDevice { choice, gpu, model: None, traffic: Traffic::default(), profiler: None })
    }

    /// The opened device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What went over the bus.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Times kernels from the next step on, or no more. Returns whether they are timed: an adapter may have
    /// no timestamps, or the device was opened without ([`Choice::timestamps`]).
    pub fn set_profiling(&mut self, on: bool) -> bool {
        self.profiler = if on { Profiler::new(&self.gpu).ok().flatten() } else { None };
        self.profiler.is_some()
    }

    /// The times of the last step's kernels, most first. Waits for it; empty where nothing was timed.
    pub fn profile(&self) -> Vec<OpTime> {
        self.profiler.as_ref().map(|profiler| profiler.times(&self.gpu)).unwrap_or_default()
    }

    /// Lets go of the old model's memory. A device that failed, or does not come to rest, is opened once
    /// more.
    fn revive(&mut self) -> Result<(), PrepareError> {
        self.model = None;
        let rest = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        let rested = self.gpu.device.poll(rest).is_ok();
        if !rested || self.gpu.failure().is_some() {
            self.profiler = None;
            self.gpu = open(&self.choice).map_err(|_| PrepareError::Device(DeviceError::Lost))?;
        }
        Ok(())
    }

    /// A model without a step under way, on a device that works.
    fn idle(&mut self) -> Result<(&Gpu, &mut Model), PageError> {
        // Brings in what the driver has to say since the last call.
        let _ = self.gpu.device.poll(wgpu::PollType::Poll);
        let failed = self.gpu.failure().is_some();
        let model = self.model.as_mut().ok_or(PageError::NotPrepared)?;
        if model.step.is_some() {
            return Err(PageError::Busy);
        }
        if failed {
            self.model = None;
            return Err(PageError::Lost);
        }
        // Asked for once more: the borrow of the lines above ends with them.
        Ok((&self.gpu, self.model.as_mut().ok_or(PageError::NotPrepared)?))
    }

    /// Ends a call that found the device gone.
    fn lost<R>(&mut self) -> Poll<Result<R, PageError>> {
        self.model = None;
        Poll::Ready(Err(PageError::Lost))
    }
}

impl Model {
    fn new(
        gpu: &Gpu,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        source: &mut dyn WeightSource,
    ) -> Result<(Model, Footprint), PrepareError> {
        let sizes = Sizes::new(shape, limits, gpu.limits.max_compute_workgroups_per_dimension)?;
        let weights = weights::bytes(gpu, program, shape, source)?;
        let footprint = sizes.footprint(shape, limits, weights, SLOTS);
        sizes.check(&gpu.limits, shape, limits)?;
        let machine = Machine::new(gpu, program, shape, limits, &sizes, source)?;
        let model = Model {
            program: *program,
            shape: *shape,
            limits: *limits,
            machine,
            ring: Ring::new(gpu, sizes.readback)?,
            packed: Packed::new(shape, limits, sizes.split_pages),
            report: Report::new(shape, limits),
            sizes,
            step: None,
        };
        Ok((model, footprint))
    }

    fn check_page(&self, page: PageId) -> Result<(), PageError> {
        if page.0 < self.limits.pages { Ok(()) } else { Err(PageError::Page(page)) }
    }

    fn check_image(&self, page: PageId, found: usize) -> Result<(), PageError> {
        self.check_page(page)?;
        fits(found, page::image_bytes(&self.shape, self.limits.kv))
    }

    /// Encodes the packed step: one pass, one copy, one submission.
    fn encode(&mut self, gpu: &Gpu, mut profiler: Option<&mut Profiler>) -> (Pending, u32) {
        let memory = &self.machine.memory;
        gpu.queue.write_buffer(&memory.step, 0, bytemuck::cast_slice(&self.packed.words));
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        let mut dispatches = 0;
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_bind_group(0, &self.machine.step_group, &[]);
            if let Some(profiler) = &mut profiler {
                profiler.begin(&mut pass);
            }
            for act in &self.machine.acts {
                let encoded = act.encode(&mut pass, &self.packed);
                dispatches += encoded;
                if let Some(profiler) = &mut profiler {
                    profiler.note(&mut pass, act.name(), encoded);
                }
            }
        }
        if let Some(profiler) = profiler {
            profiler.end(&mut encoder);
        }
        let bytes = 4 * u64::from(self.packed.parts.end);
        let slot = self.ring.take_for_report(bytes);
        encoder.copy_buffer_to_buffer(&memory.report, 0, self.ring.buffer(slot), 0, bytes);
        gpu.queue.submit([encoder.finish()]);
        self.ring.map(slot);
        (Pending::Slot(slot), dispatches)
    }
}

fn fits(found: usize, expected: usize) -> Result<(), PageError> {
    if found == expected { Ok(()) } else { Err(PageError::Length { found, expected }) }
}

impl TensorDevice for WgpuDevice {
    fn caps(&self) -> Caps {
        Caps {
            backend: "wgpu",
            variant: self.gpu.variant.name(),
            dtypes: &DType::ALL,
            threads: 1,
            inputs: Inputs::F32,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.model = None;
        shape.check()?;
        program.verify(shape)?;
        self.revive()?;
        let gpu = &self.gpu;
        let (model, footprint) = gpu.checked(|| Model::new(gpu, program, shape, limits, weights))?;
        self.model = Some(model);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let began = std::time::Instant::now();
        let model = self.model.as_mut().ok_or(SubmitError::NotPrepared)?;
        if model.step.is_some() {
            return Err(SubmitError::Busy);
        }
        step.check(&model.shape, &model.limits, &model.program)?;
        model.packed.fill(step, &model.shape, &model.limits);
        if step.rows.is_empty() {
            model.step = Some(Pending::Empty);
            return Ok(());
        }
        model.ring.forget_pages();
        let (pending, dispatches) = model.encode(&self.gpu, self.profiler.as_mut());
        model.step = Some(pending);
        self.traffic.steps += 1;
        self.traffic.submits += 1;
        self.traffic.passes += 1;
        self.traffic.dispatches += u64::from(dispatches);
        self.traffic.bytes_written += 4 * model.packed.words.len() as u64;
        self.traffic.bytes_read += 4 * u64::from(model.packed.parts.end);
        self.traffic.last_encode = began.elapsed();
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let Some(model) = self.model.as_mut() else { return Poll::Ready(Err(DeviceError::Idle)) };
        let Some(pending) = model.step else { return Poll::Ready(Err(DeviceError::Idle)) };
        let progress = match pending {
            Pending::Empty => Progress::Ready,
            Pending::Slot(slot) => {
                let _ = self.gpu.device.poll(wgpu::PollType::Poll);
                model.ring.progress(slot)
            }
        };
        if let Some(error) = self.gpu.failure() {
            self.model = None;
            return Poll::Ready(Err(error));
        }
        match progress {
            Progress::Waiting => return Poll::Pending,
            Progress::Ready => model.step = None,
            Progress::Failed => {
                self.model = None;
                return Poll::Ready(Err(DeviceError::Lost));
            }
        }
        let Model { shape, ring, packed, report, .. } = model;
        let taken = match pending {
            Pending::Empty => {
                report.clear(packed.counts.segments);
                Some(Ok(()))
            }
            Pending::Slot(slot) => ring.read(slot, |bytes| {
                report.take(bytemuck::cast_slice(bytes), &packed.parts, shape, packed.counters)
            }),
        };
        let Some(taken) = taken else {
            self.model = None;
            return Poll::Ready(Err(DeviceError::Lost));
        };
        Poll::Ready(taken.map(|()| self.model.as_ref().map(|model| model.report.lent()).unwrap_or_default()))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let (gpu, model) = match self.idle() {
            Ok(idle) => idle,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Err(error) = model.check_image(page, image.len()) {
            return Poll::Ready(Err(error));
        }
        let load = Load::Image(page);
        let Some(slot) = model.ring.find(load) else {
            if let Some(slot) = model.ring.take_for_page(load, image.len() as u64) {
                let to = model.ring.buffer(slot);
                pages::copy_out(gpu, &model.machine.memory, page, model.sizes.page_layer, to);
                model.ring.map(slot);
            }
            return Poll::Pending;
        };
        match model.ring.progress(slot) {
            Progress::Waiting => Poll::Pending,
            Progress::Failed => self.lost(),
            Progress::Ready => match model.ring.read(slot, |bytes| image.copy_from_slice(bytes)) {
                Some(()) => Poll::Ready(Ok(())),
                None => self.lost(),
            },
        }
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.idle().and_then(|(gpu, model)| {
            model.check_image(page, image.len())?;
            model.ring.forget_pages();
            pages::copy_in(gpu, &model.machine.memory, page, model.sizes.page_layer, image);
            Ok(())
        }))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let (gpu, model) = self.idle()?;
        for &(from, to) in pairs {
            model.check_page(from)?;
            model.check_page(to)?;
        }
        model.ring.forget_pages();
        pages::copy_pages(gpu, &model.machine.memory, pairs, model.sizes.page_layer);
        Ok(())
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        let (gpu, model) = match self.idle() {
            Ok(idle) => idle,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Err(error) = model.check_summary(page, layer, tokens, summary.mean_key.len()) {
            return Poll::Ready(Err(error));
        }
        let load = Load::Summary(page, layer);
        let Some(slot) = model.ring.find(load) else {
            let bytes = model.sizes.page_layer + crate::sizes::PAGE_MASS_BYTES;
            if let Some(slot) = model.ring.take_for_page(load, bytes) {
                let (memory, to) = (&model.machine.memory, model.ring.buffer(slot));
                pages::copy_summary(gpu, memory, page, layer, model.sizes.page_layer, to);
                model.ring.map(slot);
            }
            return Poll::Pending;
        };
        let (shape, kv) = (model.shape, model.limits.kv);
        match model.ring.progress(slot) {
            Progress::Waiting => Poll::Pending,
            Progress::Failed => self.lost(),
            Progress::Ready => {
                let read = |bytes: &[u8]| pages::summarise(bytes, &shape, kv, tokens, summary);
                match model.ring.read(slot, read) {
                    Some(()) => Poll::Ready(Ok(())),
                    None => self.lost(),
                }
            }
        }
    }
}

impl Model {
    fn check_summary(
        &self,
        page: PageId,
        layer: u32,
        tokens: usize,
        mean_key: usize,
    ) -> Result<(), PageError> {
        self.check_page(page)?;
        if layer >= self.shape.layers {
            return Err(PageError::Layer(layer));
        }
        if tokens == 0 || tokens > PAGE_TOKENS {
            return Err(PageError::Length { found: tokens, expected: PAGE_TOKENS });
        }
        fits(mean_key, self.shape.kv_width() as usize)
    }
}
