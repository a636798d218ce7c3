//! A prepared device under test, and what it was seen to do.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Candidate, DeviceError, Footprint, Limits, Mass, Outcome, PAGE_TOKENS, PageError, PageId, PrepareError,
    TensorDevice, page,
};

use crate::batch::Batch;
use crate::model::Model;

/// Makes a device.
pub type Make = fn() -> Box<dyn TensorDevice>;

/// A device with a model.
pub struct Rig {
    /// The device.
    pub device: Box<dyn TensorDevice>,
    image_bytes: usize,
    kv_width: usize,
}

/// A report, kept.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// As in `StepReport`.
    pub entropy: Vec<f32>,
    /// As in `StepReport`.
    pub mass: Vec<Mass>,
    /// As in `StepReport`.
    pub outcomes: Vec<Outcome>,
    /// The candidates of each outcome that are of use.
    pub candidates: Vec<Vec<Candidate>>,
    /// As in `StepReport`.
    pub exposed: Vec<f32>,
}

/// Polls that a step may take. A device that needs more hangs.
const PATIENCE: u32 = 10_000_000;

/// Prepares a device.
pub fn prepare(
    device: &mut dyn TensorDevice,
    model: &Model,
    limits: &Limits,
) -> Result<Footprint, PrepareError> {
    device.prepare(&model.program, &model.shape, limits, &mut model.source())
}

/// Polls until the step is over.
pub fn finish(device: &mut dyn TensorDevice) -> Result<Seen, DeviceError> {
    for _ in 0..PATIENCE {
        match device.poll() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(report) => {
                let report = report?;
                return Ok(Seen {
                    entropy: report.entropy.to_vec(),
                    mass: report.mass.to_vec(),
                    outcomes: report.outcomes.to_vec(),
                    candidates: (0..report.outcomes.len())
                        .map(|i| report.candidates_of(i).to_vec())
                        .collect(),
                    exposed: report.exposed.to_vec(),
                });
            }
        }
    }
    Err(DeviceError::Hung)
}

/// Repeats a page operation until it is ready.
pub fn ready(mut operation: impl FnMut() -> Poll<Result<(), PageError>>) -> Result<(), PageError> {
    for _ in 0..PATIENCE {
        match operation() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(result) => return result,
        }
    }
    Err(PageError::Lost)
}

impl Rig {
    /// A device with this model.
    pub fn new(make: Make, model: &Model, limits: &Limits) -> Result<Rig, String> {
        let mut device = make();
        prepare(&mut *device, model, limits).map_err(|error| format!("prepare: {error}"))?;
        let image_bytes = page::image_bytes(&model.shape, limits.kv);
        Ok(Rig { device, image_bytes, kv_width: model.shape.kv_width() as usize })
    }

    /// Runs a step.
    pub fn step(&mut self, batch: &Batch) -> Result<Seen, String> {
        batch.with(|step| self.device.submit(step)).map_err(|error| format!("submit: {error}"))?;
        let seen = finish(&mut *self.device).map_err(|error| format!("poll: {error}"))?;
        let lengths = [
            ("entropies", seen.entropy.len(), batch.rows.len()),
            ("masses", seen.mass.len(), batch.segments.len()),
            (
                "outcomes",
                seen.outcomes.len(),
                batch.rows.iter().filter(|row| row.want != agentos_hal::Want::Nothing).count(),
            ),
        ];
        match lengths.iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                Err(format!("the report has {found} {what}; the step calls for {expected}"))
            }
            None => Ok(seen),
        }
    }

    /// A page's image.
    pub fn image(&mut self, page: PageId) -> Result<Vec<u8>, String> {
        let mut image = vec![0xa5; self.image_bytes];
        ready(|| self.device.copy_out(page, &mut image)).map_err(|error| format!("copy_out: {error}"))?;
        Ok(image)
    }

    /// Fills a page.
    pub fn load(&mut self, page: PageId, image: &[u8]) -> Result<(), String> {
        ready(|| self.device.copy_in(page, image)).map_err(|error| format!("copy_in: {error}"))
    }

    /// A page's mean key and masses.
    pub fn summary(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
    ) -> Result<(Vec<f32>, [Mass; PAGE_TOKENS]), String> {
        let mut mean_key = vec![f32::NAN; self.kv_width];
        let mut mass = [Mass(u64::MAX); PAGE_TOKENS];
        let summarise = || {
            let summary = PageSummary { mean_key: &mut mean_key, mass: &mut mass };
            self.device.summarise(page, layer, tokens, summary)
        };
        ready(summarise).map_err(|error| format!("summarise: {error}"))?;
        Ok((mean_key, mass))
    }
}
