//! An opened device: its queue, its limits, and everything that is made of it. Buffers and pipelines are
//! made here and nowhere else, so that limits are checked in one place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agentos_hal::{DeviceError, Inputs, PrepareError, Resource};

use crate::variant::{Extensions, Kernels, Variant};

/// What an [`ErrorFilter`](wgpu::ErrorFilter) caught outside of a scope, or a lost device, leaves behind.
#[derive(Default)]
struct Health {
    lost: AtomicBool,
    out_of_memory: AtomicBool,
    rejected: AtomicBool,
    message: Mutex<Option<String>>,
}

impl Health {
    fn note(&self, message: String) {
        let mut place = self.message.lock().unwrap_or_else(PoisonError::into_inner);
        place.get_or_insert(message);
    }
}

/// An opened device.
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// Its only queue.
    pub queue: wgpu::Queue,
    /// The adapter that it belongs to.
    pub info: wgpu::AdapterInfo,
    /// What it was opened with.
    pub limits: wgpu::Limits,
    /// What its kernels are made for.
    pub variant: Variant,
    /// What its products make of their inputs.
    pub inputs: Inputs,
    /// What it was opened with, and whether kernels may be chosen among.
    pub offer: Offer,
    /// What kernels that are made from now on use.
    extensions: Mutex<Extensions>,
    /// Group 0 of every pipeline: the step buffer at binding 0, read-only storage.
    pub step_layout: wgpu::BindGroupLayout,
    pipelines: Mutex<HashMap<Key, wgpu::ComputePipeline>>,
    layouts: Mutex<HashMap<Vec<Binding>, Layouts>>,
    shared: Mutex<Shared>,
    health: Arc<Health>,
}

/// Extensions of kernels that a device was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// These are used.
    Pinned(Extensions),
    /// Those of these are used that pass their probe and save time.
    Tuned(Extensions),
}

/// A pipeline's whole source or its name, its entry point and bindings.
type Key = (String, String, Vec<Binding>);

/// What a shader does with a storage buffer of its group 1; binding numbers count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
    /// `var<storage, read>` of one of several runs of a buffer: which, is said where it is dispatched.
    Slot,
}

/// Every buffer that is bound has so many bytes at least, and no kernel needs more of any: so that the driver's
/// caller need not compare lengths at each dispatch.
pub const LEAST_BYTES: u64 = 80;

