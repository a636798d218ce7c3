//! Bounded agents and the cold store: what one computed is found again, and nobody says anything else for it.

use agentos_hal::{StoreError, StoreKey};

use super::*;
use crate::fake_store::Trouble;

pub(super) const COLD: Config = Config { cold_slices: 60, ..CHOOSY };

/// With room for what waits to be stored.
const ROOMY: Config = Config { l1_pages: 300, segment_pages: 400, ..COLD };

pub(super) fn with_store(config: Config, store: FakeStore) -> Rig {
    let mut rig = Rig::new(config.checked());
    rig.store = store;
    rig
}

pub(super) fn keeping(tag: u64, pages: u32) -> Spec {
    Spec { persist: Persist::Exact, ..bounded(tag, pages, 600) }
}

/// A store with what an agent's prompt and answer make.
pub(super) fn filled(spec: &Spec, prompt: &[u32]) -> FakeStore {
    let mut rig = with_store(ROOMY, FakeStore::default());
    rig.spawn(spec, prompt);
    rig.run();
    rig.store
}

pub(super) fn states(store: &FakeStore) -> Vec<StoreKey> {
    let magic = |pages: &[Vec<u8>]| pages[0].starts_with(b"agS1");
    store.kept.iter().filter(|(_, (_, pages))| magic(pages)).map(|(key, _)| *key).collect()
}

#[test]
fn what_a_bounded_agent_computed_a_later_run_finds() {
    for (seed, at) in [(1, 1), (5, 5), (11, 20)] {
        let (spec, prompt) = (keeping(1, 24), asked(seed, 32, at));
        let (expected, before) = says(CHOOSY, &spec, &prompt);
        let mut first = with_store(ROOMY, FakeStore::default());
        first.spawn(&spec, &prompt);
        first.run();
        assert_eq!(first.texts[&1], expected);
        assert!(states(&first.store).len() >= 2 && before.choices > 5, "{before:?}");
        let mut second = with_store(COLD, first.store);
        second.spawn(&spec, &prompt);
        second.run();
        assert_eq!(second.texts[&1], expected);
        let found = metrics(&second, 1);
        // The slice with the question and the answer are left, and what the question has computed again.
        assert!(found.recalled >= 33 * 16, "{found:?}");
        assert_eq!(found.rows + found.recalled, before.rows, "{found:?}");
        assert_eq!(
            (found.faults, found.replays, found.replayed),
            (before.faults, before.replays, before.replayed)
        );
        assert_eq!(second.kernel.pager.cold(), 0);
    }
}

#[test]
fn a_conversation_is_found_turn_by_turn() {
    let listen = Spec {
        on_end: OnEnd::Listen,
        budget: Budget { turn_tokens: 12, ..Budget::UNBOUNDED },
        ..keeping(1, 24)
    };
    let turns: Vec<Vec<u32>> = [
        asked(3, 14, 2),
        [filler(8, 4), question()].concat(),
        [filler(9, 7), fact(), filler(10, 2)].concat(),
        question(),
    ]
    .into();
    let talk = |config: Config, store: FakeStore| {
        let mut rig = with_store(config, store);
        let agent = rig.spawn(&listen, &turns[0]);
        rig.run();
        for turn in &turns[1..] {
            rig.call(&Call::Send(agent, Tokens(&bytes(turn)))).unwrap();
            rig.run();
        }
        let metrics = metrics(&rig, 1);
        (core::mem::take(&mut rig.texts), metrics, core::mem::take(&mut rig.store))
    };
    let (expected, computed, _) = talk(CHOOSY, FakeStore::default());
    let (first, _, store) = talk(ROOMY, FakeStore::default());
    let (second, found, _) = talk(COLD, store);
    assert_eq!((&first, &second), (&expected, &expected));
    assert!(computed.replays > 0, "{computed:?}");
    assert_eq!(found.rows + found.recalled, computed.rows, "{found:?}");
    assert!(found.recalled > 250, "{found:?}");
}

