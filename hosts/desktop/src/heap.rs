//! Giving memory that only the start needed back to the system: glue to the C library, and so a place that holds
//! `unsafe`.

#![allow(unsafe_code)]

/// Gives back what was freed while the program started, and lets go of the code that ran. Building a tokenizer
/// takes and frees some megabytes in small pieces, which the C library would keep for a process that never needs
/// them again; and a start touches megabytes of code and relocations that no step does. Where the system has no
/// such thing, nothing happens.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: the function takes no pointer and is safe to call from any thread at any time.
        unsafe {
            libc::malloc_trim(0);
        }
        let_code_go();
    }
}

/// Forgets where the program's code and constants are in memory. They come back from the page cache, some pages at
/// a time, where they are used again. (A debugger's breakpoints in them are lost with that.)
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn let_code_go() {
    unsafe extern "C" {
        /// The first byte of the program, as the linker has it.
        static __executable_start: u8;
        /// The byte behind its code.
        static etext: u8;
    }
    let first = (&raw const __executable_start).addr();
    let end = (&raw const etext).addr();
    // SAFETY: takes no pointer, and has no precondition.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16);
    let length = end.saturating_sub(first) / page * page;
    // SAFETY: from the program's first byte to the end of its code, all pages are a private mapping of its file that
    // is only read and executed. Without them in memory each access reads the file again, which the system keeps
    // from being written while it runs.
    unsafe {
        libc::madvise((&raw const __executable_start).cast_mut().cast(), length, libc::MADV_DONTNEED);
    }
}
