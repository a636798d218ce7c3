//! Packing: what it costs that the pages of a context were packed, by what may follow in the text behind it.
//!
//! The encodings of the cold store are applied to every slice of a context. The kernel's own packing is measured at
//! work: a bounded agent whose slices are packed while it does not attend to them, beside one whose slices are not.

use agentos_hal::{Entry, Limits, PAGE_TOKENS, Row, StepReport, TensorDevice};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::pool::PagePool;
use agentos_kernel::sequence::{Ask, Sequence};
use agentos_store::Encoding;
use serde::Serialize;

use super::reading::foretold;
use super::{Setup, Subject};
use crate::bench::BenchError;
use crate::context::{self, ContextError, Purpose};
use crate::device::until_ready;
use crate::distribution::{Distance, Distribution};
use crate::generate::compute_with;
use crate::knowledge::compute::ComputeError;
use crate::slicing::runner::slices_of;

/// A way of keeping the slices of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// As they are.
    Lossless,
    /// All of them in int8, as the arena (L2) and the store (L3) pack them.
    Int8,
    /// All of them in four bits, as the store packs them.
    K4V4,
    /// The same, but for the first slice, which has the sink.
    K4V4Sink,
    /// By the kernel: those that a bounded agent does not attend to, in int8.
    Kernel,
}

impl Way {
    /// Those in which all slices of a context can be kept.
    pub const ENCODINGS: [Way; 4] = [Way::Lossless, Way::Int8, Way::K4V4, Way::K4V4Sink];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Lossless => "lossless",
            Way::Int8 => "int8",
            Way::K4V4 => "K4V4, sink too",
            Way::K4V4Sink => "K4V4, sink kept full",
            Way::Kernel => "int8, by the kernel",
        }
    }

    /// How a slice is encoded.
    fn encoding(self, slice: usize) -> Encoding {
        match self {
            Way::Int8 => Encoding::Int8,
            Way::K4V4 => Encoding::K4V4,
            Way::K4V4Sink if slice > 0 => Encoding::K4V4,
            _ => Encoding::Lossless,
        }
    }

    /// What becomes of the images of a slice that is kept in this way.
    pub fn keep(self, slice: usize, packing: &Packing, entry: Entry, images: Vec<u8>) -> Vec<u8> {
        let encoding = self.encoding(slice);
        let mut back = vec![0; images.len()];
        encoding.decode(packing, entry, &encoding.encode(packing, entry, images), &mut back);
        back
    }
}

/// What a way costs.
#[derive(Clone, Debug, Serialize)]
pub struct PackingCost {
    /// The way.
    pub way: Way,
    /// Texts.
    pub texts: u32,
    /// Pages that were kept in this way: of all contexts, or that came back to the kernel's page memory.
    pub pages: u64,
    /// How far what may follow is from what does if nothing is packed.
    #[serde(flatten)]
    pub distance: Distance,
}

/// A context of whole slices, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The context.
    pub context: Vec<u32>,
    /// The text behind it.
    pub text: Vec<u32>,
}

/// The longest beginning of a text with whole slices of at most `context` tokens, and `judged` of what follows.
pub fn case(text: &[u32], delimiters: &[Delimiter], context: usize, judged: usize) -> Option<Case> {
    let (ends, _) = slices_of(text, delimiters);
    let end = ends.into_iter().map(|end| end as usize).take_while(|&end| end <= context).last()?;
    let following = text.get(end..end + judged)?;
    Some(Case { context: text[..end].to_vec(), text: following.to_vec() })
}

/// What a device is prepared with for the encodings.
///
/// # Errors
/// [`ContextError`].
pub fn limits(tokens: u32, subject: &Subject<'_>, candidates: u32) -> Result<Limits, ContextError> {
    let purpose = Purpose { outcomes: context::CHUNK, candidates, masks: 0, taps: 0, exposed: 0 };
    context::limits(subject.shape, Some(tokens), subject.kv, purpose)
}

