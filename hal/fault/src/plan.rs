//! Which faults happen, and when: pure functions of the plan and of how many calls came before.

use crate::poison::{Number, Poison};

/// What goes wrong.
///
/// Steps are counted by calls of `submit` and copies by page operations (a call that repeats a pending
/// one is not counted), both from 0 and only while the device has a model and no step under way.
/// Preparing the device again does not begin anew.
#[derive(Clone, Copy, Debug)]
pub enum FaultPlan<'p> {
    /// Exactly this. Of several entries with one number the first counts.
    Script {
        /// Fates by the number of the submit.
        steps: &'p [(u64, StepFate)],
        /// Fates by the number of the page operation.
        copies: &'p [(u64, CopyFate)],
    },
    /// As a generator draws it. Same seed, same faults.
    Random {
        /// Determines every fault.
        seed: u64,
        /// How often each happens.
        odds: PerMille,
        /// Delays last from one call to this many.
        longest_delay: u32,
    },
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepFate {
    /// Polls that are answered with "pending" first.
    pub delay_polls: u32,
    /// What goes wrong then.
    pub injury: Option<StepInjury>,
}

/// What goes wrong with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepInjury {
    /// `submit` says that the device is busy.
    Refuse,
    /// The device is lost and page memory with it.
    Lose,
    /// The step is over without a result.
    Hang,
    /// A row is said to have no finite result. Nothing happens to a step without rows.
    NotFinite {
        /// The row, modulo the rows of the step.
        row: u32,
    },
    /// A number of the report is NaN.
    Poison(Poison),
}

/// What happens to a page operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyFate {
    /// Calls that are answered with "pending" first; `copy_pages` cannot wait and ignores it.
    pub delay_calls: u32,
    /// What goes wrong then.
    pub fault: Option<CopyFault>,
}

/// What goes wrong with a page operation. Nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFault {
    /// The device says that it is busy.
    Refuse,
    /// The device is lost and page memory with it.
    Lose,
}

/// Odds, each in per mille of the steps or of the page operations. A step is delayed or not, and by
/// another draw suffers at most one of the rest; so does a page operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerMille {
    /// Steps that are delayed.
    pub delay: u16,
    /// [`StepInjury::Refuse`].
    pub refuse: u16,
    /// [`StepInjury::Lose`].
    pub lose: u16,
    /// [`StepInjury::Hang`].
    pub hang: u16,
    /// [`StepInjury::NotFinite`], of any row.
    pub not_finite: u16,
    /// [`StepInjury::Poison`], of any number.
    pub poison: u16,
    /// Page operations that are delayed.
    pub copy_delay: u16,
    /// [`CopyFault::Refuse`].
    pub copy_refuse: u16,
    /// [`CopyFault::Lose`].
    pub copy_lose: u16,
}

impl PerMille {
    /// Nothing ever happens.
    pub const NONE: PerMille = PerMille {
        delay: 0,
        refuse: 0,
        lose: 0,
        hang: 0,
        not_finite: 0,
        poison: 0,
        copy_delay: 0,
        copy_refuse: 0,
        copy_lose: 0,
    };
}

/// What a draw is for: each kind of draw has a sequence of its own.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Step,
    StepDelay,
    StepPlace,
    StepNumber,
    Copy,
    CopyDelay,
    Call,
    CallDelay,
    Store,
    StoreDelay,
}

