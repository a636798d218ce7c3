//! No instruction set at all: arrays that the compiler vectorises as it can.
//!
//! Products and sums are rounded separately here, since a fused multiply-add without the instruction
//! is a slow library call. Results are as reproducible as elsewhere, but differ in the last bits from
//! those of the other instruction sets.

use half::f16;

use super::lanes::{LANES, Lanes, PAIRS};

/// Plain arrays.
#[derive(Clone, Copy)]
pub struct Portable;

type F = [f32; LANES];
type U = [u32; LANES];

#[inline(always)]
fn map2<T: Copy>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> T) -> [T; LANES] {
    core::array::from_fn(|i| f(a[i], b[i]))
}

// SAFETY (all blocks): the trait's contract: pointers are valid for the lanes named.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Portable {
    type F = F;
    type U = U;
    type Scale = F;
    const SUMS: usize = 6;

    #[inline(always)]
    unsafe fn splat(x: f32) -> F {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> F {
        core::array::from_fn(|i| unsafe { from.add(i).read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_pair(low: *const f32, high: *const f32) -> F {
        core::array::from_fn(|i| unsafe { if i < 8 { *low.add(i) } else { *high.add(i - 8) } })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> F {
        core::array::from_fn(|i| unsafe { f16::from_bits(from.add(i).read_unaligned()).to_f32() })
    }
    #[inline(always)]
    unsafe fn load_f16_pair(low: *const u16, high: *const u16) -> F {
        core::array::from_fn(|i| unsafe {
            let from = if i < 8 { low.add(i) } else { high.add(i - 8) };
            f16::from_bits(*from).to_f32()
        })
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: F) {
        unsafe { to.cast::<F>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, x: F) {
        let halves: [u16; LANES] = core::array::from_fn(|i| f16::from_f32(x[i]).to_bits());
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(halves) }
    }
    #[inline(always)]
    unsafe fn fma(a: F, b: F, c: F) -> F {
        core::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn add(a: F, b: F) -> F {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: F, b: F) -> F {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: F, b: F) -> F {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: F, b: F) -> F {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(a: F, b: F) -> F {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: F, b: F) -> F {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn keep_first(count: usize, x: F, fill: F) -> F {
        core::array::from_fn(|i| if i < count { x[i] } else { fill[i] })
    }
    #[inline(always)]
    unsafe fn zero_unless_less(a: F, b: F, x: F) -> F {
        core::array::from_fn(|i| if a[i] < b[i] { x[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn greater(a: F, b: F) -> u32 {
        (0..LANES).fold(0, |bits, i| bits | u32::from(a[i] > b[i]) << i)
    }
    #[inline(always)]
    unsafe fn exp2_whole(n: F) -> F {
        n.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn sum(x: F) -> f32 {
        let x: [f32; 8] = core::array::from_fn(|i| x[i] + x[i + 8]);
        let x: [f32; 4] = core::array::from_fn(|i| x[i] + x[i + 4]);
        (x[0] + x[2]) + (x[1] + x[3])
    }
    #[inline(always)]
    unsafe fn greatest(x: F) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}
    #[inline(always)]
    unsafe fn load_u32(from: *const u8) -> U {
        core::array::from_fn(|i| unsafe { from.cast::<u32>().add(i).read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> U {
        core::array::from_fn(|i| unsafe { u32::from(*from.add(i)) })
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> U {
        core::array::from_fn(|i| unsafe { i32::from(*from.add(i) as i8) as u32 })
    }
    #[inline(always)]
    unsafe fn load_upper_u16(from: *const u8) -> U {
        core::array::from_fn(|i| unsafe { u32::from(from.cast::<u16>().add(i).read_unaligned()) << 16 })
    }
    #[inline(always)]
    unsafe fn shr(x: U, n: u32) -> U {
        x.map(|x| x >> n)
    }
    #[inline(always)]
    unsafe fn shl(x: U, n: u32) -> U {
        x.map(|x| x << n)
    }
    #[inline(always)]
    unsafe fn and(x: U, mask: u32) -> U {
        x.map(|x| x & mask)
    }
    #[inline(always)]
    unsafe fn or(a: U, b: U) -> U {
        map2(a, b, |a, b| a | b)
    }
    #[inline(always)]
    unsafe fn int_to_f32(x: U) -> F {
        x.map(|x| x as i32 as f32)
    }
    #[inline(always)]
    unsafe fn bits_to_f32(x: U) -> F {
        x.map(f32::from_bits)
    }
    #[inline(always)]
    unsafe fn nibble_scale(scale: F) -> F {
        scale
    }
    #[inline(always)]
    unsafe fn nibble_fma(x: U, i: usize, scale: F, min: F) -> F {
        core::array::from_fn(|lane| (x[lane] >> (4 * i) & 15) as f32 * scale[lane] + min[lane])
    }
    #[inline(always)]
    unsafe fn splat_u32(x: u32) -> U {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn store_u32(to: *mut u32, x: U) {
        unsafe { to.cast::<U>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: U, a: U, b: U) -> U {
        let halves = |x: u32| (i32::from(x as i16), i32::from((x >> 16) as i16));
        core::array::from_fn(|i| {
            let (a, b) = (halves(a[i]), halves(b[i]));
            sum[i].wrapping_add((a.0 * b.0 + a.1 * b.1) as u32)
        })
    }
    #[inline(always)]
    unsafe fn store_pairs(to: *mut i16, x: F) {
        let codes: [i16; LANES] = core::array::from_fn(|i| x[i / 8 * 8 + PAIRS[i % 8]] as i16);
        unsafe { to.cast::<[i16; LANES]>().write_unaligned(codes) }
    }
}
