//! The cold store: what comes from it is what would have been computed, whatever it does.

use agentos_hal::{Entry, PAGE_TOKENS, StoreError, StoreKey};

use super::*;
use crate::fake_store::Trouble;
use crate::layout::Layout;
use crate::memory::cold::StoreFault;

const COLD: Config = Config { cold_slices: 60, ..CONFIG };

fn keeping(tag: u64, tokens: u32) -> Spec {
    Spec { persist: Persist::Exact, ..spec(tag, tokens) }
}

fn packing(tag: u64, tokens: u32) -> Spec {
    Spec { persist: Persist::Packed, packed: true, ..spec(tag, tokens) }
}

fn with_store(config: Config, store: FakeStore) -> Rig {
    let mut rig = Rig::new(config.checked());
    rig.store = store;
    rig
}

/// A store with all that an agent's prompt makes.
pub(super) fn filled(seed: u32, len: u32) -> FakeStore {
    let roomy = Config { cold_slices: 1, ..Config::new(1, 300, 200, 0) };
    let mut rig = with_store(roomy, FakeStore::default());
    rig.spawn(&Spec { context: len + 1, ..keeping(900, 1) }, &prompt(seed, len));
    rig.run();
    rig.store
}

/// The identities and lengths of the slices of a text, as far as they are whole.
fn slices_of(text: &[u32]) -> Vec<(StoreKey, u32)> {
    let (delimiters, limits) = (delimiters(), SliceLimits::DEFAULT);
    let (mut layout, mut chain, mut slices) =
        (Layout::default(), SliceHash::root(&[7; 32], CONFIG.kv, limits), Vec::new());
    let mut base = 0;
    for (end, &token) in (1..).zip(text) {
        (layout, _) = layout.append(delimiters[token as usize], limits);
        if layout.open == 0 {
            chain = chain.chain(&text[base..end]);
            slices.push((StoreKey(chain.0), (end - base) as u32));
            base = end;
        }
    }
    slices
}

/// Tokens of a prompt whose slices the store has, but for one that ends where the answer begins.
fn stored_tokens(store: &FakeStore, prompt: &[u32]) -> u32 {
    let slices = slices_of(prompt);
    let all: u32 = slices.iter().map(|(_, tokens)| tokens).sum();
    let ends = all as usize == prompt.len();
    let wanted = &slices[..slices.len() - usize::from(ends)];
    wanted.iter().filter(|(key, _)| store.kept.contains_key(key)).map(|(_, tokens)| tokens).sum()
}

#[test]
fn the_store_is_told_ahead_what_comes_next() {
    let prompt = prompt(3, 150);
    let mut rig = with_store(COLD, filled(3, 150));
    rig.spawn(&spec(1, 20), &prompt);
    rig.run();
    assert_eq!(rig.texts[&1], alone(&spec(1, 20), &prompt));
    let fetched = &rig.store.fetched;
    assert!(fetched.len() > 6, "{} slices", fetched.len());
    assert_eq!(rig.store.ahead, fetched[1..], "all but the first, in order");
}

#[test]
fn what_one_system_computed_the_next_one_finds() {
    let prompt = prompt(3, 150);
    let mut first = with_store(COLD, FakeStore::default());
    first.spawn(&keeping(1, 20), &prompt);
    first.run();
    let figures = first.kernel.figures().store;
    assert_eq!((figures.durable, figures.store_failures, figures.given_up), (figures.handed, 0, 0));
    assert_eq!(first.store.kept.len() as u64, figures.durable);
    assert!(figures.durable > 6 && figures.handed_pages > 15, "{figures:?}");
    let wanted = stored_tokens(&first.store, &prompt);
    assert!(wanted > 130, "{wanted} tokens");

    let mut second = with_store(COLD, first.store);
    let agent = second.spawn(&keeping(1, 20), &prompt);
    second.run();
    assert_eq!(second.texts[&1], alone(&spec(1, 20), &prompt));
    assert_eq!(second.texts[&1], first.texts[&1]);
    let stat = second.stat(agent);
    let figures = second.kernel.figures();
    assert_eq!(stat.metrics.recalled, u64::from(wanted));
    assert_eq!(stat.metrics.rows, u64::from(stat.computed - wanted));
    assert_eq!((stat.metrics.recomputed, stat.metrics.shared), (0, 0));
    assert_eq!(figures.store.loaded_tokens, u64::from(wanted));
    assert_eq!((figures.hits.l3, figures.hits.l1), (figures.store.loaded, 0));
    assert_eq!(second.kernel.load_latencies().count(), figures.store.loaded);
    assert_eq!(figures.store.handed, 0, "the store has all of it already");
}

