//! What a mask costs, beside a step of the same model.

use std::time::{Duration, Instant};

use agentos_desktop::text::Special;
use agentos_grammar::{Callable, Calls, Grammar};

use crate::cases::Case;
use crate::ready::Ready;

/// Times of masks, and of a step.
pub struct Times {
    masks: Vec<Duration>,
    /// A step of one token without a mask.
    step: Duration,
}

impl Times {
    /// Follows calls that were made, in the model's own tokens, and times the mask before each token.
    pub fn of(model: &mut Ready, calls: &[(&Case, String)]) -> Times {
        let mut mask = vec![0; model.vocabulary.mask_words()];
        let mut masks = Vec::new();
        for (case, text) in calls {
            let function = &case.functions[case.right];
            let only = [Callable { name: &function.name, arguments: &function.arguments }];
            let Ok(mut grammar) = Grammar::call(&model.vocabulary, &Calls::json(&only)) else { continue };
            // As the forms of a team are.
            grammar.rehearse();
            let mut matcher = grammar.matcher();
            for token in model.tokenizer.encode(text, Special::AsText).unwrap() {
                let begin = Instant::now();
                let made = matcher.mask(&mut mask);
                masks.push(begin.elapsed());
                // The model may have cut the text otherwise than its tokenizer does.
                if made.is_err() || matcher.accept(token).is_err() {
                    break;
                }
            }
        }
        masks.sort_unstable();
        Times { masks, step: model.step() }
    }

    /// Mean, median, 99th percentile and largest, in microseconds, and a step.
    pub fn micros(&self) -> [f64; 5] {
        let micros = |duration: Duration| duration.as_nanos() as f64 / 1e3;
        let at = |share: f64| {
            let index = (self.masks.len() as f64 * share) as usize;
            self.masks.get(index.min(self.masks.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        let mean = self.masks.iter().sum::<Duration>() / self.masks.len().max(1) as u32;
        [mean, at(0.5), at(0.99), at(1.0), self.step].map(micros)
    }

    /// How many masks were timed.
    pub fn count(&self) -> usize {
        self.masks.len()
    }
}
