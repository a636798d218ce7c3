//! `agentos devices`: what can compute on this machine.

use std::fmt::Write as _;
use std::path::PathBuf;

use agentos_wgpu::{Found, Kernels};
use clap::Args;
use serde::Serialize;

use super::choose;
use super::error::CliError;
use super::output;
use crate::choice::{self, Adapter, Machine, Measured, Remembered};
use crate::device;
use crate::fetch::progress::megabytes;
use crate::host::{self, StdConsole};

/// `agentos devices`.
#[derive(Args, Debug)]
pub struct Devices {
    /// Measure anew which device is the fastest, and remember it
    #[arg(long)]
    measure: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Everything that is told: the fields of the JSON object.
#[derive(Debug, Serialize)]
struct Sheet {
    cpu: CpuSheet,
    adapters: Vec<AdapterSheet>,
    opencl: Vec<OpenClSheet>,
    /// Why there is no OpenCL device; null where there is one.
    opencl_error: Option<String>,
    /// What was measured on this machine, now or before; empty where there is only the CPU to choose.
    measured: Vec<Measured>,
    /// The backend of the device that computes where nobody says.
    fastest: String,
    /// Where that is remembered.
    remembered_in: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct CpuSheet {
    name: String,
    threads: usize,
    /// Kernels that it can run, the chosen ones first.
    instruction_sets: Vec<&'static str>,
    /// Memory that it can give, in bytes; null where the system does not tell.
    memory_available: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AdapterSheet {
    index: usize,
    #[serde(flatten)]
    adapter: Adapter,
    kind: String,
    vendor: u32,
    device: u32,
    /// The kernels that it gets.
    variant: &'static str,
    /// All that it can run, by the names that `--kernels` takes.
    kernels: Vec<&'static str>,
    /// Its own memory in bytes; null where the system does not tell.
    memory: Option<u64>,
    limits: Limits,
    features: Features,
    /// Why it cannot be used; null where it can.
    error: Option<String>,
}

/// An OpenCL device.
#[derive(Debug, Serialize)]
struct OpenClSheet {
    name: String,
    platform: String,
    driver: String,
    kind: &'static str,
    compute_units: u32,
    memory: u64,
    buffer_bytes: u64,
    /// Whether it is the one that `--backend opencl` gets.
    chosen: bool,
    /// Why it cannot be used; null where it can.
    error: Option<String>,
}

/// The limits that decide what a model may need.
#[derive(Debug, Serialize)]
struct Limits {
    binding_bytes: u64,
    buffer_bytes: u64,
    storage_buffers: u32,
    workgroup_invocations: u32,
    workgroup_memory_bytes: u32,
}

/// Features that kernels or benchmarks may use.
#[derive(Debug, Serialize)]
struct Features {
    subgroups: bool,
    f16: bool,
    timestamps: bool,
}

impl Devices {
    pub fn run(&self) -> Result<(), CliError> {
        let adapters = agentos_wgpu::adapters();
        let (machine, file) = (Machine::here(), choose::file());
        let cpu = machine.cpu.clone();
        let measured = if self.measure {
            let measured = choice::measure_all(&adapters);
            if let Some(file) = &file {
                let remembered = Remembered { machine, measured: measured.clone() };
                if let Err(error) = choice::write(file, &remembered) {
                    choose::cannot_keep(file, &error);
                }
            }
            measured
        } else {
            file.as_deref().and_then(|file| choice::read(file, &machine)).unwrap_or_default()
        };
        let (opencl, opencl_error) = match agentos_opencl::devices() {
            Ok(devices) => (devices.into_iter().map(opencl).collect(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let sheet = Sheet {
            opencl,
            opencl_error,
            cpu: CpuSheet {
                name: cpu,
                threads: device::cores(),
                instruction_sets: device::isas().collect(),
                memory_available: host::available_bytes(),
            },
            adapters: adapters.iter().enumerate().map(adapter).collect(),
            fastest: choice::fastest(&measured).map_or_else(|| "cpu".to_owned(), |one| one.backend.clone()),
            remembered_in: file.filter(|file| !measured.is_empty() && file.exists()),
            measured,
        };
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            return output::write_json(&mut console, &sheet);
        }
        let mut text = String::new();
        output::push_harmless(&sheet.text(), &mut text);
        output::write_all(&mut console, &text)
    }
}

fn adapter((index, found): (usize, &Found)) -> AdapterSheet {
    let (info, limits) = (&found.info, &found.limits);
    let choice = agentos_wgpu::Choice { adapter: Some(index.to_string()), ..Default::default() };
    let feature = |name: &str| found.features.iter_names().any(|(known, _)| known == name);
    AdapterSheet {
        index,
        adapter: Adapter::of(found),
        kind: format!("{:?}", info.device_type),
        vendor: info.vendor,
        device: info.device,
        variant: found.variant.name(),
        kernels: kernels(found).collect(),
        memory: memory(&info.device_pci_bus_id),
        limits: Limits {
            binding_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            buffer_bytes: limits.max_buffer_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
        },
        features: Features {
            subgroups: feature("SUBGROUP"),
            f16: feature("SHADER_F16"),
            timestamps: feature("TIMESTAMP_QUERY"),
        },
        error: agentos_wgpu::open(&choice).err().map(|error| error.to_string()),
    }
}

/// The sets of kernels that an adapter can run, those that it gets first.
fn kernels(found: &Found) -> impl Iterator<Item = &'static str> {
    let mut sets: Vec<Kernels> = Kernels::all().filter(|set| found.runs(*set)).collect();
    sets.sort_by_key(|set| set.variant != found.variant);
    sets.into_iter().map(Kernels::name)
}

fn opencl(found: agentos_opencl::Found) -> OpenClSheet {
    OpenClSheet {
        name: found.name,
        platform: found.platform,
        driver: found.driver,
        kind: found.kind,
        compute_units: found.units,
        memory: found.memory_bytes,
        buffer_bytes: found.buffer_bytes,
        chosen: found.chosen,
        error: found.lacks.map(|lacks| format!("it has no {lacks}")),
    }
}

/// The memory of a card, which AMD's driver for Linux tells; `None` where nobody does.
fn memory(bus: &str) -> Option<u64> {
    // A driver's text becomes part of a path.
    let plain = !bus.is_empty() && bus.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let path = plain.then(|| format!("/sys/bus/pci/devices/{bus}/mem_info_vram_total"))?;
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl Sheet {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<10} {value}").expect("a text takes all lines");
        };
        let cpu = &self.cpu;
        line("cpu", cpu.name.clone());
        line("", format!("kernels {}", cpu.instruction_sets.join(", ")));
        if let Some(bytes) = cpu.memory_available {
            line("", format!("can give {}", megabytes(bytes)));
        }
        for one in &self.adapters {
            let Adapter { name, driver, api } = &one.adapter;
            line(&format!("wgpu {}", one.index), format!("{name} ({}, {api}, {driver})", one.kind));
            let memory = one.memory.map_or(String::new(), |bytes| format!(", memory {}", megabytes(bytes)));
            line("", format!("kernels {}{memory}", one.kernels.join(", ")));
            let limits = &one.limits;
            line(
                "",
                format!(
                    "{} a binding, {} a buffer, {} storage buffers, {} invocations, {} bytes a workgroup",
                    megabytes(limits.binding_bytes),
                    megabytes(limits.buffer_bytes),
                    limits.storage_buffers,
                    limits.workgroup_invocations,
                    limits.workgroup_memory_bytes
                ),
            );
            let Features { subgroups, f16, timestamps } = one.features;
            let named = [(subgroups, "subgroups"), (f16, "f16"), (timestamps, "timestamps")];
            let has: Vec<&str> = named.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
            line(
                "",
                format!(
                    "has {}",
                    if has.is_empty() { "none of the optional".to_owned() } else { has.join(", ") }
                ),
            );
            if let Some(error) = &one.error {
                line("", format!("cannot be used: {error}"));
            }
        }
        if self.adapters.is_empty() {
            line("wgpu", "no Vulkan, Metal or DX12 driver offers an adapter".to_owned());
        }
        for one in &self.opencl {
            line("opencl", format!("{} ({}, {}, {})", one.name, one.kind, one.platform, one.driver));
            let units = format!("{} compute units", one.compute_units);
            let memory =
                format!("memory {}, {} a buffer", megabytes(one.memory), megabytes(one.buffer_bytes));
            line("", format!("{units}, {memory}{}", if one.chosen { ", chosen" } else { "" }));
            if let Some(error) = &one.error {
                line("", format!("cannot be used: {error}"));
            }
        }
        if let Some(error) = &self.opencl_error {
            line("opencl", error.clone());
        }
        for one in &self.measured {
            let outcome = match (one.ms, &one.error) {
                (Some(ms), _) => format!("{ms:.1} ms for a prompt of 128 tokens and 16 of an answer"),
                (None, error) => error.clone().unwrap_or_default(),
            };
            line("measured", format!("{one}: {outcome}"));
        }
        line("fastest", self.fastest.clone());
        if let Some(path) = &self.remembered_in {
            line("", format!("remembered in {}", path.display()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_s_text_names_no_file_of_its_own() {
        assert_eq!(memory(""), None);
        assert_eq!(memory("../../../../proc/uptime"), None);
    }
}
