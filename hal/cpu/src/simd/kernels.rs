//! The table of kernels of each instruction set.
//!
//! A generic kernel is compiled once per instruction set, inside a function that enables it. The
//! table is chosen once, so that the step path pays one indirect call per kernel.

use agentos_hal::{Candidate, DType, KvType};

use super::attend::{self, Angles, Attend};
use super::coded::Coded;
use super::detect::Isa;
use super::dots::{self, Pairs};
use super::format::*;
use super::head::{self, Reduced};
use super::matmul::{self, MatMul, Panel};
use super::narrow::{self, Scale};
use super::peak;
use super::portable::Portable;
use super::rows;
use super::store::{self, StoreKv};

/// Computes a strip of a matrix product: [`matmul::strip`] or [`dots::strip`].
pub type Strip = unsafe fn(&MatMul, usize, *mut f32);
type Unpack = unsafe fn(*const u8, usize, usize, *mut f32);

/// The kernels of one instruction set.
///
/// # Safety
/// Every function carries the contract of the generic kernel of the same name, and may be called
/// only on a machine that has the instruction set.
pub struct Kernels {
    /// The instruction set's name.
    pub name: &'static str,
    strip: [Strip; 11],
    unpack: [Unpack; 11],
    dots: [Strip; 8],
    /// [`narrow::narrow`].
    pub narrow: unsafe fn(*const f32, usize, *mut i16, *mut Scale),
    attend: [unsafe fn(&Attend<'_>); 2],
    store: [unsafe fn(&StoreKv); 2],
    /// [`rows::norm`].
    pub norm: unsafe fn(*const f32, *const f32, *mut f32, usize, f32),
    /// [`rows::add`].
    pub add: unsafe fn(*mut f32, *const f32, usize),
    /// [`rows::gate`].
    pub gate: unsafe fn(*mut f32, *const f32, usize, bool),
    /// [`store::rotate_heads`].
    pub rotate_heads: unsafe fn(&Angles<'_>, u32, *mut f32, usize, usize, *mut f32),
    /// [`matmul::prefetch_ahead`].
    pub prefetch: fn(*const u8),
    /// [`head::reduce`].
    pub reduce: unsafe fn(&[f32], &mut [Candidate]) -> Reduced,
    /// [`head::all_finite`].
    pub all_finite: unsafe fn(&[f32]) -> bool,
    multiply_adds: unsafe fn(u64) -> (u64, f32),
    peak_dots: unsafe fn(u64) -> (u64, u32),
    read: unsafe fn(&[u8]) -> u32,
}

impl Kernels {
    /// The kernels of an instruction set.
    fn of(isa: Isa) -> &'static Kernels {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => &avx512_vnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &avx2::KERNELS,
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512Vnni | Isa::Avx512 | Isa::Avx2 => &portable::KERNELS,
            Isa::Portable => &portable::KERNELS,
        }
    }

    /// The kernels of an instruction set that this machine has.
    ///
    /// # Panics
    /// When it lacks it.
    pub fn available(isa: Isa) -> &'static Kernels {
        assert!(Isa::all().any(|available| available == isa), "this machine has no {isa:?}");
        Kernels::of(isa)
    }

    /// Computes multiply-adds: [`peak::multiply_adds`].
    pub fn multiply_adds(&self, operations: u64) -> (u64, f32) {
        // SAFETY: only `available` gives out tables, and it has checked the instruction set.
        unsafe { (self.multiply_adds)(operations) }
    }

    /// Computes products of integers: [`peak::dots`].
    pub fn peak_dots(&self, operations: u64) -> (u64, u32) {
        // SAFETY: as above.
        unsafe { (self.peak_dots)(operations) }
    }

    /// Reads memory: [`peak::read`].
    pub fn read(&self, memory: &[u8]) -> u32 {
        // SAFETY: as above.
        unsafe { (self.read)(memory) }
    }

    /// [`matmul::strip`] for a weight type.
    pub fn strip(&self, dtype: DType) -> Strip {
        self.strip[dtype as usize]
    }

    /// [`dots::strip`] for a quantised weight type.
    pub fn dots(&self, dtype: DType) -> Option<Strip> {
        (dtype as usize).checked_sub(DType::Q4_0 as usize).map(|at| self.dots[at])
    }

    /// [`matmul::unpack`] for a weight type.
    pub fn unpack(&self, dtype: DType) -> Unpack {
        self.unpack[dtype as usize]
    }

    /// [`attend::attend`] for a type of page memory.
    pub fn attend(&self, kv: KvType) -> unsafe fn(&Attend<'_>) {
        self.attend[kv as usize]
    }

    /// [`store::store`] for a type of page memory.
    pub fn store(&self, kv: KvType) -> unsafe fn(&StoreKv) {
        self.store[kv as usize]
    }
}

