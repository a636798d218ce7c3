//! Neighbouring instructions that one dispatch computes, to the very bits that they would give by themselves.

use agentos_hal::{Activation, Op, Program, Reg, WeightRole};

use crate::matmul::MOST_STACKED;

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
    let alone = program.ops().filter(|op| uses(op, up)).count() == 2
        && weights.into_iter().all(|role| is_alone(program, role));
    let found = Gated { input: of_gate.input, weights, out: gate, activation };
    (belong && alone && found.input != up).then_some(found)
}

/// Products of one register that one dispatch may compute, and what stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// What all of them read.
    pub input: Reg,
    /// Matrices and what they are multiplied into, at least two and at most [`MOST_STACKED`].
    pub products: Vec<(WeightRole, Reg)>,
    /// Instructions of the stack.
    pub ops: usize,
}

/// The products of one register that `ops`, a rest of a part of the program, begins with, if nobody else uses
/// their matrices. Biases of them may stand between, which can as well wait for the last product.
pub fn stack(program: &Program, ops: &[Op]) -> Option<Stack> {
    let input = plain(ops.first()?)?.input;
    let mut products: Vec<(WeightRole, Reg)> = Vec::new();
    let mut count = 0;
    for (at, op) in ops.iter().enumerate() {
        if let Op::Add { reg, .. } = op
            && products.iter().any(|(_, out)| out == reg)
        {
            continue;
        }
        let Some(product) = plain(op).filter(|product| product.input == input) else { break };
        let known = |(weight, out): &(WeightRole, Reg)| *weight == product.weight || *out == product.out;
        let gates = gated(program, &ops[at..]).is_some();
        if gates
            || products.len() == MOST_STACKED
            || products.iter().any(known)
            || !is_alone(program, product.weight)
        {
            break;
        }
        products.push((product.weight, product.out));
        count = at + 1;
    }
    (products.len() > 1).then_some(Stack { input, products, ops: count })
}

/// Instructions that [`turned`] replaces.
pub const TURNED_OPS: usize = 2;

/// The key and value registers of the turn and the store that `ops`, a rest of a part of the program, begins with,
/// if nobody else reads the key's register, in which it then stays as it was.
pub fn turned(program: &Program, ops: &[Op]) -> Option<(Reg, Reg)> {
    let [Op::Rotate { reg }, Op::StoreKv { key, value }, ..] = *ops else { return None };
    let made = |op: &Op| match *op {
        Op::MatMul { input, out, accumulate, .. } => input != key && (out != key || !accumulate),
        Op::Add { .. } | Op::HeadNorm { .. } => true,
        _ => !uses(op, key),
    };
    let others = program.ops().filter(|op| !made(op)).count();
    // Each layer makes it anew: what is left in it is never read.
    let first = program.layer.iter().find(|op| uses(op, key));
    let anew = matches!(first, Some(Op::MatMul { .. }));
    (reg == key && value != key && others == TURNED_OPS && anew).then_some((key, value))
}

/// Every stack of the layers of a program that is not a gated pair.
pub fn all_stacks(program: &Program) -> Vec<Stack> {
    let mut found = Vec::new();
    let mut rest = program.layer;
    while !rest.is_empty() {
        let taken = match (gated(program, rest), stack(program, rest)) {
            (Some(_), _) => GATED_OPS,
            (None, Some(stack)) => {
                let taken = stack.ops;
                found.push(stack);
                taken
            }
            (None, None) => 1,
        };
        rest = &rest[taken..];
    }
    found
}

/// Whether one instruction of the layers names the matrix, and no other.
fn is_alone(program: &Program, weight: WeightRole) -> bool {
    weight.per_layer() && program.ops().filter(|op| op.weight() == Some(weight)).count() == 1
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

    const QUERY: Op =
        Op::MatMul { input: Reg::Normed, weight: WeightRole::Query, out: Reg::Query, accumulate: false };
    const KEY: Op =
        Op::MatMul { input: Reg::Normed, weight: WeightRole::Key, out: Reg::Key, accumulate: false };
    const VALUE: Op =
        Op::MatMul { input: Reg::Normed, weight: WeightRole::Value, out: Reg::Value, accumulate: false };
    const QUERY_BIAS: Op = Op::Add { reg: Reg::Query, weight: WeightRole::QueryBias };
    const KEY_BIAS: Op = Op::Add { reg: Reg::Key, weight: WeightRole::KeyBias };

    fn stacks(layer: &'static [Op]) -> Vec<(usize, usize)> {
        let found = all_stacks(&Program { prologue: &[], layer, epilogue: &[] });
        found.iter().map(|stack| (stack.products.len(), stack.ops)).collect()
    }

    #[test]
    fn products_of_one_register_are_stacked() {
        assert_eq!(stacks(&[QUERY, KEY, VALUE]), [(3, 3)]);
        assert_eq!(stacks(&[QUERY, QUERY_BIAS, KEY, KEY_BIAS, VALUE, GATE]), [(3, 5)]);
        assert_eq!(stacks(&[QUERY, KEY, KEY_BIAS, GATE, UP, ACTIVATE]), [(2, 2)]);
        assert_eq!(stacks(&[GATE, UP, ACTIVATE]), []);
        assert_eq!(stacks(&[QUERY, Op::Rotate { reg: Reg::Key }, KEY]), []);
        // A matrix that is named twice is needed by itself.
        assert_eq!(stacks(&[QUERY, KEY, KEY_BIAS, VALUE, KEY]), []);
        // What is read in between must be there.
        assert_eq!(stacks(&[QUERY, Op::Add { reg: Reg::Normed, weight: WeightRole::FfnNorm }, KEY]), []);
    }

    const ROTATE: Op = Op::Rotate { reg: Reg::Key };
    const STORE: Op = Op::StoreKv { key: Reg::Key, value: Reg::Value };

    #[test]
    fn keys_that_nobody_else_reads_are_turned_on_their_way() {
        let found = |layer: &'static [Op]| {
            let program = Program { prologue: &[], layer, epilogue: &[] };
            (0..layer.len()).find_map(|at| turned(&program, &layer[at..]))
        };
        const NORM: Op = Op::HeadNorm { reg: Reg::Key, weight: WeightRole::KeyNorm };
        assert_eq!(found(&[KEY, KEY_BIAS, NORM, VALUE, ROTATE, STORE]), Some((Reg::Key, Reg::Value)));
        assert_eq!(found(&[KEY, VALUE, ROTATE, STORE, Op::Expose { reg: Reg::Key }]), None);
        assert_eq!(found(&[KEY, VALUE, ROTATE, STORE, ROTATE, STORE]), None);
        assert_eq!(found(&[VALUE, ROTATE, STORE, KEY, KEY_BIAS]), None);
        assert_eq!(found(&[KEY, VALUE, STORE, ROTATE]), None);
        assert_eq!(found(&[KEY, ROTATE, Op::StoreKv { key: Reg::Value, value: Reg::Key }]), None);
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
