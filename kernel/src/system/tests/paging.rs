//! Relevance paging on a device whose queries and keys say of which kind a token is: like finds like.

use super::*;
use crate::fake::KINDS;
use crate::memory::admit::Unfit;
use crate::memory::relevance::Attention;
use crate::memory::select::Policy;
use config::Paging;

/// Only the first two dimensions are rotated, and they are nought.
const ATTENTION: Attention = {
    let attention = Attention::of(&SHAPE);
    Attention { rope: agentos_hal::Rope { dims: 2, ..attention.rope }, ..attention }
};

const PAGING: Paging = Paging { replays: 2, ..Paging::DEFAULT };

const CHOOSY: Config = Config {
    attention: Some(ATTENTION),
    paging: PAGING,
    trained_context: 300,
    rows: 24,
    candidates: 3,
    quantum_rows: 16,
    moves_per_tick: 7,
    events: 2048,
    ..Config::new(8, 600, 64, 900)
}
.checked();

/// Filler of kinds 1 to 5, in slices of 16, whose last token is a sentence's end.
fn filler(seed: u32, slices: u32) -> Vec<u32> {
    let token = |n: u32| {
        let kind = 1 + (4.999 * crate::random::unit(u64::from(seed), u64::from(n))) as u32;
        (0..VOCAB - 1).filter(|&token| token % KINDS == kind && !ends(token)).nth(n as usize % 20).unwrap()
    };
    (0..slices * 16).map(|n| if n % 16 == 15 { sentence_end(1) } else { token(n) }).collect()
}

fn ends(token: u32) -> bool {
    delimiters()[token as usize] != Delimiter::None
}

fn sentence_end(kind: u32) -> u32 {
    (0..VOCAB - 1).find(|&token| token % KINDS == kind && ends(token)).unwrap()
}

/// A slice of tokens of kind 0, which nothing else is.
fn fact() -> Vec<u32> {
    let mut fact: Vec<u32> = (0..VOCAB - 1).filter(|&token| token % KINDS == 0 && !ends(token)).collect();
    fact.truncate(15);
    fact.push(sentence_end(0));
    fact
}

/// A question for the fact: tokens of its kind.
fn question() -> Vec<u32> {
    fact()[..9].to_vec()
}

fn bounded(tag: u64, pages: u32, context: u32) -> Spec {
    Spec { memory: MemoryMode::Bounded { pages, packed: false }, context, ..spec(tag, 20) }
}

/// Of one that computes its context and says nothing.
fn listening(tag: u64) -> Spec {
    Spec {
        budget: Budget { turn_tokens: 0, ..Budget::UNBOUNDED },
        on_end: OnEnd::Listen,
        ..bounded(tag, 24, 600)
    }
}

/// A text with the fact in one of its slices, and the question for it behind.
fn asked(seed: u32, slices: u32, at: u32) -> Vec<u32> {
    let all = filler(seed, slices);
    let (before, behind) = all.split_at(at as usize * 16);
    [before, &fact(), behind, &question()].concat()
}

fn metrics(rig: &Rig, tag: u64) -> Metrics {
    rig.kernel.agents().find(|rcb| rcb.tag == tag).unwrap().metrics
}

/// What a bounded agent says with the machine to itself, row by row.
fn says(config: Config, spec: &Spec, prompt: &[u32]) -> (Vec<u32>, Metrics) {
    let pages = config.slice_limits.worst_pages(config.context) + 100;
    let alone = Config {
        agents: 1,
        l1_pages: pages,
        l2_frames: 40,
        rows: 1,
        segment_pages: pages,
        moves_per_tick: 256,
        ..config
    };
    let mut rig = Rig::new(alone.checked());
    rig.spawn(spec, prompt);
    rig.run();
    (rig.texts.remove(&spec.tag).unwrap_or_default(), metrics(&rig, spec.tag))
}

