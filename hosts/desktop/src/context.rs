//! How large a context is, and the tables in which the kernel keeps one.

use agentos_hal::{Candidate, KvType, Limits, ModelShape, PageId, Row, Segment};
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sample::Weighed;
use agentos_kernel::sequence::{
    Sequence, SequenceError, SequenceTables, TableSizes, VACANT_CANDIDATE, VACANT_ROW, VACANT_SLICE,
};

/// Tokens of a context where neither the user nor the model says less.
pub const DEFAULT_CONTEXT: u32 = 4096;

/// Rows of a step: a prompt is computed in chunks of so many tokens.
pub const CHUNK: u32 = 128;

/// What a context is for, besides how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Rows of a step that may want an outcome.
    pub outcomes: u32,
    /// Candidates per outcome.
    pub candidates: u32,
    /// Token masks of a step.
    pub masks: u32,
    /// Registers that are shown of a row.
    pub taps: u32,
    /// Rows of a step that may show them.
    pub exposed: u32,
}

impl Purpose {
    /// Generating text that may be anything.
    pub const GENERATE: Purpose = Purpose { outcomes: 1, candidates: 64, masks: 0, taps: 0, exposed: 0 };
}

/// A context longer than the model was trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextError {
    /// Tokens that were asked for.
    pub asked: u32,
    /// Tokens that the model was trained for.
    pub trained: u32,
}

impl std::fmt::Display for ContextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "a context of {} tokens is longer than the model was trained for; --ctx {} would fit",
            self.asked, self.trained
        )
    }
}

impl std::error::Error for ContextError {}

/// The limits of a device that computes one context of `asked` tokens, however its slices fall: page
/// memory holds the worst layout, in which every slice leaves most of its last page empty.
///
/// # Errors
/// [`ContextError`].
pub fn limits(
    shape: &ModelShape,
    asked: Option<u32>,
    kv: KvType,
    purpose: Purpose,
) -> Result<Limits, ContextError> {
    let context = asked.unwrap_or(shape.context.min(DEFAULT_CONTEXT));
    fits(shape, context)?;
    let pages = SliceLimits::DEFAULT.worst_pages(context);
    Ok(Limits {
        rows: CHUNK.min(context),
        spans: 1,
        segments: SliceLimits::DEFAULT.worst_slices(context),
        segment_pages: pages,
        outcomes: purpose.outcomes.min(CHUNK).min(context),
        candidates: purpose.candidates.min(shape.vocab),
        masks: purpose.masks,
        taps: purpose.taps,
        exposed: purpose.exposed.min(CHUNK).min(context),
        context,
        pages,
        kv,
    })
}

/// Whether the model was trained for a context of so many tokens.
///
/// # Errors
/// [`ContextError`].
pub fn fits(shape: &ModelShape, tokens: u32) -> Result<(), ContextError> {
    let trained = shape.context;
    if tokens > trained { Err(ContextError { asked: tokens, trained }) } else { Ok(()) }
}

/// What a [`Sequence`] and its [`PagePool`] borrow: made once, so that nothing is allocated after.
pub struct Tables {
    tokens: Vec<u32>,
    slices: Vec<Segment>,
    pages: Vec<PageId>,
    rows: Vec<Row>,
    candidates: Vec<Candidate>,
    weighed: Vec<Weighed>,
    free: Vec<PageId>,
    delimiters: Vec<Delimiter>,
    limits: Limits,
}

impl Tables {
    /// Tables for all that `limits` allow. `delimiters` has an entry for every token of the
    /// vocabulary.
    pub fn new(limits: Limits, delimiters: Vec<Delimiter>) -> Tables {
        let sizes = TableSizes::new(&limits, CHUNK);
        Tables {
            tokens: vec![0; sizes.tokens],
            slices: vec![VACANT_SLICE; sizes.slices],
            pages: vec![PageId(0); sizes.pages],
            rows: vec![VACANT_ROW; sizes.rows],
            candidates: vec![VACANT_CANDIDATE; sizes.candidates],
            weighed: vec![Weighed::default(); sizes.candidates],
            free: vec![PageId(0); limits.pages as usize],
            delimiters,
            limits,
        }
    }

    /// An empty sequence, and a pool with every page.
    ///
    /// # Errors
    /// [`SequenceError::Empty`].
    pub fn start(&mut self) -> Result<(Sequence<'_>, PagePool<'_>), SequenceError> {
        self.start_above(0)
    }

    /// An empty sequence, and a pool of as many pages from page `first` on: those below belong to somebody else.
    ///
    /// # Errors
    /// [`SequenceError::Empty`].
    pub fn start_above(&mut self, first: u32) -> Result<(Sequence<'_>, PagePool<'_>), SequenceError> {
        let tables = SequenceTables {
            tokens: &mut self.tokens,
            slices: &mut self.slices,
            pages: &mut self.pages,
            rows: &mut self.rows,
            candidates: &mut self.candidates,
            weighed: &mut self.weighed,
        };
        let sequence = Sequence::new(tables, &self.delimiters, SliceLimits::DEFAULT, &self.limits)?;
        Ok((sequence, PagePool::above(first, &mut self.free)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentos_hal::{Pairing, Rope, RopeScaling};

    const SHAPE: ModelShape = ModelShape {
        layers: 1,
        width: 8,
        ffn: 8,
        heads: 1,
        kv_heads: 1,
        head_dim: 8,
        vocab: 40,
        context: 2048,
        norm_eps: 1e-5,
        rope: Rope {
            dims: 8,
            base: 1e4,
            pairing: Pairing::Adjacent,
            scaling: RopeScaling::None,
            factors: false,
        },
        tied_embedding: true,
    };
    const PURPOSE: Purpose = Purpose::GENERATE;

    #[test]
    fn any_layout_fits_the_page_memory() {
        let limits = limits(&SHAPE, Some(100), KvType::F16, PURPOSE).unwrap();
        // Delimiters at every distance: slices of 8 tokens and of all lengths after that.
        let delimiters = |step: u32| -> Vec<Delimiter> {
            let ends = |token| {
                if token % step == 0 { Delimiter::Line } else { Delimiter::None }
            };
            (0..SHAPE.vocab).map(ends).collect()
        };
        for step in 1..20 {
            let mut tables = Tables::new(limits, delimiters(step));
            let (mut sequence, mut pool) = tables.start().unwrap();
            let tokens: Vec<u32> = (0..100).map(|n| (n + 1) % step.max(2)).collect();
            sequence.push(&tokens, &mut pool).unwrap();
            assert_eq!(sequence.room(), 0);
        }
    }

    #[test]
    fn a_context_beyond_the_training_is_refused_with_what_fits() {
        let limits = |asked| limits(&SHAPE, asked, KvType::F16, PURPOSE);
        assert_eq!(limits(None).unwrap().context, 2048);
        assert_eq!(limits(Some(2048)).unwrap().candidates, 40);
        let error = limits(Some(2049)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a context of 2049 tokens is longer than the model was trained for; --ctx 2048 would fit"
        );
    }
}