/// Whose pages they were before shows in nothing that is stored, from page memory or from the arena.
#[test]
fn what_is_stored_has_nothing_of_others() {
    let stored = |before: u32, wait: u32| {
        let mut rig = with_store(COLD, FakeStore::default());
        for tag in 0..before {
            rig.spawn(&spec(u64::from(10 + tag), 20), &prompt(20 + tag, 140));
        }
        rig.run();
        rig.store.puts = (0..wait).map(|_| Some(Trouble::Fails(StoreError::Busy))).collect();
        rig.spawn(&keeping(1, 20), &prompt(3, 150));
        for tag in 0..before {
            rig.spawn(&spec(u64::from(50 + tag), 20), &prompt(60 + tag, 140));
        }
        rig.run();
        rig.store.kept
    };
    let alone = stored(0, 0);
    assert!(alone.values().any(|(entry, _)| entry.tokens % PAGE_TOKENS as u8 > 0));
    for (before, wait) in [(1, 0), (3, 0), (3, 80)] {
        assert!(stored(before, wait) == alone, "{before} before, {wait} times busy");
    }
}

/// Who computes a slice says nothing of who wants it to stay.
#[test]
fn what_somebody_else_computed_is_stored_too() {
    let prompt = prompt(3, 150);
    let mut rig = with_store(COLD, FakeStore::default());
    rig.spawn(&spec(1, 9), &prompt);
    rig.spawn(&keeping(2, 9), &prompt);
    rig.run();
    let all: u32 = slices_of(&prompt).iter().map(|(_, tokens)| tokens).sum();
    let stored = stored_tokens(&rig.store, &prompt);
    assert!(stored + SliceLimits::DEFAULT.max() > all, "{stored} of {all} tokens");
}

#[test]
fn what_comes_once_is_there_for_all() {
    let prompt = prompt(3, 150);
    let mut rig = with_store(COLD, filled(3, 150));
    for tag in 0..4 {
        rig.spawn(&spec(tag, 10), &prompt);
    }
    rig.run();
    let fetched = rig.store.fetched.len();
    rig.store.fetched.sort();
    rig.store.fetched.dedup();
    assert_eq!(fetched, rig.store.fetched.len());
    let (mut recalled, mut shared) = (0, 0);
    for tag in 0..4 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 10), &prompt));
        let metrics = rig.kernel.agents().find(|rcb| rcb.tag == tag).unwrap().metrics;
        (recalled, shared) = (recalled + metrics.recalled, shared + metrics.shared);
    }
    let stored = u64::from(stored_tokens(&rig.store, &prompt));
    assert_eq!((recalled, shared), (stored, 3 * stored));
    assert_eq!(rig.store.pages, filled(3, 150).pages, "nobody of them persists");
}

