//! Memory from the operating system, in large pages where it has them.

use agentos_hal::{Footprint, Resource};
use memmap2::MmapMut;

use crate::memory::{Blocks, MemorySource, Shortage, purposes};

/// Anonymous memory maps. Pages that are never touched take no memory.
#[derive(Debug, Default)]
pub struct SystemMemory {
    maps: Option<[MmapMut; 3]>,
}

impl MemorySource for SystemMemory {
    fn reserve(&mut self, sizes: &Footprint) -> Result<(), Shortage> {
        self.maps = None;
        let [weights, pages, scratch] = purposes(sizes);
        self.maps = Some([map(weights)?, map(pages)?, map(scratch)?]);
        Ok(())
    }

    fn blocks(&mut self) -> Blocks<'_> {
        match &mut self.maps {
            Some([weights, pages, scratch]) => Blocks { weights, pages, scratch },
            None => Blocks { weights: &mut [], pages: &mut [], scratch: &mut [] },
        }
    }
}

fn map((what, bytes): (Resource, u64)) -> Result<MmapMut, Shortage> {
    let none = Shortage { what, available: 0 };
    let bytes = usize::try_from(bytes).map_err(|_| none)?;
    let map = MmapMut::map_anon(bytes.max(1)).map_err(|_| none)?;
    // Weights are read from end to end for every token: large pages save most of the address
    // translation. Page memory fills slowly, in many places at once: small pages keep what is not used
    // yet from being made. A kernel that refuses the advice gives small pages.
    #[cfg(target_os = "linux")]
    if what == Resource::WeightBytes {
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    Ok(map)
}
