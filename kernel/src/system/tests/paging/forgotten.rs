//! Bounded agents that forget and pin while slices are on their way to them.

use agentos_hal::StoreError;

use super::retrace::{COLD, filled, keeping, states, with_store};
use super::*;
use crate::fake_store::Trouble;
use crate::system::tests::moving::slow_tick;

#[test]
fn nobody_waits_for_what_it_forgot_before_it_came() {
    let text = asked(3, 12, 4);
    let exact = |tag| Spec { memory: MemoryMode::Exact, context: 260, ..listening(tag) };
    let mut forgot = 0;
    for ticks in 0..70 {
        let mut rig = Rig::new(CHOOSY);
        // Somebody who makes no schemas computes it; others take its pages.
        rig.spawn(&exact(1), &text);
        rig.run();
        let guest = rig.spawn(&exact(2), &filler(8, 16));
        rig.run();
        rig.call(&Call::Kill(guest)).unwrap();
        let agent = rig.spawn(&bounded(3, 24, 600), &text);
        for at in 0..ticks {
            let _ = slow_tick(&mut rig, at);
        }
        let before = rig.kernel.table(usize::from(agent.index)).iter().any(|mapping| mapping.forgotten);
        if rig.call(&Call::Forget { agent, start: 40, end: 90 }).is_ok() {
            let table = rig.kernel.table(usize::from(agent.index));
            forgot += u32::from(!before && table.iter().any(|mapping| mapping.forgotten));
        }
        rig.device.copies.clear();
        rig.run();
        assert!(rig.ends.contains_key(&3), "forgot after {ticks} ticks");
    }
    assert!(forgot > 20, "{forgot}");
}

#[test]
fn a_store_that_fails_takes_nothing_from_who_forgets() {
    let (spec, prompt) = (keeping(1, 24), asked(3, 32, 20));
    let store = filled(&spec, &prompt);
    // It finds slices there, and no state of one who chose.
    let mut kept = store.kept.clone();
    states(&store).iter().for_each(|state| drop(kept.remove(state)));
    for ticks in 0..70 {
        let mut rig = with_store(COLD, FakeStore::with(kept.clone()));
        rig.store.gets = (0..2000).map(|at| (at % 3 > 0).then_some(Trouble::Pending)).collect();
        let agent = rig.spawn(&spec, &prompt);
        rig.ticks(ticks);
        let _later = rig.call(&Call::Forget { agent, start: 40, end: 90 });
        rig.kernel.audit().unwrap();
        rig.store.gets = (0..2000).map(|_| Some(Trouble::Fails(StoreError::Missing))).collect();
        while !rig.ends.contains_key(&1) {
            rig.ticks(1);
            assert!(!matches!(rig.stat(agent).state, State::Faulted(_)), "forgot after {ticks} ticks");
            let table = rig.kernel.table(usize::from(agent.index));
            assert!(!table.iter().any(|mapping| mapping.forgotten && mapping.selected));
        }
    }
}

#[test]
fn what_comes_from_the_store_undoes_no_pin() {
    let prompt = asked(3, 32, 20);
    let store = filled(&keeping(1, 24), &prompt);
    let pins = Config { pinned_pages: 8, l1_pages: 72, ..COLD };
    let spec = Spec { budget: Budget { pinned_pages: 8, ..keeping(1, 24).budget }, ..keeping(1, 24) };
    let mut held = 0;
    for (ticks, fails, start) in (0..300).step_by(5).flat_map(|at| [(at, false, 40), (at, true, 300)]) {
        let mut rig = with_store(pins, FakeStore::with(store.kept.clone()));
        rig.store.gets = (0..2000).map(|at| (at % 3 > 0).then_some(Trouble::Pending)).collect();
        let agent = rig.spawn(&spec, &prompt);
        rig.ticks(ticks);
        if rig.stat(agent).state.is_over() {
            break;
        }
        rig.call(&Call::Pin { agent, start, end: start + 10, keep: true }).unwrap();
        rig.kernel.audit().unwrap();
        let rcb =
            |rig: &Rig| rig.kernel.agents().next().map(|rcb| (rcb.pinned, rcb.committed.trail)).unwrap();
        let (pinned, _) = rcb(&rig);
        if fails {
            rig.store.gets = (0..2000).map(|_| Some(Trouble::Fails(StoreError::Missing))).collect();
        }
        while !rig.ends.contains_key(&1) {
            rig.ticks(1);
            let (now, trail) = rcb(&rig);
            let over = rig.ends.contains_key(&1);
            assert!(over || pinned == 0 || now == pinned, "pinned after {ticks} ticks");
            assert!(over || pinned == 0 || trail.is_none(), "pinned after {ticks} ticks");
        }
        held += u32::from(pinned > 0);
    }
    assert!(held > 10, "{held}");
}