#[test]
fn a_question_finds_what_it_asks_for_wherever_it_stands() {
    // The latest fourteen slices are there anyway.
    for at in [1, 5, 11, 14] {
        let mut rig = Rig::new(CHOOSY);
        let agent = rig.spawn(&bounded(1, 24, 600), &asked(at, 32, at));
        rig.run();
        let (base, found) = (at * 16, metrics(&rig, 1));
        let fault = Event::PageFault { agent, base, tokens: 16, question: true };
        assert!(rig.events.contains(&fault), "the fact at {base} was not found");
        assert!((1..=2).contains(&found.replays) && found.replayed <= 2 * 48, "{found:?}");
        assert!(found.recomputed == found.replayed && found.utilization() < 1.0, "{found:?}");
        assert!(found.returned >= found.faults && found.choices >= found.replays, "{found:?}");
        assert!(found.coverage().is_some_and(|share| (0.0..=1.0).contains(&share)), "{found:?}");
        let posted = rig.kernel.interrupts().stats(VectorId::PageFault).posted;
        assert!(u64::from(posted) >= found.faults);
    }
}

#[test]
fn what_is_all_there_is_neither_chosen_nor_computed_again() {
    let mut rig = Rig::new(CHOOSY);
    rig.spawn(&bounded(1, 60, 300), &asked(3, 10, 2));
    rig.run();
    let exact = Spec { memory: MemoryMode::Exact, ..bounded(1, 60, 300) };
    assert_eq!(rig.texts[&1], alone(&exact, &asked(3, 10, 2)));
    assert_eq!((metrics(&rig, 1).replays, metrics(&rig, 1).recomputed), (0, 0));
    assert_eq!(metrics(&rig, 1).coverage(), None);
}

#[test]
fn other_policies_look_for_nothing() {
    for policy in [Policy::Recency, Policy::Window] {
        let mut rig = Rig::new(CHOOSY);
        rig.kernel.set_policy(policy);
        rig.spawn(&bounded(1, 24, 600), &asked(7, 20, 4));
        rig.run();
        assert_eq!((metrics(&rig, 1).replays, rig.texts[&1].len()), (0, 20));
        assert!(!rig.events.iter().any(|event| matches!(event, Event::PageFault { .. })));
    }
}

#[test]
fn messages_are_questions_too() {
    let mut rig = Rig::new(CHOOSY);
    let budget = Budget { turn_tokens: 1, ..Budget::UNBOUNDED };
    let listen = Spec { on_end: OnEnd::Listen, budget, ..bounded(1, 24, 600) };
    let text = asked(3, 20, 6);
    let agent = rig.spawn(&listen, &text[..text.len() - 9]);
    rig.run();
    let before = metrics(&rig, 1).faults;
    rig.call(&Call::Send(agent, Tokens(&bytes(&question())))).unwrap();
    rig.run();
    assert!(rig.events.contains(&Event::PageFault { agent, base: 96, tokens: 16, question: true }));
    assert!(metrics(&rig, 1).faults > before && metrics(&rig, 1).replays <= 4);
}

/// Of a question that came behind a text the last slice alone was computed again.
#[test]
fn a_question_is_computed_again_from_the_same_place_whatever_message_it_came_in() {
    let text = asked(3, 20, 6);
    let silent = Budget { turn_tokens: 0, ..Budget::UNBOUNDED };
    let again = |first_message: usize| {
        let mut rig = Rig::new(CHOOSY);
        let listen = Spec { on_end: OnEnd::Listen, budget: silent, ..bounded(1, 24, 600) };
        let agent = rig.spawn(&listen, &text[..first_message]);
        rig.run();
        rig.call(&Call::SetBudget(agent, Budget { turn_tokens: 1, ..silent })).unwrap();
        rig.call(&Call::Send(agent, Tokens(&bytes(&text[first_message..])))).unwrap();
        rig.run();
        let replayed = |event: &Event| match event {
            Event::Replayed { base, tokens, .. } => Some((*base, *tokens)),
            _ => None,
        };
        rig.events.iter().find_map(replayed)
    };
    // 345 tokens, of which a quarter of the quota is 48.
    for first_message in [1, 200, 300, 336, 340] {
        assert_eq!(again(first_message), Some((304, 41)), "{first_message}");
    }
}

