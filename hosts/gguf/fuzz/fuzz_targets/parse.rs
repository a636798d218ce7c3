//! Any bytes whatever: they are refused, or everything that can be asked of them is consistent.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/walk.rs"]
mod walk;

fuzz_target!(|bytes: &[u8]| {
    walk::walk(bytes);
});
