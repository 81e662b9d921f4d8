//! The interface of an instruction set to the drivers: one register type and two dozen operations on it.
//!
//! For the drivers in this crate and for adding instruction sets. The drivers are written once over [`Simd`]; an
//! instruction set is a type that implements it. Loops over registers are [`SimdOp`]s: `Simd::vectorize` compiles their
//! bodies with the set's features enabled, so everything below it inlines into plain vector code.
//!
//! Invariant: a `Simd` method runs only below that type's own `vectorize`, and `vectorize` only on a machine that
//! has the instruction set (`crate::Isa::available`).

use crate::Isa;
use crate::SimdElement;
use crate::maths::{Compare, Lane, Rounding};
use std::ops::{Div, Neg, Sub};

/// An operation whose body is compiled for an instruction set. Implementations are `#[inline(always)]`.
pub(crate) trait SimdOp {
    /// # Safety
    /// Called only from [`Simd::vectorize`] of the instruction set that the operation is written for; each operation's
    /// fields must describe memory that it may access.
    unsafe fn run(self);
}

/// An instruction set with an element type.
///
/// # Safety of the methods
/// All need the instruction set. `load` and `store` need `LANES` accessible elements, the `_part` forms the first `n` only,
/// `repeat` 16 bytes, `splats` four elements.
pub(crate) trait Simd: Sized + 'static {
    /// The element.
    type T: Scalar;
    /// A register of `LANES` elements.
    type V: Copy;
    /// Which set this is.
    const ISA: Isa;
    /// Elements in a register.
    const LANES: usize;
    /// Most rows of a micro-kernel: `MR` × 2 accumulators, 2 registers of columns and one broadcast fit the register file.
    const MR: usize;
    /// Whether `fma` and `fms` round once.
    const FUSED: bool;
    /// Columns of a panel.
    const NR: usize = 2 * Self::LANES;

    unsafe fn vectorize<O: SimdOp>(op: O);
    unsafe fn zero() -> Self::V;
    unsafe fn splat(x: Self::T) -> Self::V;
    unsafe fn load(p: *const Self::T) -> Self::V;
    /// The first `n < LANES` elements, zeros after them.
    unsafe fn load_part(p: *const Self::T, n: usize) -> Self::V;
    unsafe fn store(p: *mut Self::T, v: Self::V);
    /// Stores the first `n < LANES` elements.
    unsafe fn store_part(p: *mut Self::T, n: usize, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// a·b + c, fused on every set that supports it.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a·b − c, as `fma`.
    unsafe fn fms(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller one; b if either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// The larger one; b if either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// Whether any lane other than 0 may have the size of the least normal number of single precision or less.
    #[inline(always)]
    unsafe fn any_tiny(_: Self::V) -> bool {
        true
    }
    /// The first `n` < `LANES` elements of v, then those of `rest`.
    unsafe fn first_of(n: usize, v: Self::V, rest: Self::V) -> Self::V;
    /// The sum over the lanes of each of eight registers: halves are added until one is left.
    unsafe fn sums(v: [Self::V; 8]) -> [Self::T; 8];
    /// 16 bytes of elements, repeated over the register.
    unsafe fn repeat(p: *const Self::T) -> Self::V;
    /// Four elements that follow each other, each in all lanes: of four [`Simd::splat`], x86-64 makes fewer loads.
    #[inline(always)]
    unsafe fn splats(p: *const Self::T) -> [Self::V; 4] {
        // SAFETY: the caller guarantees four elements and the instruction set.
        unsafe { std::array::from_fn(|i| Self::splat(*p.add(i))) }
    }
    /// The first `n` < 16 bytes' elements, zeros after them, repeated over the register.
    unsafe fn repeat_part(p: *const Self::T, n: usize) -> Self::V;
    /// The sum of each 16 bytes, neighbours first; the register has at most 4 times as many.
    unsafe fn repeated_sums(v: Self::V) -> [Self::T; 4];
    /// Writes the transpose of the `LANES` × `LANES` tile at `src` (row stride `ld`) to `dst` (row stride `ldd`).
    unsafe fn transpose(src: *const Self::T, ld: usize, dst: *mut Self::T, ldd: usize);

    /// `load` of a whole register or of its first `n` elements.
    #[inline(always)]
    unsafe fn load_up_to(p: *const Self::T, n: usize) -> Self::V {
        // SAFETY: the caller guarantees min(n, LANES) elements and the instruction set.
        unsafe {
            if n >= Self::LANES {
                Self::load(p)
            } else {
                Self::load_part(p, n)
            }
        }
    }

    /// `store` of a whole register or of its first `n` elements.
    #[inline(always)]
    unsafe fn store_up_to(p: *mut Self::T, n: usize, v: Self::V) {
        // SAFETY: the caller guarantees min(n, LANES) elements and the instruction set.
        unsafe {
            if n >= Self::LANES {
                Self::store(p, v)
            } else {
                Self::store_part(p, n, v)
            }
        }
    }
}

/// The operations of [`Vectors`](crate::maths::Vectors) that only element-wise maths needs: roundings, bits, integers of an
/// element's width, and choices.
///
/// # Safety of the methods
/// All need the instruction set.
pub(crate) trait Elementwise: Simd {
    /// A choice for each element.
    type M: Copy;

    /// c − a·b, as `fma`.
    unsafe fn fnma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn sqrt(v: Self::V) -> Self::V;
    unsafe fn round(how: Rounding, v: Self::V) -> Self::V;
    unsafe fn and(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn or(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn xor(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn iadd(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn isub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn shl(v: Self::V, by: u32) -> Self::V;
    unsafe fn shr(v: Self::V, by: u32) -> Self::V;
    unsafe fn compare(how: Compare, a: Self::V, b: Self::V) -> Self::M;
    unsafe fn iequal(a: Self::V, b: Self::V) -> Self::M;
    unsafe fn both(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn either(a: Self::M, b: Self::M) -> Self::M;
    /// The first and not the second.
    unsafe fn without(a: Self::M, b: Self::M) -> Self::M;
    /// a where the mask holds, else b.
    unsafe fn blend(mask: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// v where the mask holds, else 0.
    unsafe fn masked(mask: Self::M, v: Self::V) -> Self::V;
    /// v where the mask does not hold, else 0.
    unsafe fn unmasked(mask: Self::M, v: Self::V) -> Self::V;
}

/// One element.
pub(crate) trait Scalar:
    SimdElement + Neg<Output = Self> + Sub<Output = Self> + Div<Output = Self>
{
    /// Which type it is.
    const LANE: Lane;
    /// The number of these bits; those beyond its width do not count.
    fn of_bits(bits: u64) -> Self;
    /// Its bits, zeros above them.
    fn bits(self) -> u64;
    fn sqrt(self) -> Self;
    fn round(self, how: Rounding) -> Self;
}

macro_rules! scalar {
    ($t:ident, $lane:expr, $bits:ty) => {
        impl Scalar for $t {
            const LANE: Lane = $lane;
            #[inline(always)]
            fn of_bits(bits: u64) -> $t {
                $t::from_bits(bits as $bits)
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                self.sqrt()
            }
            #[inline(always)]
            fn round(self, how: Rounding) -> $t {
                match how {
                    Rounding::Floor => self.floor(),
                    Rounding::Ceil => self.ceil(),
                    Rounding::Nearest => self.round_ties_even(),
                }
            }
        }
    };
}
scalar!(f32, Lane::F32, u32);
scalar!(f64, Lane::F64, u64);

/// The caches that [`prefetch`] fetches into, as x86 numbers its hints.
pub(crate) const L1: i32 = 3;
pub(crate) const L2: i32 = 2;

/// Prefetches the cache line at `p`; any address is allowed.
#[inline(always)]
pub(crate) fn prefetch<const INTO: i32, T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch faults on no address, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        const { assert!(L1 == _MM_HINT_T0 && L2 == _MM_HINT_T1) };
        _mm_prefetch::<INTO>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}
