//! The interpreter: one instruction after the other, each over all rows of the step.

use alloc::vec::Vec;

use agentos_hal::{Activation, DeviceError, Op, Reg, StepReport, Tap, WeightRole, walk};

use crate::machine::{Batch, Machine};

impl Machine {
    /// Runs a step.
    pub fn run(&mut self, step: &Batch) -> Result<(), DeviceError> {
        self.clear(step);
        for (layer, op) in self.program.instructions(step.depth.unwrap_or(self.shape.layers)) {
            self.execute(step, op, layer)?;
        }
        Ok(())
    }

    /// Sizes everything for this step; forgets the mass of pages that begin anew.
    fn clear(&mut self, step: &Batch) {
        for reg in Reg::ALL {
            self.regs[reg as usize].resize(step.rows.len() * reg.width(&self.shape) as usize, 0.0);
        }
        self.head.resize(self.shape.head_dim as usize, 0.0);
        zero(&mut self.entropy, step.rows.len());
        zero(&mut self.mass, step.segments.len());
        self.outcomes.clear();
        self.candidates.clear();
        let width = walk::exposed_width(&step.taps, &self.shape);
        zero(&mut self.exposed, walk::exposed(&step.rows).count() * width);
        walk::begun(&step.rows).for_each(|page| self.pages.forget_mass(page));
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

    fn execute(&mut self, step: &Batch, op: &Op, layer: Option<u32>) -> Result<(), DeviceError> {
        match *op {
            Op::Embed { weight, out } => self.embed(step, weight, out),
            Op::Norm { input, weight, out } => {
                if let Ok([from, to]) = self.regs.get_disjoint_mut([input as usize, out as usize]) {
                    to.copy_from_slice(from);
                }
                self.norm(out, self.width(out), weight, layer);
            }
            Op::HeadNorm { reg, weight } => self.norm(reg, self.shape.head_dim as usize, weight, layer),
            Op::MatMul { input, weight, out, accumulate } => {
                self.matmul(input, weight, layer, out, accumulate);
            }
            Op::Add { reg, weight } => self.add(reg, weight, layer),
            Op::Rotate { reg } => self.rotate(step, reg),
            Op::StoreKv { key, value } => self.store(step, operand(layer), key, value),
            Op::Attend { .. } => self.attend(step, operand(layer)),
            Op::Gate { activation, gate, up } => self.gate(activation, gate, up),
            Op::Head { input, weight } => self.head(step, input, weight)?,
            Op::Expose { reg } => self.expose(step, Tap::at(layer, reg)),
        }
        Ok(())
    }

    fn width(&self, reg: Reg) -> usize {
        reg.width(&self.shape) as usize
    }

    fn embed(&mut self, step: &Batch, weight: WeightRole, out: Reg) {
        let width = self.width(out);
        for (row, vector) in step.rows.iter().zip(self.regs[out as usize].chunks_exact_mut(width)) {
            self.weights.row(weight, None, row.token as usize, &mut self.weight_row);
            vector.copy_from_slice(&self.weight_row);
        }
    }

    /// Norms every `width` elements of the register by themselves.
    fn norm(&mut self, reg: Reg, width: usize, weight: WeightRole, layer: Option<u32>) {
        self.weights.row(weight, layer, 0, &mut self.weight_row);
        for vector in self.regs[reg as usize].chunks_exact_mut(width) {
            let mean = dot(vector, vector) / width as f64;
            let root = libm::sqrt(mean + f64::from(self.shape.norm_eps));
            for (x, &weight) in vector.iter_mut().zip(&self.weight_row) {
                *x = (f64::from(*x) / root * f64::from(weight)) as f32;
            }
        }
    }

    fn matmul(&mut self, input: Reg, weight: WeightRole, layer: Option<u32>, out: Reg, accumulate: bool) {
        let (inner, width) = (self.width(input), self.width(out));
        let registers = self.regs.get_disjoint_mut([input as usize, out as usize]);
        let [input, out] = registers.expect("the verifier refuses a product into its own input");
        for output in 0..width {
            // Decoded once for all rows.
            self.weights.row(weight, layer, output, &mut self.weight_row);
            for (vector, out) in input.chunks_exact(inner).zip(out.chunks_exact_mut(width)) {
                let before = if accumulate { f64::from(out[output]) } else { 0.0 };
                out[output] = (before + dot(&self.weight_row, vector)) as f32;
            }
        }
    }

    fn add(&mut self, reg: Reg, weight: WeightRole, layer: Option<u32>) {
        self.weights.row(weight, layer, 0, &mut self.weight_row);
        for vector in self.regs[reg as usize].chunks_exact_mut(self.weight_row.len()) {
            vector.iter_mut().zip(&self.weight_row).for_each(|(x, weight)| *x += weight);
        }
    }

    fn rotate(&mut self, step: &Batch, reg: Reg) {
        let width = self.width(reg);
        for (row, vector) in step.rows.iter().zip(self.regs[reg as usize].chunks_exact_mut(width)) {
            for head in vector.chunks_exact_mut(self.shape.head_dim as usize) {
                self.shape.rope.rotate(&self.frequencies, row.offset, head, &mut self.head);
                head.iter_mut().zip(&self.head).for_each(|(x, &turned)| *x = turned as f32);
            }
        }
    }

    fn store(&mut self, step: &Batch, layer: u32, key: Reg, value: Reg) {
        let width = self.width(key);
        for (index, row) in step.rows.iter().enumerate() {
            let [keys, values] = [key, value].map(|reg| &self.regs[reg as usize][index * width..][..width]);
            self.pages.store(row, layer, keys, values);
        }
    }

    fn gate(&mut self, activation: Activation, gate: Reg, up: Reg) {
        for i in 0..self.regs[gate as usize].len() {
            let [x, up] = [gate, up].map(|reg| f64::from(self.regs[reg as usize][i]));
            self.regs[gate as usize][i] = (activation.of(x) * up) as f32;
        }
    }

    fn expose(&mut self, step: &Batch, here: Tap) {
        let stride = walk::exposed_width(&step.taps, &self.shape);
        for (_, place) in walk::taps(&step.taps, &self.shape).filter(|&(tap, _)| tap == here) {
            for (row, out) in walk::exposed(&step.rows).zip(self.exposed.chunks_exact_mut(stride)) {
                let first = row * place.len();
                out[place.clone()].copy_from_slice(&self.regs[here.reg() as usize][first..][..place.len()]);
            }
        }
    }
}

/// Makes a vector so long, and all of it zero.
fn zero<T: Clone + Default>(vector: &mut Vec<T>, length: usize) {
    vector.clear();
    vector.resize(length, T::default());
}

fn operand(layer: Option<u32>) -> u32 {
    layer.expect("the verifier lets this instruction stand in the layer part only")
}

/// Σ aᵢ·bᵢ, in order.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (&a, &b)| sum + f64::from(a) * f64::from(b))
}
