//! The rules by which a text falls into topics.

use agentos_hal::{LayerRange, Mass};
use agentos_kernel::slicing::Scored;
use agentos_kernel::slicing::density::DensityRule;
use agentos_kernel::slicing::ends::{End, Structure};
use agentos_kernel::slicing::shift::attention::AttentionShift;
use agentos_kernel::slicing::shift::rows::RowShift;
use agentos_kernel::slicing::shift::scalar::ScalarShift;
use agentos_kernel::slicing::topics::{Boundary, Cause, TopicRule, Topics};
use clap::ValueEnum;

use super::runner::Wanted;
use crate::calibration::Calibration;

/// A rule by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// By the change of a middle layer's hidden rows at the ends of slices. The default.
    Hidden,
    /// The paper's rule as it stands (eq. 7): where the density of attention, over all layers, rises fast.
    Density,
    /// By the change of the density of one layer, smoothed, at the ends of slices.
    DensitySmoothed,
    /// By how little the text looks back over the ends of slices.
    Attention,
    /// By messages and paragraphs alone.
    Structure,
}

/// Tokens before an end that are compared with as many after it.
pub const WINDOW: u32 = 32;

/// The same where the density is compared.
pub const DENSITY_WINDOW: u32 = 16;

/// Standard deviations above the mean at which the paper's rule as it stands finds a boundary: of those from 1 to 4
/// the one that agrees best with joined texts.
pub const DEVIATIONS: f32 = 2.5;

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 5] =
        [Policy::Hidden, Policy::Density, Policy::DensitySmoothed, Policy::Attention, Policy::Structure];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Hidden => "hidden",
            Policy::Density => "density",
            Policy::DensitySmoothed => "density-smoothed",
            Policy::Attention => "attention",
            Policy::Structure => "structure",
        }
    }

    /// Its threshold by a calibration.
    fn threshold(self, calibration: &Calibration) -> f32 {
        match self {
            Policy::Hidden => calibration.slicing_threshold,
            Policy::Density => DEVIATIONS,
            Policy::DensitySmoothed => calibration.density_threshold,
            Policy::Attention => calibration.attention_threshold,
            // A paragraph's end counts 1 and any other 0.
            Policy::Structure => 0.5,
        }
    }
}

/// A policy, and what of it is to be another than a calibration says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The policy.
    pub policy: Policy,
    /// The only layer that it looks at.
    pub layer: Option<u32>,
    /// Its threshold.
    pub threshold: Option<f32>,
}

impl From<Policy> for Rule {
    fn from(policy: Policy) -> Rule {
        Rule { policy, layer: None, threshold: None }
    }
}

impl Rule {
    /// What it has to be shown of a text, by a model of `layers`.
    pub fn wanted(&self, calibration: &Calibration, layers: u32) -> Wanted {
        let one = |layer: u32| LayerRange { start: layer, end: layer + 1 };
        let counters = match (self.policy, self.layer) {
            (Policy::Hidden | Policy::Structure, _) => LayerRange::NONE,
            (_, Some(layer)) => one(layer),
            (Policy::Density, None) => LayerRange { start: 0, end: layers },
            (Policy::DensitySmoothed, None) => one(calibration.density_layer),
            (Policy::Attention, None) => calibration.attention_layers(),
        };
        let slices = self.policy == Policy::Attention;
        Wanted { hidden: vec![self.hidden_layer(calibration)], counters, slices }
    }

    /// The layer whose hidden rows it is shown: slices are told apart by them whatever it goes by.
    pub fn hidden_layer(&self, calibration: &Calibration) -> u32 {
        self.layer.filter(|_| self.policy == Policy::Hidden).unwrap_or(calibration.slicing_layer)
    }

    /// Its threshold.
    pub fn threshold(&self, calibration: &Calibration) -> f32 {
        self.threshold.unwrap_or_else(|| self.policy.threshold(calibration))
    }
}

/// What a policy makes of what it is shown, as it comes.
enum Measure<'m> {
    Rows(Box<RowShift<'m>>),
    Density(DensityRule),
    Smoothed(Box<ScalarShift>),
    Attention(Box<AttentionShift>),
    Structure,
}

