//! Mistakes that simulations and audits found, each made small.

use super::*;

#[test]
fn whoever_is_suspended_in_a_step_leaves_the_schedule_at_its_end() {
    let mut rig = Rig::new(CONFIG);
    let agent = rig.spawn(&spec(1, 40), &prompt(1, 20));
    while rig.stat(agent).state != State::Running {
        let _ = rig.tick();
    }
    rig.call(&Call::Suspend(agent)).unwrap();
    rig.run();
    assert_eq!(rig.stat(agent).state, State::Suspended(Resume::Ready));
    rig.call(&Call::Resume(agent)).unwrap();
    rig.run();
    assert_eq!(rig.texts[&1], alone(&spec(1, 40), &prompt(1, 20)));
}

#[test]
fn a_page_that_cannot_be_copied_costs_nobody_a_row() {
    // The first is in the step already when the copy on write for the second is refused, or the device lost.
    for error in [PageError::Busy, PageError::Lost] {
        let mut rig = Rig::new(CONFIG);
        let parent = rig.spawn(&spec(1, 30), &prompt(5, 41));
        while rig.kernel.tokens(parent).len() < 45 {
            let _ = rig.tick();
        }
        let told = rig.kernel.tokens(parent).to_vec();
        rig.call(&Call::Fork(parent, Spec { priority: Priority::LOWEST, ..spec(2, 20) })).unwrap();
        rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(3, 9) }, &prompt(8, 9));
        rig.device.copies.push_back(Some(error));
        rig.run();
        assert_eq!(rig.texts[&1], alone(&spec(1, 30), &prompt(5, 41)));
        assert_eq!(rig.texts[&2], alone(&spec(2, 20), &told));
        assert_eq!(rig.texts[&3], alone(&spec(3, 9), &prompt(8, 9)));
        let recomputed: u64 = rig.kernel.agents().map(|rcb| rcb.metrics.recomputed).sum();
        assert_eq!(recomputed > 0, error == PageError::Lost);
    }
}

#[test]
fn a_device_that_is_lost_before_it_takes_a_step_costs_no_agent() {
    let mut rig = Rig::new(CONFIG);
    for tag in 0..3 {
        rig.spawn(&spec(tag, 15), &prompt(tag as u32, 30));
    }
    for _ in 0..9 {
        let _ = rig.tick();
    }
    rig.device.refusals.push_back(SubmitError::NotPrepared);
    rig.run();
    for tag in 0..3 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 15), &prompt(tag as u32, 30)));
    }
}

#[test]
fn a_page_on_its_way_is_waited_for_before_the_next_one_goes() {
    let memory = MemoryMode::Bounded { pages: 24, packed: false };
    let bounded = Spec { priority: Priority::HIGHEST, memory, context: 300, ..spec(1, 60) };
    let expected = alone(&bounded, &prompt(4, 220));
    for late in 0..60 {
        let mut rig = Rig::new(Config { moves_per_tick: 2, ..CONFIG });
        for tag in 2..8 {
            rig.spawn(&Spec { context: 160, ..spec(tag, 30) }, &prompt(tag as u32, 100));
        }
        rig.ticks(60);
        rig.spawn(&bounded, &prompt(4, 220));
        rig.ticks(late);
        rig.device.copies.push_back(None);
        rig.run();
        assert_eq!(rig.texts[&1], expected);
    }
}

#[test]
fn a_budget_of_no_tokens_gives_none() {
    let mut rig = Rig::new(CONFIG);
    let nothing = Budget { tokens: 0, ..Budget::UNBOUNDED };
    let agent = rig.spawn(&Spec { budget: nothing, ..spec(1, 9) }, &prompt(1, 20));
    rig.run();
    assert_eq!((rig.stat(agent).computed, rig.texts.get(&1)), (20, None));
}

