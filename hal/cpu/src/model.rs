//! A prepared model: how its weights and tables get into memory, how a step gets into the tables, and
//! how the report comes out.

use agentos_hal::device::PageSummary;
use agentos_hal::page::{self, PAGE_TOKENS, PageId};
use agentos_hal::rope::MOST_PAIRS;
use agentos_hal::weight::rope_factors;
use agentos_hal::{
    DeviceError, LayerRange, Limits, Mass, ModelShape, Op, Outcome, PrepareError, Prepared, Program, Row,
    Step, StepReport, Tap, Want, WeightId, WeightRole, WeightSource, walk,
};

use crate::angles;
use crate::layout::{self, Half, Layout, NONE, RowRecord, TapRecord, TaskRecord, WantRecord};
use crate::memory::Blocks;
use crate::simd::attend::MappedSegment;
use crate::simd::packing;
use crate::simd::run::{self, Counts};
use crate::team::Team;
use crate::weights::{self, Packed};

/// A prepared model and the step under way.
pub struct Model {
    pub program: Program,
    pub shape: ModelShape,
    pub limits: Limits,
    pub layout: Layout,
    pub step: StepUnderWay,
}

/// What `poll` must know of the step besides the tables.
#[derive(Clone, Copy, Default)]
pub struct StepUnderWay {
    pub counts: Counts,
    pub counters: LayerRange,
    /// Layers to compute.
    pub layers: u32,
    /// Instructions that are done.
    done: usize,
    segments: usize,
    pages: usize,
    exposed: usize,
}

impl Model {
    pub fn new(&Prepared { program, shape, limits }: &Prepared, layout: Layout) -> Model {
        Model { program, shape, limits, layout, step: StepUnderWay::default() }
    }

    pub fn load_angles(&self, scratch: &mut [u8], source: &mut dyn WeightSource) -> Result<(), PrepareError> {
        let (shape, layout) = (&self.shape, &self.layout);
        let mut buffer = [1.0; MOST_PAIRS];
        let factors = rope_factors(shape, source, &mut buffer)?;
        for (tables, step) in [(layout.fine, 1), (layout.coarse, 64)] {
            let (cos, sin) = tables[0].two_mut(tables[1], scratch);
            angles::fill(shape, factors, step, cos, sin);
        }
        angles::fill_partners(&shape.rope, layout.partner.of_mut(scratch));
        Ok(())
    }

    pub fn load_weights(
        &self,
        blocks: &mut Blocks<'_>,
        source: &mut dyn WeightSource,
        team: &dyn Team,
    ) -> Result<(), PrepareError> {
        let Model { program, shape, layout, .. } = self;
        let Blocks { weights, scratch, .. } = blocks;
        let table = layout.weights.of_mut(scratch);
        weights::plan(program, shape, &*source, |id, packed| {
            table[weights::index(shape, id)] = packed;
            Ok(())
        })?;
        program.for_each_tensor(shape, |id| {
            load(&table[weights::index(shape, id)], id, source, weights, team)?;
            source.release(id);
            if id.role == WeightRole::TokenEmbedding && shape.tied_embedding {
                source.release(WeightId { role: WeightRole::Output, ..id });
            }
            Ok(())
        })
    }

    pub fn fill(&mut self, scratch: &mut [u8], step: &Step<'_>) {
        let layout = self.layout;
        let (mut wants, mut exposed, mut tasks) = (0, 0, 0);
        for (index, row) in step.rows.iter().enumerate() {
            let number = if row.expose { exposed } else { NONE };
            exposed += u32::from(row.expose);
            layout.rows.of_mut(scratch)[index] = record(row, number);
            layout.addresses.of_mut(scratch)[index] = row.address;
            if let Some(want) = want(row, index) {
                layout.wants.of_mut(scratch)[wants] = want;
                wants += 1;
            }
        }
        walk::begun(step.rows).for_each(|page| clear_mass(scratch, &layout, page));
        let mut first_page = 0;
        for (to, segment) in layout.segments.of_mut(scratch).iter_mut().zip(step.segments) {
            *to = MappedSegment { base: segment.base, len: segment.len, first_page };
            first_page += segment.pages();
        }
        for (to, page) in layout.pages.of_mut(scratch).iter_mut().zip(step.pages) {
            *to = page.0;
        }
        let most = layout::task_rows(&self.shape);
        for span in walk::spans(step.spans, step.segments) {
            let (segment, segments) = (span.segments.start as u32, span.segments.len() as u32);
            for row in span.rows.clone().step_by(most) {
                let rows = (span.rows.end - row).min(most) as u32;
                layout.tasks.of_mut(scratch)[tasks] = TaskRecord { row: row as u32, rows, segment, segments };
                tasks += 1;
            }
        }
        for (mask, words) in (0..).zip(step.masks).filter(|(_, words)| !words.is_empty()) {
            self.allow(scratch, mask, words);
        }
        for (to, (tap, place)) in
            layout.taps.of_mut(scratch).iter_mut().zip(walk::taps(step.taps, &self.shape))
        {
            let layer = if let Tap::Layer(layer, _) = tap { layer } else { NONE };
            *to = TapRecord { layer, reg: tap.reg() as u32, at: place.start as u32 };
        }
        layout.head_entropy.of_mut(scratch)[..step.rows.len() * self.shape.heads as usize].fill(0.0);
        layout.mass.of_mut(scratch)[..step.segments.len()].fill(Mass(0));
        self.step = StepUnderWay {
            counts: Counts {
                rows: step.rows.len(),
                tasks,
                wants,
                taps: step.taps.len(),
                exposed_width: walk::exposed_width(step.taps, &self.shape),
            },
            counters: step.counters,
            layers: step.layers(&self.shape),
            done: 0,
            segments: step.segments.len(),
            pages: step.pages.len(),
            exposed: exposed as usize,
        };
    }

