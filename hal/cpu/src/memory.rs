//! Where a device's memory comes from, and how it is divided.

use core::marker::PhantomData;
use core::ops::Range;

use agentos_hal::{Footprint, Resource};
use bytemuck::Pod;

/// Alignment of every block and of everything in it: a cache line, and a register of AVX-512.
pub const ALIGN: usize = 64;

/// A device's memory, by purpose.
#[derive(Debug)]
pub struct Blocks<'a> {
    /// Packed weights.
    pub weights: &'a mut [u8],
    /// Keys and values.
    pub pages: &'a mut [u8],
    /// Everything else.
    pub scratch: &'a mut [u8],
}

/// Too little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// For what.
    pub what: Resource,
    /// The bytes that could be had.
    pub available: u64,
}

/// Memory for a device. It is reserved in `prepare`, and in no other place.
pub trait MemorySource {
    /// Gives back what was reserved before, and reserves zeroed blocks of these sizes.
    ///
    /// # Errors
    /// What there is too little of; nothing is reserved then.
    fn reserve(&mut self, sizes: &Footprint) -> Result<(), Shortage>;

    /// The blocks, aligned to [`ALIGN`]; empty before `reserve` has succeeded.
    fn blocks(&mut self) -> Blocks<'_>;
}

/// Memory that the caller owns: for hosts without an allocator.
#[derive(Debug)]
pub struct Lent<'m> {
    memory: &'m mut [u8],
    sizes: [usize; 3],
}

impl<'m> Lent<'m> {
    /// Lends `memory`. [`crate::CpuDevice::footprint`] says how much a model needs; each of the three
    /// sizes is rounded up to [`ALIGN`], and so is the memory's start.
    pub fn new(memory: &'m mut [u8]) -> Self {
        let skip = memory.as_ptr().align_offset(ALIGN).min(memory.len());
        Lent { memory: &mut memory[skip..], sizes: [0; 3] }
    }
}

impl MemorySource for Lent<'_> {
    fn reserve(&mut self, sizes: &Footprint) -> Result<(), Shortage> {
        self.sizes = [0; 3];
        let mut reserved = [0; 3];
        let mut left = self.memory.len();
        for ((what, bytes), reserved) in purposes(sizes).into_iter().zip(&mut reserved) {
            let shortage = Shortage { what, available: left as u64 };
            let bytes = bytes.checked_next_multiple_of(ALIGN as u64).ok_or(shortage)?;
            *reserved = usize::try_from(bytes).map_err(|_| shortage)?;
            left = left.checked_sub(*reserved).ok_or(shortage)?;
        }
        self.sizes = reserved;
        self.memory[..reserved.iter().sum()].fill(0);
        Ok(())
    }

    fn blocks(&mut self) -> Blocks<'_> {
        let (weights, rest) = self.memory.split_at_mut(self.sizes[0]);
        let (pages, rest) = rest.split_at_mut(self.sizes[1]);
        Blocks { weights, pages, scratch: &mut rest[..self.sizes[2]] }
    }
}

/// The blocks of a footprint.
pub fn purposes(sizes: &Footprint) -> [(Resource, u64); 3] {
    [
        (Resource::WeightBytes, sizes.weights),
        (Resource::PageBytes, sizes.pages),
        (Resource::ScratchBytes, sizes.scratch),
    ]
}

/// A part of a block: `len` elements of T from byte `offset`.
#[derive(Debug)]
pub struct Region<T> {
    offset: usize,
    len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for Region<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Region<T> {}

impl<T: Pod> Region<T> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    fn bytes(&self) -> Range<usize> {
        self.offset..self.offset + self.len * size_of::<T>()
    }

    /// The region's elements.
    pub fn of<'a>(&self, block: &'a [u8]) -> &'a [T] {
        bytemuck::cast_slice(&block[self.bytes()])
    }

    /// The region's elements.
    pub fn of_mut<'a>(&self, block: &'a mut [u8]) -> &'a mut [T] {
        bytemuck::cast_slice_mut(&mut block[self.bytes()])
    }

    /// The elements of this region and of one behind it.
    pub fn two_mut<'a>(&self, behind: Region<T>, block: &'a mut [u8]) -> (&'a mut [T], &'a mut [T]) {
        let (low, high) = block.split_at_mut(behind.offset);
        let bytes = behind.len * size_of::<T>();
        (self.of_mut(low), bytemuck::cast_slice_mut(&mut high[..bytes]))
    }

    /// The region's first element in a block that starts at `block`.
    pub fn at(&self, block: *mut u8) -> *mut T {
        block.wrapping_add(self.offset).cast()
    }
}

/// Divides a block into regions, one behind the other.
#[derive(Debug, Default)]
pub struct Divider {
    used: u64,
}

impl Divider {
    /// The next region.
    pub fn region<T: Pod>(&mut self, len: usize) -> Region<T> {
        let region = Region { offset: self.used as usize, len, element: PhantomData };
        let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        self.used = self.used.saturating_add(bytes).saturating_add(ALIGN as u64 - 1) & !(ALIGN as u64 - 1);
        region
    }

    /// Bytes of all regions so far.
    pub fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(weights: u64, pages: u64, scratch: u64) -> Footprint {
        Footprint { weights, pages, scratch }
    }

    #[test]
    fn lent_memory_is_aligned_zeroed_and_can_be_divided_anew() {
        let mut memory = [7u8; 1024];
        let mut lent = Lent::new(&mut memory[3..]);
        assert!(lent.blocks().weights.is_empty());
        for size in [sizes(65, 0, 10), sizes(1, 300, 200)] {
            lent.reserve(&size).unwrap();
            let blocks = lent.blocks();
            for (block, size) in [
                (&*blocks.weights, size.weights),
                (&*blocks.pages, size.pages),
                (&*blocks.scratch, size.scratch),
            ] {
                assert!(block.as_ptr().align_offset(ALIGN) == 0 && block.len() as u64 >= size);
                assert!(block.iter().all(|&byte| byte == 0));
            }
            blocks.weights.fill(1);
        }
    }

    #[test]
    fn a_shortage_says_of_what_and_how_much_there_is() {
        let mut memory = [0u8; 512];
        let mut lent = Lent::new(&mut memory);
        let room = lent.memory.len() as u64 / 64 * 64;
        let shortage = |what, available| Err(Shortage { what, available });
        assert_eq!(
            lent.reserve(&sizes(600, 0, 0)),
            shortage(Resource::WeightBytes, lent.memory.len() as u64)
        );
        let left = lent.memory.len() as u64 - 64;
        assert_eq!(lent.reserve(&sizes(64, 600, 0)), shortage(Resource::PageBytes, left));
        assert_eq!(
            lent.reserve(&sizes(0, u64::MAX, 0)),
            shortage(Resource::PageBytes, lent.memory.len() as u64)
        );
        assert_eq!(lent.reserve(&sizes(0, 0, room)), Ok(()));
    }
}
