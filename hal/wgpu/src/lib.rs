//! The wgpu backend: the tensor machine on any Vulkan, Metal or DX12 GPU.

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
mod profile;
pub mod register;
mod report;
mod ring;
mod shader;
mod sizes;
mod step;
mod variant;
mod weights;

pub use adapter::{Choice, Found, OpenError, adapters, open};
pub use device::{Traffic, WgpuDevice};
pub use gpu::Gpu;
pub use profile::OpTime;
pub use register::Register;
pub use variant::Variant;
