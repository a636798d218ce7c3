//! Small random models: a program, a shape, and weights that a device can load.

use std::collections::{BTreeMap, BTreeSet};

use agentos_hal::{
    DType, KvType, Limits, ModelShape, Pairing, Program, Rope, RopeScaling, Tensor, TensorInfo, WeightError,
    WeightId, WeightRole, WeightSource,
};

use crate::rng::Rng;
use crate::tensor::Owned;

/// A model.
#[derive(Clone)]
pub struct Model {
    /// Its forward pass.
    pub program: Program,
    /// Its sizes.
    pub shape: ModelShape,
    /// Its weights.
    pub tensors: BTreeMap<WeightId, Owned>,
}

impl Model {
    /// Random weights for every role that the program names. `plan` gives the type and the gain of a
    /// role: a matrix of gain 1 keeps the size of what it multiplies; a vector of gain g has
    /// deviation g (norms: around 1).
    pub fn random(
        program: Program,
        shape: ModelShape,
        rng: &mut Rng,
        plan: impl Fn(WeightRole) -> (DType, f32),
    ) -> Model {
        let mut tensors = BTreeMap::new();
        let mut add = |id: WeightId| {
            let id = kept(&shape, id);
            tensors.entry(id).or_insert_with(|| random(id.role, &shape, plan(id.role), rng));
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = program.for_each_weight(shape.layers, &mut add);
        if shape.rope.factors {
            let Ok(()) = add(WeightId { role: WeightRole::RopeFactors, layer: 0 });
        }
        Model { program, shape, tensors }
    }

    /// The tensor of a role that the whole model shares.
    pub fn shared(&self, role: WeightRole) -> &Owned {
        self.layered(role, 0)
    }

    /// The tensor of a role in a layer.
    pub fn layered(&self, role: WeightRole, layer: u32) -> &Owned {
        &self.tensors[&kept(&self.shape, WeightId { role, layer })]
    }

    /// The weights, to be loaded once.
    pub fn source(&self) -> Source<'_> {
        Source { model: self, released: BTreeSet::new() }
    }
}

fn kept(shape: &ModelShape, id: WeightId) -> WeightId {
    let tied = shape.tied_embedding && id.role == WeightRole::Output;
    if tied { WeightId { role: WeightRole::TokenEmbedding, ..id } } else { id }
}

fn random(role: WeightRole, shape: &ModelShape, (dtype, gain): (DType, f32), rng: &mut Rng) -> Owned {
    let dims = role.dims(shape);
    match role {
        WeightRole::AttnNorm
        | WeightRole::FfnNorm
        | WeightRole::OutputNorm
        | WeightRole::QueryNorm
        | WeightRole::KeyNorm => {
            let numbers: Vec<f32> = (0..dims.1).map(|_| 1.0 + rng.spread(gain)).collect();
            Owned::of(dims, &numbers)
        }
        WeightRole::RopeFactors => {
            let numbers: Vec<f32> = (0..dims.1).map(|_| rng.real(1.0, 8.0)).collect();
            Owned::of(dims, &numbers)
        }
        WeightRole::QueryBias | WeightRole::KeyBias | WeightRole::ValueBias => {
            Owned::random(dtype, dims, gain, rng)
        }
        WeightRole::TokenEmbedding => Owned::random(dtype, dims, gain, rng),
        _ => Owned::random(dtype, dims, gain / (dims.1 as f32).sqrt(), rng),
    }
}

/// A [`WeightSource`] over a model that holds devices to its rules: what was released is gone.
pub struct Source<'m> {
    model: &'m Model,
    released: BTreeSet<WeightId>,
}

impl WeightSource for Source<'_> {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        self.model.tensors.get(&kept(&self.model.shape, id)).map(|tensor| tensor.info)
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        if self.released.contains(&id) {
            return Err(WeightError::Unreadable(id));
        }
        let tensor = self.model.tensors.get(&kept(&self.model.shape, id)).ok_or(WeightError::Missing(id))?;
        Ok(Tensor { info: tensor.info, bytes: &tensor.bytes })
    }

    fn release(&mut self, id: WeightId) {
        self.released.insert(id);
    }
}

/// A plain shape: one layer, as many key/value heads as query heads, full rotary embedding.
pub fn shape(width: u32, heads: u32, head_dim: u32, vocab: u32) -> ModelShape {
    ModelShape {
        layers: 1,
        width,
        ffn: width,
        heads,
        kv_heads: heads,
        head_dim,
        vocab,
        context: 1 << 14,
        norm_eps: 1e-5,
        rope: Rope {
            dims: head_dim,
            base: 10_000.0,
            pairing: Pairing::Adjacent,
            scaling: RopeScaling::None,
            factors: false,
        },
        tied_embedding: false,
    }
}

/// Any rotary embedding that a head of this width can have.
pub fn rope(head_dim: u32, rng: &mut Rng) -> Rope {
    let scaling = rng.pick(&[
        RopeScaling::None,
        RopeScaling::Linear { factor: 4.0 },
        RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 512.0,
        },
    ]);
    Rope {
        dims: rng.pick(&[head_dim, head_dim, head_dim / 2, head_dim - 2]),
        base: rng.pick(&[10_000.0, 100_000.0, 500_000.0]),
        pairing: rng.pick(&[Pairing::Adjacent, Pairing::Halves]),
        scaling,
        factors: rng.one_in(3),
    }
}

/// Room for every step that the checks make, unless they say otherwise.
pub const LIMITS: Limits = Limits {
    rows: 33,
    spans: 8,
    segments: 64,
    segment_pages: 256,
    outcomes: 33,
    candidates: 8,
    masks: 4,
    taps: 6,
    exposed: 33,
    context: 1024,
    pages: 96,
    kv: KvType::F32,
};
