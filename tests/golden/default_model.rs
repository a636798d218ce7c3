//! The default model on the CPU backend, against what llama.cpp computes from the same weights in F32
//! (`llama_f32_greedy.json`, `gpl-3.txt`).
//!
//! The model has to be on this machine: `cargo xtask model` brings it.

use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::device::{Activations, Backend, Device, DeviceOptions, IsaChoice};
use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use agentos_desktop::generate::{self, Request};
use agentos_desktop::host::SystemClock;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::perplexity;
use agentos_desktop::text::{Special, Tokenizer};
use agentos_hal::{KvType, Limits};
use agentos_kernel::sample::{Sampler, Sampling};
use agentos_kernel::score::Likelihood;
use serde::Deserialize;

/// Largest difference of a logit after the prompt.
const LOGIT_TOLERANCE: f32 = 0.02;

/// Where the best two tokens are closer than this, another order of sums may choose the other.
const NEAR_TIE: f32 = 0.005;

/// llama.cpp's perplexity of the text with F32 weights, and how far ours may be from it.
const PERPLEXITY: f64 = 18.300;
const PERPLEXITY_TOLERANCE: f64 = 0.02;

const WINDOW: u32 = 512;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

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

#[derive(Deserialize)]
struct Logit {
    id: u32,
    logit: f32,
}

/// The model, ready to run.
struct Ready {
    device: Device,
    tokenizer: Tokenizer,
    limits: Limits,
    tables: Tables,
}

impl Ready {
    fn new(ctx: u32, kv: KvType, activations: Activations, purpose: Purpose) -> Ready {
        let path = DEFAULT_MODEL.path(&Environment::from_process()).unwrap();
        assert!(
            path.is_file(),
            "the default model is not at {}; `cargo xtask model` brings it",
            path.display()
        );
        let map = ModelMap::open(&path).unwrap();
        let mut index = model::index(&path, &map).unwrap();
        let file = ModelFile::read(&path, &map, &mut index).unwrap();
        let limits = context::limits(&file.model.shape, Some(ctx), kv, purpose).unwrap();
        let options =
            DeviceOptions { backend: Backend::Cpu, threads: None, isa: IsaChoice::Auto, activations };
        let mut device = Device::open(&options).unwrap();
        device.prepare(&file.model, &limits, &mut file.weights()).unwrap();
        let vocabulary = file.vocabulary(&path).unwrap();
        let tokenizer = model::tokenizer(&path, &vocabulary, file.model.shape.vocab).unwrap();
        let tables = Tables::new(limits, tokenizer.delimiter_classes());
        Ready { device, tokenizer, limits, tables }
    }
}

/// A greedy generation: the tokens, and per token the candidates it was chosen from.
struct Found {
    ids: Vec<u32>,
    candidates: Vec<Vec<(u32, f32)>>,
}

fn greedy(ready: &mut Ready, prompt: &[u32], max_tokens: u32) -> Found {
    let mut found = Found { ids: Vec::new(), candidates: Vec::new() };
    let (mut sequence, mut pool) = ready.tables.start().unwrap();
    let request = Request {
        prompt,
        sampler: &Sampler::new(Sampling::GREEDY).unwrap(),
        max_tokens,
        is_end: &|token| ready.tokenizer.is_end_of_generation(token),
    };
    generate::generate(
        &mut sequence,
        &mut pool,
        ready.device.tensor_device(),
        &SystemClock::since(std::time::Instant::now()),
        &request,
        &mut |token| {
            found.ids.push(token.choice.token);
            let candidates = token.next.candidates.iter();
            found.candidates.push(candidates.map(|one| (one.token, one.logit)).collect());
            Ok(())
        },
    )
    .unwrap();
    found
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

/// Compares tokens until the first near-tie that fell to the other side; returns how many are equal.
fn compare_ids(case: &Case, ids: &[u32]) -> usize {
    let pairs = case.output_ids.iter().zip(ids);
    let Some(at) = pairs.clone().position(|(golden, found)| golden != found) else {
        assert_eq!(ids.len(), case.output_ids.len(), "{:?}", case.prompt);
        return ids.len();
    };
    let margin = case.top1_minus_top2[at];
    assert!(
        margin < NEAR_TIE,
        "token {at} after {:?} is {}, not {}, and no near-tie: the margin is {margin}",
        case.prompt,
        ids[at],
        case.output_ids[at]
    );
    at
}

fn agrees_with_llama_cpp(kv: KvType, activations: Activations) {
    let golden: Golden = serde_json::from_str(include_str!("llama_f32_greedy.json")).unwrap();
    let purpose = Purpose { outcomes: 1, candidates: 64 };
    let mut ready = Ready::new(256, kv, activations, purpose);
    for case in &golden.cases {
        let prompt = ready.tokenizer.encode(&case.prompt, Special::Parse).unwrap();
        assert_eq!(prompt, case.prompt_ids, "{:?}", case.prompt);
        let found = greedy(&mut ready, &prompt, 64);
        let difference = logit_difference(case, &found.candidates[0]);
        let equal = compare_ids(case, &found.ids);
        println!(
            "KV {kv:?}, inputs {activations:?}: logits within {difference}, {equal} of {} tokens equal",
            found.ids.len()
        );
        assert!(difference <= LOGIT_TOLERANCE, "KV {kv:?}, inputs {activations:?}: off by {difference}");
        if equal == case.output_ids.len() {
            let last = *found.ids.last().unwrap();
            assert_eq!(ready.tokenizer.is_end_of_generation(last), case.hit_eog);
            assert_eq!(ready.tokenizer.decode(&found.ids), case.text);
        }
    }
}

#[test]
fn greedy_text_as_users_get_it() {
    agrees_with_llama_cpp(KvType::F16, Activations::Int16);
}

#[test]
fn greedy_text_with_single_precision_keys_and_values() {
    agrees_with_llama_cpp(KvType::F32, Activations::Int16);
}

#[test]
fn greedy_text_with_single_precision_inputs() {
    agrees_with_llama_cpp(KvType::F16, Activations::F32);
}

#[test]
fn greedy_text_with_single_precision_throughout() {
    agrees_with_llama_cpp(KvType::F32, Activations::F32);
}

fn perplexity_of_the_gpl(activations: Activations) {
    let purpose = Purpose { outcomes: context::CHUNK, candidates: 1 };
    let mut ready = Ready::new(WINDOW, KvType::F16, activations, purpose);
    let text = include_str!("gpl-3.txt");
    let tokens = ready.tokenizer.encode(text, Special::AsText).unwrap();
    let mut likelihood = Likelihood::default();
    let (mut sequence, mut pool) = ready.tables.start().unwrap();
    for window in perplexity::windows(&tokens, ready.limits.context).unwrap() {
        let (device, bos) = (ready.device.tensor_device(), ready.tokenizer.leading_bos());
        perplexity::judge(window, bos, &mut sequence, &mut pool, device, &mut likelihood).unwrap();
    }
    let (found, error) = likelihood.perplexity().unwrap();
    println!("perplexity {found:.4} +/- {error:.4} over {} tokens", likelihood.tokens());
    assert!((found - PERPLEXITY).abs() <= PERPLEXITY_TOLERANCE, "{found}");
}

#[test]
fn perplexity_of_the_gpl_as_users_get_it() {
    perplexity_of_the_gpl(Activations::Int16);
}

#[test]
fn perplexity_of_the_gpl_with_single_precision_inputs() {
    perplexity_of_the_gpl(Activations::F32);
}
