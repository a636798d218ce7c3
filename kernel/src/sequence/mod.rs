//! One sequence on a tensor device: a prompt in chunks, then token by token.
//!
//! A host pushes tokens and ticks until [`Tick::Ready`]; then [`Sequence::next`] says what may
//! follow and [`Sequence::choose`] picks from it. A tick does a bounded amount of work and never
//! waits, so the same loop runs under an operating system, in a simulator, or on bare metal.

mod ask;
mod error;
mod plan;
mod rewind;
mod tables;

pub use ask::Ask;
pub use error::{Room, SequenceError};
pub use tables::{SequenceTables, TableSizes, VACANT_CANDIDATE, VACANT_ROW, VACANT_SLICE};

use core::task::Poll;

use agentos_hal::{DeviceError, Limits, Row, Segment, Span, Step, StepReport, SubmitError, TensorDevice};

use crate::layout::{Delimiter, Layout, SliceLimits};
use crate::pool::PagePool;
use crate::sample::{Choice, Next, Sampler};

/// What a tick has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Tick {
    /// Every token is computed; nothing to do before the next push.
    Idle,
    /// The device has taken a step.
    Submitted {
        /// Rows of the step.
        rows: u32,
    },
    /// The device is at work, on this sequence's step or on another's. Tick again.
    Pending,
    /// A step is done that was only to look ([`Ask::depth`]): its tokens are to be computed as before.
    Looked {
        /// Rows of the step.
        rows: u32,
    },
    /// A step is done, and more tokens are to be computed.
    Prefilled {
        /// Rows of the step.
        rows: u32,
    },
    /// A step is done, and with it every token: [`Sequence::next`] has an answer.
    Ready {
        /// Rows of the step.
        rows: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No step is made.
    Resting,
    /// The rows of a step are laid out, but the device has not taken them or has failed them.
    Planned,
    /// The device has them.
    Running,
    /// The device has rows that nobody waits for any more.
    Abandoned,
}

/// What the last row found.
#[derive(Clone, Copy, Debug)]
struct Found {
    candidates: usize,
    log_sum_exp: f32,
    entropy: f32,
}

/// One context and its place on a device.
#[derive(Debug)]
pub struct Sequence<'m> {
    tables: SequenceTables<'m>,
    delimiters: &'m [Delimiter],
    slice_limits: SliceLimits,
    context: usize,
    slices: usize,
    mapped: usize,
    chunk: usize,
    outcomes: usize,
    exposed: usize,
    /// Where the tokens pushed so far end.
    pushed: Layout,
    /// Where the tokens that were put into a step end.
    planned: Layout,
    /// Tokens whose keys and values are in page memory.
    computed: u32,
    /// Rows of the step that is planned or running.
    rows: usize,
    /// Where those begin.
    began: Layout,
    /// That step only looks at them.
    looks: bool,
    /// Address from which on rows want the next token scored.
    score_from: u32,
    /// The step under way lacks its mask.
    lacks_mask: bool,
    state: State,
    found: Option<Found>,
}

