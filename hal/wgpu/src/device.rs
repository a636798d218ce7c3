//! The device: its life, its refusals, and one submission a step, or two where masks come later.

use std::task::Poll;
use std::time::Instant;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, LateMasks, Lifecycle, Limits, MaskError, ModelShape, PageError,
    PageId, PrepareError, Prepared, Program, Step, StepReport, SubmitError, TensorDevice, WeightSource,
};

use crate::adapter::{Choice, OpenError, open};
use crate::gpu::Gpu;
use crate::machine::{Machine, Memory};
use crate::pages;
use crate::profile::{OpTime, Profiler};
use crate::report::Report;
use crate::ring::{Load, Progress, Ring, SLOTS};
use crate::sizes::{PAGE_MASS_BYTES, Sizes};
use crate::step::Packed;
use crate::tune::Tuning;
use crate::weights;

/// A GPU, or what a driver offers as one, as a tensor machine.
pub struct WgpuDevice {
    choice: Choice,
    gpu: Gpu,
    life: Lifecycle<Model>,
    traffic: Traffic,
    profiler: Option<Profiler>,
    tuning: Option<Tuning>,
}

/// How long `prepare` waits for the device to finish what it is at.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What went over the bus, and how, since the device was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Steps that were submitted with rows.
    pub steps: u64,
    /// Submissions for them: one each, two where masks came later.
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
    prepared: Prepared,
    sizes: Sizes,
    machine: Machine,
    ring: Ring,
    packed: Packed,
    report: Report,
    /// Acts of the step under way that the device has.
    sent: usize,
    /// The slot through which its report comes; `None` of a step without rows, and until all acts are sent.
    slot: Option<usize>,
}

impl WgpuDevice {
    /// Opens a device.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(choice: Choice) -> Result<WgpuDevice, OpenError> {
        let gpu = open(&choice)?;
        Ok(WgpuDevice {
            choice,
            gpu,
            life: Lifecycle::with_late_masks(),
            traffic: Traffic::default(),
            profiler: None,
            tuning: None,
        })
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

    /// How the kernels of the model were chosen; `None` without a model, or where there was no choice.
    pub fn tuning(&self) -> Option<&Tuning> {
        self.tuning.as_ref()
    }

    /// Lets go of the old model's memory. A device that failed, or does not come to rest, is opened once
    /// more.
    fn revive(&mut self) -> Result<(), PrepareError> {
        let rest = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        let rested = self.gpu.device.poll(rest).is_ok();
        if !rested || self.gpu.failure().is_some() {
            self.profiler = None;
            self.gpu = open(&self.choice).map_err(|_| PrepareError::Device(DeviceError::Lost))?;
        }
        Ok(())
    }

    /// Sends off what can be computed of the step under way: all, or what needs none of the masks that are to come.
    fn send(&mut self) {
        let lacks_masks = self.life.lacks_masks();
        let Ok(model) = self.life.running() else { return };
        let Machine { acts, unmasked, .. } = &model.machine;
        let end = if lacks_masks { *unmasked } else { acts.len() };
        self.traffic.dispatches += u64::from(model.encode(&self.gpu, self.profiler.as_mut(), end));
        self.traffic.submits += 1;
        self.traffic.passes += 1;
    }

    /// Whether the device has failed, once that the driver has said what it had to say since the last call.
    fn has_failed(&self) -> bool {
        let _ = self.gpu.device.poll(wgpu::PollType::Poll);
        self.gpu.failure().is_some()
    }

    /// What a page operation came to. A device that is gone takes its model along.
    fn paged<T>(&mut self, done: Result<T, PageError>) -> Result<T, PageError> {
        if matches!(done, Err(PageError::Lost)) {
            self.life.clear();
        }
        done
    }
}

/// A model, unless its device has failed.
fn working(model: &mut Model, failed: bool) -> Result<&mut Model, PageError> {
    if failed { Err(PageError::Lost) } else { Ok(model) }
}

/// What is not there yet is no error.
fn in_time(done: Result<Poll<()>, PageError>) -> Poll<Result<(), PageError>> {
    match done {
        Ok(progress) => progress.map(Ok),
        Err(error) => Poll::Ready(Err(error)),
    }
}

