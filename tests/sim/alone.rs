//! What an agent must have said: computed again without a scheduler, a pager or a neighbour.

use agentos_desktop::boot::Boot;
use agentos_hal::{Limits, PageId, TensorDevice};
use agentos_kernel::agent::{
    Admission, BlockedOn, Budget, OnEnd, Persist, Priority, Receive, Spec, State, Watchdog,
};
use agentos_kernel::call::{Call, Reply, Tokens};
use agentos_kernel::event::Event;
use agentos_kernel::pool::PagePool;
use agentos_kernel::sample::{Sampler, Weighed};
use agentos_kernel::sequence::{
    Sequence, SequenceTables, TableSizes, Tick, VACANT_CANDIDATE, VACANT_ROW, VACANT_SLICE,
};
use agentos_kernel::system::{self, Config, Devices};
use agentos_reference::Reference;

use crate::clock::SimClock;
use crate::life::Life;
use crate::setup::Setup;
use crate::tiny::{self, Given, SHAPE, Tiny};

/// Bytes that a simulated device may take.
pub const DEVICE_BYTES: u64 = 1 << 24;

/// Compares every token and logit of an agent with what its context gives alone. Returns how many.
pub fn check(setup: &Setup, model: &Tiny, life: &Life) -> Result<usize, String> {
    if !life.bounded() {
        exact(setup, model, life)
    } else if life.pinned || life.unseen || life.packed() && setup.config.attention.is_some() {
        // What is pinned is kept, so what such an agent sees is not its context's doing alone; what is packed
        // and comes back is not what it was; and without all of its answers nobody knows where its turns end.
        Ok(0)
    } else {
        bounded(setup, model, life)
    }
}

fn compare(life: &Life, address: u32, found: Given) -> Result<(), String> {
    let said = life.given.get(&address);
    if said == Some(&found) {
        return Ok(());
    }
    Err(format!("agent {} said {said:x?} at {address}; alone it says {found:x?}", life.id))
}

/// An exact agent is one sequence on a device of its own.
fn exact(setup: &Setup, model: &Tiny, life: &Life) -> Result<usize, String> {
    let limits = setup.alone();
    let mut device = Reference::new(DEVICE_BYTES);
    model.prepare(&mut device, &limits);
    let sampler = Sampler::new(life.spec.sampling).map_err(|error| error.to_string())?;
    let mut tables = Tables::new(&limits);
    let delimiters = tiny::delimiters();
    let mut pool = PagePool::new(&mut tables.free);
    let lent = SequenceTables {
        tokens: &mut tables.tokens,
        slices: &mut tables.slices,
        pages: &mut tables.pages,
        rows: &mut tables.rows,
        candidates: &mut tables.candidates,
        weighed: &mut tables.weighed,
    };
    let mut sequence = Sequence::new(lent, &delimiters, setup.config.slice_limits, &limits)
        .map_err(|error| error.to_string())?;
    let mut pushed = 0;
    for &address in life.given.keys() {
        sequence
            .push(&life.text[pushed..address as usize], &mut pool)
            .map_err(|error| format!("agent {} alone: {error}", life.id))?;
        pushed = address as usize;
        finish(&mut sequence, &mut device);
        let choice = sequence.choose(&sampler).ok_or("a sequence that is computed has candidates")?;
        compare(life, address, (choice.token, choice.logit.to_bits()))?;
    }
    Ok(life.given.len())
}

fn finish(sequence: &mut Sequence<'_>, device: &mut dyn TensorDevice) {
    while sequence.tick(device).expect("nothing goes wrong") != Tick::Idle {}
}

/// What a sequence borrows.
struct Tables {
    tokens: Vec<u32>,
    slices: Vec<agentos_hal::Segment>,
    pages: Vec<PageId>,
    rows: Vec<agentos_hal::Row>,
    candidates: Vec<agentos_hal::Candidate>,
    weighed: Vec<Weighed>,
    free: Vec<PageId>,
}

