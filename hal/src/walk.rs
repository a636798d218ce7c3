//! Ways through a step that every backend goes. They take the parts of a
//! [`Step`](crate::Step) one by one, so that a device can walk its own copy of them as well.

use core::ops::Range;

use crate::page::{PAGE_TOKENS, PageId};
use crate::shape::ModelShape;
use crate::step::{Row, Segment, Span, Tap, Want};

/// What belongs to a span: places in the step's rows, segments and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanParts {
    /// Its rows.
    pub rows: Range<usize>,
    /// Its segments.
    pub segments: Range<usize>,
    /// The pages of its segments.
    pub pages: Range<usize>,
}

/// The parts of each span of a step that was checked, or whose tiling was.
pub fn spans(spans: &[Span], segments: &[Segment]) -> impl Iterator<Item = SpanParts> {
    let (mut row, mut segment, mut page) = (0, 0, 0);
    spans.iter().map(move |span| {
        let rows = row..row + span.rows as usize;
        let of_span = segment..segment + span.segments as usize;
        let count: usize = segments[of_span.clone()].iter().map(|segment| segment.pages() as usize).sum();
        let pages = page..page + count;
        (row, segment, page) = (rows.end, of_span.end, pages.end);
        SpanParts { rows, segments: of_span, pages }
    })
}

/// What one row may attend to: the first tokens of the segments of its span.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The row.
    pub row: usize,
    /// Its address.
    pub address: u32,
    first_segment: usize,
    segments: &'a [Segment],
    pages: &'a [PageId],
}

/// A token that a row may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible {
    /// Its segment, counted within the step.
    pub segment: usize,
    /// The segment's base: the row's query is rotated by its distance from here.
    pub base: u32,
    /// Its offset inside the segment; a segment that is seen at all is seen from 0.
    pub offset: u32,
    /// The page that keeps its key and value.
    pub page: PageId,
    /// Its place in that page.
    pub place: usize,
}

/// Every row's view, row by row, in a step that was checked.
pub fn views<'a>(
    rows: &'a [Row],
    spans: &'a [Span],
    segments: &'a [Segment],
    pages: &'a [PageId],
) -> impl Iterator<Item = View<'a>> {
    self::spans(spans, segments).flat_map(move |span| {
        let (segments, first_segment) = (&segments[span.segments.clone()], span.segments.start);
        let pages = &pages[span.pages];
        span.rows.map(move |row| View { row, address: rows[row].address, first_segment, segments, pages })
    })
}

impl View<'_> {
    /// The segments of the row's span, each counted within the step, and how many of its tokens the
    /// row sees: 0 where it begins behind the row.
    pub fn segments(&self) -> impl Iterator<Item = (usize, Segment, u32)> + Clone {
        let numbered = (self.first_segment..).zip(self.segments);
        numbered.map(|(index, segment)| (index, *segment, segment.visible(self.address)))
    }

    /// The tokens that the row sees, itself included, in address order: the order in which attention
    /// sums.
    pub fn tokens(&self) -> impl Iterator<Item = Visible> + Clone {
        let with_pages = self.segments().scan(0, |next, (index, segment, seen)| {
            let first = *next;
            *next += segment.pages() as usize;
            Some((index, segment.base, seen, &self.pages[first..*next]))
        });
        with_pages.flat_map(|(segment, base, seen, pages)| {
            (0..seen).map(move |offset| Visible {
                segment,
                base,
                offset,
                page: pages[offset as usize / PAGE_TOKENS],
                place: offset as usize % PAGE_TOKENS,
            })
        })
    }
}

/// The rows that want an outcome, each with its number: the order of `StepReport::outcomes`.
pub fn wanted(rows: &[Row]) -> impl Iterator<Item = (usize, &Row)> {
    rows.iter().enumerate().filter(|(_, row)| row.want != Want::Nothing)
}

/// The numbers of the rows that are exposed: the order of `StepReport::exposed`.
pub fn exposed(rows: &[Row]) -> impl Iterator<Item = usize> {
    rows.iter().enumerate().filter(|(_, row)| row.expose).map(|(number, _)| number)
}

/// The pages that the rows begin anew: the attention mass of their tokens counts from 0 again.
pub fn begun(rows: &[Row]) -> impl Iterator<Item = PageId> {
    rows.iter().filter(|row| row.place == 0).map(|row| row.page)
}

/// Each tap, and where its register lies among the elements that the report holds of an exposed row.
pub fn taps(taps: &[Tap], shape: &ModelShape) -> impl Iterator<Item = (Tap, Range<usize>)> {
    taps.iter().scan(0, move |next, &tap| {
        let place = *next..*next + tap.reg().width(shape) as usize;
        *next = place.end;
        Some((tap, place))
    })
}

/// Elements that the report holds of an exposed row.
pub fn exposed_width(taps: &[Tap], shape: &ModelShape) -> usize {
    taps.iter().map(|tap| tap.reg().width(shape) as usize).sum()
}