impl<'m> Sequence<'m> {
    /// An empty sequence for a device that was prepared with `limits`. `delimiters` has an entry for
    /// every token of the vocabulary.
    ///
    /// # Errors
    /// [`SequenceError::Empty`].
    pub fn new(
        tables: SequenceTables<'m>,
        delimiters: &'m [Delimiter],
        slice_limits: SliceLimits,
        limits: &Limits,
    ) -> Result<Sequence<'m>, SequenceError> {
        let bound = |what, table: usize, limit: u32| match table.min(limit as usize) {
            0 => Err(SequenceError::Empty { what }),
            bound => Ok(bound),
        };
        bound("spans", 1, limits.spans)?;
        bound("candidates", tables.candidates.len().min(tables.weighed.len()), limits.candidates)?;
        Ok(Sequence {
            delimiters,
            slice_limits,
            context: bound("tokens of context", tables.tokens.len(), limits.context)?,
            slices: bound("slices", tables.slices.len(), limits.segments)?,
            mapped: bound("mapped pages", tables.pages.len(), limits.segment_pages)?,
            chunk: bound("rows", tables.rows.len(), limits.rows)?,
            outcomes: bound("outcomes", usize::MAX, limits.outcomes)?,
            exposed: limits.exposed as usize,
            tables,
            pushed: Layout::default(),
            planned: Layout::default(),
            computed: 0,
            rows: 0,
            began: Layout::default(),
            looks: false,
            score_from: u32::MAX,
            lacks_mask: false,
            state: State::Resting,
            found: None,
        })
    }

    /// Appends tokens to the context and takes the pages for them; ticks will compute them. All
    /// or none.
    ///
    /// # Errors
    /// [`SequenceError::Token`], [`SequenceError::Full`].
    pub fn push(&mut self, tokens: &[u32], pool: &mut PagePool<'_>) -> Result<(), SequenceError> {
        let end = self.fit(tokens, pool.free() as usize)?;
        let first = self.pushed.tokens as usize;
        self.tables.tokens[first..end.tokens as usize].copy_from_slice(tokens);
        pool.take(&mut self.tables.pages[self.pushed.pages as usize..end.pages as usize]);
        self.pushed = end;
        Ok(())
    }

    /// [`Sequence::push`] for text that is judged rather than continued: every row from address
    /// `from` on wants the token after it scored ([`Score`](agentos_hal::Want::Score)), as far as that was pushed. The
    /// scores are in what [`Sequence::tick_observed`] shows; see [`crate::score`].
    ///
    /// # Errors
    /// As [`Sequence::push`].
    pub fn push_scored(
        &mut self,
        tokens: &[u32],
        from: u32,
        pool: &mut PagePool<'_>,
    ) -> Result<(), SequenceError> {
        self.push(tokens, pool)?;
        self.score_from = from;
        Ok(())
    }

    /// Forgets everything and gives the pages back. A step that is under way ends unseen; the device
    /// is busy with it until the next tick that finds it done, and no tick does as long as it lacks its mask.
    pub fn reset(&mut self, pool: &mut PagePool<'_>) {
        pool.give(&self.tables.pages[..self.pushed.pages as usize]);
        self.pushed = Layout::default();
        self.planned = Layout::default();
        self.computed = 0;
        self.score_from = u32::MAX;
        self.found = None;
        self.state = match self.state {
            State::Running | State::Abandoned => State::Abandoned,
            State::Resting | State::Planned => State::Resting,
        };
    }

    /// Does the next bounded piece of work: hands the device a step, or asks it how far it is.
    ///
    /// # Errors
    /// [`SequenceError::Submit`], [`SequenceError::Device`]. What was computed before stays good,
    /// unless the device was lost: then prepare it again, reset, and push the tokens again.
    pub fn tick(&mut self, device: &mut dyn TensorDevice) -> Result<Tick, SequenceError> {
        self.tick_with(device, &Ask::default(), &mut |_, _| ())
    }

    /// [`Sequence::tick`], which shows the rows and the report of a step that is done to `observe`.
    ///
    /// # Errors
    /// As [`Sequence::tick`].
    pub fn tick_observed(
        &mut self,
        device: &mut dyn TensorDevice,
        observe: &mut dyn FnMut(&[Row], &StepReport<'_>),
    ) -> Result<Tick, SequenceError> {
        self.tick_with(device, &Ask::default(), observe)
    }

    /// [`Sequence::tick_observed`] that asks the device for more than the next tokens. What a step that is
    /// submitted again asks for is what this call says.
    ///
    /// # Errors
    /// As [`Sequence::tick`]; the device refuses a mask that is not of its vocabulary, and more than its limits
    /// have room for.
    pub fn tick_with(
        &mut self,
        device: &mut dyn TensorDevice,
        ask: &Ask<'_>,
        observe: &mut dyn FnMut(&[Row], &StepReport<'_>),
    ) -> Result<Tick, SequenceError> {
        match self.state {
            State::Resting if self.planned == self.pushed => Ok(Tick::Idle),
            State::Resting => {
                self.plan(ask);
                self.submit(device, ask)
            }
            State::Planned => {
                // What was laid out for a look is not what is to be computed, nor the other way round.
                if ask.depth.is_some() != self.looks {
                    self.unplan();
                    self.plan(ask);
                }
                self.submit(device, ask)
            }
            State::Running => self.poll(device, observe),
            State::Abandoned => self.await_abandoned(device),
        }
    }

    /// Whether the device has the step whose mask comes later, and not the mask.
    pub fn lacks_mask(&self) -> bool {
        self.lacks_mask
    }

    /// Gives the device the mask that the step under way was submitted without.
    ///
    /// # Errors
    /// [`SequenceError::Mask`].
    pub fn allow(&mut self, device: &mut dyn TensorDevice, mask: &[u32]) -> Result<(), SequenceError> {
        device.allow(0, mask).map_err(SequenceError::Mask)?;
        self.lacks_mask = false;
        Ok(())
    }

    /// What may follow the context; `None` while tokens of it are not computed, or before the first.
    pub fn next(&self) -> Option<Next<'_>> {
        let found = self.found.filter(|_| self.computed == self.pushed.tokens)?;
        Some(Next {
            candidates: &self.tables.candidates[..found.candidates],
            log_sum_exp: found.log_sum_exp,
            entropy: found.entropy,
        })
    }

    /// Chooses what follows the context, without appending it; `None` as [`Sequence::next`].
    pub fn choose(&mut self, sampler: &Sampler) -> Option<Choice> {
        let found = self.found.filter(|_| self.computed == self.pushed.tokens)?;
        let next = Next {
            candidates: &self.tables.candidates[..found.candidates],
            log_sum_exp: found.log_sum_exp,
            entropy: found.entropy,
        };
        let past = &self.tables.tokens[..self.pushed.tokens as usize];
        Some(sampler.choose(&next, past, self.pushed.tokens, self.tables.weighed))
    }

    /// The tokens of the context, computed or not.
    pub fn tokens(&self) -> &[u32] {
        &self.tables.tokens[..self.pushed.tokens as usize]
    }

    /// How many of the tokens are computed.
    pub fn computed(&self) -> u32 {
        self.computed
    }

    /// How many tokens the context can still take at most; page memory may be full before.
    pub fn room(&self) -> u32 {
        self.context as u32 - self.pushed.tokens
    }

    /// The slices of the tokens that were put into steps so far.
    pub fn slices(&self) -> &[Segment] {
        &self.tables.slices[..self.planned.slices as usize]
    }

    /// Pages held.
    pub fn pages(&self) -> u32 {
        self.pushed.pages
    }

    fn submit(&mut self, device: &mut dyn TensorDevice, ask: &Ask<'_>) -> Result<Tick, SequenceError> {
        let rows = &mut self.tables.rows[..self.rows];
        rows.iter_mut().for_each(|row| ask.put_into(row));
        let masks = ask.mask.as_slice();
        let masked = rows.iter().any(|row| row.mask.is_some());
        let step = Step {
            rows: &self.tables.rows[..self.rows],
            spans: &[Span { rows: self.rows as u32, segments: self.planned.slices }],
            segments: &self.tables.slices[..self.planned.slices as usize],
            pages: &self.tables.pages[..self.planned.pages as usize],
            masks: if masked { masks } else { &[] },
            taps: ask.taps,
            counters: ask.counters,
            depth: ask.depth,
        };
        match device.submit(&step) {
            Ok(()) => {
                self.state = State::Running;
                self.lacks_mask = masked && ask.mask.is_some_and(<[u32]>::is_empty);
                Ok(Tick::Submitted { rows: self.rows as u32 })
            }
            Err(SubmitError::Busy) => Ok(Tick::Pending),
            Err(error) => Err(SequenceError::Submit(error)),
        }
    }

    fn poll(
        &mut self,
        device: &mut dyn TensorDevice,
        observe: &mut dyn FnMut(&[Row], &StepReport<'_>),
    ) -> Result<Tick, SequenceError> {
        let Poll::Ready(result) = device.poll() else {
            return Ok(Tick::Pending);
        };
        let rows = self.rows as u32;
        // Until the report is found good, the rows are to be computed again.
        (self.state, self.lacks_mask) = (State::Planned, false);
        if self.looks {
            self.unplan();
            let report = result.and_then(finite).map_err(SequenceError::Device)?;
            observe(&self.tables.rows[..self.rows], &report);
            return Ok(Tick::Looked { rows });
        }
        let report = result.and_then(finite).map_err(SequenceError::Device)?;
        self.state = State::Resting;
        observe(&self.tables.rows[..self.rows], &report);
        self.found = self.keep_last(&report);
        self.computed = self.planned.tokens;
        let done = self.computed == self.pushed.tokens;
        Ok(if done { Tick::Ready { rows } } else { Tick::Prefilled { rows } })
    }

    /// Copies what the step's last row found, if it wanted something.
    fn keep_last(&mut self, report: &StepReport<'_>) -> Option<Found> {
        let last = report.outcomes.len().checked_sub(1)?;
        let outcome = report.outcomes[last];
        if outcome.row as usize + 1 != self.rows {
            return None;
        }
        let from = report.candidates_of(last);
        let candidates = from.len().min(self.tables.candidates.len());
        self.tables.candidates[..candidates].copy_from_slice(&from[..candidates]);
        Some(Found { candidates, log_sum_exp: outcome.log_sum_exp, entropy: outcome.entropy })
    }

    /// Waits for the end of a step whose rows were forgotten, whatever it comes to.
    fn await_abandoned(&mut self, device: &mut dyn TensorDevice) -> Result<Tick, SequenceError> {
        if device.poll().is_ready() {
            (self.state, self.lacks_mask) = (State::Resting, false);
        }
        Ok(Tick::Pending)
    }
}

/// Refuses a report in which a number that decisions rest on is none.
pub(crate) fn finite(report: StepReport<'_>) -> Result<StepReport<'_>, DeviceError> {
    for (index, outcome) in report.outcomes.iter().enumerate() {
        let whole = [outcome.log_sum_exp, outcome.entropy, outcome.scored].iter().all(|x| x.is_finite());
        if !whole || report.candidates_of(index).iter().any(|candidate| !candidate.logit.is_finite()) {
            return Err(DeviceError::NotFinite { row: outcome.row });
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