impl FaultPlan<'_> {
    /// Nothing goes wrong.
    pub const NONE: FaultPlan<'static> = FaultPlan::Script { steps: &[], copies: &[] };

    /// Whether the odds leave no more than one fault for each step and copy.
    pub(crate) fn is_sound(&self) -> bool {
        let FaultPlan::Random { odds, .. } = self else { return true };
        let within = |odds: &[u16]| odds.iter().map(|&odd| u32::from(odd)).sum::<u32>() <= 1000;
        within(&[odds.refuse, odds.lose, odds.hang, odds.not_finite, odds.poison])
            && within(&[odds.copy_refuse, odds.copy_lose])
            && within(&[odds.delay])
            && within(&[odds.copy_delay])
    }

    /// Whether the device can be lost.
    pub(crate) fn loses(&self) -> bool {
        match self {
            FaultPlan::Script { steps, copies } => {
                steps.iter().any(|(_, fate)| fate.injury == Some(StepInjury::Lose))
                    || copies.iter().any(|(_, fate)| fate.fault == Some(CopyFault::Lose))
            }
            FaultPlan::Random { odds, .. } => odds.lose > 0 || odds.copy_lose > 0,
        }
    }

    /// Whether a report can be falsified.
    pub(crate) fn poisons(&self) -> bool {
        match self {
            FaultPlan::Script { steps, .. } => {
                steps.iter().any(|(_, fate)| matches!(fate.injury, Some(StepInjury::Poison(_))))
            }
            FaultPlan::Random { odds, .. } => odds.poison > 0,
        }
    }

    /// What happens to the nth submit.
    pub(crate) fn step(&self, nth: u64) -> StepFate {
        let (seed, odds, longest) = match *self {
            FaultPlan::Script { steps, .. } => return scripted(steps, nth),
            FaultPlan::Random { seed, odds, longest_delay } => (seed, odds, longest_delay),
        };
        let place = || word(seed, Stream::StepPlace, nth) as u32;
        let thresholds = [odds.refuse, odds.lose, odds.hang, odds.not_finite, odds.poison];
        let injury = match drawn(&thresholds, word(seed, Stream::Step, nth)) {
            Some(0) => Some(StepInjury::Refuse),
            Some(1) => Some(StepInjury::Lose),
            Some(2) => Some(StepInjury::Hang),
            Some(3) => Some(StepInjury::NotFinite { row: place() }),
            Some(_) => {
                let number = Number::of(word(seed, Stream::StepNumber, nth));
                Some(StepInjury::Poison(Poison { outcome: place(), number }))
            }
            None => None,
        };
        StepFate { delay_polls: delay(odds.delay, longest, word(seed, Stream::StepDelay, nth)), injury }
    }

    /// What happens to the nth page operation.
    pub(crate) fn copy(&self, nth: u64) -> CopyFate {
        let (seed, odds, longest) = match *self {
            FaultPlan::Script { copies, .. } => return scripted(copies, nth),
            FaultPlan::Random { seed, odds, longest_delay } => (seed, odds, longest_delay),
        };
        let fault = match drawn(&[odds.copy_refuse, odds.copy_lose], word(seed, Stream::Copy, nth)) {
            Some(0) => Some(CopyFault::Refuse),
            Some(_) => Some(CopyFault::Lose),
            None => None,
        };
        CopyFate { delay_calls: delay(odds.copy_delay, longest, word(seed, Stream::CopyDelay, nth)), fault }
    }
}

fn scripted<F: Copy + Default>(script: &[(u64, F)], nth: u64) -> F {
    script.iter().find(|(number, _)| *number == nth).map_or(F::default(), |&(_, fate)| fate)
}

/// Which of several odds the word falls into.
pub(crate) fn drawn(per_mille: &[u16], word: u64) -> Option<usize> {
    let mut left = below(1000, word);
    per_mille.iter().position(|&odd| {
        let within = left < u32::from(odd);
        left = left.wrapping_sub(u32::from(odd));
        within
    })
}

/// Calls to wait: none, or from 1 to `longest`.
fn delay(per_mille: u16, longest: u32, word: u64) -> u32 {
    match drawn(&[per_mille], word) {
        Some(_) if longest > 0 => 1 + below(longest, word << 32),
        _ => 0,
    }
}

/// A number below `count` from the word's upper half.
pub(crate) fn below(count: u32, word: u64) -> u32 {
    (((word >> 32) * u64::from(count)) >> 32) as u32
}

/// Random bits for the nth draw of a stream: splitmix64 with seed, stream and count mixed in.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
pub(crate) fn word(seed: u64, stream: Stream, nth: u64) -> u64 {
    split(split(split(seed).wrapping_add(stream as u64)).wrapping_add(nth))
}