impl Model {
    fn new(
        gpu: &Gpu,
        prepared: Prepared,
        source: &mut dyn WeightSource,
    ) -> Result<(Model, Footprint), PrepareError> {
        let Prepared { program, shape, limits } = &prepared;
        let most_groups = gpu.limits.max_compute_workgroups_per_dimension;
        let sizes = Sizes::new(shape, limits, most_groups, gpu.inputs)?;
        let weights = weights::bytes(gpu, program, shape, source)?;
        let footprint = sizes.footprint(shape, limits, weights, SLOTS);
        sizes.check(&gpu.limits, shape, limits)?;
        let machine = Machine::new(gpu, program, shape, limits, &sizes, source)?;
        let model = Model {
            machine,
            ring: Ring::new(gpu, sizes.readback)?,
            packed: Packed::new(shape, limits, sizes.split_pages),
            report: Report::new(shape, limits),
            sizes,
            prepared,
            sent: 0,
            slot: None,
        };
        Ok((model, footprint))
    }

    /// Encodes acts of the packed step behind those that were sent: one pass and one submission, and with the last
    /// of them the copy of the report. Returns their dispatches.
    fn encode(&mut self, gpu: &Gpu, mut profiler: Option<&mut Profiler>, end: usize) -> u32 {
        let (memory, acts) = (&self.machine.memory, &self.machine.acts[self.sent..end]);
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        let mut dispatches = 0;
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_bind_group(0, &self.machine.step_group, &[]);
            if let Some(profiler) = &mut profiler {
                if self.sent == 0 { profiler.begin(&mut pass) } else { profiler.go_on(&mut pass) }
            }
            for act in acts {
                let encoded = act.encode(&mut pass, &self.packed);
                dispatches += encoded;
                if let Some(profiler) = &mut profiler {
                    profiler.note(&mut pass, act.name(), encoded);
                }
            }
        }
        self.sent = end;
        if end < self.machine.acts.len() {
            gpu.queue.submit([encoder.finish()]);
            return dispatches;
        }
        if let Some(profiler) = profiler {
            profiler.end(&mut encoder);
        }
        let bytes = 4 * u64::from(self.packed.parts.end);
        let slot = self.ring.take_for_report(bytes);
        encoder.copy_buffer_to_buffer(&memory.report, 0, self.ring.buffer(slot), 0, bytes);
        gpu.queue.submit([encoder.finish()]);
        self.ring.map(slot);
        self.slot = Some(slot);
        dispatches
    }

    /// Takes the report of the step under way, if it is there.
    fn collect(&mut self) -> Poll<Result<(), DeviceError>> {
        let Model { prepared, ring, packed, report, slot, .. } = self;
        let Some(slot) = *slot else {
            report.clear(packed.counts.segments);
            return Poll::Ready(Ok(()));
        };
        let take = |bytes: &[u8]| {
            report.take(bytemuck::cast_slice(bytes), &packed.parts, &prepared.shape, packed.counters)
        };
        match ring.progress(slot) {
            Progress::Waiting => Poll::Pending,
            Progress::Failed => Poll::Ready(Err(DeviceError::Lost)),
            Progress::Ready => Poll::Ready(ring.read(slot, take).unwrap_or(Err(DeviceError::Lost))),
        }
    }

    /// Brings something of a page to the host: asks for it, or reads it if it was asked for and is there.
    fn fetch(
        &mut self,
        load: Load,
        bytes: u64,
        copy: impl FnOnce(&Memory, &wgpu::Buffer),
        read: impl FnOnce(&[u8]),
    ) -> Result<Poll<()>, PageError> {
        let Some(slot) = self.ring.find(load) else {
            if let Some(slot) = self.ring.take_for_page(load, bytes) {
                copy(&self.machine.memory, self.ring.buffer(slot));
                self.ring.map(slot);
            }
            return Ok(Poll::Pending);
        };
        match self.ring.progress(slot) {
            Progress::Waiting => Ok(Poll::Pending),
            Progress::Failed => Err(PageError::Lost),
            Progress::Ready => self.ring.read(slot, read).map(Poll::Ready).ok_or(PageError::Lost),
        }
    }
}

