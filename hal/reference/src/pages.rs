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
    image_bytes: usize,
    pub bytes: Vec<u8>,
    mass: Vec<[Mass; PAGE_TOKENS]>,
}

/// Where a token's key and value of one head in one layer are.
#[derive(Clone, Copy)]
pub struct Slot {
    pub page: PageId,
    pub place: usize,
    pub layer: u32,
    pub head: usize,
}

impl Pages {
    pub fn new(shape: &ModelShape, limits: &Limits, room: &mut Room) -> Result<Pages, PrepareError> {
        let elements = 2 * u64::from(shape.layers) * u64::from(shape.kv_width()) * PAGE_TOKENS as u64;
        let total = (elements * limits.kv.bytes() as u64).saturating_mul(limits.pages.into());
        let mut bytes = room.take(Resource::PageBytes, total)?;
        bytes.resize(total as usize, 0);
        let mut mass = room.take(Resource::PageBytes, limits.pages.into())?;
        mass.resize(limits.pages as usize, [Mass(0); PAGE_TOKENS]);
        let image_bytes = page::image_bytes(shape, limits.kv);
        Ok(Pages {
            kv: limits.kv,
            shape: *shape,
            image_bytes,
            bytes,
            mass,
        })
    }

    /// Where a page's image lies in `bytes`.
    pub fn image(&self, page: PageId) -> Range<usize> {
        let start = page.0 as usize * self.image_bytes;
        start..start + self.image_bytes
    }

    pub fn key(&self, slot: Slot, dim: usize) -> f64 {
        self.get(self.key_at(slot, dim))
    }

    pub fn value(&self, slot: Slot, dim: usize) -> f64 {
        self.get(self.value_at(slot, dim))
    }

    pub fn store(&mut self, slot: Slot, dim: usize, key: f32, value: f32) {
        for (at, x) in [(self.key_at(slot, dim), key), (self.value_at(slot, dim), value)] {
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

    fn key_at(&self, slot: Slot, dim: usize) -> usize {
        self.head_at(slot) + (dim * PAGE_TOKENS + slot.place) * self.kv.bytes()
    }

    fn value_at(&self, slot: Slot, dim: usize) -> usize {
        let before = page::head_elements(&self.shape) + slot.place * self.shape.head_dim as usize;
        self.head_at(slot) + (before + dim) * self.kv.bytes()
    }

    fn head_at(&self, slot: Slot) -> usize {
        let heads = slot.layer as usize * self.shape.kv_heads as usize + slot.head;
        self.image(slot.page).start + heads * 2 * page::head_elements(&self.shape) * self.kv.bytes()
    }

    pub fn forget_mass(&mut self, page: PageId) {
        self.mass[page.0 as usize] = [Mass(0); PAGE_TOKENS];
    }

    pub fn add_mass(&mut self, page: PageId, place: usize, mass: Mass) {
        let sum = &mut self.mass[page.0 as usize][place];
        sum.0 = sum.0.saturating_add(mass.0);
    }

    /// The mean key of the first tokens at a layer; the mass of those tokens, 0 for the others.
    pub fn summarise(&self, page: PageId, layer: u32, tokens: usize, summary: PageSummary<'_>) {
        for (i, mean) in summary.mean_key.iter_mut().enumerate() {
            let (head, dim) = (i / self.shape.head_dim as usize, i % self.shape.head_dim as usize);
            let key = |place| {
                self.key(
                    Slot {
                        page,
                        place,
                        layer,
                        head,
                    },
                    dim,
                )
            };
            *mean = ((0..tokens).map(key).sum::<f64>() / tokens as f64) as f32;
        }
        *summary.mass = [Mass(0); PAGE_TOKENS];
        summary.mass[..tokens].copy_from_slice(&self.mass[page.0 as usize][..tokens]);
    }
}