/// When an agent is over, the store is told once what each slice drew, also of those that it only has later.
#[test]
fn the_store_is_told_what_slices_drew() {
    let prompt = prompt(3, 150);
    let mut rig = with_store(COLD, FakeStore::default());
    rig.spawn(&keeping(1, 20), &prompt);
    rig.run();
    let weights = |rig: &Rig| {
        let told = &rig.store.weights;
        assert!(told.iter().all(|(_, weight)| *weight > 0.0), "{told:?}");
        let by_key: std::collections::BTreeMap<StoreKey, f32> = told.iter().copied().collect();
        assert_eq!(by_key.len(), told.len(), "each is told once");
        by_key
    };
    let first = weights(&rig);
    assert!(rig.store.kept.keys().all(|key| first.contains_key(key)), "{} told", first.len());
    // What is computed behind a slice is found only through it.
    let chain: Vec<f32> = slices_of(&prompt).iter().map(|(key, _)| first[key]).collect();
    assert!(chain.is_sorted_by(|one, next| one >= next) && chain.first() > chain.last(), "{chain:?}");
    // What came from the store is weighed there again, by whoever maps it; and one that is killed weighs too.
    let mut rig = with_store(COLD, core::mem::take(&mut rig.store));
    rig.store.weights.clear();
    let agent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 20) }, &prompt);
    rig.run();
    assert_eq!(rig.store.weights, []);
    rig.call(&Call::Kill(agent)).unwrap();
    rig.run();
    let second = weights(&rig);
    assert!(slices_of(&prompt).iter().all(|(key, _)| second.contains_key(key)), "{} told", second.len());
    let mut without = with_store(CONFIG, FakeStore::default());
    without.spawn(&keeping(1, 20), &prompt);
    without.run();
    assert_eq!(without.store.weights, []);
}

#[test]
fn nothing_is_asked_of_a_store_where_there_may_be_no_cold_slices() {
    let mut rig = with_store(CONFIG, filled(3, 150));
    rig.spawn(&keeping(1, 10), &prompt(3, 150));
    rig.run();
    assert_eq!((rig.store.fetched.len(), rig.kernel.figures().store), (0, Default::default()));
    assert_eq!(rig.texts[&1], alone(&spec(1, 10), &prompt(3, 150)));
}

#[test]
fn who_pages_without_mean_keys_reads_nothing_and_only_who_persists_is_written() {
    let memory = MemoryMode::Bounded { pages: 24, packed: true };
    let mut rig = with_store(Config { packed_frames: 40, ..COLD }, filled(3, 150));
    let before = rig.store.pages;
    rig.spawn(&Spec { memory, context: 300, ..keeping(1, 20) }, &prompt(3, 150));
    rig.spawn(&spec(2, 20), &prompt(4, 150));
    rig.run();
    assert_eq!((rig.store.pages, rig.store.fetched.len()), (before, 0));
}

#[test]
fn what_is_not_the_same_bits_or_not_the_same_length_is_not_taken() {
    let prompt = prompt(3, 150);
    for change in [
        (|entry: &mut Entry| entry.exact = false) as fn(&mut Entry),
        |entry| entry.tokens -= 1,
        |entry| entry.pages += 1,
    ] {
        let mut store = filled(3, 150);
        store.kept.values_mut().for_each(|(entry, _)| change(entry));
        let mut rig = with_store(COLD, store);
        rig.spawn(&spec(1, 10), &prompt);
        rig.run();
        assert_eq!((rig.store.fetched.len(), rig.kernel.figures().hits.l3), (0, 0));
        assert_eq!(rig.texts[&1], alone(&spec(1, 10), &prompt));
    }
}

/// Agents that share a prompt of which the third slice does not come, for this reason.
fn failing(trouble: &[Trouble], config: Config) -> Rig {
    let prompt = prompt(3, 150);
    let mut rig = with_store(config, filled(3, 150));
    let pages: usize = rig.store.kept.len().min(2);
    let early = slices_of(&prompt)[..pages].iter().map(|(_, tokens)| tokens.div_ceil(8) as usize).sum();
    rig.store.gets.extend(core::iter::repeat_n(None, early));
    rig.store.gets.extend(trouble.iter().copied().map(Some));
    for tag in 0..3 {
        rig.spawn(&keeping(tag, 10), &prompt);
    }
    rig.run();
    for tag in 0..3 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 10), &prompt), "{trouble:?}");
    }
    assert!(!rig.kernel.is_storing());
    rig
}

