//! Measuring a model, on texts that ship with the program.
//!
//! * [`topics`]: the layer and the thresholds that tell topics apart.
//! * [`fit`]: choosing a threshold.
//! * [`relevance`]: the layers that find planted facts.
//! * [`pages`]: sinks, what packed pages cost, and how sure a probable token is.
//! * [`drift`]: how far final rows of one topic and of different ones are apart.

mod drift;
mod fit;
mod pages;
mod relevance;
mod topics;

use agentos_hal::{KvType, LayerRange, Limits, ModelShape, Reg, Row, StepReport, Tap};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sequence::{Ask, SequenceError};

use super::{Calibration, Measured};
use crate::context::{self, ContextError, Purpose};
use crate::generate::compute_with;
use crate::slicing::{Runner, SliceError};
use crate::text::{Special, Tokenizer, TokenizerError};

pub use fit::{Fit, Judged, TOLERANCE, fit};
pub use topics::Joined;

/// Tokens of the context that a device is prepared with, unless the model was trained for fewer.
const CONTEXT: u32 = 4096;

/// Tokens of the longest text of which a part is not enough.
const LEAST_CONTEXT: u32 = 1536;

/// Rows of a step that are shown: few, since many layers of each are.
const EXPOSED: u32 = 32;

/// Candidates of an outcome: what is less probable hardly counts.
const CANDIDATES: u32 = 256;

/// Why a model cannot be calibrated.
#[derive(Debug)]
pub enum CalibrateError {
    /// A text cannot be encoded.
    Encode(TokenizerError),
    /// A text cannot be computed.
    Slice(SliceError),
    /// The model's context is too short for the texts.
    Context {
        /// Tokens that it was trained for.
        trained: u32,
    },
    /// The model gives numbers that are none.
    NotFinite {
        /// What was being measured.
        what: &'static str,
    },
}

impl std::fmt::Display for CalibrateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CalibrateError::Encode(error) => error.fmt(f),
            CalibrateError::Slice(error) => error.fmt(f),
            CalibrateError::Context { trained } => write!(
                f,
                "the model was trained for contexts of {trained} tokens; {LEAST_CONTEXT} are needed to calibrate it"
            ),
            CalibrateError::NotFinite { what } => {
                write!(f, "the model cannot be calibrated: {what} gave no number")
            }
        }
    }
}

impl std::error::Error for CalibrateError {}

impl From<TokenizerError> for CalibrateError {
    fn from(error: TokenizerError) -> CalibrateError {
        CalibrateError::Encode(error)
    }
}

impl From<SequenceError> for CalibrateError {
    fn from(error: SequenceError) -> CalibrateError {
        CalibrateError::Slice(error.into())
    }
}

impl From<SliceError> for CalibrateError {
    fn from(error: SliceError) -> CalibrateError {
        CalibrateError::Slice(error)
    }
}

/// The limits of a device that a model is calibrated on.
///
/// # Errors
/// Never, for a model whose shape was checked: the context is not longer than it was trained for.
pub fn limits(shape: &ModelShape, kv: KvType) -> Result<Limits, ContextError> {
    let purpose =
        Purpose { outcomes: EXPOSED, candidates: CANDIDATES, masks: 0, taps: shape.layers, exposed: EXPOSED };
    context::limits(shape, Some(CONTEXT.min(shape.context)), kv, purpose)
}

/// A model on a device, and its texts.
pub struct Subject<'s, 'm> {
    /// What computes texts.
    pub runner: Runner<'s, 'm>,
    /// What makes tokens of them.
    pub tokenizer: &'s Tokenizer,
    /// What each token ends.
    pub delimiters: &'s [Delimiter],
    /// What stands between a message to the model and its answer; none where its template does not say.
    pub turn: &'s [u32],
    /// The model's sizes.
    pub shape: &'s ModelShape,
    /// How keys and values are kept.
    pub kv: KvType,
}

impl Subject<'_, '_> {
    /// The tokens of a text that nothing comes before.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens: Vec<u32> = self.tokenizer.leading_bos().into_iter().collect();
        tokens.extend(self.tokenizer.encode(text, Special::AsText)?);
        Ok(tokens)
    }

    /// Computes what comes next in the context and shows the taps of each row of it.
    fn compute(
        &mut self,
        tokens: &[u32],
        taps: &[Tap],
        counters: LayerRange,
        show: &mut dyn FnMut(&[f32]),
    ) -> Result<(), SequenceError> {
        let from = self.runner.sequence.tokens().len() as u32;
        let exposed = from..from + tokens.len() as u32;
        let ask = Ask { taps, exposed, counters, ..Ask::default() };
        let width: usize = taps.iter().map(|tap| tap.reg().width(self.shape) as usize).sum();
        let mut observe = |_: &[Row], report: &StepReport<'_>| {
            if width > 0 {
                report.exposed.chunks_exact(width).for_each(&mut *show);
            }
        };
        self.runner.sequence.push(tokens, self.runner.pool)?;
        compute_with(self.runner.sequence, self.runner.device, &ask, &mut observe)
    }

    fn reset(&mut self) {
        self.runner.sequence.reset(self.runner.pool);
    }

    /// A tap of a register in each layer.
    fn every_layer(&self, reg: Reg) -> Vec<Tap> {
        (0..self.shape.layers).map(|layer| Tap::Layer(layer, reg)).collect()
    }
}

/// Measures everything; `tell` is told what is being measured.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn calibrate(
    subject: &mut Subject<'_, '_>,
    tell: &mut dyn FnMut(&str),
) -> Result<Calibration, CalibrateError> {
    if subject.shape.context < LEAST_CONTEXT {
        return Err(CalibrateError::Context { trained: subject.shape.context });
    }
    let mut calibration = Calibration::default_for(subject.shape);
    tell("sinks, packed pages and sure tokens");
    let pages = pages::measure(subject)?;
    calibration.sink_tokens = pages.sink_tokens;
    calibration.confident = pages.confident;
    tell("the layer that tells topics apart");
    let hidden = topics::hidden(subject, &calibration)?;
    calibration.slicing_layer = hidden.layer;
    calibration.slicing_threshold = hidden.fit.threshold;
    calibration.centre = hidden.centre;
    calibration.duplicate_bits = hidden.duplicate_bits;
    tell("the density of attention");
    let density = topics::density(subject, &calibration)?;
    (calibration.density_layer, calibration.density_threshold) = (density.0, density.1.threshold);
    tell("attention to what was before");
    let attention = topics::attention(subject, &calibration)?;
    calibration.attention_threshold = attention.threshold;
    tell("the layers that find facts");
    let relevance = relevance::measure(subject, calibration.relevance_layer)?;
    calibration.relevance_layer = relevance.layer;
    (calibration.relevance_first, calibration.relevance_last) = (relevance.first, relevance.last);
    tell("drift between topics");
    let drift = drift::measure(subject, calibration.sink_tokens)?;
    calibration.drift = (drift.same + drift.different) / 2.0;
    calibration.measured = Some(Measured {
        sink_share: pages.sink_share,
        slicing_f1: hidden.fit.f1,
        density_f1: density.1.f1,
        attention_f1: attention.f1,
        relevance_found: relevance.found,
        confident_same: pages.confident_same,
        drift_same: drift.same,
        drift_different: drift.different,
        drift_auc: drift.auc,
        packing_kl: pages.packing_kl,
        packing_same: pages.packing_same,
    });
    // A model whose rows are no numbers would give a calibration that nobody could read again.
    calibration.check(subject.shape).map_err(|misfit| CalibrateError::NotFinite { what: misfit.what })?;
    Ok(calibration)
}
