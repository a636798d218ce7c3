//! Finding adapters and opening one.

use std::fmt;

use agentos_hal::Inputs;

use crate::gpu::{Gpu, Offer};
use crate::profile;
use crate::variant::{self, Extensions, Kernels, Variant};

/// Which adapter to open, and how.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// A position in [`adapters`], or a part of a name in any case; `None`: the first of the best kind
    /// (discrete, integrated, virtual, software).
    pub adapter: Option<String>,
    /// The kernels; `None`: those that fit the kind of device, with the extensions that pay when a model is
    /// prepared.
    pub kernels: Option<Kernels>,
    /// Whether kernels are to be timed, where the adapter can.
    pub timestamps: bool,
    /// Limits to ask for instead of the adapter's own; for tests.
    pub limits: Option<wgpu::Limits>,
}

/// An adapter, as users choose one.
#[derive(Clone, Debug)]
pub struct Found {
    /// What the driver says of it.
    pub info: wgpu::AdapterInfo,
    /// Its limits.
    pub limits: wgpu::Limits,
    /// Its features.
    pub features: wgpu::Features,
    /// The kernels it gets unless others are asked for.
    pub variant: Variant,
    /// The extensions that they can use on it.
    pub extensions: Extensions,
}

impl Found {
    /// Whether it has all that these kernels use.
    pub fn runs(&self, kernels: Kernels) -> bool {
        fitting(kernels, &self.features, Extensions::of(self.features, &self.info)) == kernels
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {:?}, {})",
            self.info.name,
            self.info.backend,
            self.info.device_type,
            self.variant.name()
        )
    }
}

/// Why no device could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No driver offers an adapter.
    NoAdapter,
    /// No adapter has this position or name.
    Unknown {
        /// What was asked for.
        asked: String,
        /// The adapters there are.
        names: Vec<String>,
    },
    /// The adapter offers less than every kernel needs.
    TooWeak {
        /// Its name.
        name: String,
        /// The limit that it falls short of.
        limit: &'static str,
        /// What is needed.
        needed: u64,
        /// What it has.
        available: u64,
    },
    /// The adapter has not all that the kernels use.
    Lacks {
        /// Its name.
        name: String,
        /// What was asked for.
        asked: Kernels,
        /// What it has of it.
        fits: Kernels,
    },
    /// The driver gave no device.
    Refused {
        /// The adapter's name.
        name: String,
        /// What the driver said.
        message: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoAdapter => f.write_str(
                "no Vulkan, Metal or DX12 driver offers an adapter; a software one would do (Debian: mesa-vulkan-drivers)",
            ),
            OpenError::Unknown { asked, names } => {
                write!(f, "there is no adapter {asked:?}; there are:")?;
                names.iter().enumerate().try_for_each(|(index, name)| write!(f, " {index} = {name};"))
            }
            OpenError::TooWeak { name, limit, needed, available } => {
                write!(f, "{name}: {limit} is {available}; the kernels need {needed}")
            }
            OpenError::Lacks { name, asked, fits } => {
                write!(f, "{name} has not all that the kernels {asked} use; {fits} would fit")
            }
            OpenError::Refused { name, message } => write!(f, "{name} gives no device: {message}"),
        }
    }
}

impl std::error::Error for OpenError {}

fn all() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// Every adapter, in the order in which the drivers list them.
pub fn adapters() -> Vec<Found> {
    all().iter().map(found).collect()
}

fn found(adapter: &wgpu::Adapter) -> Found {
    let info = adapter.get_info();
    let (variant, features) = (Variant::for_device(info.device_type), adapter.features());
    let extensions = Extensions::of(features, &info).and(variant.uses());
    Found { info, limits: adapter.limits(), features, variant, extensions }
}

