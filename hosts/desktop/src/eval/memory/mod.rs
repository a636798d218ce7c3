//! What bounded memory costs: what an agent still finds ([`retrieval`]), how much worse it foretells a text ([`loss`]),
//! and what it means that slices were computed elsewhere ([`relocation`]) or packed ([`packing`]).
//!
//! * [`Memory`]: what may be attended to, by the kernel's policies and by those that they are compared with.
//! * [`setup`]: the kernel that reads with one of its own. `reading`: its agents. `witness`: a device that tells what
//!   its rows foretell.
//! * [`baseline`]: policies of others, which no kernel has: H2O and Quest.
//! * [`report`]: tables and charts.

pub mod baseline;
pub mod loss;
pub mod packing;
mod reading;
pub mod relocation;
pub mod report;
pub mod retrieval;
pub mod setup;
mod witness;

use agentos_hal::{KvType, ModelShape};
use agentos_kernel::layout::Delimiter;
use serde::Serialize;

pub use setup::{Setup, SetupError};

/// What may be attended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// All of the context.
    Full,
    /// What is relevant, within the quota: the kernel's paging.
    Relevance,
    /// The slices that held attention last, within the quota.
    Recency,
    /// The sink and the latest, within the quota.
    Window,
    /// Half of the quota for the tokens that took most attention in each head so far, half for the latest.
    #[value(name = "h2o")]
    H2o,
    /// The pages of 16 tokens whose least and greatest keys promise a step's queries most.
    Quest,
}

impl Memory {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Memory::Full => "full",
            Memory::Relevance => "relevance",
            Memory::Recency => "recency",
            Memory::Window => "window",
            Memory::H2o => "h2o",
            Memory::Quest => "quest",
        }
    }
}

/// Candidates of each row whose distributions are compared: what is less probable counts as one token, which can only
/// make two of them look nearer than they are, by less than what is left of probability.
pub const CANDIDATES: u32 = 4096;

/// The model that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// Its sizes.
    pub shape: &'s ModelShape,
    /// What each token of its vocabulary ends.
    pub delimiters: &'s [Delimiter],
    /// How fast each pair of dimensions turns, in radians per token.
    pub frequencies: &'s [f64],
    /// How keys and values are kept.
    pub kv: KvType,
}
