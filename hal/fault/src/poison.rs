//! A report with one number that is none.

use agentos_hal::StepReport;

use crate::scratch::Scratch;

/// Which number of a report becomes NaN. Nothing happens to a report without outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poison {
    /// The outcome, modulo those of the report.
    pub outcome: u32,
    /// Its number.
    pub number: Number,
}

/// A number of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// `Outcome::log_sum_exp`.
    LogSumExp,
    /// `Outcome::entropy`.
    Entropy,
    /// `Outcome::scored`.
    Scored,
    /// The logit of a candidate, modulo those of the outcome.
    Candidate(u32),
}

impl Number {
    /// Any number, each kind as likely as the others.
    pub(crate) fn of(word: u64) -> Number {
        match word % 4 {
            0 => Number::LogSumExp,
            1 => Number::Entropy,
            2 => Number::Scored,
            _ => Number::Candidate((word >> 32) as u32),
        }
    }
}

/// The report, copied to the scratch and falsified there; `None` when it has no such number.
pub(crate) fn poisoned<'s>(
    report: &StepReport<'s>,
    poison: Poison,
    scratch: &'s mut Scratch<'_>,
) -> Option<StepReport<'s>> {
    let index = (poison.outcome as usize).checked_rem(report.outcomes.len())?;
    let Scratch { outcomes, candidates, .. } = scratch;
    let outcomes = &mut outcomes[..report.outcomes.len()];
    let candidates = &mut candidates[..report.candidates.len()];
    outcomes.copy_from_slice(report.outcomes);
    candidates.copy_from_slice(report.candidates);
    let outcome = &mut outcomes[index];
    match poison.number {
        Number::LogSumExp => outcome.log_sum_exp = f32::NAN,
        Number::Entropy => outcome.entropy = f32::NAN,
        Number::Scored => outcome.scored = f32::NAN,
        Number::Candidate(nth) => {
            let first = index * (report.candidates.len() / report.outcomes.len());
            let place = first + (nth as usize).checked_rem(outcome.candidates as usize)?;
            candidates[place].logit = f32::NAN;
        }
    }
    Some(StepReport { outcomes, candidates, ..*report })
}
