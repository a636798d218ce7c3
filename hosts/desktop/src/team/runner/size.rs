//! How much memory a team's kernel gets: what its file says, or else what suits it.

use agentos_hal::page::{PAGE_TOKENS, image_bytes};
use agentos_hal::{KvType, ModelShape};
use agentos_kernel::agent::{MOST_CALLS, MemoryMode, Spec};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::admit::{Capacity, Demand, LEAST_BOUNDED, Promise, SPARE_PAGES, Unfit, admit};
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::Config;
use agentos_kernel::system::config::MOST_MASKS;

use super::plan::{Plan, Sent};
use crate::team::{Memory, Problem, Team, TeamError};

/// Page memory where the file does not say: as much as all agents need at once, and no more than this
/// many tokens, but always what the largest agent needs.
pub const DEFAULT_L1_TOKENS: u32 = 8192;

/// The arena where the file does not say: as much as all agents need besides page memory, and no more
/// than this many bytes, but always what the largest agent needs.
pub const DEFAULT_L2_BYTES: u64 = 512 << 20;

/// Pages of the arena: more have no names, and nobody has the memory.
const MOST_PAGES: u32 = 1 << 26;

/// Slices that agents may map while they are in the store alone: contexts of 100,000 tokens and more.
const COLD_SLICES: u32 = 4096;

/// Candidates per row where no agent asks for more: sampling never looks beyond them.
const CANDIDATES: u32 = 64;

/// The sizes of a kernel for a team. Its bounded agents are paged by the attention of this layer.
///
/// # Errors
/// [`Problem::Unfit`]: an agent would not fit even alone.
pub fn config(
    team: &Team,
    plan: &Plan,
    (shape, kv): (&ModelShape, KvType),
    relevance_layer: u32,
) -> Result<Config, TeamError> {
    let demands: Vec<Demand> = plan.agents.iter().map(|agent| demand(&agent.spec)).collect();
    let bytes = PageBytes::of(shape, kv);
    let tiers = tiers(team.memory, &demands, bytes);
    for (agent, &demand) in team.agents.iter().zip(&demands) {
        fits(demand, tiers).map_err(|unfit| {
            let remedy = remedy(demand, tiers, unfit, bytes);
            team.error(agent.context_place, Problem::Unfit { name: agent.name.clone(), unfit, remedy })
        })?;
    }
    let tiers = tiers.beside(read_of(plan), team.memory);
    let reads = tokens_within(read_of(plan), tiers.l1);
    let longest = plan.agents.iter().map(|agent| agent.spec.context.saturating_add(agent.slack));
    let longest = longest.max().unwrap_or(1);
    let bounded = demands.iter().any(|demand| matches!(demand.memory, MemoryMode::Bounded { .. }));
    let longest = if bounded { longest } else { longest.min(plan.model_context) }.max(reads);
    let pins = plan.agents.iter().map(|agent| agent.spec.budget.pinned_pages).sum();
    // Passages are sent to one agent at a time. Who sends them has room of its own, so that nobody's is taken.
    let sent = plan.agents.iter().filter_map(|agent| agent.sent).fold(Sent::default(), Sent::most);
    let tiers = TierPages { l2: tiers.l2.saturating_add(sent.pages), ..tiers };
    // So has who reads long results.
    let others = sent.senders.saturating_add(u16::from(reads > 0));
    let sizes = sizes((demands.len() as u16).saturating_add(others), longest, tiers, pins, kv);
    let sizes = match bounded {
        true => sizes.with_relevance(shape, relevance_layer),
        // What a text holds is counted in the layer that tells it.
        false if reads > 0 => Config { relevance_layer, ..sizes },
        false => sizes,
    };
    // Answers go from one to the other as openings.
    let inbox = plan.spoken.saturating_add(sent.tokens).max(1);
    let (step_ms, quantum) = (team.schedule.step_ms, team.schedule.quantum);
    let guarded = plan.agents.iter().filter(|agent| agent.spec.guarded).count();
    let open = |agent: &super::Planned| {
        u32::from(agent.spec.guarded) * agent.spec.budget.calls.min(MOST_CALLS as u32)
    };
    let masks = guarded.min(MOST_MASKS) as u32;
    Ok(Config {
        // One that is beyond the budget is opened too, to be answered.
        calls: plan.agents.iter().map(|agent| open(agent) + u32::from(agent.spec.guarded)).sum(),
        cold_slices: if team.store.is_some() || team.has_knowledge() { COLD_SLICES } else { 0 },
        inbox,
        masks,
        mask_words: if masks > 0 { shape.mask_words() as u32 } else { 0 },
        candidates: plan
            .agents
            .iter()
            .map(|agent| agent.spec.sampling.top_k)
            .fold(sizes.candidates, u32::max),
        step_target_us: step_ms.map_or(sizes.step_target_us, |ms| u64::from(ms) * 1000),
        quantum_rows: quantum.unwrap_or(sizes.quantum_rows),
        ..sizes
    }
    .checked())
}

