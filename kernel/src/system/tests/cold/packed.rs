//! Slices that come back other than they were: whoever accepts them has them, and nobody else.

use super::*;
use crate::call::Forward;
use crate::checkpoint::Contents;
use crate::memory::Fidelity;

/// A store with what an agent's prompt makes, packed.
fn packed(seed: u32, len: u32) -> FakeStore {
    let roomy = Config { cold_slices: 1, ..Config::new(1, 300, 200, 0) };
    let mut rig = with_store(roomy, FakeStore::packing());
    rig.spawn(&Spec { context: len + 1, ..packing(900, 1) }, &prompt(seed, len));
    rig.run();
    rig.store
}

fn packed_key(key: &StoreKey) -> StoreKey {
    StoreKey(SliceHash(key.0).packed().0)
}

#[test]
fn all_but_the_first_slice_is_stored_packed_under_a_name_of_its_own() {
    let store = packed(3, 150);
    let slices = slices_of(&prompt(3, 150));
    let of = |key: &StoreKey| store.kept.get(key).map(|(entry, _)| entry.exact);
    for (number, (key, _)) in slices.iter().enumerate() {
        let expected = if number == 0 { (Some(true), None) } else { (None, Some(false)) };
        assert_eq!((of(key), of(&packed_key(key))), expected, "slice {number}");
    }
    assert!(slices.len() > 6);
}

#[test]
fn who_accepts_what_is_packed_has_it_and_who_does_not_computes() {
    let prompt = prompt(3, 150);
    let slices = slices_of(&prompt);
    let whole: u32 = slices.iter().map(|(_, tokens)| tokens).sum();
    let wanted = whole - if whole == 150 { slices.last().unwrap().1 } else { 0 };
    let mut rig = with_store(COLD, packed(3, 150));
    let accepts = rig.spawn(&Spec { packed: true, ..spec(1, 20) }, &prompt);
    let exact = rig.spawn(&spec(2, 20), &prompt);
    rig.run();
    let (accepts, exact) = (rig.stat(accepts).metrics, rig.stat(exact).metrics);
    assert_eq!(accepts.recalled + accepts.shared, u64::from(wanted));
    assert_eq!(exact.recalled + exact.shared, u64::from(slices[0].1), "what both may have");
    assert_eq!(rig.texts[&2], alone(&spec(2, 20), &prompt));
    assert_ne!(rig.texts[&1], alone(&spec(1, 20), &prompt), "the fake device tells one from the other");
}

#[test]
fn its_page_table_says_what_is_packed_and_what_was_computed_behind_that() {
    let prompt = prompt(3, 150);
    let mut rig = with_store(COLD, packed(3, 150));
    let agent = rig.spawn(&Spec { packed: true, on_end: OnEnd::Listen, ..spec(1, 20) }, &prompt);
    rig.run();
    let index = rig.kernel.find(agent).unwrap();
    let table: Vec<Fidelity> = rig.kernel.table(index).iter().map(|mapping| mapping.fidelity).collect();
    let sealed = rig.kernel.rcb(index).committed.layout;
    let whole = (sealed.slices - u32::from(sealed.open > 0)) as usize;
    assert_eq!(table[0], Fidelity::Exact);
    assert!(whole > 7 && table[1..whole].iter().all(|&fidelity| fidelity == Fidelity::Packed), "{table:?}");
}

/// A conversation goes on another day, and another: nothing of it is computed twice.
#[test]
fn a_conversation_is_found_again_as_long_as_it_is_accepted() {
    let mut text = prompt(3, 100);
    let mut store = FakeStore::packing();
    for day in 0..4 {
        let mut rig = with_store(Config { cold_slices: 60, ..Config::new(2, 400, 200, 100) }, store);
        let agent = rig.spawn(&Spec { context: 390, ..packing(1, 30) }, &text);
        rig.run();
        let metrics = rig.stat(agent).metrics;
        let told = text.len() as u64;
        // The slice that its last token stands in is computed again, and what it was told since.
        let least = if day == 0 { 0 } else { told - 20 - 2 * u64::from(SliceLimits::DEFAULT.max()) };
        assert!(metrics.recalled >= least, "day {day}: {} of {told}", metrics.recalled);
        text = [rig.kernel.tokens(agent), &prompt(day + 40, 20)].concat();
        store = core::mem::take(&mut rig.store);
    }
}

