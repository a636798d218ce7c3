//! Sixteen lanes of `f32`: the register that every kernel is written in.
//!
//! A kernel is one generic function over [`Lanes`]; an instruction set is one implementation. All
//! implementations with fused multiply-add give the same bits: operations are lane by lane, and
//! [`Lanes::sum`] adds in one fixed tree.

/// Lanes of a register, and outputs in a lane group of packed weights.
pub const LANES: usize = 16;

/// The order in which eight inputs are stored as integers: two that are multiplied by one lane of weights
/// lie side by side. They are the ones whose nibbles are 16 bits apart in a word of eight.
pub const PAIRS: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// An instruction set.
///
/// # Safety
/// Every method may be called only on a machine that has the instruction set, and inlined into a
/// function that enables it. Pointers must be valid for the lanes named; no alignment is needed.
pub trait Lanes: Copy + 'static {
    /// Sixteen `f32`.
    type F: Copy;
    /// Sixteen `u32`.
    type U: Copy;
    /// A scale, in the forms that [`Lanes::nibble_fma`] wants.
    type Scale: Copy;

    /// Sums that the registers hold, beside what they are computed from: a multiple of six.
    const SUMS: usize;

    /// x in every lane.
    unsafe fn splat(x: f32) -> Self::F;
    /// Sixteen consecutive numbers.
    unsafe fn load(from: *const f32) -> Self::F;
    /// Eight numbers from `low`, eight from `high`.
    unsafe fn load_pair(low: *const f32, high: *const f32) -> Self::F;
    /// Sixteen consecutive half-precision numbers.
    unsafe fn load_f16(from: *const u16) -> Self::F;
    /// Eight half-precision numbers from `low`, eight from `high`.
    unsafe fn load_f16_pair(low: *const u16, high: *const u16) -> Self::F;
    /// Writes sixteen consecutive numbers.
    unsafe fn store(to: *mut f32, x: Self::F);
    /// Writes sixteen consecutive numbers in half precision, rounded to nearest even.
    unsafe fn store_f16(to: *mut u16, x: Self::F);
    /// a · b + c, rounded once where the instruction set can.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a + b.
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    /// a − b.
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    /// a · b.
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// a / b.
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// The larger of both; b where a is not a number.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// The smaller of both; b where a is not a number.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// x in lanes below `count`, `fill` in the others.
    unsafe fn keep_first(count: usize, x: Self::F, fill: Self::F) -> Self::F;
    /// x where `a < b`, else zero.
    unsafe fn zero_unless_less(a: Self::F, b: Self::F, x: Self::F) -> Self::F;
    /// Bit i is set where lane i of `a` is greater than that of `b`.
    unsafe fn greater(a: Self::F, b: Self::F) -> u32;
    /// 2^n for whole numbers n between −126 and 127.
    unsafe fn exp2_whole(n: Self::F) -> Self::F;
    /// The sum of all lanes: upper half added to lower half, four times.
    unsafe fn sum(x: Self::F) -> f32;
    /// The greatest lane.
    unsafe fn greatest(x: Self::F) -> f32;

    /// Asks for the cache line at an address, which need not be valid.
    unsafe fn prefetch(at: *const u8);

    /// Sixteen consecutive words.
    unsafe fn load_u32(from: *const u8) -> Self::U;
    /// Sixteen consecutive bytes, widened.
    unsafe fn load_u8(from: *const u8) -> Self::U;
    /// Sixteen consecutive bytes, sign-extended.
    unsafe fn load_i8(from: *const u8) -> Self::U;
    /// Sixteen consecutive 16-bit words, moved to the upper halves.
    unsafe fn load_upper_u16(from: *const u8) -> Self::U;
    /// x >> n.
    unsafe fn shr(x: Self::U, n: u32) -> Self::U;
    /// x << n.
    unsafe fn shl(x: Self::U, n: u32) -> Self::U;
    /// x & mask.
    unsafe fn and(x: Self::U, mask: u32) -> Self::U;
    /// a | b.
    unsafe fn or(a: Self::U, b: Self::U) -> Self::U;
    /// The lanes as signed integers, as numbers.
    unsafe fn int_to_f32(x: Self::U) -> Self::F;
    /// The lanes' bits as numbers.
    unsafe fn bits_to_f32(x: Self::U) -> Self::F;
    /// The forms of a scale.
    unsafe fn nibble_scale(scale: Self::F) -> Self::Scale;
    /// Nibble i of each lane, counted from the least significant, · scale + min.
    unsafe fn nibble_fma(x: Self::U, i: usize, scale: Self::Scale, min: Self::F) -> Self::F;

    /// x in every lane.
    unsafe fn splat_u32(x: u32) -> Self::U;
    /// Sixteen consecutive words.
    unsafe fn store_u32(to: *mut u32, x: Self::U);
    /// sum + the products of the lower and of the upper halves of each lane of `a` and `b`, as signed
    /// integers of 16 bits.
    unsafe fn dot_pairs(sum: Self::U, a: Self::U, b: Self::U) -> Self::U;
    /// Writes whole numbers of at most 32,767 as integers of 16 bits, each eight of them as [`PAIRS`] says.
    unsafe fn store_pairs(to: *mut i16, x: Self::F);
}
