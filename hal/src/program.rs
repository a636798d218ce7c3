//! A forward pass as a constant table, and its verifier.

use crate::op::{Op, Reg};
use crate::shape::ModelShape;
use crate::weight::{WeightId, WeightRole};

/// A model's forward pass: `prologue` once, `layer` for every layer with the layer's index as
/// operand, `epilogue` once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Runs first.
    pub prologue: &'static [Op],
    /// Runs `ModelShape::layers` times.
    pub layer: &'static [Op],
    /// Runs last.
    pub epilogue: &'static [Op],
}

/// Why a [`Program`] is refused. `at` counts instructions through prologue, layer and epilogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ProgramError {
    /// A register is read before anything is written to it.
    Unwritten {
        /// The instruction.
        at: u32,
        /// The register.
        reg: Reg,
    },
    /// A weight does not have the size that the registers call for.
    Width {
        /// The instruction.
        at: u32,
        /// The weight.
        weight: WeightRole,
    },
    /// The instruction cannot work on these registers.
    Registers {
        /// The instruction.
        at: u32,
    },
    /// The instruction may not stand in this part of the program.
    Place {
        /// The instruction.
        at: u32,
    },
    /// A layer attends to keys that it has not stored.
    AttendBeforeStore {
        /// The instruction.
        at: u32,
    },
    /// The program has not exactly one `Head`.
    Heads {
        /// How many it has.
        count: u32,
    },
}

impl core::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ProgramError::Unwritten { at, reg } => {
                write!(f, "instruction {at} reads {reg:?}, which nothing has written")
            }
            ProgramError::Width { at, weight } => {
                write!(f, "instruction {at}: {weight:?} does not fit the registers' widths")
            }
            ProgramError::Registers { at } => {
                write!(f, "instruction {at} cannot work on these registers")
            }
            ProgramError::Place { at } => {
                write!(f, "instruction {at} may not stand in this part of the program")
            }
            ProgramError::AttendBeforeStore { at } => {
                write!(f, "instruction {at} attends to keys that this layer has not stored")
            }
            ProgramError::Heads { count } => write!(f, "the program has {count} heads; 1 is needed"),
        }
    }
}

impl core::error::Error for ProgramError {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Prologue,
    Layer,
    Epilogue,
}

impl Program {
    /// Whether a part of this program exposes a register.
    pub fn exposes(&self, part: &[Op], reg: Reg) -> bool {
        part.contains(&Op::Expose { reg })
    }

    /// All instructions of the tables, each once.
    pub fn ops(&self) -> impl Iterator<Item = &'static Op> {
        self.prologue.iter().chain(self.layer).chain(self.epilogue)
    }

    /// The instructions in the order in which they run, each with its layer; `None` in prologue and
    /// epilogue.
    pub fn instructions(&self, layers: u32) -> impl Iterator<Item = (Option<u32>, &'static Op)> + use<> {
        let Program { prologue, layer, epilogue } = *self;
        let layers = (0..layers).flat_map(move |index| layer.iter().map(move |op| (Some(index), op)));
        let outside = |ops: &'static [Op]| ops.iter().map(|op| (None, op));
        outside(prologue).chain(layers).chain(outside(epilogue))
    }

    /// Calls `visit` for every weight that the program names, in program order; a weight named twice
    /// is visited twice. Ends at the first error.
    ///
    /// # Errors
    /// Whatever `visit` returns.
    pub fn for_each_weight<E>(
        &self,
        layers: u32,
        mut visit: impl FnMut(WeightId) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut named =
            self.instructions(layers).filter_map(|(layer, op)| Some(op.weight()?.in_layer(layer)));
        named.try_for_each(&mut visit)
    }

    /// Calls `visit` for every tensor that a device has to keep: each once, in the order in which the
    /// program first names it, a tied output as the embedding that it is. Ends at the first error.
    ///
    /// # Errors
    /// Whatever `visit` returns.
    pub fn for_each_tensor<E>(
        &self,
        shape: &ModelShape,
        mut visit: impl FnMut(WeightId) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut of_model, mut of_layer, mut layer) = (0u32, 0u32, 0);
        self.for_each_weight(shape.layers, |id| {
            let id = id.stored(shape);
            if id.role.per_layer() && id.layer != layer {
                (of_layer, layer) = (0, id.layer);
            }
            let seen = if id.role.per_layer() { &mut of_layer } else { &mut of_model };
            let bit = 1 << id.role as u32;
            if *seen & bit != 0 {
                return Ok(());
            }
            *seen |= bit;
            visit(id)
        })
    }

    /// Checks that every instruction works on registers that were written, with weights of the
    /// right size, in the right place.
    ///
    /// # Errors
    /// The first [`ProgramError`] found.
    pub fn verify(&self, shape: &ModelShape) -> Result<(), ProgramError> {
        let mut state = Verifier { shape, at: 0, written: 0, stored: false };
        for (part, ops) in
            [(Part::Prologue, self.prologue), (Part::Layer, self.layer), (Part::Epilogue, self.epilogue)]
        {
            for op in ops {
                state.op(op, part)?;
                state.at += 1;
            }
        }
        match self.ops().filter(|op| matches!(op, Op::Head { .. })).count() {
            1 => Ok(()),
            count => Err(ProgramError::Heads { count: count as u32 }),
        }
    }
}

