//! Guards that know what an agent may say at once, later or not yet, on devices that wait for masks and on others.

use agentos_hal::LateMasks;

use super::tools::TOOLS;
use super::*;
use crate::guard::{Allowed, Guard};

/// A guard that allows tokens of one parity.
#[derive(Default)]
pub struct Form {
    /// Times that it does not know before it does.
    pub hesitates: u32,
    /// Says later wherever it may.
    pub puts_off: bool,
    /// Allows anything where a step waits for its mask.
    pub gives_up: bool,
    /// Nothing but the token that ends answers may come: whether it does.
    pub only_end: Option<bool>,
    /// What it was asked.
    pub questions: Vec<LateMasks>,
    asked: BTreeMap<(u16, u32), u32>,
}

impl Guard for Form {
    fn next(&mut self, agent: AgentId, mask: &mut [u32], late: LateMasks) -> Allowed {
        self.questions.push(late);
        if self.puts_off && late != LateMasks::Refused {
            return Allowed::Later;
        }
        let asked = self.asked.entry((agent.index, agent.generation)).or_default();
        *asked += 1;
        if !asked.is_multiple_of(self.hesitates + 1) {
            // To say later where there is no later is to say not yet.
            return if asked.is_multiple_of(2) { Allowed::Later } else { Allowed::NotYet };
        }
        if self.gives_up && late == LateMasks::Refused {
            return Allowed::Anything;
        }
        if self.only_end.is_some() {
            mask.fill(0);
            mask[END as usize / 32] = 1 << (END % 32);
            return Allowed::Masked;
        }
        mask.fill(0x5555_5555);
        Allowed::Masked
    }

    fn ends(&self, _: AgentId) -> bool {
        self.only_end.unwrap_or(true)
    }
}

const BOTH: [LateMasks; 2] = [LateMasks::InPoll, LateMasks::Beside];

fn guarded(tag: u64) -> Spec {
    Spec { guarded: true, ..spec(tag, 25) }
}

/// Five guarded agents and one that is not.
fn company(config: Config) -> Rig {
    let mut rig = Rig::new(config);
    for tag in 1..=5 {
        rig.spawn(&guarded(tag), &prompt(tag as u32, 20));
    }
    rig.spawn(&spec(9, 25), &prompt(9, 20));
    rig
}

/// The same, whose guard puts off what it can, on a device that waits.
fn late_company(config: Config, late: LateMasks) -> Rig {
    let mut rig = company(config);
    rig.device.late_masks = late;
    rig.guard.puts_off = true;
    rig
}

/// Ticks until `done` says so.
fn ticks(rig: &mut Rig, mut done: impl FnMut(&mut Rig, Tick) -> bool) {
    for _ in 0..10_000 {
        let tick = rig.tick();
        if done(rig, tick) {
            return;
        }
    }
    panic!("it never comes to that");
}

/// What they say when every mask is there before its step.
fn said_in_time() -> BTreeMap<u64, Vec<u32>> {
    let mut rig = company(TOOLS);
    rig.run();
    rig.texts
}

#[test]
fn a_guarded_agent_says_what_its_guard_allows_whenever_it_is_told() {
    let says = |hesitates, config| {
        let mut rig = company(config);
        rig.guard.hesitates = hesitates;
        rig.run();
        rig.texts
    };
    let texts = said_in_time();
    for tag in 1..=5 {
        assert!(texts[&tag].iter().all(|token| token % 2 == 0), "{:?}", texts[&tag]);
        assert!(texts[&tag].len() > 1);
    }
    assert_eq!(texts[&9], alone(&spec(9, 25), &prompt(9, 20)), "nobody guards it");
    assert!(texts[&9].iter().any(|token| token % 2 == 1));
    assert_eq!(texts, says(3, TOOLS));
    // One mask a step: they take turns.
    assert_eq!(texts, says(1, Config { masks: 1, ..TOOLS }.checked()));
}

#[test]
fn masks_that_come_later_change_nothing_but_the_time() {
    let mut early = company(TOOLS);
    early.run();
    for late in BOTH {
        for (hesitates, pending) in [(0, 0), (0, 40), (2, 0)] {
            let mut rig = late_company(TOOLS, late);
            rig.guard.hesitates = hesitates;
            rig.device.hitches.extend([Hitch::Pending; 40].into_iter().take(pending));
            rig.run();
            assert_eq!(rig.texts, early.texts);
            assert_eq!(rig.device.steps, early.device.steps, "the same steps");
            let tokens: usize = (1..=5).map(|tag| rig.texts[&tag].len()).sum();
            assert_eq!(rig.device.allowed, tokens, "each mask came later");
        }
    }
}

