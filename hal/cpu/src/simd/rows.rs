//! Instructions that work on one row by itself: norms, rotation, gates, biases.

use super::lanes::{LANES, Lanes};
use super::math;

/// out = x / √(mean(x²) + ε) · weight. `out` may be `x`.
///
/// The sum of squares is sixteen chains, one per lane, added in [`Lanes::sum`]'s tree.
///
/// # Safety
/// The contract of [`Lanes`]; all pointers are valid for `width` elements.
#[inline(always)]
pub unsafe fn norm<S: Lanes>(x: *const f32, weight: *const f32, out: *mut f32, width: usize, eps: f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let whole = width / LANES * LANES;
        let mut squares = S::splat(0.0);
        for at in (0..whole).step_by(LANES) {
            let x = S::load(x.add(at));
            squares = S::fma(x, x, squares);
        }
        let mut rest = [0.0f32; LANES];
        for (i, at) in (whole..width).enumerate() {
            rest[i] = *x.add(at);
        }
        let rest = S::load(rest.as_ptr());
        squares = S::fma(rest, rest, squares);
        let scale = 1.0 / libm::sqrtf(S::sum(squares) / width as f32 + eps);
        for at in (0..whole).step_by(LANES) {
            let scaled = S::mul(S::load(x.add(at)), S::splat(scale));
            S::store(out.add(at), S::mul(scaled, S::load(weight.add(at))));
        }
        for at in whole..width {
            *out.add(at) = *x.add(at) * scale * *weight.add(at);
        }
    }
}

/// x += bias.
///
/// # Safety
/// The contract of [`Lanes`]; both pointers are valid for `width` elements.
#[inline(always)]
pub unsafe fn add<S: Lanes>(x: *mut f32, bias: *const f32, width: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let whole = width / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            S::store(x.add(at), S::add(S::load(x.add(at)), S::load(bias.add(at))));
        }
        for at in whole..width {
            *x.add(at) += *bias.add(at);
        }
    }
}

/// gate = silu(gate) · up, or gelu(gate) · up. Works on whole lane groups: `width` is rounded up.
///
/// # Safety
/// The contract of [`Lanes`]; both pointers are valid for `width` elements, rounded up to lanes.
#[inline(always)]
pub unsafe fn gate<S: Lanes>(gate: *mut f32, up: *const f32, width: usize, gelu: bool) {
    // SAFETY: the caller's contract.
    unsafe {
        for at in (0..width).step_by(LANES) {
            let x = S::load(gate.add(at));
            let activated = if gelu { math::gelu::<S>(x) } else { math::silu::<S>(x) };
            S::store(gate.add(at), S::mul(activated, S::load(up.add(at))));
        }
    }
}

/// Rotates one head by the angles whose cosines and signed sines are given:
/// out\[i\] = x\[i\] · cos\[i\] + x\[partner of i\] · sin\[i\].
///
/// # Safety
/// The contract of [`Lanes`]; all pointers are valid for `head_dim` elements, a multiple of 16.
#[inline(always)]
pub unsafe fn rotate<S: Lanes>(
    x: *const f32,
    partners: *const f32,
    cos: *const f32,
    sin: *const f32,
    out: *mut f32,
    head_dim: usize,
) {
    for at in (0..head_dim).step_by(LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let turned = S::mul(S::load(partners.add(at)), S::load(sin.add(at)));
            S::store(out.add(at), S::fma(S::load(x.add(at)), S::load(cos.add(at)), turned));
        }
    }
}

/// Cosines and signed sines of the sum of two angles, from those of each.
///
/// # Safety
/// The contract of [`Lanes`]; all pointers are valid for `head_dim` elements, a multiple of 16.
#[inline(always)]
pub unsafe fn add_angles<S: Lanes>(
    a: (*const f32, *const f32),
    b: (*const f32, *const f32),
    out: (*mut f32, *mut f32),
    head_dim: usize,
) {
    for at in (0..head_dim).step_by(LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let (cos_a, sin_a) = (S::load(a.0.add(at)), S::load(a.1.add(at)));
            let (cos_b, sin_b) = (S::load(b.0.add(at)), S::load(b.1.add(at)));
            // The sines carry the same sign in both, so that it cancels in their product.
            let both = S::mul(sin_a, sin_b);
            S::store(out.0.add(at), S::sub(S::mul(cos_a, cos_b), both));
            S::store(out.1.add(at), S::fma(sin_a, cos_b, S::mul(cos_a, sin_b)));
        }
    }
}