#[test]
fn a_context_beyond_the_trained_one_goes_on_without_gaps() {
    // Steps are checked against a device that has no address beyond 100.
    let config = Config { trained_context: 240, ..CHOOSY };
    let text = asked(2, 33, 3);
    let mut rig = Rig::new(config);
    let agent = rig.spawn(&bounded(1, 24, 600), &text);
    rig.run();
    assert_eq!(rig.texts[&1].len(), 20);
    assert!(rig.events.contains(&Event::PageFault { agent, base: 48, tokens: 16, question: true }));
    assert_eq!(rig.texts[&1], says(config, &bounded(1, 24, 600), &text).0);
    let exact = Spec { admission: Admission::Refuse, ..spec(2, 5) };
    let long = Spec { context: 241, ..exact };
    assert!(matches!(rig.try_spawn(&long, &[1]), Err(CallError::Context { declared: 241, most: 240 })));
    let wide = Spec { admission: Admission::Refuse, ..bounded(3, 31, 600) };
    let unfit = Unfit::Beyond { pages: 31, most: 30 };
    assert_eq!(rig.try_spawn(&wide, &[1]), Err(CallError::Unfit(unfit)));
}

/// It was admitted by the memory that it asked for, and got its parent's.
#[test]
fn a_fork_is_admitted_by_the_memory_of_its_parent() {
    let mut rig = Rig::new(Config { trained_context: 240, ..CHOOSY });
    let parent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..bounded(1, 31, 240) }, &filler(1, 3));
    rig.run();
    let asks = |context| Call::Fork(parent, bounded(2, 24, context));
    let unfit = Unfit::Beyond { pages: 31, most: 30 };
    assert_eq!(rig.call(&asks(400)), Err(CallError::Unfit(unfit)));
    assert!(rig.call(&asks(240)).is_ok());
}

#[test]
fn a_fork_looks_for_what_its_parent_would_have() {
    for ticks in [5, 23, 40, 55, 60] {
        let text = asked(4, 20, 7);
        let run = |config: Config, others: u64| {
            let mut rig = Rig::new(config);
            let parent = rig.spawn(&listening(1), &text);
            for tag in 0..others {
                rig.spawn(&Spec { context: 200, ..spec(10 + tag, 30) }, &prompt(tag as u32, 90));
            }
            while rig.stat(parent).computed < text.len() as u32 {
                let _ = rig.tick();
            }
            rig.ticks(ticks);
            let Ok(Reply::Agent(_)) = rig.call(&Call::Fork(parent, bounded(2, 24, 600))) else { panic!() };
            rig.run();
            (rig.texts[&2].clone(), metrics(&rig, 2).replays)
        };
        let alone = run(Config { l1_pages: 200, segment_pages: 200, ..CHOOSY }, 0);
        assert!(alone.1 > 0);
        assert_eq!(run(CHOOSY, 0), alone);
        assert_eq!(run(Config { rows: 5, ..CHOOSY }, 3), alone);
    }
}

/// What the slices of an agent hold once so many of its tokens are computed; `None` if it ends before.
fn held(rig: &mut Rig, agent: AgentId, tokens: u32) -> Option<Vec<u64>> {
    for _ in 0..1000 {
        if rig.stat(agent).computed == tokens {
            let table = rig.kernel.table(usize::from(agent.index));
            return Some(table.iter().map(|mapping| mapping.mass).collect());
        }
        let _ = rig.tick();
    }
    None
}