/// Who asks for a slice as it is gets that, after whoever asked for it packed and beside.
#[test]
fn what_is_wanted_as_it_is_is_stored_as_it_is_too() {
    let prompt = prompt(3, 150);
    for pending in [0, 1, 3, 9, 40] {
        for (first, second) in [(packing(1, 9), keeping(2, 9)), (keeping(1, 9), packing(2, 9))] {
            let mut rig = with_store(COLD, FakeStore::packing());
            rig.store.puts.extend([Some(Trouble::Pending)].repeat(pending));
            rig.spawn(&first, &prompt);
            rig.ticks(pending as u32 / 2);
            rig.spawn(&second, &prompt);
            rig.run();
            let exact = stored_tokens(&rig.store, &prompt);
            let all: u32 = slices_of(&prompt).iter().map(|(_, tokens)| tokens).sum();
            assert!(exact + 64 > all, "{exact} of {all} tokens");
            let mut rig = with_store(COLD, core::mem::take(&mut rig.store));
            let agent = rig.spawn(&spec(3, 20), &prompt);
            rig.run();
            assert_eq!(rig.texts[&3], alone(&spec(3, 20), &prompt));
            assert_eq!(rig.stat(agent).metrics.recalled, u64::from(exact));
        }
    }
}

/// What a listener was sent, and what a checkpoint has, is as its sender had it.
#[test]
fn what_is_packed_is_sent_on_and_comes_out_of_a_checkpoint() {
    let config = Config { cold_slices: 60, ..Config::new(8, 300, 200, 100) };
    let mut rig = with_store(config, packed(3, 150));
    let listens = Spec { packed: true, on_end: OnEnd::Listen, ..spec(1, 0) };
    let budget = Budget { turn_tokens: 0, ..Budget::UNBOUNDED };
    let sender = rig.spawn(&Spec { budget, context: 200, ..listens }, &prompt(3, 150));
    rig.run();
    assert!(rig.stat(sender).metrics.recalled > 100);
    let receiver = Spec { on_end: OnEnd::Listen, receive: Receive::Mapped, context: 250, ..spec(2, 12) };
    let receiver = rig.spawn(&receiver, &prompt(8, 20));
    rig.run();
    let forward = Forward {
        from: sender,
        start: 0,
        end: 150,
        to: receiver,
        before: Tokens(&[]),
        after: Tokens(&[9, 0, 0, 0]),
    };
    rig.call(&Call::Forward(forward)).unwrap();
    let saved = rig.save(None, Contents::Tokens, 300);
    rig.run();
    assert!(rig.stat(receiver).metrics.relocated > 100);
    let mut other = with_store(config, FakeStore::default());
    assert_eq!(other.restore(&saved), Ok(2));
    other.run();
    assert_eq!(other.texts[&2], rig.texts[&2][rig.texts[&2].len() - other.texts[&2].len()..]);
    other.kernel.audit().unwrap();
}

proptest! {
    /// Page memory is lost, and slices do not come: whoever had them goes on.
    #[test]
    fn nobody_ends_for_what_was_packed(
        ticks in 0u32..60, gets in proptest::collection::vec(any::<bool>(), 0..40), lose in any::<bool>(),
    ) {
        let prompt = prompt(3, 150);
        let mut rig = with_store(COLD, packed(3, 150));
        let fails = Some(Trouble::Fails(StoreError::Corrupt));
        rig.store.gets.extend(gets.iter().map(|&fine| if fine { None } else { fails }));
        let agent = rig.spawn(&packing(1, 30), &prompt);
        rig.ticks(ticks);
        if lose {
            rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
            if rig.tick() == Tick::DeviceLost {
                rig.device.forget();
                rig.kernel.device_restored();
            }
        }
        rig.run();
        let said_all = rig.texts[&1].len() == 30;
        let state = rig.stat(agent).state;
        prop_assert!(said_all || state == State::Stopped(Finish::Stop), "{:?}", state);
        rig.kernel.audit().unwrap();
    }
}

/// What somebody has begun to compute for all is not gone on with by whoever sees something packed before it.
#[test]
fn what_is_to_be_exact_is_computed_behind_what_is_exact() {
    let prompt = prompt(3, 150);
    let mut store = packed(3, 150);
    let third = slices_of(&prompt)[2].0;
    store.kept.remove(&packed_key(&third));
    let mut met = 0;
    for ticks in 1..16 {
        let mut rig = with_store(COLD, FakeStore::with(store.kept.clone()));
        rig.store.packs = true;
        // It has found the second slice, which does not come yet.
        rig.store.gets.extend([None, None, None].into_iter().chain([Some(Trouble::Pending); 300]));
        let accepts = rig.spawn(&Spec { packed: true, ..spec(2, 20) }, &prompt);
        rig.ticks(4);
        let exact = rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(1, 20) }, &prompt);
        rig.ticks(ticks);
        rig.call(&Call::Suspend(exact)).unwrap();
        let begun = rig.kernel.table(rig.kernel.find(exact).unwrap()).get(2).map(|mapping| mapping.slice);
        let begun = begun.map(|slice| rig.kernel.pager.slice(slice)).is_some_and(|slice| !slice.complete());
        met += u32::from(begun && rig.stat(accepts).metrics.rows < 30);
        rig.store.gets.clear();
        rig.run();
        rig.call(&Call::Resume(exact)).unwrap();
        rig.run();
        assert_eq!(rig.texts[&1], alone(&spec(1, 20), &prompt), "{ticks} ticks");
    }
    assert!(met > 0, "in no case was the slice begun");
}
