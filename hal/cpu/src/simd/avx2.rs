//! AVX2 with FMA and F16C: two `ymm` registers.

use core::arch::x86_64::*;

use super::lanes::Lanes;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2;

/// Lanes 0–7 and 8–15.
#[derive(Clone, Copy)]
pub struct F(__m256, __m256);

/// Lanes 0–7 and 8–15.
#[derive(Clone, Copy)]
pub struct U(__m256i, __m256i);

// SAFETY (all blocks): the trait's contract: the machine has AVX2, FMA and F16C, and pointers are
// valid.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx2 {
    type F = F;
    type U = U;
    type Scale = [F; 4];
    const SUMS: usize = 6;

    #[inline(always)]
    unsafe fn splat(x: f32) -> F {
        unsafe { F(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> F {
        unsafe { F(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_pair(low: *const f32, high: *const f32) -> F {
        unsafe { F(_mm256_loadu_ps(low), _mm256_loadu_ps(high)) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> F {
        unsafe { Self::load_f16_pair(from, from.add(8)) }
    }
    #[inline(always)]
    unsafe fn load_f16_pair(low: *const u16, high: *const u16) -> F {
        unsafe {
            F(_mm256_cvtph_ps(_mm_loadu_si128(low.cast())), _mm256_cvtph_ps(_mm_loadu_si128(high.cast())))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: F) {
        unsafe {
            _mm256_storeu_ps(to, x.0);
            _mm256_storeu_ps(to.add(8), x.1);
        }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, x: F) {
        unsafe {
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x.0));
            _mm_storeu_si128(to.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x.1));
        }
    }
    #[inline(always)]
    unsafe fn fma(a: F, b: F, c: F) -> F {
        unsafe { F(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    unsafe fn add(a: F, b: F) -> F {
        unsafe { F(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn sub(a: F, b: F) -> F {
        unsafe { F(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul(a: F, b: F) -> F {
        unsafe { F(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn div(a: F, b: F) -> F {
        unsafe { F(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn max(a: F, b: F) -> F {
        unsafe { F(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn min(a: F, b: F) -> F {
        unsafe { F(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn keep_first(count: usize, x: F, fill: F) -> F {
        unsafe {
            let count = _mm256_set1_epi32(count.min(16) as i32);
            let low = _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            let high = _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15));
            F(
                _mm256_blendv_ps(fill.0, x.0, _mm256_castsi256_ps(low)),
                _mm256_blendv_ps(fill.1, x.1, _mm256_castsi256_ps(high)),
            )
        }
    }
    #[inline(always)]
    unsafe fn zero_unless_less(a: F, b: F, x: F) -> F {
        unsafe {
            F(
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0), x.0),
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a.1, b.1), x.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn greater(a: F, b: F) -> u32 {
        unsafe {
            let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0)) as u32;
            let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1)) as u32;
            low | high << 8
        }
    }
    #[inline(always)]
    unsafe fn exp2_whole(n: F) -> F {
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n.0), bias));
            let high = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n.1), bias));
            F(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }
    #[inline(always)]
    unsafe fn sum(x: F) -> f32 {
        unsafe {
            let x = _mm256_add_ps(x.0, x.1);
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps::<1>(x, x)))
        }
    }
    #[inline(always)]
    unsafe fn greatest(x: F) -> f32 {
        unsafe {
            let x = _mm256_max_ps(x.0, x.1);
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps::<1>(x, x)))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u32(from: *const u8) -> U {
        unsafe { U(_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())) }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> U {
        unsafe {
            U(
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            )
        }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> U {
        unsafe {
            U(
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            )
        }
    }
    #[inline(always)]
    unsafe fn load_upper_u16(from: *const u8) -> U {
        unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(16).cast()));
            U(_mm256_slli_epi32::<16>(low), _mm256_slli_epi32::<16>(high))
        }
    }
    #[inline(always)]
    unsafe fn shr(x: U, n: u32) -> U {
        unsafe {
            let n = _mm256_set1_epi32(n as i32);
            U(_mm256_srlv_epi32(x.0, n), _mm256_srlv_epi32(x.1, n))
        }
    }
    #[inline(always)]
    unsafe fn shl(x: U, n: u32) -> U {
        unsafe {
            let n = _mm256_set1_epi32(n as i32);
            U(_mm256_sllv_epi32(x.0, n), _mm256_sllv_epi32(x.1, n))
        }
    }
    #[inline(always)]
    unsafe fn and(x: U, mask: u32) -> U {
        unsafe {
            let mask = _mm256_set1_epi32(mask as i32);
            U(_mm256_and_si256(x.0, mask), _mm256_and_si256(x.1, mask))
        }
    }
    #[inline(always)]
    unsafe fn or(a: U, b: U) -> U {
        unsafe { U(_mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn int_to_f32(x: U) -> F {
        unsafe { F(_mm256_cvtepi32_ps(x.0), _mm256_cvtepi32_ps(x.1)) }
    }
    #[inline(always)]
    unsafe fn bits_to_f32(x: U) -> F {
        unsafe { F(_mm256_castsi256_ps(x.0), _mm256_castsi256_ps(x.1)) }
    }
    #[inline(always)]
    unsafe fn nibble_scale(scale: F) -> [F; 4] {
        unsafe {
            [
                scale,
                Self::mul(scale, Self::splat(1.0 / 16.0)),
                Self::mul(scale, Self::splat(1.0 / 256.0)),
                Self::mul(scale, Self::splat(1.0 / 4096.0)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn nibble_fma(x: U, i: usize, scale: [F; 4], min: F) -> F {
        // A nibble is converted where it stands: it is larger by a power of two, and its scale smaller,
        // both exactly, which saves the shift. The sign bit must stay out, so upper nibbles are moved
        // down, all at once.
        unsafe {
            let x = if i < 4 { x } else { Self::shr(x, 16) };
            let number = Self::int_to_f32(Self::and(x, 15 << (4 * (i % 4))));
            Self::fma(number, scale[i % 4], min)
        }
    }
    #[inline(always)]
    unsafe fn splat_u32(x: u32) -> U {
        unsafe { U(_mm256_set1_epi32(x as i32), _mm256_set1_epi32(x as i32)) }
    }
    #[inline(always)]
    unsafe fn store_u32(to: *mut u32, x: U) {
        unsafe {
            _mm256_storeu_si256(to.cast(), x.0);
            _mm256_storeu_si256(to.add(8).cast(), x.1);
        }
    }
    #[inline(always)]
    unsafe fn dot_pairs(sum: U, a: U, b: U) -> U {
        unsafe {
            U(
                _mm256_add_epi32(sum.0, _mm256_madd_epi16(a.0, b.0)),
                _mm256_add_epi32(sum.1, _mm256_madd_epi16(a.1, b.1)),
            )
        }
    }
    #[inline(always)]
    unsafe fn store_pairs(to: *mut i16, x: F) {
        unsafe {
            for (eight, x) in [x.0, x.1].into_iter().enumerate() {
                let x = _mm256_cvtps_epi32(x);
                let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
                let low = _mm_and_si128(low, _mm_set1_epi32(0xffff));
                _mm_storeu_si128(to.add(8 * eight).cast(), _mm_or_si128(low, _mm_slli_epi32::<16>(high)));
            }
        }
    }
}
