//! Calls that are open while something else happens to their agents.

use super::*;

/// Saved and restored: the system, and the call's new number with whether it is made again.
fn restored(rig: &mut Rig, call: u64) -> (Rig, u64, bool) {
    let saved = rig.save(None, Contents::Tokens, 64);
    let mut rig = Rig::new(TOOLS);
    rig.restore(&saved).unwrap();
    let told = rig.events.iter().find_map(|event| match *event {
        Event::ToolRestored { number, before, again, .. } if before == call => Some((number, again)),
        _ => None,
    });
    let (number, again) = told.expect("the host learns of it");
    (rig, number, again)
}

#[test]
fn what_a_call_came_to_before_a_restore_it_comes_to_behind_any_number_of_them() {
    let irreversible = Request { effect: Effect::Irreversible, ..REQUEST };
    let gone = Attempt { refused: Some(PeripheralError::Gone), ..AT_ONCE };
    let unknown = CallOutcome::Unknown;
    for (request, plan, budget, begun, outcome) in [
        (irreversible, NEVER, 9, true, unknown),
        // Whether it had an effect nobody knows.
        (irreversible, gone, 9, false, unknown),
        (irreversible, AT_ONCE, 9, true, unknown),
        (REQUEST, AT_ONCE, 0, false, CallOutcome::Budget),
    ] {
        let mut rig = Rig::new(TOOLS);
        let agent = rig.talking(1, 5);
        let calls = Budget { calls: budget, ..spec(1, 60).budget };
        rig.call(&Call::SetBudget(agent, calls)).unwrap();
        let said = rig.texts[&1].clone();
        let mut call = rig.invoke(agent, request).unwrap();
        rig.bench_plan(call, &[plan]);
        rig.ticks(12);
        assert_eq!(rig.bus.started.len(), usize::from(begun));
        for times in 1..4 {
            let again;
            (rig, call, again) = restored(&mut rig, call);
            assert!(!again, "{request:?}, restored {times} times");
            assert_eq!(rig.outcome_of(call), outcome);
            rig.ticks(12);
            assert!(rig.bus.started.is_empty(), "{request:?}, restored {times} times");
        }
        rig.give_back(call, &[6]).unwrap();
        rig.run();
        assert_eq!([&said[..], &rig.texts[&1]].concat(), told(1, said.len(), &[&[6]]));
    }
}

/// An agent that says the same over and over, with a watchdog that has seen it and is not delivered yet.
fn barked_at() -> (Rig, AgentId) {
    let mut rig = Rig::new(TOOLS);
    rig.kernel.interrupts().mask(VectorId::Watchdog);
    let watchdog = Watchdog { period: 1, repeats: 2, ..Watchdog::OFF };
    let said = Spec { on_end: OnEnd::Listen, watchdog, ..spec(1, 200) };
    let agent = rig.spawn(&said, &prompt(1, 20));
    let barks = |rig: &Rig| rig.kernel.interrupts().stats(VectorId::Watchdog).posted > 0;
    while !barks(&rig) {
        rig.ticks(1);
        assert!(!rig.stat(agent).state.is_over(), "it never said anything twice");
    }
    (rig, agent)
}

#[test]
fn a_watchdog_does_not_end_what_waits_for_a_tool() {
    for suspended in [false, true] {
        let (mut rig, agent) = barked_at();
        while rig.stat(agent).state == State::Running {
            rig.ticks(1);
        }
        let call = rig.invoke(agent, REQUEST).unwrap();
        if suspended {
            rig.call(&Call::Suspend(agent)).unwrap();
        }
        rig.kernel.interrupts().unmask(VectorId::Watchdog);
        assert_eq!(rig.outcome_of(call), CallOutcome::Done);
        rig.ticks(5);
        let waits = match suspended {
            true => State::Suspended(Resume::Blocked(BlockedOn::Tool)),
            false => State::Blocked(BlockedOn::Tool),
        };
        assert_eq!(rig.stat(agent).state, waits);
        let saved = rig.save(None, Contents::Tokens, 64);
        Rig::new(TOOLS).restore(&saved).unwrap();
        rig.give_back(call, &[7, 8, 9]).unwrap();
        let _ = rig.call(&Call::Resume(agent));
        rig.run();
        assert!(rig.ends.contains_key(&1));
    }
}

#[test]
fn who_made_progress_since_did_not_stall() {
    let mut rig = Rig::new(TOOLS);
    rig.kernel.interrupts().mask(VectorId::Watchdog);
    for tag in 3..7 {
        rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(tag, 60) }, &prompt(tag as u32, 120));
    }
    let watchdog = Watchdog { stall_us: 400, ..Watchdog::OFF };
    let waits = Spec { watchdog, on_end: OnEnd::Listen, priority: Priority::LOWEST, ..spec(2, 5) };
    let agent = rig.spawn(&waits, &prompt(2, 60));
    rig.run();
    assert!(rig.kernel.interrupts().stats(VectorId::Watchdog).posted > 0, "it had to wait");
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Message));
    rig.kernel.interrupts().unmask(VectorId::Watchdog);
    rig.ticks(40);
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Message));
}

#[test]
fn who_is_not_admitted_calls_no_tool() {
    let mut rig = Rig::new(TOOLS);
    let large = |tag| spec(tag, 200);
    let mut tag = 0;
    let waits = loop {
        tag += 1;
        let agent = rig.spawn(&large(tag), &prompt(tag as u32, 30));
        if rig.stat(agent).state == State::New {
            break agent;
        }
    };
    rig.call(&Call::Suspend(waits)).unwrap();
    let state = rig.stat(waits).state;
    assert_eq!(rig.invoke(waits, REQUEST), Err(CallError::State { agent: waits, state }));
    rig.call(&Call::Resume(waits)).unwrap();
    assert_eq!(rig.stat(waits).state, State::New);
    rig.run();
    assert!(rig.ends.contains_key(&tag));
}
