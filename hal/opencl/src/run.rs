//! The interpreter: each instruction becomes one kernel over all rows of the step, or a few.

use agentos_hal::{Activation, Op, Reg, Step, Tap, walk};
use opencl3::error_codes::ClError;

use crate::driver::{Arg, Kind, Memory};
use crate::machine::{BLOCK, Machine, PART, lanes};
use crate::report::Layout;
use crate::weights::Tensor;

/// Rows that share the decoding of weights: what `product_tile` takes.
const TILE: usize = 4;
/// `ACCUMULATE` and `WANTED` of `kernels/rows.cl`.
const ACCUMULATE: u32 = 1;
const WANTED: u32 = 2;

macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$(Arg::from($arg)),*] };
}

impl Machine {
    /// Copies a step and sends off all that it takes.
    pub fn submit(&mut self, step: &Step<'_>) -> Result<(), ClError> {
        self.batch.copy(step, &self.queue)?;
        self.layout = Layout::of(&self.batch, &self.prepared.shape, &self.prepared.limits);
        self.begin()?;
        let layers = self.batch.depth.unwrap_or(self.prepared.shape.layers);
        for (layer, op) in self.prepared.program.instructions(layers) {
            self.execute(op, layer)?;
        }
        self.entropy()
    }

    fn rows(&self) -> usize {
        self.batch.rows.len()
    }

    fn lanes(&self, reg: Reg) -> u32 {
        lanes(&self.prepared.shape, reg)
    }

    fn width(&self, reg: Reg) -> u32 {
        reg.width(&self.prepared.shape)
    }

    fn reg(&self, reg: Reg) -> &Memory<f32> {
        &self.regs[reg as usize]
    }

    fn begin(&self) -> Result<(), ClError> {
        let (rows, segments) = (self.rows(), self.batch.segments);
        let args = args![
            &self.batch.rows.device,
            rows as u32,
            &self.page_mass,
            &self.report,
            segments as u32,
            &self.entropies,
            self.prepared.shape.heads,
        ];
        self.queue.launch(Kind::Begin, args, [rows.max(segments + 1), 1, 1])
    }

    fn execute(&self, op: &Op, layer: Option<u32>) -> Result<(), ClError> {
        let (shape, rows) = (&self.prepared.shape, self.rows());
        let weight = |role| self.weights.get(role, layer);
        match *op {
            Op::Embed { weight: role, out } => {
                let (Tensor { dtype, row_bytes, bytes }, lanes) = (weight(role), self.lanes(out));
                let blocks = lanes / BLOCK;
                let rows_table = &self.batch.rows.device;
                let args = args![bytes, *dtype as u32, *row_bytes, rows_table, blocks, self.reg(out), lanes];
                self.queue.launch(Kind::Embed, args, [blocks as usize, rows, 1])
            }
            Op::Norm { input, weight: role, out } => self.norm(input, weight(role), 1, self.width(out), out),
            Op::HeadNorm { reg, weight: role } => {
                self.norm(reg, weight(role), self.width(reg) / shape.head_dim, shape.head_dim, reg)
            }
            Op::MatMul { input, weight: role, out, accumulate } => {
                let flags = if accumulate { ACCUMULATE } else { 0 };
                let to = (self.reg(out), self.width(out), self.lanes(out));
                self.product(input, weight(role), to, rows, flags)
            }
            Op::Add { reg, weight: role } => {
                let Tensor { dtype, bytes, .. } = weight(role);
                let args = args![self.reg(reg), bytes, *dtype as u32, self.width(reg), self.lanes(reg)];
                self.queue.launch(Kind::Add, args, [(self.lanes(reg) / BLOCK) as usize, rows, 1])
            }
            Op::Rotate { reg } => {
                let heads = self.heads(operand(layer));
                let args =
                    args![self.reg(reg), self.lanes(reg), heads, &self.angles, &self.batch.rows.device];
                let pairs = shape.kv_heads * shape.rope.dims / 2;
                self.queue.launch(Kind::RotateKeys, args, [pairs as usize, rows, 1])
            }
            Op::StoreKv { key, value } => {
                let (keys, values, lanes) = (self.reg(key), self.reg(value), self.lanes(key));
                let heads = self.heads(operand(layer));
                let args = args![keys, values, lanes, heads, &self.pages, &self.batch.rows.device];
                self.queue.launch(Kind::StoreKv, args, [self.width(key) as usize, rows, 1])
            }
            Op::Attend { query, out } => self.attend(query, out, operand(layer)),
            Op::Gate { activation, gate, up } => {
                let gelu = u32::from(activation == Activation::Gelu);
                let args = args![self.reg(gate), self.reg(up), gelu, self.width(gate), self.lanes(gate)];
                self.queue.launch(Kind::Gate, args, [self.width(gate) as usize, rows, 1])
            }
            Op::Head { input, weight: role } => self.head(input, weight(role)),
            Op::Expose { reg } => self.expose(Tap::at(layer, reg)),
        }
    }

