//! The interpreter: one instruction after the other, each over all rows of the step.

use alloc::vec::Vec;
use core::mem::take;

use agentos_hal::{Activation, DeviceError, Mass, ModelShape, Op, Reg, Rope, StepReport, Tap, WeightRole};

use crate::memory::Machine;

impl Machine {
    /// Runs the step that was copied.
    pub fn run(&mut self) -> Result<(), DeviceError> {
        self.clear();
        let program = self.program;
        for op in program.prologue {
            self.execute(op, None)?;
        }
        for layer in 0..self.shape.layers {
            for op in program.layer {
                self.execute(op, Some(layer))?;
            }
        }
        for op in program.epilogue {
            self.execute(op, None)?;
        }
        Ok(())
    }

    /// Sizes everything for this step; forgets the mass of pages that begin anew.
    fn clear(&mut self) {
        for reg in Reg::ALL {
            self.regs[reg as usize].resize(self.rows.len() * reg.width(&self.shape) as usize, 0.0);
        }
        self.head.resize(self.shape.head_dim as usize, 0.0);
        self.entropy.clear();
        self.entropy.resize(self.rows.len(), 0.0);
        self.mass.clear();
        self.mass.resize(self.segments.len(), Mass(0));
        self.outcomes.clear();
        self.candidates.clear();
        let exposed = self.rows.iter().filter(|row| row.expose).count();
        self.exposed.resize(exposed * self.exposed_width(), 0.0);
        for row in self.rows.iter().filter(|row| row.place == 0) {
            self.pages.forget_mass(row.page);
        }
    }

