//! Activation registers in device memory.

use agentos_hal::{PrepareError, Resource};

use crate::gpu::Gpu;

/// Elements that a row is padded to.
const ROW_MULTIPLE: u32 = 32;

/// Rows that a register is padded to.
const ROWS_MULTIPLE: u32 = 64;

/// Elements from one row of a register to the next: `width`, rounded up to a multiple of 32.
pub const fn stride(width: u32) -> u32 {
    width.next_multiple_of(ROW_MULTIPLE)
}

/// One `f32` storage buffer, row after row. What pads a row is always zero: nobody writes there.
pub struct Register {
    /// `[rows][stride]`.
    pub buffer: wgpu::Buffer,
    /// Elements of a row that mean something.
    pub width: u32,
    /// Elements from one row to the next: [`stride`] of the width.
    pub stride: u32,
}

impl Register {
    /// A register of at least `rows` rows, and of a multiple of 64: kernels may read, but not write,
    /// whole tiles of rows.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, rows: u32, width: u32) -> Result<Register, PrepareError> {
        let buffer = gpu.buffer(
            Resource::ScratchBytes,
            Register::bytes(rows, width),
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        )?;
        Ok(Register { buffer, width, stride: stride(width) })
    }

    /// Bytes of such a register.
    pub fn bytes(rows: u32, width: u32) -> u64 {
        let rows = u64::from(rows).next_multiple_of(ROWS_MULTIPLE.into());
        rows.saturating_mul(u64::from(stride(width)) * 4)
    }
}
