//! The reference with one fault planted.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Candidate, Caps, DType, DeviceError, Footprint, Inputs, LateMasks, LayerRange, Limits, MaskError, Mass,
    ModelShape, Outcome, PAGE_TOKENS, PageError, PageId, PrepareError, Program, Row, Segment, Step,
    StepReport, SubmitError, TensorDevice, WeightSource,
};
use agentos_reference::Reference;

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    LogitOff,
    CoarseRegisters,
    /// Says that it rounds inputs to 16 bits, and rounds results to eight.
    CoarseIntegers,
    LastBitOfRegisters,
    GapsIgnored,
    NanLeaks,
    TiesByHigherToken,
    MasksDropped,
    MaskedScoreHidden,
    CandidateMissing,
    OutcomesMisnumbered,
    SumsOff,
    MassKept,
    AllLayersCounted,
    NeighboursMatter,
    ChunksMatter,
    OrderMatters,
    TimeMatters,
    AddressMatters,
    StoredByAddress,
    PagesMatter,
    DepthMatters,
    ExposedRowsSwapped,
    ImageSwapped,
    CopiesBackwards,
    SummaryOfWholePage,
    FaultsAccepted,
    BusyAccepted,
    WrongRowNamed,
    CapsTooShort,
    Panics,
    /// A mask that comes later allows everything.
    LateMasksWide,
    /// Takes a mask for another.
    LateMasksShifted,
    /// Takes what it does not wait for.
    AnyMaskTaken,
    /// Says that it takes no late masks, and does.
    LateMasksDenied,
}

/// The faulty device.
pub struct Mutant {
    fault: Fault,
    inner: Reference,
    limits: Option<Limits>,
    layers: u32,
    image_bytes: usize,
    steps: u32,
    poisoned: bool,
    last: Last,
    before: Vec<Mass>,
    report: Report,
}

/// What the fault needs to know of the step under way.
#[derive(Default)]
struct Last {
    rows: usize,
    spans: Vec<u32>,
    base: u32,
    page: u32,
    taps: usize,
    ends_early: bool,
}

#[derive(Default)]
struct Report {
    entropy: Vec<f32>,
    mass: Vec<Mass>,
    outcomes: Vec<Outcome>,
    candidates: Vec<Candidate>,
    exposed: Vec<f32>,
}

impl Mutant {
    pub fn new(fault: Fault) -> Mutant {
        Mutant {
            fault,
            inner: Reference::new(1 << 30),
            limits: None,
            layers: 0,
            image_bytes: 0,
            steps: 0,
            poisoned: false,
            last: Last::default(),
            before: Vec::new(),
            report: Report::default(),
        }
    }

    /// Changes a key that the step stored, if its slice stands at an odd address.
    fn spoil_page(&mut self) {
        let page = PageId(self.last.page);
        let mut image = vec![0; self.image_bytes];
        assert!(self.inner.copy_out(page, &mut image).is_ready());
        image[1] ^= (self.last.base % 2) as u8;
        assert!(self.inner.copy_in(page, &image).is_ready());
    }

    /// Changes a finished step's report.
    fn spoil(&mut self) {
        let report = &mut self.report;
        let last_bit = |x: &mut f32| *x = f32::from_bits(x.to_bits() ^ 1);
        let places = self.limits.map_or(1, |limits| limits.candidates as usize).max(1);
        let wrong_bit = match self.fault {
            Fault::NeighboursMatter => self.last.spans.len() > 1,
            Fault::ChunksMatter => self.last.rows == 1,
            Fault::OrderMatters => self.last.spans.len() > 1 && self.last.spans[0] > self.last.spans[1],
            Fault::TimeMatters => self.steps.is_multiple_of(2),
            Fault::AddressMatters => self.last.base > 256,
            Fault::PagesMatter => self.last.page.is_multiple_of(5),
            _ => false,
        };
        if wrong_bit {
            report.outcomes.iter_mut().for_each(|outcome| last_bit(&mut outcome.log_sum_exp));
        }
        match self.fault {
            Fault::LogitOff => report.candidates.iter_mut().for_each(|one| one.logit *= 1.001),
            Fault::SumsOff => report.outcomes.iter_mut().for_each(|outcome| outcome.entropy += 1e-3),
            Fault::CoarseRegisters | Fault::CoarseIntegers => {
                let coarse = |x: &mut f32| *x = f32::from_bits(x.to_bits() & 0xffff_0000);
                report.exposed.iter_mut().for_each(coarse);
            }
            Fault::DepthMatters if self.last.ends_early => report.exposed.iter_mut().for_each(last_bit),
            Fault::LastBitOfRegisters => report.exposed.iter_mut().for_each(last_bit),
            Fault::NanLeaks if self.poisoned => {
                report.outcomes.iter_mut().for_each(|outcome| outcome.log_sum_exp = f32::NAN);
            }
            Fault::TiesByHigherToken => {
                let by_token =
                    |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(b.token.cmp(&a.token));
                let lists = report.candidates.chunks_mut(places);
                for (list, outcome) in lists.zip(&report.outcomes) {
                    list[..outcome.candidates as usize].sort_by(by_token);
                }
            }
            Fault::CandidateMissing => report.outcomes.iter_mut().for_each(|outcome| outcome.candidates -= 1),
            Fault::MaskedScoreHidden => {
                let lists = report.candidates.chunks(places);
                for (list, outcome) in lists.zip(&mut report.outcomes) {
                    let list = &list[..outcome.candidates as usize];
                    if list.iter().all(|one| one.logit != outcome.scored) {
                        outcome.scored = 0.0;
                    }
                }
            }
            Fault::OutcomesMisnumbered => {
                report.outcomes.iter_mut().zip(0..).for_each(|(outcome, nth)| outcome.row = nth);
            }
            Fault::MassKept => {
                for (mass, before) in report.mass.iter_mut().zip(&self.before) {
                    mass.0 += before.0;
                }
                self.before.clone_from(&report.mass);
            }
            Fault::ExposedRowsSwapped if self.last.taps > 0 => {
                let half = report.exposed.len() / 2;
                report.exposed.rotate_left(half);
            }
            _ => {}
        }
    }
}