    /// What the step that ran found.
    pub fn report(&self) -> StepReport<'_> {
        StepReport {
            entropy: &self.entropy,
            mass: &self.mass,
            outcomes: &self.outcomes,
            candidates: &self.candidates,
            exposed: &self.exposed,
        }
    }

    fn execute(&mut self, op: &Op, layer: Option<u32>) -> Result<(), DeviceError> {
        match *op {
            Op::Embed { weight, out } => self.embed(weight, out),
            Op::Norm { input, weight, out } => {
                let source = take(&mut self.regs[input as usize]);
                if input != out {
                    self.regs[out as usize].copy_from_slice(&source);
                }
                self.regs[input as usize] = source;
                self.norm(out, out.width(&self.shape), weight, layer);
            }
            Op::HeadNorm { reg, weight } => self.norm(reg, self.shape.head_dim, weight, layer),
            Op::MatMul { input, weight, out, accumulate } => {
                self.matmul(input, weight, layer, out, accumulate);
            }
            Op::Add { reg, weight } => self.add(reg, weight, layer),
            Op::Rotate { reg } => self.rotate(reg),
            Op::StoreKv { .. } => self.store(operand(layer)),
            Op::Attend { .. } => self.attend(operand(layer)),
            Op::Gate { activation, gate, up } => self.gate(activation, gate, up),
            Op::Head { input, weight } => self.head(input, weight)?,
            Op::Expose { reg } => {
                self.expose(layer.map_or(Tap::Final(reg), |layer| Tap::Layer(layer, reg)), reg);
            }
        }
        Ok(())
    }

    fn embed(&mut self, weight: WeightRole, out: Reg) {
        let mut result = take(&mut self.regs[out as usize]);
        for (row, vector) in self.rows.iter().zip(rows_mut(&mut result, out, &self.shape)) {
            self.matrix(weight, None).row(row.token as usize, vector);
        }
        self.regs[out as usize] = result;
    }

    /// Norms every `width` elements of the register by themselves.
    fn norm(&mut self, reg: Reg, width: u32, weight: WeightRole, layer: Option<u32>) {
        let weight = self.weights_of(weight, layer, 0, width);
        for vector in self.regs[reg as usize].chunks_exact_mut(width as usize) {
            let mean = dot(vector, vector) / f64::from(width);
            let root = libm::sqrt(mean + f64::from(self.shape.norm_eps));
            for (x, &weight) in vector.iter_mut().zip(&weight) {
                *x = (f64::from(*x) / root * f64::from(weight)) as f32;
            }
        }
        self.weight_row = weight;
    }

    fn matmul(&mut self, input: Reg, weight: WeightRole, layer: Option<u32>, out: Reg, accumulate: bool) {
        let (inner, width) = (input.width(&self.shape), out.width(&self.shape));
        let mut result = take(&mut self.regs[out as usize]);
        for output in 0..width as usize {
            // Dequantised once for all rows.
            let weights = self.weights_of(weight, layer, output, inner);
            let inputs = self.regs[input as usize].chunks_exact(inner as usize);
            for (vector, outputs) in inputs.zip(result.chunks_exact_mut(width as usize)) {
                let before = if accumulate { f64::from(outputs[output]) } else { 0.0 };
                outputs[output] = (before + dot(&weights, vector)) as f32;
            }
            self.weight_row = weights;
        }
        self.regs[out as usize] = result;
    }

    /// One row of a matrix; to be put back into `weight_row` after use.
    pub fn weights_of(&mut self, role: WeightRole, layer: Option<u32>, row: usize, cols: u32) -> Vec<f32> {
        let mut weights = take(&mut self.weight_row);
        weights.resize(cols as usize, 0.0);
        self.matrix(role, layer).row(row, &mut weights);
        weights
    }

    fn add(&mut self, reg: Reg, weight: WeightRole, layer: Option<u32>) {
        let weight = self.weights_of(weight, layer, 0, reg.width(&self.shape));
        for vector in rows_mut(&mut self.regs[reg as usize], reg, &self.shape) {
            vector.iter_mut().zip(&weight).for_each(|(x, weight)| *x += weight);
        }
        self.weight_row = weight;
    }

    fn rotate(&mut self, reg: Reg) {
        let vectors = rows_mut(&mut self.regs[reg as usize], reg, &self.shape);
        for (row, vector) in self.rows.iter().zip(vectors) {
            for head in vector.chunks_exact_mut(self.shape.head_dim as usize) {
                turn(&self.shape.rope, &self.turns, row.offset, head, &mut self.head);
                head.iter_mut().zip(&self.head).for_each(|(x, &turned)| *x = turned as f32);
            }
        }
    }

    fn store(&mut self, layer: u32) {
        let width = self.shape.kv_width() as usize;
        for (i, row) in self.rows.iter().enumerate() {
            for dim in 0..width {
                let [key, value] = [Reg::Key, Reg::Value].map(|reg| self.regs[reg as usize][i * width + dim]);
                self.pages.store((row.page, row.place.into()), layer, dim, key, value);
            }
        }
    }

    fn gate(&mut self, activation: Activation, gate: Reg, up: Reg) {
        for i in 0..self.regs[gate as usize].len() {
            let [x, up] = [gate, up].map(|reg| f64::from(self.regs[reg as usize][i]));
            self.regs[gate as usize][i] = (activate(activation, x) * up) as f32;
        }
    }

    fn expose(&mut self, here: Tap, reg: Reg) {
        let (width, stride) = (reg.width(&self.shape) as usize, self.exposed_width());
        let mut at = 0;
        for &tap in &self.taps {
            if tap == here {
                let rows = self.rows.iter().zip(self.regs[reg as usize].chunks_exact(width));
                let exposed = rows.filter(|(row, _)| row.expose);
                for ((_, vector), out) in exposed.zip(self.exposed.chunks_exact_mut(stride)) {
                    out[at..at + width].copy_from_slice(vector);
                }
            }
            at += tap_width(tap, &self.shape);
        }
    }

    fn exposed_width(&self) -> usize {
        self.taps.iter().map(|&tap| tap_width(tap, &self.shape)).sum()
    }
}

fn operand(layer: Option<u32>) -> u32 {
    layer.expect("the verifier lets this instruction stand in the layer part only")
}

fn tap_width(tap: Tap, shape: &ModelShape) -> usize {
    let (Tap::Layer(_, reg) | Tap::Final(reg)) = tap;
    reg.width(shape) as usize
}

fn rows_mut<'r>(values: &'r mut [f32], reg: Reg, shape: &ModelShape) -> impl Iterator<Item = &'r mut [f32]> {
    values.chunks_exact_mut(reg.width(shape) as usize)
}

/// Σ aᵢ·bᵢ, in order.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (&a, &b)| sum + f64::from(a) * f64::from(b))
}

/// Rotates a head by `distance` tokens.
pub fn turn(rope: &Rope, turns: &[f64], distance: u32, head: &[f32], out: &mut [f64]) {
    out.iter_mut().zip(head).for_each(|(out, &x)| *out = x.into());
    for (pair, turn) in turns.iter().enumerate() {
        let (sin, cos) = libm::sincos(turn * f64::from(distance));
        let (a, b) = rope.pair(pair as u32);
        (out[a], out[b]) = (out[a] * cos - out[b] * sin, out[a] * sin + out[b] * cos);
    }
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + libm::exp(-x)),
        Activation::Gelu => {
            let root = libm::sqrt(2.0 / core::f64::consts::PI);
            0.5 * x * (1.0 + libm::tanh(root * (x + 0.044715 * x * x * x)))
        }
    }
}