impl Op {
    /// The weight that the instruction reads.
    pub const fn weight(&self) -> Option<WeightRole> {
        match *self {
            Op::Embed { weight, .. }
            | Op::Norm { weight, .. }
            | Op::HeadNorm { weight, .. }
            | Op::MatMul { weight, .. }
            | Op::Add { weight, .. }
            | Op::Head { weight, .. } => Some(weight),
            Op::Rotate { .. }
            | Op::StoreKv { .. }
            | Op::Attend { .. }
            | Op::Gate { .. }
            | Op::Expose { .. } => None,
        }
    }
}

struct Verifier<'a> {
    shape: &'a ModelShape,
    at: u32,
    written: u32,
    stored: bool,
}

impl Verifier<'_> {
    fn op(&mut self, op: &Op, part: Part) -> Result<(), ProgramError> {
        let at = self.at;
        self.place(op, part)?;
        match *op {
            Op::Embed { weight, out } => {
                self.size(weight, (self.shape.vocab, self.width(out)))?;
                self.write(out);
            }
            Op::Norm { input, weight, out } => {
                self.read(input)?;
                self.same_width(input, out)?;
                self.size(weight, (1, self.width(out)))?;
                self.write(out);
            }
            Op::HeadNorm { reg, weight } => {
                self.read(reg)?;
                if !matches!(reg, Reg::Query | Reg::Key) {
                    return Err(ProgramError::Registers { at });
                }
                self.size(weight, (1, self.shape.head_dim))?;
            }
            Op::MatMul { input, weight, out, accumulate } => {
                self.read(input)?;
                if accumulate {
                    self.read(out)?;
                }
                if input == out {
                    return Err(ProgramError::Registers { at });
                }
                self.size(weight, (self.width(out), self.width(input)))?;
                self.write(out);
            }
            Op::Add { reg, weight } => {
                self.read(reg)?;
                self.size(weight, (1, self.width(reg)))?;
            }
            Op::Rotate { reg } => {
                self.read(reg)?;
                if reg != Reg::Key {
                    return Err(ProgramError::Registers { at });
                }
            }
            Op::StoreKv { key, value } => {
                self.read(key)?;
                self.read(value)?;
                if (key, value) != (Reg::Key, Reg::Value) {
                    return Err(ProgramError::Registers { at });
                }
                self.stored = true;
            }
            Op::Attend { query, out } => {
                self.read(query)?;
                if !self.stored {
                    return Err(ProgramError::AttendBeforeStore { at });
                }
                if (query, out) != (Reg::Query, Reg::Context) {
                    return Err(ProgramError::Registers { at });
                }
                self.write(out);
            }
            Op::Gate { gate, up, .. } => {
                self.read(gate)?;
                self.read(up)?;
                self.same_width(gate, up)?;
            }
            Op::Head { input, weight } => {
                self.read(input)?;
                self.size(weight, (self.shape.vocab, self.width(input)))?;
            }
            Op::Expose { reg } => self.read(reg)?,
        }
        Ok(())
    }

    fn place(&self, op: &Op, part: Part) -> Result<(), ProgramError> {
        let right = match op {
            Op::Embed { .. } => part == Part::Prologue,
            Op::Rotate { .. } | Op::StoreKv { .. } | Op::Attend { .. } => part == Part::Layer,
            Op::Head { .. } => part == Part::Epilogue,
            Op::Expose { .. } => part != Part::Prologue,
            _ => op.weight().is_none_or(|role| !role.per_layer() || part == Part::Layer),
        };
        if right { Ok(()) } else { Err(ProgramError::Place { at: self.at }) }
    }

    fn width(&self, reg: Reg) -> u32 {
        reg.width(self.shape)
    }

    fn read(&self, reg: Reg) -> Result<(), ProgramError> {
        let written = self.written & (1 << reg as u32) != 0;
        if written { Ok(()) } else { Err(ProgramError::Unwritten { at: self.at, reg }) }
    }

    fn write(&mut self, reg: Reg) {
        self.written |= 1 << reg as u32;
    }

    fn size(&self, weight: WeightRole, expected: (u32, u32)) -> Result<(), ProgramError> {
        let fits = weight.dims(self.shape) == expected;
        if fits { Ok(()) } else { Err(ProgramError::Width { at: self.at, weight }) }
    }

    fn same_width(&self, a: Reg, b: Reg) -> Result<(), ProgramError> {
        if self.width(a) == self.width(b) { Ok(()) } else { Err(ProgramError::Registers { at: self.at }) }
    }
}