impl Tables {
    fn new(limits: &Limits) -> Tables {
        let sizes = TableSizes::new(limits, limits.rows);
        Tables {
            tokens: vec![0; sizes.tokens],
            slices: vec![VACANT_SLICE; limits.segments as usize],
            pages: vec![PageId(0); limits.segment_pages as usize],
            rows: vec![VACANT_ROW; sizes.rows],
            candidates: vec![VACANT_CANDIDATE; sizes.candidates],
            weighed: vec![Weighed::default(); sizes.candidates],
            free: vec![PageId(0); limits.pages as usize],
        }
    }
}

/// A bounded agent is the only one of a kernel with memory for all of it. Its answers are as long as they
/// were, and its messages come between them.
fn bounded(setup: &Setup, model: &Tiny, life: &Life) -> Result<usize, String> {
    let Config { context, slice_limits, candidates, kv, relevance_layer, .. } = setup.config;
    let Config { attention, paging, trained_context, .. } = setup.config;
    let pages = slice_limits.worst_pages(context) + 100;
    let usual = Config { slice_limits, ..Config::new(1, context, pages, 200) };
    let slices = usual.slices_per_agent();
    let config =
        Config { segments: slices, segment_pages: pages, candidates, kv, relevance_layer, rows: 7, ..usual };
    let config = Config { attention, paging, trained_context, ..config }.checked();
    let mut device = Reference::new(DEVICE_BYTES);
    model.prepare(&mut device, &config.device_limits(&SHAPE));
    let mut boot = Boot::new(config, &SHAPE, tiny::delimiters(), Vec::new());
    let mut kernel = boot.kernel(&[0; 32]).map_err(|error| error.to_string())?;
    let clock = SimClock::default();
    let (mut turns, mut at) = (turns(life).into_iter(), 0);
    let Some((prompt, answer)) = turns.next() else { return Ok(0) };
    let budget = |turn_tokens| Budget { turn_tokens, ..Budget::UNBOUNDED };
    let spec = Spec {
        priority: Priority::NORMAL,
        admission: Admission::Refuse,
        budget: budget(answer),
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Listen,
        receive: Receive::Copied,
        guarded: false,
        persist: Persist::Nothing,
        packed: false,
        ..life.spec
    };
    let spawned = kernel.call(None, &Call::Spawn(spec, Tokens(&bytes(&prompt))), clock.micros());
    let Ok(Reply::Agent(agent)) = spawned else { return Err(format!("alone it is refused: {spawned:?}")) };
    loop {
        while kernel.tick(&mut Devices {
            tensor: &mut device,
            clock: &clock,
            tools: &mut agentos_kernel::tool::NoTools,
            guard: &mut agentos_kernel::guard::Unguarded,
            store: &mut agentos_hal::NoStore,
        }) != system::Tick::Idle
        {}
        while let Some(record) = kernel.next_event() {
            if let Event::Token { address, token, logit, .. } = record.event {
                compare(life, address, (token, logit.to_bits()))?;
                at += 1;
            }
        }
        let Some((message, answer)) = turns.next() else { break };
        let listens = kernel.agents().any(|rcb| rcb.state == State::Blocked(BlockedOn::Message));
        if !listens {
            return Err(format!("agent {} does not listen when it is alone", life.id));
        }
        for call in [Call::SetBudget(agent, budget(answer)), Call::Send(agent, Tokens(&bytes(&message)))] {
            kernel.call(None, &call, clock.micros()).map_err(|error| error.to_string())?;
        }
    }
    if at == life.given.len() { Ok(at) } else { Err(format!("agent {} says {at} tokens alone", life.id)) }
}

/// What an agent read and how many tokens it answered, again and again.
fn turns(life: &Life) -> Vec<(Vec<u32>, u32)> {
    let mut turns: Vec<(Vec<u32>, u32)> = Vec::new();
    let mut read = life.text.len().min(life.prompt.len()) as u32;
    let mut heard = life.prompt.clone();
    for &address in life.given.keys() {
        heard.extend_from_slice(&life.text[read as usize..address as usize]);
        match turns.last_mut() {
            Some((_, answered)) if heard.is_empty() => *answered += 1,
            _ => turns.push((std::mem::take(&mut heard), 1)),
        }
        read = address + 1;
    }
    turns
}

pub fn bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}