#[test]
fn a_slice_is_found_only_by_who_would_have_computed_it() {
    let (spec, prompt) = (keeping(1, 24), asked(3, 32, 20));
    let store = filled(&spec, &prompt);
    let finds = |config: Config, spec: &Spec, prompt: &[u32]| {
        let mut rig = with_store(config, FakeStore::with(store.kept.clone()));
        rig.spawn(spec, prompt);
        rig.run();
        assert_eq!(rig.texts[&spec.tag], says(config, spec, prompt).0);
        metrics(&rig, spec.tag).recalled
    };
    let all = finds(COLD, &spec, &prompt);
    assert!(all >= 33 * 16);
    // What comes before any choice is what everybody has.
    let beginning = finds(COLD, &keeping(1, 26), &prompt);
    assert!((1..12 * 16).contains(&beginning), "{beginning}");
    let exact = Spec { memory: MemoryMode::Exact, context: 300, ..keeping(1, 24) };
    let exact = finds(ROOMY, &exact, &prompt[..250]);
    assert!((1..=12 * 16).contains(&exact), "{exact}");
    let paging = Paging { held_percent: 11, ..PAGING };
    assert!(finds(Config { paging, ..COLD }, &spec, &prompt) <= beginning);
    // Another question behind the same text.
    let other = [&prompt[..prompt.len() - 9], &filler(77, 1)[..9]].concat();
    assert_eq!(finds(COLD, &spec, &other), all);
    let mut other = prompt.clone();
    other[3] = prompt[4];
    assert_eq!(finds(COLD, &spec, &other), 0);
}

#[test]
fn what_cannot_be_told_from_tokens_is_not_kept() {
    let prompt = asked(3, 32, 20);
    let kept = |spec: &Spec, config: Config, pin: bool, forget: bool| {
        let mut rig = with_store(config, FakeStore::default());
        rig.device.careless = matches!(spec.memory, MemoryMode::Bounded { packed: true, .. });
        let agent = rig.spawn(spec, &prompt);
        while rig.stat(agent).computed < 160 {
            let _ = rig.tick();
        }
        if pin {
            rig.call(&Call::Pin { agent, start: 40, end: 50, keep: true }).unwrap();
        }
        while forget && rig.call(&Call::Forget { agent, start: 60, end: 70 }).is_err() {
            let _ = rig.tick();
        }
        rig.run();
        (states(&rig.store).len(), rig.store.kept.len())
    };
    let pins = Config { pinned_pages: 8, l1_pages: 72, ..COLD };
    let budget = Budget { pinned_pages: 8, ..keeping(1, 24).budget };
    let pinning = Spec { budget, ..keeping(1, 24) };
    let (states, slices) = kept(&pinning, pins, false, false);
    assert!(states > 0 && slices > 30);
    let packed = MemoryMode::Bounded { pages: 24, packed: true };
    for (spec, config, pin, forget) in [
        (Spec { memory: packed, ..keeping(1, 24) }, Config { packed_frames: 200, ..COLD }, false, false),
        (Spec { receive: Receive::Mapped, ..keeping(1, 24) }, COLD, false, false),
        (pinning, pins, true, false),
        (keeping(1, 24), COLD, false, true),
    ] {
        let (states, slices) = kept(&spec, config, pin, forget);
        // Slices before the first choice are everybody's.
        assert!(states == 0 && (1..=12).contains(&slices), "{spec:?}: {states} of {slices}");
    }
}

#[test]
fn a_state_that_is_not_what_was_stored_is_none() {
    let (spec, prompt) = (keeping(1, 24), asked(3, 32, 20));
    let (expected, before) = says(CHOOSY, &spec, &prompt);
    let store = filled(&spec, &prompt);
    let changes: [fn(&mut Vec<Vec<u8>>); 8] = [
        |pages| pages[0][0] ^= 1,
        |pages| pages[0][4] ^= 1,
        |pages| pages[0][8] ^= 1,
        // No choice was made, or so many that none can be counted behind.
        |pages| pages[0][12..16].fill(0),
        |pages| pages[0][12..16].fill(255),
        |pages| pages[0][16] = 200,
        // A query that is no number.
        |pages| pages[0][20..24].copy_from_slice(&f32::NAN.to_le_bytes()),
        |pages| pages.iter_mut().for_each(|page| page[24..].fill(1)),
    ];
    for change in changes {
        let mut kept = store.kept.clone();
        for state in states(&store) {
            change(&mut kept.get_mut(&state).unwrap().1);
        }
        let mut rig = with_store(COLD, FakeStore::with(kept));
        rig.spawn(&spec, &prompt);
        rig.run();
        assert_eq!(rig.texts[&1], expected);
        let found = metrics(&rig, 1);
        assert!(found.rows + 12 * 16 >= before.rows, "{found:?}");
    }
}

