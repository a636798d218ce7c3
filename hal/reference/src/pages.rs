//! Page memory: page images, one after the other, and the attention mass of their tokens.

use alloc::vec::Vec;
use core::ops::Range;

use agentos_hal::device::PageSummary;
use agentos_hal::{KvType, Limits, Mass, ModelShape, PAGE_TOKENS, PageId, PrepareError, Resource, page};
use half::f16;

use crate::memory::Room;

/// The pages, kept as [`page`]'s images: copying one out is copying bytes.
pub struct Pages {
    kv: KvType,
    shape: ModelShape,
    pub bytes: Vec<u8>,
    mass: Vec<[Mass; PAGE_TOKENS]>,
}

/// A token's place in page memory.
pub type Place = (PageId, usize);

impl Pages {
    pub fn new(shape: &ModelShape, limits: &Limits, room: &mut Room) -> Result<Pages, PrepareError> {
        let elements = 2 * u64::from(shape.layers) * u64::from(shape.kv_width()) * PAGE_TOKENS as u64;
        let total = (elements * limits.kv.bytes() as u64).saturating_mul(limits.pages.into());
        let mut bytes = room.take(Resource::PageBytes, total)?;
        bytes.resize(total as usize, 0);
        let mut mass = room.take(Resource::PageBytes, limits.pages.into())?;
        mass.resize(limits.pages as usize, [Mass(0); PAGE_TOKENS]);
        Ok(Pages { kv: limits.kv, shape: *shape, bytes, mass })
    }

    /// Where a page's image lies in `bytes`.
    pub fn image(&self, page: PageId) -> Range<usize> {
        let length = page::image_bytes(&self.shape, self.kv);
        page.0 as usize * length..(page.0 as usize + 1) * length
    }

    /// Element `dim` of a token's key, counted through the heads of the layer.
    pub fn key(&self, place: Place, layer: u32, dim: usize) -> f64 {
        self.get(self.key_at(place, layer, dim))
    }

    /// Element `dim` of a token's value, counted through the heads of the layer.
    pub fn value(&self, place: Place, layer: u32, dim: usize) -> f64 {
        self.get(self.value_at(place, layer, dim))
    }

    pub fn store(&mut self, place: Place, layer: u32, dim: usize, key: f32, value: f32) {
        let places = [self.key_at(place, layer, dim), self.value_at(place, layer, dim)];
        for (at, x) in places.into_iter().zip([key, value]) {
            match self.kv {
                KvType::F16 => self.bytes[at..at + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes()),
                KvType::F32 => self.bytes[at..at + 4].copy_from_slice(&x.to_le_bytes()),
            }
        }
    }

    fn get(&self, at: usize) -> f64 {
        match self.kv {
            KvType::F16 => f16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]).to_f64(),
            KvType::F32 => f32::from_le_bytes([0, 1, 2, 3].map(|i| self.bytes[at + i])).into(),
        }
    }

    fn key_at(&self, (page, place): Place, layer: u32, dim: usize) -> usize {
        let within = dim % self.shape.head_dim as usize;
        self.head_at(page, layer, dim) + (within * PAGE_TOKENS + place) * self.kv.bytes()
    }

    fn value_at(&self, (page, place): Place, layer: u32, dim: usize) -> usize {
        let head_dim = self.shape.head_dim as usize;
        let within = page::head_elements(&self.shape) + place * head_dim + dim % head_dim;
        self.head_at(page, layer, dim) + within * self.kv.bytes()
    }

    fn head_at(&self, page: PageId, layer: u32, dim: usize) -> usize {
        let head = (layer * self.shape.kv_heads) as usize + dim / self.shape.head_dim as usize;
        self.image(page).start + head * 2 * page::head_elements(&self.shape) * self.kv.bytes()
    }

    pub fn forget_mass(&mut self, page: PageId) {
        self.mass[page.0 as usize] = [Mass(0); PAGE_TOKENS];
    }

    pub fn add_mass(&mut self, (page, place): Place, mass: Mass) {
        let sum = &mut self.mass[page.0 as usize][place];
        sum.0 = sum.0.saturating_add(mass.0);
    }

    /// The mean key of the first tokens at a layer; the mass of those tokens, 0 for the others.
    pub fn summarise(&self, page: PageId, layer: u32, tokens: usize, summary: PageSummary<'_>) {
        for (dim, mean) in summary.mean_key.iter_mut().enumerate() {
            let sum: f64 = (0..tokens).map(|place| self.key((page, place), layer, dim)).sum();
            *mean = (sum / tokens as f64) as f32;
        }
        *summary.mass = [Mass(0); PAGE_TOKENS];
        summary.mass[..tokens].copy_from_slice(&self.mass[page.0 as usize][..tokens]);
    }
}
