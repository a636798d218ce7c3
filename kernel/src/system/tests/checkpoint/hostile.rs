//! Checkpoints whose checksum is good and whose numbers are forged.

use super::*;
use crate::checkpoint::{AgentRecord, CallRecord, Header, MappingRecord, Pages, RECORD_BYTES};
use crate::interrupt::Urgency;
use crate::layout::Layout;
use crate::memory::relevance::{Attention, KEPT};
use crate::tool::{Effect, Request, ToolId};

const ATTENTION: Attention = Attention::of(&SHAPE);

const SCENE: Config = Config {
    attention: Some(ATTENTION),
    trained_context: 300,
    calls: 4,
    rows: 24,
    quantum_rows: 16,
    ..Config::new(16, 400, 120, 900)
}
.checked();

/// One that has computed a part of its prompt, and ends amid a slice.
const EXACT: u16 = 0;
/// One that has left out some of its slices.
const CHOSEN: u16 = 1;
/// One that has computed nothing.
const FRESH: u16 = 2;

/// A checkpoint, taken apart.
struct Saved {
    header: Header,
    agents: Vec<SavedAgent>,
}

struct SavedAgent {
    record: AgentRecord,
    /// Its tokens, its inbox and its queries.
    words: Vec<u8>,
    /// Each with its schema and its pages.
    mappings: Vec<(MappingRecord, Vec<u8>)>,
}

impl Saved {
    fn of(bytes: &[u8]) -> Saved {
        let mut rest = &bytes[MAGIC.len() + 2..bytes.len() - CHECKSUM_BYTES];
        let header: Header = take(&mut rest);
        let agents = (0..header.agents).map(|_| SavedAgent::of(&mut rest)).collect();
        assert!(rest.is_empty());
        Saved { header, agents }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &crate::checkpoint::VERSION.to_le_bytes()].concat();
        put(&mut bytes, &self.header);
        for agent in &self.agents {
            put(&mut bytes, &agent.record);
            bytes.extend_from_slice(&agent.words);
            for (record, pages) in &agent.mappings {
                put(&mut bytes, record);
                bytes.extend_from_slice(pages);
            }
        }
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }
}

impl SavedAgent {
    fn of(rest: &mut &[u8]) -> SavedAgent {
        let record: AgentRecord = take(rest);
        let queries = (record.queries as usize).min(KEPT) * ATTENTION.query_width();
        let words = cut(rest, 4 * ((record.tokens + record.inbox) as usize + queries));
        let mappings = (0..record.mapped + record.offers).map(|_| {
            let mapping: MappingRecord = take(rest);
            let schema = if mapping.schema > 0 { 4 * ATTENTION.key_width() } else { 0 };
            let image = match mapping.pages {
                Pages::Here => PACKING.image_bytes(),
                Pages::Packed => PACKING.packed_bytes(),
                Pages::Met { .. } => 0,
            };
            let pages = usize::from(mapping.computed).div_ceil(agentos_hal::PAGE_TOKENS);
            (mapping, cut(rest, schema + pages * image))
        });
        let mappings = mappings.collect();
        SavedAgent { record, words, mappings }
    }

    fn layout(&mut self) -> &mut Layout {
        &mut self.record.committed.layout
    }

    /// The first so many tokens become slices of `len` tokens, each of which has `computed` of them.
    fn cut_up(&mut self, slices: u32, len: u32, computed: u8) {
        let pages = u32::from(computed).div_ceil(8);
        let page =
            self.mappings[0].1[self.mappings[0].1.len() - PACKING.image_bytes()..].repeat(pages as usize);
        let sealed = Some(computed);
        let like = MappingRecord { schema: 0, sealed, computed, pages: Pages::Here, ..self.mappings[0].0 };
        self.mappings =
            (0..slices).map(|n| (MappingRecord { base: n * len, ..like }, page.clone())).collect();
        (self.record.mapped, self.record.state, self.record.committed.chain) = (slices, State::Ready, None);
        *self.layout() = Layout { tokens: slices * len, slices, pages: slices * pages, open: 0 };
    }

    /// The open slice has so many tokens.
    fn compute_open(&mut self, computed: u8) {
        let (record, pages) = self.mappings.last_mut().unwrap();
        (record.computed, record.sealed) = (computed, None);
        let page = pages[pages.len() - PACKING.image_bytes()..].to_vec();
        let schema = pages.len() % PACKING.image_bytes();
        pages.truncate(schema);
        pages.extend(page.repeat(usize::from(computed).div_ceil(8)));
        self.record.state = State::Ready;
    }
}

fn take<T: serde::de::DeserializeOwned>(rest: &mut &[u8]) -> T {
    let (record, behind) = postcard::take_from_bytes(rest).unwrap();
    *rest = behind;
    record
}

fn put(bytes: &mut Vec<u8>, record: &impl serde::Serialize) {
    bytes.extend_from_slice(postcard::to_slice(record, &mut [0; RECORD_BYTES]).unwrap());
}

fn cut(rest: &mut &[u8], count: usize) -> Vec<u8> {
    let (before, behind) = rest.split_at(count);
    *rest = behind;
    before.to_vec()
}