/// Finds the boundaries of one text.
pub struct Finder<'m> {
    measure: Measure<'m>,
    topics: Topics,
    /// The sealed ends of the text's slices that are still to come, and how many tokens and slices have come.
    ends: std::vec::IntoIter<End>,
    next: Option<End>,
    tokens: u32,
    slice_from: u32,
    /// What each end scored.
    pub scored: Vec<Scored>,
    /// What was found.
    pub boundaries: Vec<Boundary>,
}

impl<'m> Finder<'m> {
    /// For a text whose slices end here. `ring` is room for hidden rows of `width`; it is made as long as it has to be.
    pub fn new(
        policy: Policy,
        threshold: f32,
        sinks: u32,
        ends: Vec<End>,
        ring: &'m mut Vec<f32>,
        width: usize,
    ) -> Finder<'m> {
        let measure = match policy {
            Policy::Hidden => {
                ring.clear();
                ring.resize(RowShift::ring_len(WINDOW, width), 0.0);
                Measure::Rows(Box::new(RowShift::new(ring, width, WINDOW, sinks)))
            }
            Policy::Density => Measure::Density(DensityRule::new(threshold)),
            Policy::DensitySmoothed => Measure::Smoothed(Box::new(ScalarShift::new(DENSITY_WINDOW))),
            Policy::Attention => Measure::Attention(Box::new(AttentionShift::new(WINDOW))),
            Policy::Structure => Measure::Structure,
        };
        let mut ends = ends.into_iter();
        Finder {
            measure,
            topics: Topics::new(TopicRule::new(threshold)),
            next: ends.next(),
            ends,
            tokens: 0,
            slice_from: 0,
            scored: Vec::new(),
            boundaries: Vec::new(),
        }
    }

    /// Takes the next token: its hidden row, and the density of its attention.
    pub fn token(&mut self, row: &[f32], density: f32) {
        self.tokens += 1;
        let end = self.next.filter(|end| end.at == self.tokens);
        if end.is_some() {
            self.next = self.ends.next();
        }
        let scored = match &mut self.measure {
            Measure::Rows(shift) => shift.push(row, end),
            Measure::Smoothed(shift) => shift.push(density, end),
            Measure::Structure => end.map(|end| {
                let score = f32::from(u8::from(end.structure >= Structure::Paragraph));
                Scored { end, score }
            }),
            Measure::Density(rule) => {
                if let Some(score) = rule.push(density) {
                    let end = End { at: self.tokens - 1, structure: Structure::Inside };
                    self.boundaries.push(Boundary { end, score, cause: Cause::Change });
                }
                None
            }
            // Slices come by themselves.
            Measure::Attention(_) => None,
        };
        self.settle(scored);
    }

    /// Takes the slice that the last tokens were: what it pays to each slice so far. `before` is the end before it.
    pub fn slice(&mut self, masses: &[Mass], before: Option<End>) {
        let Measure::Attention(shift) = &mut self.measure else { return };
        shift.push(self.tokens - self.slice_from, masses, before);
        self.slice_from = self.tokens;
        while let Measure::Attention(shift) = &mut self.measure
            && let Some(scored) = shift.ripe()
        {
            self.settle(Some(scored));
        }
    }

    /// Says that no more tokens come.
    pub fn finish(&mut self) {
        loop {
            let rest = match &mut self.measure {
                Measure::Rows(shift) => shift.finish(),
                Measure::Smoothed(shift) => shift.finish(),
                Measure::Attention(shift) => shift.finish(),
                Measure::Density(_) | Measure::Structure => None,
            };
            if rest.is_none() {
                break;
            }
            self.settle(rest);
        }
        self.topics.finish(&mut |boundary| self.boundaries.push(boundary));
    }

    fn settle(&mut self, scored: Option<Scored>) {
        if let Some(scored) = scored {
            self.scored.push(scored);
            self.topics.push(scored, &mut |boundary| self.boundaries.push(boundary));
        }
    }
}
