//! The test that every backend of the tensor machine must pass.
//!
//! [`run`] puts a [`Backend`] through every check and returns a [`Table`]. The checks are of four
//! kinds:
//!
//! * `ops`, `attend`, `head`: one instruction at a time, made visible by tiny programs around it,
//!   against the reference or against a formula written here, with a stated [`tolerance`].
//! * `whole`: small random models of three families, against the reference.
//! * `bits`, `base`, `late`: what must not change a bit: chunks, neighbours, order, addresses, threads, what page
//!   memory and report buffers held before, when masks come.
//! * `pages`, `refusals`, `faults`: page images, copies and summaries; and every typed refusal.
//!
//! A backend joins by one line, a [`Backend`] in the list of whoever runs the suite. Every case is a
//! function of [`Options::seed`], the check's name and the case's number, so a failure repeats.
//!
//! What must never happen here: a dependency on a backend other than the reference, or on the kernel.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod checks;
mod compare;
mod model;
mod play;
mod programs;
mod rig;
pub mod rng;
mod table;
pub mod tensor;
pub mod tolerance;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use rig::Make;
pub use table::{Line, Table};

use crate::checks::{Bench, Check, Failure};
use crate::compare::{Apart, largest};
use crate::rng::Rng;

/// A backend, and how to make one.
#[derive(Clone, Copy)]
pub struct Backend {
    /// Its name, as `--backend` takes it.
    pub name: &'static str,
    /// Makes a device as users get it.
    pub make: Make,
    /// Other configurations of it that must give the very same bits: thread counts, instruction sets.
    pub twins: &'static [Twin],
}

/// A configuration of a backend.
#[derive(Clone, Copy)]
pub struct Twin {
    /// For the table.
    pub name: &'static str,
    /// Makes a device.
    pub make: Make,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Determines every case.
    pub seed: u64,
    /// Cases per line of the table; at least 1.
    pub cases: u32,
    /// Run only the checks whose name and kind, joined by a space, contain this.
    pub only: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { seed: 1, cases: 6, only: None }
    }
}

/// The checks that there are for a backend: name and kind, as [`Options::only`] looks at them.
pub fn names(backend: &Backend) -> Vec<String> {
    checks::all(backend).iter().map(Check::full_name).collect()
}

/// Runs the checks.
pub fn run(backend: &Backend, options: &Options) -> Table {
    run_telling(backend, options, |_| ())
}

/// Runs the checks and tells each as soon as it is done: a slow device takes minutes for all.
pub fn run_telling(backend: &Backend, options: &Options, mut tell: impl FnMut(&Line)) -> Table {
    let caps = (backend.make)().caps();
    let chosen =
        |check: &Check| options.only.as_ref().is_none_or(|part| check.full_name().contains(part.as_str()));
    let checks = checks::all(backend).into_iter().filter(chosen);
    Table {
        backend: format!("{} ({}, {} threads)", backend.name, caps.variant, caps.threads),
        seed: options.seed,
        lines: checks.map(|check| run_check(&check, backend, options)).inspect(|line| tell(line)).collect(),
    }
}

fn run_check(check: &Check, backend: &Backend, options: &Options) -> Line {
    let tolerance = tolerance::of(check.name);
    let mut line = Line {
        check: check.name,
        kind: check.kind.clone(),
        cases: 0,
        worst: 0.0,
        tolerance,
        refused: false,
        failure: None,
    };
    for case in 0..options.cases {
        let mut rng = Rng::new(options.seed, &check.full_name(), case);
        let bench = Bench::new(backend);
        let result = catch_unwind(AssertUnwindSafe(|| (check.run)(&bench, &mut rng)));
        line.cases += 1;
        let fault = match result {
            Ok(Ok(Apart { error, place })) => {
                line.worst = largest([line.worst, error]).error;
                let place = place.map_or(String::new(), |place| format!("; {place}"));
                let (unit, limit) = (tolerance.unit, tolerance.limit);
                let excess = || format!("{error:.1e} {unit}; {limit:.1e} is allowed{place}");
                (error.is_nan() || error > limit).then(excess)
            }
            Ok(Err(Failure::Refused)) => {
                line.refused = true;
                None
            }
            Ok(Err(Failure::Fault(fault))) => Some(fault),
            Err(panic) => Some(format!("panicked: {}", panic_text(&*panic))),
        };
        if let Some(fault) = fault {
            let model = bench.model().map_or(String::new(), |model| format!(" ({model})"));
            line.failure = Some(format!("case {case} of seed {}: {fault}{model}", options.seed));
            break;
        }
    }
    line
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}