fn faults(rig: &Rig) -> Vec<StoreFault> {
    let fault = |event: &Event| match *event {
        Event::RecallFailed { fault, .. } => Some(fault),
        _ => None,
    };
    rig.events.iter().filter_map(fault).collect()
}

#[test]
fn a_slice_that_does_not_come_is_computed_and_no_agent_is_lost() {
    for (error, fault) in [
        (StoreError::Missing, StoreFault::Missing),
        (StoreError::Corrupt, StoreFault::Corrupt),
        (StoreError::Io, StoreFault::Io),
        (StoreError::Length { found: 1, expected: 2 }, StoreFault::Length),
    ] {
        let rig = failing(&[Trouble::Fails(error)], COLD);
        assert_eq!(faults(&rig), [fault]);
        assert_eq!(rig.kernel.figures().store.load_failures, 1);
        let third = slices_of(&prompt(3, 150))[2].0;
        assert_eq!(rig.store.deleted, [third].repeat(usize::from(error == StoreError::Corrupt)));
        assert!(rig.store.kept.contains_key(&third), "it is stored anew, or was never lost");
        let told = |event: &Event| matches!(event, Event::Interrupt { vector: VectorId::StoreErr, .. });
        assert!(rig.events.iter().any(told));
    }
}

#[test]
fn a_busy_store_is_asked_again_and_one_that_does_not_answer_is_not_waited_for() {
    let busy = [Trouble::Fails(StoreError::Busy), Trouble::Pending, Trouble::Fails(StoreError::Busy)];
    assert_eq!(faults(&failing(&busy, COLD)), []);
    let rig = failing(&[Trouble::Pending; 300], Config { hang_us: 60, ..COLD });
    assert!(faults(&rig).contains(&StoreFault::Late), "{:?}", faults(&rig));
}

#[test]
fn a_store_that_is_gone_is_asked_no_more() {
    let rig = failing(&[Trouble::Fails(StoreError::Gone)], COLD);
    assert_eq!(faults(&rig)[0], StoreFault::Gone);
    let figures = rig.kernel.figures().store;
    assert_eq!((figures.handed, figures.durable), (0, 0));
}

#[test]
fn a_slow_store_is_not_used_and_tried_again_now_and_then() {
    let roomy = Config { rows: 64, candidates: 3, cold_slices: 60, ..Config::new(4, 250, 300, 100) };
    let mut store = filled(3, 240);
    store.kept.extend(filled(5, 240).kept);
    let mut rig = with_store(roomy, store);
    // What a row costs is known first.
    rig.spawn(&spec(1, 1), &prompt(9, 200));
    rig.run();
    let slow = [[Some(Trouble::Pending); 30].as_slice(), &[None]].concat();
    rig.store.gets.extend(slow.repeat(60));
    rig.spawn(&spec(2, 5), &prompt(3, 240));
    rig.run();
    let loaded = rig.kernel.figures().store.loaded;
    assert!(loaded > 5 && rig.kernel.figures().store.slower == 0);
    rig.spawn(&spec(3, 5), &prompt(5, 240));
    rig.run();
    let figures = rig.kernel.figures().store;
    assert!(figures.slower > 5 && figures.loaded == loaded, "{figures:?}");
    let told = |event: &&Event| matches!(event, Event::StoreSlow { .. });
    assert_eq!(rig.events.iter().filter(told).collect::<Vec<_>>(), [&Event::StoreSlow { slow: true }]);
    for (tag, seed) in [(2, 3), (3, 5)] {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 5), &prompt(seed, 240)));
    }
    // It has become quick, which shows once it is tried again.
    rig.store.gets.clear();
    for tag in 10..40 {
        let Reply::Agent(agent) = rig.try_spawn(&spec(tag, 1), &prompt(5, 240)).unwrap() else { panic!() };
        rig.run();
        rig.call(&Call::Kill(agent)).unwrap();
        while rig.kernel.pager.reclaim(true) {}
        if rig.kernel.figures().store.loaded > loaded {
            return;
        }
    }
    panic!("it was never tried again: {:?}", rig.kernel.figures().store);
}