/// A fork of who only computes its context computes the last row again, which may have begun a slice.
#[test]
fn what_slices_hold_is_counted_once_in_a_fork() {
    let all = asked(4, 22, 7);
    // What is computed again for a question counts anew.
    let config = Config { paging: Paging { replays: 0, ..PAGING }, ..CHOOSY };
    let mut compared = 0;
    // Whichever token of a slice the last row is.
    for length in 330..350 {
        let (text, end) = (&all[..length], length as u32 + 3);
        let answers = Spec { tag: 2, budget: Budget::UNBOUNDED, ..bounded(1, 24, 600) };
        let mut alone = Rig::new(config);
        let agent = alone.spawn(&answers, text);
        let mut rig = Rig::new(config);
        let parent = rig.spawn(&listening(1), text);
        held(&mut rig, parent, length as u32).expect("it says nothing, and does not end");
        let Ok(Reply::Agent(child)) = rig.call(&Call::Fork(parent, answers)) else { panic!() };
        let expected = held(&mut alone, agent, end);
        compared += u32::from(expected.iter().flatten().any(|&mass| mass > 0));
        assert_eq!(held(&mut rig, child, end), expected, "{length}");
    }
    assert!(compared > 16, "only {compared} of them say so much");
}

/// A checkpoint may say that a slice that is not begun holds the largest mass there is.
#[test]
fn a_fork_of_who_holds_the_largest_mass_holds_no_more() {
    // Its last row begins a slice.
    let text = &asked(4, 22, 7)[..337];
    let mut rig = Rig::new(CHOOSY);
    let parent = rig.spawn(&listening(1), text);
    assert!(held(&mut rig, parent, 337).unwrap().last().is_some_and(|&mass| mass > 0));
    rig.kernel.rcb_mut(usize::from(parent.index)).counted.begun = u64::MAX;
    let Ok(Reply::Agent(child)) = rig.call(&Call::Fork(parent, bounded(2, 24, 600))) else { panic!() };
    assert_eq!(rig.kernel.rcb(usize::from(child.index)).counted.begun, u64::MAX);
}

#[test]
fn a_device_that_fails_amid_a_replay_costs_nothing_but_time() {
    let text = asked(5, 20, 8);
    let (expected, _) = says(CHOOSY, &bounded(1, 24, 600), &text);
    let replays =
        |rig: &Rig| rig.events.iter().filter(|event| matches!(event, Event::Replayed { .. })).count();
    for wait in 0..8 {
        let mut rig = Rig::new(Config { rows: 7, ..CHOOSY });
        rig.spawn(&bounded(1, 24, 600), &text);
        while replays(&rig) == 0 {
            let _ = rig.tick();
        }
        rig.ticks(wait);
        rig.device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
        rig.device.copies.extend([None, Some(PageError::Busy), None]);
        rig.run();
        assert_eq!(rig.texts[&1], expected, "{wait}");
    }
}

/// It kept its pages, found none free to begin with, and waited for ever.
#[test]
fn who_has_all_of_page_memory_begins_again_when_the_device_is_lost() {
    let config = Config { l1_pages: 24, segment_pages: 64, rows: 8, ..CHOOSY };
    let text = filler(3, 13);
    let (expected, _) = says(config, &bounded(1, 24, 300), &text);
    let mut rig = Rig::new(config.checked());
    let agent = rig.spawn(&bounded(1, 24, 300), &text);
    while rig.stat(agent).computed < 180 {
        let _ = rig.tick();
    }
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    assert_eq!((rig.stat(agent).state, &rig.texts[&1]), (State::Stopped(Finish::Length), &expected));
}

/// The device was asked for a mean key while it was at work on a page from the store.
#[test]
fn a_page_that_comes_from_the_store_is_waited_for_before_keys_are_summed() {
    let (text, recalled) = (asked(6, 20, 8), prompt(3, 150));
    let (expected, _) = says(CHOOSY, &bounded(1, 24, 600), &text);
    for late in (0..120).step_by(5) {
        let mut rig = Rig::new(Config { cold_slices: 60, rows: 12, ..CHOOSY }.checked());
        rig.store = cold::filled(3, 150);
        rig.spawn(&Spec { priority: Priority::HIGHEST, ..bounded(1, 24, 600) }, &text);
        rig.ticks(late);
        rig.spawn(&spec(2, 20), &recalled);
        for _ in 0..60 {
            rig.device.copies.push_back(None);
            let _ = rig.tick();
        }
        rig.run();
        assert_eq!((&rig.texts[&1], &rig.texts[&2]), (&expected, &alone(&spec(2, 20), &recalled)), "{late}");
        assert!(rig.kernel.figures().store.loaded > 0);
    }
}

