//! From glyphs on a page to lines of text.

use hayro_interpret::font::{Glyph, GlyphRun};
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::kurbo::{Affine, BezPath, Point, Vec2};
use hayro_interpret::{BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, SoftMask};

use super::lines::Line;

/// How far two glyphs are apart, in ems, between which there is a space.
const SPACE: f64 = 0.18;
/// And between which another cell of a table begins.
const CELL: f64 = 2.0;
/// What stands between two cells.
const NEXT_CELL: &str = " | ";
/// How far a glyph may stand off the line, in ems: subscripts do.
const OFF_THE_LINE: f64 = 0.5;
/// How far back a glyph may stand, in ems: accents do.
const BACK: f64 = 0.6;

/// A device that draws nothing and reads what it is told to draw.
pub(super) struct Glyphs {
    page: u32,
    /// Bytes of text that may still be read.
    room: u64,
    lines: Vec<Line>,
    /// Where the next glyph stands if it goes on with the last.
    next: Option<Point>,
    /// Glyphs that say nothing about their character.
    pub(super) nameless: u64,
    full: bool,
}

/// A glyph where it is drawn.
struct Placed {
    at: Point,
    /// Where the next one goes, in the direction of writing.
    advance: f64,
    /// The direction of writing, of length 1.
    along: Vec2,
    /// The size of its font, in points.
    em: f64,
}

impl Glyphs {
    pub(super) fn new(page: u32, room: u64) -> Glyphs {
        Glyphs { page, room, lines: Vec::new(), next: None, nameless: 0, full: false }
    }

    /// The lines; none when they are longer than what there was room for.
    pub(super) fn done(self) -> Option<Vec<Line>> {
        (!self.full).then_some(self.lines)
    }

    fn glyph(&mut self, glyph: &Glyph<'_>, transform: Affine) {
        let Some(placed) = place(glyph, transform) else { return };
        let text = match glyph.as_unicode() {
            Some(BfString::Char(c)) => c.to_string(),
            Some(BfString::String(text)) => text,
            None => {
                self.nameless += 1;
                return self.next = Some(placed.at + placed.along * placed.advance);
            }
        };
        let gap = self.next.filter(|_| !self.lines.is_empty()).map(|next| {
            let from = placed.at - next;
            // Along the line and across it, in ems.
            (from.dot(placed.along) / placed.em, from.cross(placed.along) / placed.em)
        });
        let goes_on = gap.filter(|&(along, across)| across.abs() < OFF_THE_LINE && along > -BACK);
        let before = goes_on.zip(self.lines.last());
        let between = before.map_or("", |((along, _), line)| between(&line.text, along, &text));
        let Some(room) = self.room.checked_sub((between.len() + text.len()) as u64) else {
            self.full = true;
            return;
        };
        self.room = room;
        match (goes_on, self.lines.last_mut()) {
            (Some(_), Some(line)) => {
                if between == NEXT_CELL {
                    line.text.truncate(line.text.trim_end().len());
                    line.cells += 1;
                }
                line.text.push_str(between);
                line.text.push_str(&text);
                line.em = line.em.max(placed.em);
            }
            _ => {
                let (x, y) = (placed.at.x, placed.at.y);
                self.lines.push(Line { page: self.page, text, x, y, em: placed.em, cells: 1 });
            }
        }
        self.next = Some(placed.at + placed.along * placed.advance);
    }
}

/// What stands between the text of a line and the next of it, so many ems apart.
fn between(line: &str, along: f64, text: &str) -> &'static str {
    if along > CELL && !line.trim().is_empty() {
        NEXT_CELL
    } else if along > SPACE && !line.ends_with(' ') && !text.starts_with(' ') {
        " "
    } else {
        ""
    }
}

/// Where a glyph is drawn; none where its place or its size is no number that means anything.
fn place(glyph: &Glyph<'_>, transform: Affine) -> Option<Placed> {
    let width = match glyph {
        Glyph::Outline(glyph) => glyph.advance_width(),
        Glyph::Type3(glyph) => glyph.advance_width(),
    };
    let [a, b, c, d, x, y] = transform.as_coeffs();
    let em = Vec2::new(c, d).hypot() * 1000.0;
    let along = Vec2::new(a, b);
    let placed = Placed {
        at: Point::new(x, y),
        advance: f64::from(width.unwrap_or(500.0)) / 1000.0 * em,
        along: along / along.hypot(),
        em,
    };
    let means_something = placed.at.is_finite()
        && placed.along.is_finite()
        && placed.advance.is_finite()
        && em > 0.01
        && em < 1e5;
    means_something.then_some(placed)
}

impl Device<'_> for Glyphs {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, mode: &DrawMode) {
        // Text that is drawn as an outline was drawn filled too.
        if matches!(mode, DrawMode::Stroke(_)) && self.next.is_some() {
            return;
        }
        for glyph in run.glyphs() {
            self.glyph(glyph, props.transform * glyph.transform());
        }
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'_>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'_, '_>, _: ImageDrawProps<'_>) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
