//! Which device computes where nobody says: the fastest, measured once per machine and remembered.
//!
//! * [`Machine`]: what of a machine decides, told without loading a driver.
//! * [`measure`]: the work that is timed.
//! * [`Remembered`]: the file.
//! * [`candidates`] and [`fastest`]: what is measured, and who wins.
//!
//! Most machines have no GPU. There nothing is measured, no driver is loaded and nothing is printed: the
//! CPU computes, as if it were the only backend. Where a GPU may be, the measurement runs in another
//! process (`agentos devices --measure`), so that neither its memory nor a driver that hangs or crashes is
//! any matter of the one that is to answer.

mod machine;
mod measure;
mod remembered;

pub use machine::Machine;
pub use measure::{MeasureError, measure};
pub use remembered::{FILE_NAME, Remembered, read, write};

use agentos_wgpu::Found;
use serde::{Deserialize, Serialize};

use crate::device::{Backend, Device, DeviceOptions};

/// A device that was timed, or could not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What `--backend` takes to have it.
    pub backend: String,
    /// The adapter; `None` for the CPU.
    pub adapter: Option<Adapter>,
    /// Its kernels.
    pub variant: String,
    /// Threads that share its work.
    pub threads: u32,
    /// Milliseconds of the work; `None` where it failed.
    pub ms: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An adapter as it is told from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// Its driver, with the version.
    pub driver: String,
    /// The interface that the driver offers.
    pub api: String,
}

impl Adapter {
    /// What tells a found adapter from others.
    pub fn of(found: &Found) -> Adapter {
        let info = &found.info;
        Adapter {
            name: info.name.clone(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            api: info.backend.to_string(),
        }
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.adapter {
            Some(adapter) => {
                write!(f, "{} ({}, {}, {})", self.backend, adapter.name, adapter.api, self.variant)
            }
            None => write!(f, "{} ({}, {} threads)", self.backend, self.variant, self.threads),
        }
    }
}

/// The backend and adapter of the fastest device; the first of several that are equal. `None` where none
/// could be timed.
pub fn fastest(measured: &[Measured]) -> Option<&Measured> {
    let timed = measured.iter().filter_map(|one| Some((one.ms.filter(|ms| ms.is_finite())?, one)));
    timed.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, one)| one)
}

/// What is timed, the CPU first: an adapter that is software on this very CPU is slower than its own
/// kernels, and is not even tried.
pub fn candidates(adapters: &[Found]) -> Vec<DeviceOptions> {
    let hardware = adapters.iter().enumerate().filter(|(_, found)| is_hardware(found));
    let on = |(index, _): (usize, &Found)| DeviceOptions {
        backend: Backend::Wgpu,
        adapter: Some(index.to_string()),
        ..DeviceOptions::cpu()
    };
    std::iter::once(DeviceOptions::cpu()).chain(hardware.map(on)).collect()
}

fn is_hardware(found: &Found) -> bool {
    !format!("{:?}", found.info.device_type).eq_ignore_ascii_case("cpu")
}

/// Times every candidate. A device that fails is told with the reason and never chosen.
pub fn measure_all(adapters: &[Found]) -> Vec<Measured> {
    let time = |options: DeviceOptions| {
        let index: Option<usize> = options.adapter.as_deref().and_then(|index| index.parse().ok());
        let adapter = index.and_then(|index| adapters.get(index)).map(Adapter::of);
        let (caps, outcome) = match Device::open(&options) {
            Ok(mut device) => {
                let outcome = measure(device.tensor_device()).map_err(|error| error.to_string());
                // Only now: kernels may be chosen for the model.
                (Some(device.tensor_device().caps()), outcome)
            }
            Err(error) => (None, Err(error.to_string())),
        };
        Measured {
            backend: options.backend.name().to_owned(),
            adapter,
            variant: caps.map_or_else(String::new, |caps| caps.variant.to_owned()),
            threads: caps.map_or(0, |caps| caps.threads),
            ms: outcome.as_ref().ok().map(|time| time.as_secs_f64() * 1e3),
            error: outcome.err(),
        }
    };
    candidates(adapters).into_iter().map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(backend: &str, ms: Option<f64>) -> Measured {
        let (variant, error) = ("x".to_owned(), ms.is_none().then(|| "lost".to_owned()));
        Measured { backend: backend.to_owned(), adapter: None, variant, threads: 1, ms, error }
    }

    #[test]
    fn the_fastest_that_could_be_timed_wins_and_the_first_of_equals() {
        let winner = |all: &[Measured]| fastest(all).map(|one| one.backend.clone());
        let cpu = || measured("cpu", Some(60.0));
        assert_eq!(winner(&[cpu(), measured("wgpu", Some(12.0))]).as_deref(), Some("wgpu"));
        assert_eq!(winner(&[cpu(), measured("wgpu", Some(60.0))]).as_deref(), Some("cpu"));
        assert_eq!(winner(&[cpu(), measured("wgpu", None)]).as_deref(), Some("cpu"));
        assert_eq!(winner(&[cpu(), measured("wgpu", Some(f64::NAN))]).as_deref(), Some("cpu"));
        assert_eq!(winner(&[measured("cpu", None)]), None);
    }

    #[test]
    fn software_adapters_are_not_tried() {
        let adapters = agentos_wgpu::adapters();
        let hardware = adapters.iter().filter(|found| is_hardware(found)).count();
        let tried = candidates(&adapters);
        assert_eq!(tried.len(), 1 + hardware);
        assert_eq!((tried[0].backend, &tried[0].adapter), (Backend::Cpu, &None));
        for options in &tried[1..] {
            let index: usize = options.adapter.as_deref().unwrap().parse().unwrap();
            assert!(!adapters[index].info.name.contains("llvmpipe"));
        }
    }
}
