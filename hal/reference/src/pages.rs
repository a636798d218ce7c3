//! Page memory: page images, one after the other, and the attention mass of their tokens.

use alloc::vec::Vec;
use core::ops::Range;

use agentos_hal::device::PageSummary;
use agentos_hal::page::{self, PAGE_TOKENS, PageId};
use agentos_hal::walk::Visible;
use agentos_hal::{Budget, KvType, Mass, ModelShape, PrepareError, Prepared, Resource, Row};

use crate::machine::room;

/// The pages, kept as [`page`]'s images: copying one out is copying bytes.
pub struct Pages {
    kv: KvType,
    shape: ModelShape,
    pub bytes: Vec<u8>,
    pub mass: Vec<[Mass; PAGE_TOKENS]>,
}

impl Pages {
    pub fn new(prepared: &Prepared, budget: &mut Budget) -> Result<Pages, PrepareError> {
        let Prepared { shape, limits, .. } = *prepared;
        let mut bytes = room(budget, Resource::PageBytes, prepared.page_bytes())?;
        bytes.resize(prepared.page_bytes() as usize, 0);
        let mut mass = room(budget, Resource::PageBytes, limits.pages.into())?;
        mass.resize(limits.pages as usize, [Mass(0); PAGE_TOKENS]);
        Ok(Pages { kv: limits.kv, shape, bytes, mass })
    }

    /// Where a page's image lies in `bytes`.
    pub fn image(&self, page: PageId) -> Range<usize> {
        let length = page::image_bytes(&self.shape, self.kv);
        page.0 as usize * length..(page.0 as usize + 1) * length
    }

    /// Writes a row's keys and values, those of all heads of a layer.
    pub fn store(&mut self, row: &Row, layer: u32, keys: &[f32], values: &[f32]) {
        let (kv, shape, place) = (self.kv, self.shape, row.place.into());
        let image = self.image(row.page);
        let image = &mut self.bytes[image];
        for (i, (&key, &value)) in keys.iter().zip(values).enumerate() {
            let (head, dim) = (i as u32 / shape.head_dim, i % shape.head_dim as usize);
            kv.write(image, page::key_element(&shape, layer, head, place, dim), key);
            kv.write(image, page::value_element(&shape, layer, head, place, dim), value);
        }
    }

    pub fn key(&self, token: Visible, layer: u32, head: u32, dim: usize) -> f64 {
        let element = page::key_element(&self.shape, layer, head, token.place, dim);
        self.kv.read(&self.bytes[self.image(token.page)], element).into()
    }

    pub fn value(&self, token: Visible, layer: u32, head: u32, dim: usize) -> f64 {
        let element = page::value_element(&self.shape, layer, head, token.place, dim);
        self.kv.read(&self.bytes[self.image(token.page)], element).into()
    }

    pub fn forget_mass(&mut self, page: PageId) {
        self.mass[page.0 as usize] = [Mass(0); PAGE_TOKENS];
    }

    /// The mean key of the first tokens at a layer, and the mass of the page's tokens.
    pub fn summarise(&self, page: PageId, layer: u32, tokens: usize, summary: PageSummary<'_>) {
        let image = &self.bytes[self.image(page)];
        let heads = summary.mean_key.chunks_exact_mut(self.shape.head_dim as usize);
        for (head, mean) in (0..).zip(heads) {
            let first = page::head_start(&self.shape, layer, head) * self.kv.bytes();
            page::mean_key(self.kv, &image[first..], tokens, mean);
        }
        *summary.mass = self.mass[page.0 as usize];
    }
}
