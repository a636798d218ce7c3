//! The vectors.

use serde::{Deserialize, Serialize};

/// An interrupt vector: the paper's four (table 2), and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum VectorId {
    /// The kernel requests an external tool.
    ToolInvoke = 0x01,
    /// A context or page memory has reached its capacity.
    ContextFull = 0x02,
    /// Drift exceeded its bound.
    SyncDrift = 0x03,
    /// A tool's output does not match its schema.
    PerceptionErr = 0x04,
    /// A tool is done.
    ToolDone = 0x05,
    /// A tool took too long.
    ToolTimeout = 0x06,
    /// A slice that is needed is not resident.
    PageFault = 0x07,
    /// A deadline or a period has come.
    Timer = 0x08,
    /// An agent sent a message.
    Ipc = 0x09,
    /// A person speaks.
    User = 0x0A,
    /// The cold store has done what it was asked.
    StoreDone = 0x0B,
    /// The cold store has failed.
    StoreErr = 0x0C,
    /// The tensor device failed, hung, or computed no number.
    DeviceFault = 0x0D,
    /// An agent repeats itself or makes no progress.
    Watchdog = 0x0E,
    /// The system is to stop.
    Shutdown = 0x0F,
}

impl Urgency {
    /// All, the most urgent first.
    pub const ALL: [Urgency; 4] = [Urgency::Critical, Urgency::High, Urgency::Medium, Urgency::Low];
}

impl VectorId {
    /// Number of vectors.
    pub const COUNT: usize = 15;

    /// All vectors, by their number.
    pub const ALL: [VectorId; VectorId::COUNT] = [
        VectorId::ToolInvoke,
        VectorId::ContextFull,
        VectorId::SyncDrift,
        VectorId::PerceptionErr,
        VectorId::ToolDone,
        VectorId::ToolTimeout,
        VectorId::PageFault,
        VectorId::Timer,
        VectorId::Ipc,
        VectorId::User,
        VectorId::StoreDone,
        VectorId::StoreErr,
        VectorId::DeviceFault,
        VectorId::Watchdog,
        VectorId::Shutdown,
    ];

    /// The vector of a number from 1 to 15; `None` for others.
    pub const fn from_id(id: u8) -> Option<VectorId> {
        if id >= 1 && id as usize <= Self::COUNT { Some(Self::ALL[id as usize - 1]) } else { None }
    }

    /// Its line of [`VECTORS`].
    pub const fn info(self) -> &'static VectorInfo {
        &VECTORS[self as usize - 1]
    }
}

/// How urgent a vector is, the most urgent first. Of two that are equally urgent, the one with the
/// lower number is delivered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Urgency {
    /// What is wrong gets worse while it waits. It never gets lost without a delivery that says so.
    Critical,
    /// Somebody waits for it.
    High,
    /// An agent goes on a little later.
    Medium,
    /// Nothing but work is wasted while it waits.
    Low,
}

/// What is known of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VectorInfo {
    /// The vector.
    pub id: VectorId,
    /// Its name, as the paper writes names.
    pub name: &'static str,
    /// How urgent it is.
    pub urgency: Urgency,
    /// What has happened.
    pub meaning: &'static str,
}

const fn vector(id: VectorId, name: &'static str, urgency: Urgency, meaning: &'static str) -> VectorInfo {
    VectorInfo { id, name, urgency, meaning }
}

/// The vector table, by number (paper table 2, and ours from 0x05 on).
pub static VECTORS: [VectorInfo; VectorId::COUNT] = {
    use Urgency::{Critical, High, Low, Medium};
    use VectorId::*;
    [
        vector(ToolInvoke, "SIG_TOOL_INVOKE", High, "the kernel requests an external tool"),
        vector(ContextFull, "SIG_CONTEXT_FULL", Medium, "a context or page memory is full"),
        vector(SyncDrift, "SIG_SYNC_DRIFT", High, "drift exceeded its bound"),
        vector(PerceptionErr, "SIG_PERCEPTION_ERR", Critical, "a tool's output does not match its schema"),
        vector(ToolDone, "SIG_TOOL_DONE", High, "a tool is done"),
        vector(ToolTimeout, "SIG_TOOL_TIMEOUT", High, "a tool took too long"),
        vector(PageFault, "SIG_PAGE_FAULT", High, "a slice that is needed is not resident"),
        vector(Timer, "SIG_TIMER", High, "a deadline or a period has come"),
        vector(Ipc, "SIG_IPC", Medium, "an agent sent a message"),
        vector(User, "SIG_USER", High, "a person speaks"),
        vector(StoreDone, "SIG_STORE_DONE", Medium, "the cold store has done what it was asked"),
        vector(StoreErr, "SIG_STORE_ERR", High, "the cold store has failed"),
        vector(
            DeviceFault,
            "SIG_DEVICE_FAULT",
            Critical,
            "the tensor device failed, hung, or computed no number",
        ),
        vector(Watchdog, "SIG_WATCHDOG", Low, "an agent repeats itself or makes no progress"),
        vector(Shutdown, "SIG_SHUTDOWN", Critical, "the system is to stop"),
    ]
};

/// Vectors in the order of delivery. A vector's index here is its rank.
pub(super) const BY_RANK: [VectorId; VectorId::COUNT] = {
    let mut order = VectorId::ALL;
    let mut sorted = 1;
    while sorted < order.len() {
        let mut at = sorted;
        while at > 0 && (order[at].info().urgency as u8) < order[at - 1].info().urgency as u8 {
            order.swap(at, at - 1);
            at -= 1;
        }
        sorted += 1;
    }
    order
};

/// Each vector's rank, by number.
const RANKS: [u8; VectorId::COUNT] = {
    let mut ranks = [0; VectorId::COUNT];
    let mut rank = 0;
    while rank < ranks.len() {
        ranks[BY_RANK[rank] as usize - 1] = rank as u8;
        rank += 1;
    }
    ranks
};

/// The rank of a vector: 0 is delivered before all others.
pub(super) const fn rank(vector: VectorId) -> usize {
    RANKS[vector as usize - 1] as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_indexed_by_number() {
        for (index, info) in VECTORS.iter().enumerate() {
            assert_eq!(info.id as usize, index + 1);
            assert_eq!(VectorId::from_id(info.id as u8), Some(info.id));
            assert_eq!(info.id.info(), info);
            assert!(info.name.starts_with("SIG_"));
        }
        assert_eq!(VectorId::from_id(0), None);
        assert_eq!(VectorId::from_id(16), None);
    }

    /// Paper, table 2.
    #[test]
    fn the_papers_vectors_are_as_urgent_as_the_paper_says() {
        let paper = [
            (0x01, "SIG_TOOL_INVOKE", Urgency::High),
            (0x02, "SIG_CONTEXT_FULL", Urgency::Medium),
            (0x03, "SIG_SYNC_DRIFT", Urgency::High),
            (0x04, "SIG_PERCEPTION_ERR", Urgency::Critical),
        ];
        for (id, name, urgency) in paper {
            let info = VectorId::from_id(id).unwrap().info();
            assert_eq!((info.name, info.urgency), (name, urgency));
        }
    }

    #[test]
    fn ranks_go_by_urgency_and_then_by_number() {
        let key = |vector: VectorId| (vector.info().urgency, vector as u8);
        assert!(BY_RANK.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
        assert!(BY_RANK.iter().enumerate().all(|(index, &vector)| rank(vector) == index));
    }
}