#[test]
fn who_waits_for_admission_may_be_suspended_and_the_events_say_so() {
    let mut rig = Rig::new(CONFIG);
    let count = 600_u32.div_ceil(SliceLimits::DEFAULT.worst_pages(250)) + 2;
    let agents: Vec<AgentId> =
        (0..u64::from(count)).map(|tag| rig.spawn(&spec(tag, 5), &prompt(1, 9))).collect();
    let last = agents[agents.len() - 1];
    assert_eq!(rig.stat(last).state, State::New);
    rig.call(&Call::Suspend(last)).unwrap();
    rig.call(&Call::Resume(last)).unwrap();
    assert_eq!(rig.stat(last).state, State::New);
    let (from, to) = (StateKind::Suspended, StateKind::New);
    assert_eq!(rig.events.last(), Some(&Event::State { agent: last, from, to }));
    rig.run();
    assert_eq!(rig.texts[&u64::from(count - 1)], alone(&spec(u64::from(count - 1), 5), &prompt(1, 9)));
}

/// A listener whose answer is over, and what it said.
fn listener(rig: &mut Rig) -> (AgentId, Vec<u32>) {
    let agent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 10) }, &prompt(1, 20));
    rig.run();
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Message));
    (agent, rig.texts[&1].clone())
}

#[test]
fn an_answer_that_is_over_stays_over_without_the_device() {
    let mut rig = Rig::new(CONFIG);
    let (_, said) = listener(&mut rig);
    rig.spawn(&spec(2, 5), &prompt(2, 20));
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    assert_eq!((&rig.texts[&1], rig.texts[&2].len()), (&said, 5));
}

#[test]
fn an_answer_that_is_over_stays_over_behind_a_wait() {
    let mut rig = Rig::new(CONFIG);
    let (agent, said) = listener(&mut rig);
    let other = rig.spawn(&spec(2, 5), &prompt(2, 20));
    rig.call(&Call::Wait(agent, other)).unwrap();
    rig.run();
    assert_eq!((rig.stat(agent).state, &rig.texts[&1]), (State::Blocked(BlockedOn::Message), &said));
}

