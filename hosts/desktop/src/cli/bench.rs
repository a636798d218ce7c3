//! `agentos bench`: how fast the device computes a model, beside what the machine allows, and what the
//! kernel makes of it.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::bench::gpu::{self, StepCost};
use crate::bench::kernel::{Figure, Figures, KERNEL_WORKS, KernelWork};
use crate::bench::{self, BenchError, Bounds, Ceiling, LARGE_WORKS, WORKS, Work};
use crate::device::{Device, DeviceOptions, OpenDeviceError};
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};

/// `agentos bench`.
#[derive(Args, Debug)]
pub struct Bench {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// These works [default: all of the device, up to batch16; those of the kernel take minutes]
    #[arg(long, value_name = "NAME", value_delimiter = ',',
          value_parser = clap::builder::PossibleValuesParser::new(
              WORKS.iter().chain(&LARGE_WORKS).map(|(name, _)| *name)
                  .chain(KERNEL_WORKS.map(|(name, _)| name))))]
    work: Vec<String>,
    /// Runs of each work; the first of them warms up and is not counted where there are more
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Tell what a step of a GPU costs, and time its kernels where it has timestamps
    #[arg(long)]
    ops: bool,
    /// Print one JSON object per work instead of text
    #[arg(long)]
    json: bool,
}

/// What one work of the kernel took: the fields of its JSON object.
#[derive(Debug, Serialize)]
struct KernelSheet {
    work: &'static str,
    threads: u32,
    variant: &'static str,
    load_ms: f64,
    figures: Vec<Figure>,
}

/// What one work of the device took: the fields of its JSON object.
#[derive(Debug, Serialize)]
struct Sheet {
    work: &'static str,
    backend: &'static str,
    /// The adapter; null for the CPU.
    adapter: Option<String>,
    threads: u32,
    variant: &'static str,
    load_ms: f64,
    /// Tokens per second of each counted run.
    samples: Vec<f64>,
    bounds: Bounds,
    ceiling: Ceiling,
    /// What a step costs; null for the CPU, or when it was not asked for.
    step: Option<StepCost>,
}

impl Bench {
    pub fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let options = self.compute.device();
        let mut ceiling = None;
        let named = |name: &str| self.work.iter().any(|chosen| chosen == name);
        let usual = WORKS.into_iter().filter(|(name, _)| self.work.is_empty() || named(name));
        for (name, work) in usual.chain(LARGE_WORKS.into_iter().filter(|(name, _)| named(name))) {
            let sheet = self.measure(name, work, &file, &options, &mut ceiling)?;
            self.print(&path, &sheet)?;
        }
        for (name, open) in KERNEL_WORKS {
            if named(name) {
                let work = open(&file.model.shape, self.kv.kv());
                self.print_kernel(&self.measure_kernel(name, work, &file, &options)?)?;
            }
        }
        Ok(())
    }

    fn measure_kernel(
        &self,
        name: &'static str,
        mut work: Box<dyn KernelWork>,
        file: &ModelFile<'_>,
        options: &DeviceOptions,
    ) -> Result<KernelSheet, CliError> {
        let start = Instant::now();
        let mut device = Device::open(options)?;
        device.prepare(&file.model, &work.limits(), &mut file.weights())?;
        let load_ms = start.elapsed().as_secs_f64() * 1e3;
        let caps = device.tensor_device().caps();
        let mut figures = Figures::default();
        for run in 0..self.runs {
            if run == 1 {
                figures.clear();
            }
            work.run(device.tensor_device(), &mut figures)?;
        }
        let (threads, variant) = (caps.threads, caps.variant);
        Ok(KernelSheet { work: name, threads, variant, load_ms, figures: figures.0 })
    }

    fn measure(
        &self,
        name: &'static str,
        work: Work,
        file: &ModelFile<'_>,
        options: &DeviceOptions,
        ceiling: &mut Option<Ceiling>,
    ) -> Result<Sheet, CliError> {
        let kv = self.kv.kv();
        let start = Instant::now();
        let mut device = Device::open(&DeviceOptions { timestamps: self.ops, ..options.clone() })?;
        let footprint = device.prepare(&file.model, &work.limits(kv), &mut file.weights())?;
        let load_ms = start.elapsed().as_secs_f64() * 1e3;
        let caps = device.tensor_device().caps();
        let ceiling = match *ceiling {
            Some(ceiling) => ceiling,
            None => *ceiling.insert(limits_of(&device, caps.threads)?),
        };
        let shape = &file.model.shape;
        let runs = (0..self.runs).map(|_| work.sample(device.tensor_device(), shape));
        let mut samples = runs.collect::<Result<Vec<f64>, BenchError>>()?;
        if samples.len() > 1 {
            samples.remove(0);
        }
        let step = if self.ops { step_cost(&mut device, work, shape)? } else { None };
        Ok(Sheet {
            work: name,
            backend: caps.backend,
            adapter: device.adapter(),
            threads: caps.threads,
            variant: caps.variant,
            load_ms,
            samples,
            bounds: work.bounds(shape, caps.inputs, footprint.weights, kv, &ceiling),
            ceiling,
            step,
        })
    }

    fn print(&self, path: &Path, sheet: &Sheet) -> Result<(), CliError> {
        let console = &mut StdConsole(std::io::stdout().lock());
        if self.json {
            return output::write_json(console, sheet);
        }
        let bounds = &sheet.bounds;
        let limit = bounds.arithmetic.min(bounds.memory);
        let slowest = sheet.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = sheet.samples.iter().copied().fold(0.0, f64::max);
        let mut text = format!(
            "{:8} {}, {}: {slowest:.1} to {fastest:.1} tok/s, {:.0} to {:.0} % of the {limit:.0} that \
             the machine allows  ({})\n",
            sheet.work,
            sheet.adapter.clone().unwrap_or_else(|| format!("{} threads", sheet.threads)),
            sheet.variant,
            100.0 * slowest / limit,
            100.0 * fastest / limit,
            path.display()
        );
        if let Some(step) = &sheet.step {
            text += &cost_lines(step, fastest / bounds.memory, fastest / bounds.arithmetic);
        }
        output::write_all(console, &text)
    }

    fn print_kernel(&self, sheet: &KernelSheet) -> Result<(), CliError> {
        let console = &mut StdConsole(std::io::stdout().lock());
        if self.json {
            return output::write_json(console, sheet);
        }
        let mut text = format!("{} {} threads, {}:\n", sheet.work, sheet.threads, sheet.variant);
        for Figure { name, unit, samples } in &sheet.figures {
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            text += &format!("  {name}: {least:.3} to {most:.3} {unit} ({} times)\n", samples.len());
        }
        output::write_all(console, &text)
    }
}

