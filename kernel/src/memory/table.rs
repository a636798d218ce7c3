//! Semantic page tables: which slices an agent sees, and at which address.

use serde::{Deserialize, Serialize};

use super::slices::SliceId;

/// How near a mapped slice is to what this context would have computed itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fidelity {
    /// The same bits: computed behind the same prefix, or here.
    Exact,
    /// Computed behind another prefix and mapped here.
    Relocated,
    /// It was packed and unpacked again.
    Packed,
}

/// One entry of a semantic page table.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// The slice.
    pub slice: SliceId,
    /// The address of its first token.
    pub base: u32,
    /// How near it is to an own computation.
    pub fidelity: Fidelity,
    /// It is among those that the next rows attend to.
    pub selected: bool,
    /// It is to be among them: what a choice that is under way has come to.
    pub wanted: bool,
    /// It was not among them before the last choice.
    pub came: bool,
    /// It stays in page memory.
    pub pinned: bool,
    /// Its agent has given it up: no choice brings it back.
    pub forgotten: bool,
    /// Attention mass that it received since the last choice, and, where relevance chooses, half of what it had then
    /// (`agentos_hal::Mass`).
    pub mass: u64,
    /// The address at which it last was relevant.
    pub relevant: u32,
    /// Pages that its tokens took at the last choice.
    pub pages: u8,
    /// The share of attention that the last choice expected of it.
    pub score: f32,
    /// The number of the last choice that selected it.
    pub chosen: u32,
    /// The entry of the selected one behind it; not below the table's length where there is none.
    pub next: u32,
}

/// An entry that is not in use: what a table of mappings starts with.
pub const VACANT_MAPPING: Mapping = Mapping {
    slice: SliceId(u32::MAX),
    base: 0,
    fidelity: Fidelity::Exact,
    selected: true,
    wanted: true,
    came: false,
    pinned: false,
    forgotten: false,
    mass: 0,
    relevant: 0,
    pages: 0,
    score: 0.0,
    chosen: 0,
    next: u32::MAX,
};
