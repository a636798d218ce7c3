//! The CPU backend, with SIMD kernels chosen at run time.
//!
//! Weights are repacked once so that lanes hold outputs and the inner dimension runs in sequence
//! (`simd::format`). Then a matrix product is one chain of fused multiply-adds per output, for one
//! row as for many, and AVX2 and AVX-512 give the same bits. Where weights are quantised, the links of that
//! chain are sums of integers over 16 or 32 inputs (`simd::narrow`, `simd::dots`). Attention works on paged segments and
//! gives the step's counters as a by-product (`simd::attend`). Workers share a step by claiming
//! chunks (`simd::phases`).
//!
//! The crate is `no_std` and allocates nothing: memory comes from a [`MemorySource`], threads from a
//! [`Team`]. The feature `std` brings one of each.
//!
//! What must never happen: a sum whose order depends on the batch or the number of workers; an
//! allocation after `prepare`; `unsafe` outside of `simd` and the thread pool.

#![no_std]
#![deny(missing_docs)]

#[cfg(feature = "std")]
extern crate std;

mod angles;
pub mod ceiling;
mod device;
mod layout;
mod memory;
mod model;
mod pack;
#[cfg(feature = "std")]
mod pool;
#[allow(clippy::missing_safety_doc, reason = "the traits state the contract once")]
#[allow(clippy::needless_range_loop, reason = "several arrays of registers are indexed alike")]
mod simd;
#[cfg(feature = "std")]
mod system;
mod team;
mod weights;

pub use device::CpuDevice;
pub use memory::{ALIGN, Blocks, Lent, MemorySource, Shortage};
#[cfg(feature = "std")]
pub use pool::Pool;
pub use simd::detect::Isa;
#[cfg(feature = "std")]
pub use system::SystemMemory;
pub use team::{Solo, Team};
