//! An answer that is held to its form, beside the run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentos_grammar::{MatchError, Matcher};

use super::crew::Crew;

/// An answer that is held to its form. What is to be done about it, the crew does or whoever needs it first.
pub struct Seat(Arc<Mutex<Answer>>);

struct Answer {
    matcher: Matcher,
    /// A token that was said and not taken yet.
    said: Option<u32>,
    /// Whether the answer may end with what was taken.
    complete: Result<bool, MatchError>,
    /// What may come next, once it was found out.
    next: Option<Result<(), MatchError>>,
    mask: Vec<u32>,
}

impl Seat {
    /// One whose matcher has taken what was said so far.
    pub fn begin(mut matcher: Matcher, crew: &Crew) -> Seat {
        let mask = vec![0; matcher.mask_words()];
        let complete = Ok(matcher.is_complete());
        let seat = Seat(Arc::new(Mutex::new(Answer { matcher, said: None, complete, next: None, mask })));
        seat.go_on(crew);
        seat
    }

    /// A token was said.
    pub fn say(&self, token: u32, crew: &Crew) {
        let mut answer = self.lock();
        // What was said before is taken first.
        answer.take();
        answer.said = Some(token);
        drop(answer);
        self.go_on(crew);
    }

    /// Whether the answer may end with all that was said.
    ///
    /// # Errors
    /// [`MatchError`]: what was said is not of the form.
    pub fn taken(&self) -> Result<bool, MatchError> {
        let mut answer = self.lock();
        answer.take();
        answer.complete.clone()
    }

    /// Writes what may come next.
    ///
    /// # Errors
    /// [`MatchError`].
    pub fn mask(&self, mask: &mut [u32]) -> Result<(), MatchError> {
        let mut answer = self.lock();
        answer.find_next()?;
        mask.copy_from_slice(&answer.mask);
        Ok(())
    }

    fn go_on(&self, crew: &Crew) {
        let answer = Arc::clone(&self.0);
        crew.give(move || {
            lock(&answer).take();
            // Whoever waits to know that much goes first.
            let _ = lock(&answer).find_next();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Answer> {
        lock(&self.0)
    }
}

fn lock(answer: &Mutex<Answer>) -> MutexGuard<'_, Answer> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    fn take(&mut self) {
        let Some(token) = self.said.take() else { return };
        self.next = None;
        self.complete = self.matcher.accept(token).map(|()| self.matcher.is_complete());
    }

    fn find_next(&mut self) -> Result<(), MatchError> {
        self.take();
        if self.next.is_none() {
            self.next = Some(self.matcher.mask(&mut self.mask));
        }
        self.next.clone().unwrap_or(Ok(()))
    }
}
