use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn sampler(change: impl FnOnce(&mut Sampling)) -> Sampler {
    let mut sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    change(&mut sampling);
    Sampler::new(sampling).unwrap()
}

/// Candidates with tokens 0, 1, 2 … of these logits; `beyond` is the probability of all others.
struct Field {
    candidates: Vec<Candidate>,
    log_sum_exp: f32,
}

impl Field {
    fn new(logits: &[f32], beyond: f64) -> Field {
        let candidates: Vec<_> =
            logits.iter().zip(0..).map(|(&logit, token)| Candidate { token, logit }).collect();
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        Field { candidates, log_sum_exp: (sum / (1.0 - beyond)).ln() as f32 }
    }

    fn of_probabilities(probabilities: &[f64]) -> Field {
        let logits: Vec<_> = probabilities.iter().map(|p| p.ln() as f32).collect();
        Field::new(&logits, 1.0 - probabilities.iter().sum::<f64>())
    }

    fn choose(&self, sampler: &Sampler, past: &[u32], address: u32) -> Choice {
        let next = Next { candidates: &self.candidates, log_sum_exp: self.log_sum_exp, entropy: 0.0 };
        let mut scratch = vec![Weighed::default(); self.candidates.len()];
        sampler.choose(&next, past, address, &mut scratch)
    }

    fn counts(&self, sampler: &Sampler, draws: u32) -> Vec<u32> {
        let mut counts = vec![0; self.candidates.len()];
        (0..draws).for_each(|address| counts[self.choose(sampler, &[], address).token as usize] += 1);
        counts
    }
}

fn chi_square(counts: &[u32], probabilities: &[f64]) -> f64 {
    let draws: u32 = counts.iter().sum();
    let terms = counts.iter().zip(probabilities).map(|(&count, p)| {
        let expected = f64::from(draws) * p;
        (f64::from(count) - expected).powi(2) / expected
    });
    terms.sum()
}

#[test]
fn greedy_takes_the_best_and_reports_its_probability() {
    let field = Field::of_probabilities(&[0.5, 0.3, 0.1]);
    let greedy = Sampler::new(Sampling::GREEDY).unwrap();
    let choice = field.choose(&greedy, &[], 3);
    assert_eq!(choice.token, 0);
    assert!((choice.logprob - 0.5f32.ln()).abs() < 1e-6);
    let tie = Field::new(&[1.0, 1.0], 0.0);
    assert_eq!(tie.choose(&greedy, &[], 0).token, 0);
}

/// Three degrees of freedom: 16.3 is exceeded once in a thousand seeds.
#[test]
fn draws_follow_the_distribution() {
    let probabilities = [0.4, 0.3, 0.2, 0.1];
    let counts = Field::of_probabilities(&probabilities).counts(&sampler(|_| ()), 20_000);
    assert!(chi_square(&counts, &probabilities) < 16.3, "{counts:?}");
}

#[test]
fn temperature_sharpens_and_flattens() {
    let field = Field::of_probabilities(&[0.4, 0.3, 0.2, 0.1]);
    let squares = [0.16 / 0.3, 0.09 / 0.3, 0.04 / 0.3, 0.01 / 0.3];
    let sharp = field.counts(&sampler(|s| s.temperature = 0.5), 20_000);
    assert!(chi_square(&sharp, &squares) < 16.3, "{sharp:?}");
    let flat = field.counts(&sampler(|s| s.temperature = 1e6), 20_000);
    assert!(chi_square(&flat, &[0.25; 4]) < 16.3, "{flat:?}");
    let cold = field.counts(&sampler(|s| s.temperature = 1e-30), 100);
    assert_eq!(cold, [100, 0, 0, 0]);
}

#[test]
fn filters_keep_what_they_say() {
    let field = Field::of_probabilities(&[0.4, 0.3, 0.15, 0.1]);
    let kept = |change: &dyn Fn(&mut Sampling)| {
        let counts = field.counts(&sampler(|s| change(s)), 2_000);
        counts.iter().filter(|&&count| count > 0).count()
    };
    assert_eq!(kept(&|_| ()), 4);
    assert_eq!(kept(&|s| s.top_k = 2), 2);
    assert_eq!(kept(&|s| s.top_k = 100), 4);
    assert_eq!(kept(&|s| s.top_p = 0.39), 1);
    assert_eq!(kept(&|s| s.top_p = 0.69), 2);
    assert_eq!(kept(&|s| s.top_p = 0.71), 3);
    // What lies beyond the candidates counts: they never reach it, so all are kept.
    assert_eq!(kept(&|s| s.top_p = 0.96), 4);
    // After top-k the two left share everything, 0.4 to 0.3.
    assert_eq!(kept(&|s| (s.top_k, s.top_p) = (2, 0.56)), 1);
    assert_eq!(kept(&|s| s.min_p = 0.3), 3);
    assert_eq!(kept(&|s| s.min_p = 1.0), 1);
}

