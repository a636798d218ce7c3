//! The kernel on a device without arithmetic: what agents see is hashed, so whatever is computed
//! wrongly, twice, or not at all shows in their tokens.

use std::boxed::Box;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use agentos_hal::{DeviceError, Instant, PageError, PageId, Segment, Span};
use proptest::prelude::*;

use super::storage::{VACANT_RIDER, VACANT_ROW};
use super::*;
use crate::agent::*;
use crate::call::{Call, CallError, Reply, Stat, Tokens};
use crate::event::VACANT_RECORD;
use crate::fake::{FakeDevice, Hitch, SHAPE, VOCAB};
use crate::fake_store::FakeStore;
use crate::layout::{Delimiter, SliceLimits};
use crate::memory::index::VACANT_SLOT;
use crate::memory::pack::Packing;
use crate::memory::slices::VACANT_SLICE;
use crate::memory::table::VACANT_MAPPING;
use crate::sample::{Sampling, Weighed};
use crate::sched::ready::VACANT_LINK;

mod checkpoint;
mod cold;
mod crowd;
mod device;
mod forget;
mod found;
mod guards;
mod messages;
mod moving;
mod paging;
mod pause;
mod tools;

const PACKING: Packing = Packing::of(&SHAPE, agentos_hal::KvType::F16);

/// The token that ends an answer.
const END: u32 = VOCAB - 1;

struct TestClock(Cell<u64>);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.0.set(self.0.get() + 3);
        Instant { micros: self.0.get() }
    }
}

impl embedded_hal::delay::DelayNs for TestClock {
    fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + u64::from(ns / 1000));
    }
}

struct Rig {
    kernel: Kernel<'static>,
    device: FakeDevice,
    clock: TestClock,
    texts: BTreeMap<u64, Vec<u32>>,
    ends: BTreeMap<u64, Finish>,
    tags: BTreeMap<(u16, u32), u64>,
    events: Vec<Event>,
    bus: tools::Bench,
    guard: guards::Form,
    store: FakeStore,
}

const CONFIG: Config = Config {
    rows: 24,
    candidates: 3,
    quantum_rows: 16,
    moves_per_tick: 7,
    events: 512,
    ..Config::new(16, 300, 64, 600)
}
.checked();

fn delimiters() -> Vec<Delimiter> {
    let of = |token: u32| match token % 11 {
        0 => Delimiter::Sentence,
        7 if token.is_multiple_of(2) => Delimiter::Line,
        _ => Delimiter::None,
    };
    (0..VOCAB).map(of).collect()
}

fn leak<T: Clone>(value: T, count: usize) -> &'static mut [T] {
    Box::leak(vec![value; count].into_boxed_slice())
}

impl Rig {
    fn new(config: Config) -> Rig {
        let sizes = Sizes::of(&config);
        let storage = Storage {
            agents: leak(Slot::default(), sizes.agents),
            tokens: leak(0, sizes.tokens),
            inbox: leak(0, sizes.inbox),
            mappings: leak(VACANT_MAPPING, sizes.mappings),
            links: leak(VACANT_LINK, sizes.agents),
            slices: leak(VACANT_SLICE, sizes.slices),
            index: leak(VACANT_SLOT, sizes.index),
            pages: leak(PageId(0), sizes.pages),
            frames: leak(0, sizes.frames),
            arena: leak(0, config.arena_bytes(&PACKING)),
            image: leak(0, config.image_bytes(&PACKING)),
            rows: leak(VACANT_ROW, sizes.rows),
            spans: leak(Span { rows: 0, segments: 0 }, sizes.spans),
            riders: leak(VACANT_RIDER, sizes.spans),
            segments: leak(Segment { base: 0, len: 0 }, sizes.segments),
            segment_pages: leak(PageId(0), sizes.segment_pages),
            weighed: leak(Weighed::default(), sizes.weighed),
            events: leak(VACANT_RECORD, sizes.events),
            calls: leak(None, sizes.calls),
            masks: leak(0, sizes.masks),
            schemas: leak(0.0, sizes.schemas),
            queries: leak(0.0, sizes.queries),
            scratch: leak(0.0, sizes.scratch),
            interrupts: Box::leak(Box::new(Interrupts::new())),
        };
        let vocabulary = Vocabulary {
            delimiters: Box::leak(delimiters().into_boxed_slice()),
            ends: Box::leak(Box::new([END])),
        };
        let kernel = Kernel::new(config, storage, vocabulary, &[7; 32], PACKING).unwrap();
        Rig {
            kernel,
            device: FakeDevice::new(config.device_limits(&SHAPE)),
            clock: TestClock(Cell::new(0)),
            texts: BTreeMap::new(),
            ends: BTreeMap::new(),
            tags: BTreeMap::new(),
            events: Vec::new(),
            bus: tools::Bench::default(),
            guard: guards::Form::default(),
            store: FakeStore::default(),
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, CallError> {
        let reply = self.kernel.call(None, call, self.clock.0.get());
        if let (Ok(Reply::Agent(id)), Call::Spawn(spec, _) | Call::Fork(_, spec)) = (reply, call) {
            self.tags.insert((id.index, id.generation), spec.tag);
        }
        self.drain();
        reply
    }

    fn spawn(&mut self, spec: &Spec, prompt: &[u32]) -> AgentId {
        let Ok(Reply::Agent(id)) = self.try_spawn(spec, prompt) else { panic!("not spawned") };
        id
    }

    fn try_spawn(&mut self, spec: &Spec, prompt: &[u32]) -> Result<Reply, CallError> {
        self.call(&Call::Spawn(*spec, Tokens(&bytes(prompt))))
    }

    fn stat(&mut self, agent: AgentId) -> Stat {
        let Ok(Reply::Stat(stat)) = self.call(&Call::Stat(agent)) else { panic!("no such agent") };
        stat
    }

    fn tick(&mut self) -> Tick {
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut self.device,
            clock: &self.clock,
            tools: &mut self.bus,
            guard: &mut self.guard,
            store: &mut self.store,
        });
        self.drain();
        self.kernel.audit().unwrap();
        tick
    }

    fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            let _ = self.tick();
        }
    }

    fn drain(&mut self) {
        while let Some(record) = self.kernel.next_event() {
            let tag = |id: AgentId| self.tags.get(&(id.index, id.generation)).copied().unwrap_or(u64::MAX);
            match record.event {
                Event::Token { agent, token, .. } => self.texts.entry(tag(agent)).or_default().push(token),
                Event::Finished { agent, finish, .. } => drop(self.ends.insert(tag(agent), finish)),
                Event::Lost { count } => panic!("{count} events lost"),
                _ => (),
            }
            self.events.push(record.event);
        }
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            match self.tick() {
                Tick::Idle | Tick::Halted => return,
                Tick::DeviceLost => {
                    self.device.forget();
                    self.kernel.device_restored();
                }
                _ => (),
            }
        }
        panic!(
            "still not done: {:?}",
            self.kernel.agents().map(|rcb| (rcb.id, rcb.state)).collect::<Vec<_>>()
        );
    }
}

fn bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

fn spec(tag: u64, tokens: u32) -> Spec {
    Spec {
        priority: Priority::NORMAL,
        context: 250,
        memory: MemoryMode::Exact,
        admission: Admission::Wait,
        sampling: Sampling { temperature: 0.7, seed: tag, ..Sampling::GREEDY },
        budget: Budget { turn_tokens: tokens, ..Budget::UNBOUNDED },
        capabilities: Capabilities::ALL,
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Stop,
        receive: Receive::Copied,
        guarded: false,
        persist: Persist::Nothing,
        packed: false,
        tag,
    }
}

fn prompt(seed: u32, len: u32) -> Vec<u32> {
    (0..len).map(|n| (seed.wrapping_mul(2654435761).wrapping_add(n * n * 31 + n * 7)) % (VOCAB - 1)).collect()
}

/// What an agent says with the machine to itself.
fn alone(spec: &Spec, prompt: &[u32]) -> Vec<u32> {
    let mut rig = Rig::new(Config { rows: 1, ..Config::new(1, 300, 600, 40) });
    rig.spawn(spec, prompt);
    rig.run();
    rig.texts.remove(&spec.tag).unwrap_or_default()
}

#[test]
fn one_agent_says_what_one_sequence_says() {
    let mut rig = Rig::new(CONFIG);
    let spec = spec(1, 50);
    rig.spawn(&spec, &prompt(3, 70));
    rig.run();
    assert_eq!(rig.texts[&1], alone(&spec, &prompt(3, 70)));
    assert!(rig.texts[&1].len() == 50 || rig.ends[&1] == Finish::Stop);
}

