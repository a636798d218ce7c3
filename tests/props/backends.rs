//! The devices that the properties hold on.

use std::task::Poll;

use agentos_cpu::{CpuDevice, Isa, Solo, SystemMemory};
use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DeviceError, Footprint, Limits, MaskError, ModelShape, PageError, PageId, PrepareError, Program,
    Step, StepReport, SubmitError, TensorDevice, WeightSource,
};
use agentos_opencl::OpenClDevice;
use agentos_wgpu::{Choice, Extensions, Kernels, Variant, WgpuDevice, adapters};

use super::{
    chunks_change_nothing, every_token_of_the_prompt_has_its_effect, faults_change_nothing, hold, reference,
};

type Opened = Option<Box<dyn TensorDevice>>;

/// One line adds a backend: its name, how often each property is tried, and how it is opened.
macro_rules! hold_on {
    ($($backend:ident, $tries:literal, $open:expr;)*) => {$(
        mod $backend {
            use super::*;

            #[test]
            fn chunks() {
                hold($open, $tries, chunks_change_nothing);
            }

            #[test]
            fn faults() {
                hold($open, $tries, faults_change_nothing);
            }

            #[test]
            fn tokens() {
                hold($open, $tries, every_token_of_the_prompt_has_its_effect);
            }
        }
    )*};
}

// A software driver takes a millisecond or two for a step, and a tenth of a second to come back from a loss.
hold_on! {
    scalar, 24, Some(Box::new(reference()));
    cpu, 24, cpu();
    wgpu_rows, 3, wgpu(Variant::Rows);
    wgpu_groups, 2, wgpu(Variant::Groups);
    opencl, 6, opencl();
}

fn cpu() -> Opened {
    Some(Box::new(CpuDevice::new(SystemMemory::default(), Solo, Isa::best())))
}

/// The first adapter, with all extensions that it has.
fn wgpu(variant: Variant) -> Opened {
    let Some(found) = adapters().into_iter().next() else { return missing("no adapter") };
    let extensions = Extensions::of(found.features, &found.info).and(variant.uses());
    let kernels = Some(Kernels { extensions, ..variant.into() });
    let choice = Choice { adapter: Some("0".to_owned()), kernels, ..Choice::default() };
    Some(Box::new(WgpuDevice::open(choice).expect("an adapter that is listed opens")))
}

fn opencl() -> Opened {
    match OpenClDevice::new() {
        Ok(device) => Some(Box::new(device)),
        Err(error) => missing(&error.to_string()),
    }
}

fn missing(why: &str) -> Opened {
    assert!(std::env::var_os("AGENTOS_REQUIRE_GPU").is_none(), "AGENTOS_REQUIRE_GPU is set: {why}");
    println!("LEFT OUT: {why}");
    None
}

/// A device that somebody else keeps.
pub struct Lent<'d>(pub &'d mut dyn TensorDevice);

impl TensorDevice for Lent<'_> {
    fn caps(&self) -> Caps {
        self.0.caps()
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.0.prepare(program, shape, limits, weights)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        self.0.submit(step)
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        self.0.allow(mask, words)
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        self.0.poll()
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        self.0.copy_out(page, image)
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        self.0.copy_in(page, image)
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        self.0.copy_pages(pairs)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        self.0.summarise(page, layer, tokens, summary)
    }
}