fn scene() -> Vec<u8> {
    let mut rig = Rig::new(SCENE);
    let exact = rig.spawn(&Spec { context: 280, ..spec(0, 50) }, &prompt(1, 200));
    let chosen = rig.spawn(&Spec { memory: BOUNDED, context: 400, ..spec(1, 50) }, &prompt(2, 330));
    let fresh = rig.spawn(&spec(2, 8), &prompt(7, 25));
    rig.call(&Call::Suspend(fresh)).unwrap();
    let open = |rig: &Rig, tag| rig.of_tag(tag).committed.layout.open;
    while rig.stat(exact).computed < 40 || open(&rig, 0) == 0 {
        let _ = rig.tick();
    }
    rig.call(&Call::Suspend(exact)).unwrap();
    while rig.stat(chosen).computed < 260 || open(&rig, 1).is_multiple_of(8) {
        let _ = rig.tick();
    }
    rig.save(None, Contents::Pages, 4096)
}

fn call_record() -> CallRecord {
    let effect = Effect::Repeatable;
    let request = Request { tool: ToolId(1), effect, timeout_us: 1000, attempts: 1, urgency: Urgency::Low };
    CallRecord { number: 1, request, over: None }
}

/// What is forged, of which agent, and how.
type Forged = (&'static str, u16, fn(&mut SavedAgent));

const FORGED: &[Forged] = &[
    ("fewer pages than its tokens take", CHOSEN, |agent| agent.layout().pages = 0),
    ("more pages than it was promised", CHOSEN, |agent| agent.layout().pages = u32::MAX),
    ("tokens of its turn", CHOSEN, |agent| agent.record.turn_tokens = u32::MAX),
    ("choices", CHOSEN, |agent| agent.record.choices = u32::MAX),
    ("queries", CHOSEN, |agent| agent.record.queries = u32::MAX),
    ("a slice that a choice to come has selected", CHOSEN, |agent| {
        let left_out = agent.mappings.iter_mut().find(|(mapping, _)| !mapping.selected);
        left_out.unwrap().0.chosen = agent.record.choices + 2;
    }),
    ("a slice that grows behind the cursor", CHOSEN, |agent| {
        let mapping = &mut agent.mappings[1].0;
        mapping.sealed = Some(mapping.computed + 1);
    }),
    ("another end of a slice that was there before", CHOSEN, |agent| {
        let equal = |entry: usize| {
            let computed = agent.mappings[entry].0.computed;
            (0..entry).find(|&before| agent.mappings[before].0.computed == computed)
        };
        let (entry, before) = (0..).find_map(|entry| Some((entry, equal(entry)?))).unwrap();
        let pages = Pages::Met { agent: CHOSEN, entry: before as u32 };
        let record = MappingRecord { sealed: None, schema: 0, pages, ..agent.mappings[entry].0 };
        agent.mappings[entry] = (record, Vec::new());
    }),
    ("slices of a token", EXACT, |agent| agent.cut_up(SCENE.slices_per_agent(), 1, 1)),
    ("slices of a token, ended by others that were sent", EXACT, |agent| {
        agent.cut_up(SCENE.slices_per_agent(), 1, 1);
        agent.record.received = Received { runs: 50, slices: 50, tokens: 50, pages: 50 };
    }),
    ("slices with pages to spare", EXACT, |agent| agent.cut_up(8, 8, 64)),
    ("more tokens sent than slices hold", EXACT, |agent| {
        agent.record.received = Received { runs: 1, slices: 1, tokens: 65, pages: 8 };
    }),
    ("tokens behind the end of the open slice", EXACT, |agent| agent.compute_open(64)),
    ("another end of the open slice", EXACT, |agent| {
        agent.mappings.last_mut().unwrap().0.sealed = Some(63);
    }),
    ("a call of one that was not admitted", FRESH, |agent| {
        agent.record.admitted = false;
        agent.record.state = State::Blocked(BlockedOn::Tool);
        agent.record.calls.push(call_record()).unwrap();
    }),
];

#[test]
fn no_forged_number_is_believed() {
    let good = scene();
    assert_eq!(Saved::of(&good).bytes(), good);
    for (what, agent, forge) in FORGED {
        let mut saved = Saved::of(&good);
        forge(&mut saved.agents[usize::from(*agent)]);
        let mut rig = Rig::new(SCENE);
        let refusal = rig.restore(&saved.bytes());
        assert!(matches!(refusal, Err(CheckpointError::Damaged { at: Some(_) })), "{what}: {refusal:?}");
        assert_eq!(rig.kernel.agents().count(), 0, "{what}");
        assert_eq!(rig.restore(&good), Ok(3), "{what}");
        rig.run();
    }
}

#[test]
fn an_exact_context_is_no_longer_than_the_model_was_trained_for() {
    let mut saved = Saved::of(&scene());
    saved.agents[usize::from(EXACT)].record.spec.context = 301;
    let refusal = Rig::new(SCENE).restore(&saved.bytes());
    let what = "tokens of context";
    assert_eq!(refusal, Err(CheckpointError::TooLarge { agent: EXACT, what, found: 301, fits: 300 }));
}
