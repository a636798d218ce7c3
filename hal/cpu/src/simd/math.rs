//! Elementary functions on lanes. One sequence of operations for every instruction set.

use super::lanes::Lanes;

/// Below this e^x is taken as zero; also the greatest magnitude of a power that stays normal.
const LEAST: f32 = -87.0;

/// e^x to about two units in the last place for x up to 88; zero below −87.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn exp<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        // e^x = 2^n · e^r with |r| ≤ ln 2 / 2. Adding and subtracting 1.5 · 2^23 rounds to a whole n;
        // ln 2 in two parts keeps r exact.
        let bounded = S::min(S::max(x, S::splat(LEAST)), S::splat(88.0));
        let shift = S::splat(12_582_912.0);
        let n = S::sub(S::fma(bounded, S::splat(core::f32::consts::LOG2_E), shift), shift);
        let r = S::fma(n, S::splat(-0.693_359_4), bounded);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = S::fma(p, r, S::splat(coefficient));
        }
        let p = S::add(S::fma(p, S::mul(r, r), r), S::splat(1.0));
        let power = S::mul(p, S::exp2_whole(n));
        S::zero_unless_less(S::splat(LEAST), x, power)
    }
}

/// x / (1 + e^−x).
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn silu<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        let power = exp::<S>(S::sub(S::splat(0.0), x));
        S::div(x, S::add(S::splat(1.0), power))
    }
}

/// x/2 · (1 + tanh(u)) with u = √(2/π) · (x + 0.044715 x³), which is x / (1 + e^−2u).
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn gelu<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        let inner = S::fma(S::mul(S::mul(x, x), S::splat(0.044_715)), x, x);
        let power = exp::<S>(S::mul(inner, S::splat(-1.595_769)));
        S::div(x, S::add(S::splat(1.0), power))
    }
}
