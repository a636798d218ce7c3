//! Tool calls and guards, on a bench of tools that do what a plan says.

use std::collections::{BTreeMap, BTreeSet};

use agentos_hal::PeripheralError;

use super::*;
use crate::checkpoint::Contents;
use crate::interrupt::Urgency;
use crate::tool::{Bus, CallNumber, CallOutcome, Effect, Request, ToolId, ToolSet};

mod open;

/// What one attempt comes to, and after how many looks.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub refused: Option<PeripheralError>,
    pub looks: u32,
    pub result: Result<(), PeripheralError>,
}

const AT_ONCE: Attempt = Attempt { refused: None, looks: 0, result: Ok(()) };
const NEVER: Attempt = Attempt { looks: u32::MAX, ..AT_ONCE };

/// Tools by plan: what the attempts of a call come to, the last one for all further ones.
#[derive(Default)]
pub struct Bench {
    pub plans: BTreeMap<u64, Vec<Attempt>>,
    pub started: Vec<u64>,
    pub cancelled: BTreeSet<u64>,
    running: BTreeMap<u64, (u32, Result<(), PeripheralError>)>,
}

impl Bus for Bench {
    fn start(&mut self, call: CallNumber) -> Result<(), PeripheralError> {
        let plan = self.plans.entry(call.0).or_insert_with(|| vec![AT_ONCE]);
        let attempt = if plan.len() > 1 { plan.remove(0) } else { plan[0] };
        if let Some(error) = attempt.refused {
            return Err(error);
        }
        self.started.push(call.0);
        assert!(self.running.insert(call.0, (attempt.looks, attempt.result)).is_none(), "started once");
        Ok(())
    }

    fn poll(&mut self, call: CallNumber) -> Poll<Result<(), PeripheralError>> {
        let Some((looks, result)) = self.running.get_mut(&call.0) else {
            return Poll::Ready(Err(PeripheralError::NoCall));
        };
        if *looks > 0 {
            *looks -= 1;
            return Poll::Pending;
        }
        let result = *result;
        self.running.remove(&call.0);
        Poll::Ready(result)
    }

    fn cancel(&mut self, call: CallNumber) {
        self.running.remove(&call.0);
        self.cancelled.insert(call.0);
    }
}

pub const TOOLS: Config = Config { calls: 40, masks: 3, mask_words: VOCAB.div_ceil(32), ..CONFIG }.checked();

const REQUEST: Request = Request {
    tool: ToolId(2),
    effect: Effect::Repeatable,
    timeout_us: 1_000_000,
    attempts: 1,
    urgency: Urgency::High,
};

impl Rig {
    fn invoke(&mut self, agent: AgentId, request: Request) -> Result<u64, CallError> {
        match self.call(&Call::Invoke(agent, request))? {
            Reply::Call(number) => Ok(number),
            other => panic!("{other:?}"),
        }
    }

    fn give_back(&mut self, call: u64, tokens: &[u32]) -> Result<Reply, CallError> {
        self.call(&Call::Return { call, tokens: Tokens(&bytes(tokens)), fits: true })
    }

    /// Ticks until an event comes that `wanted` takes.
    fn until<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        for _ in 0..10_000 {
            let from = self.events.len();
            let _ = self.tick();
            if let Some(found) = self.events[from..].iter().find_map(&wanted) {
                return found;
            }
        }
        panic!("it never came");
    }

    fn outcome_of(&mut self, call: u64) -> CallOutcome {
        self.until(|event| match *event {
            Event::ToolOver { number, outcome, .. } if number == call => Some(outcome),
            _ => None,
        })
    }

    /// An agent that has said so many tokens.
    fn talking(&mut self, tag: u64, said: usize) -> AgentId {
        let agent = self.spawn(&Spec { context: 200, ..spec(tag, 60) }, &prompt(tag as u32, 20));
        while self.texts.get(&tag).is_none_or(|text| text.len() < said) {
            let _ = self.tick();
        }
        agent
    }
}

