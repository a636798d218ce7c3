//! What a run tells of itself: lines of JSON, and a trace to look at.

// A line of many values is a macro of many steps.
#![recursion_limit = "256"]

use std::path::Path;

use agentos_desktop::team::json::{
    AgentSummary, Line, LineEvent, MaskSummary, PagingSummary, Summary, Tier, TierHits, line,
};
use agentos_desktop::team::runner::{Roster, Tiers};
use agentos_desktop::team::tools::Form;
use agentos_desktop::team::trace::Trace;
use agentos_desktop::team::{Names, Results, parse};
use agentos_hal::KvType;
use agentos_kernel::agent::{AgentId, Fault, Finish, Metrics, Priority, Rcb, Spec, State, StateKind};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::interrupt::VectorId;
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::SliceHash;
use agentos_kernel::memory::cold::StoreFault;
use agentos_kernel::sample::Sampler;
use agentos_kernel::tool::{CallOutcome, CallTimes, ToolId};
use proptest::prelude::*;
use serde_json::{Value, json};

const SCOUT: AgentId = AgentId { index: 0, generation: 0 };
const READER: AgentId = AgentId { index: 1, generation: 3 };

fn names() -> Names {
    let mut names = Names::default();
    names.insert(SCOUT, "scout");
    names.insert(READER, "reader");
    names
}

fn record(at_us: u64, event: Event) -> Record {
    Record { number: 0, at_us, event }
}

#[test]
fn a_line_says_what_happened_by_name() {
    let agent = SCOUT;
    let (names, stranger) = (names(), AgentId { index: 7, generation: 2 });
    for (event, expected) in [
        (
            Event::Spawned { agent, parent: Some(READER), tokens: 9 },
            json!({"event": "spawned", "agent": "scout", "parent": "reader", "tokens": 9}),
        ),
        (
            Event::Token { agent, address: 9, token: 3, logit: 2.0, logprob: -0.5 },
            json!({"event": "token", "agent": "scout", "address": 9, "id": 3, "text": "é", "logprob": -0.5}),
        ),
        (
            Event::Sealed { agent, base: 0, tokens: 8 },
            json!({"event": "sealed", "agent": "scout", "base": 0, "tokens": 8}),
        ),
        (
            Event::Shared { agent, base: 8, tokens: 64 },
            json!({"event": "shared", "agent": "scout", "base": 8, "tokens": 64}),
        ),
        (
            Event::Relocated { agent, base: 8, tokens: 64 },
            json!({"event": "relocated", "agent": "scout", "base": 8, "tokens": 64}),
        ),
        (
            Event::Restored { agent, tokens: 9, computed: 8 },
            json!({"event": "restored", "agent": "scout", "tokens": 9, "computed": 8}),
        ),
        (Event::Preempted { agent }, json!({"event": "preempted", "agent": "scout"})),
        (
            Event::PagedOut { agent, pages: 2 },
            json!({"event": "paged", "agent": "scout", "direction": "out", "pages": 2}),
        ),
        (
            Event::PagedIn { agent, pages: 2 },
            json!({"event": "paged", "agent": "scout", "direction": "in", "pages": 2}),
        ),
        (
            Event::PageFault { agent, base: 96, tokens: 16 },
            json!({"event": "page_fault", "agent": "scout", "base": 96, "tokens": 16}),
        ),
        (
            Event::Replayed { agent, base: 320, tokens: 25 },
            json!({"event": "replayed", "agent": "scout", "base": 320, "tokens": 25}),
        ),
        (
            Event::Thrashing { working: 90, pages: 64 },
            json!({"event": "thrashing", "working": 90, "pages": 64}),
        ),
        (
            Event::Recalled { agent, tokens: 64, pages: 8, load_us: 300 },
            json!({"event": "recalled", "agent": "scout", "tokens": 64, "pages": 8, "load_us": 300}),
        ),
        (
            Event::RecallFailed { agent, tokens: 64, fault: StoreFault::Corrupt },
            json!({"event": "recall_failed", "agent": "scout", "tokens": 64, "reason": "corrupt"}),
        ),
        (Event::Stored { waiting: 3 }, json!({"event": "stored", "waiting": 3})),
        (
            Event::StoreFailed { fault: StoreFault::ReadOnly },
            json!({"event": "store_failed", "reason": "read-only"}),
        ),
        (Event::StoreSlow { slow: true }, json!({"event": "store_slow", "slow": true})),
        (
            Event::Message { from: None, to: stranger, tokens: 4 },
            json!({"event": "message", "from": null, "to": "7.2", "tokens": 4}),
        ),
        (
            Event::Finished { agent, finish: Finish::Length, generated: 5 },
            json!({"event": "finished", "agent": "scout", "reason": "length", "generated": 5, "form": "whole"}),
        ),
        (
            Event::Faulted { agent, fault: Fault::NotFinite },
            json!({"event": "faulted", "agent": "scout", "reason": "not-finite"}),
        ),
        (
            Event::Interrupt { vector: VectorId::Timer, agent: Some(agent), latency_us: 12 },
            json!({"event": "interrupt", "vector": "SIG_TIMER", "agent": "scout", "latency_us": 12}),
        ),
        (Event::Lost { count: 3 }, json!({"event": "lost", "count": 3})),
    ] {
        let mut expected = expected;
        expected["at_us"] = json!(77);
        let line = line(&record(77, event), &names, ("é", Some(Form::Whole))).expect("a line");
        let text = serde_json::to_string(&line).expect("JSON");
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
    }
    for event in [
        Event::State { agent, from: StateKind::New, to: StateKind::Ready },
        Event::StepBegun { step: 1, rows: 1, agents: 1 },
        Event::StepEnded { step: 1, good: true, kernel_us: 1 },
    ] {
        assert_eq!(line(&record(0, event), &names, ("", None)), None);
    }
    let refused = LineEvent::Refused { agent: "scout".into(), reason: "too long".to_owned() };
    let refused = serde_json::to_value(Line { at_us: 1, event: refused }).expect("JSON");
    assert_eq!(refused, json!({"at_us": 1, "event": "refused", "agent": "scout", "reason": "too long"}));
}

