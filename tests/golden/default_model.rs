//! The default model on the CPU backend, against what llama.cpp computes from the same weights in F32
//! (`llama_f32_greedy.json`, `gpl-3.txt`).
//!
//! The model has to be on this machine: `cargo xtask model` brings it.

mod golden;

use agentos_desktop::context::{self, Purpose};
use agentos_desktop::device::{Activations, Device, DeviceOptions};
use agentos_desktop::perplexity;
use agentos_desktop::text::Special;
use agentos_hal::KvType;
use agentos_kernel::score::Likelihood;

use golden::{Allowed, Ready};

/// Largest difference of a logit after the prompt.
const LOGIT_TOLERANCE: f32 = 0.02;

/// New tokens per prompt; golden's are as many.
const TOKENS: u32 = 64;

/// llama.cpp's perplexity of the text with F32 weights, and how far ours may be from it.
const PERPLEXITY: f64 = 18.300;
const PERPLEXITY_TOLERANCE: f64 = 0.02;

const WINDOW: u32 = 512;

fn cpu(activations: Activations) -> Device {
    Device::open(&DeviceOptions { activations, ..DeviceOptions::cpu() }).unwrap()
}

fn agrees_with_llama_cpp(kv: KvType, activations: Activations) {
    println!("inputs {activations:?}");
    golden::agrees_with_llama_cpp(
        cpu(activations).tensor_device(),
        kv,
        TOKENS,
        Allowed::in_sums(LOGIT_TOLERANCE),
    );
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
    let purpose = Purpose { outcomes: context::CHUNK, candidates: 1, ..Purpose::GENERATE };
    let mut device = cpu(activations);
    let mut ready = Ready::new(device.tensor_device(), WINDOW, KvType::F16, purpose);
    let text = include_str!("gpl-3.txt");
    let tokens = ready.tokenizer.encode(text, Special::AsText).unwrap();
    let mut likelihood = Likelihood::default();
    let (mut sequence, mut pool) = ready.tables.start().unwrap();
    for window in perplexity::windows(&tokens, WINDOW).unwrap() {
        let bos = ready.tokenizer.leading_bos();
        perplexity::judge(window, bos, &mut sequence, &mut pool, ready.device, &mut likelihood).unwrap();
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