#[test]
fn no_more_slices_are_cold_than_may_be() {
    let mut rig = with_store(Config { cold_slices: 2, ..COLD }, filled(3, 150));
    rig.store.gets.extend([Some(Trouble::Pending); 30]);
    rig.spawn(&spec(1, 10), &prompt(3, 150));
    rig.run();
    assert!(rig.kernel.figures().store.crowded > 0);
    assert_eq!(rig.texts[&1], alone(&spec(1, 10), &prompt(3, 150)));
}

#[test]
fn others_run_while_one_waits_for_the_store() {
    let mut rig = with_store(COLD, filled(3, 150));
    rig.store.gets.extend([Some(Trouble::Pending); 400]);
    rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(1, 5) }, &prompt(3, 150));
    rig.spawn(&spec(2, 15), &prompt(4, 60));
    while !rig.ends.contains_key(&2) {
        let _ = rig.tick();
    }
    assert!(!rig.ends.contains_key(&1) && rig.kernel.pager.loading().is_some());
    rig.run();
    for (tag, tokens, seed, len) in [(1, 5, 3, 150), (2, 15, 4, 60)] {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, tokens), &prompt(seed, len)));
    }
}

#[test]
fn what_is_on_its_way_to_the_store_goes_for_whoever_needs_its_pages() {
    // No arena: what nobody maps is all that can go.
    let mut rig = with_store(Config { cold_slices: 60, ..Config::new(4, 300, 64, 0) }, FakeStore::default());
    rig.store.puts.extend(std::iter::repeat_n(Some(Trouble::Pending), 100_000));
    let fits = |tag| Spec { context: 100, ..keeping(tag, 10) };
    for tag in 0..8 {
        while rig.kernel.agents().count() == 4 {
            let over = rig.kernel.agents().find(|rcb| rcb.state.is_over()).map(|rcb| rcb.id);
            match over {
                Some(agent) => drop(rig.call(&Call::Kill(agent))),
                None => drop(rig.tick()),
            }
        }
        rig.spawn(&fits(tag), &prompt(tag as u32, 80));
    }
    while rig.ends.len() < 8 {
        let _ = rig.tick();
    }
    assert!(rig.kernel.figures().store.given_up > 0);
    rig.store.puts.clear();
    rig.run();
    for tag in 0..8 {
        assert_eq!(rig.texts[&tag], alone(&fits(tag), &prompt(tag as u32, 80)));
    }
}

#[test]
fn a_store_that_takes_nothing_is_told_of_and_harms_nobody() {
    for (error, tried_again) in [
        (StoreError::Full { needed: 1, available: 0 }, true),
        (StoreError::Io, true),
        (StoreError::ReadOnly, false),
        (StoreError::Gone, false),
    ] {
        let mut rig = with_store(COLD, FakeStore::default());
        rig.store.puts.push_back(Some(Trouble::Fails(error)));
        rig.spawn(&keeping(1, 10), &prompt(3, 150));
        rig.run();
        assert_eq!(rig.texts[&1], alone(&spec(1, 10), &prompt(3, 150)));
        let figures = rig.kernel.figures().store;
        assert_eq!((figures.store_failures, figures.durable > 0), (1, tried_again), "{error}");
    }
    let mut rig = with_store(Config { hang_us: 2_000, ..COLD }, FakeStore::default());
    rig.store.silent = true;
    rig.spawn(&keeping(1, 10), &prompt(3, 150));
    rig.run();
    let figures = rig.kernel.figures().store;
    assert_eq!((figures.durable, figures.store_failures), (0, figures.handed));
    assert!(figures.handed > 0);
}

mod chaos;
mod packed;
