//! The checks, by what they look at.

mod attend;
mod base;
mod bits;
mod faults;
mod head;
mod late;
mod ops;
mod pages;
mod refusals;
mod whole;

use std::cell::RefCell;

use agentos_hal::{DType, Inputs, Limits, ModelShape, PrepareError, Rope};
use agentos_reference::Reference;

use crate::Backend;
use crate::compare::Apart;
use crate::model::Model;
use crate::rig::{Make, Rig};
use crate::rng::Rng;

/// A line of the table to be.
pub struct Check {
    /// Names its tolerance.
    pub name: &'static str,
    /// Which kind of it.
    pub kind: String,
    /// Runs one case and returns its error, in the tolerance's unit.
    pub run: Run,
}

/// One case.
pub type Run = Box<dyn Fn(&Bench<'_>, &mut Rng) -> Result<Apart, Failure>>;

/// Why a case has no error to show.
pub enum Failure {
    /// The device rightly said that it does not do this.
    Refused,
    /// Something is wrong.
    Fault(String),
}

impl From<String> for Failure {
    fn from(fault: String) -> Self {
        Failure::Fault(fault)
    }
}

/// Fails when two things that must be equal are not.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), Failure> {
    if found == expected {
        Ok(())
    } else {
        Err(Failure::Fault(format!("{what}: {found:?}; {expected:?} is right")))
    }
}

/// The backend under test.
pub struct Bench<'b> {
    pub backend: &'b Backend,
    /// The model that a device of it was given last.
    model: RefCell<Option<String>>,
}

/// Every check, in the table's order.
pub fn all(backend: &Backend) -> Vec<Check> {
    let mut checks = ops::checks();
    checks.extend(attend::checks());
    checks.extend(head::checks());
    checks.extend(whole::checks((backend.make)().caps().inputs));
    checks.extend(base::checks());
    checks.extend(bits::checks(backend));
    checks.extend(pages::checks());
    checks.extend(refusals::checks());
    checks.extend(faults::checks());
    checks.extend(late::checks(backend));
    checks
}

impl Check {
    /// Name and kind, joined by a space.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.name, self.kind).trim_end().to_owned()
    }

    /// A check whose case is a plain function.
    fn new<A: Into<Apart>>(
        name: &'static str,
        kind: impl Into<String>,
        run: impl Fn(&Bench<'_>, &mut Rng) -> Result<A, Failure> + 'static,
    ) -> Check {
        Check { name, kind: kind.into(), run: Box::new(move |bench, rng| run(bench, rng).map(Into::into)) }
    }
}

impl<'b> Bench<'b> {
    /// A backend, before a case.
    pub fn new(backend: &'b Backend) -> Bench<'b> {
        Bench { backend, model: RefCell::default() }
    }

    /// The model of the case, in words, if it has one.
    pub fn model(&self) -> Option<String> {
        self.model.borrow().clone()
    }

    /// Element types that the backend has kernels for.
    pub fn dtypes(&self) -> &'static [DType] {
        (self.backend.make)().caps().dtypes
    }

    /// What the backend's products make of their inputs.
    pub fn inputs(&self) -> Inputs {
        (self.backend.make)().caps().inputs
    }

    /// The backend's device with a model.
    pub fn subject(&self, model: &Model, limits: &Limits) -> Result<Rig, Failure> {
        self.subject_made(self.backend.make, model, limits)
    }

    /// A device of the backend's with a model. An element type that its `caps` leave out may be
    /// refused, and must be.
    pub fn subject_made(&self, make: Make, model: &Model, limits: &Limits) -> Result<Rig, Failure> {
        *self.model.borrow_mut() = Some(in_words(model, limits));
        let known = make().caps().dtypes;
        let unknown = model.tensors.iter().find(|(_, tensor)| !known.contains(&tensor.info.dtype));
        let Some((_, tensor)) = unknown else {
            return Ok(Rig::new(make, model, limits)?);
        };
        match crate::rig::prepare(&mut *make(), model, limits) {
            Err(PrepareError::DType { .. }) => Err(Failure::Refused),
            other => Err(Failure::Fault(format!(
                "{} is not in the caps, but prepare does not refuse it: {other:?}",
                tensor.info.dtype
            ))),
        }
    }

    /// The backend's device and the reference, with a model each.
    pub fn pair(&self, model: &Model, limits: &Limits) -> Result<(Rig, Rig), Failure> {
        Ok((self.subject(model, limits)?, oracle(model, limits)?))
    }
}

/// What kernels depend on.
fn in_words(model: &Model, limits: &Limits) -> String {
    let ModelShape { layers, width, ffn, heads, kv_heads, head_dim, vocab, rope, .. } = model.shape;
    let Rope { dims, pairing, factors, .. } = rope;
    format!(
        "{layers} layers, width {width}, ffn {ffn}, {heads} heads over {kv_heads} of {head_dim}, vocab {vocab}, \
         {dims} dims turned as {pairing:?}{}, KV {:?}",
        if factors { " with factors" } else { "" },
        limits.kv
    )
}

/// The reference with a model.
pub fn oracle(model: &Model, limits: &Limits) -> Result<Rig, Failure> {
    const MEMORY_BYTES: u64 = 1 << 30;
    Ok(Rig::new(|| Box::new(Reference::new(MEMORY_BYTES)), model, limits)?)
}