    /// Norms each row's parts of this width by themselves.
    fn norm(&self, from: Reg, weight: &Tensor, parts: u32, width: u32, to: Reg) -> Result<(), ClError> {
        let (rows, epsilon) = (self.rows(), self.prepared.shape.norm_eps);
        let (bytes, dtype) = (&weight.bytes, weight.dtype as u32);
        let args = args![self.reg(from), bytes, dtype, parts, width, epsilon, self.reg(to), self.lanes(to)];
        self.queue.launch(Kind::Norm, args, [parts as usize, rows, 1])
    }

    /// Products of a matrix with the register's rows, all or the wanted ones.
    fn product(
        &self,
        input: Reg,
        weight: &Tensor,
        (out, outputs, out_lanes): (&Memory<f32>, u32, u32),
        rows: usize,
        flags: u32,
    ) -> Result<(), ClError> {
        let in_lanes = self.lanes(input);
        let (dtype, blocks) = (weight.dtype as u32, in_lanes / BLOCK);
        let sizes = [dtype, weight.row_bytes, blocks, outputs, in_lanes, out_lanes, rows as u32, flags];
        let args = args![&weight.bytes, sizes, self.reg(input), &self.batch.wanted.device, out];
        let (kind, tiles) =
            if rows == 1 { (Kind::ProductOne, 1) } else { (Kind::ProductTile, rows.div_ceil(TILE)) };
        self.queue.launch(kind, args, [outputs as usize, tiles, 1])
    }

    fn attend(&self, query: Reg, out: Reg, layer: u32) -> Result<(), ClError> {
        let (shape, heads, lanes) = (&self.prepared.shape, self.heads(layer), self.lanes(query));
        let (rows, maps) = (&self.batch.rows.device, &self.batch.maps.device);
        let (head_count, head_dim) = (shape.heads as usize, shape.head_dim as usize);
        let span_pages = self.batch.span_pages;
        let stride = span_pages as u32;
        let scale = (1.0 / f64::from(shape.head_dim).sqrt()) as f32;
        let counted = u32::from(self.batch.counters.contains(layer));
        // Scores of so many rows fit.
        let tile = (self.score_pages / (head_count * span_pages).max(1)).max(1);
        for first in (0..self.rows()).step_by(tile) {
            let (from, count) = (first as u32, tile.min(self.rows() - first));
            let (queries, angles, pages, scores) = (self.reg(query), &self.angles, &self.pages, &self.scores);
            let args = args![queries, lanes, heads, angles, pages, rows, maps, from, scale, scores, stride];
            self.queue.launch(Kind::Scores, args, [span_pages, head_count, count])?;
            let (entropies, report, mass) = (&self.entropies, &self.report, &self.page_mass);
            let args = args![scores, stride, shape.heads, from, rows, maps, counted, entropies, report, mass];
            self.queue.launch(Kind::Shares, args, [head_count, count, 1])?;
            let args = args![scores, stride, heads, pages, rows, maps, from, self.reg(out), lanes];
            self.queue.launch(Kind::Values, args, [head_count * head_dim / 16, count, 1])?;
        }
        Ok(())
    }

    fn head(&self, input: Reg, weight: &Tensor) -> Result<(), ClError> {
        let (vocab, outcomes) = (self.prepared.shape.vocab, self.batch.wanted.len());
        self.product(input, weight, (&self.logits, vocab, vocab), outcomes, WANTED)?;
        let (logits, wanted, masks) = (&self.logits, &self.batch.wanted.device, &self.batch.masks.device);
        let (parts, places) = (vocab.div_ceil(PART), self.prepared.limits.candidates);
        let (sums, best, report) = (&self.parts, &self.best, &self.report);
        let lowest = self.layout.lowest as u32;
        let args = args![logits, vocab, wanted, masks, parts, places, sums, best, report, lowest];
        self.queue.launch(Kind::ReduceParts, args, [parts as usize, outcomes, 1])?;
        let count = outcomes as u32;
        let at = [self.layout.outcomes as u32, self.layout.candidates as u32];
        let args =
            args![logits, vocab, wanted, count, sums, parts, places, best, &self.heads, report, at[0], at[1]];
        self.queue.launch(Kind::ReduceRows, args, [outcomes, 1, 1])
    }

    fn expose(&self, here: Tap) -> Result<(), ClError> {
        let shape = &self.prepared.shape;
        let row_words = walk::exposed_width(&self.batch.taps, shape) as u32;
        for (_, place) in walk::taps(&self.batch.taps, shape).filter(|&(tap, _)| tap == here) {
            let (reg, lanes, width) = (self.reg(here.reg()), self.lanes(here.reg()), place.len());
            let (rows, at) = (&self.batch.exposed, (self.layout.exposed + place.start) as u32);
            let args = args![reg, lanes, width as u32, &rows.device, &self.report, at, row_words];
            self.queue.launch(Kind::Expose, args, [width, rows.len(), 1])?;
        }
        Ok(())
    }

    fn entropy(&self) -> Result<(), ClError> {
        let (heads, layers, rows) = (self.prepared.shape.heads, self.batch.counters.count(), self.rows());
        let at = self.layout.entropy as u32;
        let args = args![&self.entropies, heads, layers, rows as u32, &self.report, at];
        self.queue.launch(Kind::Entropy, args, [rows, 1, 1])
    }
}

fn operand(layer: Option<u32>) -> u32 {
    layer.expect("the verifier lets this instruction stand in the layer part only")
}
