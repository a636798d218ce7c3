//! What llama.cpp computed from the default model's weights in F32, and how a device is held to it.

use std::time::Instant;

use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::generate::{self, Request};
use agentos_desktop::host::SystemClock;
use agentos_desktop::text::{Special, Tokenizer};
use agentos_hal::{KvType, TensorDevice};
use agentos_kernel::sample::{Sampler, Sampling};
use agentos_tests::default_model::with_default_model;
use serde::Deserialize;

/// How far a device may be from the golden numbers.
#[derive(Clone, Copy)]
pub struct Allowed {
    /// Largest difference of a logit after the prompt.
    pub logit: f32,
    /// Where the best two tokens are closer than this, the other one may be chosen.
    pub near_tie: f32,
}

impl Allowed {
    /// Nothing but another order of sums, and roundings that change a logit by so much.
    #[allow(dead_code, reason = "not every test allows the same of every case")]
    pub fn in_sums(logit: f32) -> impl Fn(&[u32]) -> Allowed {
        move |_| Allowed { logit, near_tie: 0.005 }
    }
}

/// A context that the cases fit in.
pub const CONTEXT: u32 = 256;

/// The default model on a device, ready to run.
pub struct Ready<'d> {
    pub device: &'d mut dyn TensorDevice,
    pub tokenizer: Tokenizer,
    pub tables: Tables,
}

impl<'d> Ready<'d> {
    pub fn new(device: &'d mut dyn TensorDevice, context: u32, kv: KvType, purpose: Purpose) -> Ready<'d> {
        with_default_model(|model| {
            let shape = &model.file.model.shape;
            let limits = context::limits(shape, Some(context), kv, purpose).unwrap();
            device.prepare(model.file.model.program, shape, &limits, &mut model.file.weights()).unwrap();
            let tokenizer = model.tokenizer();
            let tables = Tables::new(limits, tokenizer.delimiter_classes());
            Ready { device, tokenizer, tables }
        })
    }

    /// Greedy tokens, and the candidates that the first one was chosen from.
    pub fn greedy(&mut self, prompt: &[u32], max_tokens: u32) -> (Vec<u32>, Vec<(u32, f32)>) {
        let (mut ids, mut first) = (Vec::new(), Vec::new());
        let (mut sequence, mut pool) = self.tables.start().unwrap();
        let request = Request {
            prompt,
            sampler: &Sampler::new(Sampling::GREEDY).unwrap(),
            max_tokens,
            is_end: &|token| self.tokenizer.is_end_of_generation(token),
        };
        let clock = SystemClock::since(Instant::now());
        generate::generate(&mut sequence, &mut pool, self.device, &clock, &request, None, &mut |token| {
            if ids.is_empty() {
                first = token.next.candidates.iter().map(|one| (one.token, one.logit)).collect();
            }
            ids.push(token.choice.token);
            Ok(())
        })
        .unwrap();
        (ids, first)
    }
}

/// Holds a device to every case: logits after the prompt, and the same first `tokens` tokens but for near-ties,
/// within what is `allowed` for the prompt.
pub fn agrees_with_llama_cpp(
    device: &mut dyn TensorDevice,
    kv: KvType,
    tokens: u32,
    allowed: impl Fn(&[u32]) -> Allowed,
) {
    let mut ready = Ready::new(device, CONTEXT, kv, Purpose::GENERATE);
    for case in &Golden::read().cases {
        let prompt = ready.tokenizer.encode(&case.prompt, Special::Parse).unwrap();
        assert_eq!(prompt, case.prompt_ids, "{:?}", case.prompt);
        let (ids, first) = ready.greedy(&prompt, tokens);
        let difference = logit_difference(case, &first);
        let allowed = allowed(&prompt);
        let equal = compare_ids(case, &ids, tokens as usize, allowed.near_tie);
        println!("KV {kv:?}: logits within {difference}, {equal} of {} tokens equal", ids.len());
        assert!(difference <= allowed.logit, "KV {kv:?}: off by {difference}");
        if equal == ids.len() {
            let whole = ids.len() == case.output_ids.len();
            let text = ready.tokenizer.decode(&ids);
            assert!(if whole { text == case.text } else { case.text.starts_with(&text) }, "{text:?}");
            let ended = ids.last().is_some_and(|&last| ready.tokenizer.is_end_of_generation(last));
            assert_eq!(ended, case.hit_eog && whole);
        }
    }
}

/// The prompts of all cases.
#[allow(dead_code, reason = "not every test asks what a prompt allows")]
pub fn prompts() -> Vec<Vec<u32>> {
    Golden::read().cases.into_iter().map(|case| case.prompt_ids).collect()
}

/// All of it.
#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

/// One prompt.
#[derive(Deserialize)]
struct Case {
    prompt: String,
    prompt_ids: Vec<u32>,
    last_prompt_logits_top10: Vec<Logit>,
    output_ids: Vec<u32>,
    top1_minus_top2: Vec<f32>,
    hit_eog: bool,
    text: String,
}

/// A token's logit.
#[derive(Deserialize)]
struct Logit {
    id: u32,
    logit: f32,
}

impl Golden {
    /// Reads `llama_f32_greedy.json`.
    fn read() -> Golden {
        serde_json::from_str(include_str!("llama_f32_greedy.json")).unwrap()
    }
}

/// The largest difference of the logits after the prompt.
fn logit_difference(case: &Case, candidates: &[(u32, f32)]) -> f32 {
    let difference = |golden: &Logit| {
        let found = candidates.iter().find(|one| one.0 == golden.id);
        let (_, logit) = found.unwrap_or_else(|| panic!("token {} is no candidate", golden.id));
        (logit - golden.logit).abs()
    };
    case.last_prompt_logits_top10.iter().map(difference).fold(0.0, f32::max)
}

/// Compares tokens, of which at most `most` were asked for, until the first near-tie that fell to the other
/// side; returns how many are equal.
fn compare_ids(case: &Case, ids: &[u32], most: usize, near_tie: f32) -> usize {
    let pairs = case.output_ids.iter().zip(ids);
    let Some(at) = pairs.clone().position(|(golden, found)| golden != found) else {
        assert_eq!(ids.len(), case.output_ids.len().min(most), "{:?}", case.prompt);
        return ids.len();
    };
    let margin = case.top1_minus_top2[at];
    assert!(
        margin < near_tie,
        "token {at} after {:?} is {}, not {}, and no near-tie: the margin is {margin}",
        case.prompt,
        ids[at],
        case.output_ids[at]
    );
    at
}
