//! Masks of how answers begin: most answers of a grammar begin alike, whoever writes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens of a beginning, and beginnings that are kept: each is a mask.
const MOST_TOKENS: usize = 8;
const MOST_MASKS: usize = 64;

/// Masks of how answers begin, found out once for all matchers of a grammar. What a mask allows is a function of the
/// tokens before it: who has found it out shows in none.
#[derive(Default)]
pub(crate) struct Beginnings(Mutex<HashMap<Vec<u32>, Arc<[u32]>>>);

/// How an answer has begun; forgotten once it is longer.
#[derive(Clone, Default)]
pub(crate) struct Begun(Option<Vec<u32>>);

impl Begun {
    /// Nothing was written yet.
    pub(crate) fn nothing() -> Begun {
        Begun(Some(Vec::with_capacity(MOST_TOKENS)))
    }

    /// One more token.
    pub(crate) fn go_on(&mut self, token: u32) {
        match &mut self.0 {
            Some(tokens) if tokens.len() < MOST_TOKENS => tokens.push(token),
            _ => self.0 = None,
        }
    }
}

impl Beginnings {
    /// The mask behind a beginning, if somebody has found it out.
    pub(crate) fn get(&self, begun: &Begun) -> Option<Arc<[u32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(begun.0.as_ref()?).cloned()
    }

    /// Keeps the mask behind a beginning, as long as there is room.
    pub(crate) fn keep(&self, begun: &Begun, mask: &[u32]) {
        let Some(tokens) = &begun.0 else { return };
        let mut masks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if masks.len() < MOST_MASKS {
            masks.entry(tokens.clone()).or_insert_with(|| mask.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beginnings_are_kept_and_no_more_than_there_is_room_for() {
        let masks = Beginnings::default();
        let mut begun = Begun::nothing();
        for token in 0..MOST_TOKENS as u32 {
            begun.go_on(token);
        }
        masks.keep(&begun, &[7]);
        assert_eq!(masks.get(&begun).as_deref(), Some(&[7][..]));
        begun.go_on(99);
        masks.keep(&begun, &[8]);
        assert_eq!(masks.get(&begun), None);
        for token in 0..2 * MOST_MASKS as u32 {
            let mut begun = Begun::nothing();
            begun.go_on(token);
            masks.keep(&begun, &[token]);
            assert_eq!(masks.get(&begun).is_some(), (token as usize) < MOST_MASKS - 1);
        }
    }
}
