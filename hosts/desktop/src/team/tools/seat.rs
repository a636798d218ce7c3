//! An answer that is held to its form.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use agentos_grammar::{MatchError, Matcher};

use super::crew::Crew;

/// An answer that is held to its form. A token is taken as it is said; what may come next, the crew finds out if it
/// can, or whoever needs it first.
pub struct Seat {
    form: Arc<Mutex<Form>>,
    /// Whether the answer may end with all that was said. Known without waiting for who finds out what comes next.
    complete: Result<bool, MatchError>,
    /// Nothing can come behind what was said.
    over: bool,
}

struct Form {
    matcher: Matcher,
    /// What may come next, once it was found out.
    next: Option<Result<(), MatchError>>,
    mask: Vec<u32>,
}

impl Seat {
    /// One whose matcher has taken what was said so far.
    pub fn begin(mut matcher: Matcher, crew: &Crew) -> Seat {
        let mask = vec![0; matcher.mask_words()];
        let complete = Ok(matcher.is_complete());
        let over = matcher.is_finished();
        let seat = Seat { form: Arc::new(Mutex::new(Form { matcher, next: None, mask })), complete, over };
        seat.find_next(crew);
        seat
    }

    /// A token was said. What may come next is not looked for yet.
    pub fn say(&mut self, token: u32) {
        let mut form = lock(&self.form);
        form.next = None;
        self.complete = form.matcher.accept(token).map(|()| form.matcher.is_complete());
        self.over = form.matcher.is_finished();
    }

    /// Whether nothing can come behind what was said: it is whole, and has ended or has nowhere to go on.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the answer may end with all that was said.
    ///
    /// # Errors
    /// [`MatchError`]: what was said is not of the form.
    pub fn taken(&self) -> Result<bool, MatchError> {
        self.complete.clone()
    }

    /// Writes what may come next, if that was found out already.
    ///
    /// # Errors
    /// [`MatchError`].
    pub fn found(&self, mask: &mut [u32]) -> Option<Result<(), MatchError>> {
        // Whoever is finding it out holds it.
        let form = match self.form.try_lock() {
            Ok(form) => form,
            Err(TryLockError::Poisoned(form)) => form.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let found = form.next.clone()?;
        if found.is_ok() {
            mask.copy_from_slice(&form.mask);
        }
        Some(found)
    }

    /// Writes what may come next.
    ///
    /// # Errors
    /// [`MatchError`].
    pub fn mask(&self, mask: &mut [u32]) -> Result<(), MatchError> {
        let mut form = lock(&self.form);
        form.find_next()?;
        mask.copy_from_slice(&form.mask);
        Ok(())
    }

    /// Has a crew find out what may come next, if it can.
    pub fn find_next(&self, crew: &Crew) {
        let form = Arc::clone(&self.form);
        crew.offer(move || {
            // What it finds, who needs it is told.
            let _ = lock(&form).find_next();
        });
    }
}

fn lock(form: &Mutex<Form>) -> MutexGuard<'_, Form> {
    form.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Form {
    fn find_next(&mut self) -> Result<(), MatchError> {
        if self.next.is_none() {
            self.next = Some(self.matcher.mask(&mut self.mask));
        }
        self.next.clone().unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use agentos_grammar::{Grammar, Piece, Vocabulary};

    use super::*;

    fn vocabulary() -> Vocabulary {
        let bytes: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
        let pieces = bytes.iter().map(|byte| Piece::Text(&byte[..])).chain([Piece::End]);
        Vocabulary::new(pieces, |_| None).unwrap()
    }

    #[test]
    fn that_an_answer_is_whole_is_known_while_what_comes_next_is_found_out() {
        let vocabulary = vocabulary();
        let matcher = Grammar::choice(&vocabulary, &["ab"]).unwrap().matcher();
        let crew = Crew::default();
        let mut seat = Seat::begin(matcher, &crew);
        seat.say(u32::from(b'a'));
        assert_eq!(seat.taken(), Ok(false));
        seat.say(u32::from(b'b'));
        let form = Arc::clone(&seat.form);
        let _busy = lock(&form);
        assert_eq!(seat.taken(), Ok(true));
    }

    #[test]
    fn what_comes_next_is_there_only_once_it_was_found_out() {
        let vocabulary = vocabulary();
        let matcher = Grammar::choice(&vocabulary, &["ab"]).unwrap().matcher();
        let words = vocabulary.mask_words();
        // A crew without processors finds nothing by itself.
        let mut seat = Seat::begin(matcher, &Crew::default());
        let (mut early, mut late) = (vec![0; words], vec![0; words]);
        assert_eq!(seat.found(&mut early), None);
        seat.mask(&mut late).unwrap();
        assert_eq!(seat.found(&mut early), Some(Ok(())));
        assert!(early == late && early.iter().any(|&word| word != 0));
        let form = Arc::clone(&seat.form);
        let busy = lock(&form);
        assert_eq!(seat.found(&mut early), None, "somebody is at it");
        drop(busy);
        seat.say(u32::from(b'x'));
        assert_eq!(seat.found(&mut early), None);
    }
}
