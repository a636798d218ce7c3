//! AVX-512: one `zmm` register.

use core::arch::x86_64::*;

use super::lanes::Lanes;

/// AVX-512 F, BW, DQ and VL, and perhaps VNNI.
#[derive(Clone, Copy)]
pub struct Avx512<const VNNI: bool>;

// SAFETY (all blocks): the trait's contract: the machine has AVX-512 and pointers are valid.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const VNNI: bool> Lanes for Avx512<VNNI> {
    type F = __m512;
    type U = __m512i;
    type Scale = __m512;
    const SUMS: usize = 24;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_pair(low: *const f32, high: *const f32) -> __m512 {
        unsafe {
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high))
        }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_f16_pair(low: *const u16, high: *const u16) -> __m512 {
        unsafe {
            let (low, high) = (_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast()));
            _mm512_cvtph_ps(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, x: __m512) {
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn keep_first(count: usize, x: __m512, fill: __m512) -> __m512 {
        let mask = if count >= 16 { u16::MAX } else { (1u16 << count) - 1 };
        unsafe { _mm512_mask_blend_ps(mask, fill, x) }
    }
    #[inline(always)]
    unsafe fn zero_unless_less(a: __m512, b: __m512, x: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), x) }
    }
    #[inline(always)]
    unsafe fn greater(a: __m512, b: __m512) -> u32 {
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)) }
    }
    #[inline(always)]
    unsafe fn exp2_whole(n: __m512) -> __m512 {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        unsafe {
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps::<1>(x, x)))
        }
    }
    #[inline(always)]
    unsafe fn greatest(x: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(x) }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u32(from: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> __m512i {
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_upper_u16(from: *const u8) -> __m512i {
        unsafe { _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn shr(x: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_srlv_epi32(x, _mm512_set1_epi32(n as i32)) }
    }
    #[inline(always)]
    unsafe fn shl(x: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_sllv_epi32(x, _mm512_set1_epi32(n as i32)) }
    }
    #[inline(always)]
    unsafe fn and(x: __m512i, mask: u32) -> __m512i {
        unsafe { _mm512_and_si512(x, _mm512_set1_epi32(mask as i32)) }
    }
    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn int_to_f32(x: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(x) }
    }
    #[inline(always)]
    unsafe fn bits_to_f32(x: __m512i) -> __m512 {
        unsafe { _mm512_castsi512_ps(x) }
    }
    #[inline(always)]
    unsafe fn nibble_scale(scale: __m512) -> __m512 {
        scale
    }
    #[inline(always)]
    unsafe fn nibble_fma(x: __m512i, i: usize, scale: __m512, min: __m512) -> __m512 {
        // The permutation reads only the lowest four bits of an index: a table look-up that needs
        // neither a mask nor a conversion.
        unsafe {
            let numbers = _mm512_set_ps(
                15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0,
            );
            let number = _mm512_permutexvar_ps(Self::shr(x, 4 * i as u32), numbers);
            _mm512_fmadd_ps(number, scale, min)
        }
    }
    #[inline(always)]
    unsafe fn splat_u32(x: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(x as i32) }
    }
    #[inline(always)]
    unsafe fn store_u32(to: *mut u32, x: __m512i) {
        unsafe { _mm512_storeu_si512(to.cast(), x) }
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        unsafe {
            if VNNI { dot_pairs_at_once(sum, a, b) } else { _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)) }
        }
    }
    #[inline(always)]
    unsafe fn store_pairs(to: *mut i16, x: __m512) {
        unsafe {
            let order = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
            let words = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x));
            _mm256_storeu_si256(to.cast(), _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(order)));
        }
    }
}

/// One instruction, written out: of the intrinsic the compiler makes two where it hopes for less latency, but
/// products are bound by the number of instructions.
///
/// # Safety
/// The machine has AVX-512 VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot_pairs_at_once(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: the instruction reads and writes these registers only.
    unsafe {
        core::arch::asm!(
            "vpdpwssd {sum}, {a}, {b}",
            sum = inout(zmm_reg) sum,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
