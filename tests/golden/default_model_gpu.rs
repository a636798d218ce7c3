//! The default model on every GPU adapter of this machine, software drivers included, against what
//! llama.cpp computes from the same weights in F32.
//!
//! The model has to be on this machine: `cargo xtask model` brings it. Where no driver offers an adapter,
//! a line says so, or the test fails if `AGENTOS_REQUIRE_GPU` is set.

mod golden;

use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use agentos_desktop::generate::{self, Request};
use agentos_desktop::host::SystemClock;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::text::{Special, Tokenizer};
use agentos_hal::{KvType, TensorDevice};
use agentos_kernel::sample::{Sampler, Sampling};
use agentos_wgpu::{Choice, Traffic, WgpuDevice, adapters};

use golden::{Golden, compare_ids, logit_difference};

/// Largest difference of a logit after the prompt. Drivers may round a division or a root otherwise than
/// the CPU does.
const LOGIT_TOLERANCE: f32 = 0.05;

/// New tokens per prompt: a software driver takes a tenth of a second for each.
const TOKENS: u32 = 24;

#[test]
fn greedy_text_agrees_with_llama_cpp_on_every_adapter() {
    let found = adapters();
    if found.is_empty() {
        let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
        assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
        println!("LEFT OUT: no Vulkan, Metal or DX12 adapter (Debian: apt-get install mesa-vulkan-drivers)");
    }
    for (index, adapter) in found.iter().enumerate() {
        println!("{adapter}");
        let choice = Choice { adapter: Some(index.to_string()), ..Choice::default() };
        agrees_with_llama_cpp(&mut WgpuDevice::open(choice).unwrap());
    }
}

fn agrees_with_llama_cpp(device: &mut WgpuDevice) {
    let path = DEFAULT_MODEL.path(&Environment::from_process()).unwrap();
    assert!(path.is_file(), "the default model is not at {}; `cargo xtask model` brings it", path.display());
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let file = ModelFile::read(&path, &map, &mut index).unwrap();
    let shape = &file.model.shape;
    let purpose = Purpose { outcomes: 1, candidates: 64 };
    let limits = context::limits(shape, Some(256), KvType::F16, purpose).unwrap();
    device.prepare(file.model.program, shape, &limits, &mut file.weights()).unwrap();
    let tokenizer = model::tokenizer(&path, &file.vocabulary(&path).unwrap(), shape.vocab).unwrap();
    let mut tables = Tables::new(limits, tokenizer.delimiter_classes());
    for case in &Golden::read().cases {
        let prompt = tokenizer.encode(&case.prompt, Special::Parse).unwrap();
        assert_eq!(prompt, case.prompt_ids, "{:?}", case.prompt);
        let (ids, first) = greedy(device, &mut tables, &tokenizer, &prompt);
        let difference = logit_difference(case, &first);
        let equal = compare_ids(case, &ids, TOKENS as usize);
        println!("logits within {difference}, {equal} of {} tokens equal", ids.len());
        assert!(difference <= LOGIT_TOLERANCE, "off by {difference}");
        if equal == ids.len() {
            assert!(case.text.starts_with(&tokenizer.decode(&ids)));
            let ended = ids.last().is_some_and(|&last| tokenizer.is_end_of_generation(last));
            assert_eq!(ended, case.hit_eog && ids.len() == case.output_ids.len());
        }
    }
    let Traffic { steps, submits, passes, bytes_read, dispatches, last_encode, .. } = device.traffic();
    println!(
        "{steps} steps, {} dispatches and {} bytes back in each, the last one encoded in {last_encode:?}",
        dispatches / steps,
        bytes_read / steps
    );
    assert_eq!((submits, passes), (steps, steps), "one submission and one pass a step");
}

/// The tokens, and the candidates that the first one was chosen from.
fn greedy(
    device: &mut WgpuDevice,
    tables: &mut Tables,
    tokenizer: &Tokenizer,
    prompt: &[u32],
) -> (Vec<u32>, Vec<(u32, f32)>) {
    let (mut ids, mut first) = (Vec::new(), Vec::new());
    let (mut sequence, mut pool) = tables.start().unwrap();
    let request = Request {
        prompt,
        sampler: &Sampler::new(Sampling::GREEDY).unwrap(),
        max_tokens: TOKENS,
        is_end: &|token| tokenizer.is_end_of_generation(token),
    };
    let clock = SystemClock::since(std::time::Instant::now());
    generate::generate(&mut sequence, &mut pool, device, &clock, &request, &mut |token| {
        if ids.is_empty() {
            first = token.next.candidates.iter().map(|one| (one.token, one.logit)).collect();
        }
        ids.push(token.choice.token);
        Ok(())
    })
    .unwrap();
    (ids, first)
}
