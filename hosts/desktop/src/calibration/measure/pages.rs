//! Sinks, what packed pages cost, and how sure a probable token is: the same text with the context as it is, packed,
//! and shortened.

use agentos_hal::device::PageSummary;
use agentos_hal::{LayerRange, Mass, PAGE_TOKENS, PageError, PageId, Row, StepReport};
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::sequence::Ask;

use super::{CalibrateError, Subject};
use crate::calibration::texts::{Form, documents};
use crate::device::until_ready;
use crate::distribution::{Distance, Distribution};
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

/// Compares what follows in some texts with what follows when their pages were packed, and when they are shorter.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn measure(subject: &mut Subject<'_, '_>) -> Result<Pages, CalibrateError> {
    let mut packing = Distance::default();
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
        packing.add(&plain, &packed);
        let verdict = |(exact, shortened): (&Distribution, &Distribution)| {
            let probability = exact.best().map_or(0.0, |(_, logprob)| logprob.exp());
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
        packing_kl: packing.kl as f32,
        packing_same: packing.top1 as f32,
    })
}

fn first(distribution: &Distribution) -> Option<u32> {
    distribution.best().map(|(token, _)| token)
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
    let mut observe = |_: &[Row], report: &StepReport<'_>| found.extend(Distribution::all(report));
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
        until_ready(|| device.copy_out(page, &mut image))?;
        packing.pack(&image, &mut packed);
        packing.unpack(&packed, &mut image);
        until_ready(|| device.copy_in(page, &image))?;
    }
    Ok(())
}

/// The part of all attention that each token of the first page takes, when all of `rows` were counted in all layers.
fn shares(subject: &mut Subject<'_, '_>, rows: usize) -> Result<[f32; PAGE_TOKENS], CalibrateError> {
    let Some(&page) = subject.runner.sequence.page_ids().first() else { return Ok([0.0; PAGE_TOKENS]) };
    let held = subject.runner.sequence.slices()[0].len.min(PAGE_TOKENS as u32) as usize;
    let mut mean_key = vec![0.0; subject.shape.kv_width() as usize];
    let mut mass = [Mass(0); PAGE_TOKENS];
    let device = &mut *subject.runner.device;
    until_ready(|| device.summarise(page, 0, held, PageSummary { mean_key: &mut mean_key, mass: &mut mass }))
        .map_err(SliceError::Page)?;
    let all = rows as f32 * (subject.shape.heads * subject.shape.layers) as f32;
    Ok(mass.map(|mass| mass.as_f32() / all))
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
