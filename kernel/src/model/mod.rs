//! Model families: a forward pass per family as a constant table, and the sizes read from what a
//! model file says of itself.
//!
//! Every program exposes the hidden row at the end of each layer, the query of each layer as it
//! enters attention (not rotated), and the normed row that feeds the output projection.
//!
//! To add a family: one file with its [`Program`], one line in [`FAMILIES`].

mod error;
mod llama;
mod metadata;
mod qwen2;
mod qwen3;
mod read;

pub use error::{ModelError, Name};
pub use llama::LLAMA;
pub use metadata::Metadata;
pub use qwen2::QWEN2;
pub use qwen3::QWEN3;

use agentos_hal::{ModelShape, Pairing, Program, WeightId, WeightRole};

/// A model family that the kernel can run.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The architecture's name in model files.
    pub name: &'static str,
    /// Its forward pass.
    pub program: &'static Program,
    /// How its files lay out the dimensions that rotary embedding turns together.
    pub pairing: Pairing,
}

/// Every family.
pub static FAMILIES: [Family; 3] = [
    Family { name: "llama", program: &LLAMA, pairing: Pairing::Adjacent },
    Family { name: "qwen2", program: &QWEN2, pairing: Pairing::Halves },
    Family { name: "qwen3", program: &QWEN3, pairing: Pairing::Halves },
];

/// What a device's `prepare` needs besides weights.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The forward pass.
    pub program: &'static Program,
    /// The sizes; they have passed [`ModelShape::check`].
    pub shape: ModelShape,
}

/// Finds the program of a model and reads its sizes.
///
/// # Errors
/// Any [`ModelError`]: the metadata is incomplete, contradicts itself, or asks for something that
/// no program here computes.
pub fn select(metadata: &dyn Metadata) -> Result<Model, ModelError> {
    let name = metadata.architecture().ok_or(ModelError::NoArchitecture)?;
    let family = FAMILIES
        .iter()
        .find(|family| family.name == name)
        .ok_or_else(|| ModelError::Architecture(Name::new(name)))?;
    read::refuse_unsupported(metadata)?;
    refuse_unused_tensors(metadata, family.program)?;
    let shape = read::shape(metadata, family.pairing)?;
    shape.check().map_err(ModelError::Shape)?;
    Ok(Model { program: family.program, shape })
}

/// A tensor that the program would silently leave out would change what the model says.
fn refuse_unused_tensors(metadata: &dyn Metadata, program: &Program) -> Result<(), ModelError> {
    const OPTIONAL: [WeightRole; 5] = [
        WeightRole::QueryBias,
        WeightRole::KeyBias,
        WeightRole::ValueBias,
        WeightRole::QueryNorm,
        WeightRole::KeyNorm,
    ];
    for role in OPTIONAL {
        let used = program.ops().any(|op| op.weight() == Some(role));
        let id = WeightId { role, layer: 0 };
        if !used && metadata.tensor(id).is_some() {
            return Err(ModelError::UnusedTensor(id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
