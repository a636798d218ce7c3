//! A device that fails on purpose: [`FaultDevice`] wraps any tensor device and delays, refuses, fails
//! and falsifies what it does, as a [`FaultPlan`] says.
//!
//! * A plan is data: a script of exact calls, or odds and a seed. What happens to the nth call is a
//!   function of the plan and n alone, so a failure repeats.
//! * The wrapper holds to the contract of [`TensorDevice`](agentos_hal::TensorDevice) wherever it does not
//!   say that it breaks it: a delayed device is a slow one, a lost one has nothing left.
//! * [`FaultPeripheral`] does the same to a peripheral: what happens to a call is a function of the seed and
//!   the call's number.
//! * [`RamStore`] is a cold store in memory, and [`FaultStore`] makes any cold store fail.
//! * With an empty plan it is not there: every call goes to the wrapped device as it came.
//!
//! What must never happen here: an allocation, `unsafe`, a fault that is not counted in [`Injected`],
//! or a dependency on the kernel or on a backend.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod device;
mod injected;
mod peripheral;
mod plan;
mod poison;
mod scratch;
mod store;

pub use device::FaultDevice;
pub use injected::Injected;
pub use peripheral::{CallFate, CallOdds, FaultPeripheral};
pub use plan::{CopyFate, CopyFault, FaultPlan, PerMille, StepFate, StepInjury};
pub use poison::{Number, Poison};
pub use scratch::Scratch;
pub use store::{FaultStore, RamSlot, RamStore, StoreFate, StoreInjected, StoreOdds, VACANT_RAM_SLOT};