/// What an agent says that reads these tokens after it has said so many.
fn told(tag: u64, said: usize, results: &[&[u32]]) -> Vec<u32> {
    let mut rig = Rig::new(Config { rows: 1, ..TOOLS });
    let agent = rig.talking(tag, said);
    for tokens in results {
        let call = rig.invoke(agent, REQUEST).unwrap();
        assert_eq!(rig.outcome_of(call), CallOutcome::Done);
        rig.give_back(call, tokens).unwrap();
    }
    rig.run();
    rig.texts.remove(&tag).unwrap()
}

#[test]
fn an_agent_goes_on_with_what_a_tool_said_and_others_run_meanwhile() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let call = rig.invoke(agent, REQUEST).unwrap();
    rig.bench_plan(call, &[Attempt { looks: 400, ..AT_ONCE }]);
    let said = rig.texts[&1].len();
    rig.spawn(&spec(2, 30), &prompt(2, 30));
    rig.until(|event| matches!(event, Event::Finished { .. }).then_some(()));
    assert_eq!(rig.texts[&1].len(), said, "it waits");
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Tool));
    assert_eq!(rig.outcome_of(call), CallOutcome::Done);
    rig.give_back(call, &[5, 6, 7]).unwrap();
    rig.run();
    assert_eq!(rig.texts[&1], told(1, said, &[&[5, 6, 7]]));
    assert_eq!(rig.texts[&2], alone(&spec(2, 30), &prompt(2, 30)));
    assert_ne!(rig.texts[&1], told(1, said, &[&[5, 6, 8]]), "it read the result");
    let metrics = rig.kernel.agents().find(|rcb| rcb.tag == 1).unwrap().metrics;
    assert_eq!((metrics.calls, metrics.tool_tokens), (1, 3));
}

impl Rig {
    fn bench_plan(&mut self, call: u64, attempts: &[Attempt]) {
        self.bus.plans.insert(call, attempts.to_vec());
    }
}

#[test]
fn results_are_read_in_the_order_of_the_calls() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let said = rig.texts[&1].len();
    let slow = rig.invoke(agent, REQUEST).unwrap();
    let fast = rig.invoke(agent, REQUEST).unwrap();
    rig.bench_plan(slow, &[Attempt { looks: 50, ..AT_ONCE }]);
    assert_eq!(rig.kernel.agents().next().unwrap().stack_depth(), 2);
    assert_eq!(rig.outcome_of(fast), CallOutcome::Done);
    assert_eq!(rig.give_back(slow, &[1]), Err(CallError::NotOver { number: slow }));
    assert_eq!(rig.give_back(fast, &[2]), Err(CallError::Order { number: fast, first: slow }));
    assert_eq!(rig.outcome_of(slow), CallOutcome::Done);
    rig.give_back(slow, &[1, 1]).unwrap();
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Tool), "one is open");
    rig.give_back(fast, &[2]).unwrap();
    assert_eq!(rig.give_back(fast, &[2]), Err(CallError::NoCall { number: fast }));
    rig.run();
    assert_eq!(rig.texts[&1], told(1, said, &[&[1, 1], &[2]]));
}

#[test]
fn what_came_of_a_call_is_returned_before_another_tool_begins() {
    let mut rig = Rig::new(TOOLS);
    let (one, other) = (rig.talking(1, 5), rig.talking(2, 5));
    let over = rig.invoke(one, REQUEST).unwrap();
    rig.until(|event| matches!(event, Event::ToolStarted { .. }).then_some(()));
    // Its tool is done beside a step, behind which the other calls.
    rig.until(|event| matches!(event, Event::Token { agent, .. } if *agent == other).then_some(()));
    let begins = rig.invoke(other, REQUEST).unwrap();
    assert_eq!(rig.outcome_of(over), CallOutcome::Done);
    assert_eq!(rig.bus.started, [over]);
    rig.give_back(over, &[5]).unwrap();
    assert_eq!(rig.outcome_of(begins), CallOutcome::Done);
}

