//! The device: `prepare` lays memory out and packs weights, `submit` fills the step's tables, `poll`
//! computes.

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::page::{self, PAGE_TOKENS, PageId};
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, KvType, LayerRange, Limits, Mass, ModelShape, Outcome,
    PageError, PrepareError, Program, Resource, Row, Step, StepReport, SubmitError, Tap, TensorDevice,
    Want, WeightId, WeightRole, WeightSource,
};
use half::f16;

use crate::angles;
use crate::layout::{self, Half, Layout, NONE, RowRecord, TapRecord, TaskRecord, WantRecord};
use crate::memory::MemorySource;
use crate::simd::attend::MappedSegment;
use crate::simd::detect::Isa;
use crate::simd::kernels::Kernels;
use crate::simd::packing;
use crate::simd::run::{self, Counts, Machine};
use crate::team::Team;
use crate::weights::{self, Packed};

/// Heads are whole lane groups.
const HEAD_DIM_MULTIPLE: u32 = 16;

/// The CPU as a tensor machine.
pub struct CpuDevice<M: MemorySource, T: Team> {
    memory: M,
    team: T,
    kernels: &'static Kernels,
    model: Option<Model<M::Block>>,
}

/// A prepared model and the step under way.
struct Model<B> {
    program: Program,
    shape: ModelShape,
    limits: Limits,
    layout: Layout,
    weights: B,
    pages: B,
    scratch: B,
    step: Option<StepUnderWay>,
}

/// What `poll` must know of the step besides the tables.
#[derive(Clone, Copy)]
struct StepUnderWay {
    counts: Counts,
    counters: LayerRange,
    segments: usize,
    pages: usize,
    exposed: usize,
}

impl<M: MemorySource, T: Team> CpuDevice<M, T> {
    /// A device without a model. `isa` must be one of [`Isa::all`].
    ///
    /// # Panics
    /// When the machine lacks the instruction set.
    pub fn new(memory: M, team: T, isa: Isa) -> Self {
        CpuDevice { memory, team, kernels: Kernels::available(isa), model: None }
    }

    /// The memory that `prepare` would take, without taking it.
    ///
    /// # Errors
    /// Those of `prepare` that concern sizes.
    pub fn footprint(
        &self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        source: &dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        check(program, shape)?;
        let weights = weights::plan(program, shape, source, |_, _| Ok(()))?;
        let layout = Layout::new(shape, limits, op_count(program, shape), self.team.workers());
        Ok(Footprint { weights, pages: layout::page_bytes(shape, limits), scratch: layout.bytes })
    }

    fn reserve(&mut self, what: Resource, needed: u64) -> Result<M::Block, PrepareError> {
        let refuse = |available| PrepareError::TooLarge { what, needed, available };
        let bytes = usize::try_from(needed).map_err(|_| refuse(usize::MAX as u64))?;
        self.memory.reserve(what, bytes).map_err(refuse)
    }
}

fn op_count(program: &Program, shape: &ModelShape) -> usize {
    program.prologue.len() + program.layer.len() * shape.layers as usize + program.epilogue.len()
}

fn check(program: &Program, shape: &ModelShape) -> Result<(), PrepareError> {
    shape.check()?;
    program.verify(shape)?;
    if !shape.head_dim.is_multiple_of(HEAD_DIM_MULTIPLE) {
        return Err(PrepareError::HeadDim { head_dim: shape.head_dim, multiple_of: HEAD_DIM_MULTIPLE });
    }
    Ok(())
}

