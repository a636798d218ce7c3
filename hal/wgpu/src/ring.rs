//! The way back: a few buffers that the host can map. While one is read, another may be filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use agentos_hal::{PageId, PrepareError, Resource};

use crate::gpu::Gpu;

/// Buffers of the ring: a step's report, and pages that somebody waits for.
pub const SLOTS: u64 = 4;

/// Requests without a slot after which somebody counts as gone.
const PATIENCE: u32 = 1 << 20;

/// What a buffer is in use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing.
    Free,
    /// A step's report.
    Report,
    /// A page's image.
    Image(PageId),
    /// A page's layer and masses.
    Summary(PageId, u32),
}

/// How far a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The device is not there yet.
    Waiting,
    /// It can be read.
    Ready,
    /// It will not come.
    Failed,
}

const WAITING: u8 = 0;
const READY: u8 = 1;
const FAILED: u8 = 2;

struct Slot {
    buffer: wgpu::Buffer,
    load: Load,
    bytes: u64,
    progress: Arc<AtomicU8>,
}

/// The buffers.
pub struct Ring {
    slots: Vec<Slot>,
    /// The slot that is taken next, if it is free; else the one that was taken longest ago.
    next: usize,
    /// Requests that found no slot since the last that did.
    refused: u32,
}

impl Ring {
    /// Buffers of so many bytes.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Ring, PrepareError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let slot = |_| {
            let buffer = gpu.buffer(Resource::ScratchBytes, bytes, usage)?;
            Ok(Slot { buffer, load: Load::Free, bytes: 0, progress: Arc::default() })
        };
        Ok(Ring { slots: (0..SLOTS).map(slot).collect::<Result<_, PrepareError>>()?, next: 0, refused: 0 })
    }

    /// The slot with this load.
    pub fn find(&self, load: Load) -> Option<usize> {
        self.slots.iter().position(|slot| slot.load == load)
    }

    /// Takes a slot for a step's report of so many bytes.
    ///
    /// # Panics
    /// When none is free: [`Ring::forget_pages`] first.
    pub fn take_for_report(&mut self, bytes: u64) -> usize {
        let free = self.free_slot().expect("one report at a time, and pages were forgotten");
        self.load(free, Load::Report, bytes)
    }

    /// Takes a slot for a page. `None` when others wait for all of them: ask again. Whoever does not come
    /// back for a page loses it to those who ask often enough.
    pub fn take_for_page(&mut self, load: Load, bytes: u64) -> Option<usize> {
        let free = self.free_slot().or_else(|| {
            self.refused += 1;
            let oldest = (self.refused > PATIENCE).then_some(self.next)?;
            self.free(oldest);
            Some(oldest)
        })?;
        Some(self.load(free, load, bytes))
    }

    fn free_slot(&self) -> Option<usize> {
        let order = (0..self.slots.len()).map(|step| (self.next + step) % self.slots.len());
        order.into_iter().find(|&index| self.slots[index].load == Load::Free)
    }

    fn load(&mut self, index: usize, load: Load, bytes: u64) -> usize {
        self.next = (index + 1) % self.slots.len();
        self.refused = 0;
        let slot = &mut self.slots[index];
        (slot.load, slot.bytes) = (load, bytes);
        slot.progress.store(WAITING, Ordering::Release);
        index
    }

    /// The buffer of a slot.
    pub fn buffer(&self, index: usize) -> &wgpu::Buffer {
        &self.slots[index].buffer
    }

    /// Asks for the slot to be readable once the work submitted so far is done.
    pub fn map(&self, index: usize) {
        let slot = &self.slots[index];
        let progress = Arc::clone(&slot.progress);
        slot.buffer.map_async(wgpu::MapMode::Read, 0..slot.bytes, move |mapped| {
            progress.store(if mapped.is_ok() { READY } else { FAILED }, Ordering::Release);
        });
    }

    /// How far the slot is.
    pub fn progress(&self, index: usize) -> Progress {
        match self.slots[index].progress.load(Ordering::Acquire) {
            WAITING => Progress::Waiting,
            READY => Progress::Ready,
            _ => Progress::Failed,
        }
    }

    /// Reads a slot that is ready, and frees it. `None` when the device took it away.
    pub fn read<R>(&mut self, index: usize, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let slot = &self.slots[index];
        let result = slot.buffer.get_mapped_range(0..slot.bytes).ok().map(|view| read(&view));
        self.free(index);
        result
    }

    /// Gives up what a slot waits for or holds.
    fn free(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        // A callback that is still to come must not speak for the slot's next load.
        slot.progress = Arc::default();
        slot.buffer.unmap();
        slot.load = Load::Free;
    }

    /// Gives up every page that somebody waits for: what was copied is no longer what the page holds.
    pub fn forget_pages(&mut self) {
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index].load, Load::Free | Load::Report) {
                self.free(index);
            }
        }
    }
}
