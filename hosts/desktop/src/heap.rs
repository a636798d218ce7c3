//! Giving freed memory back to the system: glue to the C library, and so a place that holds `unsafe`.

#![allow(unsafe_code)]

/// Gives back what was freed while the program started. Building a tokenizer takes and frees some
/// megabytes in small pieces, which the C library would keep for a process that never needs them again.
/// Where the C library has no such thing, nothing happens.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the function takes no pointer and is safe to call from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