/// Layouts of group 1, and of pipelines with it.
#[derive(Clone)]
struct Layouts {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// What dispatches of a model have in common, while they are made.
#[derive(Default)]
struct Shared {
    groups: HashMap<(Vec<Binding>, Vec<Run>), wgpu::BindGroup>,
    constants: HashMap<Vec<u8>, wgpu::Buffer>,
}

/// A bound run of a buffer: where it begins, and its length.
type Run = (wgpu::Buffer, u64, Option<wgpu::BufferSize>);

impl Gpu {
    /// Takes charge of an opened device.
    pub fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
        (variant, inputs): (Variant, Inputs),
        offer: Offer,
    ) -> Gpu {
        let health = Arc::new(Health::default());
        let of_loss = Arc::clone(&health);
        device.set_device_lost_callback(move |reason, message| {
            of_loss.note(format!("device lost ({reason:?}): {message}"));
            of_loss.lost.store(true, Ordering::Release);
        });
        let of_errors = Arc::clone(&health);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let flag = match error {
                wgpu::Error::OutOfMemory { .. } => &of_errors.out_of_memory,
                _ => &of_errors.rejected,
            };
            of_errors.note(error.to_string());
            flag.store(true, Ordering::Release);
        }));
        let limits = device.limits();
        let step_layout = layout(&device, &[Binding::Read]);
        let extensions = match offer {
            Offer::Pinned(extensions) => extensions,
            Offer::Tuned(_) => Extensions::NONE,
        };
        Gpu {
            device,
            queue,
            info,
            limits,
            variant,
            inputs,
            offer,
            extensions: Mutex::new(extensions),
            step_layout,
            pipelines: Mutex::default(),
            layouts: Mutex::default(),
            shared: Mutex::default(),
            health,
        }
    }

    /// What kernels that are made from now on use.
    pub fn extensions(&self) -> Extensions {
        *self.extensions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses them.
    pub(crate) fn set_extensions(&self, extensions: Extensions) {
        *self.extensions.lock().unwrap_or_else(PoisonError::into_inner) = extensions;
    }

    /// All of it by name.
    pub fn kernels(&self) -> Kernels {
        Kernels { variant: self.variant, inputs: self.inputs, extensions: self.extensions() }
    }

    /// Rounds that a fold over so many invocations takes with the smallest subgroups of the adapter.
    pub fn rounds(&self, lanes: u32) -> u32 {
        lanes.ilog2().div_ceil(self.info.subgroup_min_size.max(2).ilog2())
    }

    /// Why nothing more can be expected of the device, if so.
    pub fn failure(&self) -> Option<DeviceError> {
        let set = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        if set(&self.health.lost) {
            Some(DeviceError::Lost)
        } else if set(&self.health.out_of_memory) {
            Some(DeviceError::OutOfMemory)
        } else if set(&self.health.rejected) {
            Some(DeviceError::Rejected)
        } else {
            None
        }
    }

    /// What the driver said of the first failure.
    pub fn message(&self) -> Option<String> {
        self.health.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `make` and turns errors of the device into a refusal.
    ///
    /// # Errors
    /// What `make` returns, or [`PrepareError::Device`].
    pub fn checked<R>(&self, make: impl FnOnce() -> Result<R, PrepareError>) -> Result<R, PrepareError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        let caught = [
            (validation.pop(), DeviceError::Rejected),
            (internal.pop(), DeviceError::Rejected),
            (memory.pop(), DeviceError::OutOfMemory),
        ]
        .map(|(scope, kind)| (pollster::block_on(scope), kind));
        // A buffer that was not had makes the calls behind it invalid: the shortage is the reason.
        for (error, kind) in caught.into_iter().rev() {
            if let Some(error) = error {
                self.health.note(error.to_string());
                return Err(PrepareError::Device(self.failure().unwrap_or(kind)));
            }
        }
        match self.failure() {
            Some(error) => Err(PrepareError::Device(error)),
            None => made,
        }
    }

    /// A buffer of `bytes`, rounded up to a multiple of 16 and to what kernels rely on, zeroed.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`] of `what`, or of [`Resource::BindingBytes`] where it is to be bound.
    pub fn buffer(
        &self,
        what: Resource,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, PrepareError> {
        let bound = usage.intersects(wgpu::BufferUsages::STORAGE);
        let most = self.limits.max_buffer_size;
        let most_bound = most.min(self.limits.max_storage_buffer_binding_size);
        let too_large = |what, available| Err(PrepareError::TooLarge { what, needed: bytes, available });
        let Some(size) = bytes.max(LEAST_BYTES).checked_next_multiple_of(16).filter(|&size| size <= most)
        else {
            return too_large(what, most);
        };
        if bound && size > most_bound {
            return too_large(Resource::BindingBytes, most_bound);
        }
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        Ok(self.device.create_buffer(&descriptor))
    }

    /// The pipeline of a shader's entry point, made once. Group 0 is the step's, group 1 holds the
    /// bindings.
    pub fn pipeline(&self, source: &str, entry: &str, bindings: &[Binding]) -> wgpu::ComputePipeline {
        self.named_pipeline(source, entry, bindings, || source.to_string())
    }

    /// As [`Gpu::pipeline`], where the source takes time to put together: `name` says all that it depends
    /// on, and `source` is called once.
    pub fn named_pipeline(
        &self,
        name: &str,
        entry: &str,
        bindings: &[Binding],
        source: impl FnOnce() -> String,
    ) -> wgpu::ComputePipeline {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_string(), entry.to_string(), bindings.to_vec());
        pipelines.entry(key).or_insert_with(|| self.make_pipeline(&source(), entry, bindings)).clone()
    }

    fn make_pipeline(&self, source: &str, entry: &str, bindings: &[Binding]) -> wgpu::ComputePipeline {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(entry),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&self.layouts(bindings).pipeline),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }

    /// Group 0 of every pipeline, of a step's buffer.
    pub fn step_group(&self, step: &wgpu::Buffer) -> wgpu::BindGroup {
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &self.step_layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: step.as_entire_binding() }],
        })
    }

    fn layouts(&self, bindings: &[Binding]) -> Layouts {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        let made = layouts.entry(bindings.to_vec()).or_insert_with(|| {
            let group = layout(&self.device, bindings);
            let pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&self.step_layout), Some(&group)],
                immediate_size: 0,
            });
            Layouts { group, pipeline }
        });
        made.clone()
    }

    /// Group 1 of a pipeline with these bindings: these runs of buffers, in order.
    pub fn group(&self, bindings: &[Binding], runs: &[wgpu::BufferBinding<'_>]) -> wgpu::BindGroup {
        let entries: Vec<_> = runs
            .iter()
            .zip(0..)
            .map(|(run, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(run.clone()),
            })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layouts(bindings).group,
            entries: &entries,
        })
    }

    /// As [`Gpu::group`], made once until [`Gpu::forget`].
    pub fn shared_group(&self, bindings: &[Binding], runs: &[wgpu::BufferBinding<'_>]) -> wgpu::BindGroup {
        let key = |run: &wgpu::BufferBinding<'_>| (run.buffer.clone(), run.offset, run.size);
        let key = (bindings.to_vec(), runs.iter().map(key).collect());
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.groups.entry(key).or_insert_with(|| self.group(bindings, runs)).clone()
    }

    /// A storage buffer of these few bytes, made once until [`Gpu::forget`].
    pub fn constants(&self, bytes: &[u8]) -> wgpu::Buffer {
        let make = || {
            // Not `create_buffer_init`: that one panics where the device has no memory left.
            let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: (bytes.len() as u64).max(LEAST_BYTES),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.queue.write_buffer(&buffer, 0, bytes);
            buffer
        };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.constants.entry(bytes.to_vec()).or_insert_with(make).clone()
    }

    /// Lets go of what was kept to be shared: the dispatches of a model are made.
    pub fn forget(&self) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Shared::default();
    }
}

fn layout(device: &wgpu::Device, bindings: &[Binding]) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = bindings
        .iter()
        .zip(0..)
        .map(|(kind, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: *kind != Binding::Write },
                has_dynamic_offset: *kind == Binding::Slot,
                min_binding_size: wgpu::BufferSize::new(LEAST_BYTES),
            },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}
