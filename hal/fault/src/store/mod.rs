//! Cold stores for tests: one in memory, and one that fails on purpose.

mod faulty;
mod ram;

pub use faulty::{FaultStore, StoreFate, StoreInjected, StoreOdds};
pub use ram::{RamSlot, RamStore, VACANT_RAM_SLOT};
