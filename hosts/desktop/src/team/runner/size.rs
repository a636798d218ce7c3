//! How much memory a team's kernel gets: what its file says, or else what suits it.

use agentos_hal::page::{PAGE_TOKENS, image_bytes};
use agentos_hal::{KvType, ModelShape};
use agentos_kernel::agent::{MemoryMode, Spec};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::admit::{Capacity, Demand, LEAST_BOUNDED, SPARE_PAGES, Unfit, admit};
use agentos_kernel::system::Config;

use super::plan::Plan;
use crate::team::{Problem, Team, TeamError};

/// Page memory where the file does not say: as much as all agents need at once, and no more than this
/// many tokens, but always what the largest agent needs.
pub const DEFAULT_L1_TOKENS: u32 = 8192;

/// The arena where the file does not say: as much as all agents need besides page memory, and no more
/// than this many bytes, but always what the largest agent needs.
pub const DEFAULT_L2_BYTES: u64 = 512 << 20;

/// Pages of the arena: more have no names, and nobody has the memory.
const MOST_PAGES: u32 = 1 << 26;

/// Candidates per row where no agent asks for more: sampling never looks beyond them.
const CANDIDATES: u32 = 64;

/// The sizes of a kernel for a team.
///
/// # Errors
/// [`Problem::Unfit`]: an agent would not fit even alone.
pub fn config(team: &Team, plan: &Plan, shape: &ModelShape, kv: KvType) -> Result<Config, TeamError> {
    let specs: Vec<Spec> = plan.agents.iter().map(|agent| agent.spec).collect();
    let page_bytes = image_bytes(shape, kv) as u64;
    let tiers = tiers(team, &specs, page_bytes);
    for (index, spec) in specs.iter().enumerate() {
        fits(spec, tiers).map_err(|unfit| {
            let name = team.agents[index].name.clone();
            let remedy = remedy(spec, tiers, unfit, page_bytes);
            team.error(team.agents[index].context_place, Problem::Unfit { name, unfit, remedy })
        })?;
    }
    let longest = plan.agents.iter().map(|agent| agent.spec.context.saturating_add(agent.slack));
    let longest = longest.max().unwrap_or(1).min(plan.model_context);
    let candidates = specs.iter().map(|spec| spec.sampling.top_k).fold(CANDIDATES, u32::max);
    let sizes = Config::new(specs.len() as u16, longest, tiers.l1, tiers.l2);
    let schedule = &team.schedule;
    Ok(Config {
        candidates,
        kv,
        // Nobody sends: answers go from agent to agent as openings.
        inbox: 1,
        step_target_us: schedule.step_ms.map_or(sizes.step_target_us, |ms| u64::from(ms) * 1000),
        quantum_rows: schedule.quantum.unwrap_or(sizes.quantum_rows),
        ..sizes
    }
    .checked())
}

/// Pages of the two tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TierPages {
    l1: u32,
    l2: u32,
}

fn tiers(team: &Team, specs: &[Spec], page_bytes: u64) -> TierPages {
    let all = specs.iter().fold(SPARE_PAGES, |sum, spec| sum.saturating_add(worst_pages(spec)));
    let largest = specs.iter().map(worst_pages).max().unwrap_or(0).saturating_add(SPARE_PAGES);
    let resident = specs.iter().map(resident_pages).max().unwrap_or(0).saturating_add(SPARE_PAGES);
    let page_tokens = PAGE_TOKENS as u32;
    let l1 = match team.memory.l1_tokens {
        Some(tokens) => tokens.div_ceil(page_tokens),
        None => all.min(DEFAULT_L1_TOKENS / page_tokens).max(resident),
    };
    let l2 = match team.memory.l2_mb {
        Some(mb) => pages_in(u64::from(mb) << 20, page_bytes),
        None => {
            let besides = |pages: u32| pages.saturating_sub(l1);
            besides(all).min(pages_in(DEFAULT_L2_BYTES, page_bytes)).max(besides(largest))
        }
    };
    TierPages { l1: l1.max(LEAST_BOUNDED), l2 }
}

fn pages_in(bytes: u64, page_bytes: u64) -> u32 {
    u32::try_from(bytes / page_bytes).unwrap_or(u32::MAX).min(MOST_PAGES)
}

fn worst_pages(spec: &Spec) -> u32 {
    SliceLimits::DEFAULT.worst_pages(spec.context)
}

/// Pages that have to be in page memory for the agent to run.
fn resident_pages(spec: &Spec) -> u32 {
    match spec.memory {
        MemoryMode::Exact => worst_pages(spec),
        MemoryMode::Bounded { pages, .. } => pages,
    }
}

