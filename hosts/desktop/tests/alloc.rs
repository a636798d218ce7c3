//! From the first step to the last token, kernel, device and the loop over them allocate nothing.
//!
//! The counter is the allocator of this whole test program, so this file has one test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::device::{Backend, Device, DeviceOptions, IsaChoice};
use agentos_desktop::generate::{self, Finish, Request};
use agentos_desktop::host::SystemClock;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_hal::KvType;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sample::{Sampler, Sampling};

/// The system's allocator, which counts while it is told to: calls of any thread.
struct Counting {
    counts: AtomicBool,
    calls: AtomicU64,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { counts: AtomicBool::new(false), calls: AtomicU64::new(0) };

impl Counting {
    fn note(&self) {
        if self.counts.load(Relaxed) {
            self.calls.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note();
        // SAFETY: the caller's promises are the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.note();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

const TOKENS: u32 = 60;

/// Calls of the allocator from the first tick to the last token.
fn calls_of(model: &str, backend: Backend) -> u64 {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    let path = models.join(model);
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let file = ModelFile::read(&path, &map, &mut index).unwrap();
    let purpose = Purpose { outcomes: 1, candidates: 64 };
    let limits = context::limits(&file.model.shape, None, KvType::F16, purpose).unwrap();
    let mut device =
        Device::open(&DeviceOptions { backend, threads: Some(3), isa: IsaChoice::Auto }).unwrap();
    device.prepare(&file.model, &limits, &mut file.weights()).unwrap();

    let vocab = file.model.shape.vocab;
    let ends = |token| {
        if token % 9 == 0 { Delimiter::Sentence } else { Delimiter::None }
    };
    let mut tables = Tables::new(limits, (0..vocab).map(ends).collect());
    let (mut sequence, mut pool) = tables.start().unwrap();
    // More than one chunk.
    let prompt: Vec<u32> = (0..context::CHUNK + 30).map(|n| n * 7 % vocab).collect();
    let sampling =
        Sampling { temperature: 1.0, top_k: 40, top_p: 0.9, repeat_penalty: 1.1, ..Sampling::GREEDY };
    let sampler = Sampler::new(sampling).unwrap();
    let request = Request { prompt: &prompt, sampler: &sampler, max_tokens: TOKENS, is_end: &|_| false };
    let clock = SystemClock::since(Instant::now());

    let before = ALLOCATOR.calls.load(Relaxed);
    ALLOCATOR.counts.store(true, Relaxed);
    let generation =
        generate::generate(&mut sequence, &mut pool, device.tensor_device(), &clock, &request, &mut |_| {
            Ok(())
        });
    ALLOCATOR.counts.store(false, Relaxed);
    assert_eq!(generation.unwrap().finish, Finish::Length);
    ALLOCATOR.calls.load(Relaxed) - before
}

#[test]
fn no_step_allocates() {
    ALLOCATOR.counts.store(true, Relaxed);
    drop(std::hint::black_box(Box::new(1)));
    ALLOCATOR.counts.store(false, Relaxed);
    assert!(ALLOCATOR.calls.load(Relaxed) > 0, "the counter counts");

    for model in ["llama-factors.gguf", "llama-linear.gguf", "qwen3.gguf"] {
        for backend in [Backend::Cpu, Backend::Reference] {
            assert_eq!(calls_of(model, backend), 0, "{model} on {backend:?}");
        }
    }
}