impl TensorDevice for WgpuDevice {
    fn caps(&self) -> Caps {
        Caps {
            backend: "wgpu",
            variant: self.gpu.kernels().name(),
            dtypes: &DType::ALL,
            threads: 1,
            inputs: self.gpu.inputs,
            late_masks: LateMasks::Beside,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.life.clear();
        self.tuning = None;
        let prepared = Prepared::new(program, shape, limits)?;
        self.revive()?;
        let gpu = &self.gpu;
        let made = gpu.checked(|| Model::new(gpu, prepared, weights));
        gpu.forget();
        let (mut model, footprint) = made?;
        self.tuning = model.machine.tuning.take();
        self.life.ready(prepared, model);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let began = Instant::now();
        let model = self.life.submit(step)?;
        model.packed.fill(step, &model.prepared.shape, &model.prepared.limits);
        (model.sent, model.slot) = (0, None);
        if step.rows.is_empty() {
            return Ok(());
        }
        model.ring.forget_pages();
        let words = bytemuck::cast_slice(&model.packed.words);
        self.gpu.queue.write_buffer(&model.machine.memory.step, 0, words);
        self.traffic.steps += 1;
        self.traffic.bytes_written += words.len() as u64;
        self.traffic.bytes_read += 4 * u64::from(model.packed.parts.end);
        self.send();
        self.traffic.last_encode = began.elapsed();
        Ok(())
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        let began = Instant::now();
        let model = self.life.allow(mask, words)?;
        if model.packed.counts.rows == 0 {
            return Ok(());
        }
        let (at, words) = (model.packed.mask_at(mask), bytemuck::cast_slice(words));
        // It gets there in front of what is submitted next, and behind what was submitted before.
        self.gpu.queue.write_buffer(&model.machine.memory.step, at, words);
        self.traffic.bytes_written += words.len() as u64;
        if !self.life.lacks_masks() {
            self.send();
        }
        self.traffic.last_encode += began.elapsed();
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let lacks_masks = self.life.lacks_masks();
        let model = match self.life.running() {
            Ok(model) => model,
            Err(idle) => return Poll::Ready(Err(idle)),
        };
        if model.sent > 0 {
            let _ = self.gpu.device.poll(wgpu::PollType::Poll);
        }
        let collected = match self.gpu.failure() {
            Some(error) => Poll::Ready(Err(error)),
            None if lacks_masks => Poll::Pending,
            None => model.collect(),
        };
        match collected {
            Poll::Pending => Poll::Pending,
            // The step is over, and the device is as well as before.
            Poll::Ready(Err(error @ DeviceError::NotFinite { .. })) => {
                Poll::Ready(self.life.finish().and(Err(error)))
            }
            Poll::Ready(Err(error)) => {
                self.life.clear();
                Poll::Ready(Err(error))
            }
            Poll::Ready(Ok(())) => Poll::Ready(self.life.finish().map(|model| model.report.lent())),
        }
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let failed = self.has_failed();
        let bytes = image.len() as u64;
        let idle = self.life.image(page, image.len()).and_then(|model| working(model, failed));
        let done = idle.and_then(|model| {
            let (gpu, layer_bytes) = (&self.gpu, model.sizes.page_layer);
            let copy = |memory: &Memory, to: &_| pages::copy_out(gpu, memory, page, layer_bytes, to);
            model.fetch(Load::Image(page), bytes, copy, |bytes| image.copy_from_slice(bytes))
        });
        in_time(self.paged(done))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        let failed = self.has_failed();
        let idle = self.life.image(page, image.len()).and_then(|model| working(model, failed));
        let done = idle.map(|model| {
            model.ring.forget_pages();
            pages::copy_in(&self.gpu, &model.machine.memory, page, model.sizes.page_layer, image);
        });
        Poll::Ready(self.paged(done))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let failed = self.has_failed();
        let idle = self.life.copies(pairs).and_then(|model| working(model, failed));
        let done = idle.map(|model| {
            model.ring.forget_pages();
            pages::copy_pages(&self.gpu, &model.machine.memory, pairs, model.sizes.page_layer);
        });
        self.paged(done)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        let failed = self.has_failed();
        let idle = self.life.summary(page, layer, tokens, &summary).and_then(|model| working(model, failed));
        let done = idle.and_then(|model| {
            let (gpu, layer_bytes) = (&self.gpu, model.sizes.page_layer);
            let Prepared { shape, limits, .. } = model.prepared;
            let copy =
                |memory: &Memory, to: &_| pages::copy_summary(gpu, memory, page, layer, layer_bytes, to);
            let read = |bytes: &[u8]| pages::summarise(bytes, &shape, limits.kv, tokens, summary);
            model.fetch(Load::Summary(page, layer), layer_bytes + PAGE_MASS_BYTES, copy, read)
        });
        in_time(self.paged(done))
    }
}
