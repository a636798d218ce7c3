//! A context comes from a store on disk instead of being computed again.

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::{Persist, Priority, Spec};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::admit::SPARE_PAGES;
use agentos_kernel::memory::hash::SliceHash;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::Config;
use agentos_store::{Kind, OpenError, Options, Store};

use super::super::BenchError;
use super::host::{Host, all_over, boot, prompt, spec};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// Tokens of the context.
const TOKENS: u32 = 1024;
const CONTEXT: u32 = TOKENS + 1;

/// Computes a context that the store keeps, and has it come back in a system that knows nothing of it.
pub struct Load {
    vocab: u32,
    page_bytes: usize,
    kind: Kind,
    limits: Limits,
    boot: Boot,
}

impl Load {
    pub fn new(shape: &ModelShape, kv: KvType) -> Load {
        let pages = SliceLimits::DEFAULT.worst_pages(CONTEXT) + SPARE_PAGES;
        let slices = SliceLimits::DEFAULT.worst_slices(CONTEXT);
        let config = Config { kv, cold_slices: slices, ..Config::new(1, CONTEXT, pages, 0) }.checked();
        let packing = Packing::of(shape, kv);
        let root = SliceHash::root(&[0; 32], kv, SliceLimits::DEFAULT);
        let kind = Kind { identity: root.0, packing };
        let limits = config.device_limits(shape);
        let page_bytes = packing.image_bytes();
        Load { vocab: shape.vocab, page_bytes, kind, limits, boot: boot(config, shape) }
    }
}

impl KernelWork for Load {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let folder = tempfile::tempdir().map_err(|error| BenchError::Store(OpenError::Io(error)))?;
        let path = folder.path().join("slices.redb");
        let mut store = Store::open(&path, self.kind, Options::default()).map_err(BenchError::Store)?;
        let tokens = prompt(1, TOKENS, self.vocab);
        let spec = Spec { persist: Persist::Exact, ..spec(1, Priority::NORMAL, CONTEXT, 1) };

        let mut host = Host::with_store(&mut self.boot, &mut *device, &mut store)?;
        let start_us = host.now_us();
        host.spawn(spec, &tokens)?;
        host.until(all_over)?;
        let computed_us = host.now_us() - start_us;
        // What it handed to the store becomes durable.
        host.rest()?;
        drop(host);

        let mut host = Host::with_store(&mut self.boot, device, &mut store)?;
        let start_us = host.now_us();
        host.spawn(spec, &tokens)?;
        host.until_submitted()?;
        let loaded_us = host.now_us() - start_us;
        host.until(all_over)?;
        let came = host.kernel.figures().store;

        let part = came.loaded_tokens as f64 / f64::from(TOKENS);
        figures.note("computed", "ms", computed_us as f64 * part / 1e3);
        figures.note("loaded", "ms", loaded_us as f64 / 1e3);
        figures.note("computed, of loaded", "x", computed_us as f64 * part / loaded_us as f64);
        figures.note("loaded, of context", "%", 100.0 * part);
        figures.note("slices", "", came.loaded as f64);
        figures.note("bytes", "MB", came.loaded_pages as f64 * self.page_bytes as f64 / 1e6);
        figures.note("each 64 tokens", "us", loaded_us as f64 * 64.0 / came.loaded_tokens.max(1) as f64);
        Ok(())
    }
}