/// Who works on a result for the agent that waits for it does so at that agent's priority, and its steps are a part of
/// the alignment.
#[test]
fn steps_that_work_on_a_result_are_a_part_of_its_alignment() {
    for helped in [false, true] {
        let mut rig = Rig::new(TOOLS);
        let agent = rig.talking(1, 5);
        let call = rig.invoke(agent, REQUEST).unwrap();
        let over = rig.outcome_of(call);
        assert_eq!(over, CallOutcome::Done);
        let reads = Spec { priority: Priority::LOWEST, ..reader(2) };
        let helper = rig.spawn(&reads, &prompt(7, 90));
        if helped {
            rig.call(&Call::Wait(agent, helper)).unwrap();
            assert_eq!(rig.stat(helper).effective, spec(1, 0).priority);
        }
        let began_us = rig.clock.0.get();
        while rig.stat(helper).computed < 90 {
            let _ = rig.tick();
        }
        let took_us = rig.clock.0.get() - began_us;
        assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Tool), "it waits");
        rig.call(&Call::Kill(helper)).unwrap();
        rig.give_back(call, &[5]).unwrap();
        let times = rig.until(|event| match *event {
            Event::ToolResumed { times, .. } => Some(times),
            _ => None,
        });
        let (counted, other) = match helped {
            true => (times.align_us, times.step_us),
            false => (times.step_us, times.align_us),
        };
        assert!(counted >= took_us && other < took_us / 4, "{helped}: {times:?}, {took_us}");
        rig.run();
    }
}

#[test]
fn a_tool_that_takes_too_long_is_given_up() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let hung = rig.invoke(agent, Request { timeout_us: 900, ..REQUEST }).unwrap();
    rig.bench_plan(hung, &[NEVER]);
    assert_eq!(rig.outcome_of(hung), CallOutcome::TimedOut);
    assert!(rig.bus.cancelled.contains(&hung));
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, Event::Interrupt { vector: VectorId::ToolTimeout, .. }))
    );
    rig.give_back(hung, &[9]).unwrap();
    // One that is always busy has never begun.
    let busy = rig.invoke(agent, Request { timeout_us: 900, ..REQUEST }).unwrap();
    rig.bench_plan(busy, &[Attempt { refused: Some(PeripheralError::Busy), ..AT_ONCE }]);
    assert_eq!(rig.outcome_of(busy), CallOutcome::TimedOut);
    rig.give_back(busy, &[]).unwrap();
    rig.run();
}

/// Of calls that are over in the same tick, the one whose tool is the more urgent interrupts first, whichever was made
/// first.
#[test]
fn the_end_of_an_urgent_call_is_told_first() {
    let urgencies = [Urgency::Low, Urgency::High, Urgency::Critical, Urgency::Medium];
    let mut rig = Rig::new(TOOLS);
    let agents: Vec<AgentId> = (1..=4).map(|tag| rig.talking(tag, 5)).collect();
    let calls: Vec<u64> = agents
        .iter()
        .zip(urgencies)
        .map(|(&agent, urgency)| rig.invoke(agent, Request { urgency, ..REQUEST }).unwrap())
        .collect();
    for &call in &calls {
        rig.bench_plan(call, &[Attempt { looks: 5, ..AT_ONCE }]);
    }
    let from = rig.events.len();
    let over = |event: &Event| match *event {
        Event::ToolOver { number, .. } => Some(number),
        _ => None,
    };
    rig.until(over);
    let told: Vec<u64> = rig.events[from..].iter().filter_map(over).collect();
    assert_eq!(told, [calls[2], calls[1], calls[3], calls[0]]);
    for &call in &calls {
        rig.give_back(call, &[4]).unwrap();
    }
    rig.run();
}

