//! What agents send each other.

use super::*;
use crate::call::Forward;

fn forward(from: AgentId, range: (u32, u32), to: AgentId) -> Forward<'static> {
    let (start, end) = range;
    Forward { from, start, end, to, before: Tokens(&[9, 0, 0, 0]), after: Tokens(&[8, 0, 0, 0, 7, 0, 0, 0]) }
}

/// A sender with a long context, and a listener that has answered once.
fn pair(receive: Receive, memory: MemoryMode) -> (Rig, AgentId, AgentId) {
    pair_in(Config::new(8, 300, 100, 80), receive, memory)
}

fn pair_in(config: Config, receive: Receive, memory: MemoryMode) -> (Rig, AgentId, AgentId) {
    let mut rig = Rig::new(config);
    let sender = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 20) }, &prompt(6, 120));
    let listener = Spec { on_end: OnEnd::Listen, receive, memory, context: 300, ..spec(2, 12) };
    let receiver = rig.spawn(&listener, &prompt(2, 30));
    rig.run();
    (rig, sender, receiver)
}

/// What the receiver says to all that it was told, computed from the start.
fn expected(rig: &Rig, receiver: AgentId, answers: usize) -> Vec<u32> {
    let told = rig.kernel.tokens(receiver);
    alone(&Spec { context: 300, ..spec(2, 12) }, &told[..told.len() - answers])
}

/// The receiver's answer to what it is sent as slices, in a system of these sizes.
fn mapped_in(config: Config) -> Vec<u32> {
    let (mut rig, sender, receiver) = pair_in(config, Receive::Mapped, MemoryMode::Exact);
    let answered = rig.texts[&2].len();
    rig.call(&Call::Forward(forward(sender, (3, 118), receiver))).unwrap();
    rig.run();
    rig.texts[&2][answered..].to_vec()
}

#[test]
fn slices_arrive_as_the_receiver_wants_them() {
    for receive in [Receive::Copied, Receive::Mapped] {
        let (mut rig, sender, receiver) = pair(receive, MemoryMode::Exact);
        let before = rig.stat(receiver).metrics;
        let answered = rig.texts[&2].len();
        rig.call(&Call::Forward(forward(sender, (3, 118), receiver))).unwrap();
        rig.run();
        let told = rig.kernel.tokens(receiver).to_vec();
        let answer = rig.texts[&2][answered..].to_vec();
        let sent = [&[9], &rig.kernel.tokens(sender)[3..118], &[8, 7]].concat();
        assert!(told.windows(sent.len()).any(|window| window == sent));
        let as_computed = expected(&rig, receiver, answer.len());
        match receive {
            Receive::Copied => assert_eq!(answer, as_computed),
            // What was computed behind the sender's context is not what this one would have made of it; but
            // it is the same however the steps fall.
            Receive::Mapped => {
                assert_ne!(answer, as_computed);
                assert_eq!(answer, mapped_in(Config { rows: 5, ..Config::new(4, 300, 70, 90) }));
            }
        }
        let after = rig.stat(receiver).metrics;
        let relocated = after.relocated - before.relocated;
        let rows = after.rows - before.rows;
        match receive {
            Receive::Copied => assert_eq!(relocated, 0),
            Receive::Mapped => {
                assert!(relocated > 40, "{relocated} tokens were mapped");
                assert!(rows + relocated <= 118 + 13, "{rows} rows beside {relocated} that were mapped");
            }
        }
    }
}