#[test]
fn overcommitted_agents_all_finish_as_if_alone() {
    let mut rig = Rig::new(CONFIG);
    let specs: Vec<Spec> = (0..12).map(|tag| Spec { context: 200, ..spec(tag, 80) }).collect();
    for spec in &specs {
        rig.spawn(spec, &prompt(spec.tag as u32, 100));
    }
    rig.run();
    for spec in &specs {
        assert_eq!(rig.texts[&spec.tag], alone(spec, &prompt(spec.tag as u32, 100)), "agent {}", spec.tag);
    }
    let paged: u64 = rig.kernel.agents().map(|rcb| rcb.metrics.paged_in).sum();
    assert!(paged > 0, "twelve agents of 200 tokens do not fit 64 pages");
    let waited = rig.kernel.page_in_latencies();
    assert!(waited.count() > 0 && waited.quantile_us(0.5) <= waited.quantile_us(0.99));
    assert!(rig.kernel.agents().all(|rcb| rcb.metrics.recomputed == 0));
}

#[test]
fn equal_prefixes_are_computed_once() {
    let mut rig = Rig::new(Config { rows: 64, ..Config::new(8, 300, 400, 40) });
    let common = prompt(9, 120);
    for tag in 0..4 {
        let mut own = common.clone();
        own.extend(prompt(tag + 20, 20));
        rig.spawn(&spec(u64::from(tag), 10), &own);
    }
    rig.run();
    let rows: u64 = rig.kernel.agents().map(|rcb| rcb.metrics.rows).sum();
    let shared: u64 = rig.kernel.agents().map(|rcb| rcb.metrics.shared).sum();
    assert!(rows < 120 + 4 * (20 + 64 + 10), "{rows} rows");
    assert!(shared > 3 * 50, "{shared} tokens shared");
    for tag in 0..4 {
        let mut own = common.clone();
        own.extend(prompt(tag + 20, 20));
        assert_eq!(rig.texts[&u64::from(tag)], alone(&spec(u64::from(tag), 10), &own));
    }
}

/// One that reads and says nothing.
fn reader(tag: u64) -> Spec {
    let budget = Budget { turn_tokens: 0, ..Budget::UNBOUNDED };
    Spec { budget, on_end: OnEnd::Listen, ..spec(tag, 0) }
}

/// Whoever reads it, in whatever steps, beside whom, and however often: the density of a slice is the slice's.
#[test]
fn a_slice_is_as_dense_whoever_reads_it() {
    let text = prompt(9, 150);
    let densities = |rig: &Rig, agent| rig.kernel.densities(agent).collect::<Vec<_>>();
    let alone = {
        let mut rig = Rig::new(Config { rows: 1, ..Config::new(2, 300, 600, 40) });
        let agent = rig.spawn(&reader(1), &text);
        rig.run();
        densities(&rig, agent)
    };
    assert!(alone.iter().all(|(_, density)| density.is_some_and(|density| density > 0.0 && density < 1.0)));
    assert!(alone.windows(2).all(|pair| pair[0].0.end == pair[1].0.start && pair[0].1 != pair[1].1));
    assert_eq!(alone.last().unwrap().0.end, 150);
    let mut rig = Rig::new(CONFIG);
    // A loss in between, an agent that reads the same, and others that need its pages.
    for tag in 0..6 {
        rig.spawn(&spec(tag, 40), &prompt(tag as u32, 150));
    }
    let (one, other) = (rig.spawn(&reader(10), &text), rig.spawn(&reader(11), &text));
    while rig.stat(one).computed < 60 {
        let _ = rig.tick();
    }
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    assert!(rig.stat(one).metrics.recomputed > 0, "it was lost");
    assert_eq!(densities(&rig, one), alone);
    assert_eq!(densities(&rig, other), alone);
    assert!(rig.stat(other).metrics.shared > 0, "it was computed once");
    rig.call(&Call::Kill(one)).unwrap();
    assert_eq!(densities(&rig, one), []);
}

#[test]
fn a_fork_copies_nothing_and_goes_its_own_way() {
    let mut rig = Rig::new(Config::new(8, 300, 400, 40));
    let parent = rig.spawn(&spec(1, 60), &prompt(5, 90));
    for _ in 0..60 {
        let _ = rig.tick();
    }
    let before = rig.kernel.pager.free();
    let told = rig.kernel.tokens(parent).to_vec();
    let Ok(Reply::Agent(child)) = rig.call(&Call::Fork(parent, spec(2, 30))) else { panic!() };
    assert_eq!(rig.kernel.pager.free(), before);
    assert_eq!(rig.kernel.tokens(child), told);
    rig.run();
    assert_eq!(rig.texts[&1], alone(&spec(1, 60), &prompt(5, 90)));
    assert_eq!(rig.texts[&2], alone(&spec(2, 30), &told));
    assert_eq!(rig.stat(child).metrics.recomputed, 0);
}

