//! Which extensions pay on this device, for this model: each is tried on a kernel of the model's own sizes.
//!
//! What is chosen gives the same bits as what is not, so that a clock that is disturbed costs time and nothing
//! else; and it is chosen before the first step, so that no batch has a say in it.

use std::fmt;
use std::time::{Duration, Instant};

use agentos_hal::{DeviceError, Limits, ModelShape, Op, PrepareError, Program};

use crate::dispatch::Act;
use crate::fuse;
use crate::gpu::{Gpu, Offer};
use crate::lower;
use crate::machine::Memory;
use crate::probe;
use crate::sizes::Sizes;
use crate::step::Packed;
use crate::variant::{Extensions, Kernels};
use crate::weights::Store;

/// No trial begins after this time; one that has begun ends.
pub const BUDGET: Duration = Duration::from_millis(200);

/// Work is doubled until it takes this long, so that the time of a submission does not count.
const LONG_ENOUGH: Duration = Duration::from_millis(1);

/// How often work is doubled at most, and how often it is then measured; the least time counts.
const DOUBLINGS: u32 = 8;
const ROUNDS: u32 = 3;

/// An extension is used where it saves so much of the time of its kernel.
const WORTHWHILE: f64 = 0.02;

/// A kernel without and with an extension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// The kernel.
    pub kernel: &'static str,
    /// The extension, as in the name of [`Kernels`].
    pub extension: &'static str,
    /// Microseconds of one dispatch without it.
    pub without_us: f64,
    /// Microseconds of one dispatch with it.
    pub with_us: f64,
}

/// What was tried, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// The kernels that were chosen.
    pub kernels: Kernels,
    /// What was timed. An extension that the adapter lacks, that failed its probe, or that there was no time
    /// for, is not among them.
    pub trials: Vec<Trial>,
    /// What all of it took.
    pub took: Duration,
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kernels)?;
        for Trial { kernel, extension, without_us, with_us } in &self.trials {
            write!(f, "; {kernel} {without_us:.1} us, with {extension} {with_us:.1}")?;
        }
        write!(f, "; tuned in {:.0} ms", self.took.as_secs_f64() * 1e3)
    }
}

/// A model as far as it is there before its program is lowered.
pub struct Subject<'a> {
    /// Its program.
    pub program: &'a Program,
    /// Its shape.
    pub shape: &'a ModelShape,
    /// Its limits.
    pub limits: &'a Limits,
    /// Its sizes.
    pub sizes: &'a Sizes,
    /// Its memory.
    pub memory: &'a Memory,
    /// Its weights.
    pub weights: &'a Store,
    /// Group 0 of its kernels.
    pub step_group: &'a wgpu::BindGroup,
}

/// Chooses what kernels use from now on, where that is not pinned. `None` where there was no choice.
pub fn tune(gpu: &Gpu, subject: &Subject<'_>, budget: Duration) -> Option<Tuning> {
    let Offer::Tuned(offer) = gpu.offer else { return None };
    gpu.set_extensions(Extensions::NONE);
    let offer = offer.and(gpu.variant.uses());
    if offer == Extensions::NONE {
        return None;
    }
    let began = Instant::now();
    let mut tuning = Tuning { kernels: gpu.kernels(), trials: Vec::new(), took: Duration::ZERO };
    let product = product(subject.program, subject);
    let norm = subject.program.layer.iter().position(|op| matches!(op, Op::Norm { .. }));
    let norm = norm.map(|at| &subject.program.layer[at..=at]);
    let only = |subgroups, halves| Extensions { subgroups, halves };
    for (kernel, extension, one, ops) in
        [("product", "halves", only(false, true), product), ("norm", "subgroups", only(true, false), norm)]
    {
        let Some(ops) = ops.filter(|_| offer.and(one) == one) else { continue };
        let tried = tried(gpu, subject, one, ops, &|| began.elapsed() >= budget);
        if let Ok(Some([without_us, with_us])) = tried {
            tuning.trials.push(Trial { kernel, extension, without_us, with_us });
            if with_us < without_us * (1.0 - WORTHWHILE) {
                tuning.kernels.extensions.subgroups |= one.subgroups;
                tuning.kernels.extensions.halves |= one.halves;
            }
        }
    }
    gpu.set_extensions(tuning.kernels.extensions);
    tuning.took = began.elapsed();
    Some(tuning)
}