#[test]
fn what_is_on_its_way_outlives_its_sender() {
    let (mut rig, sender, receiver) = pair(Receive::Mapped, MemoryMode::Exact);
    // A second message, while the answer to the first is under way.
    rig.call(&Call::Forward(forward(sender, (0, 60), receiver))).unwrap();
    for _ in 0..6 {
        let _ = rig.tick();
    }
    rig.call(&Call::Forward(forward(sender, (10, 120), receiver))).unwrap();
    rig.call(&Call::Kill(sender)).unwrap();
    // Others press on the memory meanwhile.
    for tag in 5..8 {
        rig.spawn(&Spec { context: 250, ..spec(tag, 40) }, &prompt(tag as u32, 150));
    }
    rig.run();
    let stat = rig.stat(receiver);
    assert!(stat.metrics.relocated > 90, "{:?}", stat.metrics);
    assert_eq!(stat.metrics.recomputed, 0);
    for tag in 5..8 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 40), &prompt(tag as u32, 150)));
    }
    rig.call(&Call::Kill(receiver)).unwrap();
    assert!(rig.kernel.pager.slices().all(|(_, slice)| slice.refs == 0 || slice.indexed));
}

/// What a message brought is gone with the device before it was mapped: its tokens are computed.
#[test]
fn slices_that_are_lost_on_their_way_are_computed() {
    let (mut rig, sender, receiver) = pair(Receive::Mapped, MemoryMode::Exact);
    // The answer to a first message is under way.
    rig.call(&Call::Send(receiver, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    rig.ticks(4);
    rig.call(&Call::Forward(forward(sender, (3, 118), receiver))).unwrap();
    assert!(rig.kernel.rcb(usize::from(receiver.index)).offers > 0, "the message waits");
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    let stat = rig.stat(receiver);
    assert_eq!((stat.state, stat.metrics.relocated), (State::Blocked(BlockedOn::Message), 0));
    let told = rig.kernel.tokens(receiver).to_vec();
    let sent = [&rig.kernel.tokens(sender)[3..118], &[8, 7]].concat();
    let from = told.windows(sent.len()).position(|window| window == sent).expect("it was taken");
    let answer = expected(&rig, receiver, told.len() - from - sent.len());
    assert_eq!(told[from + sent.len()..], answer);
}

#[test]
fn a_bounded_receiver_stays_within_its_quota() {
    let bounded = MemoryMode::Bounded { pages: 24, packed: false };
    let (mut rig, sender, receiver) = pair(Receive::Mapped, bounded);
    rig.call(&Call::Forward(forward(sender, (0, 130), receiver))).unwrap();
    rig.run();
    let stat = rig.stat(receiver);
    assert!(stat.metrics.relocated > 60, "{:?}", stat.metrics);
    let index = usize::from(receiver.index);
    let selected = rig.kernel.table(index).iter().filter(|mapping| mapping.selected);
    let pages: u32 = selected.map(|mapping| u32::from(rig.kernel.pager.slice(mapping.slice).pages)).sum();
    assert!(pages <= 24, "{pages} pages");
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let (mut rig, sender, receiver) = pair(Receive::Mapped, MemoryMode::Exact);
    let tokens = rig.kernel.tokens(sender).len() as u32;
    let mut refused = |range| rig.call(&Call::Forward(forward(sender, range, receiver))).unwrap_err();
    assert_eq!(refused((5, 5)), CallError::Range { start: 5, end: 5, tokens });
    assert_eq!(refused((0, tokens + 1)), CallError::Range { start: 0, end: tokens + 1, tokens });
    let nobody = AgentId { index: 7, generation: 0 };
    let call = Call::Forward(forward(nobody, (0, 1), receiver));
    assert_eq!(rig.call(&call), Err(CallError::NoAgent(nobody)));
    // An agent sends its own context and nobody else's.
    let stolen = Call::Forward(forward(sender, (0, 20), receiver));
    let lacks = CallError::NotPermitted { capability: "send" };
    assert_eq!(rig.kernel.call(Some(receiver), &stolen, 0), Err(lacks));
    assert_eq!(rig.kernel.call(Some(sender), &stolen, 0), Ok(Reply::Done));
}

#[test]
fn whoever_makes_no_progress_is_barked_at() {
    let mut rig = Rig::new(CONFIG);
    let watchdog = Watchdog { stall_us: 400, ..Watchdog::OFF };
    let starved = rig.spawn(&Spec { priority: Priority::LOWEST, watchdog, ..spec(1, 9) }, &prompt(1, 30));
    for tag in 2..6 {
        rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(tag, 60) }, &prompt(tag as u32, 120));
    }
    rig.run();
    assert_eq!(rig.stat(starved).state, State::Stopped(Finish::Stalled));
    let alone = rig.spawn(&Spec { watchdog, ..spec(7, 9) }, &prompt(1, 30));
    rig.run();
    assert_ne!(rig.stat(alone).state, State::Stopped(Finish::Stalled));
}