/// Tokens of long results that a team's model reads at once, by what its agents declare.
fn read_of(plan: &Plan) -> u32 {
    plan.agents.iter().map(|agent| agent.reads).max().unwrap_or(0)
}

/// Tokens of long results that the model reads at once on a kernel of such sizes.
pub(super) fn reading_tokens(plan: &Plan, config: &Config) -> u32 {
    tokens_within(read_of(plan), config.l1_pages - config.pinned_pages).min(config.context)
}

/// Tokens, at most so many, that fit page memory together however their slices fall.
fn tokens_within(most: u32, l1_pages: u32) -> u32 {
    let fits = |tokens: u32| SliceLimits::DEFAULT.worst_pages(tokens).saturating_add(SPARE_PAGES) <= l1_pages;
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        (low, high) = if fits(middle) { (middle, high) } else { (low, middle - 1) };
    }
    low
}

/// The sizes of a kernel for a team of so many agents whose file says nothing of memory, with contexts of
/// so many tokens each.
pub fn default_config(agents: u16, context: u32, shape: &ModelShape, kv: KvType) -> Config {
    let demands = vec![Demand { context, memory: MemoryMode::Exact }; usize::from(agents)];
    let tiers = tiers(Memory::default(), &demands, PageBytes::of(shape, kv));
    sizes(agents, context, tiers, 0, kv).checked()
}

/// What is pinned comes on top of page memory: nobody's working set can count on it.
fn sizes(agents: u16, context: u32, tiers: TierPages, pins: u32, kv: KvType) -> Config {
    // Nobody sends but for what the caller says.
    let (candidates, inbox, pinned_pages) = (CANDIDATES, 1, pins);
    let config = Config::new(agents, context, tiers.l1.saturating_add(pins), tiers.l2);
    Config { candidates, kv, inbox, pinned_pages, packed_frames: tiers.packed, ..config }
}

/// Pages of the two tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TierPages {
    l1: u32,
    l2: u32,
    /// Those of the second that are packed.
    packed: u32,
}

/// Bytes of a page's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageBytes {
    lossless: u64,
    packed: u64,
}

impl PageBytes {
    fn of(shape: &ModelShape, kv: KvType) -> PageBytes {
        let packed = Packing::of(shape, kv).packed_bytes() as u64;
        PageBytes { lossless: image_bytes(shape, kv) as u64, packed }
    }
}

impl TierPages {
    /// The same with room for who reads so many tokens, so that nobody's is taken.
    fn beside(self, reads: u32, memory: Memory) -> TierPages {
        let TierPages { l1, l2, .. } = self;
        let pages = SliceLimits::DEFAULT.worst_pages(reads);
        let more = match memory.l1_tokens {
            Some(_) => l1,
            None => l1.max(l1.saturating_add(pages).min(DEFAULT_L1_TOKENS / PAGE_TOKENS as u32)),
        };
        TierPages { l1: more, l2: l2.saturating_add(pages.saturating_sub(more - l1)), ..self }
    }
}

fn tiers(memory: Memory, demands: &[Demand], bytes: PageBytes) -> TierPages {
    let sum = |pages: fn(&Demand) -> u32| demands.iter().map(pages).fold(0, u32::saturating_add);
    let most = |pages: fn(&Demand) -> u32| demands.iter().map(pages).max().unwrap_or(0);
    let all = sum(lossless_pages).saturating_add(SPARE_PAGES);
    let largest = most(lossless_pages).saturating_add(SPARE_PAGES);
    let resident = most(resident_pages).saturating_add(SPARE_PAGES);
    let page_tokens = PAGE_TOKENS as u32;
    let l1 = match memory.l1_tokens {
        Some(tokens) => tokens.div_ceil(page_tokens),
        None => all.min(DEFAULT_L1_TOKENS / page_tokens).max(resident),
    };
    let l1 = l1.max(LEAST_BOUNDED);
    let besides = |pages: u32| pages.saturating_sub(l1);
    let (room, least, least_packed) = match memory.l2_mb {
        Some(mb) => (u64::from(mb) << 20, 0, 0),
        None => (DEFAULT_L2_BYTES, besides(largest), most(packed_pages)),
    };
    let (l2, packed) = (besides(all), sum(packed_pages));
    let needed = u64::from(l2) * bytes.lossless + u64::from(packed) * bytes.packed;
    // Where not all fit, some have room for the one and for the other.
    let share = |pages: u32| match needed {
        needed if needed > room => (u128::from(pages) * u128::from(room) / u128::from(needed)) as u32,
        _ => pages,
    };
    let (l2, packed) = (share(l2).max(least), share(packed).max(least_packed));
    // What is left of an arena of the file's size keeps what others might look for.
    let used = u64::from(l2) * bytes.lossless + u64::from(packed) * bytes.packed;
    let spare = pages_in(room.saturating_sub(used), bytes.lossless);
    let l2 = if memory.l2_mb.is_some() { l2.saturating_add(spare) } else { l2 };
    TierPages { l1, l2: l2.min(MOST_PAGES), packed: packed.min(MOST_PAGES) }
}

