//! `Head`: logits, their sums, and the order and choice of candidates.

use agentos_hal::{Candidate, DType, LayerRange, Limits, Want, WeightRole};

use super::{Bench, Check, Failure};
use crate::batch::{Batch, Context, Pool};
use crate::checks::ops::{Both, both, rounding, sizes, width};
use crate::compare::{Apart, largest, worst};
use crate::model::{LIMITS, Model, shape};
use crate::programs;
use crate::rng::Rng;
use crate::tensor::Owned;

pub fn checks() -> Vec<Check> {
    let logits = |dtype: DType| {
        Check::new("Head", dtype.name(), move |bench, rng| {
            let (model, both) = random(bench, rng, dtype)?;
            logits(&model, &both, rounding(bench, "Head", dtype))
        })
    };
    let mut checks: Vec<Check> = DType::ALL.into_iter().map(logits).collect();
    checks.push(Check::new("Head sums", "", |bench, rng| Ok(sums(&random(bench, rng, DType::F32)?.1))));
    checks.push(Check::new("Head order", "ties, masks, scores", order));
    checks
}

/// A step whose outcomes show the logits of all tokens that the masks allow.
fn random(bench: &Bench<'_>, rng: &mut Rng, dtype: DType) -> Result<(Model, Both), Failure> {
    let mut shape = shape(width(dtype, rng), 1, 16, rng.pick(&[2, 31, 32, 33, 100, 257]));
    shape.tied_embedding = rng.one_in(2);
    let gain = rng.pick(&[1.0, 10.0]);
    let model = Model::random(programs::EMBED, shape, rng, |role| match role {
        WeightRole::Output => (dtype, gain),
        _ if shape.tied_embedding => (dtype, 1.0),
        _ => (DType::F32, 1.0),
    });
    let limits = Limits { candidates: shape.vocab, ..LIMITS };
    let batch = asking(&model, &limits, rng);
    let both = both(bench, &model, &limits, batch)?;
    Ok((model, both))
}

/// Rows with every kind of wish, under every kind of mask.
fn asking(model: &Model, limits: &Limits, rng: &mut Rng) -> Batch {
    let vocab = model.shape.vocab;
    let mut batch = Batch::new(&[], LayerRange::NONE);
    let rows = rng.pick(&[1, 2, 9, 33]);
    Context::random(rows, vocab, &mut Pool::new(limits, rng), rng).push(0..rows as usize, &mut batch);
    wishes(&mut batch, vocab, limits.masks, rng);
    batch
}

/// Gives rows every kind of wish, under every kind of mask.
pub fn wishes(batch: &mut Batch, vocab: u32, masks: u32, rng: &mut Rng) {
    for _ in 0..masks {
        batch.masks.push(mask(vocab, rng));
    }
    for row in &mut batch.rows {
        row.want = match rng.among(0..=4) {
            0 => Want::Nothing,
            1 | 2 => Want::Score(rng.among(0..=vocab - 1)),
            _ => Want::Candidates,
        };
        row.mask = if rng.one_in(2) { Some(rng.among(0..=masks - 1) as u16) } else { None };
    }
}

/// All tokens, some, or one; bits beyond the vocabulary are set and mean nothing.
fn mask(vocab: u32, rng: &mut Rng) -> Vec<u32> {
    let kind = rng.among(0..=2);
    let only = rng.among(0..=vocab - 1);
    let mut mask = vec![0; vocab.div_ceil(32) as usize];
    for token in 0..32 * mask.len() as u32 {
        let allowed = token >= vocab || token == only || kind == 0 || (kind == 1 && rng.one_in(2));
        mask[token as usize / 32] |= u32::from(allowed) << (token % 32);
    }
    mask
}

fn allows(mask: Option<&Vec<u32>>, token: u32) -> bool {
    mask.is_none_or(|mask| mask[token as usize / 32] >> (token % 32) & 1 == 1)
}

