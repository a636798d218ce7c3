//! Several contexts on one device, driven by raw steps: the work that a benchmark times.

use std::task::Poll;

use agentos_hal::{
    DeviceError, LayerRange, Limits, PageError, PageId, Row, Segment, Span, Step, SubmitError, TensorDevice,
    Want,
};
use agentos_kernel::call::CallError;
use agentos_kernel::layout::{Delimiter, Layout, SliceLimits};
use agentos_kernel::system::{StorageError, Tick};
use agentos_store::OpenError;

/// Every this many tokens a sentence ends: slices are as long as those of prose.
const SENTENCE: u32 = 20;

/// Contexts of a benchmark. All tables are made once.
pub struct Crowd {
    contexts: Vec<Context>,
    rows: Vec<Row>,
    spans: Vec<Span>,
    segments: Vec<Segment>,
    pages: Vec<PageId>,
    vocab: u32,
}

#[derive(Default)]
struct Context {
    layout: Layout,
    segments: Vec<Segment>,
    pages: Vec<PageId>,
    first_page: u32,
}

impl Crowd {
    /// `count` empty contexts of at most `tokens` each.
    pub fn new(count: u32, tokens: u32, vocab: u32) -> Crowd {
        let pages = pages_for(tokens);
        let context = |index| Context { first_page: index * pages, ..Context::default() };
        Crowd {
            contexts: (0..count).map(context).collect(),
            rows: Vec::new(),
            spans: Vec::new(),
            segments: Vec::new(),
            pages: Vec::new(),
            vocab,
        }
    }

    /// Appends `tokens` tokens to every context in one step, and computes it. The last row of each
    /// wants candidates when `want` is set.
    ///
    /// # Errors
    /// What the device says.
    pub fn step(&mut self, device: &mut dyn TensorDevice, tokens: u32, want: bool) -> Result<(), BenchError> {
        self.rows.clear();
        self.spans.clear();
        self.segments.clear();
        self.pages.clear();
        for context in &mut self.contexts {
            for index in 0..tokens {
                let last = want && index + 1 == tokens;
                self.rows.push(context.append(self.vocab, last));
            }
            self.spans.push(Span { rows: tokens, segments: context.segments.len() as u32 });
            self.segments.extend_from_slice(&context.segments);
            self.pages.extend_from_slice(&context.pages);
        }
        let step = Step {
            rows: &self.rows,
            spans: &self.spans,
            segments: &self.segments,
            pages: &self.pages,
            masks: &[],
            taps: &[],
            counters: LayerRange::NONE,
            depth: None,
        };
        device.submit(&step).map_err(BenchError::Submit)?;
        loop {
            match device.poll() {
                Poll::Ready(report) => return report.map(|_| ()).map_err(BenchError::Device),
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }
}

/// Why a benchmark ended early.
#[derive(Debug)]
pub enum BenchError {
    /// The device refused a step.
    Submit(SubmitError),
    /// The device failed in a step.
    Device(DeviceError),
    /// The device does not give or take a page.
    Page(PageError),
    /// The kernel refused its tables.
    Storage(StorageError),
    /// The kernel refused a system call.
    Call(CallError),
    /// There is no file for what is kept.
    Store(OpenError),
    /// The kernel stopped before the work was done.
    Stopped(Tick),
}

impl std::fmt::Display for BenchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BenchError::Submit(error) => error.fmt(f),
            BenchError::Device(error) => error.fmt(f),
            BenchError::Page(error) => write!(f, "the device does not give or take a page: {error}"),
            BenchError::Storage(error) => error.fmt(f),
            BenchError::Call(error) => error.fmt(f),
            BenchError::Store(error) => error.fmt(f),
            BenchError::Stopped(tick) => {
                write!(f, "the kernel stopped before the benchmark was done: {tick:?}")
            }
        }
    }
}

impl std::error::Error for BenchError {}

impl Context {
    fn append(&mut self, vocab: u32, want: bool) -> Row {
        let address = self.layout.tokens;
        let ends = if address % SENTENCE == SENTENCE - 1 { Delimiter::Sentence } else { Delimiter::None };
        let (layout, place) = self.layout.append(ends, SliceLimits::DEFAULT);
        self.layout = layout;
        if place.offset == 0 {
            self.segments.push(Segment { base: address, len: 0 });
        }
        if place.place == 0 {
            self.pages.push(PageId(self.first_page + place.page));
        }
        self.segments[place.slice as usize].len += 1;
        Row {
            // Any tokens will do: the work does not depend on them.
            token: address.wrapping_mul(2_654_435_761) % vocab,
            address,
            page: self.pages[place.page as usize],
            place: place.place,
            offset: place.offset,
            want: if want { Want::Candidates } else { Want::Nothing },
            mask: None,
            expose: false,
        }
    }
}

/// Pages that a context of `tokens` takes at most.
fn pages_for(tokens: u32) -> u32 {
    SliceLimits::DEFAULT.worst_pages(tokens)
}

/// Limits for `count` contexts of `tokens` each, and steps of at most `rows` rows.
pub fn limits(count: u32, tokens: u32, rows: u32, kv: agentos_hal::KvType) -> Limits {
    let segments = count * SliceLimits::DEFAULT.worst_slices(tokens);
    Limits {
        rows,
        spans: count,
        segments,
        segment_pages: count * pages_for(tokens),
        outcomes: count,
        candidates: 64,
        masks: 1,
        taps: 1,
        exposed: 1,
        context: tokens,
        pages: count * pages_for(tokens),
        kv,
    }
}
