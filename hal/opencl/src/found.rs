//! The OpenCL devices of this machine.

use opencl3::device::{
    CL_DEVICE_TYPE_ACCELERATOR, CL_DEVICE_TYPE_ALL, CL_DEVICE_TYPE_CPU, CL_DEVICE_TYPE_GPU, Device,
};
use opencl3::error_codes::{CL_PLATFORM_NOT_FOUND_KHR, ClError, DLOPEN_RUNTIME_LOAD_FAILED};
use opencl3::platform::{Platform, get_platforms};

use crate::error::OpenError;

/// A device, as its driver tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The driver's platform, with its version.
    pub platform: String,
    /// The device's name.
    pub name: String,
    /// The version of its driver.
    pub driver: String,
    /// Of which kind it is.
    pub kind: &'static str,
    /// Its compute units.
    pub units: u32,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// Bytes of the largest buffer.
    pub buffer_bytes: u64,
    /// What it lacks to be used; `None` where nothing.
    pub lacks: Option<&'static str>,
    /// Whether it is the one that is used.
    pub chosen: bool,
}

/// Every device of every platform. None is opened.
///
/// # Errors
/// [`OpenError::NoLoader`], [`OpenError::NoDevice`], [`OpenError::Driver`].
pub fn devices() -> Result<Vec<Found>, OpenError> {
    let failed = |error: ClError| OpenError::Driver { what: "to describe a device", code: error.0 };
    let mut found = Vec::new();
    let chosen = choose().ok().map(|device| device.id());
    for platform in platforms()? {
        for device in of_kind(&platform, CL_DEVICE_TYPE_ALL) {
            let described = describe(&platform, &device, chosen == Some(device.id()));
            found.push(described.map_err(failed)?);
        }
    }
    if found.is_empty() { Err(OpenError::NoDevice) } else { Ok(found) }
}

/// The first graphics card that would do, else the first device.
pub fn choose() -> Result<Device, OpenError> {
    let platforms = platforms()?;
    let mut unfit = OpenError::NoDevice;
    for kind in [CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL] {
        for device in platforms.iter().flat_map(|platform| of_kind(platform, kind)) {
            match lack(&device) {
                Ok(None) => return Ok(device),
                Ok(Some(lacks)) => {
                    unfit = OpenError::Unfit { device: device.name().unwrap_or_default(), lacks }
                }
                Err(ClError(code)) => unfit = OpenError::Driver { what: "to describe a device", code },
            }
        }
    }
    Err(unfit)
}

fn platforms() -> Result<Vec<Platform>, OpenError> {
    get_platforms().map_err(|error| match error.0 {
        DLOPEN_RUNTIME_LOAD_FAILED => OpenError::NoLoader,
        CL_PLATFORM_NOT_FOUND_KHR => OpenError::NoDevice,
        code => OpenError::Driver { what: "to list its platforms", code },
    })
}

/// A platform without such a device answers with an error.
fn of_kind(platform: &Platform, kind: u64) -> Vec<Device> {
    platform.get_devices(kind).unwrap_or_default().into_iter().map(Device::new).collect()
}

fn describe(platform: &Platform, device: &Device, chosen: bool) -> Result<Found, ClError> {
    Ok(Found {
        platform: format!("{} {}", platform.name()?, platform.version()?),
        name: device.name()?,
        driver: device.driver_version()?,
        kind: match device.dev_type()? {
            kind if kind & CL_DEVICE_TYPE_GPU != 0 => "GPU",
            kind if kind & CL_DEVICE_TYPE_ACCELERATOR != 0 => "accelerator",
            kind if kind & CL_DEVICE_TYPE_CPU != 0 => "CPU",
            _ => "other",
        },
        units: device.max_compute_units()?,
        memory_bytes: device.global_mem_size()?,
        buffer_bytes: device.max_mem_alloc_size()?,
        lacks: lack(device)?,
        chosen,
    })
}

fn lack(device: &Device) -> Result<Option<&'static str>, ClError> {
    const ATOMICS: &str = "cl_khr_int64_base_atomics";
    let has_atomics = device.extensions()?.split_whitespace().any(|name| name == ATOMICS);
    Ok([
        (device.available()?, "time for us"),
        (device.compiler_available()?, "compiler"),
        (device.endian_little()?, "little-endian memory"),
        (has_atomics, ATOMICS),
    ]
    .into_iter()
    .find_map(|(has, what)| (!has).then_some(what)))
}
