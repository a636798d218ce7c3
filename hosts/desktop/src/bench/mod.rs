//! What `agentos bench` times: a device at work on a model, the machine's own limits, and the kernel at
//! work on a device ([`kernel`]). Of a GPU it also tells what a step costs ([`gpu`]).
//!
//! Timing is nobody's promise: no test depends on it. A sample is the speed of one run of the work, and
//! a caller takes the median of several.

mod ceiling;
mod crowd;
pub mod gpu;
pub mod kernel;

use std::time::Instant;

use agentos_hal::{Inputs, KvType, Limits, ModelShape, TensorDevice};

pub use ceiling::{Ceiling, measure as measure_ceiling};
pub use crowd::{BenchError, Crowd, limits};

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Work {
    /// Contexts that are computed together.
    pub contexts: u32,
    /// Tokens that each has before the clock starts.
    pub depth: u32,
    /// Tokens that each gets while it runs.
    pub tokens: u32,
    /// Tokens of each in one step.
    pub chunk: u32,
}

/// The works that have names.
pub const WORKS: [(&str, Work); 7] = [
    ("prefill", Work { contexts: 1, depth: 0, tokens: 512, chunk: crate::context::CHUNK }),
    ("decode", Work { contexts: 1, depth: 0, tokens: 128, chunk: 1 }),
    ("deep", Work { contexts: 1, depth: 2048, tokens: 64, chunk: 1 }),
    ("batch1", batch(1)),
    ("batch4", batch(4)),
    ("batch8", batch(8)),
    ("batch16", batch(16)),
];

/// Works for devices with much more memory and arithmetic than a CPU, by name only: on a CPU each takes
/// minutes.
pub const LARGE_WORKS: [(&str, Work); 4] = [
    ("prefill-deep", Work { contexts: 1, depth: 2048, tokens: 512, chunk: crate::context::CHUNK }),
    ("deep8", Work { contexts: 8, depth: 2048, tokens: 64, chunk: 1 }),
    ("batch64", batch(64)),
    ("deep64", Work { contexts: 64, depth: 2048, tokens: 64, chunk: 1 }),
];

const fn batch(contexts: u32) -> Work {
    Work { contexts, depth: 16, tokens: 64, chunk: 1 }
}

impl Work {
    /// The limits of a device for this work.
    pub fn limits(&self, kv: KvType) -> Limits {
        let rows = (self.contexts * self.chunk).max(crate::context::CHUNK);
        limits(self.contexts, self.depth + self.tokens, rows, kv)
    }

    /// Does the work once, with fresh contexts; returns tokens per second.
    ///
    /// # Errors
    /// What the device says.
    pub fn sample(&self, device: &mut dyn TensorDevice, shape: &ModelShape) -> Result<f64, BenchError> {
        let mut crowd = self.begin(device, shape)?;
        let start = Instant::now();
        self.go(&mut crowd, device)?;
        Ok(f64::from(self.contexts * self.tokens) / start.elapsed().as_secs_f64())
    }

    /// Fresh contexts, as deep as the work begins.
    ///
    /// # Errors
    /// What the device says.
    pub fn begin(&self, device: &mut dyn TensorDevice, shape: &ModelShape) -> Result<Crowd, BenchError> {
        let mut crowd = Crowd::new(self.contexts, self.depth + self.tokens, shape.vocab);
        let most = (crate::context::CHUNK / self.contexts).max(1);
        let mut done = 0;
        while done < self.depth {
            let chunk = most.min(self.depth - done);
            crowd.step(device, chunk, false)?;
            done += chunk;
        }
        Ok(crowd)
    }

    /// The work itself.
    ///
    /// # Errors
    /// What the device says.
    pub fn go(&self, crowd: &mut Crowd, device: &mut dyn TensorDevice) -> Result<(), BenchError> {
        self.steps().try_for_each(|(chunk, wanted)| crowd.step(device, chunk, wanted))
    }

    /// The steps of the work: tokens of each context, and whether it is wanted what follows.
    pub fn steps(&self) -> impl Iterator<Item = (u32, bool)> + use<> {
        let Work { tokens, chunk, .. } = *self;
        // As in use: only the end of a prompt wants to know what follows.
        let step = move |done: u32| (chunk.min(tokens - done), done + chunk >= tokens || chunk == 1);
        (0..tokens).step_by(chunk as usize).map(step)
    }

    /// Tokens per second at which the machine's arithmetic, and its memory, would do this work with
    /// nothing lost. `weight_bytes` are read once per step. Attention is in `f32` whatever `inputs` the
    /// products take.
    pub fn bounds(
        &self,
        shape: &ModelShape,
        inputs: Inputs,
        weight_bytes: u64,
        kv: KvType,
        ceiling: &Ceiling,
    ) -> Bounds {
        let depth = f64::from(self.depth) + f64::from(self.tokens) / 2.0;
        let outcomes = if self.chunk == 1 { 1.0 } else { 1.0 / f64::from(self.tokens) };
        let rows = f64::from(self.contexts * self.chunk);
        let kv_bytes = f64::from(2 * shape.kv_width() * shape.layers) * kv.bytes() as f64;
        let read = weight_bytes as f64 / rows + depth * kv_bytes / f64::from(self.chunk);
        let products_per_s = match inputs {
            Inputs::F32 | Inputs::F16 => ceiling.operations_per_s,
            Inputs::Int16 | Inputs::Int8 => {
                ceiling.integer_operations_per_s.unwrap_or(ceiling.operations_per_s)
            }
        };
        let seconds =
            products(shape, outcomes) / products_per_s + attention(shape, depth) / ceiling.operations_per_s;
        Bounds { arithmetic: 1.0 / seconds, memory: ceiling.bytes_per_s / read }
    }
}

/// Tokens per second that the machine allows.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Bounds {
    /// By its multiply-adds: of 16-bit integers where the products take their inputs so, else in single
    /// precision.
    pub arithmetic: f64,
    /// By what it reads from memory.
    pub memory: f64,
}

/// Operations of the matrix products of one token, of which `outcomes` want the vocabulary's logits.
fn products(shape: &ModelShape, outcomes: f64) -> f64 {
    let [width, ffn, query, kv, vocab] =
        [shape.width, shape.ffn, shape.query_width(), shape.kv_width(), shape.vocab].map(f64::from);
    let layer = width * (2.0 * query + 2.0 * kv + 3.0 * ffn);
    2.0 * (f64::from(shape.layers) * layer + outcomes * width * vocab)
}

/// Operations of the attention of one token at a depth.
fn attention(shape: &ModelShape, depth: f64) -> f64 {
    4.0 * f64::from(shape.layers * shape.query_width()) * depth
}
