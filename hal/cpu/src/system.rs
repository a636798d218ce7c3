//! Memory from the operating system, in large pages where it has them.

use core::ops::{Deref, DerefMut};

use agentos_hal::Resource;
use memmap2::MmapMut;

use crate::memory::MemorySource;

/// Anonymous memory maps. Pages that are never touched take no memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemMemory;

/// One map.
#[derive(Debug)]
pub struct Mapped(MmapMut);

impl MemorySource for SystemMemory {
    type Block = Mapped;

    fn reserve(&mut self, what: Resource, bytes: usize) -> Result<Mapped, u64> {
        let map = MmapMut::map_anon(bytes.max(1)).map_err(|_| 0u64)?;
        // Weights are read from end to end for every token: large pages save most of the address
        // translation. Page memory fills slowly, in many places at once: small pages keep what is not
        // used yet from being made. A kernel that refuses the advice gives small pages.
        #[cfg(target_os = "linux")]
        if what == Resource::WeightBytes {
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Mapped(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Mapped {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
