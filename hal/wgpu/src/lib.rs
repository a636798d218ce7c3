//! The wgpu backend: the tensor machine on any Vulkan, Metal or DX12 GPU, software drivers included.
//!
//! [`open`] finds an adapter and opens it; a [`WgpuDevice`] gives it the life of a tensor device. `prepare`
//! makes every buffer, pipeline and bind group (`sizes`, `machine`, `weights`) and lowers the program to a
//! list of dispatches (`lower`, `fuse`, `dispatch`). A step is packed into one small buffer (`step`), encoded
//! into one pass and submitted once; its report (`report`) and whatever else comes back goes through a ring of
//! mapped buffers (`ring`, `pages`).
//!
//! What a step computes for a row is one sequence of operations, whatever else is in the step: kernels are
//! chosen from the device, the model and its limits, never from the batch.
//!
//! What must never happen here: a call that waits for the device outside of `prepare`, a panic for what a
//! driver does, logits on the bus, `unsafe`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod adapter;
mod angles;
pub mod ceiling;
mod device;
mod dispatch;
mod fuse;
pub mod gpu;
mod lower;
mod machine;
pub mod matmul;
mod pages;
mod probe;
mod profile;
pub mod register;
mod report;
mod ring;
mod shader;
pub mod shelf;
mod sizes;
mod step;
mod tune;
mod variant;
mod weights;

pub use adapter::{Choice, Found, OpenError, adapters, open};
pub use device::{Traffic, WgpuDevice};
pub use gpu::Gpu;
pub use profile::OpTime;
pub use register::Register;
pub use tune::{Trial, Tuning};
pub use variant::{Extensions, Kernels, UnknownKernels, Variant};
