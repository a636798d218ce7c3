//! What a run came to.

use agentos_kernel::agent::{Metrics, Rcb};

use super::roster::Phase;
use super::run::Runner;
use crate::team::json::{AgentSummary, PagingSummary, StoreSummary, Summary, Tier};

pub(super) fn of(runner: &Runner<'_>, now_us: u64) -> Summary {
    let figures = runner.kernel.figures();
    let config = runner.kernel.config();
    let agents: Vec<AgentSummary> =
        (0..runner.team.agents.len()).filter_map(|index| agent(runner, index, now_us)).collect();
    Summary {
        seed: runner.plan.seed,
        time_us: now_us.saturating_sub(runner.began_us),
        device_us: figures.device_us,
        kernel_us: figures.kernel_us,
        generated: agents.iter().map(|agent| agent.generated).sum(),
        utilization: together(runner).utilization(),
        paging: PagingSummary::of(&runner.kernel, &agents),
        agents,
        steps: figures.steps,
        rows: figures.rows,
        l1: Tier { pages: config.l1_pages, peak: runner.peak.l1 },
        l2: Tier { pages: config.l2_frames, peak: runner.peak.l2 },
        masks: runner.masks.summary(),
        store: (config.cold_slices > 0).then(|| StoreSummary::of(&runner.kernel)),
    }
}

/// The rows of all agents, and how many of them computed again what was computed before.
fn together(runner: &Runner<'_>) -> Metrics {
    runner.kernel.agents().fold(Metrics::default(), |sum, Rcb { metrics, .. }| Metrics {
        rows: sum.rows + metrics.rows,
        recomputed: sum.recomputed + metrics.recomputed,
        ..sum
    })
}

fn agent(runner: &Runner<'_>, index: usize, now_us: u64) -> Option<AgentSummary> {
    let member = &runner.roster.members[index];
    let id = member.id()?;
    let rcb: &Rcb = runner.kernel.agents().find(|rcb| rcb.id == id)?;
    let ended_us = if matches!(member.phase, Phase::Alive(_)) { now_us } else { member.ended_us };
    let time_us = ended_us.saturating_sub(member.spawned_us);
    Some(AgentSummary::new(&runner.team.agents[index], rcb, time_us, member))
}