#[test]
fn attention_has_a_focus() {
    let mut rig = Rig::new(CONFIG);
    let agent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 9) }, &prompt(1, 90));
    assert_eq!(rig.kernel.agents().next().unwrap().focus, None);
    rig.run();
    let focus = rig.kernel.agents().next().unwrap().focus.expect("it has attended to something");
    let bases: Vec<u32> =
        rig.kernel.table(usize::from(agent.index)).iter().map(|mapping| mapping.base).collect();
    // Its last step had one row, whose attention goes where the device says.
    let computed = rig.stat(agent).computed;
    let token = rig.kernel.tokens(agent)[computed as usize - 1];
    let row = agentos_hal::Row { token, address: computed - 1, ..VACANT_ROW };
    let mass = |base: u32| crate::fake::mass(&Segment { base, len: 1 }, &[row]);
    let most = bases[1..].iter().map(|&base| mass(base)).max().unwrap();
    assert!(bases[1..].contains(&focus) && mass(focus) == most, "{focus} of {bases:?}");
}

#[test]
fn who_drains_answers_what_came_while_it_spoke_and_stops() {
    for sent in [&[][..], &[9, 8, 7, 6][..]] {
        let mut rig = Rig::new(CONFIG);
        let agent = rig.spawn(&Spec { on_end: OnEnd::Drain, ..spec(1, 10) }, &prompt(1, 20));
        while rig.texts.is_empty() {
            let _ = rig.tick();
        }
        if !sent.is_empty() {
            rig.call(&Call::Send(agent, Tokens(&bytes(sent)))).unwrap();
        }
        rig.run();
        let answers = rig.events.iter().filter(|event| matches!(event, Event::Finished { .. })).count();
        assert_eq!(answers, if sent.is_empty() { 1 } else { 2 });
        assert!(rig.stat(agent).state.is_over());
        let log = rig.kernel.tokens(agent);
        assert!(sent.is_empty() || log.windows(sent.len()).any(|window| window == sent), "{log:?}");
        let first = alone(&spec(1, 10), &prompt(1, 20));
        assert!(rig.texts[&1].starts_with(&first) && rig.texts[&1].len() > first.len() * sent.len().min(1));
    }
}

/// Whoever is told to wait while it says the last of an answer waits as if it had been told a tick later.
#[test]
fn a_wait_holds_whenever_it_is_asked_for() {
    let mut texts = Vec::new();
    for ticks in 0..30 {
        let mut rig = Rig::new(CONFIG);
        let listener = Spec { on_end: OnEnd::Listen, ..spec(1, 4) };
        let waits = rig.spawn(&listener, &prompt(1, 20));
        let other = rig.spawn(&Spec { priority: Priority::LOWEST, ..spec(2, 60) }, &prompt(2, 90));
        rig.ticks(ticks);
        rig.call(&Call::Wait(waits, other)).unwrap();
        while !rig.ends.contains_key(&1) {
            rig.ticks(1);
        }
        rig.call(&Call::Send(waits, Tokens(&bytes(&[5, 6])))).unwrap();
        let said = rig.texts[&1].len();
        while !rig.ends.contains_key(&2) {
            rig.ticks(1);
            if !rig.ends.contains_key(&2) {
                assert_eq!(rig.texts[&1].len(), said, "told to wait after {ticks} ticks");
            }
        }
        rig.run();
        texts.push(rig.texts.remove(&1).unwrap());
    }
    assert!(texts.iter().all(|text| *text == texts[0]));
}