macro_rules! by_dtype {
    ($function:ident) => {
        by_dtype!($function, F32 F16 Bf16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4K Q5K Q6K)
    };
    ($function:ident, quantised) => {
        by_dtype!($function, Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4K Q5K Q6K)
    };
    ($function:ident, $($dtype:ident)*) => {
        [$($function::<$dtype>),*]
    };
}

macro_rules! kernels {
    ($module:ident, $lanes:ty, $name:literal $(, $features:literal)?) => {
        mod $module {
            use super::*;

            pub(super) static KERNELS: Kernels = Kernels {
                name: $name,
                strip: by_dtype!(strip),
                unpack: by_dtype!(unpack),
                dots: by_dtype!(dots, quantised),
                narrow,
                attend: [attend::<u16>, attend::<f32>],
                store: [store::<u16>, store::<f32>],
                norm,
                add,
                gate,
                rotate_heads,
                prefetch: matmul::prefetch_ahead::<$lanes>,
                reduce,
                all_finite,
                multiply_adds,
                peak_dots,
                read,
            };

            kernels!(@ $($features)?; strip<F: Format>(product: &MatMul, strip: usize, scratch: *mut f32) =
                matmul::strip::<$lanes, F>(product, strip, scratch, multiply));
            kernels!(@ $($features)?; multiply<>(product: &MatMul, panel: &Panel) =
                matmul::multiply::<$lanes>(product, panel));
            kernels!(@ $($features)?; dots<F: Coded>(product: &MatMul, strip: usize, scratch: *mut f32) =
                dots::strip::<$lanes, F>(product, strip, scratch, multiply_pairs));
            kernels!(@ $($features)?; multiply_pairs<>(product: &MatMul, pairs: &Pairs) =
                dots::multiply::<$lanes>(product, pairs));
            kernels!(@ $($features)?; narrow<>(x: *const f32, width: usize, codes: *mut i16, scales: *mut Scale) =
                narrow::narrow::<$lanes>(x, width, codes, scales));
            kernels!(@ $($features)?; unpack<F: Format>(weights: *const u8, first: usize, len: usize, out: *mut f32) =
                matmul::unpack::<$lanes, F>(weights, first, len, out));
            kernels!(@ $($features)?; attend<K: super::attend::Kv>(task: &Attend<'_>) =
                super::attend::attend::<$lanes, K>(task));
            kernels!(@ $($features)?; store<K: super::attend::Kv>(task: &StoreKv) =
                super::store::store::<$lanes, K>(task));
            kernels!(@ $($features)?; norm<>(x: *const f32, weight: *const f32, out: *mut f32, width: usize, eps: f32) =
                rows::norm::<$lanes>(x, weight, out, width, eps));
            kernels!(@ $($features)?; add<>(x: *mut f32, bias: *const f32, width: usize) =
                rows::add::<$lanes>(x, bias, width));
            kernels!(@ $($features)?; gate<>(gate: *mut f32, up: *const f32, width: usize, gelu: bool) =
                rows::gate::<$lanes>(gate, up, width, gelu));
            kernels!(@ $($features)?; rotate_heads<>(angles: &Angles<'_>, offset: u32, x: *mut f32, heads: usize, head_dim: usize, scratch: *mut f32) =
                super::store::rotate_heads::<$lanes>(angles, offset, x, heads, head_dim, scratch));
            kernels!(@ $($features)?; reduce<>(logits: &[f32], best: &mut [Candidate]) -> Reduced =
                head::reduce::<$lanes>(logits, best));
            kernels!(@ $($features)?; all_finite<>(x: &[f32]) -> bool = head::all_finite::<$lanes>(x));
            kernels!(@ $($features)?; multiply_adds<>(operations: u64) -> (u64, f32) = peak::multiply_adds::<$lanes>(operations));
            kernels!(@ $($features)?; peak_dots<>(operations: u64) -> (u64, u32) = peak::dots::<$lanes>(operations));
            kernels!(@ $($features)?; read<>(memory: &[u8]) -> u32 = peak::read::<$lanes>(memory));
        }
    };
    (@ $($features:literal)?; $function:ident<$($param:ident: $bound:path)?>($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $call:expr) => {
        $(#[target_feature(enable = $features)])?
        unsafe fn $function<$($param: $bound)?>($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the caller's contract; the instruction set is enabled here.
            unsafe { $call }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_vnni,
    super::super::avx512::Avx512<true>,
    "avx512-vnni",
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512,
    super::super::avx512::Avx512<false>,
    "avx512",
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, super::super::avx2::Avx2, "avx2", "avx2,fma,f16c");
kernels!(portable, Portable, "portable");

const _: () = {
    // The tables are indexed by the types' positions in their enums.
    assert!(
        DType::F32 as usize == 0
            && DType::Q4_0 as usize == 3
            && DType::Q8_0 as usize == 7
            && DType::Q6K as usize == 10
    );
    assert!(KvType::F16 as usize == 0 && KvType::F32 as usize == 1);
};