/// What the machine can do at best, by the device's own means.
fn limits_of(device: &Device, threads: u32) -> Result<Ceiling, CliError> {
    match device {
        Device::Wgpu(device) => Ok(gpu::measure_ceiling(device.gpu()).map_err(OpenDeviceError::Prepare)?),
        _ => Ok(bench::measure_ceiling(agentos_cpu::Isa::best(), threads as usize)),
    }
}

/// What the steps of a work cost, from a run of their own: timing kernels takes time too.
fn step_cost(
    device: &mut Device,
    work: Work,
    shape: &agentos_hal::ModelShape,
) -> Result<Option<StepCost>, CliError> {
    let Device::Wgpu(device) = device else { return Ok(None) };
    let mut crowd = work.begin(device.as_mut(), shape)?;
    let before = device.traffic();
    let mut encoded = Vec::new();
    for (chunk, wanted) in work.steps() {
        crowd.step(device.as_mut(), chunk, wanted)?;
        encoded.push(device.traffic().last_encode);
    }
    let after = device.traffic();
    device.set_profiling(true);
    let mut crowd = work.begin(device.as_mut(), shape)?;
    work.go(&mut crowd, device.as_mut())?;
    let cost = StepCost::between(&before, &after, &mut encoded, &device.profile());
    device.set_profiling(false);
    Ok(Some(cost))
}

/// Lines below a work's: what a step costs, and what share of the device's limits the fastest run used.
fn cost_lines(step: &StepCost, of_bandwidth: f64, of_arithmetic: f64) -> String {
    let mut text = format!(
        "  a step: {:.0} submission, {:.0} pass, {:.0} dispatches; {:.0} bytes to the device, {:.0} back; encoded in \
         {:.2} ms\n  {:.0} % of the copy bandwidth, {:.0} % of the multiply-adds\n",
        step.submits,
        step.passes,
        step.dispatches,
        step.bytes_written,
        step.bytes_read,
        step.encode_ms,
        100.0 * of_bandwidth,
        100.0 * of_arithmetic
    );
    for op in &step.ops {
        text += &format!("  {:16} {:5} times {:10.1} us\n", op.name, op.dispatches, op.us);
    }
    text
}
