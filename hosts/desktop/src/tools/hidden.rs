//! What a model makes of a text: its hidden rows in some layers, pooled over the text's tokens.

use agentos_hal::{Reg, Row, StepReport, Tap, TensorDevice};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sequence::{Ask, Sequence, SequenceError};

use crate::generate::compute_with;
use crate::text::{Special, Tokenizer, TokenizerError};

/// For each layer that was asked for, the mean of the hidden rows of a text.
pub type Pooled = Vec<Vec<f32>>;

/// What stands before every text. The first token of a context takes the attention that nothing else wants, and
/// its row says so rather than anything about the text.
const BEFORE: &str = "Request:";

/// A text as it is read for its hidden rows.
pub struct Reading {
    tokens: Vec<u32>,
    /// Tokens that are not pooled.
    before: u32,
}

impl Reading {
    /// Of a text from anywhere: nothing in it becomes a control token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn new(text: &str, tokenizer: &Tokenizer) -> Result<Reading, TokenizerError> {
        let mut tokens: Vec<u32> = tokenizer.leading_bos().into_iter().collect();
        tokens.extend(tokenizer.encode(BEFORE, Special::AsText)?);
        let before = tokens.len() as u32;
        tokens.extend(tokenizer.encode(&format!(" {}", text.trim()), Special::AsText)?);
        Ok(Reading { tokens, before })
    }

    /// Computes the text in a sequence that forgets what it held before, and pools its rows in these layers, each of
    /// `width` numbers. The device was prepared with room for as many taps, and for some exposed rows.
    ///
    /// # Errors
    /// As [`Sequence::push`] and [`Sequence::tick_with`].
    pub fn pooled(
        &self,
        layers: &[u32],
        width: usize,
        sequence: &mut Sequence<'_>,
        pool: &mut PagePool<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Pooled, SequenceError> {
        let taps: Vec<Tap> = layers.iter().map(|&layer| Tap::Layer(layer, Reg::Hidden)).collect();
        let end = self.tokens.len() as u32;
        let ask = Ask { taps: &taps, exposed: self.before..end, ..Ask::default() };
        let mut sums = vec![vec![0.0f64; width]; layers.len()];
        let mut observe = |_: &[Row], report: &StepReport<'_>| {
            for (index, row) in report.exposed.chunks_exact(width).enumerate() {
                let sum = &mut sums[index % layers.len()];
                sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
        };
        sequence.reset(pool);
        sequence.push(&self.tokens, pool)?;
        compute_with(sequence, device, &ask, &mut observe)?;
        let rows = f64::from((end - self.before).max(1));
        Ok(sums.iter().map(|sum| sum.iter().map(|sum| (sum / rows) as f32).collect()).collect())
    }
}

/// The layers of a model of `layers` that tell tools apart: those from a half to four fifths of the way.
/// Which of them tells best is a matter of calibration.
pub fn middle_layers(layers: u32) -> Vec<u32> {
    let last = layers.saturating_sub(1);
    (layers * 45 / 100..=(layers * 80 / 100).min(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_inside_the_model() {
        assert_eq!(middle_layers(30), (13..=24).collect::<Vec<_>>());
        assert_eq!(middle_layers(1), [0]);
        assert_eq!(middle_layers(2), [0, 1]);
    }
}
