//! The allocator of a whole test program, which counts. A file that uses it has one test.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// The system's allocator, which counts: calls of any thread while it is told to, and always the bytes in use.
pub struct Counting {
    pub counts: AtomicBool,
    pub calls: AtomicU64,
    pub live: AtomicI64,
}

#[global_allocator]
pub static ALLOCATOR: Counting =
    Counting { counts: AtomicBool::new(false), calls: AtomicU64::new(0), live: AtomicI64::new(0) };

impl Counting {
    fn note(&self, bytes: i64) {
        self.live.fetch_add(bytes, Relaxed);
        if self.counts.load(Relaxed) {
            self.calls.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size() as i64);
        // SAFETY: the caller's promises are the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.note(bytes as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
