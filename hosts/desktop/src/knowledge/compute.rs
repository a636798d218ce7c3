//! Computing passages behind a collection's shared beginning: page images, and what finds them.

use agentos_hal::device::PageSummary;
use agentos_hal::{
    KvType, LayerRange, Limits, Mass, ModelShape, PAGE_TOKENS, PageError, Reg, Row, StepReport, Tap,
    TensorDevice,
};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sequence::{Ask, Sequence, SequenceError};
use agentos_kernel::slicing::schema::heavy_tokens;

use crate::calibration::Calibration;
use crate::context::{self, ContextError, Purpose};
use crate::device::until_ready;
use crate::generate::compute_with;

/// Which layers say what of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Where queries and mean keys tell what is relevant, and attention what is held on to.
    pub relevance: u32,
    /// Whose hidden rows tell what a text is about.
    pub topic: u32,
}

impl Layers {
    /// Those of a model that this is known of.
    pub fn of(calibration: &Calibration, shape: &ModelShape) -> Layers {
        // A calibration's slicing layer is where topics turn most; what passages are about was measured in the usual
        // one, and nobody has shown that it is found as well in the other.
        let topic = Calibration::default_for(shape).slicing_layer;
        Layers { relevance: calibration.relevance_layer, topic }
    }
}

/// A slice that was computed, before its images are forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// Its tokens.
    pub tokens: u32,
    /// Its page images, one behind another.
    pub images: Vec<u8>,
    /// Mean of its keys at the relevance layer, as they are stored (rotated by their offsets): `kv_heads · head_dim`.
    pub mean_key: Vec<f32>,
    /// Mean of its hidden rows at the topic layer: `width`.
    pub pooled: Vec<f32>,
    /// Its tokens that drew most attention at the relevance layer, from itself and from what was computed with it
    /// behind it; the heaviest first.
    pub heavy: Vec<u32>,
}

/// What its pages say of a slice.
struct OfPages {
    images: Vec<u8>,
    mean_key: Vec<f32>,
    /// The attention mass of each token.
    mass: Vec<Mass>,
}

/// Why a text is not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComputeError {
    /// The context, or the device.
    Sequence(SequenceError),
    /// The device does not give its pages.
    Page(PageError),
}

impl std::fmt::Display for ComputeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ComputeError::Sequence(error) => error.fmt(f),
            ComputeError::Page(error) => write!(f, "the device does not give a page: {error}"),
        }
    }
}

impl std::error::Error for ComputeError {}

impl From<SequenceError> for ComputeError {
    fn from(error: SequenceError) -> ComputeError {
        ComputeError::Sequence(error)
    }
}

impl From<PageError> for ComputeError {
    fn from(error: PageError) -> ComputeError {
        ComputeError::Page(error)
    }
}

/// What a device is prepared with to compute texts of `most` tokens behind a beginning of `before`: a passage is
/// one step, so that its products are as large as they can be.
///
/// # Errors
/// [`ContextError`].
pub fn limits(shape: &ModelShape, kv: KvType, before: usize, most: usize) -> Result<Limits, ContextError> {
    let tokens = u32::try_from(before + most).unwrap_or(u32::MAX);
    let purpose = Purpose { outcomes: 1, candidates: 1, masks: 0, taps: 1, exposed: tokens };
    let limits = context::limits(shape, Some(tokens), kv, purpose)?;
    Ok(Limits { rows: tokens, exposed: tokens, ..limits })
}

/// Computes texts one after another behind one beginning, which is computed once.
pub struct Computer<'c, 's, 'p> {
    sequence: &'c mut Sequence<'s>,
    pool: &'c mut PagePool<'p>,
    device: &'c mut dyn TensorDevice,
    shape: ModelShape,
    kv: KvType,
    layers: Layers,
    before: Vec<u32>,
}

