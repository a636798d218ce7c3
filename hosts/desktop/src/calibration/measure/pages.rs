//! Sinks, what packed pages cost, and how sure a probable token is: the same text with the context as it is, packed,
//! and shortened.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{LayerRange, Mass, PAGE_TOKENS, PageError, PageId, Row, StepReport};
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::sequence::Ask;

use super::{CalibrateError, Subject};
use crate::calibration::texts::{Form, documents};
use crate::generate::compute_with;
use crate::slicing::SliceError;

/// What was found of pages.
pub struct Pages {
    /// Tokens at the beginning that take more attention than any text should.
    pub sink_tokens: u32,
    /// The part of all attention that they take.
    pub sink_share: f32,
    /// The probability from which on the most probable token hardly ever changes with less context.
    pub confident: f32,
    /// How often it stays the same then.
    pub confident_same: f32,
    /// What packing costs, in nats.
    pub packing_kl: f32,
    /// How often the most probable token stays the same.
    pub packing_same: f32,
}

/// A token that takes more than this part of all attention is a sink.
const SINK: f32 = 0.05;

/// Tokens whose next one is compared, in each text.
const JUDGED: usize = 96;

/// Tokens before those when the context is shortened.
const SHORT: usize = 96;

/// How often a confident token has to stay the same.
const SURE: f32 = 0.98;

/// Documents of a text.
const DOCUMENTS: usize = 3;

/// What may follow, the most probable first, with log probabilities.
type Distribution = Vec<(u32, f32)>;

/// Compares what follows in some texts with what follows when their pages were packed, and when they are shorter.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn measure(subject: &mut Subject<'_, '_>) -> Result<Pages, CalibrateError> {
    let (mut kl, mut same, mut count) = (0.0f64, 0u32, 0u32);
    let mut sure: Vec<(f32, bool)> = Vec::new();
    let mut sinks = [0.0f32; PAGE_TOKENS];
    let texts: Vec<String> =
        documents().chunks(DOCUMENTS).map(|some| Form::Flat.parts(some.iter()).concat()).collect();
    for text in &texts {
        let tokens = subject.encode(text)?;
        // A model with a short context gets as much of the text as fits.
        let tokens = &tokens[tokens.len().saturating_sub(subject.runner.context as usize)..];
        let (context, judged) = tokens.split_at(tokens.len().saturating_sub(JUDGED));
        let plain = distributions(subject, context, judged, false)?;
        for (sink, share) in sinks.iter_mut().zip(shares(subject, tokens.len())?) {
            *sink += share / texts.len() as f32;
        }
        let packed = distributions(subject, context, judged, true)?;
        let short = &context[context.len().saturating_sub(SHORT)..];
        let shortened = distributions(subject, short, judged, false)?;
        for (exact, packed) in plain.iter().zip(&packed) {
            kl += divergence(exact, packed);
            same += u32::from(first(exact) == first(packed));
            count += 1;
        }
        let verdict = |(exact, shortened): (&Distribution, &Distribution)| {
            let probability = exact.first().map_or(0.0, |(_, logprob)| logprob.exp());
            (probability, first(exact) == first(shortened))
        };
        sure.extend(plain.iter().zip(&shortened).map(verdict));
    }
    let (confident, confident_same) = confident(&mut sure);
    let sink_tokens = sinks.iter().take_while(|&&share| share >= SINK).count();
    Ok(Pages {
        sink_tokens: sink_tokens as u32,
        sink_share: sinks[..sink_tokens].iter().sum::<f32>().min(1.0),
        confident,
        confident_same,
        packing_kl: (kl / f64::from(count.max(1))) as f32,
        packing_same: same as f32 / count.max(1) as f32,
    })
}

fn first(distribution: &Distribution) -> Option<u32> {
    distribution.first().map(|(token, _)| *token)
}

/// What follows each of the judged tokens but the last, behind a context whose pages may have been packed.
fn distributions(
    subject: &mut Subject<'_, '_>,
    context: &[u32],
    judged: &[u32],
    packed: bool,
) -> Result<Vec<Distribution>, CalibrateError> {
    subject.reset();
    let counters = LayerRange { start: 0, end: subject.shape.layers };
    subject.compute(context, &[], counters, &mut |_| ())?;
    if packed {
        let pages = subject.runner.sequence.page_ids().to_vec();
        pack(subject, &pages).map_err(SliceError::Page)?;
    }
    let mut found = Vec::with_capacity(judged.len());
    let mut observe = |_: &[Row], report: &StepReport<'_>| {
        for (index, outcome) in report.outcomes.iter().enumerate() {
            let candidates = report.candidates_of(index).iter();
            found.push(candidates.map(|one| (one.token, one.logit - outcome.log_sum_exp)).collect());
        }
    };
    let runner = &mut subject.runner;
    runner.sequence.push_scored(judged, context.len() as u32, runner.pool)?;
    let ask = Ask { counters, ..Ask::default() };
    compute_with(runner.sequence, runner.device, &ask, &mut observe)?;
    Ok(found)
}

