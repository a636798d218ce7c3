//! Neighbouring instructions that share dispatches.

use agentos_hal::{Op, Reg, WeightRole};

use super::{Lower, Read, Write};
use crate::dispatch::{Act, Grid};
use crate::fuse;
use crate::matmul::{MatMul, Weighing};
use crate::shader;
use crate::variant::Variant;

/// Invocations of a workgroup of `weigh`.
const WEIGH_GROUP: u32 = 16;

impl Lower<'_> {
    /// Lowers a norm and the products behind it, if the next instructions are that, and says how many they were.
    /// The product in front of the norm, or else a kernel of its own, leaves each element times its weight, and
    /// sums of squares; the products behind it do the rest, which is a factor a row.
    pub(super) fn normed(&mut self, ops: &[Op], layer: Option<u32>) -> Option<usize> {
        let layer = layer.filter(|_| self.sums_squares())?;
        let fuse::Normed { input, weight, out, products } = fuse::normed(self.program, ops)?;
        if !std::mem::take(&mut self.weighed) {
            self.weigh(input, weight, layer, out);
        }
        self.left = Some(out);
        let done = self.first(&ops[1..], Some(layer), products);
        self.left = None;
        Some(1 + done)
    }

    /// Lowers the next instruction as a product that leaves what the norm behind it is made of, if it is one.
    pub(super) fn weighing(&mut self, ops: &[Op], layer: Option<u32>) -> Option<usize> {
        let Op::MatMul { input, weight, .. } = *ops.first()? else { return None };
        let (normed, next) = fuse::weighed(self.program, ops).filter(|_| self.sums_squares())?;
        let of_norm = layer? + u32::from(next);
        if of_norm == self.shape.layers {
            return None;
        }
        let weighing = Weighing {
            weight: self.weights.vector(normed.weight, Some(of_norm)),
            weighed: self.reg(normed.out),
            squares: &self.memory.squares,
        };
        let (matrix, out) = (self.weights.matrix(weight, layer), self.reg(normed.input));
        let product = MatMul::weighing(self.gpu, matrix, self.input(input), out, self.limits.rows, weighing)?;
        self.acts.push(Act::Product(product));
        self.weighed = true;
        Some(1)
    }

    /// Whether all kernels of a product could sum squares of what they store in one order.
    fn sums_squares(&self) -> bool {
        self.gpu.variant == Variant::Rows
    }

    fn weigh(&mut self, input: Reg, weight: WeightRole, layer: u32, out: Reg) {
        let (from, to) = (self.reg(input), self.reg(out));
        let numbers = [("WIDTH", from.width), ("STRIDE", from.stride)];
        let source = self.sources.with(&numbers, &[include_str!("../shaders/weigh.wgsl")]);
        let bindings = [(Read, &from.buffer), (Write, &to.buffer), (Write, &self.memory.squares)];
        let sums = 8 * from.width.div_ceil(64);
        let slot = self.weights.vector(weight, Some(layer));
        self.push_slot((&source, "weigh"), slot, &bindings, Grid::Rows(sums.div_ceil(WEIGH_GROUP)));
    }

    /// Lowers the next instructions as one gated product, if they are one, and says how many they were.
    pub(super) fn gated(&mut self, ops: &[Op], layer: Option<u32>) -> Option<usize> {
        let gated = fuse::gated(self.program, ops)?;
        let weights = self.weights.fused(gated.weights[0], layer?)?;
        let (input, out) = (self.input(gated.input), self.reg(gated.out));
        let product = MatMul::gated(self.gpu, weights, input, out, self.limits.rows, gated.activation);
        self.acts.push(Act::Product(product));
        Some(fuse::GATED_OPS)
    }

    /// As [`Lower::gated`], for products of one register. What stands between them, or could not be stacked,
    /// follows.
    pub(super) fn stack(&mut self, ops: &[Op], layer: Option<u32>) -> Option<usize> {
        let stack = fuse::stack(self.program, ops)?;
        let weights = self.weights.fused(stack.products[0].0, layer?)?;
        let products = &stack.products[..weights.matrices()];
        let outs: Vec<_> = products.iter().map(|(_, out)| self.reg(*out)).collect();
        let input = self.input(stack.input);
        let product = MatMul::stacked(self.gpu, weights, input, &outs, self.limits.rows);
        self.acts.push(Act::Product(product));
        for op in &ops[..stack.ops] {
            if !products.iter().any(|(weight, _)| op.weight() == Some(*weight)) {
                self.op(op, layer);
            }
        }
        Some(stack.ops)
    }

    /// As [`Lower::gated`], for keys that are turned and stored.
    pub(super) fn turned(&mut self, ops: &[Op], layer: Option<u32>) -> Option<usize> {
        let (key, value) = fuse::turned(self.program, ops)?;
        let files = [shader::ANGLES, include_str!("../shaders/key_turned.wgsl")];
        self.store(key, value, layer?, &files, &[(Read, &self.memory.angles)]);
        Some(fuse::TURNED_OPS)
    }
}