impl<'c, 's, 'p> Computer<'c, 's, 'p> {
    /// A computer of texts behind `before`, on a device that was prepared with [`limits`].
    pub fn new(
        sequence: &'c mut Sequence<'s>,
        pool: &'c mut PagePool<'p>,
        device: &'c mut dyn TensorDevice,
        (shape, kv): (ModelShape, KvType),
        layers: Layers,
        before: &[u32],
    ) -> Computer<'c, 's, 'p> {
        Computer { sequence, pool, device, shape, kv, layers, before: before.to_vec() }
    }

    /// The slices of the beginning itself.
    ///
    /// # Errors
    /// [`ComputeError`].
    pub fn beginning(&mut self) -> Result<Vec<Computed>, ComputeError> {
        self.sequence.reset(self.pool);
        let before = std::mem::take(&mut self.before);
        let slices = self.append(&before);
        self.before = before;
        slices
    }

    /// The whole slices of a text behind the beginning. One that is not sealed is not among them.
    ///
    /// # Errors
    /// [`ComputeError`].
    pub fn behind(&mut self, text: &[u32]) -> Result<Vec<Computed>, ComputeError> {
        self.go_back()?;
        self.append(text)
    }

    /// The mean of the hidden rows of a text behind the beginning, at the topic layer.
    ///
    /// # Errors
    /// [`ComputeError`].
    pub fn topic(&mut self, text: &[u32]) -> Result<Vec<f32>, ComputeError> {
        self.go_back()?;
        let from = self.sequence.tokens().len();
        self.sequence.push(text, self.pool)?;
        // Nothing is attended to behind it, and what may follow it is of no interest.
        let rows = self.hidden(from, Some(self.layers.topic + 1))?;
        Ok(mean(&rows, self.shape.width as usize))
    }

    /// Takes the context back to the end of the beginning, which is computed if it is not there.
    fn go_back(&mut self) -> Result<(), ComputeError> {
        let is_there = self.sequence.tokens().starts_with(&self.before);
        let kept = if is_there { self.before.len() as u32 } else { 0 };
        let kept = self.sequence.rewind(kept, self.pool) as usize;
        if kept < self.before.len() {
            self.sequence.push(&self.before, self.pool)?;
            compute_with(self.sequence, self.device, &Ask::default(), &mut |_, _| ())?;
        }
        Ok(())
    }

    fn append(&mut self, text: &[u32]) -> Result<Vec<Computed>, ComputeError> {
        let from = self.sequence.tokens().len();
        let pages_before = self.sequence.page_ids().len();
        self.sequence.push(text, self.pool)?;
        let rows = self.hidden(from, None)?;
        let width = self.shape.width as usize;
        let mut page = pages_before;
        let mut computed = Vec::new();
        let slices = self.sequence.slices().to_vec();
        for slice in slices.iter().filter(|slice| slice.base as usize >= from) {
            let (start, tokens) = (slice.base as usize - from, slice.len as usize);
            let pages = tokens.div_ceil(PAGE_TOKENS);
            let pooled = mean(&rows[start * width..(start + tokens) * width], width);
            let OfPages { images, mean_key, mass } = self.pages(page..page + pages, tokens)?;
            let heavy = heavy_tokens(&text[start..start + tokens], &mass).to_vec();
            computed.push(Computed { tokens: slice.len, images, mean_key, pooled, heavy });
            page += pages;
        }
        Ok(computed)
    }

    /// Computes what was pushed, or only so many layers of it, and returns the hidden rows at the topic layer from an
    /// address on. What is only looked at has to fit a step, as [`limits`] has it.
    fn hidden(&mut self, from: usize, depth: Option<u32>) -> Result<Vec<f32>, ComputeError> {
        let taps = [Tap::Layer(self.layers.topic, Reg::Hidden)];
        let end = self.sequence.tokens().len() as u32;
        // Of what is only looked at nobody asks what it holds on to.
        let relevance = LayerRange { start: self.layers.relevance, end: self.layers.relevance + 1 };
        let counters = if depth.is_none() { relevance } else { LayerRange::NONE };
        let ask = Ask { taps: &taps, exposed: from as u32..end, counters, depth, ..Ask::default() };
        let mut rows = Vec::new();
        let mut observe = |_: &[Row], report: &StepReport<'_>| rows.extend_from_slice(report.exposed);
        compute_with(self.sequence, self.device, &ask, &mut observe)?;
        Ok(rows)
    }

    /// What the pages of a slice of so many tokens say.
    fn pages(&mut self, pages: std::ops::Range<usize>, tokens: usize) -> Result<OfPages, ComputeError> {
        let bytes = agentos_hal::page::image_bytes(&self.shape, self.kv);
        let width = (self.shape.kv_heads * self.shape.head_dim) as usize;
        let mut images = vec![0; bytes * pages.len()];
        let mut sum = vec![0.0_f64; width];
        let mut key = vec![0.0_f32; width];
        let mut masses = Vec::with_capacity(tokens);
        for (index, page) in pages.enumerate() {
            let id = self.sequence.page_ids()[page];
            let image = &mut images[index * bytes..(index + 1) * bytes];
            until_ready(|| self.device.copy_out(id, image))?;
            let filled = (tokens - index * PAGE_TOKENS).min(PAGE_TOKENS);
            agentos_hal::page::clear_behind(self.shape.head_dim as usize, self.kv, image, filled);
            let mut mass = [Mass::default(); PAGE_TOKENS];
            until_ready(|| {
                let summary = PageSummary { mean_key: &mut key, mass: &mut mass };
                self.device.summarise(id, self.layers.relevance, filled, summary)
            })?;
            sum.iter_mut().zip(&key).for_each(|(sum, &key)| *sum += f64::from(key) * filled as f64);
            masses.extend_from_slice(&mass[..filled]);
        }
        let mean_key = sum.iter().map(|sum| (sum / tokens as f64) as f32).collect();
        Ok(OfPages { images, mean_key, mass: masses })
    }
}

/// The mean of rows of `width` numbers.
fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; width];
    for row in rows.chunks_exact(width) {
        sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let count = (rows.len() / width.max(1)).max(1) as f64;
    sum.iter().map(|sum| (sum / count) as f32).collect()
}