/// Opens a device.
///
/// # Errors
/// Any [`OpenError`].
pub fn open(choice: &Choice) -> Result<Gpu, OpenError> {
    let adapters = all();
    let adapter = pick(&adapters, choice.adapter.as_deref())?;
    let info = adapter.get_info();
    let limits = choice.limits.clone().unwrap_or_else(|| adapter.limits());
    check(&info.name, &limits)?;
    let offer = offer(&adapter.features(), &info, choice)?;
    let usual = Kernels::from(Variant::for_device(info.device_type));
    let Kernels { variant, inputs, .. } = choice.kernels.unwrap_or(usual);
    let timed = if choice.timestamps { profile::FEATURES } else { wgpu::Features::empty() };
    let wanted = Extensions::FEATURES | variant::features(inputs) | timed;
    let request = adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("agentos"),
        required_features: adapter.features() & wanted,
        required_limits: limits,
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
    });
    let (device, queue) = pollster::block_on(request)
        .map_err(|error| OpenError::Refused { name: info.name.clone(), message: error.to_string() })?;
    Ok(Gpu::new(device, queue, info, (variant, inputs), offer))
}

/// What kernels may use of an adapter, or have to.
fn offer(features: &wgpu::Features, info: &wgpu::AdapterInfo, choice: &Choice) -> Result<Offer, OpenError> {
    let has = Extensions::of(*features, info);
    match choice.kernels {
        None => Ok(Offer::Tuned(has.and(Variant::for_device(info.device_type).uses()))),
        Some(asked) => match fitting(asked, features, has) {
            fits if fits == asked => Ok(Offer::Pinned(asked.extensions)),
            fits => Err(OpenError::Lacks { name: info.name.clone(), asked, fits }),
        },
    }
}

/// What an adapter with these features and extensions has of some kernels.
fn fitting(asked: Kernels, features: &wgpu::Features, has: Extensions) -> Kernels {
    let takes = features.contains(variant::features(asked.inputs));
    let inputs = if takes { asked.inputs } else { Inputs::F32 };
    Kernels { inputs, extensions: has.and(asked.extensions), ..asked }
}

fn pick<'a>(adapters: &'a [wgpu::Adapter], asked: Option<&str>) -> Result<&'a wgpu::Adapter, OpenError> {
    let Some(asked) = asked else {
        return adapters
            .iter()
            .min_by_key(|adapter| rank(adapter.get_info().device_type))
            .ok_or(OpenError::NoAdapter);
    };
    if let Some(adapter) = asked.parse().ok().and_then(|index: usize| adapters.get(index)) {
        return Ok(adapter);
    }
    let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let part = asked.to_lowercase();
    match names.iter().position(|name| name.to_lowercase().contains(&part)) {
        Some(index) => Ok(&adapters[index]),
        None if names.is_empty() => Err(OpenError::NoAdapter),
        None => Err(OpenError::Unknown { asked: asked.to_string(), names }),
    }
}

/// Smaller is better.
fn rank(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// What every kernel relies on. Sizes of buffers are checked when a model is prepared.
fn check(name: &str, limits: &wgpu::Limits) -> Result<(), OpenError> {
    let needed = [
        ("max_storage_buffers_per_shader_stage", 8, u64::from(limits.max_storage_buffers_per_shader_stage)),
        ("max_bind_groups", 2, u64::from(limits.max_bind_groups)),
        (
            "max_compute_invocations_per_workgroup",
            256,
            u64::from(limits.max_compute_invocations_per_workgroup),
        ),
        ("max_compute_workgroup_size_x", 256, u64::from(limits.max_compute_workgroup_size_x)),
        (
            "max_compute_workgroup_storage_size",
            16 << 10,
            u64::from(limits.max_compute_workgroup_storage_size),
        ),
        (
            "max_compute_workgroups_per_dimension",
            65_535,
            u64::from(limits.max_compute_workgroups_per_dimension),
        ),
    ];
    match needed.into_iter().find(|&(_, needed, available)| available < needed) {
        Some((limit, needed, available)) => {
            Err(OpenError::TooWeak { name: name.to_string(), limit, needed, available })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_half_precision_has_kernels_in_single() {
        let asked: Kernels = "groups+f16+halves".parse().expect("a name that there is");
        let halves = Extensions { halves: true, ..Extensions::NONE };
        assert_eq!(fitting(asked, &wgpu::Features::SHADER_F16, halves), asked);
        let fits = fitting(asked, &wgpu::Features::empty(), halves);
        assert_eq!(fits.name(), "groups+halves");
    }
}