#[test]
fn the_urgent_go_first_and_cost_the_others_nothing() {
    let mut rig = Rig::new(CONFIG);
    for tag in 0..6 {
        rig.spawn(&Spec { priority: Priority::LOWEST, ..spec(tag, 20) }, &prompt(tag as u32, 150));
    }
    for _ in 0..8 {
        let _ = rig.tick();
    }
    rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(99, 1) }, &prompt(50, 20));
    let step = rig.kernel.figures().steps;
    while !rig.ends.contains_key(&99) {
        let _ = rig.tick();
    }
    assert!(rig.kernel.figures().steps <= step + 2, "its first token came in its own first step");
    rig.run();
    for tag in 0..6 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 20), &prompt(tag as u32, 150)));
    }
    assert!(rig.kernel.agents().all(|rcb| rcb.metrics.recomputed == 0));
}

#[test]
fn a_bounded_agent_sees_what_its_quota_says_whoever_is_beside_it() {
    let memory = MemoryMode::Bounded { pages: 24, packed: false };
    let bounded = Spec { memory, context: 300, ..spec(1, 60) };
    let reference = alone(&bounded, &prompt(4, 220));
    let exact = alone(&Spec { context: 300, ..spec(1, 60) }, &prompt(4, 220));
    assert_ne!(reference, exact, "what was left out of the context matters");
    let mut rig = Rig::new(CONFIG);
    rig.spawn(&bounded, &prompt(4, 220));
    for tag in 2..8 {
        rig.spawn(&Spec { context: 160, ..spec(tag, 30) }, &prompt(tag as u32, 100));
    }
    rig.run();
    assert_eq!(rig.texts[&1], reference);
}

#[test]
fn messages_wait_for_the_end_of_an_answer() {
    let mut rig = Rig::new(CONFIG);
    let agent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 10) }, &prompt(1, 20));
    let _ = rig.tick();
    rig.call(&Call::Send(agent, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    rig.run();
    let told = rig.kernel.tokens(agent).to_vec();
    assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Message));
    let first = alone(&spec(1, 10), &prompt(1, 20));
    let mut second = [prompt(1, 20), first.clone(), vec![5, 6, 7]].concat();
    assert_eq!(told[..second.len()], second);
    second.truncate(20 + first.len() + 3);
    assert_eq!(rig.texts[&1][first.len()..], alone(&spec(1, 10), &second));
}

#[test]
fn whoever_waits_lends_its_priority() {
    let mut rig = Rig::new(CONFIG);
    let low = rig.spawn(&Spec { priority: Priority::LOWEST, ..spec(1, 40) }, &prompt(1, 20));
    let high = rig.spawn(&Spec { priority: Priority::HIGHEST, ..spec(2, 5) }, &prompt(2, 20));
    rig.call(&Call::Wait(high, low)).unwrap();
    assert_eq!(rig.stat(low).effective, Priority::HIGHEST);
    assert_eq!(rig.call(&Call::Wait(low, high)), Err(CallError::Cycle { waiting: high }));
    rig.run();
    assert_eq!((rig.texts[&1].len(), rig.texts[&2].len()), (40, 5));
    assert_eq!(rig.texts[&2], alone(&spec(2, 5), &prompt(2, 20)));
}

#[test]
fn a_circle_of_waits_is_found_however_many_ways_lead_round() {
    let mut rig = Rig::new(CONFIG);
    let agents: Vec<AgentId> =
        (0..16).map(|tag| rig.spawn(&Spec { context: 40, ..spec(tag, 4) }, &[3])).collect();
    // Each waits for the four after it: the ways from the first to the last are some hundred thousands.
    for (index, &agent) in agents.iter().enumerate() {
        for &other in agents[index + 1..].iter().take(4) {
            rig.call(&Call::Wait(agent, other)).unwrap();
        }
    }
    assert_eq!(rig.call(&Call::Wait(agents[15], agents[0])), Err(CallError::Cycle { waiting: agents[0] }));
    rig.run();
    assert_eq!(rig.ends.len(), 16);
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let mut rig = Rig::new(CONFIG);
    let refuse = |context| Spec { admission: Admission::Refuse, context, ..spec(1, 5) };
    assert!(matches!(rig.try_spawn(&refuse(301), &[1]), Err(CallError::Context { most: 300, .. })));
    assert!(matches!(rig.try_spawn(&refuse(300), &[]), Err(CallError::Empty)));
    assert!(matches!(rig.try_spawn(&refuse(300), &[VOCAB]), Err(CallError::Token { index: 0, .. })));
    let error = rig.try_spawn(&refuse(300), &[1]).unwrap_err();
    assert!(matches!(error, CallError::Unfit(crate::memory::admit::Unfit::Never { .. })), "{error}");
    assert_eq!(rig.kernel.agents().count(), 0);
}
