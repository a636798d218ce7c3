//! What `agentos bench` times of the kernel: many agents on one device, as the system runs them.
//!
//! * `host`: a kernel at work, and what agents are in it.
//! * `meter`: a device that tells what page memory cost.
//! * `priority`, `overcommit`, `crowd`, `fork`, `swap`, `load`, `unused`, `pick`: the works.
//!
//! Prompts are tokens drawn from a seed: the work does not depend on what they say, and no two agents
//! share a prefix, so nothing is saved by sharing.

mod arrivals;
mod crowd;
mod fork;
pub(crate) mod host;
mod load;
mod meter;
mod overcommit;
mod pick;
mod priority;
mod swap;
mod unused;

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};

use super::BenchError;

/// One kind of work. All memory is taken when it is made.
pub trait KernelWork {
    /// What its device is to be prepared for.
    fn limits(&self) -> Limits;

    /// Does the work once and notes what it took.
    ///
    /// # Errors
    /// What the kernel or its device says.
    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError>;
}

/// Makes a work for a model.
pub type Open = fn(&ModelShape, KvType) -> Box<dyn KernelWork>;

/// The works that have names, in the order in which a table shows them.
pub const KERNEL_WORKS: [(&str, Open); 14] = [
    ("priority", |shape, kv| Box::new(priority::Interrupted::new(shape, kv))),
    ("arrivals", |shape, kv| Box::new(priority::Arrivals::new(shape, kv))),
    ("overcommit8", |shape, kv| Box::new(overcommit::Overcommit::new(shape, kv, 8, overcommit::L1_TOKENS))),
    ("overcommit64", |shape, kv| Box::new(overcommit::Overcommit::new(shape, kv, 64, overcommit::L1_TOKENS))),
    ("overcommit_n1", |shape, kv| Box::new(overcommit::Overcommit::one_too_many(shape, kv))),
    ("kernel16", |shape, kv| Box::new(crowd::Share::new(shape, kv, 16))),
    ("kernel64", |shape, kv| Box::new(crowd::Share::new(shape, kv, 64))),
    ("pick", |shape, kv| Box::new(pick::Pick::new(shape, kv))),
    ("fork", |shape, kv| Box::new(fork::Fork::new(shape, kv))),
    ("swap", |shape, kv| Box::new(swap::Swap::new(shape, kv))),
    ("load", |shape, kv| Box::new(load::Load::new(shape, kv))),
    ("unused", |shape, kv| Box::new(unused::Unused::new(shape, kv))),
    ("aggregate8", |shape, kv| Box::new(crowd::Aggregate::new(shape, kv, 8))),
    ("aggregate64", |shape, kv| Box::new(crowd::Aggregate::new(shape, kv, 64))),
];

/// What was measured under one name.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// In what.
    pub unit: &'static str,
    /// One number per measurement.
    pub samples: Vec<f64>,
}

/// What a work measured, in the order in which it first told of each.
#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    /// One more measurement.
    pub fn note(&mut self, name: &'static str, unit: &'static str, sample: f64) {
        match self.0.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.samples.push(sample),
            None => self.0.push(Figure { name, unit, samples: vec![sample] }),
        }
    }

    /// Forgets what a warm-up measured.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Limits within which both a device's users fit.
fn both(a: Limits, b: Limits) -> Limits {
    assert!(a.kv == b.kv, "one device has one type of keys and values");
    Limits {
        rows: a.rows.max(b.rows),
        spans: a.spans.max(b.spans),
        segments: a.segments.max(b.segments),
        segment_pages: a.segment_pages.max(b.segment_pages),
        outcomes: a.outcomes.max(b.outcomes),
        candidates: a.candidates.max(b.candidates),
        masks: a.masks.max(b.masks),
        taps: a.taps.max(b.taps),
        exposed: a.exposed.max(b.exposed),
        context: a.context.max(b.context),
        pages: a.pages.max(b.pages),
        kv: a.kv,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_of_one_name_come_together() {
        let mut figures = Figures::default();
        figures.note("a", "ms", 1.0);
        figures.note("b", "", 2.0);
        figures.note("a", "ms", 3.0);
        let a = Figure { name: "a", unit: "ms", samples: vec![1.0, 3.0] };
        assert_eq!(figures.0, [a, Figure { name: "b", unit: "", samples: vec![2.0] }]);
        figures.clear();
        assert!(figures.0.is_empty());
    }
}
