//! From instructions to dispatches: one function an instruction, each of which names its shader files and
//! its buffers. `fused.rs` has what several instructions make together.

mod fused;

use agentos_hal::{Activation, Limits, ModelShape, Op, Program, Reg, WeightRole};

use crate::dispatch::{Act, Grid, When};
use crate::gpu::{Binding, Gpu};
use crate::machine::Memory;
use crate::matmul::{Input, Lookup, MatMul, RowCount};
use crate::register::Register;
use crate::shader::{self, Sources};
use crate::shelf::Slot;
use crate::sizes::{OPERAND_BYTES, Sizes, VOCAB_BLOCK};
use crate::variant::{LEAST_LANES, Variant};
use crate::weights::Store;

/// Invocations of a workgroup where a shader says nothing else.
const GROUP: u32 = 64;

/// Invocations of a workgroup of `norm_rows`, `head_blocks`; and of `attend_rows`, `count`.
const NORM_GROUP: u32 = 16;
const SPLIT_GROUP: u32 = 8;

/// Invocations of a workgroup of `attend_groups`, and the widest head that it has room for.
const ATTEND_LANES: u32 = 128;
const MOST_SHARED_HEAD_DIM: u32 = 192;

/// The widest vector that one invocation norms.
const MOST_LONE_WIDTH: u32 = 16_384;

/// Most candidates that a workgroup chooses together: the list of `choose_groups` has room for as many.
pub const MOST_SHARED_CANDIDATES: u32 = 1024;

/// The register that the head reads.
pub fn head_input(program: &Program) -> Reg {
    let heads = program.ops().filter_map(|op| match op {
        Op::Head { input, .. } => Some(*input),
        _ => None,
    });
    heads.last().expect("a verified program has a head")
}

/// The whole program, and how many of its acts read no mask: all before one that does.
pub fn program(
    gpu: &Gpu,
    program: &Program,
    shape: &ModelShape,
    limits: &Limits,
    sizes: &Sizes,
    memory: &Memory,
    weights: &Store,
) -> (Vec<Act>, usize) {
    let mut lower = Lower::new(gpu, program, shape, limits, sizes, memory, weights);
    lower.begin();
    lower.part(program.prologue, None);
    (0..shape.layers).for_each(|layer| lower.part(program.layer, Some(layer)));
    lower.part(program.epilogue, None);
    (lower.acts, lower.unmasked)
}

/// Some neighbouring instructions of the first layer, by themselves.
#[expect(clippy::too_many_arguments, reason = "what a program is lowered with, and a part of it")]
pub fn instructions(
    gpu: &Gpu,
    program: &Program,
    shape: &ModelShape,
    limits: &Limits,
    sizes: &Sizes,
    memory: &Memory,
    weights: &Store,
    ops: &[Op],
) -> Vec<Act> {
    let mut lower = Lower::new(gpu, program, shape, limits, sizes, memory, weights);
    lower.part(ops, Some(0));
    lower.acts
}

struct Lower<'a> {
    gpu: &'a Gpu,
    program: &'a Program,
    shape: &'a ModelShape,
    limits: &'a Limits,
    memory: &'a Memory,
    weights: &'a Store,
    sources: Sources,
    acts: Vec<Act>,
    /// Acts before the first that reads masks.
    unmasked: usize,
    /// Whether the last product has made what the norm behind it leaves to other products.
    weighed: bool,
    /// The register that now holds what a norm leaves to products.
    left: Option<Reg>,
}

use Binding::{Read, Write};