fn fits(spec: &Spec, tiers: TierPages) -> Result<u32, Unfit> {
    let demand = Demand { context: spec.context, memory: spec.memory };
    let capacity = Capacity { l1: tiers.l1, l2: tiers.l2, promised: 0 };
    admit(demand, capacity, SliceLimits::DEFAULT)
}

/// A size of `[memory]` with which an agent would fit; `None` where its own quota is at fault.
fn remedy(spec: &Spec, tiers: TierPages, unfit: Unfit, page_bytes: u64) -> Option<String> {
    let resident = resident_pages(spec);
    if matches!(unfit, Unfit::Quota { least, pages } if pages < least) {
        return None;
    }
    if resident > tiers.l1 || spec.memory == MemoryMode::Exact {
        // Where there is no arena, some pages of page memory are never promised.
        let pages = resident + SPARE_PAGES.saturating_sub(tiers.l2);
        return Some(format!("l1_tokens = {}", u64::from(pages) * PAGE_TOKENS as u64));
    }
    let pages = worst_pages(spec) + SPARE_PAGES - tiers.l1;
    Some(format!("l2_mb = {}", (u64::from(pages) * page_bytes).div_ceil(1 << 20)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PAGE_BYTES: u64 = 184_320;

    fn team(memory: &str, agents: &[(u32, &str)]) -> (Team, Vec<Spec>) {
        let mut text = memory.to_owned();
        for (index, (context, more)) in agents.iter().enumerate() {
            text += &format!(
                "[[agent]]\nname = \"a{index}\"\nprompt = \"x\"\ncontext = {context}\nmax_tokens = 1\n{more}\n"
            );
        }
        let team = crate::team::parse(Path::new("t"), &text).unwrap();
        let specs = (0..agents.len()).map(|index| team.spec(index, 1, 1 << 20).unwrap()).collect();
        (team, specs)
    }

    #[test]
    fn a_small_team_gets_what_it_needs() {
        let (team, specs) = team("", &[(100, ""), (200, "")]);
        let tiers = tiers(&team, &specs, PAGE_BYTES);
        let needed: u32 = specs.iter().map(worst_pages).sum();
        assert_eq!(tiers, TierPages { l1: needed + SPARE_PAGES, l2: 0 });
        assert!(specs.iter().all(|spec| fits(spec, tiers).is_ok()));
    }

    #[test]
    fn a_large_team_gets_the_rest_in_the_arena() {
        let (team, specs) = team("", &[(4000, "copies = 4")]);
        let specs = [specs[0]; 4];
        let tiers = tiers(&team, &specs, PAGE_BYTES);
        assert_eq!(tiers.l1, DEFAULT_L1_TOKENS / 8);
        assert_eq!(tiers.l2, 4 * worst_pages(&specs[0]) + SPARE_PAGES - tiers.l1);
    }

    #[test]
    fn the_largest_agent_fits_whatever_the_default_is() {
        let (team, specs) = team("", &[(100_000, "")]);
        let tiers = tiers(&team, &specs, PAGE_BYTES);
        assert!(tiers.l1 > DEFAULT_L1_TOKENS / 8);
        assert!(fits(&specs[0], tiers).is_ok());
    }

    /// With what the refusal says, it fits, and with less it does not.
    #[track_caller]
    fn helps(memory: &str, agent: (u32, &str), key: &str) {
        let (team, specs) = team(memory, &[agent]);
        let found = tiers(&team, &specs, PAGE_BYTES);
        let unfit = fits(&specs[0], found).unwrap_err();
        let remedy = remedy(&specs[0], found, unfit, PAGE_BYTES).unwrap();
        let number: u32 = remedy.strip_prefix(key).unwrap().strip_prefix(" = ").unwrap().parse().unwrap();
        let with = |number: u32| {
            let mut team = team.clone();
            match key {
                "l1_tokens" => team.memory.l1_tokens = Some(number),
                _ => team.memory.l2_mb = Some(number),
            }
            fits(&specs[0], tiers(&team, &specs, PAGE_BYTES)).is_ok()
        };
        assert!(with(number), "{remedy}");
        assert!(!with(number - 8), "{remedy} is too much");
    }

    #[test]
    fn a_refusal_says_a_size_that_helps() {
        helps("[memory]\nl1_tokens = 256\nl2_mb = 0\n", (400, ""), "l1_tokens");
        helps("[memory]\nl1_tokens = 256\nl2_mb = 64\n", (400, ""), "l1_tokens");
        let bounded = "memory = \"bounded\"\nl1_tokens = 192";
        helps("[memory]\nl1_tokens = 256\nl2_mb = 1\n", (4000, bounded), "l2_mb");
    }
}