/// What becomes of a slice's page images: its number, what is known of it, and the images.
pub type Keep<'k> = &'k mut dyn FnMut(usize, Entry, Vec<u8>) -> Vec<u8>;

/// What may follow each token of a text behind a context whose slices were all kept in some way; and their pages.
///
/// # Errors
/// [`ComputeError`].
pub fn follow(
    case: &Case,
    (sequence, pool): (&mut Sequence<'_>, &mut PagePool<'_>),
    device: &mut dyn TensorDevice,
    image_bytes: usize,
    keep: Keep<'_>,
) -> Result<(Vec<Distribution>, u64), ComputeError> {
    sequence.reset(pool);
    sequence.push(&case.context, pool)?;
    compute_with(sequence, device, &Ask::default(), &mut |_, _| ())?;
    let mut page = 0;
    for (number, slice) in sequence.slices().iter().enumerate() {
        let pages = &sequence.page_ids()[page..page + (slice.len as usize).div_ceil(PAGE_TOKENS)];
        page += pages.len();
        let entry = Entry { pages: pages.len() as u8, tokens: slice.len as u8, exact: false };
        let mut images = vec![0; pages.len() * image_bytes];
        for (&id, image) in pages.iter().zip(images.chunks_exact_mut(image_bytes)) {
            until_ready(|| device.copy_out(id, image))?;
        }
        let kept = keep(number, entry, images);
        for (&id, image) in pages.iter().zip(kept.chunks_exact(image_bytes)) {
            until_ready(|| device.copy_in(id, image))?;
        }
    }
    let mut next = Vec::new();
    let mut observe = |_: &[Row], report: &StepReport<'_>| next.extend(Distribution::all(report));
    sequence.push_scored(&case.text, case.context.len() as u32, pool)?;
    compute_with(sequence, device, &Ask::default(), &mut observe)?;
    Ok((next, page as u64))
}

/// Measures the encodings.
///
/// # Errors
/// [`ComputeError`].
pub fn measure_encodings(
    cases: &[Case],
    (sequence, pool): (&mut Sequence<'_>, &mut PagePool<'_>),
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
) -> Result<Vec<PackingCost>, ComputeError> {
    let packing = Packing::of(subject.shape, subject.kv);
    let cost = |way| PackingCost { way, texts: 0, pages: 0, distance: Distance::default() };
    let mut costs = Way::ENCODINGS.map(cost).to_vec();
    for case in cases {
        let bytes = packing.image_bytes();
        let (plain, _) = follow(case, (sequence, pool), device, bytes, &mut |_, _, images| images)?;
        for cost in &mut costs {
            let way = cost.way;
            let keep: Keep<'_> = &mut |slice, entry, images| way.keep(slice, &packing, entry, images);
            let (next, pages) = follow(case, (sequence, pool), device, bytes, keep)?;
            cost.texts += 1;
            cost.pages += pages;
            cost.distance.add(&plain, &next);
        }
    }
    Ok(costs)
}

/// Measures the kernel's packing with bounded agents, on a device that was prepared with [`Setup::telling_limits`] of
/// this setup, whether it packs or not.
///
/// # Errors
/// Any [`BenchError`].
pub fn measure_kernel(
    setup: &Setup,
    cases: &[Case],
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
) -> Result<PackingCost, BenchError> {
    let mut cost = PackingCost { way: Way::Kernel, texts: 0, pages: 0, distance: Distance::default() };
    for case in cases {
        let parts = (&case.context[..], &case.text[..]);
        let (plain, _) = foretold(&Setup { packed: false, ..*setup }, parts, subject, device)?;
        let (packed, metrics) = foretold(&Setup { packed: true, ..*setup }, parts, subject, device)?;
        cost.texts += 1;
        cost.pages += metrics.paged_in;
        cost.distance.add(&plain.next()?, &packed.next()?);
    }
    Ok(cost)
}