fn pages_in(bytes: u64, page_bytes: u64) -> u32 {
    u32::try_from(bytes / page_bytes).unwrap_or(u32::MAX).min(MOST_PAGES)
}

fn demand(spec: &Spec) -> Demand {
    Demand { context: spec.context, memory: spec.memory }
}

fn worst_pages(demand: &Demand) -> u32 {
    SliceLimits::DEFAULT.worst_pages(demand.context)
}

/// Pages that an agent needs in frames as they are, or in page memory: all, or its quota where it packs the others.
fn lossless_pages(demand: &Demand) -> u32 {
    Promise { pages: worst_pages(demand), packs: packed_pages(demand) > 0 }.lossless(demand.memory)
}

/// Pages that it needs in packed frames.
fn packed_pages(demand: &Demand) -> u32 {
    if matches!(demand.memory, MemoryMode::Bounded { packed: true, .. }) { worst_pages(demand) } else { 0 }
}

/// Pages that have to be in page memory for the agent to run.
fn resident_pages(demand: &Demand) -> u32 {
    match demand.memory {
        MemoryMode::Exact => worst_pages(demand),
        MemoryMode::Bounded { pages, .. } => pages,
    }
}

fn fits(demand: Demand, tiers: TierPages) -> Result<Promise, Unfit> {
    let TierPages { l1, l2, packed } = tiers;
    let capacity = Capacity { l1, l2, promised: 0, packed, promised_packed: 0 };
    admit(demand, capacity, SliceLimits::DEFAULT)
}

