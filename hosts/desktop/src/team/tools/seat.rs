//! An answer that is held to its form.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentos_grammar::{MatchError, Matcher};

use super::crew::Crew;

/// An answer that is held to its form. A token is taken as it is said; what may come next, the crew finds out if it
/// can, or whoever needs it first.
pub struct Seat {
    form: Arc<Mutex<Form>>,
    /// Whether the answer may end with all that was said. Known without waiting for who finds out what comes next.
    complete: Result<bool, MatchError>,
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
        let seat = Seat { form: Arc::new(Mutex::new(Form { matcher, next: None, mask })), complete };
        seat.find_next(crew);
        seat
    }

    /// A token was said. What may come next is not looked for yet.
    pub fn say(&mut self, token: u32) {
        let mut form = lock(&self.form);
        form.next = None;
        self.complete = form.matcher.accept(token).map(|()| form.matcher.is_complete());
    }

    /// Whether the answer may end with all that was said.
    ///
    /// # Errors
    /// [`MatchError`]: what was said is not of the form.
    pub fn taken(&self) -> Result<bool, MatchError> {
        self.complete.clone()
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

    #[test]
    fn that_an_answer_is_whole_is_known_while_what_comes_next_is_found_out() {
        let bytes: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
        let pieces = bytes.iter().map(|byte| Piece::Text(&byte[..])).chain([Piece::End]);
        let vocabulary = Vocabulary::new(pieces, |_| None).unwrap();
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
}
