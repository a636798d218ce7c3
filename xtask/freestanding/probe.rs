//! A program's worth of AgentOS with nothing under it: no standard library, no heap.
//!
//! `cargo xtask test` compiles this against the crates that promise to need neither. Should one of them,
//! or anything that they depend on, link the standard library, there are two panic handlers; should one
//! link `alloc`, there is no allocator. Either is refused by the compiler.

#![no_std]

extern crate agentos_cpu;
extern crate agentos_gguf;
extern crate agentos_hal;
extern crate agentos_kernel;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
