//! What the machine can do, from CPUID itself: `core` has no detection macro.

/// An instruction set that kernels exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512Vnni,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX2, FMA and F16C.
    Avx2,
    /// Whatever the compiler's baseline is.
    Portable,
}

impl Isa {
    /// The best instruction set of this machine.
    pub fn best() -> Isa {
        available()[0].unwrap_or(Isa::Portable)
    }

    /// Every instruction set of this machine, best first.
    pub fn all() -> impl Iterator<Item = Isa> {
        available().into_iter().flatten()
    }
}

#[cfg(target_arch = "x86_64")]
fn available() -> [Option<Isa>; 4] {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: called only where OSXSAVE says that the instruction may be used.
        unsafe { _xgetbv(0) }
    }

    let bit = |word: u32, bit: u32| word >> bit & 1 == 1;
    let leaf1 = __cpuid(1);
    let (fma, osxsave, f16c) = (bit(leaf1.ecx, 12), bit(leaf1.ecx, 27), bit(leaf1.ecx, 29));
    let none = [Some(Isa::Portable), None, None, None];
    if __cpuid(0).eax < 7 || !osxsave {
        return none;
    }
    // SAFETY: OSXSAVE is set.
    let state = unsafe { enabled_state() };
    let leaf7 = __cpuid_count(7, 0);
    let avx2 = state & 0x6 == 0x6 && fma && f16c && bit(leaf7.ebx, 5);
    let avx512 = avx2 && state & 0xe6 == 0xe6 && [16, 17, 30, 31].into_iter().all(|n| bit(leaf7.ebx, n));
    let vnni = avx512 && bit(leaf7.ecx, 11);
    match (vnni, avx512, avx2) {
        (true, _, _) => [Some(Isa::Avx512Vnni), Some(Isa::Avx512), Some(Isa::Avx2), Some(Isa::Portable)],
        (false, true, _) => [Some(Isa::Avx512), Some(Isa::Avx2), Some(Isa::Portable), None],
        (false, false, true) => [Some(Isa::Avx2), Some(Isa::Portable), None, None],
        (false, false, false) => none,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn available() -> [Option<Isa>; 4] {
    [Some(Isa::Portable), None, None, None]
}
