//! The work that devices are compared by: a chunk of a prompt and a few tokens of an answer, on a model
//! that is made in memory and large enough not to stay in a cache.

use std::time::{Duration, Instant};

use agentos_hal::{
    DType, KvType, ModelShape, Pairing, PrepareError, Rope, RopeScaling, Tensor, TensorDevice, TensorInfo,
    WeightError, WeightId, WeightSource,
};
use agentos_kernel::model::LLAMA;

use crate::bench::{BenchError, Crowd, limits};

/// The model: 45 million weights, a third of the default model's, in layers as wide as those of small ones.
const SHAPE: ModelShape = ModelShape {
    layers: 6,
    width: 768,
    ffn: 2048,
    heads: 12,
    kv_heads: 4,
    head_dim: 64,
    vocab: 8192,
    context: CONTEXT,
    norm_eps: 1e-5,
    rope: Rope {
        dims: 64,
        base: 1e4,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    },
    tied_embedding: true,
};

/// Tokens of a prompt's chunk, and of an answer.
const CHUNK: u32 = 128;
const ANSWER: u32 = 16;
const CONTEXT: u32 = CHUNK + ANSWER;

/// How often the work is done at most, besides once to warm up; the best time counts.
const ROUNDS: u32 = 3;

/// No further round begins after this time.
const ENOUGH: Duration = Duration::from_millis(700);

/// Why a device could not be timed.
#[derive(Debug)]
pub enum MeasureError {
    /// It refuses the model.
    Prepare(PrepareError),
    /// It fails in a step.
    Step(BenchError),
}

impl std::fmt::Display for MeasureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MeasureError::Prepare(error) => error.fmt(f),
            MeasureError::Step(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MeasureError {}

/// The least time in which a device computes a prompt of 128 tokens and 16 tokens of an answer.
///
/// # Errors
/// Any [`MeasureError`].
pub fn measure(device: &mut dyn TensorDevice) -> Result<Duration, MeasureError> {
    let mut weights = Made::new();
    let limits = limits(1, CONTEXT, CHUNK, KvType::F16);
    device.prepare(&LLAMA, &SHAPE, &limits, &mut weights).map_err(MeasureError::Prepare)?;
    let began = Instant::now();
    let mut least = round(device)?;
    for _ in 0..ROUNDS {
        if began.elapsed() > ENOUGH {
            break;
        }
        least = least.min(round(device)?);
    }
    Ok(least)
}

fn round(device: &mut dyn TensorDevice) -> Result<Duration, MeasureError> {
    let mut crowd = Crowd::new(1, CONTEXT, SHAPE.vocab);
    let began = Instant::now();
    crowd.step(device, CHUNK, true).map_err(MeasureError::Step)?;
    for _ in 0..ANSWER {
        crowd.step(device, 1, true).map_err(MeasureError::Step)?;
    }
    Ok(began.elapsed())
}

/// Weights of the model: every matrix has the same bytes, of which only the largest needs all.
struct Made {
    matrix: Vec<u8>,
    vector: Vec<u8>,
}

/// The type of every matrix.
const MATRIX: DType = DType::Q8_0;

impl Made {
    fn new() -> Made {
        let largest = describe(WeightId { role: agentos_hal::WeightRole::TokenEmbedding, layer: 0 });
        let bytes = largest.bytes().expect("the model's sizes are whole blocks") as usize;
        Made { matrix: blocks(bytes), vector: 1f32.to_le_bytes().repeat(SHAPE.ffn.max(SHAPE.width) as usize) }
    }
}

/// Blocks of Q8_0: a scale that keeps sums small, then 32 numbers of any kind.
fn blocks(bytes: usize) -> Vec<u8> {
    // 2^-10 in half precision.
    const SCALE: [u8; 2] = 0x1400_u16.to_le_bytes();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // George Marsaglia, "Xorshift RNGs" (2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut made = Vec::with_capacity(bytes);
    while made.len() < bytes {
        made.extend_from_slice(&SCALE);
        for _ in 0..4 {
            made.extend_from_slice(&next());
        }
    }
    made
}

fn describe(id: WeightId) -> TensorInfo {
    let (rows, cols) = id.role.dims(&SHAPE);
    TensorInfo { dtype: if id.role.is_vector() { DType::F32 } else { MATRIX }, rows, cols }
}

impl WeightSource for Made {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        Some(describe(id))
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        let info = describe(id);
        let from = if info.rows == 1 { &self.vector } else { &self.matrix };
        let bytes = info.bytes().and_then(|bytes| from.get(..bytes as usize));
        Ok(Tensor { info, bytes: bytes.ok_or(WeightError::Unreadable(id))? })
    }

    fn release(&mut self, _: WeightId) {}
}

#[cfg(test)]
mod tests {
    use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};

    use super::*;

    #[test]
    fn the_work_is_done_on_a_device_that_takes_every_model() {
        assert_eq!(SHAPE.check(), Ok(()));
        let mut device = CpuDevice::new(SystemMemory::default(), Pool::new(1).unwrap(), Isa::best());
        assert!(measure(&mut device).unwrap() > Duration::ZERO);
    }

    #[test]
    fn the_weights_are_whole_blocks_and_never_infinite() {
        let made = Made::new();
        assert_eq!(made.matrix.len() % 34, 0);
        assert_eq!(
            made.matrix.len() as u64,
            describe(WeightId { role: agentos_hal::WeightRole::Output, layer: 0 }).bytes().unwrap()
        );
        let mut numbers = vec![0.0; made.matrix.len() / 34 * 32];
        agentos_hal::quant::dequantise(MATRIX, &made.matrix, &mut numbers);
        assert!(numbers.iter().all(|number| number.abs() < 0.2));
        assert!(numbers.iter().any(|number| *number > 0.1) && numbers.iter().any(|number| *number < -0.1));
    }
}