    /// Takes a mask.
    pub fn allow(&self, scratch: &mut [u8], mask: u16, words: &[u32]) {
        let each = self.layout.mask_words;
        self.layout.masks.of_mut(scratch)[usize::from(mask) * each..][..each].copy_from_slice(words);
    }

    /// The instructions that are to be computed next: all that are left, or those before the first that reads masks.
    pub fn go_on(&mut self, lacks_masks: bool) -> core::ops::Range<usize> {
        let Program { prologue, layer, epilogue } = self.program;
        let before = prologue.len() + layer.len() * self.step.layers as usize;
        let head = || epilogue.iter().position(|op| matches!(op, Op::Head { .. }));
        let end = before + if lacks_masks { head() } else { None }.unwrap_or(epilogue.len());
        core::mem::replace(&mut self.step.done, end)..end
    }

    pub fn report<'d>(&self, scratch: &'d mut [u8], workers: usize) -> Result<StepReport<'d>, DeviceError> {
        let (layout, step) = (&self.layout, &self.step);
        let layers = step.counters.count();
        if layers > 0 {
            for index in 0..step.pages {
                let page = layout.pages.of(scratch)[index];
                run::collect_mass(scratch, layout, workers, 0, core::iter::once(page));
            }
            run::collect_mass(scratch, layout, workers, step.segments, core::iter::empty());
        }
        let heads = self.shape.heads as usize;
        for row in 0..step.counts.rows {
            let of_heads = &layout.head_entropy.of(scratch)[row * heads..(row + 1) * heads];
            let mean = of_heads.iter().sum::<f32>() / (heads as u32 * layers.max(1)) as f32;
            layout.entropy.of_mut(scratch)[row] = mean;
        }
        let scratch = &*scratch;
        let outcomes: &[Outcome] = &layout.outcomes.of(scratch)[..step.counts.wants];
        let not_finite = &layout.not_finite.of(scratch)[..step.counts.wants];
        if let Some(at) = not_finite.iter().position(|&flag| flag != 0) {
            return Err(DeviceError::NotFinite { row: outcomes[at].row });
        }
        let candidates = step.counts.wants * self.limits.candidates as usize;
        Ok(StepReport {
            entropy: &layout.entropy.of(scratch)[..step.counts.rows],
            mass: &layout.mass.of(scratch)[..step.segments],
            outcomes,
            candidates: &layout.candidates.of(scratch)[..candidates],
            exposed: &layout.exposed.of(scratch)[..step.exposed * step.counts.exposed_width],
        })
    }

    pub fn summarise(
        &self,
        blocks: &Blocks<'_>,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) {
        for (head, mean) in (0..).zip(summary.mean_key.chunks_exact_mut(self.shape.head_dim as usize)) {
            let first = layout::half_page(&self.shape, &self.limits, layer, head, Half::Keys, page.0);
            page::mean_key(self.limits.kv, &blocks.pages[first..], tokens, mean);
        }
        let first = page.0 as usize * PAGE_TOKENS;
        let mass = &self.layout.token_mass.of(blocks.scratch)[first..first + PAGE_TOKENS];
        summary.mass.copy_from_slice(mass);
    }

    pub fn half_bytes(&self) -> usize {
        layout::half_bytes(&self.shape, &self.limits)
    }

    /// Parts of a page image: keys and values of every layer and head.
    pub fn halves(&self) -> usize {
        (2 * self.shape.layers * self.shape.kv_heads) as usize
    }

    /// Where part `index` of a page's image lies.
    pub fn place(&self, page: PageId, index: usize) -> core::ops::Range<usize> {
        let (stream, half) =
            (index as u32 / 2, if index.is_multiple_of(2) { Half::Keys } else { Half::Values });
        let (layer, head) = (stream / self.shape.kv_heads, stream % self.shape.kv_heads);
        let first = layout::half_page(&self.shape, &self.limits, layer, head, half, page.0);
        first..first + self.half_bytes()
    }

    /// Forgets the mass that a page received.
    pub fn clear_mass(&self, scratch: &mut [u8], page: PageId) {
        clear_mass(scratch, &self.layout, page);
    }
}

fn load(
    packed: &Packed,
    id: WeightId,
    source: &mut dyn WeightSource,
    weights: &mut [u8],
    team: &dyn Team,
) -> Result<(), PrepareError> {
    let at = packed.offset as usize;
    let out = &mut weights[at..at + weights::bytes(packed) as usize];
    let tensor = source.load(id)?;
    if packed.strip_bytes == 0 {
        agentos_hal::quant::dequantise(tensor.info.dtype, tensor.bytes, bytemuck::cast_slice_mut(out));
    } else {
        packing::pack_matrix(team, &tensor, out);
    }
    Ok(())
}

fn record(row: &Row, exposed: u32) -> RowRecord {
    RowRecord { token: row.token, page: row.page.0, place: u32::from(row.place), offset: row.offset, exposed }
}

fn want(row: &Row, index: usize) -> Option<WantRecord> {
    let score = match row.want {
        Want::Nothing => return None,
        Want::Candidates => NONE,
        Want::Score(token) => token,
    };
    Some(WantRecord { row: index as u32, mask: row.mask.map_or(NONE, u32::from), score })
}

fn clear_mass(scratch: &mut [u8], layout: &Layout, page: PageId) {
    let first = page.0 as usize * PAGE_TOKENS;
    layout.token_mass.of_mut(scratch)[first..first + PAGE_TOKENS].fill(Mass(0));
}
