//! The tensor devices of this host, by the names that `--backend` takes.

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_hal::{Footprint, Inputs, Limits, PrepareError, TensorDevice, WeightSource};
use agentos_kernel::model::Model;
use agentos_opencl::{OpenClDevice, OpenError};
use agentos_reference::Reference;
use agentos_wgpu::{Kernels, Tuning, WgpuDevice};

use std::task::Poll;

use crate::host;

/// Asks a device again until it has an answer.
pub fn until_ready<T>(mut ask: impl FnMut() -> Poll<T>) -> T {
    loop {
        match ask() {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Which device is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// SIMD kernels on all cores.
    Cpu,
    /// A GPU through Vulkan, Metal or DX12.
    Wgpu,
    /// A graphics card of any vendor through OpenCL, or the processor through PoCL.
    #[value(name = "opencl")]
    OpenCl,
    /// Scalar arithmetic on one core, nearly exact and very slow: what the others are measured against.
    Reference,
}

/// Which of the CPU's kernels are to be used. AVX-512 and AVX2 give the same bits; portable ones differ
/// from them in the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IsaChoice {
    /// The best that this machine has.
    Auto,
    /// AVX-512 with VNNI.
    Avx512Vnni,
    /// AVX-512 without VNNI.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// What every machine has.
    Portable,
}

/// What matrix products make of their inputs where weights are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Activations {
    /// 16-bit integers with a scale for each 32: fast, and within 2^-16 of the greatest of the 32.
    Int16,
    /// Single precision.
    F32,
}

/// What a device is opened with.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// Which device.
    pub backend: Backend,
    /// Which adapter of the backend: its number in `agentos devices`, or a part of its name in any case;
    /// `None` for the best.
    pub adapter: Option<String>,
    /// Threads that share the work; `None` for one per core. The reference takes one.
    pub threads: Option<usize>,
    /// Which kernels.
    pub isa: IsaChoice,
    /// Which of a GPU's kernels; `None` for those that pay.
    pub kernels: Option<Kernels>,
    /// What matrix products make of their inputs. The reference keeps them as they are.
    pub activations: Activations,
    /// Whether kernels are to be timed on the device, where it can.
    pub timestamps: bool,
}

impl DeviceOptions {
    /// The CPU with all that it has: a thread per core, its best kernels, and inputs as they usually are.
    pub const fn cpu() -> DeviceOptions {
        DeviceOptions {
            backend: Backend::Cpu,
            adapter: None,
            threads: None,
            isa: IsaChoice::Auto,
            kernels: None,
            activations: Activations::Int16,
            timestamps: false,
        }
    }
}

/// A device that is open.
pub enum Device {
    /// See [`Backend::Cpu`].
    Cpu(Box<CpuDevice<SystemMemory, Pool>>),
    /// See [`Backend::Wgpu`].
    Wgpu(Box<WgpuDevice>),
    /// See [`Backend::OpenCl`].
    OpenCl(Box<OpenClDevice>),
    /// See [`Backend::Reference`].
    Reference(Box<Reference>),
}

