//! The default model on this machine's OpenCL device, PoCL included, against what llama.cpp computes from
//! the same weights in F32.
//!
//! The model has to be on this machine: `cargo xtask model` brings it. Where there is no device, a line says
//! so, or the test fails if `AGENTOS_REQUIRE_GPU` is set.

mod golden;

use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use agentos_desktop::generate::{self, Request};
use agentos_desktop::host::SystemClock;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_hal::{KvType, TensorDevice};
use agentos_kernel::sample::{Sampler, Sampling};
use agentos_opencl::OpenClDevice;

use golden::{Golden, compare_ids, logit_difference};

/// Largest difference of a logit after the prompt: `exp` and roots are the driver's.
const LOGIT_TOLERANCE: f32 = 0.05;

/// New tokens per prompt.
const TOKENS: u32 = 24;

#[test]
fn greedy_text_agrees_with_llama_cpp() {
    let mut device = match OpenClDevice::new() {
        Ok(device) => device,
        Err(error) => {
            assert!(std::env::var_os("AGENTOS_REQUIRE_GPU").is_none(), "{error}");
            println!("LEFT OUT: {error}");
            return;
        }
    };
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
        let (mut ids, mut first) = (Vec::new(), Vec::new());
        let (mut sequence, mut pool) = tables.start().unwrap();
        let request = Request {
            prompt: &case.prompt_ids,
            sampler: &Sampler::new(Sampling::GREEDY).unwrap(),
            max_tokens: TOKENS,
            is_end: &|token| tokenizer.is_end_of_generation(token),
        };
        let clock = SystemClock::since(std::time::Instant::now());
        generate::generate(&mut sequence, &mut pool, &mut device, &clock, &request, &mut |token| {
            if ids.is_empty() {
                first = token.next.candidates.iter().map(|one| (one.token, one.logit)).collect();
            }
            ids.push(token.choice.token);
            Ok(())
        })
        .unwrap();
        let difference = logit_difference(case, &first);
        let equal = compare_ids(case, &ids, TOKENS as usize);
        println!("logits within {difference}, {equal} of {} tokens equal", ids.len());
        assert!(difference <= LOGIT_TOLERANCE, "off by {difference}");
        if equal == ids.len() {
            let ended = ids.last().is_some_and(|&last| tokenizer.is_end_of_generation(last));
            assert_eq!(ended, case.hit_eog && ids.len() == case.output_ids.len());
            assert!(case.text.starts_with(&tokenizer.decode(&ids)));
        }
    }
}