/// Packs pages and unpacks them in place.
fn pack(subject: &mut Subject<'_, '_>, pages: &[PageId]) -> Result<(), PageError> {
    let packing = Packing::of(subject.shape, subject.kv);
    let mut image = vec![0; packing.image_bytes()];
    let mut packed = vec![0; packing.packed_bytes()];
    let device = &mut *subject.runner.device;
    for &page in pages {
        wait(|| device.copy_out(page, &mut image))?;
        packing.pack(&image, &mut packed);
        packing.unpack(&packed, &mut image);
        wait(|| device.copy_in(page, &image))?;
    }
    Ok(())
}

fn wait(mut step: impl FnMut() -> Poll<Result<(), PageError>>) -> Result<(), PageError> {
    loop {
        match step() {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// The part of all attention that each token of the first page takes, when all of `rows` were counted in all layers.
fn shares(subject: &mut Subject<'_, '_>, rows: usize) -> Result<[f32; PAGE_TOKENS], CalibrateError> {
    let Some(&page) = subject.runner.sequence.page_ids().first() else { return Ok([0.0; PAGE_TOKENS]) };
    let held = subject.runner.sequence.slices()[0].len.min(PAGE_TOKENS as u32) as usize;
    let mut mean_key = vec![0.0; subject.shape.kv_width() as usize];
    let mut mass = [Mass(0); PAGE_TOKENS];
    let device = &mut *subject.runner.device;
    wait(|| device.summarise(page, 0, held, PageSummary { mean_key: &mut mean_key, mass: &mut mass }))
        .map_err(SliceError::Page)?;
    let all = rows as f32 * (subject.shape.heads * subject.shape.layers) as f32;
    Ok(mass.map(|mass| mass.as_f32() / all))
}

/// KL divergence of two distributions in nats, by what is probable in the first: the rest counts as one.
fn divergence(exact: &Distribution, other: &Distribution) -> f64 {
    let (mut kl, mut exact_rest, mut other_rest) = (0.0, 1.0f64, 1.0f64);
    for (token, logprob) in exact {
        let Some((_, found)) = other.iter().find(|(other, _)| other == token) else { continue };
        let (p, q) = (f64::from(*logprob).exp(), f64::from(*found).exp());
        kl += p * (f64::from(*logprob) - f64::from(*found));
        exact_rest -= p;
        other_rest -= q;
    }
    if exact_rest > 0.0 && other_rest > 0.0 {
        kl += exact_rest * (exact_rest / other_rest).ln();
    }
    kl.max(0.0)
}

/// The least probability from which on so many of the tokens stay the same, and how many do.
fn confident(sure: &mut [(f32, bool)]) -> (f32, f32) {
    sure.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut same, mut best) = (0u32, (1.0, 1.0));
    for (count, (probability, stays)) in (1u32..).zip(sure.iter()) {
        same += u32::from(*stays);
        let part = same as f32 / count as f32;
        if part >= SURE {
            best = (*probability, part);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let distribution =
            |p: &[f64]| -> Distribution { (0..).zip(p).map(|(token, p)| (token, p.ln() as f32)).collect() };
        let (a, b) = (distribution(&[0.5, 0.3, 0.2]), distribution(&[0.4, 0.4, 0.2]));
        let expected = 0.5 * (0.5f64 / 0.4).ln() + 0.3 * (0.3f64 / 0.4).ln();
        assert!((divergence(&a, &b) - expected).abs() < 1e-6);
        assert!(divergence(&a, &a).abs() < 1e-6);
        // What is not among the candidates of both is one rest.
        let (a, b) = (distribution(&[0.5, 0.2]), distribution(&[0.25, 0.6]));
        let rest = 0.3 * (0.3f64 / 0.15).ln();
        let expected = 0.5 * 2f64.ln() + 0.2 * (0.2f64 / 0.6).ln() + rest;
        assert!((divergence(&a, &b) - expected).abs() < 1e-6);
        assert_eq!(divergence(&Vec::new(), &Vec::new()), 0.0);
    }

    #[test]
    fn confidence_is_where_hardly_any_token_changes() {
        let mut sure: Vec<(f32, bool)> = (0..100).map(|n| (n as f32 / 100.0, n >= 40)).collect();
        let (threshold, same) = confident(&mut sure);
        // Sixty stay, and one more of sixty-one is still enough.
        assert_eq!(threshold, 0.39);
        assert!((0.98..1.0).contains(&same));
        assert_eq!(confident(&mut [(0.9, false)]), (1.0, 1.0));
        assert_eq!(confident(&mut []), (1.0, 1.0));
    }
}