#[test]
fn a_message_to_the_suspended_is_read_before_they_go_on() {
    let mut rig = Rig::new(CONFIG);
    let (agent, said) = listener(&mut rig);
    rig.call(&Call::Suspend(agent)).unwrap();
    rig.call(&Call::Send(agent, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    rig.run();
    rig.call(&Call::Resume(agent)).unwrap();
    rig.run();
    let read = [prompt(1, 20), said.clone(), vec![5, 6, 7]].concat();
    assert_eq!(rig.kernel.tokens(agent)[..read.len()], read);
    assert_eq!(rig.texts[&1][said.len()..], alone(&spec(1, 10), &read));
}

fn bounded(tag: u64) -> Spec {
    let memory = MemoryMode::Bounded { pages: 24, packed: false };
    Spec { memory, context: 300, ..spec(tag, 60) }
}

#[test]
fn a_bounded_agent_keeps_the_same_whoever_computed_its_beginning() {
    let mut rig = Rig::new(Config { rows: 64, ..CONFIG });
    rig.spawn(&spec(2, 5), &prompt(4, 190));
    rig.run();
    rig.spawn(&bounded(1), &prompt(4, 220));
    rig.run();
    assert_eq!(rig.texts[&1], alone(&bounded(1), &prompt(4, 220)));
}

#[test]
fn a_bounded_agent_keeps_the_same_after_a_loss_and_when_it_is_forked() {
    let (expected, length) = (alone(&bounded(1), &prompt(4, 150)), 150);
    for at in [20, 30, 40, 50, 60] {
        let mut rig = Rig::new(CONFIG);
        let parent = rig.spawn(&bounded(1), &prompt(4, length));
        rig.ticks(at);
        let told = rig.kernel.tokens(parent).to_vec();
        rig.call(&Call::Fork(parent, bounded(2))).unwrap();
        rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
        rig.run();
        let lost = matches!(rig.stat(parent).state, State::Faulted(Fault::PagesLost));
        assert!(lost || rig.texts[&1] == expected, "{at}");
        let mut rig = Rig::new(CONFIG);
        let parent = rig.spawn(&bounded(1), &prompt(4, length));
        rig.ticks(at);
        assert_eq!(rig.kernel.tokens(parent), told);
        rig.call(&Call::Fork(parent, bounded(2))).unwrap();
        rig.run();
        assert_eq!((&rig.texts[&1], &rig.texts[&2]), (&expected, &alone(&bounded(2), &told)), "{at}");
    }
}

#[test]
fn what_a_bounded_agent_saw_of_its_context_is_nobody_elses() {
    // The step in which it first leaves something out fails, and is tried again.
    let mut rig = Rig::new(Config { rows: 24, ..Config::new(4, 300, 128, 600) });
    let agent = rig.spawn(&bounded(1), &prompt(4, 220));
    for _ in 0..100 {
        if rig.device.hitches.is_empty() && rig.stat(agent).computed < 200 {
            // Twice in a row would be its fault.
            rig.device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
        }
        rig.ticks(4);
    }
    rig.device.hitches.clear();
    rig.call(&Call::Kill(agent)).unwrap();
    rig.spawn(&Spec { context: 300, ..spec(2, 20) }, &prompt(4, 220));
    rig.run();
    assert_eq!(rig.texts[&2], alone(&Spec { context: 300, ..spec(2, 20) }, &prompt(4, 220)));
}

#[test]
fn a_slice_is_pinned_when_it_is_whole() {
    let mut rig = Rig::new(Config { pinned_pages: 8, rows: 9, ..CONFIG });
    let budget = Budget { pinned_pages: 8, ..Budget::UNBOUNDED };
    // Its end is known before it is computed.
    let plain = [vec![1; 40], vec![11], vec![1; 10]].concat();
    let agent = rig.spawn(&Spec { budget, context: 100, ..spec(1, 5) }, &plain);
    for _ in 0..20 {
        let _ = rig.tick();
        let _ = rig.call(&Call::Pin { agent, start: 0, end: 60, keep: true });
        let _ = rig.call(&Call::Pin { agent, start: 0, end: 30, keep: false });
    }
    assert!(rig.kernel.agents().all(|rcb| rcb.pinned <= 8));
    rig.run();
}

#[test]
fn a_queue_that_others_filled_loses_nobodys_message_and_nobodys_end() {
    let mut rig = Rig::new(CONFIG);
    let (listener, _) = listener(&mut rig);
    let full = rig.spawn(&Spec { context: 24, ..spec(2, 99) }, &prompt(2, 20));
    for vector in [VectorId::Ipc, VectorId::ContextFull] {
        rig.kernel.interrupts().mask(vector);
        let posted = Posted { vector, agent: None, payload: 0, at_us: 0 };
        while rig.kernel.interrupts().post(posted).is_ok() {}
    }
    rig.call(&Call::Send(listener, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    rig.run();
    assert_eq!(rig.stat(full).state, State::Blocked(BlockedOn::Host));
    for vector in [VectorId::Ipc, VectorId::ContextFull] {
        rig.kernel.interrupts().unmask(vector);
    }
    rig.run();
    assert_eq!(rig.stat(full).state, State::Stopped(Finish::Context));
    assert_eq!(rig.texts[&1].len(), 20);
}

#[test]
fn who_repeats_itself_and_is_suspended_stays_suspended() {
    let mut rig = Rig::new(CONFIG);
    // Two appearances of a period of the whole context's half are found in any text that repeats a token.
    let watchdog = Watchdog { period: 1, repeats: 2, ..Watchdog::OFF };
    let listen = Spec { on_end: OnEnd::Listen, watchdog, ..spec(1, 200) };
    let agent = rig.spawn(&listen, &prompt(1, 20));
    rig.kernel.interrupts().mask(VectorId::Watchdog);
    while rig.kernel.interrupts().stats(VectorId::Watchdog).posted == 0 {
        assert!(!rig.stat(agent).state.is_over(), "its text repeats no token");
        let _ = rig.tick();
    }
    rig.call(&Call::Suspend(agent)).unwrap();
    rig.kernel.interrupts().unmask(VectorId::Watchdog);
    rig.run();
    assert_eq!(rig.stat(agent).state, State::Suspended(Resume::Blocked(BlockedOn::Message)));
    rig.call(&Call::Resume(agent)).unwrap();
    rig.run();
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Message));
}

#[test]
fn a_fork_of_a_context_that_was_only_computed_goes_on_from_it() {
    for length in 1..60 {
        let mut rig = Rig::new(CONFIG);
        let parent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 0) }, &prompt(5, length));
        rig.run();
        let Ok(Reply::Agent(child)) = rig.call(&Call::Fork(parent, spec(2, 30))) else { panic!() };
        rig.run();
        assert_eq!(rig.texts[&2], alone(&spec(2, 30), &prompt(5, length)), "{length}");
        assert_eq!(rig.stat(child).metrics.recomputed, 0);
        assert_eq!(rig.stat(child).metrics.rows, rig.texts[&2].len() as u64);
    }
}

