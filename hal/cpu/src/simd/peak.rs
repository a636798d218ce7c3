//! What this machine can do at best: the ceilings that measured speeds are fractions of.

use super::lanes::{LANES, Lanes};

/// Computes about `operations` multiplications and additions in registers; returns how many, and a number
/// that is of no use but must be used.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn multiply_adds<S: Lanes>(operations: u64) -> (u64, f32) {
    // As many chains as hide the latency of a multiply-add and leave no register to memory.
    // SAFETY: the caller's contract.
    unsafe { if S::SUMS >= 12 { chains::<S, 12>(operations) } else { chains::<S, 6>(operations) } }
}

/// [`multiply_adds`] in independent chains.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn chains<S: Lanes, const CHAINS: usize>(operations: u64) -> (u64, f32) {
    let operations_of_round = (2 * LANES * CHAINS) as u64;
    let rounds = operations.div_ceil(operations_of_round);
    // SAFETY: the caller's contract.
    unsafe {
        let (factor, addend) = (S::splat(0.999), S::splat(0.001));
        // Different values, since chains that are alike would be computed once, and not the fixed point 1.
        let mut chains = [factor; CHAINS];
        for (number, chain) in chains.iter_mut().enumerate() {
            *chain = S::splat(2.0 + number as f32);
        }
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = S::fma(*chain, factor, addend);
            }
        }
        let mut total = factor;
        for chain in chains {
            total = S::add(total, chain);
        }
        (rounds * operations_of_round, S::sum(total))
    }
}

/// Multiplies and adds about `operations` 16-bit integers in registers; returns how many, and a number that is
/// of no use but must be used.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn dots<S: Lanes>(operations: u64) -> (u64, u32) {
    // SAFETY: the caller's contract.
    unsafe { if S::SUMS >= 12 { dot_chains::<S, 12>(operations) } else { dot_chains::<S, 6>(operations) } }
}

/// [`dots`] in independent chains.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn dot_chains<S: Lanes, const CHAINS: usize>(operations: u64) -> (u64, u32) {
    // Two products and two sums in each lane.
    let operations_of_round = (4 * LANES * CHAINS) as u64;
    let rounds = operations.div_ceil(operations_of_round);
    // SAFETY: the caller's contract.
    unsafe {
        let mut chains = [S::splat_u32(0); CHAINS];
        for (number, chain) in chains.iter_mut().enumerate() {
            *chain = S::splat_u32(number as u32);
        }
        let factor = S::splat_u32(0x0003_0005);
        for round in 0..rounds {
            // Different in every round, since a product that stays would be computed once.
            let other = S::splat_u32(round as u32);
            for chain in &mut chains {
                *chain = S::dot_pairs(*chain, factor, other);
            }
        }
        let mut total = S::splat_u32(0);
        for chain in chains {
            total = S::or(total, chain);
        }
        (rounds * operations_of_round, S::sum(S::int_to_f32(total)).to_bits())
    }
}

/// Reads memory from end to end. The result is of no use but must be used.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn read<S: Lanes>(memory: &[u8]) -> u32 {
    const LINE: usize = 4 * LANES;
    // SAFETY: the caller's contract; every load is inside `memory`.
    unsafe {
        let mut seen = [S::and(S::load_u32([0u8; LINE].as_ptr()), 0); 4];
        for block in memory.chunks_exact(4 * LINE) {
            for (line, seen) in seen.iter_mut().enumerate() {
                S::prefetch(block.as_ptr().wrapping_add(4096 + line * LINE));
                *seen = S::or(*seen, S::load_u32(block.as_ptr().add(line * LINE)));
            }
        }
        let all = S::or(S::or(seen[0], seen[1]), S::or(seen[2], seen[3]));
        S::sum(S::bits_to_f32(S::and(all, 1))).to_bits()
    }
}
