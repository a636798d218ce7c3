//! A model so small that whole systems of agents run on the reference device in milliseconds, and what
//! one context of it gives when it has a device for itself: what every simulated agent must give too.
//!
//! Its weights are random, so it says nothing that makes sense; but every token, address, slice and
//! page has its effect on every logit, which is what a simulation has to see.

use std::collections::BTreeMap;

use agentos_desktop::context::Tables;
use agentos_hal::{
    DType, KvType, Limits, ModelShape, Pairing, Rope, RopeScaling, Tensor, TensorDevice, TensorInfo,
    WeightError, WeightId, WeightRole, WeightSource,
};
use agentos_kernel::agent::Spec;
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::model::LLAMA;
use agentos_kernel::random;
use agentos_kernel::sample::Sampler;
use agentos_kernel::sequence::{Sequence, Tick};

/// Two layers, so that a page has more than one; two query heads that share a key/value head.
pub const SHAPE: ModelShape = ModelShape {
    layers: 2,
    width: 32,
    ffn: 32,
    heads: 2,
    kv_heads: 1,
    head_dim: 16,
    vocab: 64,
    context: 512,
    norm_eps: 1e-5,
    rope: Rope {
        dims: 16,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    },
    tied_embedding: false,
};

/// A device for one context, however its slices fall. Candidates and the type of page memory have
/// their say in what is sampled: a system that is compared with [`Tiny::alone`] keeps both.
pub const LIMITS: Limits = Limits {
    rows: 16,
    spans: 1,
    segments: SliceLimits::DEFAULT.worst_slices(SHAPE.context),
    segment_pages: SliceLimits::DEFAULT.worst_pages(SHAPE.context),
    outcomes: 1,
    candidates: 16,
    masks: 0,
    taps: 0,
    exposed: 0,
    context: SHAPE.context,
    pages: SliceLimits::DEFAULT.worst_pages(SHAPE.context),
    kv: KvType::F16,
};

/// Of any 16 consecutive tokens the last three end something, so a random text has slices of many
/// lengths, and one of lower tokens alone has the longest.
pub fn delimiters() -> Vec<Delimiter> {
    let ends = |token| match token % 16 {
        13 => Delimiter::Sentence,
        14 => Delimiter::Line,
        15 => Delimiter::Message,
        _ => Delimiter::None,
    };
    (0..SHAPE.vocab).map(ends).collect()
}

/// A generated token, and its logit as bits.
pub type Given = (u32, u32);

/// The model: a Llama with random weights.
pub struct Tiny {
    tensors: BTreeMap<WeightId, (TensorInfo, Vec<u8>)>,
}

impl Tiny {
    /// The model of a seed.
    pub fn new(seed: u64) -> Tiny {
        let mut tensors = BTreeMap::new();
        let mut drawn = 0;
        let mut add = |id: WeightId| {
            let (rows, cols) = id.role.dims(&SHAPE);
            let (mean, deviation) = spread(id.role, cols);
            let mut number = || {
                drawn += 1;
                mean + deviation * 3.0f64.sqrt() * (2.0 * random::unit(seed, drawn) - 1.0)
            };
            let bytes = (0..rows * cols).flat_map(|_| (number() as f32).to_le_bytes()).collect();
            tensors.entry(id).or_insert((TensorInfo { dtype: DType::F32, rows, cols }, bytes));
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = LLAMA.for_each_weight(SHAPE.layers, &mut add);
        Tiny { tensors }
    }

    /// Gives a device this model and empty page memory.
    ///
    /// # Panics
    /// When the device refuses it.
    pub fn prepare(&self, device: &mut dyn TensorDevice, limits: &Limits) {
        if let Err(error) = device.prepare(&LLAMA, &SHAPE, limits, &mut &*self) {
            panic!("the tiny model on {}: {error}", device.caps().backend);
        }
    }

    /// The first `n` tokens that an agent of this kind says after `tokens`, when nothing else runs on
    /// the device and nothing goes wrong.
    ///
    /// # Panics
    /// When it does not fit the agent's context, or the device fails.
    pub fn alone(&self, device: &mut dyn TensorDevice, spec: &Spec, tokens: &[u32], n: usize) -> Vec<Given> {
        assert!(tokens.len() + n <= spec.context.min(LIMITS.context) as usize, "the context is too short");
        let sampler = Sampler::new(spec.sampling).unwrap_or_else(|error| panic!("{error}"));
        self.prepare(device, &LIMITS);
        let mut tables = Tables::new(LIMITS, delimiters());
        let (mut sequence, mut pool) = tables.start().expect("no limit is 0");
        sequence.push(tokens, &mut pool).expect("the prompt fits");
        let mut next = || {
            finish(&mut sequence, device);
            let choice = sequence.choose(&sampler).expect("every token is computed");
            sequence.push(&[choice.token], &mut pool).expect("the token fits");
            (choice.token, choice.logit.to_bits())
        };
        (0..n).map(|_| next()).collect()
    }
}

/// Ticks until every token is computed.
fn finish(sequence: &mut Sequence<'_>, device: &mut dyn TensorDevice) {
    while sequence.tick(device).expect("nothing goes wrong") != Tick::Idle {}
}

/// Mean and standard deviation of a tensor's elements: matrices keep the size of what they multiply,
/// but for the output, which makes some tokens clearly likelier than others.
fn spread(role: WeightRole, cols: u32) -> (f64, f64) {
    let keep = 1.0 / f64::from(cols).sqrt();
    match role {
        WeightRole::AttnNorm | WeightRole::FfnNorm | WeightRole::OutputNorm => (1.0, 0.1),
        WeightRole::TokenEmbedding => (0.0, 1.0),
        WeightRole::Output => (0.0, 2.0 * keep),
        _ => (0.0, keep),
    }
}

impl WeightSource for &Tiny {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        self.tensors.get(&id).map(|(info, _)| *info)
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        let (info, bytes) = self.tensors.get(&id).ok_or(WeightError::Missing(id))?;
        Ok(Tensor { info: *info, bytes })
    }

    fn release(&mut self, _: WeightId) {}
}