#[test]
fn who_hesitates_with_one_mask_a_step_says_the_same_later() {
    let mut rig = late_company(Config { masks: 1, ..TOOLS }.checked(), LateMasks::Beside);
    rig.guard.hesitates = 1;
    rig.run();
    assert_eq!(rig.texts, said_in_time());
}

#[test]
fn a_guard_that_may_put_off_is_asked_again_in_the_tick_in_which_the_device_waits() {
    let mut rig = Rig::new(TOOLS);
    rig.device.late_masks = LateMasks::InPoll;
    rig.guard.puts_off = true;
    rig.spawn(&guarded(1), &prompt(1, 20));
    ticks(&mut rig, |rig, tick| matches!(tick, Tick::Submitted { .. }) && !rig.guard.questions.is_empty());
    assert_eq!(rig.guard.questions, [LateMasks::InPoll]);
    assert!(matches!(rig.tick(), Tick::Stepped { .. }), "its mask is given, and the step done");
    assert_eq!(rig.guard.questions, [LateMasks::InPoll, LateMasks::Refused]);
    assert_eq!(rig.texts[&1].len(), 1);
}

#[test]
fn a_device_that_does_not_wait_is_given_masks_with_the_step() {
    let mut rig = company(TOOLS);
    rig.guard.puts_off = true;
    rig.run();
    assert_eq!(rig.texts, said_in_time());
    assert!(rig.guard.questions.iter().all(|&late| late == LateMasks::Refused));
    assert_eq!(rig.device.allowed, 0);
}

#[test]
fn a_step_that_fails_before_its_masks_are_there_is_computed_again() {
    for late in BOTH {
        for error in [DeviceError::Lost, DeviceError::Hung, DeviceError::NotFinite { row: 0 }] {
            let mut rig = late_company(TOOLS, late);
            let mut failures = 0;
            ticks(&mut rig, |rig, tick| {
                let outstanding = rig.guard.questions.last().is_some_and(|&last| last == late);
                match tick {
                    // In company only: who fails alone once more is taken out of service.
                    Tick::Submitted { agents: 2.., .. } if outstanding && failures < 5 => {
                        rig.device.hitches.push_back(Hitch::Fails(error));
                        failures += 1;
                    }
                    Tick::DeviceLost => {
                        rig.device.forget();
                        rig.kernel.device_restored();
                    }
                    _ => (),
                }
                tick == Tick::Idle
            });
            assert_eq!(rig.texts, said_in_time(), "{error}");
            assert_eq!((failures, rig.kernel.figures().failed_steps), (5, 5));
        }
    }
}

#[test]
fn a_step_whose_masks_never_come_takes_as_long_as_a_device_may() {
    for late in BOTH {
        let mut rig = late_company(Config { hang_us: 500, ..TOOLS }.checked(), late);
        rig.guard.hesitates = u32::MAX - 1;
        let mut ticks = 0;
        while rig.tick() != Tick::DeviceLost {
            ticks += 1;
            assert!(ticks < 500, "the step never ends");
        }
        assert!(ticks > 10, "it was waited for");
        assert_eq!(rig.device.allowed, 0);
        rig.guard.hesitates = 0;
        rig.device.forget();
        rig.kernel.device_restored();
        rig.run();
        assert_eq!(rig.texts, said_in_time());
    }
}

#[test]
fn a_form_that_fails_while_the_device_waits_allows_everything() {
    let mut rig = late_company(TOOLS, LateMasks::Beside);
    rig.guard.gives_up = true;
    rig.run();
    for tag in 1..=5 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 25), &prompt(tag as u32, 20)));
    }
}

#[test]
fn an_answer_goes_on_behind_a_token_that_ends_others_where_its_guard_says_so() {
    for (ends, said, finish) in [(true, 1, Finish::Stop), (false, 25, Finish::Length)] {
        let mut rig = Rig::new(TOOLS);
        rig.guard.only_end = Some(ends);
        rig.spawn(&guarded(1), &prompt(1, 20));
        rig.run();
        assert_eq!((&rig.texts[&1], rig.ends[&1]), (&vec![END; said], finish));
    }
}

#[test]
fn who_is_killed_while_its_mask_is_outstanding_holds_nobody_up() {
    let mut rig = late_company(TOOLS, LateMasks::Beside);
    ticks(&mut rig, |rig, tick| matches!(tick, Tick::Submitted { .. }) && rig.texts.contains_key(&3));
    let (&victim, _) = rig.tags.iter().find(|(_, tag)| **tag == 3).unwrap();
    rig.call(&Call::Kill(AgentId { index: victim.0, generation: victim.1 })).unwrap();
    rig.run();
    let in_time = said_in_time();
    for (tag, text) in &rig.texts {
        assert!(in_time[tag].starts_with(text) && (*tag == 3 || text.len() == in_time[tag].len()));
    }
}