#[test]
fn what_may_be_repeated_is_tried_again_and_the_rest_is_not() {
    let failed = Attempt { looks: 2, result: Err(PeripheralError::Failed), ..AT_ONCE };
    let busy = Attempt { refused: Some(PeripheralError::Busy), ..AT_ONCE };
    for (effect, attempts, plan, starts, outcome) in [
        (Effect::Repeatable, 3, vec![failed, failed, AT_ONCE], 3, CallOutcome::Done),
        (Effect::Repeatable, 2, vec![failed], 2, CallOutcome::Failed),
        (Effect::Irreversible, 3, vec![failed, AT_ONCE], 1, CallOutcome::Failed),
        // What was not begun may be.
        (Effect::Irreversible, 1, vec![busy, busy, AT_ONCE], 1, CallOutcome::Done),
        (
            Effect::Repeatable,
            3,
            vec![Attempt { refused: Some(PeripheralError::Refused), ..AT_ONCE }],
            0,
            CallOutcome::Refused,
        ),
        (
            Effect::Repeatable,
            3,
            vec![Attempt { result: Err(PeripheralError::Output), ..AT_ONCE }],
            1,
            CallOutcome::Output,
        ),
    ] {
        let mut rig = Rig::new(TOOLS);
        let agent = rig.talking(1, 5);
        let call = rig.invoke(agent, Request { effect, attempts, ..REQUEST }).unwrap();
        rig.bench_plan(call, &plan);
        assert_eq!(rig.outcome_of(call), outcome);
        assert_eq!(rig.bus.started.len(), starts, "{effect:?} {plan:?}");
        rig.give_back(call, &[3]).unwrap();
        rig.run();
    }
}

#[test]
fn calls_of_an_agent_that_is_gone_are_cancelled() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let calls: Vec<u64> = (0..3).map(|_| rig.invoke(agent, REQUEST).unwrap()).collect();
    calls.iter().for_each(|&call| rig.bench_plan(call, &[NEVER]));
    rig.ticks(5);
    assert_eq!(rig.bus.started, calls);
    rig.call(&Call::Kill(agent)).unwrap();
    rig.ticks(2);
    assert_eq!(rig.bus.cancelled.iter().copied().collect::<Vec<_>>(), calls);
    assert_eq!(rig.give_back(calls[0], &[1]), Err(CallError::NoCall { number: calls[0] }));
    // So are those of one whose time is up.
    let budget = Budget { time_us: 2_000, turn_tokens: 60, ..Budget::UNBOUNDED };
    let agent = rig.spawn(&Spec { budget, ..spec(2, 60) }, &prompt(2, 20));
    rig.until(|event| matches!(event, Event::Token { .. }).then_some(()));
    let call = rig.invoke(agent, REQUEST).unwrap();
    rig.bench_plan(call, &[NEVER]);
    rig.until(|event| matches!(event, Event::Finished { finish: Finish::Budget, .. }).then_some(()));
    rig.ticks(2);
    assert!(rig.bus.cancelled.contains(&call));
}