#[test]
fn the_summary_has_what_each_agent_used() {
    let metrics = Metrics {
        generated: 5,
        rows: 40,
        recomputed: 10,
        shared: 64,
        recalled: 32,
        relocated: 7,
        steps: 6,
        preemptions: 2,
        paged_out: 3,
        paged_in: 1,
        faults: 2,
        replays: 1,
        replayed: 9,
        choices: 4,
        returned: 3,
        covered_ppm: 3_000_000,
        first_token_us: 900,
        latency_us: 800,
        worst_latency_us: 900,
        ..Metrics::default()
    };
    let text =
        "[[agent]]\nname = \"scout\"\nprompt = \"x\"\npriority = 31\nmax_tokens = 48\nmax_seconds = 1\n";
    let team = parse(Path::new("team.toml"), text).expect("a team");
    let spec = team.spec(0, 10, 200, (Results::default(), 0)).expect("a spec");
    let sampler = Sampler::new(spec.sampling).expect("a sampler");
    let root = SliceHash::root(&[0; 32], KvType::F16, SliceLimits::DEFAULT);
    let mut rcb = Rcb::new(SCOUT, &Spec { priority: Priority::LOWEST, ..spec }, sampler, root, 0);
    (rcb.state, rcb.tokens, rcb.metrics) = (State::Stopped(Finish::Stop), 104, metrics);
    let (peak, depth) = (Tiers { l1: 10, l2: 3 }, 2);
    let mut member = Roster::new(&team, |_| 0, 4).members.remove(0);
    (member.peak, member.depth, member.form) = (peak, depth, Some(Form::Unfinished));
    let agent = AgentSummary::new(&team.agents[0], &rcb, 5_000, &member);
    (rcb.state, rcb.metrics) = (State::Ready, Metrics::default());
    let running = AgentSummary::new(&team.agents[0], &rcb, 0, &member);
    assert_eq!((running.reason, running.first_token_us, running.utilization), ("unfinished", None, 1.0));
    let tier = Tier { pages: 128, peak: 100 };
    let summary = Summary {
        agents: vec![agent],
        seed: 7,
        time_us: 5_500,
        device_us: 5_000,
        kernel_us: 40,
        generated: 5,
        steps: 6,
        rows: 40,
        l1: tier,
        l2: Tier { pages: 0, peak: 0 },
        utilization: 0.75,
        paging: PagingSummary {
            hits: TierHits { l1: 4, l2: 3, l3: 2, none: 1 },
            out_bytes: 3_000,
            in_bytes: 1_000,
            lacked: 1,
            lacked_p50_us: Some(80),
            lacked_p99_us: Some(80),
        },
        masks: Some(MaskSummary { steps: 4, later: 3, p50_percent: 0.5, p99_percent: 2.5 }),
        store: None,
    };
    let event = LineEvent::Summary(Box::new(summary));
    let line = serde_json::to_value(Line { at_us: 6_000, event }).expect("JSON");
    let mut expected = json!({
        "at_us": 6000, "event": "summary", "steps": 6, "rows": 40, "seed": 7,
        "time_us": 5500, "device_us": 5000, "kernel_us": 40, "generated": 5,
        "l1": {"pages": 128, "peak": 100}, "l2": {"pages": 0, "peak": 0},
        "agents": [{
            "name": "scout", "priority": 31, "reason": "stop", "form": "unfinished", "tokens": 104, "generated": 5,
            "first_token_us": 900, "latency_us": 800, "worst_latency_us": 900, "preemptions": 2,
            "recomputed": 10, "shared": 64, "recalled": 32, "relocated": 7, "l1_pages": 10, "l2_pages": 3, "paged_out": 3, "paged_in": 1,
            "faults": 2, "replays": 1, "replayed": 9, "returned": 3, "coverage": 0.75,
            "utilization": 0.75,
            "budget": {
                "tokens": 5, "max_tokens": 48, "steps": 6, "max_steps": null,
                "time_us": 5000, "max_time_us": 1000000
            }
        }]
    });
    // More keys than the macro takes at once.
    (expected["store"], expected["agents"][0]["depth"]) = (Value::Null, json!(2));
    expected["utilization"] = json!(0.75);
    expected["paging"] = json!({
        "hits": {"l1": 4, "l2": 3, "l3": 2, "none": 1}, "out_bytes": 3000, "in_bytes": 1000,
        "lacked": 1, "lacked_p50_us": 80, "lacked_p99_us": 80,
    });
    expected["masks"] = json!({"steps": 4, "later": 3, "p50_percent": 0.5, "p99_percent": 2.5});
    assert_eq!(line, expected);
}

