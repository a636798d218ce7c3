//! Finds how many bytes of a text a budget of tokens pays for.
//!
//! Counting tokens costs time in proportion to the text, so only texts of about the right length are counted,
//! and only a few.

/// Texts that are counted before the best that fits is taken.
const TRIES: usize = 8;
/// Bytes of a token, for the first try.
const FIRST_GUESS: f64 = 3.5;
/// Part of the budget that, once used, is good enough.
const GOOD: f64 = 0.9;
/// What of the bytes that would just fit is tried next.
const AIM: f64 = 0.97;
/// Bytes that hardly any token has: a longer text is not counted to see whether it fits as it is.
pub const MOST_BYTES_A_TOKEN: usize = 16;

/// A text that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted<T> {
    /// The text.
    pub text: T,
    /// Its tokens: at most the budget.
    pub tokens: usize,
}

/// The longest text found that `count` says fits `budget` tokens. `make` writes a text of about so many
/// bytes. None when not even that of no bytes fits.
pub fn fit<T: AsRef<str>>(
    budget: usize,
    count: &dyn Fn(&str) -> usize,
    mut make: impl FnMut(usize) -> T,
) -> Option<Fitted<T>> {
    let mut best: Option<Fitted<T>> = None;
    let mut bytes = (budget as f64 * FIRST_GUESS) as usize;
    // Above the longest that fits and below the shortest that does not nothing has to be tried.
    let (mut low, mut high) = (0, usize::MAX);
    for _ in 0..TRIES {
        let text = make(bytes);
        let (length, tokens) = (text.as_ref().len(), count(text.as_ref()));
        if tokens <= budget {
            low = bytes;
            // A text that stops growing short of what was asked for is all there is.
            let all =
                length < bytes / 2 && best.as_ref().is_some_and(|best| best.text.as_ref().len() == length);
            if best.as_ref().is_none_or(|best| tokens >= best.tokens) {
                best = Some(Fitted { text, tokens });
            }
            if all || tokens as f64 >= budget as f64 * GOOD {
                return best;
            }
        } else {
            high = bytes;
        }
        let next = (bytes.max(1) as f64 * budget as f64 / tokens.max(1) as f64 * AIM) as usize;
        let between = low.saturating_add(1)..high;
        bytes = if between.contains(&next) {
            next
        } else if high == usize::MAX {
            bytes.saturating_mul(2)
        } else {
            low + (high - low) / 2
        };
        if bytes <= low {
            break;
        }
    }
    if best.is_some() {
        return best;
    }
    let mut bytes = high;
    while bytes > 0 {
        bytes /= 4;
        let text = make(bytes);
        let tokens = count(text.as_ref());
        if tokens <= budget {
            return Some(Fitted { text, tokens });
        }
    }
    None
}