fn split(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODDS: PerMille = PerMille {
        delay: 300,
        refuse: 100,
        lose: 50,
        hang: 50,
        not_finite: 100,
        poison: 200,
        copy_delay: 500,
        copy_refuse: 100,
        copy_lose: 20,
    };

    fn random(seed: u64) -> FaultPlan<'static> {
        FaultPlan::Random { seed, odds: ODDS, longest_delay: 4 }
    }

    /// How many of 10,000 draws differ from the odds by so much is bounded by five deviations.
    fn about(count: usize, per_mille: u16) -> bool {
        let (share, n) = (f64::from(per_mille) / 1000.0, 10_000.0);
        (count as f64 - share * n).powi(2) < 25.0 * n * share * (1.0 - share)
    }

    #[test]
    fn the_odds_are_kept() {
        let plan = random(1);
        let steps = |is: fn(&StepFate) -> bool| (0..10_000).map(|n| plan.step(n)).filter(is).count();
        let copies = |is: fn(&CopyFate) -> bool| (0..10_000).map(|n| plan.copy(n)).filter(is).count();
        assert!(about(steps(|fate| fate.delay_polls > 0), ODDS.delay));
        assert!(about(steps(|fate| fate.injury == Some(StepInjury::Refuse)), ODDS.refuse));
        assert!(about(steps(|fate| fate.injury == Some(StepInjury::Lose)), ODDS.lose));
        assert!(about(steps(|fate| fate.injury == Some(StepInjury::Hang)), ODDS.hang));
        let not_finite = |fate: &StepFate| matches!(fate.injury, Some(StepInjury::NotFinite { .. }));
        assert!(about(steps(not_finite), ODDS.not_finite));
        assert!(about(steps(|fate| matches!(fate.injury, Some(StepInjury::Poison(_)))), ODDS.poison));
        assert!(about(copies(|fate| fate.delay_calls > 0), ODDS.copy_delay));
        assert!(about(copies(|fate| fate.fault == Some(CopyFault::Refuse)), ODDS.copy_refuse));
        assert!(about(copies(|fate| fate.fault == Some(CopyFault::Lose)), ODDS.copy_lose));
        let longest = (0..10_000).map(|n| plan.step(n).delay_polls).max();
        assert_eq!(longest, Some(4));
    }

    #[test]
    fn a_seed_is_a_sequence() {
        let same = |a: u64, b: u64| {
            (0..100).all(|n| random(a).step(n) == random(b).step(n) && random(a).copy(n) == random(b).copy(n))
        };
        assert!(same(1, 1));
        assert!(!same(1, 2));
    }

    #[test]
    fn every_number_of_a_report_is_poisoned_sometimes() {
        let hit = |wanted: fn(Number) -> bool| {
            (0..1000)
                .any(|n| matches!(random(3).step(n).injury, Some(StepInjury::Poison(p)) if wanted(p.number)))
        };
        assert!(hit(|number| number == Number::LogSumExp));
        assert!(hit(|number| number == Number::Entropy));
        assert!(hit(|number| number == Number::Scored));
        assert!(hit(|number| matches!(number, Number::Candidate(_))));
    }

    #[test]
    fn a_script_is_kept_to_the_letter() {
        let fate = StepFate { delay_polls: 3, injury: Some(StepInjury::Hang) };
        let plan = FaultPlan::Script { steps: &[(5, fate)], copies: &[] };
        assert_eq!(
            (plan.step(5), plan.step(4), plan.step(6)),
            (fate, StepFate::default(), StepFate::default())
        );
        assert_eq!(plan.copy(5), CopyFate::default());
        assert!(!plan.loses() && !plan.poisons());
    }

    #[test]
    fn odds_beyond_certainty_are_not_sound() {
        assert!(random(1).is_sound());
        let odds = PerMille { lose: 600, hang: 401, ..PerMille::NONE };
        assert!(!FaultPlan::Random { seed: 0, odds, longest_delay: 0 }.is_sound());
    }
}