/// The trace of these events and counts of pages, read back.
fn trace(events: &[(u64, Event)], pages: &[(u64, u32)]) -> Vec<Value> {
    let mut trace = Trace::new(Vec::new()).expect("written");
    for &(at_us, event) in events {
        trace.record(&record(at_us, event), &names()).expect("written");
    }
    for &(at_us, pages) in pages {
        trace.l1_pages(at_us, pages).expect("written");
    }
    let bytes = trace.finish().expect("written");
    let trace: Value = serde_json::from_slice(&bytes).expect("JSON");
    trace["traceEvents"].as_array().expect("events").clone()
}

fn is(event: &Value, ph: &str) -> bool {
    event["ph"] == ph
}

/// Times do not fall, spans open and close in turn on their track, and every track has one name.
fn check(events: &[Value]) {
    let mut last = 0;
    let mut open = std::collections::HashSet::new();
    let mut named = std::collections::HashSet::new();
    for event in events {
        let ts = event["ts"].as_u64().expect("a time");
        assert!(ts >= last, "{event} comes before {last}");
        last = ts;
        let track = (event["pid"].as_u64().expect("a group"), event["tid"].as_u64().expect("a track"));
        match event["ph"].as_str().expect("a kind") {
            "B" => assert!(open.insert(track) && named.contains(&track), "{event}"),
            "E" => assert!(open.remove(&track), "{event} ends nothing"),
            "M" if event["name"] == "thread_name" => assert!(named.insert(track), "{event} comes twice"),
            "M" => assert_eq!(event["name"], "process_name"),
            "i" => assert!(named.contains(&track), "{event} has no track"),
            "C" => assert!(event["args"].as_object().expect("a count").values().all(Value::is_u64)),
            other => panic!("{other}"),
        }
    }
    assert!(open.is_empty(), "{open:?} are still open");
}

