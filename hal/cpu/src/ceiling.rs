//! The machine's own limits, measured with the same kernels' instruction set.

use crate::simd::detect::Isa;
use crate::simd::kernels::Kernels;

/// Computes about `operations` floating-point multiplications and additions in registers; returns
/// how many, and a number to use up.
///
/// # Panics
/// When the machine lacks the instruction set.
pub fn multiply_adds(isa: Isa, operations: u64) -> (u64, f32) {
    Kernels::available(isa).multiply_adds(operations)
}

/// Multiplies and adds about `operations` integers of 16 bits in registers; returns how many, and a number to
/// use up.
///
/// # Panics
/// When the machine lacks the instruction set.
pub fn dots(isa: Isa, operations: u64) -> (u64, u32) {
    Kernels::available(isa).peak_dots(operations)
}

/// Reads memory from end to end; returns a number to use up.
///
/// # Panics
/// When the machine lacks the instruction set.
pub fn read(isa: Isa, memory: &[u8]) -> u32 {
    Kernels::available(isa).read(memory)
}
