//! The default model on the CPU backend, against what llama.cpp computes from the same weights in F32
//! (`llama_f32_greedy.json`, `gpl-3.txt`).
//!
//! The model has to be on this machine: `cargo xtask model` brings it.

mod golden;

use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::device::{Backend, Device, DeviceOptions, IsaChoice};
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

use golden::{Golden, compare_ids, logit_difference};

/// Largest difference of a logit after the prompt.
const LOGIT_TOLERANCE: f32 = 0.02;

/// New tokens per prompt; golden's are as many.
const TOKENS: u32 = 64;

/// llama.cpp's perplexity of the text with F32 weights, and how far ours may be from it.
const PERPLEXITY: f64 = 18.300;
const PERPLEXITY_TOLERANCE: f64 = 0.02;

const WINDOW: u32 = 512;

/// The model, ready to run.
struct Ready {
    device: Device,
    tokenizer: Tokenizer,
    limits: Limits,
    tables: Tables,
}

impl Ready {
    fn new(ctx: u32, kv: KvType, purpose: Purpose) -> Ready {
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
        let options = DeviceOptions { backend: Backend::Cpu, threads: None, isa: IsaChoice::Auto };
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

fn agrees_with_llama_cpp(kv: KvType) {
    let golden = Golden::read();
    let purpose = Purpose { outcomes: 1, candidates: 64 };
    let mut ready = Ready::new(256, kv, purpose);
    for case in &golden.cases {
        let prompt = ready.tokenizer.encode(&case.prompt, Special::Parse).unwrap();
        assert_eq!(prompt, case.prompt_ids, "{:?}", case.prompt);
        let found = greedy(&mut ready, &prompt, TOKENS);
        let difference = logit_difference(case, &found.candidates[0]);
        let equal = compare_ids(case, &found.ids, TOKENS as usize);
        println!("{kv:?}: logits within {difference}, {equal} of {} tokens equal", found.ids.len());
        assert!(difference <= LOGIT_TOLERANCE, "{kv:?}: off by {difference}");
        if equal == case.output_ids.len() {
            let last = *found.ids.last().unwrap();
            assert_eq!(ready.tokenizer.is_end_of_generation(last), case.hit_eog);
            assert_eq!(ready.tokenizer.decode(&found.ids), case.text);
        }
    }
}

#[test]
fn greedy_text_with_half_precision_keys_and_values() {
    agrees_with_llama_cpp(KvType::F16);
}

#[test]
fn greedy_text_with_single_precision_keys_and_values() {
    agrees_with_llama_cpp(KvType::F32);
}

#[test]
fn perplexity_of_the_gpl() {
    let purpose = Purpose { outcomes: context::CHUNK, candidates: 1 };
    let mut ready = Ready::new(WINDOW, KvType::F16, purpose);
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
