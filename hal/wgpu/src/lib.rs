//! The wgpu backend: the tensor machine on any Vulkan, Metal or DX12 GPU.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod adapter;
pub mod gpu;
pub mod matmul;
pub mod register;
mod variant;

pub use adapter::{Choice, Found, OpenError, adapters, open};
pub use gpu::Gpu;
pub use register::Register;
pub use variant::Variant;
