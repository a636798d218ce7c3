//! What llama.cpp computed from the default model's weights in F32, and how ours is compared with it.

use serde::Deserialize;

/// Where the best two tokens are closer than this, another order of sums may choose the other.
const NEAR_TIE: f32 = 0.005;

/// All of it.
#[derive(Deserialize)]
pub struct Golden {
    pub cases: Vec<Case>,
}

/// One prompt.
#[derive(Deserialize)]
pub struct Case {
    pub prompt: String,
    pub prompt_ids: Vec<u32>,
    pub last_prompt_logits_top10: Vec<Logit>,
    pub output_ids: Vec<u32>,
    pub top1_minus_top2: Vec<f32>,
    pub hit_eog: bool,
    pub text: String,
}

/// A token's logit.
#[derive(Deserialize)]
pub struct Logit {
    pub id: u32,
    pub logit: f32,
}

impl Golden {
    /// Reads `llama_f32_greedy.json`.
    pub fn read() -> Golden {
        serde_json::from_str(include_str!("llama_f32_greedy.json")).unwrap()
    }
}

/// The largest difference of the logits after the prompt.
pub fn logit_difference(case: &Case, candidates: &[(u32, f32)]) -> f32 {
    let difference = |golden: &Logit| {
        let found = candidates.iter().find(|one| one.0 == golden.id);
        let (_, logit) = found.unwrap_or_else(|| panic!("token {} is no candidate", golden.id));
        (logit - golden.logit).abs()
    };
    case.last_prompt_logits_top10.iter().map(difference).fold(0.0, f32::max)
}

/// Compares tokens, of which at most `most` were asked for, until the first near-tie that fell to the other
/// side; returns how many are equal.
pub fn compare_ids(case: &Case, ids: &[u32], most: usize) -> usize {
    let pairs = case.output_ids.iter().zip(ids);
    let Some(at) = pairs.clone().position(|(golden, found)| golden != found) else {
        assert_eq!(ids.len(), case.output_ids.len().min(most), "{:?}", case.prompt);
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
