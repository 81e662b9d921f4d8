//! Products whose operands are rounded to bfloat16, with sums in single precision.
//!
//! For [`crate::Kernels::product`] and its siblings where their arguments name a [`Bf16Unit`]. Weights are rounded when they
//! are packed, rows and the vectors of sums when a call reads them; nothing is rounded twice. Rounding is to nearest, ties
//! to even, with numbers below the least normal one as 0.
//!
//! Invariant: a unit has the same bits on every machine that has it, whatever rows are computed together: terms are in
//! blocks that start at multiples of the block's length, and rows and columns share nothing.
//!
//! The order of the units without tiles is that of the instruction VDPBF16PS. With pairs of terms (a₀, a₁), a sum goes from
//! c to fma(a₀, b₀, fma(a₁, b₁, c)), where each step takes and gives 0 for denormal numbers. Tiles have the order of
//! TDPBF16PS: 16 pairs at a time, a chain of their first terms, a chain of their second ones, and the sum of both added.

#[cfg(target_arch = "x86_64")]
mod dot;
mod emulated;
mod micro;
mod outer;
mod pack;
mod product;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod unit;

pub(crate) use outer::K_BLOCK as OUTER_TERMS;
#[cfg(target_arch = "x86_64")]
pub(crate) use tiles::permitted;

use crate::micro::SumStart;
use crate::portable::Portable;
use crate::types::{OuterArgs, Weights};
use crate::{Isa, SimdElement};
#[cfg(target_arch = "x86_64")]
use crate::{avx2::Avx2, avx512::Avx512};
use emulated::Emulated;

/// What multiplies bfloat16 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Bf16Unit {
    /// Fused multiply-adds of single precision, with the bits of [`Bf16Unit::Dot`]: for machines that have nothing better.
    Emulated,
    /// VDPBF16PS of AVX-512 BF16.
    Dot,
    /// TDPBF16PS of AMX, which sums in another order.
    Tiles,
}

impl Bf16Unit {
    /// Whether the kernels of an instruction set can use it on this machine.
    pub fn available(self, isa: Isa) -> bool {
        match self {
            Bf16Unit::Emulated => isa.available(),
            #[cfg(target_arch = "x86_64")]
            Bf16Unit::Dot | Bf16Unit::Tiles => {
                let dot = isa == Isa::Avx512
                    && isa.available()
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512bw");
                dot && (self == Bf16Unit::Dot || permitted())
            }
            #[cfg(not(target_arch = "x86_64"))]
            Bf16Unit::Dot | Bf16Unit::Tiles => false,
        }
    }
}

/// Terms of a K block of a product, a multiple of the 32 of a tile.
const K_BLOCK: usize = 512;

/// The parts of a product that is no special case: C[m, n] = start + A[m, k] · B of packed weights.
#[derive(Clone, Copy)]
pub(crate) struct Multiply {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a: *const f32,
    pub(crate) lda: usize,
    /// The packing.
    pub(crate) b: *const u32,
    pub(crate) start: SumStart<f32>,
    pub(crate) c: *mut f32,
    pub(crate) ldc: usize,
    /// Panels from the last to the first.
    pub(crate) backward: bool,
}

/// Words of 32 bits of a packing.
pub(crate) fn packed_len(isa: Isa, unit: Bf16Unit, k: usize, n: usize) -> usize {
    pack::packed_len(words(unit), 2 * lanes(isa), unit == Bf16Unit::Tiles, k, n)
}

/// Words of scratch of a sum; see [`crate::Kernels::outer_scratch_len`].
pub(crate) fn scratch_len(isa: Isa, unit: Bf16Unit, k: usize, n: usize, runs: usize) -> usize {
    outer::scratch_len(words(unit), 2 * lanes(isa), k, n, runs)
}

fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Portable => 4,
    }
}

fn words(unit: Bf16Unit) -> usize {
    match unit {
        Bf16Unit::Emulated => 2,
        Bf16Unit::Dot | Bf16Unit::Tiles => 1,
    }
}

/// Calls `$f::<unit>` for what multiplies in an instruction set.
macro_rules! with_unit {
    ($isa:expr, $unit:expr, $m:ident::$f:ident, ($($x:expr),*)) => {
        match ($isa, $unit) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Bf16Unit::Dot | Bf16Unit::Tiles) => $m::$f::<dot::Dot>($($x),*),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Bf16Unit::Emulated) => $m::$f::<Emulated<Avx512<f32>>>($($x),*),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => $m::$f::<Emulated<Avx2<f32>>>($($x),*),
            _ => $m::$f::<Emulated<Portable<f32, 4>>>($($x),*),
        }
    };
}

/// A product with weights packed for a unit.
///
/// # Safety
/// The matrices must be as [`Multiply`] says, none of its sizes 0, and the unit available to the instruction set.
pub(crate) unsafe fn product(isa: Isa, unit: Bf16Unit, p: Multiply) {
    // SAFETY: passed on to the caller.
    unsafe {
        match unit {
            #[cfg(target_arch = "x86_64")]
            Bf16Unit::Tiles => tiles::product(p),
            _ => with_unit!(isa, unit, product::product, (p)),
        }
    }
}

/// Packs weights for a unit.
///
/// # Safety
/// The blocks of `w` must be readable, `out` must have [`packed_len`] words, and the unit be available.
pub(crate) unsafe fn pack(isa: Isa, unit: Bf16Unit, w: &Weights<f32>, out: *mut u32) {
    let tiles = unit == Bf16Unit::Tiles;
    // SAFETY: passed on to the caller.
    unsafe { with_unit!(isa, unit, pack::pack, (w, tiles, out)) }
}

/// A weight gradient.
///
/// # Safety
/// As for [`crate::OuterFn`], with [`scratch_len`] words of scratch; the unit must be available.
pub(crate) unsafe fn outer(
    isa: Isa,
    unit: Bf16Unit,
    args: &OuterArgs<f32>,
    rows: std::ops::Range<usize>,
    scratch: *mut f32,
) {
    let tiles = unit == Bf16Unit::Tiles;
    // SAFETY: passed on to the caller.
    unsafe { with_unit!(isa, unit, outer::outer, (args, rows, tiles, scratch)) }
}

/// A reference to the same memory for an element that is f32; the kernels of f64 have no unit.
pub(crate) fn as_f32<T: SimdElement, U>(of: *const U) -> Option<*const U> {
    (size_of::<T>() == size_of::<f32>()).then_some(of)
}