impl<'a> Lower<'a> {
    fn new(
        gpu: &'a Gpu,
        program: &'a Program,
        shape: &'a ModelShape,
        limits: &'a Limits,
        sizes: &Sizes,
        memory: &'a Memory,
        weights: &'a Store,
    ) -> Lower<'a> {
        let sources = Sources::new(shape, limits, sizes.split_pages);
        Lower {
            gpu,
            program,
            shape,
            limits,
            memory,
            weights,
            sources,
            acts: Vec::new(),
            unmasked: 0,
            weighed: false,
            left: None,
        }
    }

    fn part(&mut self, ops: &[Op], layer: Option<u32>) {
        self.first(ops, layer, ops.len());
    }

    /// Lowers the first `least` instructions, and those that share a dispatch with them. Says how many they were.
    fn first(&mut self, ops: &[Op], layer: Option<u32>, least: usize) -> usize {
        let mut done = 0;
        while done < least {
            let rest = &ops[done..];
            let fused = self.normed(rest, layer).or_else(|| self.weighing(rest, layer));
            let fused = fused.or_else(|| self.gated(rest, layer)).or_else(|| self.stack(rest, layer));
            done += fused.or_else(|| self.turned(rest, layer)).unwrap_or_else(|| {
                self.op(&rest[0], layer);
                1
            });
        }
        done
    }

    fn op(&mut self, op: &Op, layer: Option<u32>) {
        match *op {
            Op::Embed { weight, out } => {
                let lookup = Lookup::new(self.gpu, self.weights.matrix(weight, layer), self.reg(out));
                self.acts.push(Act::Lookup(lookup));
            }
            Op::Norm { input, weight, out } => self.norm(input, weight, layer, out, 1),
            Op::HeadNorm { reg, weight } => {
                let heads = reg.width(self.shape) / self.shape.head_dim;
                self.norm(reg, weight, layer, reg, heads);
            }
            Op::MatMul { input, weight, out, accumulate } => {
                let product = MatMul::new(
                    self.gpu,
                    self.weights.matrix(weight, layer),
                    self.input(input),
                    self.reg(out),
                    RowCount::Rows,
                    self.limits.rows,
                    accumulate,
                );
                self.acts.push(Act::Product(product));
            }
            Op::Add { reg, weight } => self.add(reg, weight, layer),
            Op::Rotate { reg } => self.rotate(reg),
            Op::StoreKv { key, value } => {
                self.store(key, value, place(layer), &[include_str!("shaders/key_here.wgsl")], &[]);
            }
            Op::Attend { query, out } => self.attend(query, out, place(layer)),
            Op::Gate { activation, gate, up } => self.gate(activation, gate, up),
            Op::Head { input, weight } => self.head(input, weight),
            Op::Expose { reg } => self.expose(reg, layer),
        }
    }

    /// Folds over a workgroup, and the numbers that they take.
    fn trees(&self) -> &'static str {
        shader::trees(self.gpu.extensions())
    }

    fn lanes(&self, lanes: u32) -> [(&'static str, u32); 2] {
        [("LANES", lanes), ("ROUNDS", self.gpu.rounds(lanes))]
    }

    fn reg(&self, reg: Reg) -> &'a Register {
        &self.memory.registers[reg as usize]
    }

    /// A register as a product reads it.
    fn input(&self, reg: Reg) -> Input<'a> {
        let norm = (self.left == Some(reg)).then_some((&self.memory.squares, self.shape.norm_eps));
        Input { register: self.reg(reg), narrow: self.memory.narrow.as_ref(), norm }
    }

    fn push(
        &mut self,
        (source, entry): (&str, &'static str),
        bindings: &[(Binding, &wgpu::Buffer)],
        grid: Grid,
        when: When,
    ) {
        let runs: Vec<_> =
            bindings.iter().map(|(kind, buffer)| (*kind, buffer.as_entire_buffer_binding())).collect();
        self.push_runs((source, entry), &runs, None, grid, when);
    }

    /// As [`Lower::push`], behind a slot.
    fn push_slot(
        &mut self,
        kernel: (&str, &'static str),
        slot: &Slot,
        bindings: &[(Binding, &wgpu::Buffer)],
        grid: Grid,
    ) {
        let whole = bindings.iter().map(|(kind, buffer)| (*kind, buffer.as_entire_buffer_binding()));
        let runs: Vec<_> = [(Binding::Slot, slot.binding())].into_iter().chain(whole).collect();
        self.push_runs(kernel, &runs, Some(slot.offset), grid, When::Always);
    }

    fn push_runs(
        &mut self,
        (source, entry): (&str, &'static str),
        bindings: &[(Binding, wgpu::BufferBinding<'_>)],
        offset: Option<u32>,
        grid: Grid,
        when: When,
    ) {
        let (kinds, runs): (Vec<_>, Vec<_>) = bindings.iter().cloned().unzip();
        let pipeline = self.gpu.pipeline(source, entry, &kinds);
        let group = self.gpu.shared_group(&kinds, &runs);
        self.acts.push(Act::Dispatch { name: entry, pipeline, group, offset, grid, when });
    }

    fn begin(&mut self) {
        let source = self.sources.with(&[], &[include_str!("shaders/begin.wgsl")]);
        let memory = self.memory;
        let bindings = [(Write, &memory.report), (Write, &memory.masses)];
        self.push((&source, "begin"), &bindings, Grid::Counters(GROUP), When::Always);
    }

    fn norm(&mut self, input: Reg, weight: WeightRole, layer: Option<u32>, out: Reg, vectors: u32) {
        let to = &self.memory.registers[out as usize];
        let numbers = [("VECTORS", vectors), ("WIDTH", to.width / vectors), ("STRIDE", to.stride)];
        let here = include_str!("shaders/norm_here.wgsl");
        let from = include_str!("shaders/norm_from.wgsl");
        let numbers = [&numbers[..], &self.lanes(LEAST_LANES)].concat();
        let together = [self.trees(), include_str!("shaders/norm_groups.wgsl")];
        let (body, groups) = match self.gpu.variant {
            Variant::Rows if to.width <= MOST_LONE_WIDTH => {
                (&[include_str!("shaders/norm_rows.wgsl")][..], vectors.div_ceil(NORM_GROUP))
            }
            Variant::Rows | Variant::Groups => (&together[..], vectors),
        };
        let files = [&[if input == out { here } else { from }], body].concat();
        let source = self.sources.with(&numbers, &files);
        let mut bindings = vec![(Write, &to.buffer)];
        if input != out {
            bindings.push((Read, &self.memory.registers[input as usize].buffer));
        }
        let slot = self.weights.vector(weight, layer);
        self.push_slot((&source, "norm"), slot, &bindings, Grid::Rows(groups));
    }

    fn add(&mut self, reg: Reg, weight: WeightRole, layer: Option<u32>) {
        let out = &self.memory.registers[reg as usize];
        let numbers = [("WIDTH", out.width), ("STRIDE", out.stride)];
        let source = self.sources.with(&numbers, &[include_str!("shaders/add.wgsl")]);
        let slot = self.weights.vector(weight, layer);
        let grid = Grid::Rows(out.width.div_ceil(GROUP));
        self.push_slot((&source, "add"), slot, &[(Write, &out.buffer)], grid);
    }

    fn rotate(&mut self, reg: Reg) {
        let source = self.sources.with(&[], &[shader::ANGLES, include_str!("shaders/rotate.wgsl")]);
        let pairs = self.shape.kv_heads * self.shape.rope.dims / 2;
        let memory = self.memory;
        let bindings = [(Read, &memory.angles), (Write, &memory.registers[reg as usize].buffer)];
        self.push((&source, "rotate"), &bindings, Grid::Rows(pairs.div_ceil(GROUP)), When::Always);
    }

    fn store(
        &mut self,
        key: Reg,
        value: Reg,
        layer: u32,
        files: &[&str],
        angles: &[(Binding, &wgpu::Buffer)],
    ) {
        let files = [files, &[include_str!("shaders/store.wgsl")]].concat();
        let source = self.sources.with(&[], &files);
        let memory = self.memory;
        let [key, value] = [key, value].map(|reg| &memory.registers[reg as usize].buffer);
        let registers = [(Read, key), (Read, value), (Write, &memory.pages[layer as usize])];
        let bindings = [&registers[..], angles].concat();
        let groups = self.shape.kv_width().div_ceil(GROUP);
        self.push((&source, "store"), &bindings, Grid::Stores(groups), When::Always);
    }

    fn attend(&mut self, query: Reg, out: Reg, layer: u32) {
        let memory = self.memory;
        let [query, out] = [query, out].map(|reg| &memory.registers[reg as usize].buffer);
        let pages = &memory.pages[layer as usize];
        let files = [shader::MATH, shader::ANGLES, shader::PAGES, shader::VISIBLE];
        let scores = [&files[..], &[shader::SCORES]].concat();

        let (attend, grid) = self.attend_kernel(&files, &scores);
        let source = self.sources.with(&self.lanes(ATTEND_LANES), &attend);
        let inputs = [(Read, &memory.angles), (Read, query), (Read, pages)];
        let outputs = [(Write, &memory.parts), (Write, out), (Write, &memory.totals)];
        let bindings = [&inputs[..], &outputs].concat();
        self.push((&source, "attend"), &bindings, grid, When::Always);

        let reduce = [shader::MATH, shader::PARTS, include_str!("shaders/reduce.wgsl")];
        let source = self.sources.with(&[], &reduce);
        let bindings = [(Read, &memory.parts), (Write, out), (Write, &memory.totals)];
        let groups = self.shape.query_width().div_ceil(GROUP);
        self.push((&source, "reduce"), &bindings, Grid::Reduced(groups), When::Always);

        let count = [&scores[..], &[include_str!("shaders/count.wgsl")]].concat();
        let source = self.sources.with(&[], &count);
        let outputs = [(Read, &memory.totals), (Write, &memory.masses), (Write, &memory.report)];
        let bindings = [&inputs[..], &outputs].concat();
        self.push((&source, "count"), &bindings, Grid::Pages(SPLIT_GROUP), When::Counted(layer));
    }

    /// The files of attention's first kernel, and its size. Workgroup memory holds the turned queries of
    /// heads of usual width.
    fn attend_kernel<'f>(&self, files: &[&'f str], scores: &[&'f str]) -> (Vec<&'f str>, Grid) {
        let units = self.shape.heads;
        if self.gpu.variant == Variant::Groups && self.shape.head_dim <= MOST_SHARED_HEAD_DIM {
            let own = [self.trees(), shader::PARTS, include_str!("shaders/attend_groups.wgsl")];
            ([files, &own].concat(), Grid::Splits { units, per: 1 })
        } else {
            let own = [shader::PARTS, include_str!("shaders/attend_rows.wgsl")];
            ([scores, &own].concat(), Grid::Splits { units, per: SPLIT_GROUP })
        }
    }

    fn gate(&mut self, activation: Activation, gate: Reg, up: Reg) {
        let [gate, up] = [gate, up].map(|reg| &self.memory.registers[reg as usize]);
        let numbers = [("WIDTH", gate.width), ("STRIDE", gate.stride)];
        let flag = ("GELU", activation == Activation::Gelu);
        let files = [shader::MATH, shader::ACTIVATION, include_str!("shaders/gate.wgsl")];
        let source = self.sources.with_flag(flag, &numbers, &files);
        let bindings = [(Write, &gate.buffer), (Read, &up.buffer)];
        self.push((&source, "gate"), &bindings, Grid::Rows(gate.width.div_ceil(GROUP)), When::Always);
    }

    fn expose(&mut self, reg: Reg, layer: Option<u32>) {
        let input = &self.memory.registers[reg as usize];
        let numbers = [("WIDTH", input.width), ("STRIDE", input.stride), ("REG", reg as u32)];
        let source = self.sources.with(&numbers, &[include_str!("shaders/expose.wgsl")]);
        let grid = Grid::Exposed(input.width.div_ceil(GROUP));
        let place = u64::from(layer.unwrap_or(self.shape.layers));
        let operands = wgpu::BufferBinding {
            buffer: &self.memory.operands,
            offset: place * OPERAND_BYTES,
            size: wgpu::BufferSize::new(OPERAND_BYTES),
        };
        let [input, report] =
            [&input.buffer, &self.memory.report].map(|buffer| buffer.as_entire_buffer_binding());
        let bindings = [(Read, operands), (Read, input), (Write, report)];
        self.push_runs((&source, "expose"), &bindings, None, grid, When::tapped(layer, reg));
    }

    fn head(&mut self, input: Reg, weight: WeightRole) {
        let memory = self.memory;
        let from = &memory.registers[input as usize];
        let numbers = [("WIDTH", from.width), ("STRIDE", from.stride)];
        let source = self.sources.with(&numbers, &[include_str!("shaders/gather.wgsl")]);
        let bindings = [(Read, &from.buffer), (Write, &memory.wanted.buffer)];
        self.push((&source, "gather"), &bindings, Grid::Wants(from.width.div_ceil(GROUP)), When::Always);

        let matrix = self.weights.matrix(weight, None);
        let wanted = Input { register: &memory.wanted, narrow: memory.narrow.as_ref(), norm: None };
        let logits = &memory.logits;
        let most = self.limits.outcomes;
        let product = MatMul::new(self.gpu, matrix, wanted, logits, RowCount::Wants, most, false);
        self.acts.push(Act::Logits(product));
        self.unmasked = self.acts.len();

        let blocks = self.shape.vocab.div_ceil(VOCAB_BLOCK);
        let shared = self.gpu.variant == Variant::Groups;
        let lanes = self.lanes(VOCAB_BLOCK);
        let alone = include_str!("shaders/head_blocks.wgsl");
        let together = [self.trees(), include_str!("shaders/head_groups.wgsl")];
        let (files, groups) =
            if shared { (&together[..], blocks) } else { (&[alone][..], blocks.div_ceil(NORM_GROUP)) };
        let source = self.sources.with(&lanes, &[&[shader::MATH, shader::ALLOWED], files].concat());
        let bindings = [(Read, &logits.buffer), (Write, &memory.blocks)];
        self.push((&source, "head_blocks"), &bindings, Grid::Wants(groups), When::Always);

        let alone = [shader::CHOOSE_ALONE, include_str!("shaders/choose_rows.wgsl")];
        let together = [self.trees(), include_str!("shaders/choose_groups.wgsl")];
        // Also without barriers elsewhere: one invocation would go through the whole vocabulary, and a
        // software driver ends loops after 65,535 turns in all.
        let shared = self.limits.candidates <= MOST_SHARED_CANDIDATES;
        let files = if shared { together } else { alone };
        let common = [shader::MATH, shader::ALLOWED, shader::OUTCOME];
        let source = self.sources.with(&lanes, &[&common[..], &files].concat());
        let bindings = [(Read, &logits.buffer), (Read, &memory.blocks), (Write, &memory.report)];
        self.push((&source, "choose"), &bindings, Grid::Wants(1), When::Always);
    }
}

fn place(layer: Option<u32>) -> u32 {
    layer.expect("the verifier lets this instruction stand in the layer part only")
}