fn logits(model: &Model, both: &Both, rounding: f64) -> Result<Apart, Failure> {
    let outcomes = both.found.candidates.iter().zip(&both.expected.candidates);
    let weights: Vec<Vec<f64>> =
        (0..model.shape.vocab).map(|token| model.shared(WeightRole::Output).row_magnitude(token)).collect();
    let sizes = sizes(model, &both.batch, &weights, rounding);
    let mut error = Apart::default();
    for (nth, (found, expected)) in outcomes.enumerate() {
        let outcome = both.expected.outcomes[nth];
        let size = &sizes[outcome.row as usize];
        let sorted = |candidates: &[Candidate]| {
            let mut sorted = candidates.to_vec();
            sorted.sort_by_key(|candidate| candidate.token);
            sorted
        };
        let (found, expected) = (sorted(found), sorted(expected));
        let tokens = |all: &[Candidate]| all.iter().map(|one| one.token).collect::<Vec<_>>();
        if tokens(&found) != tokens(&expected) {
            return Err(Failure::Fault(format!("outcome {nth} does not list the tokens that are allowed")));
        }
        let numbers = |all: &[Candidate]| all.iter().map(|one| one.logit).collect::<Vec<_>>();
        let of_candidates =
            worst(&numbers(&found), &numbers(&expected), |i| size[expected[i].token as usize])
                .of(|| format!("candidates of outcome {nth}, by token"));
        let scored = both.found.outcomes[nth].scored;
        let of_score = match both.batch.rows[outcome.row as usize].want {
            Want::Score(token) => worst(&[scored], &[outcome.scored], |_| size[token as usize]),
            _ => Apart::from(f64::from(scored)),
        };
        error = largest([error, of_candidates, of_score]);
    }
    Ok(error)
}

/// Log-sum-exp and entropy of the device's own logits.
fn sums(both: &Both) -> Apart {
    let outcomes = both.found.outcomes.iter().zip(&both.found.candidates);
    largest(outcomes.map(|(outcome, candidates)| {
        let best = f64::from(candidates[0].logit);
        let logits = || candidates.iter().map(|candidate| f64::from(candidate.logit));
        let log_sum_exp = best + logits().map(|logit| (logit - best).exp()).sum::<f64>().ln();
        let entropy: f64 = logits().map(|logit| (logit - log_sum_exp).exp() * (log_sum_exp - logit)).sum();
        // Single precision cannot say more of a large number than its last bit.
        let last_bit = log_sum_exp.abs().max(1.0);
        largest([
            (f64::from(outcome.log_sum_exp) - log_sum_exp).abs() / last_bit,
            (f64::from(outcome.entropy) - entropy).abs() / last_bit,
        ])
    }))
}

/// Small integers as weights: logits are exact in any arithmetic, and many are equal.
fn order(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let shape = shape(32, 1, 16, rng.pick(&[1, 2, 31, 32, 33, 70, 257]));
    let mut model = Model::random(programs::EMBED, shape, rng, |_| (DType::F32, 1.0));
    for tensor in model.tensors.values_mut() {
        let numbers: Vec<f32> =
            (0..shape.vocab * shape.width).map(|_| rng.among(0..=4) as f32 - 2.0).collect();
        *tensor = Owned::of((shape.vocab, shape.width), &numbers);
    }
    let limits = Limits { candidates: rng.pick(&[1, 2, 5, 40, 300]), ..LIMITS };
    let batch = asking(&model, &limits, rng);
    let mut subject = bench.subject(&model, &limits)?;
    let seen = subject.step(&batch)?;
    let wanted = batch.rows.iter().enumerate().filter(|(_, row)| row.want != Want::Nothing);
    let mut faults = 0;
    for (nth, (number, row)) in wanted.enumerate() {
        let hidden = model.shared(WeightRole::TokenEmbedding).row(row.token);
        let logit = |token: u32| {
            let weights = model.shared(WeightRole::Output).row(token);
            weights.iter().zip(&hidden).map(|(weight, x)| weight * x).sum::<f32>()
        };
        let mask = row.mask.map(|mask| &batch.masks[usize::from(mask)]);
        let mut expected: Vec<Candidate> = (0..shape.vocab)
            .filter(|&token| allows(mask, token))
            .map(|token| Candidate { token, logit: logit(token) })
            .collect();
        expected.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
        expected.truncate(limits.candidates as usize);
        let scored = if let Want::Score(token) = row.want { logit(token) } else { 0.0 };
        let outcome = &seen.outcomes[nth];
        faults += u32::from(seen.candidates[nth] != expected)
            + u32::from(outcome.row != number as u32)
            + u32::from(outcome.scored != scored);
    }
    Ok(f64::from(faults))
}