/// Why a device cannot be opened, or not take a model.
#[derive(Debug)]
pub enum OpenDeviceError {
    /// This machine lacks the instruction set.
    Isa {
        /// What was asked for.
        asked: IsaChoice,
    },
    /// The system starts no thread.
    Threads {
        /// How many were asked for.
        asked: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The adapter is none, or gives no device.
    Adapter(agentos_wgpu::OpenError),
    /// An adapter was named for a backend that has none.
    NoAdapters {
        /// The backend.
        backend: Backend,
    },
    /// There is no OpenCL device.
    OpenCl(OpenError),
    /// The model and its context need more memory than there is.
    Memory {
        /// What they need.
        needed: Footprint,
        /// Bytes that the machine can give.
        available: u64,
    },
    /// The device refuses the model.
    Prepare(PrepareError),
}

impl std::fmt::Display for OpenDeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenDeviceError::Isa { asked } => {
                write!(f, "this machine has no {}; --isa takes", isa_name(*asked))?;
                std::iter::once("auto")
                    .chain(isas())
                    .enumerate()
                    .try_for_each(|(index, name)| write!(f, "{} {name}", if index == 0 { "" } else { "," }))
            }
            OpenDeviceError::Threads { asked, source } => {
                write!(f, "cannot start {asked} threads: {source}; a smaller --threads may fit")
            }
            OpenDeviceError::Adapter(error) => error.fmt(f),
            OpenDeviceError::NoAdapters { backend } => {
                write!(f, "the backend {} has no adapters to choose from; --backend wgpu has", backend.name())
            }
            OpenDeviceError::OpenCl(error) => error.fmt(f),
            OpenDeviceError::Memory { needed, available } => write!(
                f,
                "the model needs {} MB for weights, {} MB for keys and values and {} MB of scratch, and this \
                 machine can give {} MB; a smaller --ctx or a smaller model would fit",
                needed.weights / MEGA,
                needed.pages / MEGA,
                needed.scratch / MEGA,
                available / MEGA
            ),
            OpenDeviceError::Prepare(error) => write!(f, "the device refuses the model: {error}"),
        }
    }
}

impl std::error::Error for OpenDeviceError {}

const MEGA: u64 = 1_000_000;

impl Device {
    /// Opens a device without a model.
    ///
    /// # Errors
    /// [`OpenDeviceError::Isa`], [`OpenDeviceError::Threads`], [`OpenDeviceError::Adapter`],
    /// [`OpenDeviceError::NoAdapters`], [`OpenDeviceError::OpenCl`].
    pub fn open(options: &DeviceOptions) -> Result<Device, OpenDeviceError> {
        if options.adapter.is_some() && !options.backend.has_adapters() {
            return Err(OpenDeviceError::NoAdapters { backend: options.backend });
        }
        match options.backend {
            Backend::Cpu => {
                let isa = isa(options.isa)?;
                let asked = options.threads.unwrap_or_else(cores);
                let pool = Pool::new(asked).map_err(|source| OpenDeviceError::Threads { asked, source })?;
                let device = CpuDevice::new(SystemMemory::default(), pool, isa);
                Ok(Device::Cpu(Box::new(device.with_inputs(options.activations.inputs()))))
            }
            Backend::Wgpu => {
                let choice = agentos_wgpu::Choice {
                    adapter: options.adapter.clone(),
                    kernels: options.kernels,
                    timestamps: options.timestamps,
                    ..Default::default()
                };
                let device = WgpuDevice::open(choice).map_err(OpenDeviceError::Adapter)?;
                Ok(Device::Wgpu(Box::new(device)))
            }
            Backend::OpenCl => {
                let device = OpenClDevice::new().map_err(OpenDeviceError::OpenCl)?;
                Ok(Device::OpenCl(Box::new(device)))
            }
            Backend::Reference => {
                let available = host::available_bytes().unwrap_or(u64::MAX);
                Ok(Device::Reference(Box::new(Reference::new(available))))
            }
        }
    }