/// Saved at any moment, with pages or without, and gone on with in another system.
#[test]
fn a_checkpoint_keeps_what_is_looked_for() {
    let text = asked(6, 20, 8);
    let (expected, alone) = says(CHOOSY, &bounded(1, 24, 600), &text);
    assert!(alone.replays > 0);
    for ticks in (0..140).step_by(7) {
        for contents in [crate::checkpoint::Contents::Pages, crate::checkpoint::Contents::Tokens] {
            let mut rig = Rig::new(Config { rows: 11, ..CHOOSY });
            rig.spawn(&bounded(1, 24, 600), &text);
            rig.ticks(ticks);
            let saved = rig.save(None, contents, 97);
            let mut next = Rig::new(Config { l1_pages: 70, ..CHOOSY }.checked());
            next.restore(&saved).unwrap();
            next.texts = rig.texts.clone();
            next.run();
            assert_eq!(next.texts[&1], expected, "{ticks} {contents:?}");
            assert_eq!(metrics(&next, 1).replays, alone.replays);
        }
    }
}

#[test]
fn a_system_that_thrashes_says_so_and_admits_nobody_until_it_ends() {
    let config = Config { trained_context: 400, ..CHOOSY };
    let mut rig = Rig::new(Config { l2_frames: 2000, ..config }.checked());
    let pages = |tag| bounded(tag, 40, 400);
    for tag in 0..4 {
        rig.spawn(&pages(tag), &asked(tag as u32, 20, 3));
    }
    let thrashes =
        |rig: &Rig| rig.events.iter().any(|event| matches!(event, Event::Thrashing { pages: 64, .. }));
    while !thrashes(&rig) {
        assert!(rig.tick() != Tick::Idle, "four agents of forty pages do not thrash");
    }
    let late = rig.spawn(&pages(9), &asked(9, 20, 3));
    assert_eq!(rig.stat(late).state, State::New);
    rig.run();
    for tag in [0, 1, 2, 3, 9] {
        assert_eq!(rig.texts[&tag], says(config, &pages(tag), &asked(tag as u32, 20, 3)).0, "{tag}");
    }
}

/// Events tell every slice that comes back, and which of them a question has looked for.
#[test]
fn every_return_is_told() {
    let mut rig = Rig::new(CHOOSY);
    let agent = rig.spawn(&Spec { budget: Budget::UNBOUNDED, ..bounded(1, 24, 600) }, &asked(6, 30, 8));
    rig.run();
    let told = |wanted: bool| {
        let is = |event: &&Event| matches!(event, Event::PageFault { agent: of, question, .. } if (*of, *question) == (agent, wanted));
        rig.events.iter().filter(is).count() as u64
    };
    let found = metrics(&rig, 1);
    assert_eq!((told(true), told(false)), (found.faults, found.returned - found.faults), "{found:?}");
    assert!(told(true) > 0 && told(false) > 0, "{found:?}");
}

/// Exact agents that take turns with more than page memory holds: who comes besides waits, unless it is more urgent.
#[test]
fn exact_agents_that_thrash_are_not_joined_by_their_equals() {
    let mut rig = Rig::new(CONFIG);
    for tag in 0..4 {
        rig.spawn(&spec(tag, 60), &prompt(tag as u32, 150));
    }
    let thrashes =
        |rig: &Rig| rig.events.iter().any(|event| matches!(event, Event::Thrashing { pages: 64, .. }));
    while !thrashes(&rig) {
        assert!(rig.tick() != Tick::Idle, "four agents of twenty pages and more do not thrash");
    }
    let late = rig.spawn(&spec(8, 5), &prompt(8, 60));
    let urgent = rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(9, 5) }, &prompt(9, 60));
    assert_eq!((rig.stat(late).state, rig.stat(urgent).state), (State::New, State::Ready));
    while !rig.ends.contains_key(&9) {
        let _ = rig.tick();
    }
    assert_eq!(rig.stat(late).state, State::New);
    rig.run();
    for (tag, tokens, length) in [(0, 60, 150), (1, 60, 150), (2, 60, 150), (3, 60, 150), (8, 5, 60)] {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, tokens), &prompt(tag as u32, length)), "{tag}");
    }
}

