//! Weights of one kind of all layers, side by side in as few buffers as bindings allow. Kernels of all layers then
//! share what is bound, and differ in an offset alone: what a step costs the host grows with the things that
//! it has to touch.

use agentos_hal::{PrepareError, Resource};

use crate::gpu::{Gpu, LEAST_BYTES};

/// A run of bytes of a buffer.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The buffer.
    pub buffer: wgpu::Buffer,
    /// Where the run begins.
    pub offset: u32,
    /// How long it is.
    pub bytes: u64,
}

impl Slot {
    /// How it is bound, for all slots of its shelf.
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: &self.buffer, offset: 0, size: wgpu::BufferSize::new(self.bytes) }
    }

    /// Copies words into it, from a word on.
    pub fn write(&self, gpu: &Gpu, word: usize, words: &[u32]) {
        let at = u64::from(self.offset) + 4 * word as u64;
        gpu.queue.write_buffer(&self.buffer, at, bytemuck::cast_slice(words));
    }
}

/// Room for so many runs of the same length.
pub struct Shelf {
    left: u32,
    buffer: Option<wgpu::Buffer>,
    next: u64,
}

impl Shelf {
    /// Room for `count` runs; nothing is taken yet.
    pub const fn new(count: u32) -> Shelf {
        Shelf { left: count, buffer: None, next: 0 }
    }

    /// The next run, of as many bytes as every other of the shelf.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn take(&mut self, gpu: &Gpu, bytes: u64) -> Result<Slot, PrepareError> {
        let bytes = bytes.max(LEAST_BYTES).next_multiple_of(16);
        let apart = bytes.next_multiple_of(gpu.limits.min_storage_buffer_offset_alignment.into());
        let buffer = match self.buffer.take().filter(|buffer| self.next + bytes <= buffer.size()) {
            Some(buffer) => buffer,
            None => {
                let count = runs(&gpu.limits, apart, self.left);
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
                self.next = 0;
                gpu.buffer(Resource::WeightBytes, (count - 1) * apart + bytes, usage)?
            }
        };
        let slot = Slot { buffer: buffer.clone(), offset: self.next as u32, bytes };
        self.left = self.left.saturating_sub(1);
        self.next += apart;
        self.buffer = Some(buffer);
        Ok(slot)
    }
}

/// Runs of a buffer: as many as are left, or as a binding could hold, but one at least.
fn runs(limits: &wgpu::Limits, apart: u64, left: u32) -> u64 {
    let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(u32::MAX.into());
    (most / apart).min(left.into()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_runs_that_are_left_or_fit_a_binding_and_one_at_least() {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 1000,
            max_buffer_size: 4000,
            ..wgpu::Limits::defaults()
        };
        assert_eq!(runs(&limits, 256, 30), 3);
        assert_eq!(runs(&limits, 256, 2), 2);
        assert_eq!(runs(&limits, 1024, 30), 1);
        assert_eq!(runs(&limits, 256, 0), 1);
        let vast =
            wgpu::Limits { max_storage_buffer_binding_size: 1 << 40, max_buffer_size: 1 << 40, ..limits };
        assert!((runs(&vast, 256, u32::MAX) - 1) * 256 <= u64::from(u32::MAX), "offsets have 32 bits");
    }
}
