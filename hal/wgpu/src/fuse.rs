//! Neighbouring instructions that one dispatch computes, to the very bits that they would give by themselves.

use agentos_hal::{Activation, Op, Program, Reg, WeightRole};

/// Two products of one register and the gate behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gated {
    /// What both products read.
    pub input: Reg,
    /// The matrix of the gate, and that of the other factor.
    pub weights: [WeightRole; 2],
    /// What the gate is computed in.
    pub out: Reg,
    /// The non-linearity.
    pub activation: Activation,
}

/// Instructions that [`gated`] replaces.
pub const GATED_OPS: usize = 3;

/// The gated products that `ops`, a rest of a part of the program, begins with, if nobody else in the program
/// uses the register of the other factor, which is then not written, or the matrices, which are then woven.
pub fn gated(program: &Program, ops: &[Op]) -> Option<Gated> {
    let [first, second, Op::Gate { activation, gate, up }, ..] = *ops else { return None };
    let [first, second] = [plain(&first)?, plain(&second)?];
    let (of_gate, of_up) = if first.out == gate { (first, second) } else { (second, first) };
    let belong = of_gate.out == gate && of_up.out == up && of_gate.input == of_up.input;
    let weights = [of_gate.weight, of_up.weight];
    let once = |role| program.ops().filter(|op| op.weight() == Some(role)).count() == 1;
    let alone = program.ops().filter(|op| uses(op, up)).count() == 2
        && weights.into_iter().all(|role: WeightRole| role.per_layer() && once(role));
    let found = Gated { input: of_gate.input, weights, out: gate, activation };
    (belong && alone && found.input != up).then_some(found)
}

/// Every gated pair of products in the layers of a program.
pub fn all_gated(program: &Program) -> impl Iterator<Item = Gated> {
    (0..program.layer.len()).filter_map(|at| gated(program, &program.layer[at..]))
}

#[derive(Clone, Copy)]
struct Product {
    input: Reg,
    weight: WeightRole,
    out: Reg,
}

fn plain(op: &Op) -> Option<Product> {
    match *op {
        Op::MatMul { input, weight, out, accumulate: false } => Some(Product { input, weight, out }),
        _ => None,
    }
}

/// Whether an instruction reads or writes a register.
fn uses(op: &Op, register: Reg) -> bool {
    let of_op = match *op {
        Op::Embed { out, .. } => [out, out],
        Op::Norm { input, out, .. } | Op::MatMul { input, out, .. } => [input, out],
        Op::HeadNorm { reg, .. } | Op::Add { reg, .. } | Op::Rotate { reg } | Op::Expose { reg } => {
            [reg, reg]
        }
        Op::StoreKv { key, value } => [key, value],
        Op::Attend { query, out } => [query, out],
        Op::Gate { gate, up, .. } => [gate, up],
        Op::Head { input, .. } => [input, input],
    };
    of_op.contains(&register)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: Op =
        Op::MatMul { input: Reg::Normed, weight: WeightRole::FfnGate, out: Reg::Gate, accumulate: false };
    const UP: Op =
        Op::MatMul { input: Reg::Normed, weight: WeightRole::FfnUp, out: Reg::Up, accumulate: false };
    const ACTIVATE: Op = Op::Gate { activation: Activation::Silu, gate: Reg::Gate, up: Reg::Up };

    fn found(layer: &'static [Op]) -> Option<Gated> {
        all_gated(&Program { prologue: &[], layer, epilogue: &[] }).next()
    }

    #[test]
    fn gates_are_found_in_either_order() {
        let weights = [WeightRole::FfnGate, WeightRole::FfnUp];
        let gated = Gated { input: Reg::Normed, weights, out: Reg::Gate, activation: Activation::Silu };
        assert_eq!(found(&[GATE, UP, ACTIVATE]), Some(gated));
        assert_eq!(found(&[UP, GATE, ACTIVATE]), Some(gated));
    }

    /// What somebody else looks at is not left unwritten.
    #[test]
    fn gates_whose_factor_is_used_are_left() {
        assert_eq!(found(&[GATE, UP, ACTIVATE, Op::Expose { reg: Reg::Up }]), None);
        assert_eq!(found(&[GATE, UP, Op::Expose { reg: Reg::Gate }, ACTIVATE]), None);
        assert_eq!(found(&[GATE, UP, ACTIVATE, GATE]), None);
        const ADDED: Op =
            Op::MatMul { input: Reg::Normed, weight: WeightRole::FfnUp, out: Reg::Up, accumulate: true };
        assert_eq!(found(&[GATE, ADDED, ACTIVATE]), None);
        const OTHER: Op =
            Op::MatMul { input: Reg::Hidden, weight: WeightRole::FfnUp, out: Reg::Up, accumulate: false };
        assert_eq!(found(&[GATE, OTHER, ACTIVATE]), None);
    }
}