/// A size of `[memory]` with which an agent would fit; `None` where its own quota is at fault.
fn remedy(demand: Demand, tiers: TierPages, unfit: Unfit, bytes: PageBytes) -> Option<String> {
    let resident = resident_pages(&demand);
    if matches!(unfit, Unfit::Quota { least, pages } if pages < least) {
        return None;
    }
    if resident > tiers.l1 || demand.memory == MemoryMode::Exact {
        // Where there is no arena, some pages of page memory are never promised.
        let pages = resident + SPARE_PAGES.saturating_sub(tiers.l2);
        return Some(format!("l1_tokens = {}", u64::from(pages) * PAGE_TOKENS as u64));
    }
    let pages = (lossless_pages(&demand) + SPARE_PAGES).saturating_sub(tiers.l1);
    let needed = u64::from(pages) * bytes.lossless + u64::from(packed_pages(&demand)) * bytes.packed;
    Some(format!("l2_mb = {}", needed.div_ceil(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_BYTES: PageBytes = PageBytes { lossless: 184_320, packed: 95_040 };
    const EXACT: MemoryMode = MemoryMode::Exact;
    const BOUNDED: MemoryMode = MemoryMode::Bounded { pages: 24, packed: false };
    const PACKS: MemoryMode = MemoryMode::Bounded { pages: 24, packed: true };

    fn demand(context: u32, memory: MemoryMode) -> Demand {
        Demand { context, memory }
    }

    #[test]
    fn a_small_team_gets_what_it_needs() {
        let demands = [demand(100, EXACT), demand(200, EXACT)];
        let tiers = tiers(Memory::default(), &demands, PAGE_BYTES);
        let needed: u32 = demands.iter().map(worst_pages).sum();
        assert_eq!(tiers, TierPages { l1: needed + SPARE_PAGES, l2: 0, packed: 0 });
        assert!(demands.iter().all(|&demand| fits(demand, tiers).is_ok()));
    }

    #[test]
    fn a_large_team_gets_the_rest_in_the_arena() {
        let demands = [demand(4000, EXACT); 2];
        let found = tiers(Memory::default(), &demands, PAGE_BYTES);
        assert_eq!(found.l1, DEFAULT_L1_TOKENS / 8);
        assert_eq!(found.l2, 2 * worst_pages(&demands[0]) + SPARE_PAGES - found.l1);
        let demands = [demand(4000, EXACT); 1000];
        let found = tiers(Memory::default(), &demands, PAGE_BYTES);
        assert_eq!(u64::from(found.l2), DEFAULT_L2_BYTES / PAGE_BYTES.lossless);
    }

    #[test]
    fn who_reads_has_room_beside_the_others() {
        let pages = |tokens| SliceLimits::DEFAULT.worst_pages(tokens);
        let found = |l1_tokens, l2, reads| {
            let tiers = TierPages { l1: 100, l2, packed: 0 }.beside(reads, Memory { l1_tokens, l2_mb: None });
            (tiers.l1, tiers.l2)
        };
        assert_eq!(found(None, 7, 0), (100, 7));
        assert_eq!(found(None, 7, 512), (100 + pages(512), 7));
        assert_eq!(found(Some(800), 7, 512), (100, 7 + pages(512)));
        let cap = DEFAULT_L1_TOKENS / PAGE_TOKENS as u32;
        let full = TierPages { l1: cap - 1, l2: 7, packed: 0 }.beside(512, Memory::default());
        assert_eq!(full, TierPages { l1: cap, l2: 7 + pages(512) - 1, packed: 0 });
        for l1 in [0, SPARE_PAGES, 40, 100, 1000] {
            let tokens = tokens_within(512, l1);
            assert!(tokens == 0 || pages(tokens) + SPARE_PAGES <= l1);
            assert!(tokens == 512 || pages(tokens + 1) + SPARE_PAGES > l1, "{l1}");
        }
    }

    #[test]
    fn the_largest_agent_fits_whatever_the_default_is() {
        for memory in [EXACT, BOUNDED, PACKS] {
            let largest = demand(100_000, memory);
            let tiers = tiers(Memory::default(), &[largest], PAGE_BYTES);
            assert_eq!(tiers.l1 > DEFAULT_L1_TOKENS / 8, memory == EXACT);
            assert!(fits(largest, tiers).is_ok());
        }
    }

    /// Half of the bytes hold nearly twice as many contexts.
    #[test]
    fn an_arena_holds_more_of_those_that_pack() {
        let memory = Memory { l1_tokens: Some(1024), l2_mb: Some(1024) };
        let admitted = |mode| {
            let demands = [demand(4000, mode); 40];
            let TierPages { l1, l2, packed } = tiers(memory, &demands, PAGE_BYTES);
            let bytes = u64::from(l2) * PAGE_BYTES.lossless + u64::from(packed) * PAGE_BYTES.packed;
            assert!(bytes <= 1024 << 20, "{bytes} bytes");
            let mut capacity = Capacity { l1, l2, promised: 0, packed, promised_packed: 0 };
            let mut count = 0;
            while let Ok(promise) = admit(demands[0], capacity, SliceLimits::DEFAULT) {
                capacity.promised += promise.lossless(mode);
                capacity.promised_packed += promise.packed();
                count += 1;
            }
            count
        };
        let (plain, packs) = (admitted(BOUNDED), admitted(PACKS));
        assert!(plain > 0 && packs * 2 > plain * 3, "{plain} and {packs}");
    }

    /// With what the refusal says, the agent fits, and with less it does not.
    #[track_caller]
    fn helps(memory: Memory, demand: Demand, key: &str) {
        let found = tiers(memory, &[demand], PAGE_BYTES);
        let unfit = fits(demand, found).unwrap_err();
        let remedy = remedy(demand, found, unfit, PAGE_BYTES).unwrap();
        let number: u32 = remedy.strip_prefix(key).unwrap().strip_prefix(" = ").unwrap().parse().unwrap();
        let fits_with = |number: u32| {
            let memory = match key {
                "l1_tokens" => Memory { l1_tokens: Some(number), ..memory },
                _ => Memory { l2_mb: Some(number), ..memory },
            };
            fits(demand, tiers(memory, &[demand], PAGE_BYTES)).is_ok()
        };
        assert!(fits_with(number), "{remedy}");
        assert!(!fits_with(number - 8), "{remedy} is more than is needed");
    }

    #[test]
    fn a_refusal_says_a_size_that_helps() {
        let memory = |l2_mb| Memory { l1_tokens: Some(256), l2_mb: Some(l2_mb) };
        helps(memory(0), demand(400, EXACT), "l1_tokens");
        helps(memory(1), demand(400, EXACT), "l1_tokens");
        helps(memory(64), demand(400, EXACT), "l1_tokens");
        helps(memory(1), demand(4000, BOUNDED), "l2_mb");
        helps(memory(1), demand(4000, PACKS), "l2_mb");
        let quota = MemoryMode::Bounded { pages: 50, packed: false };
        helps(memory(64), demand(400, quota), "l1_tokens");
    }
}
