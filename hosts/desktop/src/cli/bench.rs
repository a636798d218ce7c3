//! `agentos bench`: how fast the device computes a model, beside what the machine allows, and what the
//! kernel makes of it.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::bench::kernel::{Figure, Figures, KERNEL_WORKS, KernelWork};
use crate::bench::{self, BenchError, Bounds, Ceiling, WORKS, Work};
use crate::device::Device;
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};

/// `agentos bench`.
#[derive(Args, Debug)]
pub struct Bench {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// These works [default: all of the device, up to batch16; those of the kernel take minutes]
    #[arg(long, value_name = "NAME", value_delimiter = ',',
          value_parser = clap::builder::PossibleValuesParser::new(
              WORKS.map(|(name, _)| name).into_iter().chain(KERNEL_WORKS.map(|(name, _)| name))))]
    work: Vec<String>,
    /// Runs of each work; the first of them warms up and is not counted where there are more
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
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
    threads: u32,
    variant: &'static str,
    load_ms: f64,
    /// Tokens per second of each counted run.
    samples: Vec<f64>,
    bounds: Bounds,
    ceiling: Ceiling,
}

impl Bench {
    pub fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let mut ceiling = None;
        for (name, work) in WORKS {
            if self.work.is_empty() || self.work.iter().any(|chosen| chosen == name) {
                let sheet = self.measure(name, work, &file, &mut ceiling)?;
                self.print(&path, &sheet)?;
            }
        }
        for (name, open) in KERNEL_WORKS {
            if self.work.iter().any(|chosen| chosen == name) {
                let work = open(&file.model.shape, self.kv.kv());
                self.print_kernel(&self.measure_kernel(name, work, &file)?)?;
            }
        }
        Ok(())
    }

    fn measure_kernel(
        &self,
        name: &'static str,
        mut work: Box<dyn KernelWork>,
        file: &ModelFile<'_>,
    ) -> Result<KernelSheet, CliError> {
        let start = Instant::now();
        let mut device = Device::open(&self.compute.device())?;
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
        ceiling: &mut Option<Ceiling>,
    ) -> Result<Sheet, CliError> {
        let kv = self.kv.kv();
        let start = Instant::now();
        let mut device = Device::open(&self.compute.device())?;
        let footprint = device.prepare(&file.model, &work.limits(kv), &mut file.weights())?;
        let load_ms = start.elapsed().as_secs_f64() * 1e3;
        let caps = device.tensor_device().caps();
        let ceiling = *ceiling
            .get_or_insert_with(|| bench::measure_ceiling(agentos_cpu::Isa::best(), caps.threads as usize));
        let shape = &file.model.shape;
        let runs = (0..self.runs).map(|_| work.sample(device.tensor_device(), shape));
        let mut samples = runs.collect::<Result<Vec<f64>, BenchError>>()?;
        if samples.len() > 1 {
            samples.remove(0);
        }
        Ok(Sheet {
            work: name,
            threads: caps.threads,
            variant: caps.variant,
            load_ms,
            samples,
            bounds: work.bounds(shape, caps.inputs, footprint.weights, kv, &ceiling),
            ceiling,
        })
    }

    fn print(&self, path: &Path, sheet: &Sheet) -> Result<(), CliError> {
        let console = &mut StdConsole(std::io::stdout().lock());
        if self.json {
            return output::write_json(console, sheet);
        }
        let limit = sheet.bounds.arithmetic.min(sheet.bounds.memory);
        let slowest = sheet.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = sheet.samples.iter().copied().fold(0.0, f64::max);
        let line = format!(
            "{:8} {} threads, {}: {slowest:.1} to {fastest:.1} tok/s, {:.0} to {:.0} % of the {limit:.0} that \
             the machine allows  ({})\n",
            sheet.work,
            sheet.threads,
            sheet.variant,
            100.0 * slowest / limit,
            100.0 * fastest / limit,
            path.display()
        );
        output::write_all(console, &line)
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