/// What many attend to together is there once: it makes nobody wait.
#[test]
fn who_shares_its_pages_does_not_thrash() {
    let mut rig = Rig::new(CONFIG);
    let common = prompt(9, 150);
    for tag in 0..5 {
        rig.spawn(&spec(tag, 20), &[&common[..], &prompt(tag as u32, 8)].concat());
    }
    rig.run();
    assert!(!rig.events.iter().any(|event| matches!(event, Event::Thrashing { .. })));
}

/// An agent that is told something while others fill every step finds its pages there when its turn comes.
#[test]
fn pages_come_before_the_turn_of_who_needs_them() {
    let mut rig = Rig::new(Config { rows: 8, quantum_rows: 8, ..Config::new(6, 300, 60, 200) }.checked());
    let listener = Spec { on_end: OnEnd::Listen, priority: Priority::LOWEST, ..spec(1, 10) };
    let agent = rig.spawn(&listener, &prompt(1, 150));
    rig.run();
    // Somebody else needs all of page memory, and leaves again.
    let large = rig.spawn(&spec(2, 2), &prompt(2, 245));
    rig.run();
    rig.call(&Call::Kill(large)).unwrap();
    while rig.kernel.pager.reclaim(true) {}
    let away = rig.stat(agent).l2_pages;
    assert!(away > 2, "{away} pages");
    rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(3, 2) }, &prompt(3, 120));
    rig.call(&Call::Send(agent, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    let before = rig.kernel.page_in_latencies().count();
    while !rig.ends.contains_key(&3) {
        assert!(rig.tick() != Tick::Idle);
    }
    assert_eq!((rig.stat(agent).l2_pages, rig.kernel.figures().ahead_pages), (0, u64::from(away)));
    rig.run();
    assert_eq!(rig.kernel.page_in_latencies().count(), before, "it lacked nothing when its turn came");
    let first = alone(&spec(1, 10), &prompt(1, 150));
    let second = [&prompt(1, 150)[..], &first, &[5, 6, 7]].concat();
    assert_eq!(rig.texts[&1][first.len()..], alone(&spec(1, 10), &second));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever else runs, however rows are chunked, whatever fails: a bounded agent says the same.
    #[test]
    fn what_a_bounded_agent_says_is_its_own_affair(
        seed in 0u32..1000, at in 1u32..19, pages in 24u32..32, rows in 1u32..30, others in 0u64..5,
        l1 in 44u32..90, window in 0u32..60, trained in 256u32..400, failures in 0usize..6
    ) {
        let paging = Paging { window_percent: window, ..PAGING };
        let config = Config { trained_context: trained, paging, ..CHOOSY };
        let text = asked(seed, 20, at);
        let bounded = bounded(1, pages, 400);
        let (expected, alone) = says(config, &bounded, &text);
        let mut rig = Rig::new(Config { rows, l1_pages: l1, ..config }.checked());
        rig.spawn(&bounded, &text);
        for tag in 0..others {
            rig.spawn(&Spec { context: 150, ..spec(10 + tag, 30) }, &prompt(tag as u32 + seed, 90));
        }
        for failure in 0..failures {
            rig.ticks(7 + failure as u32 * 5);
            rig.device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
            rig.device.copies.extend([None, Some(PageError::Busy)]);
        }
        rig.run();
        prop_assert_eq!(&rig.texts[&1], &expected);
        prop_assert_eq!(metrics(&rig, 1).replays, alone.replays);
        prop_assert!(metrics(&rig, 1).replays <= 2 && metrics(&rig, 1).recomputed == alone.recomputed);
    }
}

mod forgotten;
mod packed;
mod retrace;