    /// The memory that [`Device::prepare`] would take. The CPU tells without taking it; the others have to
    /// be prepared.
    ///
    /// # Errors
    /// [`OpenDeviceError::Prepare`].
    pub fn footprint(
        &mut self,
        model: &Model,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, OpenDeviceError> {
        match self {
            Device::Cpu(device) => device.footprint(model.program, &model.shape, limits, weights),
            Device::Wgpu(device) => device.prepare(model.program, &model.shape, limits, weights),
            Device::OpenCl(device) => device.prepare(model.program, &model.shape, limits, weights),
            Device::Reference(device) => device.prepare(model.program, &model.shape, limits, weights),
        }
        .map_err(OpenDeviceError::Prepare)
    }

    /// Gives the device a model. What does not fit in memory is refused before any of it is taken.
    ///
    /// # Errors
    /// [`OpenDeviceError::Memory`], [`OpenDeviceError::Prepare`].
    pub fn prepare(
        &mut self,
        model: &Model,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, OpenDeviceError> {
        if let Device::Cpu(_) = self
            && let Some(available) = host::available_bytes()
        {
            let needed = self.footprint(model, limits, weights)?;
            if total(&needed) > available {
                return Err(OpenDeviceError::Memory { needed, available });
            }
        }
        self.tensor_device()
            .prepare(model.program, &model.shape, limits, weights)
            .map_err(OpenDeviceError::Prepare)
    }

    /// The adapter that it is, by its own name; `None` for a backend without adapters.
    pub fn adapter(&self) -> Option<String> {
        match self {
            Device::Wgpu(device) => Some(device.gpu().info.name.clone()),
            Device::Cpu(_) | Device::OpenCl(_) | Device::Reference(_) => None,
        }
    }

    /// How the kernels of its model were chosen; `None` where there was no choice.
    pub fn tuning(&self) -> Option<&Tuning> {
        match self {
            Device::Wgpu(device) => device.tuning(),
            Device::Cpu(_) | Device::OpenCl(_) | Device::Reference(_) => None,
        }
    }

    /// The device as the kernel sees it.
    pub fn tensor_device(&mut self) -> &mut dyn TensorDevice {
        match self {
            Device::Cpu(device) => device.as_mut(),
            Device::Wgpu(device) => device.as_mut(),
            Device::OpenCl(device) => device.as_mut(),
            Device::Reference(device) => device.as_mut(),
        }
    }
}

impl Backend {
    /// The name that `--backend` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Cpu => "cpu",
            Backend::Wgpu => "wgpu",
            Backend::OpenCl => "opencl",
            Backend::Reference => "reference",
        }
    }

    /// Whether there may be several of its devices in a machine.
    pub const fn has_adapters(self) -> bool {
        matches!(self, Backend::Wgpu)
    }
}

impl Activations {
    fn inputs(self) -> Inputs {
        match self {
            Activations::Int16 => Inputs::Int16,
            Activations::F32 => Inputs::F32,
        }
    }
}

fn total(footprint: &Footprint) -> u64 {
    footprint.weights.saturating_add(footprint.pages).saturating_add(footprint.scratch)
}

/// Threads that this process can run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The CPU's kernels that this machine can run, best first, by the names that `--isa` takes.
pub fn isas() -> impl Iterator<Item = &'static str> {
    Isa::all().map(|isa| isa_name(choice(isa)))
}

fn isa(asked: IsaChoice) -> Result<Isa, OpenDeviceError> {
    if asked == IsaChoice::Auto {
        return Ok(Isa::best());
    }
    Isa::all().find(|&isa| choice(isa) == asked).ok_or(OpenDeviceError::Isa { asked })
}

const fn choice(isa: Isa) -> IsaChoice {
    match isa {
        Isa::Avx512Vnni => IsaChoice::Avx512Vnni,
        Isa::Avx512 => IsaChoice::Avx512,
        Isa::Avx2 => IsaChoice::Avx2,
        Isa::Portable => IsaChoice::Portable,
    }
}

const fn isa_name(choice: IsaChoice) -> &'static str {
    match choice {
        IsaChoice::Auto => "auto",
        IsaChoice::Avx512Vnni => "avx512-vnni",
        IsaChoice::Avx512 => "avx512",
        IsaChoice::Avx2 => "avx2",
        IsaChoice::Portable => "portable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_asked_of_a_backend_that_has_some() {
        let options =
            DeviceOptions { adapter: Some("0".to_owned()), threads: Some(1), ..DeviceOptions::cpu() };
        let error = Device::open(&options).err().unwrap();
        assert_eq!(error.to_string(), "the backend cpu has no adapters to choose from; --backend wgpu has");
    }

    #[test]
    fn a_missing_instruction_set_is_refused_with_those_there_are() {
        let message = OpenDeviceError::Isa { asked: IsaChoice::Avx512 }.to_string();
        assert!(message.starts_with("this machine has no avx512; --isa takes auto, "), "{message}");
        assert!(message.ends_with("portable"), "{message}");
        assert_eq!(isa(IsaChoice::Portable).unwrap(), Isa::Portable);
        assert_eq!(isa(IsaChoice::Auto).unwrap(), Isa::best());
    }
}
