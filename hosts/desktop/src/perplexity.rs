//! How well a model foretells a text, counted as llama.cpp's `perplexity` tool counts: the text is cut
//! into windows as long as the context; of each full window the second half is judged, so that every
//! judged token has at least half a window before it.

use agentos_hal::TensorDevice;
use agentos_kernel::pool::PagePool;
use agentos_kernel::score::{Likelihood, scored};
use agentos_kernel::sequence::{Sequence, SequenceError, Tick};

/// The shortest window: three of its tokens are judged.
pub const SHORTEST_WINDOW: u32 = 8;

/// A text shorter than one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort {
    /// Tokens of the text.
    pub tokens: usize,
    /// Tokens of a window.
    pub window: u32,
}

impl std::fmt::Display for TooShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the text has {} tokens and a window {}; a longer text or --ctx {} would fit",
            self.tokens,
            self.window,
            self.tokens.max(SHORTEST_WINDOW as usize)
        )
    }
}

impl std::error::Error for TooShort {}

/// The full windows of a text, each as long as `window` tokens.
///
/// # Errors
/// [`TooShort`].
pub fn windows(tokens: &[u32], window: u32) -> Result<std::slice::ChunksExact<'_, u32>, TooShort> {
    let windows = tokens.chunks_exact(window as usize);
    if windows.len() == 0 {
        return Err(TooShort { tokens: tokens.len(), window });
    }
    Ok(windows)
}

/// Judges one window in a sequence that forgets what it held before. A model that wants texts to begin
/// with a token (`bos`) sees it in the place of the window's first.
///
/// # Errors
/// As [`Sequence::push`] and [`Sequence::tick`].
pub fn judge(
    window: &[u32],
    bos: Option<u32>,
    sequence: &mut Sequence<'_>,
    pool: &mut PagePool<'_>,
    device: &mut dyn TensorDevice,
    likelihood: &mut Likelihood,
) -> Result<(), SequenceError> {
    let Some((&first, rest)) = window.split_first() else {
        return Ok(());
    };
    sequence.reset(pool);
    sequence.push(&[bos.unwrap_or(first)], pool)?;
    sequence.push_scored(rest, window.len() as u32 / 2, pool)?;
    let mut observe = |rows: &[_], report: &agentos_hal::StepReport<'_>| {
        scored(rows, report).for_each(|token| likelihood.add(token.logprob));
    };
    loop {
        match sequence.tick_observed(device, &mut observe)? {
            Tick::Ready { .. } | Tick::Idle => return Ok(()),
            Tick::Pending => std::thread::yield_now(),
            Tick::Submitted { .. } | Tick::Looked { .. } | Tick::Prefilled { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_windows_count() {
        let tokens: Vec<u32> = (0..11).collect();
        let found: Vec<_> = windows(&tokens, 5).unwrap().map(|window| window[0]).collect();
        assert_eq!(found, [0, 5]);
        let error = windows(&tokens, 12).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the text has 11 tokens and a window 12; a longer text or --ctx 11 would fit"
        );
    }
}
