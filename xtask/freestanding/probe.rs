//! AgentOS with nothing under it: no standard library, no heap, no C library. A kernel in memory of a
//! size that is known when this is built runs three agents of a small model on the CPU backend, in one
//! process that Linux only starts and ends.
//!
//! `cargo xtask test` links this against the crates that promise to need nothing, and runs it. Should one
//! of them, or anything that they depend on, want more, it does not link. The exit code is 0 when all is
//! as it should be, and else the number of the check that failed.

#![no_std]
#![no_main]

mod linux;

use core::cell::Cell;

use agentos_gguf as _;

use agentos_cpu::{CpuDevice, Isa, Lent, Solo};
use agentos_hal::{
    Clock, DType, Instant, KvType, ModelShape, Pairing, Rope, RopeScaling, Tensor, TensorDevice, TensorInfo,
    WeightError, WeightId, WeightRole, WeightSource,
};
use agentos_kernel::agent::{
    Admission, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec, State, Watchdog,
};
use agentos_kernel::call::{Call, Tokens};
use agentos_kernel::interrupt::Interrupts;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::model::LLAMA;
use agentos_kernel::random;
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::{Config, Devices, Kernel, Memory, Sizes, Tick, Vocabulary};

const SHAPE: ModelShape = ModelShape {
    layers: 2,
    width: 32,
    ffn: 32,
    heads: 2,
    kv_heads: 1,
    head_dim: 16,
    vocab: VOCAB as u32,
    context: 128,
    norm_eps: 1e-5,
    rope: Rope { dims: 16, base: 10_000.0, pairing: Pairing::Adjacent, scaling: RopeScaling::None, factors: false },
    tied_embedding: true,
};

const VOCAB: usize = 64;
const PROMPT: usize = 40;
const ANSWER: u32 = 24;
const PACKING: Packing = Packing::of(&SHAPE, KvType::F16);
/// Page memory for two of the three agents: the third one's pages come and go.
const CONFIG: Config = Config { rows: 16, candidates: 8, kv: KvType::F16, ..Config::new(3, 80, 26, 40) }.checked();
const SIZES: Sizes = Sizes::of(&CONFIG);

type KernelMemory = Memory<
    { SIZES.agents },
    { SIZES.tokens },
    { SIZES.inbox },
    { SIZES.mappings },
    { SIZES.slices },
    { SIZES.index },
    { SIZES.pages },
    { SIZES.frames },
    { CONFIG.arena_bytes(&PACKING) },
    { CONFIG.image_bytes(&PACKING) },
    { SIZES.rows },
    { SIZES.spans },
    { SIZES.segments },
    { SIZES.segment_pages },
    { SIZES.weighed },
    { SIZES.events }, { SIZES.calls }, { SIZES.masks },
    { SIZES.schemas }, { SIZES.queries }, { SIZES.scratch },
>;

/// Bytes of the device, and of the largest tensor.
const DEVICE_BYTES: usize = 1 << 20;
const TENSOR_BYTES: usize = 4 * VOCAB * 32;

static INTERRUPTS: Interrupts = Interrupts::new();
static DELIMITERS: [Delimiter; VOCAB] = [Delimiter::None; VOCAB];

/// What went wrong, as an exit code.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Failure {
    Panic = 1,
    Prepare,
    Boot,
    Spawn,
    Device,
    TooLong,
    Unfinished,
    Differ,
}

/// Random weights, made again whenever one is loaded.
struct Weights {
    bytes: [u8; TENSOR_BYTES],
}

impl WeightSource for Weights {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        let (rows, cols) = id.role.dims(&SHAPE);
        Some(TensorInfo { dtype: DType::F32, rows, cols })
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        let info = self.describe(id).ok_or(WeightError::Missing(id))?;
        let norm = matches!(id.role, WeightRole::AttnNorm | WeightRole::FfnNorm | WeightRole::OutputNorm);
        let bytes = &mut self.bytes[..4 * (info.rows * info.cols) as usize];
        let seed = u64::from(id.layer) << 8 | id.role as u64;
        for (number, place) in (0u64..).zip(bytes.chunks_exact_mut(4)) {
            let spread = random::unit(seed, number) as f32 - 0.5;
            place.copy_from_slice(&if norm { 1.0 + 0.1 * spread } else { spread }.to_le_bytes());
        }
        Ok(Tensor { info, bytes })
    }

    fn release(&mut self, _: WeightId) {}
}