/// A state with fewer choices than its agent has made is another agent's.
#[test]
fn a_state_does_not_count_choices_back() {
    let listen = Spec {
        on_end: OnEnd::Listen,
        budget: Budget { turn_tokens: 12, ..Budget::UNBOUNDED },
        ..keeping(1, 24)
    };
    let turns = [asked(3, 14, 2), [filler(8, 18), question()].concat()];
    let talk = |config: Config, store: FakeStore| {
        let mut rig = with_store(config, store);
        let agent = rig.spawn(&listen, &turns[0]);
        rig.run();
        rig.call(&Call::Send(agent, Tokens(&bytes(&turns[1])))).unwrap();
        rig.run();
        let metrics = metrics(&rig, 1);
        (core::mem::take(&mut rig.texts), metrics, core::mem::take(&mut rig.store))
    };
    let (expected, computed, mut store) = talk(ROOMY, FakeStore::default());
    assert!(computed.choices > 3, "{computed:?}");
    for state in states(&store) {
        store.kept.get_mut(&state).unwrap().1[0][12..16].copy_from_slice(&1u32.to_le_bytes());
    }
    let (found, metrics, _) = talk(COLD, store);
    assert_eq!(found, expected);
    assert!(metrics.recalled > 0, "{metrics:?}");
}

#[test]
fn copies_share_what_comes_and_the_urgent_go_first() {
    let prompt = asked(3, 32, 20);
    let store = filled(&keeping(1, 24), &prompt);
    let mut rig = with_store(COLD, store);
    let urgent = Spec { priority: Priority::HIGHEST, ..keeping(4, 24) };
    for tag in 1..4 {
        rig.spawn(&keeping(tag, 24), &prompt);
    }
    rig.ticks(1);
    rig.spawn(&urgent, &prompt);
    while !rig.ends.contains_key(&4) {
        let _ = rig.tick();
    }
    assert_eq!(rig.ends.len(), 1);
    rig.run();
    for tag in 1..5 {
        assert_eq!(rig.texts[&tag], says(CHOOSY, &keeping(tag, 24), &prompt).0, "agent {tag}");
        let found = metrics(&rig, tag);
        assert!(found.recalled + found.shared >= 33 * 16, "{found:?}");
    }
    let mut fetched = rig.store.fetched.clone();
    fetched.retain(|key| !states(&rig.store).contains(key));
    let all = fetched.len();
    fetched.sort();
    fetched.dedup();
    assert_eq!(fetched.len(), all, "each slice came once");
}

/// What the next call of a store meets: mostly nothing.
fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    let error = prop_oneof![
        4 => Just(StoreError::Busy),
        1 => Just(StoreError::Missing),
        1 => Just(StoreError::Corrupt),
        1 => Just(StoreError::Io),
    ];
    prop_oneof![12 => Just(None), 3 => Just(Some(Trouble::Pending)), 1 => error.prop_map(|error| Some(Trouble::Fails(error)))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    /// Killed between any two ticks, in systems of any size and beside others, with a store that fails: the next run
    /// says the same.
    #[test]
    fn no_crash_and_no_fault_changes_a_token(
        (seed, slices, at) in (0u32..50, 14u32..33, 0u32..14),
        ticks in 0u32..400, l1 in 40u32..90, frames in 500u32..900, rows in 5u32..40,
        gets in proptest::collection::vec(trouble(), 0..150),
        puts in proptest::collection::vec(trouble(), 0..60),
        hitches in proptest::collection::vec(any::<bool>(), 0..30),
        suspended in 0u32..60, hang_us in prop_oneof![Just(100u64), Just(30_000_000)],
    ) {
        let prompt = asked(seed, slices, at);
        let config = Config { l1_pages: l1, l2_frames: frames, rows, hang_us, ..COLD };
        let spawn = |rig: &mut Rig| {
            let agent = rig.spawn(&keeping(1, 24), &prompt);
            rig.spawn(&keeping(2, 26), &prompt);
            rig.spawn(&keeping(3, 24), &prompt[..prompt.len() - 4]);
            agent
        };
        let mut first = with_store(config, FakeStore::default());
        first.store.puts = puts.into();
        spawn(&mut first);
        first.ticks(ticks);
        let mut store = core::mem::take(&mut first.store);
        store.crash();
        store.gets = gets.into();
        let mut second = with_store(config, store);
        second.device.copies = hitches.iter().map(|&busy| busy.then_some(PageError::Busy)).collect();
        let agent = spawn(&mut second);
        second.ticks(suspended);
        if second.call(&Call::Suspend(agent)).is_ok() {
            second.run();
            // One whose last token was under way stopped with it.
            let over = second.stat(agent).state.is_over();
            prop_assert_eq!(second.call(&Call::Resume(agent)).is_err(), over);
        }
        second.run();
        for (tag, pages, prompt) in
            [(1, 24, &prompt[..]), (2, 26, &prompt[..]), (3, 24, &prompt[..prompt.len() - 4])]
        {
            prop_assert_eq!(&second.texts[&tag], &says(CHOOSY, &keeping(tag, pages), prompt).0, "agent {}", tag);
        }
    }
}