#[test]
fn a_trace_has_a_track_for_everything_that_happens() {
    let agent = SCOUT;
    let events = trace(
        &[
            (0, Event::Booted { agents: 2, l1_pages: 128, l2_pages: 0 }),
            (5, Event::Spawned { agent, parent: None, tokens: 9 }),
            (6, Event::State { agent, from: StateKind::New, to: StateKind::Ready }),
            (10, Event::StepBegun { step: 1, rows: 9, agents: 1 }),
            (90, Event::StepEnded { step: 1, good: true, kernel_us: 4 }),
            (91, Event::Token { agent, address: 9, token: 3, logit: 2.0, logprob: -0.5 }),
            (92, Event::Interrupt { vector: VectorId::Timer, agent: Some(agent), latency_us: 12 }),
            (93, Event::Interrupt { vector: VectorId::Timer, agent: Some(agent), latency_us: 1 }),
            (94, Event::State { agent, from: StateKind::Running, to: StateKind::Stopped }),
            (94, Event::Finished { agent, finish: Finish::Stop, generated: 1 }),
            (95, Event::StepBegun { step: 2, rows: 1, agents: 1 }),
        ],
        &[(96, 4), (97, 4), (98, 5)],
    );
    check(&events);
    let names: Vec<&str> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["args"]["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["steps", "scout", "SIG_TIMER"]);
    let spans: Vec<(&str, u64)> = events
        .iter()
        .filter(|event| is(event, "B"))
        .map(|event| (event["name"].as_str().expect("a name"), event["ts"].as_u64().expect("a time")))
        .collect();
    assert_eq!(spans, [("waits for admission", 5), ("ready", 6), ("step", 10), ("step", 95)]);
    let counts = |name: &str| -> Vec<u64> {
        let all = events.iter().filter(|event| is(event, "C") && event["name"] == name);
        all.map(|event| event["args"][name].as_u64().expect("a count")).collect()
    };
    assert_eq!(counts("rows"), [9, 0, 1]);
    assert_eq!(counts("l1_pages"), [4, 5]);
}

#[test]
fn a_writer_that_fails_is_told() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = Trace::new(Full).err().expect("the writer fails");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

fn any_event() -> impl Strategy<Value = Event> {
    let agent = prop::sample::select(vec![SCOUT, READER, AgentId { index: 9, generation: 9 }]);
    let state = prop::sample::select(vec![
        StateKind::Ready,
        StateKind::Blocked,
        StateKind::Suspended,
        StateKind::Stopped,
        StateKind::Faulted,
    ]);
    (agent, state, 0u8..22).prop_map(|(agent, to, kind)| match kind {
        0 => Event::Spawned { agent, parent: None, tokens: 1 },
        1 | 2 => Event::State { agent, from: StateKind::Ready, to },
        3 => Event::Token { agent, address: 0, token: 0, logit: f32::NAN, logprob: f32::NEG_INFINITY },
        4 => Event::Sealed { agent, base: 0, tokens: 8 },
        5 => Event::Shared { agent, base: 0, tokens: 8 },
        6 => Event::Preempted { agent },
        7 => Event::PagedOut { agent, pages: 1 },
        8 => Event::Message { from: Some(agent), to: agent, tokens: 1 },
        9 => Event::Faulted { agent, fault: Fault::Device },
        10 => Event::Killed { agent },
        11 => Event::Interrupt { vector: VectorId::Shutdown, agent: None, latency_us: 0 },
        12 => Event::StepBegun { step: 1, rows: 1, agents: 1 },
        14 => Event::Relocated { agent, base: 0, tokens: 8 },
        15 => Event::Restored { agent, tokens: 1, computed: 0 },
        13 => Event::StepEnded { step: 1, good: false, kernel_us: 0 },
        17 => Event::ToolStarted { agent, number: 1, tool: ToolId(2), attempt: 1 },
        18 => {
            let (outcome, times) = (CallOutcome::TimedOut, CallTimes::default());
            Event::ToolOver { agent, number: 1, outcome, attempts: 1, times }
        }
        19 => {
            let (outcome, times) = (CallOutcome::Done, CallTimes::default());
            Event::ToolReturned { agent, number: 1, outcome, tokens: 9, times }
        }
        20 => Event::ToolResumed { agent, number: 1, times: CallTimes::default(), encode_us: 5 },
        21 => Event::ToolRestored { agent, number: 2, before: 1, tool: ToolId(2), again: false },
        _ => Event::Lost { count: 1 },
    })
}

proptest! {
    /// Whatever events are lost or come out of turn, what is written is a trace, wherever it is ended.
    #[test]
    fn a_trace_is_well_formed_whatever_comes(
        events in prop::collection::vec((0u64..50, any_event()), 0..40),
        pages in prop::collection::vec((0u64..90, 0u32..3), 0..4),
    ) {
        check(&trace(&events, &pages));
    }
}
