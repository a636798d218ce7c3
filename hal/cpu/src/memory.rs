//! Where a device's memory comes from, and how it is divided.

use core::marker::PhantomData;
use core::ops::{DerefMut, Range};

use agentos_hal::Resource;
use bytemuck::Pod;

/// Alignment of every block and of everything in it: a cache line, and a register of AVX-512.
pub const ALIGN: usize = 64;

/// Lends memory to a device in `prepare`, and in no other place.
pub trait MemorySource {
    /// A block of memory; given back when dropped.
    type Block: DerefMut<Target = [u8]>;

    /// A block of `bytes` zeroed bytes for a purpose, aligned to [`ALIGN`].
    ///
    /// # Errors
    /// The bytes that could be had.
    fn reserve(&mut self, what: Resource, bytes: usize) -> Result<Self::Block, u64>;
}

/// Memory that the caller owns, lent once: for hosts without an allocator.
#[derive(Debug)]
pub struct Lent<'m> {
    rest: &'m mut [u8],
}

impl<'m> Lent<'m> {
    /// Lends `memory`. [`crate::CpuDevice::footprint`] says how much a model needs.
    pub fn new(memory: &'m mut [u8]) -> Self {
        Lent { rest: memory }
    }
}

impl<'m> MemorySource for Lent<'m> {
    type Block = &'m mut [u8];

    fn reserve(&mut self, _what: Resource, bytes: usize) -> Result<&'m mut [u8], u64> {
        let memory = core::mem::take(&mut self.rest);
        let skip = memory.as_ptr().align_offset(ALIGN).min(memory.len());
        if memory.len() - skip < bytes {
            let available = (memory.len() - skip) as u64;
            self.rest = memory;
            return Err(available);
        }
        let (block, rest) = memory[skip..].split_at_mut(bytes);
        self.rest = rest;
        block.fill(0);
        Ok(block)
    }
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