impl<M: MemorySource, T: Team> TensorDevice for CpuDevice<M, T> {
    fn caps(&self) -> Caps {
        Caps {
            backend: "cpu",
            variant: self.kernels.name,
            dtypes: &DType::ALL,
            threads: self.team.workers() as u32,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        source: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.model = None;
        let footprint = self.footprint(program, shape, limits, source)?;
        let mut model = Model {
            program: *program,
            shape: *shape,
            limits: *limits,
            layout: Layout::new(shape, limits, op_count(program, shape), self.team.workers()),
            weights: self.reserve(Resource::WeightBytes, footprint.weights)?,
            pages: self.reserve(Resource::PageBytes, footprint.pages)?,
            scratch: self.reserve(Resource::ScratchBytes, footprint.scratch)?,
            step: None,
        };
        model.load_angles(source)?;
        model.load_weights(source, &self.team)?;
        self.model = Some(model);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let model = self.model.as_mut().ok_or(SubmitError::NotPrepared)?;
        if model.step.is_some() {
            return Err(SubmitError::Busy);
        }
        step.check(&model.shape, &model.limits, &model.program)?;
        model.fill(step);
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let Some(model) = self.model.as_mut() else { return Poll::Ready(Err(DeviceError::Idle)) };
        let Some(step) = model.step.take() else { return Poll::Ready(Err(DeviceError::Idle)) };
        let machine = Machine {
            kernels: self.kernels,
            program: &model.program,
            shape: &model.shape,
            limits: &model.limits,
            layout: &model.layout,
            scratch: &mut model.scratch,
            pages: &mut model.pages,
            weights: &model.weights,
            counts: step.counts,
            counters: step.counters,
        };
        machine.run(&self.team);
        Poll::Ready(model.report(&step, self.team.workers()))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.idle_model().and_then(|model| {
            model.check_image(page, image.len())?;
            for (index, image) in image.chunks_exact_mut(model.half_bytes()).enumerate() {
                image.copy_from_slice(&model.pages[model.place(page, index)]);
            }
            Ok(())
        }))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.idle_model().and_then(|model| {
            model.check_image(page, image.len())?;
            for (index, image) in image.chunks_exact(model.half_bytes()).enumerate() {
                let place = model.place(page, index);
                model.pages[place].copy_from_slice(image);
            }
            model.clear_mass(page);
            Ok(())
        }))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let model = self.idle_model()?;
        for &(from, to) in pairs {
            model.check_page(from)?;
            model.check_page(to)?;
        }
        for &(from, to) in pairs {
            for index in 0..model.halves() {
                let place = model.place(to, index).start;
                let from = model.place(from, index);
                model.pages.copy_within(from, place);
            }
            model.clear_mass(to);
        }
        Ok(())
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.idle_model().and_then(|model| model.summarise(page, layer, tokens, summary)))
    }
}

impl<M: MemorySource, T: Team> CpuDevice<M, T> {
    fn idle_model(&mut self) -> Result<&mut Model<M::Block>, PageError> {
        let model = self.model.as_mut().ok_or(PageError::NotPrepared)?;
        if model.step.is_some() { Err(PageError::Busy) } else { Ok(model) }
    }
}

impl<B: core::ops::DerefMut<Target = [u8]>> Model<B> {
    fn load_angles(&mut self, source: &mut dyn WeightSource) -> Result<(), PrepareError> {
        let (shape, layout) = (&self.shape, &self.layout);
        let mut factors = [1.0f32; MOST_PAIRS];
        let mut count = 0;
        if shape.rope.factors {
            let id = WeightId { role: WeightRole::RopeFactors, layer: 0 };
            let info = weights::describe(shape, source, id)?;
            count = info.cols as usize;
            let tensor = source.load(id)?;
            agentos_hal::quant::dequantise(info.dtype, tensor.bytes, &mut factors[..count]);
            source.release(id);
        }
        for (tables, step) in [(layout.fine, 1), (layout.coarse, 64)] {
            let (cos, sin) = tables[0].two_mut(tables[1], &mut self.scratch);
            angles::fill(shape, &factors[..count], step, cos, sin);
        }
        angles::fill_partners(&shape.rope, layout.partner.of_mut(&mut self.scratch));
        Ok(())
    }

    fn load_weights(&mut self, source: &mut dyn WeightSource, team: &dyn Team) -> Result<(), PrepareError> {
        let Model { program, shape, layout, weights, scratch, .. } = self;
        let table = layout.weights.of_mut(scratch);
        weights::plan(program, shape, &*source, |id, packed| {
            table[weights::index(shape, id)] = packed;
            Ok(())
        })?;
        weights::for_each_stored(program, shape, |id| {
            load(&table[weights::index(shape, id)], id, source, weights, team)?;
            source.release(id);
            if id.role == WeightRole::TokenEmbedding && shape.tied_embedding {
                source.release(WeightId { role: WeightRole::Output, ..id });
            }
            Ok(())
        })
    }