#[test]
fn who_waits_for_several_is_blocked_on_one_that_is_there() {
    let mut rig = Rig::new(CONFIG);
    let others = [5, 9].map(|tokens| rig.spawn(&spec(u64::from(tokens), tokens), &prompt(tokens, 20)));
    let last = rig.spawn(&spec(1, 5), &prompt(1, 20));
    for other in others {
        rig.call(&Call::Wait(last, other)).unwrap();
    }
    while !rig.ends.contains_key(&5) {
        let _ = rig.tick();
    }
    assert_eq!(rig.stat(last).state, State::Blocked(BlockedOn::Agent(others[1])));
    rig.run();
    assert_eq!(rig.texts[&1], alone(&spec(1, 5), &prompt(1, 20)));
}

#[test]
fn a_step_names_no_more_pages_than_it_has_room_for() {
    // Every agent is one page long, and there is one more of them than the step can name pages.
    let worst = SliceLimits::DEFAULT.worst_pages(16);
    let mut rig = Rig::new(Config { segment_pages: worst, ..Config::new(4, 16, 64, 100) });
    for tag in 0..4 {
        rig.spawn(&Spec { context: 16, ..spec(tag, 3) }, &prompt(tag as u32, 3));
    }
    rig.run();
    for tag in 0..4 {
        assert_eq!(rig.texts[&tag], alone(&Spec { context: 16, ..spec(tag, 3) }, &prompt(tag as u32, 3)));
    }
}

#[test]
fn a_full_context_ends_an_agent_whatever_became_of_its_interrupt() {
    let mut rig = Rig::new(CONFIG);
    // It was suspended when its interrupt was to be posted again.
    let second = rig.spawn(&Spec { context: 24, ..spec(2, 99) }, &prompt(2, 20));
    rig.kernel.interrupts().mask(VectorId::ContextFull);
    let posted = Posted { vector: VectorId::ContextFull, agent: None, payload: 0, at_us: 0 };
    while rig.kernel.interrupts().post(posted).is_ok() {}
    rig.run();
    assert_eq!(rig.stat(second).state, State::Blocked(BlockedOn::Host));
    rig.call(&Call::Suspend(second)).unwrap();
    rig.kernel.interrupts().unmask(VectorId::ContextFull);
    rig.ticks(9);
    rig.call(&Call::Resume(second)).unwrap();
    rig.run();
    assert_eq!(rig.stat(second).state, State::Stopped(Finish::Context));
    assert_eq!(rig.texts[&2].len(), 5);
}

