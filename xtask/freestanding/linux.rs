//! What a process needs that has no C library: where it begins, how it ends, and the four functions on
//! memory that compilers take for granted.

use core::arch::{asm, global_asm};

// The stack is aligned as the ABI wants it at a call; nothing returns from here.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {begin}", "ud2", begin = sym begin);

extern "C" fn begin() -> ! {
    exit(match super::run() {
        Ok(()) => 0,
        Err(failure) => failure as i32,
    })
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    // SAFETY: `exit_group` takes a number and does not return.
    unsafe { asm!("syscall", in("rax") 231, in("edi") code, options(noreturn)) }
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's ranges are valid and do not overlap; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: the caller's ranges are valid, and copying forwards reads nothing that was written.
        return unsafe { memcpy(to, from, count) };
    }
    // SAFETY: the same backwards, from the last byte; the direction flag is cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") count => _,
             inout("rdi") to.add(count).wrapping_sub(1) => _, inout("rsi") from.add(count).wrapping_sub(1) => _,
             options(nostack));
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller's range is valid; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8,
             options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller's ranges are valid.
        let (one, other) = unsafe { (one.add(at).read(), other.add(at).read()) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(one, other, count) }
}

/// The library `core` was built to unwind, and names what would be called then. This program aborts.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
pub extern "C" fn _Unwind_Resume() -> ! {
    exit(super::Failure::Panic as i32)
}