/// Time that passes when somebody looks.
struct Looks(Cell<u64>);

impl Clock for Looks {
    fn now(&self) -> Instant {
        self.0.set(self.0.get() + 1);
        Instant { micros: self.0.get() }
    }
}

impl embedded_hal::delay::DelayNs for Looks {
    fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + u64::from(ns / 1000));
    }
}

/// What the process does.
fn run() -> Result<(), Failure> {
    let mut memory = const { KernelMemory::new() };
    let mut device_memory = [0; DEVICE_BYTES];
    let mut device = CpuDevice::new(Lent::new(&mut device_memory), Solo, Isa::best());
    let limits = CONFIG.device_limits(&SHAPE);
    let mut weights = Weights { bytes: [0; TENSOR_BYTES] };
    device.prepare(&LLAMA, &SHAPE, &limits, &mut weights).map_err(|_| Failure::Prepare)?;
    let vocabulary = Vocabulary { delimiters: &DELIMITERS, ends: &[] };
    let storage = memory.storage(&INTERRUPTS);
    let mut kernel =
        Kernel::new(CONFIG, storage, vocabulary, &[0; 32], PACKING).map_err(|_| Failure::Boot)?;
    let clock = Looks(Cell::new(0));
    for tag in 0..3 {
        spawn(&mut kernel, tag)?;
    }
    let mut ticks = 0;
    loop {
        match kernel.tick(&mut Devices { tensor: &mut device, clock: &clock, tools: &mut agentos_kernel::tool::NoTools, guard: &mut agentos_kernel::guard::Unguarded, store: &mut agentos_hal::NoStore }) {
            Tick::Idle => break,
            Tick::DeviceLost | Tick::Halted => return Err(Failure::Device),
            _ if ticks > 100_000 => return Err(Failure::TooLong),
            _ => ticks += 1,
        }
    }
    check(&kernel)
}

fn spawn(kernel: &mut Kernel<'_>, tag: u64) -> Result<(), Failure> {
    let spec = Spec {
        priority: Priority::NORMAL,
        context: 80,
        memory: MemoryMode::Exact,
        admission: Admission::Wait,
        // Two of them with one seed: they are to say the same.
        sampling: Sampling { temperature: 1.0, seed: tag / 2, ..Sampling::GREEDY },
        budget: Budget { turn_tokens: ANSWER, ..Budget::UNBOUNDED },
        capabilities: Capabilities::ALL,
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Stop,
        receive: Receive::Copied,
        guarded: false,
        persist: Persist::Nothing,
        packed: false,
        tag,
    };
    let mut prompt = [0; 4 * PROMPT];
    for (number, token) in (0u32..).zip(prompt.chunks_exact_mut(4)) {
        token.copy_from_slice(&(number * 7 % VOCAB as u32).to_le_bytes());
    }
    kernel.call(None, &Call::Spawn(spec, Tokens(&prompt)), 0).map_err(|_| Failure::Spawn)?;
    Ok(())
}

/// Three agents are done; those that were asked alike have said the same, and the other something else.
fn check(kernel: &Kernel<'_>) -> Result<(), Failure> {
    let said = |tag| {
        let rcb = kernel.agents().find(|rcb| rcb.tag == tag && matches!(rcb.state, State::Stopped(_)));
        rcb.map(|rcb| kernel.tokens(rcb.id)).filter(|said| said.len() == PROMPT + ANSWER as usize)
    };
    match (said(0), said(1), said(2)) {
        (Some(first), Some(second), Some(third)) if first == second && first != third => Ok(()),
        (Some(_), Some(_), Some(_)) => Err(Failure::Differ),
        _ => Err(Failure::Unfinished),
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    linux::exit(Failure::Panic as i32)
}