#[test]
fn the_penalty_reaches_back_as_far_as_its_window() {
    let field = Field::new(&[2.0, 1.9, -1.0], 0.1);
    let greedy = |window| {
        let sampling = Sampling { repeat_penalty: 1.5, repeat_window: window, ..Sampling::GREEDY };
        Sampler::new(sampling).unwrap()
    };
    assert_eq!(field.choose(&greedy(2), &[0, 7, 7], 3).token, 0);
    let choice = field.choose(&greedy(3), &[0, 7, 7], 3);
    assert_eq!((choice.token, choice.logit), (1, 1.9));
    assert_eq!(field.choose(&greedy(0), &[0], 1).token, 0);
    // All are penalised: the order is that of the penalised logits, 1.33, 1.27, -1.5.
    assert_eq!(field.choose(&greedy(9), &[0, 1, 2], 3).token, 0);
}

#[test]
fn a_penalty_moves_mass_before_top_p_sees_it() {
    // The best candidate falls from 0.6 to about 0.6^2 = 0.36 of a mass of 0.76.
    let field = Field::of_probabilities(&[0.6, 0.4]);
    let sampler = sampler(|s| (s.repeat_penalty, s.top_p) = (2.0, 0.5));
    for address in 0..200 {
        assert_eq!(field.choose(&sampler, &[0], address).token, 1);
    }
}

#[test]
fn wrong_parameters_are_named() {
    let refused = |change: &dyn Fn(&mut Sampling)| {
        let mut sampling = Sampling::GREEDY;
        change(&mut sampling);
        Sampler::new(sampling).unwrap_err()
    };
    assert_eq!(
        refused(&|s| s.temperature = -1.0).to_string(),
        "temperature is -1; accepted is a number of at least 0"
    );
    assert_eq!(refused(&|s| s.temperature = f32::NAN).name, "temperature");
    assert_eq!(refused(&|s| s.temperature = f32::INFINITY).name, "temperature");
    assert_eq!(refused(&|s| s.top_p = 0.0).name, "top-p");
    assert_eq!(refused(&|s| s.top_p = f32::NAN).name, "top-p");
    assert_eq!(refused(&|s| s.min_p = 1.1).name, "min-p");
    assert_eq!(refused(&|s| s.repeat_penalty = 0.0).name, "repeat-penalty");
}

proptest! {
    /// Any finite logits under any accepted parameters: a candidate is chosen, the same one twice,
    /// and its numbers are the device's.
    #[test]
    fn a_choice_is_always_a_candidate(
        logits in proptest::collection::vec(prop_oneof![-30f32..30.0, -1e38f32..1e38, Just(0.0)], 1..20),
        log_sum_exp in -40f32..1e38,
        temperature in prop_oneof![Just(0.0), 1e-40f32..1e38, 0.1f32..2.0],
        top_k in 0u32..30,
        top_p in 1e-30f32..=1.0,
        min_p in 0f32..=1.0,
        repeat_penalty in prop_oneof![1e-30f32..1e30, 0.5f32..2.0],
        past in proptest::collection::vec(0u32..20, 0..20),
        seed in any::<u64>(),
        address in any::<u32>(),
    ) {
        let mut field = Field::new(&logits, 0.0);
        field.log_sum_exp = log_sum_exp;
        let sampling = Sampling { temperature, top_k, top_p, min_p, repeat_penalty, repeat_window: 10, seed };
        let sampler = Sampler::new(sampling).unwrap();
        let choice = field.choose(&sampler, &past, address);
        prop_assert_eq!(choice.logit, logits[choice.token as usize]);
        prop_assert_eq!(choice, field.choose(&sampler, &past, address));
        prop_assert!(!choice.logprob.is_nan());
    }
}