/// Microseconds without and with an extension; `None` where it fails its probe, or time is up.
fn tried(
    gpu: &Gpu,
    subject: &Subject<'_>,
    extension: Extensions,
    ops: &[Op],
    is_over: &dyn Fn() -> bool,
) -> Result<Option<[f64; 2]>, PrepareError> {
    let mut times = [0.0; 2];
    for (time, extensions) in times.iter_mut().zip([Extensions::NONE, extension]) {
        if is_over() || (extensions != Extensions::NONE && !probe::passes(gpu, extensions)?) {
            return Ok(None);
        }
        gpu.set_extensions(extensions);
        let measured = gpu.checked(|| {
            let Subject { program, shape, limits, sizes, memory, weights, .. } = *subject;
            // Kernels for one row: the others are made when the program is.
            let limits = Limits { rows: 1, ..*limits };
            let acts = lower::instructions(gpu, program, shape, &limits, sizes, memory, weights, ops);
            microseconds(gpu, subject, &acts, is_over)
        });
        gpu.set_extensions(Extensions::NONE);
        *time = measured?;
    }
    Ok(Some(times))
}

/// The layer's largest product that can stand alone and has half-precision numbers to convert: the gated one, else
/// the longest that adds to its output.
fn product<'p>(program: &'p Program, subject: &Subject<'_>) -> Option<&'p [Op]> {
    let (layer, weights) = (program.layer, subject.weights);
    let gated = (0..layer.len()).find_map(|at| {
        let gated = fuse::gated(program, &layer[at..])?;
        let fused = weights.fused(gated.weights[0], 0)?;
        Some((&layer[at..at + fuse::GATED_OPS], fused))
    });
    let longest = || {
        let added = layer.iter().enumerate().filter_map(|(at, op)| match *op {
            Op::MatMul { weight, accumulate: true, .. } => Some((&layer[at..=at], weight)),
            _ => None,
        });
        let (ops, weight) = added.max_by_key(|(_, weight)| weight.dims(subject.shape).1)?;
        Some((ops, weights.matrix(weight, Some(0))))
    };
    let (ops, weights) = gated.or_else(longest)?;
    weights.have_halves().then_some(ops)
}

/// Microseconds that some acts take together for one row.
fn microseconds(
    gpu: &Gpu,
    subject: &Subject<'_>,
    acts: &[Act],
    is_over: &dyn Fn() -> bool,
) -> Result<f64, PrepareError> {
    let step = Packed::of_one_row(subject.shape, subject.limits, subject.sizes.split_pages);
    gpu.queue.write_buffer(&subject.memory.step, 0, bytemuck::cast_slice(&step.words));
    let run = |times: u32| {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_bind_group(0, subject.step_group, &[]);
            for _ in 0..times {
                for act in acts {
                    act.encode(&mut pass, &step);
                }
            }
        }
        let commands = encoder.finish();
        let began = Instant::now();
        gpu.queue.submit([commands]);
        match gpu.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => Ok(began.elapsed()),
            Err(_) => Err(PrepareError::Device(gpu.failure().unwrap_or(DeviceError::Hung))),
        }
    };
    // The first time compiles, and touches memory.
    run(1)?;
    let (mut times, mut least) = (1, run(1)?);
    for _ in 0..DOUBLINGS {
        if least >= LONG_ENOUGH || is_over() {
            break;
        }
        times *= 2;
        least = run(times)?;
    }
    for _ in 1..ROUNDS {
        if is_over() {
            break;
        }
        least = least.min(run(times)?);
    }
    Ok(least.as_secs_f64() * 1e6 / f64::from(times))
}
