//! Page memory's traffic: images out and in, copies, summaries. Nothing here waits for the device.

use agentos_hal::device::PageSummary;
use agentos_hal::{KvType, Mass, ModelShape, PageId, page};

use crate::gpu::Gpu;
use crate::machine::Memory;
use crate::sizes::PAGE_MASS_BYTES;

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("pages") })
}

/// Copies a page's image to the start of a buffer.
pub fn copy_out(gpu: &Gpu, memory: &Memory, page: PageId, layer_bytes: u64, to: &wgpu::Buffer) {
    let mut encoder = encoder(gpu);
    for (pages, layer) in memory.pages.iter().zip(0..) {
        let from = u64::from(page.0) * layer_bytes;
        encoder.copy_buffer_to_buffer(pages, from, to, layer * layer_bytes, layer_bytes);
    }
    gpu.queue.submit([encoder.finish()]);
}

/// Fills a page from an image, and forgets its masses.
pub fn copy_in(gpu: &Gpu, memory: &Memory, page: PageId, layer_bytes: u64, image: &[u8]) {
    gpu.queue.write_buffer(&memory.page, 0, image);
    let mut encoder = encoder(gpu);
    land(&mut encoder, memory, page, layer_bytes);
    gpu.queue.submit([encoder.finish()]);
}

/// Copies pages by way of the buffer between them: a buffer cannot be copied to itself.
pub fn copy_pages(gpu: &Gpu, memory: &Memory, pairs: &[(PageId, PageId)], layer_bytes: u64) {
    let mut encoder = encoder(gpu);
    for &(from, to) in pairs {
        for (pages, layer) in memory.pages.iter().zip(0..) {
            let from = u64::from(from.0) * layer_bytes;
            encoder.copy_buffer_to_buffer(pages, from, &memory.page, layer * layer_bytes, layer_bytes);
        }
        land(&mut encoder, memory, to, layer_bytes);
    }
    gpu.queue.submit([encoder.finish()]);
}

fn land(encoder: &mut wgpu::CommandEncoder, memory: &Memory, page: PageId, layer_bytes: u64) {
    for (pages, layer) in memory.pages.iter().zip(0..) {
        let to = u64::from(page.0) * layer_bytes;
        encoder.copy_buffer_to_buffer(&memory.page, layer * layer_bytes, pages, to, layer_bytes);
    }
    encoder.clear_buffer(&memory.masses, Memory::mass_at(page), Some(PAGE_MASS_BYTES));
}

/// Copies what a summary is made of: one layer of a page, then its masses.
pub fn copy_summary(
    gpu: &Gpu,
    memory: &Memory,
    page: PageId,
    layer: u32,
    layer_bytes: u64,
    to: &wgpu::Buffer,
) {
    let mut encoder = encoder(gpu);
    let from = u64::from(page.0) * layer_bytes;
    encoder.copy_buffer_to_buffer(&memory.pages[layer as usize], from, to, 0, layer_bytes);
    encoder.copy_buffer_to_buffer(&memory.masses, Memory::mass_at(page), to, layer_bytes, PAGE_MASS_BYTES);
    gpu.queue.submit([encoder.finish()]);
}

/// Makes the summary of what [`copy_summary`] copied.
pub fn summarise(bytes: &[u8], shape: &ModelShape, kv: KvType, tokens: usize, summary: PageSummary<'_>) {
    let (keys, masses) = bytes.split_at(page::layer_bytes(shape, kv));
    let head_dim = shape.head_dim as usize;
    let head_bytes = 2 * page::head_elements(shape) * kv.bytes();
    let heads = summary.mean_key.chunks_exact_mut(head_dim).zip(keys.chunks_exact(head_bytes));
    for (means, keys) in heads {
        page::mean_key(kv, keys, tokens, means);
    }
    let words = masses.chunks_exact(8).map(|mass| u64::from_le_bytes(std::array::from_fn(|i| mass[i])));
    summary.mass.iter_mut().zip(words).for_each(|(to, mass)| *to = Mass(mass));
}
