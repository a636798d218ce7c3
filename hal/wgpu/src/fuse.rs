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

/// A norm and the products behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normed {
    /// What is normed.
    pub input: Reg,
    /// The norm's weights.
    pub weight: WeightRole,
    /// What the products read.
    pub out: Reg,
    /// Instructions behind the norm up to the last of its products.
    pub products: usize,
}

/// The norm that `ops`, a rest of the layer part, begins with, if what it leaves is read by products of this layer
/// alone: they can take what it is made of instead.
pub fn normed(program: &Program, ops: &[Op]) -> Option<Normed> {
    let [Op::Norm { input, weight, out }, ref behind @ ..] = *ops else { return None };
    let anew = behind.iter().position(|op| overwrites(op, out));
    let until = &behind[..anew.unwrap_or(behind.len())];
    let reads = |op: &Op| uses(op, out);
    let multiplies = |op: &Op| matches!(*op, Op::MatMul { out: to, .. } if to != out);
    let last = until.iter().rposition(reads)?;
    let only = until.iter().filter(|op| reads(op)).all(multiplies);
    let left = |part: &[Op]| part.iter().find(|op| reads(op)).is_some_and(|op| !overwrites(op, out));
    let dead = anew.is_some() || !(left(program.layer) || left(program.epilogue));
    (input != out && only && dead).then_some(Normed { input, weight, out, products: last + 1 })
}

/// The norm ([`normed`]) of what `ops`, a rest of the layer part, begins with adding to, if it comes next: in this
/// layer, or in the layer behind, which is then said.
pub fn weighed(program: &Program, ops: &[Op]) -> Option<(Normed, bool)> {
    let [Op::MatMul { input, out, accumulate: true, .. }, ref behind @ ..] = *ops else { return None };
    let idle = |op: &&Op| matches!(op, Op::Expose { .. });
    let here = &behind[behind.iter().take_while(idle).count()..];
    let (rest, next) = if here.is_empty() { (program.layer, true) } else { (here, false) };
    let found = normed(program, rest).filter(|normed| normed.input == out && normed.out != input)?;
    let kept = !behind[..behind.len() - here.len()].iter().any(|op| uses(op, found.out));
    kept.then_some((found, next))
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

/// Whether an instruction leaves nothing of what was in a register, and does not read it.
fn overwrites(op: &Op, register: Reg) -> bool {
    match *op {
        Op::Embed { out, .. } => out == register,
        Op::Norm { input, out, .. } | Op::MatMul { input, out, accumulate: false, .. } => {
            out == register && input != register
        }
        Op::Attend { query, out } => out == register && query != register,
        _ => false,
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

    const NORM: Op = Op::Norm { input: Reg::Hidden, weight: WeightRole::AttnNorm, out: Reg::Normed };
    const OUTPUT: Op = Op::MatMul {
        input: Reg::Context,
        weight: WeightRole::AttnOutput,
        out: Reg::Hidden,
        accumulate: true,
    };
    const EXPOSE: Op = Op::Expose { reg: Reg::Normed };

    #[test]
    fn norms_that_products_alone_read_are_left_to_them() {
        let products = |layer: &'static [Op], epilogue: &'static [Op]| {
            let program = Program { prologue: &[], layer, epilogue };
            normed(&program, program.layer).map(|normed| normed.products)
        };
        assert_eq!(products(&[NORM, QUERY, KEY, OUTPUT, NORM, GATE, UP, ACTIVATE], &[NORM, EXPOSE]), Some(2));
        assert_eq!(products(&[NORM, QUERY, QUERY_BIAS, KEY, KEY_BIAS, OUTPUT], &[]), Some(3));
        // Somebody else reads it: a tap, the head, the next layer.
        assert_eq!(products(&[NORM, QUERY, EXPOSE, KEY], &[]), None);
        assert_eq!(products(&[NORM, QUERY, KEY], &[EXPOSE]), None);
        let early = Program { prologue: &[], layer: &[KEY, NORM, QUERY], epilogue: &[] };
        assert_eq!(normed(&early, &early.layer[1..]), None);
        // Nobody reads it.
        assert_eq!(products(&[NORM, OUTPUT, NORM, QUERY], &[]), None);
        const HERE: Op = Op::Norm { input: Reg::Normed, weight: WeightRole::AttnNorm, out: Reg::Normed };
        assert_eq!(products(&[HERE, QUERY], &[]), None);
    }

    #[test]
    fn what_is_normed_next_is_weighed_where_it_is_stored() {
        const TAP: Op = Op::Expose { reg: Reg::Hidden };
        let found = |layer: &'static [Op], at: usize| {
            let program = Program { prologue: &[], layer, epilogue: &[NORM, EXPOSE] };
            weighed(&program, &layer[at..]).map(|(normed, next)| (normed.products, next))
        };
        assert_eq!(found(&[NORM, QUERY, OUTPUT, NORM, GATE, UP], 2), Some((2, false)));
        assert_eq!(found(&[NORM, QUERY, OUTPUT, TAP, NORM, GATE, UP], 2), Some((2, false)));
        assert_eq!(found(&[NORM, QUERY, OUTPUT, TAP], 2), Some((1, true)));
        // What the norm leaves is looked at before, or what it is made of changes.
        assert_eq!(found(&[NORM, QUERY, OUTPUT, EXPOSE], 2), None);
        const BIAS: Op = Op::Add { reg: Reg::Hidden, weight: WeightRole::AttnNorm };
        assert_eq!(found(&[NORM, QUERY, OUTPUT, BIAS, NORM, GATE, UP], 2), None);
        // It is stored, not added to; or of another register.
        assert_eq!(found(&[NORM, QUERY, NORM, GATE], 1), None);
        const OTHER: Op = Op::Norm { input: Reg::Context, weight: WeightRole::AttnNorm, out: Reg::Normed };
        assert_eq!(found(&[OTHER, QUERY, OUTPUT], 2), None);
        // The product would read what it writes.
        const OWN: Op =
            Op::MatMul { input: Reg::Normed, weight: WeightRole::Query, out: Reg::Hidden, accumulate: true };
        assert_eq!(found(&[NORM, OWN], 1), None);
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