#[test]
fn an_agent_calls_what_it_was_granted_and_as_often() {
    let mut rig = Rig::new(TOOLS);
    let capabilities = Capabilities { tools: ToolSet::NONE.with(ToolId(2)), ..Capabilities::ALL };
    let budget = Budget { calls: 2, tool_tokens: 5, turn_tokens: 40, ..Budget::UNBOUNDED };
    let agent = rig.spawn(&Spec { capabilities, budget, ..spec(1, 40) }, &prompt(1, 20));
    rig.until(|event| matches!(event, Event::Token { .. }).then_some(()));
    let other = rig.invoke(agent, Request { tool: ToolId(3), ..REQUEST });
    assert_eq!(other, Err(CallError::NotPermitted { capability: "the tool" }));
    let first = rig.invoke(agent, REQUEST).unwrap();
    let second = rig.invoke(agent, REQUEST).unwrap();
    let third = rig.invoke(agent, REQUEST).unwrap();
    assert_eq!(rig.outcome_of(third), CallOutcome::Budget);
    assert_eq!(rig.outcome_of(second), CallOutcome::Done);
    assert_eq!(rig.bus.started, [first, second], "the tool was not asked");
    assert_eq!(rig.give_back(first, &[1; 6]), Err(CallError::TooLong { tokens: 6, fits: 5 }));
    rig.give_back(first, &[1; 4]).unwrap();
    assert_eq!(rig.give_back(second, &[1; 2]), Err(CallError::TooLong { tokens: 2, fits: 1 }));
    rig.give_back(second, &[]).unwrap();
    rig.give_back(third, &[1]).unwrap();
    rig.run();
    // So many may be open at once, and no more.
    let deep = rig.talking(2, 3);
    for _ in 0..MOST_CALLS {
        rig.invoke(deep, REQUEST).unwrap();
    }
    assert_eq!(rig.invoke(deep, REQUEST), Err(CallError::Depth { open: MOST_CALLS, most: MOST_CALLS }));
}

#[test]
fn an_output_that_breaks_its_schema_raises_an_interrupt() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let call = rig.invoke(agent, REQUEST).unwrap();
    rig.outcome_of(call);
    rig.call(&Call::Return { call, tokens: Tokens(&bytes(&[8])), fits: false }).unwrap();
    let raised = rig.until(|event| match *event {
        Event::Interrupt { vector: VectorId::PerceptionErr, agent, .. } => Some(agent),
        _ => None,
    });
    assert_eq!(raised, Some(agent));
    rig.run();
}

#[test]
fn latency_is_split_into_what_it_is_made_of() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let call = rig.invoke(agent, REQUEST).unwrap();
    rig.bench_plan(call, &[Attempt { looks: 20, ..AT_ONCE }]);
    let begin_us = rig.clock.0.get();
    rig.outcome_of(call);
    rig.clock.0.set(rig.clock.0.get() + 777);
    rig.give_back(call, &[8; 5]).unwrap();
    let (times, encode_us) = rig.until(|event| match *event {
        Event::ToolResumed { number, times, encode_us, .. } if number == call => Some((times, encode_us)),
        _ => None,
    });
    let end_us = rig.clock.0.get();
    assert!(times.device_us > 0 && encode_us > 0, "{times:?} {encode_us}");
    assert!((777..900).contains(&times.align_us), "{times:?}");
    let sum = times.dispatch_us + times.step_us + times.device_us + times.align_us + encode_us;
    assert!(sum <= end_us - begin_us + 10 && sum + 60 >= end_us - begin_us, "{sum} of {}", end_us - begin_us);
    let latency_us = rig.stat(agent).metrics.latency_us;
    assert!(latency_us >= times.align_us + encode_us && latency_us <= sum, "{latency_us}");
}

#[test]
fn a_person_may_pause_an_agent_that_waits_for_a_tool() {
    let mut rig = Rig::new(TOOLS);
    let agent = rig.talking(1, 5);
    let said = rig.texts[&1].len();
    let call = rig.invoke(agent, REQUEST).unwrap();
    rig.call(&Call::Suspend(agent)).unwrap();
    assert_eq!(rig.outcome_of(call), CallOutcome::Done);
    rig.give_back(call, &[4]).unwrap();
    rig.ticks(20);
    assert_eq!(rig.texts[&1].len(), said);
    rig.call(&Call::Resume(agent)).unwrap();
    rig.run();
    assert_eq!(rig.texts[&1], told(1, said, &[&[4]]));
}

