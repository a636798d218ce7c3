//! The packed weights of a model: where each lies, and how they get there.

use agentos_hal::{DType, ModelShape, PrepareError, Program, TensorInfo, WeightId, WeightRole, WeightSource};
use bytemuck::{Pod, Zeroable};

use crate::memory::ALIGN;
use crate::pack;

/// Roles that a table keeps places for.
const ROLES: usize = WeightRole::Output as usize + 1;

/// Where a packed weight lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Packed {
    /// From the start of weight memory.
    pub offset: u64,
    /// Bytes of a strip of a matrix; 0 for a vector, which is plain `f32`.
    pub strip_bytes: u64,
    /// Outputs.
    pub rows: u32,
    /// Inner elements.
    pub cols: u32,
    /// Position of the type in [`DType::ALL`]; one more than that, so that 0 says "absent".
    dtype: u32,
    padding: u32,
}

impl Packed {
    /// The element type.
    ///
    /// # Panics
    /// When the weight is absent: `prepare` has refused a program that names it.
    pub fn dtype(&self) -> DType {
        DType::ALL[self.dtype as usize - 1]
    }
}

/// Elements of the table of a model.
pub fn table_len(shape: &ModelShape) -> usize {
    shape.layers as usize * ROLES
}

/// The place of a weight in the table.
pub fn index(shape: &ModelShape, id: WeightId) -> usize {
    let id = id.stored(shape);
    id.layer as usize * ROLES + id.role as usize
}

/// Plans all weights of a program, each once, in the order in which the program first names them,
/// and calls `place` with each. Returns the bytes of weight memory.
///
/// # Errors
/// Those of [`WeightId::describe`], or what `place` returns.
pub fn plan(
    program: &Program,
    shape: &ModelShape,
    source: &dyn WeightSource,
    mut place: impl FnMut(WeightId, Packed) -> Result<(), PrepareError>,
) -> Result<u64, PrepareError> {
    let mut used = 0u64;
    program.for_each_tensor(shape, |id| {
        let info = id.describe(shape, source, &DType::ALL)?;
        let packed = packed(info, id.role.is_vector(), used);
        used += bytes(&packed).next_multiple_of(ALIGN as u64);
        place(id, packed)
    })?;
    Ok(used)
}

fn packed(info: TensorInfo, vector: bool, offset: u64) -> Packed {
    let strip_bytes = if vector { 0 } else { pack::strip_bytes(info.dtype, info.cols as usize) as u64 };
    let dtype = if vector { DType::F32 } else { info.dtype };
    let position = DType::ALL.iter().position(|&d| d == dtype).map_or(0, |at| at as u32 + 1);
    Packed { offset, strip_bytes, rows: info.rows, cols: info.cols, dtype: position, padding: 0 }
}

/// Bytes of a packed weight.
pub fn bytes(packed: &Packed) -> u64 {
    if packed.strip_bytes == 0 {
        // A norm reads whole lane groups of its weight only where the row has them.
        4 * u64::from(packed.cols)
    } else {
        pack::strips(packed.rows as usize) as u64 * packed.strip_bytes
    }
}