/// The step with every slice moved up to the one before it.
fn without_gaps(step: &Step<'_>) -> (Vec<Row>, Vec<Segment>) {
    let (mut rows, mut segments) = (step.rows.to_vec(), step.segments.to_vec());
    let (mut first_row, mut first_segment) = (0, 0);
    for span in step.spans {
        let mut end = None;
        for segment in &mut segments[first_segment..first_segment + span.segments as usize] {
            let old = *segment;
            segment.base = end.unwrap_or(old.base);
            end = Some(segment.base + segment.len);
            for (row, old_row) in
                rows[first_row..].iter_mut().zip(&step.rows[first_row..]).take(span.rows as usize)
            {
                if (old.base..old.base + old.len).contains(&old_row.address) {
                    row.address = segment.base + (old_row.address - old.base);
                }
            }
        }
        first_row += span.rows as usize;
        first_segment += span.segments as usize;
    }
    (rows, segments)
}

impl TensorDevice for Mutant {
    fn caps(&self) -> Caps {
        let caps = self.inner.caps();
        let few: &[DType] = &[DType::F32];
        Caps {
            dtypes: if self.fault == Fault::CapsTooShort { few } else { caps.dtypes },
            late_masks: if self.fault == Fault::LateMasksDenied {
                LateMasks::Refused
            } else {
                caps.late_masks
            },
            inputs: if self.fault == Fault::CoarseIntegers { Inputs::Int16 } else { caps.inputs },
            ..caps
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        (self.limits, self.layers) = (Some(*limits), shape.layers);
        self.image_bytes = agentos_hal::page::image_bytes(shape, limits.kv);
        self.inner.prepare(program, shape, limits, weights)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        self.steps += 1;
        self.last = Last {
            rows: step.rows.len(),
            spans: step.spans.iter().map(|span| span.rows).collect(),
            base: step.segments.iter().map(|segment| segment.base).max().unwrap_or(0),
            page: step.pages.first().map_or(1, |page| page.0),
            taps: step.taps.len(),
            ends_early: step.depth.is_some(),
        };
        let (mut rows, mut segments) = (step.rows.to_vec(), step.segments.to_vec());
        if self.fault == Fault::MasksDropped {
            rows.iter_mut().for_each(|row| row.mask = None);
        }
        if self.fault == Fault::GapsIgnored {
            (rows, segments) = without_gaps(step);
        }
        let counters = match self.fault {
            Fault::AllLayersCounted => LayerRange { start: 0, end: step.depth.unwrap_or(self.layers) },
            _ => step.counters,
        };
        match self.inner.submit(&Step { rows: &rows, segments: &segments, counters, ..*step }) {
            Err(SubmitError::Step(_)) if self.fault == Fault::FaultsAccepted => Ok(()),
            Err(SubmitError::Busy) if self.fault == Fault::BusyAccepted => Ok(()),
            result => result,
        }
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        let wide = vec![u32::MAX; words.len()];
        let words = if self.fault == Fault::LateMasksWide { &wide } else { words };
        match self.fault {
            // The first late mask that it lacks, whichever was meant.
            Fault::LateMasksShifted => {
                let taken =
                    |other: &u16| self.inner.allow(*other, words) != Err(MaskError::Mask { mask: *other });
                (0..u16::MAX).find(taken).map(|_| ()).ok_or(MaskError::Mask { mask })
            }
            Fault::AnyMaskTaken => self.inner.allow(mask, words).or(Ok(())),
            _ => self.inner.allow(mask, words),
        }
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        assert!(self.fault != Fault::Panics, "a planted panic");
        let report = match self.inner.poll() {
            Poll::Ready(Ok(report)) => report,
            Poll::Ready(Err(DeviceError::NotFinite { .. })) if self.fault == Fault::WrongRowNamed => {
                return Poll::Ready(Err(DeviceError::NotFinite { row: u32::MAX }));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        self.report = Report {
            entropy: report.entropy.to_vec(),
            mass: report.mass.to_vec(),
            outcomes: report.outcomes.to_vec(),
            candidates: report.candidates.to_vec(),
            exposed: report.exposed.to_vec(),
        };
        self.spoil();
        if self.fault == Fault::StoredByAddress && self.last.rows > 0 {
            self.spoil_page();
        }
        let Report { entropy, mass, outcomes, candidates, exposed } = &self.report;
        Poll::Ready(Ok(StepReport { entropy, mass, outcomes, candidates, exposed }))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let result = self.inner.copy_out(page, image);
        if self.fault == Fault::ImageSwapped && image.len() >= 8 {
            image[..8].rotate_left(4);
        }
        result
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        self.poisoned |= image.iter().all(|&byte| byte == 0xff);
        self.inner.copy_in(page, image)
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let mut pairs = pairs.to_vec();
        if self.fault == Fault::CopiesBackwards {
            pairs.reverse();
        }
        self.inner.copy_pages(&pairs)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        let whole = self.fault == Fault::SummaryOfWholePage && (1..=PAGE_TOKENS).contains(&tokens);
        self.inner.summarise(page, layer, if whole { PAGE_TOKENS } else { tokens }, summary)
    }
}