/// Every interrupt queue holds a few; what does not fit comes later.
#[test]
fn more_calls_than_a_queue_holds_are_all_delivered() {
    let mut rig = Rig::new(TOOLS);
    let agents: Vec<AgentId> = (1..=5).map(|tag| rig.talking(tag, 2)).collect();
    let alive: Vec<AgentId> = agents.into_iter().filter(|&id| !rig.stat(id).state.is_over()).collect();
    let calls: Vec<u64> = alive
        .iter()
        .flat_map(|&id| std::iter::repeat_n(id, MOST_CALLS))
        .map(|id| rig.invoke(id, REQUEST).unwrap())
        .collect();
    assert!(calls.len() > crate::interrupt::QUEUE_DEPTH);
    rig.ticks(200);
    for call in calls {
        rig.give_back(call, &[1]).unwrap();
    }
    rig.run();
}

#[test]
fn what_cannot_be_undone_is_not_made_again_after_a_restore() {
    for (effect, ticks, again) in
        [(Effect::Repeatable, 6, true), (Effect::Irreversible, 6, false), (Effect::Irreversible, 0, true)]
    {
        let mut rig = Rig::new(TOOLS);
        let agent = rig.talking(1, 5);
        let said = rig.texts[&1].clone();
        let call = rig.invoke(agent, Request { effect, ..REQUEST }).unwrap();
        rig.bench_plan(call, &[NEVER]);
        if ticks > 0 {
            rig.ticks(ticks);
        } else {
            // Saved before the interrupt is delivered: the tool has not begun.
            rig.bench_plan(call, &[Attempt { refused: Some(PeripheralError::Busy), ..AT_ONCE }]);
        }
        let saved = rig.save(None, Contents::Tokens, 64);
        let mut rig = Rig::new(TOOLS);
        rig.restore(&saved).unwrap();
        let (number, told_again) = rig
            .events
            .iter()
            .find_map(|event| match *event {
                Event::ToolRestored { number, before, again, .. } if before == call => Some((number, again)),
                _ => None,
            })
            .expect("the host learns of it");
        assert_eq!(told_again, again);
        let outcome = if again { CallOutcome::Done } else { CallOutcome::Unknown };
        assert_eq!(rig.outcome_of(number), outcome);
        assert_eq!(rig.bus.started.len(), usize::from(again), "{effect:?}");
        rig.give_back(number, &[6]).unwrap();
        rig.run();
        assert_eq!([&said[..], &rig.texts[&1]].concat(), self::told(1, said.len(), &[&[6]]));
    }
}

/// One of a crowd: how often it calls, and what comes of it.
#[derive(Clone, Debug)]
struct Caller {
    every: u32,
    attempts: Vec<(u32, u8)>,
    killed_at: Option<u32>,
}

fn caller() -> impl Strategy<Value = Caller> {
    let attempt = (prop_oneof![4 => 0..40u32, 1 => Just(u32::MAX)], 0..8u8);
    let killed_at = prop_oneof![5 => Just(None), 1 => (5..300u32).prop_map(Some)];
    (2..6u32, proptest::collection::vec(attempt, 1..5), killed_at)
        .prop_map(|(every, attempts, killed_at)| Caller { every, attempts, killed_at })
}

fn attempt(&(looks, kind): &(u32, u8)) -> Attempt {
    let result = match kind {
        0 => Err(PeripheralError::Failed),
        1 => Err(PeripheralError::Gone),
        2 => Err(PeripheralError::Output),
        _ => Ok(()),
    };
    let refused = match kind {
        3 => Some(PeripheralError::Refused),
        4 => Some(PeripheralError::Busy),
        _ => None,
    };
    Attempt { refused, looks, result }
}

/// What a call's outcome is to its agent: it depends on what came of it and on nothing else.
fn reads(tag: u64, nth: u64, outcome: CallOutcome) -> [u32; 3] {
    [tag as u32 % 50, nth as u32 % 50, outcome as u32]
}

