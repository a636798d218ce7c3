//! Where a run's agents found what they attend to, and how long they waited for it.

use agentos_kernel::system::Kernel;
use agentos_kernel::system::cold::Hits;
use serde::Serialize;

use super::json::AgentSummary;

/// Where agents found what they attend to, and how long they waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PagingSummary {
    /// Slices that agents looked for by their content, by tier, and those that they did not find.
    pub hits: TierHits,
    /// Bytes that left page memory for the arena.
    pub out_bytes: u64,
    /// Bytes that came back into page memory, from the arena and the cold store.
    pub in_bytes: u64,
    /// Bytes of them that came before the turn of whoever needs them.
    pub ahead_bytes: u64,
    /// Times that agents lacked pages that they attend to.
    pub lacked: u64,
    /// Time within which half of those had their next step, in microseconds; null without any.
    pub lacked_p50_us: Option<u64>,
    /// Time within which 99 of 100 had it.
    pub lacked_p99_us: Option<u64>,
}

/// Slices that were found, by tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TierHits {
    /// In page memory.
    pub l1: u64,
    /// In the arena.
    pub l2: u64,
    /// In the cold store.
    pub l3: u64,
    /// Nowhere.
    pub none: u64,
}

impl TierHits {
    /// Slices that were looked for.
    pub fn all(&self) -> u64 {
        self.l1 + self.l2 + self.l3 + self.none
    }
}

impl PagingSummary {
    /// Of what the kernel counted, and its agents.
    pub fn of(kernel: &Kernel<'_>, agents: &[AgentSummary]) -> PagingSummary {
        let Hits { l1, l2, l3, none } = kernel.figures().hits;
        let bytes = |pages: fn(&AgentSummary) -> u64| {
            agents.iter().map(pages).sum::<u64>() * kernel.page_bytes() as u64
        };
        let latencies = kernel.page_in_latencies();
        PagingSummary {
            hits: TierHits { l1, l2, l3, none },
            out_bytes: bytes(|agent| agent.paged_out),
            in_bytes: bytes(|agent| agent.paged_in),
            ahead_bytes: kernel.figures().ahead_pages * kernel.page_bytes() as u64,
            lacked: latencies.count(),
            lacked_p50_us: latencies.quantile_us(0.5),
            lacked_p99_us: latencies.quantile_us(0.99),
        }
    }
}
