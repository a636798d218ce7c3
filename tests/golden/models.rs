//! The three model families on small random-weight files, against the logits that llama.cpp computes
//! from the same files (`fixtures/models/make.py`). Weights, keys and values are F32 on both sides.

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_desktop::context::Tables;
use agentos_desktop::model::FileMetadata;
use agentos_gguf::{Gguf, GgufWeights, IndexEntry};
use agentos_hal::{KvType, Limits, ModelShape, Pairing, Rope, RopeScaling, TensorDevice};
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::model::{self, Model};
use agentos_kernel::sequence::Tick;
use agentos_reference::Reference;

/// Largest difference of a logit: both sides sum in an order of their own.
const TOLERANCE: f32 = 1e-4;

/// A model file and what llama.cpp makes of it.
struct Golden {
    gguf: &'static [u8],
    logits: &'static [u8],
}

macro_rules! golden {
    ($name:literal) => {
        Golden {
            gguf: include_bytes!(concat!("../fixtures/models/", $name, ".gguf")),
            logits: include_bytes!(concat!("../fixtures/models/", $name, ".logits")),
        }
    };
}

const LLAMA_FACTORS: Golden = golden!("llama-factors");
const LLAMA_LINEAR: Golden = golden!("llama-linear");
const QWEN2: Golden = golden!("qwen2");
const QWEN3: Golden = golden!("qwen3");

impl Golden {
    /// The tokens, and the logits after each.
    fn expected(&self) -> (Vec<u32>, Vec<Vec<f32>>) {
        let words: Vec<u32> =
            self.logits.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let (count, vocab) = (words[0] as usize, words[1] as usize);
        let (tokens, logits) = words[2..].split_at(count);
        assert_eq!(logits.len(), count * vocab);
        let row = |row: &[u32]| row.iter().map(|&word| f32::from_bits(word)).collect();
        (tokens.to_vec(), logits.chunks_exact(vocab).map(row).collect())
    }

    fn with_model<T>(&self, act: impl FnOnce(Gguf<'_>, Model) -> T) -> T {
        let mut index = vec![IndexEntry::default(); Gguf::index_len(self.gguf).unwrap()];
        let gguf = Gguf::parse(self.gguf, &mut index).unwrap();
        let model = model::select(&FileMetadata(gguf)).unwrap();
        act(gguf, model)
    }

    /// The logits that a device finds when the shape is changed like this, computed in chunks of at
    /// most `chunk`.
    fn found(
        &self,
        device: &mut dyn TensorDevice,
        chunk: u32,
        change: impl FnOnce(&mut ModelShape),
    ) -> Vec<Vec<f32>> {
        self.with_model(|gguf, mut model| {
            change(&mut model.shape);
            logits(device, gguf, &model, &self.expected().0, chunk)
        })
    }

    /// The largest difference to llama.cpp's logits.
    fn difference(&self, found: &[Vec<f32>]) -> f32 {
        let (_, expected) = self.expected();
        assert_eq!(found.len(), expected.len());
        let pairs = found.iter().flatten().zip(expected.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }
}

/// The logits after every token. Every candidate is asked for, so they are all there.
fn logits(
    device: &mut dyn TensorDevice,
    gguf: Gguf<'_>,
    model: &Model,
    tokens: &[u32],
    chunk: u32,
) -> Vec<Vec<f32>> {
    let vocab = model.shape.vocab;
    let context = tokens.len() as u32;
    let limits = Limits {
        rows: chunk,
        spans: 1,
        segments: SliceLimits::DEFAULT.worst_slices(context),
        segment_pages: SliceLimits::DEFAULT.worst_pages(context),
        outcomes: chunk,
        candidates: vocab,
        masks: 0,
        taps: 0,
        exposed: 0,
        context,
        pages: SliceLimits::DEFAULT.worst_pages(context),
        kv: KvType::F32,
    };
    device.prepare(model.program, &model.shape, &limits, &mut GgufWeights::new(gguf, |_| ())).unwrap();
    // Some tokens end a sentence: the text is to lie in slices of several lengths.
    let ends = |token| {
        if token % 7 == 0 { Delimiter::Sentence } else { Delimiter::None }
    };
    let mut tables = Tables::new(limits, (0..vocab).map(ends).collect());
    let (mut sequence, mut pool) = tables.start().unwrap();
    sequence.push_scored(tokens, 0, &mut pool).unwrap();
    let mut logits = Vec::new();
    let mut observe = |_: &[_], report: &agentos_hal::StepReport<'_>| {
        for index in 0..report.outcomes.len() {
            let mut row = vec![f32::NAN; vocab as usize];
            report.candidates_of(index).iter().for_each(|one| row[one.token as usize] = one.logit);
            assert!(row.iter().all(|logit| logit.is_finite()), "every token is a candidate");
            logits.push(row);
        }
    };
    while sequence.tick_observed(device, &mut observe).unwrap() != Tick::Idle {}
    assert!(sequence.slices().len() > 2, "one slice would not show that slices have bases");
    logits
}

/// The backends that are held to llama.cpp.
fn devices() -> [Box<dyn TensorDevice>; 2] {
    let pool = Pool::new(2).expect("threads start");
    [Box::new(Reference::new(1 << 26)), Box::new(CpuDevice::new(SystemMemory::default(), pool, Isa::best()))]
}

#[track_caller]
fn agrees(golden: &Golden) {
    for device in devices() {
        let device = &mut *{ device };
        let whole = golden.found(device, 40, |_| ());
        let (name, difference) = (device.caps().backend, golden.difference(&whole));
        assert!(difference <= TOLERANCE, "{name} is off by {difference}");
        assert_eq!(golden.found(device, 5, |_| ()), whole, "chunks change a logit on {name}");
    }
}

/// Guards the fixture: a model that ignores what it is about must be far from llama.cpp's.
#[track_caller]
fn depends_on(golden: &Golden, change: fn(&mut Rope)) {
    let mut device = Reference::new(1 << 26);
    let found = golden.found(&mut device, 40, |shape| change(&mut shape.rope));
    let difference = golden.difference(&found);
    assert!(difference > 0.1, "off by {difference} only");
}

#[test]
fn llama_with_rope_factors() {
    LLAMA_FACTORS.with_model(|_, model| assert!(model.shape.rope.factors && model.shape.tied_embedding));
    agrees(&LLAMA_FACTORS);
    depends_on(&LLAMA_FACTORS, |rope| rope.factors = false);
    depends_on(&LLAMA_FACTORS, |rope| rope.pairing = Pairing::Halves);
}

#[test]
fn llama_with_linear_scaling() {
    LLAMA_LINEAR.with_model(|_, model| {
        assert_eq!(model.shape.rope.scaling, RopeScaling::Linear { factor: 4.0 });
        assert_eq!((model.shape.kv_heads, model.shape.tied_embedding), (1, false));
    });
    agrees(&LLAMA_LINEAR);
    depends_on(&LLAMA_LINEAR, |rope| rope.scaling = RopeScaling::None);
}

#[test]
fn qwen2_with_biases() {
    QWEN2.with_model(|_, model| assert_eq!(model.program, &model::QWEN2));
    agrees(&QWEN2);
    depends_on(&QWEN2, |rope| rope.pairing = Pairing::Adjacent);
}

#[test]
fn qwen3_with_head_norms() {
    QWEN3.with_model(|_, model| {
        assert_eq!(model.program, &model::QWEN3);
        assert_eq!((model.shape.head_dim, model.shape.query_width()), (32, 128));
    });
    agrees(&QWEN3);
    depends_on(&QWEN3, |rope| rope.pairing = Pairing::Adjacent);
}