#[test]
fn nobody_is_idle_while_interrupts_wait() {
    let mut rig = Rig::new(CONFIG);
    let (agent, said) = listener(&mut rig);
    rig.call(&Call::Send(agent, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    // More than one tick delivers, all before the message.
    for vector in [VectorId::Timer, VectorId::User, VectorId::ToolDone] {
        let posted = Posted { vector, agent: None, payload: vectors::USER_RESUME, at_us: 0 };
        while rig.kernel.interrupts().post(posted).is_ok() {}
    }
    rig.run();
    assert_eq!(rig.texts[&1].len(), said.len() + 10);
}

#[test]
fn a_message_that_finds_no_room_begins_no_answer() {
    let mut rig = Rig::new(CONFIG);
    // Room for the message is there when it is sent, and not when the answer is over.
    let agent = rig.spawn(&Spec { context: 30, on_end: OnEnd::Listen, ..spec(1, 10) }, &prompt(1, 20));
    rig.kernel.interrupts().mask(VectorId::ContextFull);
    rig.call(&Call::Send(agent, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    rig.run();
    assert_eq!(rig.texts[&1].len(), 10);
    rig.kernel.interrupts().unmask(VectorId::ContextFull);
    rig.run();
    assert_eq!(rig.stat(agent).state, State::Stopped(Finish::Context));
}

#[test]
fn who_goes_alone_finds_room_and_holds_up_nobody_more_urgent() {
    for late in [60, 200, 340, 480] {
        let mut rig = Rig::new(CONFIG);
        let specs: Vec<Spec> = (0..12).map(|tag| Spec { context: 200, ..spec(tag, 80) }).collect();
        for spec in &specs {
            rig.spawn(spec, &prompt(spec.tag as u32, 100));
        }
        rig.ticks(late);
        rig.device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
        while !rig.device.hitches.is_empty() {
            let _ = rig.tick();
        }
        rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(99, 1) }, &prompt(50, 9));
        let step = rig.kernel.figures().steps;
        while !rig.ends.contains_key(&99) {
            let _ = rig.tick();
        }
        assert!(rig.kernel.figures().steps <= step + 2);
        rig.run();
        for spec in &specs {
            assert_eq!(rig.texts[&spec.tag], alone(spec, &prompt(spec.tag as u32, 100)));
        }
    }
}

#[test]
fn who_has_filled_its_context_says_nothing_twice() {
    let mut rig = Rig::new(CONFIG);
    let agent = rig.spawn(&Spec { context: 24, ..spec(1, 99) }, &prompt(2, 20));
    rig.kernel.interrupts().mask(VectorId::ContextFull);
    rig.run();
    let said = rig.texts[&1].clone();
    rig.call(&Call::Suspend(agent)).unwrap();
    rig.spawn(&spec(2, 5), &prompt(2, 20));
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    let _ = rig.call(&Call::Resume(agent));
    rig.run();
    assert_eq!((rig.stat(agent).state, &rig.texts[&1]), (State::Stopped(Finish::Context), &said));
}

#[test]
fn a_copy_of_what_somebody_gone_computed_finds_room() {
    let plain = [vec![1; 60], vec![11], vec![1; 9]].concat();
    let expected = alone(&bounded(2), &plain);
    for length in 100..112 {
        let mut rig = Rig::new(Config { rows: 2, ..CONFIG });
        // Page memory is full of what nobody maps.
        for tag in 3..9 {
            rig.spawn(&Spec { context: 150, ..spec(tag, 9) }, &prompt(tag as u32, length));
            rig.run();
        }
        let parent = rig.spawn(&bounded(1), &plain);
        while rig.stat(parent).computed == 0 || rig.stat(parent).state != State::Running {
            let _ = rig.tick();
        }
        // The child begins amid a slice that its parent's step goes on with.
        rig.call(&Call::Fork(parent, bounded(2))).unwrap();
        rig.call(&Call::Kill(parent)).unwrap();
        rig.run();
        assert_eq!(rig.texts[&2], expected);
    }
}

/// Spawns that came while an urgent agent waited took the pages that it waited for.
#[test]
fn whoever_waits_to_be_admitted_is_not_overtaken() {
    let mut rig = Rig::new(Config { l2_frames: 0, ..CONFIG }.checked());
    let long = |tag, priority| Spec { priority, context: 150, ..spec(tag, 100) };
    let mut living = std::vec::Vec::new();
    let urgent = loop {
        let tag = living.len() as u64;
        let id = rig.spawn(&long(tag, Priority::NORMAL), &prompt(tag as u32, 20));
        living.push(id);
        if rig.stat(id).state == State::New {
            rig.call(&Call::Kill(living.pop().unwrap())).unwrap();
            break rig.spawn(&long(50, Priority::HIGHEST), &prompt(50, 20));
        }
    };
    assert_eq!(rig.stat(urgent).state, State::New);
    rig.call(&Call::Kill(living[0])).unwrap();
    // What the one who left gave back is the urgent one's, and the next in line waits behind it.
    let late = rig.spawn(&long(60, Priority::NORMAL), &prompt(60, 20));
    assert_ne!(rig.stat(urgent).state, State::New);
    let later = rig.spawn(&long(61, Priority::NORMAL), &prompt(61, 20));
    assert_eq!((rig.stat(late).state, rig.stat(later).state), (State::New, State::New));
    rig.run();
    assert_eq!(rig.texts[&60], alone(&long(60, Priority::NORMAL), &prompt(60, 20)));
}

/// A system in which one bounded agent's quota is all of page memory and all that a step can name, and its fork with
/// the same quota; what was said when it was forked, and whether page memory was full.
fn forked(ticks: u32) -> Option<(Rig, Vec<u32>, bool)> {
    let mut rig = Rig::new(Config { l1_pages: 24, segment_pages: 24, rows: 8, ..CONFIG }.checked());
    let parent = rig.spawn(&bounded(1), &prompt(4, 150));
    rig.ticks(ticks);
    let told = rig.kernel.tokens(parent).to_vec();
    let full = rig.kernel.pager.free() == 0;
    rig.call(&Call::Fork(parent, bounded(2))).ok()?;
    Some((rig, told, full))
}

/// Each waited for ever for a page for its own copy of the slice that they both were to write.
#[test]
fn who_attends_to_all_of_page_memory_copies_what_it_shares_all_the_same() {
    let expected = alone(&bounded(1), &prompt(4, 150));
    let mut met = 0;
    for ticks in (40..110).step_by(2) {
        let Some((mut rig, told, full)) = forked(ticks) else { continue };
        met += u32::from(full);
        // The device takes its time with some of the pages.
        rig.device.copies.extend((0..ticks % 7).map(|n| (n % 2 > 0).then_some(PageError::Busy)));
        rig.run();
        let own = alone(&bounded(2), &told);
        assert_eq!((&rig.texts[&1], &rig.texts[&2]), (&expected, &own), "{ticks}");
    }
    assert!(met > 2, "page memory was full {met} times");
}

#[test]
fn whoever_goes_while_its_copy_comes_in_leaves_nothing_behind() {
    let expected = alone(&bounded(1), &prompt(4, 150));
    for (ticks, late) in (40..110).step_by(10).flat_map(|ticks| (0..12).map(move |late| (ticks, late))) {
        for killed in 1..3 {
            let Some((mut rig, told, _)) = forked(ticks) else { continue };
            for _ in 0..late {
                let _ = rig.tick();
                rig.device.copies.push_back(None);
            }
            let gone = rig.kernel.agents().find(|rcb| rcb.tag == killed).unwrap().id;
            let _ = rig.call(&Call::Kill(gone));
            rig.run();
            let left = 3 - killed;
            let own = if left == 1 { expected.clone() } else { alone(&bounded(2), &told) };
            assert_eq!(rig.texts[&left], own, "{ticks} {late} {killed}");
        }
    }
}