    fn fill(&mut self, step: &Step<'_>) {
        let layout = self.layout;
        let scratch = &mut *self.scratch;
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
            if row.place == 0 {
                clear_mass(scratch, &layout, row.page);
            }
        }
        let mut first_page = 0;
        for (to, segment) in layout.segments.of_mut(scratch).iter_mut().zip(step.segments) {
            *to = MappedSegment { base: segment.base, len: segment.len, first_page };
            first_page += segment.pages();
        }
        for (to, page) in layout.pages.of_mut(scratch).iter_mut().zip(step.pages) {
            *to = page.0;
        }
        let (mut row, mut segment) = (0, 0);
        let most = layout::task_rows(&self.shape) as u32;
        for span in step.spans {
            for first in (0..span.rows).step_by(most as usize) {
                let rows = (span.rows - first).min(most);
                let task = TaskRecord { row: row + first, rows, segment, segments: span.segments };
                layout.tasks.of_mut(scratch)[tasks] = task;
                tasks += 1;
            }
            row += span.rows;
            segment += span.segments;
        }
        for (to, mask) in layout.masks.of_mut(scratch).chunks_exact_mut(layout.mask_words).zip(step.masks) {
            to.copy_from_slice(mask);
        }
        let mut exposed_width = 0;
        for (to, tap) in layout.taps.of_mut(scratch).iter_mut().zip(step.taps) {
            let (layer, reg) = match *tap {
                Tap::Layer(layer, reg) => (layer, reg),
                Tap::Final(reg) => (NONE, reg),
            };
            *to = TapRecord { layer, reg: reg as u32, at: exposed_width };
            exposed_width += reg.width(&self.shape);
        }
        layout.head_entropy.of_mut(scratch)[..step.rows.len() * self.shape.heads as usize].fill(0.0);
        layout.mass.of_mut(scratch)[..step.segments.len()].fill(Mass(0));
        self.step = Some(StepUnderWay {
            counts: Counts {
                rows: step.rows.len(),
                tasks,
                wants,
                taps: step.taps.len(),
                exposed_width: exposed_width as usize,
            },
            counters: step.counters,
            segments: step.segments.len(),
            pages: step.pages.len(),
            exposed: exposed as usize,
        });
    }

    fn report(&mut self, step: &StepUnderWay, workers: usize) -> Result<StepReport<'_>, DeviceError> {
        let layout = &self.layout;
        let scratch = &mut *self.scratch;
        let layers = step.counters.end - step.counters.start;
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

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Result<(), PageError> {
        self.check_page(page)?;
        if layer >= self.shape.layers {
            return Err(PageError::Layer(layer));
        }
        if tokens == 0 || tokens > PAGE_TOKENS {
            return Err(PageError::Length { found: tokens, expected: PAGE_TOKENS });
        }
        let (head_dim, width) = (self.shape.head_dim as usize, self.shape.kv_width() as usize);
        if summary.mean_key.len() != width {
            return Err(PageError::Length { found: summary.mean_key.len(), expected: width });
        }
        for (head, means) in summary.mean_key.chunks_exact_mut(head_dim).enumerate() {
            let first = layout::half_page(&self.shape, &self.limits, layer, head as u32, Half::Keys, page.0);
            let keys = &self.pages[first..first + self.half_bytes()];
            for (dimension, mean) in means.iter_mut().enumerate() {
                let key = |token| element(keys, self.limits.kv, dimension * PAGE_TOKENS + token);
                *mean = (0..tokens).map(key).sum::<f32>() / tokens as f32;
            }
        }
        let first = page.0 as usize * PAGE_TOKENS;
        let mass = &self.layout.token_mass.of(&self.scratch)[first..first + PAGE_TOKENS];
        summary.mass.copy_from_slice(mass);
        Ok(())
    }

    fn check_page(&self, page: PageId) -> Result<(), PageError> {
        if page.0 < self.limits.pages { Ok(()) } else { Err(PageError::Page(page)) }
    }

    fn check_image(&self, page: PageId, found: usize) -> Result<(), PageError> {
        self.check_page(page)?;
        let expected = page::image_bytes(&self.shape, self.limits.kv);
        if found == expected { Ok(()) } else { Err(PageError::Length { found, expected }) }
    }

    fn half_bytes(&self) -> usize {
        layout::half_bytes(&self.shape, &self.limits)
    }

    /// Parts of a page image: keys and values of every layer and head.
    fn halves(&self) -> usize {
        (2 * self.shape.layers * self.shape.kv_heads) as usize
    }

    /// Where part `index` of a page's image lies.
    fn place(&self, page: PageId, index: usize) -> core::ops::Range<usize> {
        let (stream, half) = (index as u32 / 2, if index % 2 == 0 { Half::Keys } else { Half::Values });
        let (layer, head) = (stream / self.shape.kv_heads, stream % self.shape.kv_heads);
        let first = layout::half_page(&self.shape, &self.limits, layer, head, half, page.0);
        first..first + self.half_bytes()
    }

    fn clear_mass(&mut self, page: PageId) {
        clear_mass(&mut self.scratch, &self.layout, page);
    }
}

/// Rotated pairs of the widest head that `ModelShape::check` lets pass.
const MOST_PAIRS: usize = 512;

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
    RowRecord {
        token: row.token,
        page: row.page.0,
        place: u32::from(row.place),
        offset: row.offset,
        exposed,
    }
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

fn element(bytes: &[u8], kv: KvType, index: usize) -> f32 {
    let at = index * kv.bytes();
    match kv {
        KvType::F16 => f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32(),
        KvType::F32 => f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]),
    }
}
