//! Everything of the backend that needs `unsafe`: instruction-set kernels, and the run of a program in
//! which several workers write disjoint parts of shared memory.
//!
//! The safety argument, in one place: `CpuDevice::submit` has checked every index of the step
//! (`Step::check`), `prepare` has laid out memory for the worst step within the limits, and a phase's
//! chunks are claimed once each and write disjoint places (see [`run`]).

pub mod attend;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod coded;
pub mod detect;
pub mod dots;
pub mod format;
pub mod head;
pub mod kernels;
pub mod lanes;
pub mod math;
pub mod matmul;
pub mod narrow;
pub mod packing;
pub mod peak;
pub mod phases;
pub mod portable;
pub mod rows;
pub mod run;
pub mod store;