/// Runs callers side by side; returns their texts with the outcomes of their calls.
fn crowd_of(callers: &[(u64, Caller)], config: Config) -> BTreeMap<u64, (Vec<u32>, Vec<CallOutcome>)> {
    let mut rig = Rig::new(config);
    let mut ids = BTreeMap::new();
    for (tag, _) in callers {
        ids.insert(*tag, rig.spawn(&Spec { context: 120, ..spec(*tag, 30) }, &prompt(*tag as u32, 15)));
    }
    let mut made: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut outcomes: BTreeMap<u64, Vec<CallOutcome>> = BTreeMap::new();
    let (mut from, mut idle) = (0, 0);
    for tick in 0..60_000 {
        for (tag, caller) in callers {
            if caller.killed_at == Some(tick) && rig.kernel.find(ids[tag]).is_some() {
                rig.call(&Call::Kill(ids[tag])).unwrap();
            }
        }
        idle = if rig.tick() == Tick::Idle { idle + 1 } else { 0 };
        let new = rig.events[from..].to_vec();
        from = rig.events.len();
        for event in new {
            match event {
                Event::Token { agent, token, .. } => {
                    let tag = rig.tags[&(agent.index, agent.generation)];
                    let caller = &callers.iter().find(|(of, _)| *of == tag).unwrap().1;
                    let count = outcomes.get(&tag).map_or(0, Vec::len);
                    if !token.is_multiple_of(caller.every) || count >= 4 {
                        continue;
                    }
                    let request = Request { timeout_us: 600, attempts: 2, ..REQUEST };
                    let Ok(call) = rig.invoke(agent, request) else { continue };
                    let nth = made.values().filter(|(of, _)| *of == tag).count() as u64;
                    made.insert(call, (tag, nth));
                    let plan: Vec<Attempt> =
                        caller.attempts.iter().cycle().skip(nth as usize).take(2).map(attempt).collect();
                    rig.bench_plan(call, &plan);
                }
                Event::ToolOver { number, outcome, .. } => {
                    let (tag, nth) = made[&number];
                    if rig.give_back(number, &reads(tag, nth, outcome)).is_ok() {
                        outcomes.entry(tag).or_default().push(outcome);
                    }
                }
                _ => (),
            }
        }

        if idle > 1000 {
            break;
        }
    }
    assert!(idle > 1000, "somebody waits for ever");
    assert!(rig.kernel.calls.iter().all(Option::is_none), "no call is left");
    assert!(rig.bus.running.is_empty(), "no tool is left at work");
    let started: BTreeSet<u64> = rig.bus.started.iter().copied().collect();
    assert!(started.iter().all(|call| made.contains_key(call)));
    let texts = callers.iter().map(|(tag, _)| (*tag, rig.texts.get(tag).cloned().unwrap_or_default()));
    texts.map(|(tag, text)| (tag, (text, outcomes.remove(&tag).unwrap_or_default()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever tools do, no call is lost or answered twice, and every agent says what it says alone where
    /// its tools did the same.
    #[test]
    fn a_crowd_of_callers_says_what_each_says_alone(callers in proptest::collection::vec(caller(), 1..10)) {
        let callers: Vec<(u64, Caller)> = (1..).zip(callers).collect();
        let together = crowd_of(&callers, TOOLS);
        for (tag, caller) in &callers {
            let own = crowd_of(&[(*tag, Caller { killed_at: None, ..caller.clone() })], TOOLS).remove(tag).unwrap();
            let (text, outcomes) = &together[tag];
            let timing = |outcome: &CallOutcome| *outcome == CallOutcome::TimedOut;
            let same = if caller.killed_at.is_some() {
                own.0.starts_with(text)
            } else {
                (text, outcomes) == (&own.0, &own.1)
            };
            // How long a tool took is the world's, not the system's.
            prop_assert!(same || outcomes.iter().chain(&own.1).any(timing), "agent {tag}: {outcomes:?} {text:?}, alone {own:?}");
        }
    }
}
