//! Requires no instruction set: "registers" are arrays of 16 bytes, and LLVM compiles loops over them to SSE2, NEON or
//! scalars. Micro-kernels of 4 rows × 2 registers, so that 16 registers of 128 bits suffice.
//!
//! Invariant: products are fused where the architecture's baseline has a fused instruction and separate otherwise, the
//! same in every kernel and build: a target's bits do not depend on compiler flags.

use crate::Isa;
use crate::maths::{Compare, Rounding};
use crate::simd::{Elementwise, Scalar, Simd, SimdOp};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// `N` elements, 16 bytes in total.
pub(crate) struct Portable<T, const N: usize>(PhantomData<T>);

/// The stand-in for a register.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Lanes<T, const N: usize>([T; N]);

impl<T: Scalar, const N: usize> Simd for Portable<T, N> {
    type T = T;
    type V = Lanes<T, N>;
    const ISA: Isa = Isa::Portable;
    const LANES: usize = N;
    const MR: usize = Isa::Portable.tile_rows();
    const FUSED: bool = cfg!(any(
        target_arch = "aarch64",
        target_arch = "s390x",
        target_arch = "riscv64"
    ));

    #[inline(never)]
    unsafe fn vectorize<O: SimdOp>(op: O) {
        // SAFETY: the caller guarantees the operation's memory.
        unsafe { op.run() }
    }
    #[inline(always)]
    unsafe fn zero() -> Lanes<T, N> {
        Lanes([T::default(); N])
    }
    #[inline(always)]
    unsafe fn splat(x: T) -> Lanes<T, N> {
        Lanes([x; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> Lanes<T, N> {
        // SAFETY: the caller guarantees N elements.
        Lanes(unsafe { p.cast::<[T; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_part(p: *const T, n: usize) -> Lanes<T, N> {
        let mut v = [T::default(); N];
        for (i, x) in v.iter_mut().enumerate().take(n) {
            // SAFETY: the caller guarantees n elements.
            *x = unsafe { *p.add(i) };
        }
        Lanes(v)
    }
    #[inline(always)]
    unsafe fn store(p: *mut T, v: Lanes<T, N>) {
        // SAFETY: the caller guarantees N elements.
        unsafe { p.cast::<[T; N]>().write_unaligned(v.0) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut T, n: usize, v: Lanes<T, N>) {
        for (i, x) in v.0.into_iter().enumerate().take(n) {
            // SAFETY: the caller guarantees n elements.
            unsafe { *p.add(i) = x };
        }
    }
    #[inline(always)]
    unsafe fn add(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = a.0[i] + b.0[i];
        }
        v
    }
    #[inline(always)]
    unsafe fn fma(a: Lanes<T, N>, b: Lanes<T, N>, c: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            // Without a fused instruction `mul_add` is a call into libm.
            v.0[i] = if Self::FUSED {
                a.0[i].mul_add(b.0[i], c.0[i])
            } else {
                a.0[i] * b.0[i] + c.0[i]
            };
        }
        v
    }
    #[inline(always)]
    unsafe fn fms(a: Lanes<T, N>, b: Lanes<T, N>, c: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = if Self::FUSED {
                a.0[i].mul_add(b.0[i], -c.0[i])
            } else {
                a.0[i] * b.0[i] - c.0[i]
            };
        }
        v
    }
    #[inline(always)]
    unsafe fn first_of(n: usize, v: Lanes<T, N>, rest: Lanes<T, N>) -> Lanes<T, N> {
        let mut all = rest;
        for (all, v) in all.0.iter_mut().zip(v.0).take(n) {
            *all = v;
        }
        all
    }
    #[inline(always)]
    unsafe fn sub(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = a.0[i] - b.0[i];
        }
        v
    }
    #[inline(always)]
    unsafe fn mul(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = a.0[i] * b.0[i];
        }
        v
    }
    #[inline(always)]
    unsafe fn min(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] };
        }
        v
    }
    #[inline(always)]
    unsafe fn max(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] };
        }
        v
    }
    #[inline(always)]
    unsafe fn div(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        let mut v = a;
        for i in 0..N {
            v.0[i] = a.0[i] / b.0[i];
        }
        v
    }
    #[inline(always)]
    unsafe fn sums(v: [Lanes<T, N>; 8]) -> [T; 8] {
        let mut out = [T::default(); 8];
        for (o, v) in out.iter_mut().zip(v) {
            let (mut sums, mut n) = (v.0, N);
            while n > 1 {
                n /= 2;
                for i in 0..n {
                    sums[i] = sums[i] + sums[i + n];
                }
            }
            *o = sums[0];
        }
        out
    }
    #[inline(always)]
    unsafe fn repeat(p: *const T) -> Lanes<T, N> {
        // SAFETY: guaranteed by the caller: a register has 16 bytes.
        unsafe { Self::load(p) }
    }
    #[inline(always)]
    unsafe fn repeat_part(p: *const T, n: usize) -> Lanes<T, N> {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::load_part(p, n) }
    }
    #[inline(always)]
    unsafe fn repeated_sums(v: Lanes<T, N>) -> [T; 4] {
        let (mut sums, mut n) = (v.0, N);
        while n > 1 {
            n /= 2;
            for i in 0..n {
                sums[i] = sums[2 * i] + sums[2 * i + 1];
            }
        }
        [sums[0], T::default(), T::default(), T::default()]
    }
    #[inline(always)]
    unsafe fn transpose(src: *const T, ld: usize, dst: *mut T, ldd: usize) {
        for i in 0..N {
            for j in 0..N {
                // SAFETY: the caller guarantees N rows of N elements on both sides.
                unsafe { *dst.add(j * ldd + i) = *src.add(i * ld + j) };
            }
        }
    }
}

impl<T: Scalar, const N: usize> Lanes<T, N> {
    /// An operation on the bits of each element.
    #[inline(always)]
    fn bits(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let mut v = self;
        for i in 0..N {
            v.0[i] = T::of_bits(f(self.0[i].bits(), other.0[i].bits()));
        }
        v
    }

    /// A question about each element.
    #[inline(always)]
    fn mask(self, other: Self, f: impl Fn(T, T) -> bool) -> [bool; N] {
        std::array::from_fn(|i| f(self.0[i], other.0[i]))
    }
}

impl<T: Scalar, const N: usize> Elementwise for Portable<T, N> {
    type M = [bool; N];

    #[inline(always)]
    unsafe fn fnma(a: Lanes<T, N>, b: Lanes<T, N>, c: Lanes<T, N>) -> Lanes<T, N> {
        // SAFETY: nothing is needed.
        unsafe { Self::fma(Lanes(a.0.map(T::neg)), b, c) }
    }
    #[inline(always)]
    unsafe fn sqrt(v: Lanes<T, N>) -> Lanes<T, N> {
        Lanes(v.0.map(T::sqrt))
    }
    #[inline(always)]
    unsafe fn round(how: Rounding, v: Lanes<T, N>) -> Lanes<T, N> {
        let mut r = v;
        for i in 0..N {
            r.0[i] = v.0[i].round(how);
        }
        r
    }
    #[inline(always)]
    unsafe fn and(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        a.bits(b, |a, b| a & b)
    }
    #[inline(always)]
    unsafe fn or(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        a.bits(b, |a, b| a | b)
    }
    #[inline(always)]
    unsafe fn xor(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        a.bits(b, |a, b| a ^ b)
    }
    #[inline(always)]
    unsafe fn iadd(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        a.bits(b, u64::wrapping_add)
    }
    #[inline(always)]
    unsafe fn isub(a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        a.bits(b, u64::wrapping_sub)
    }
    #[inline(always)]
    unsafe fn shl(v: Lanes<T, N>, by: u32) -> Lanes<T, N> {
        v.bits(v, |v, _| v << by)
    }
    #[inline(always)]
    unsafe fn shr(v: Lanes<T, N>, by: u32) -> Lanes<T, N> {
        v.bits(v, |v, _| v >> by)
    }
    #[inline(always)]
    unsafe fn compare(how: Compare, a: Lanes<T, N>, b: Lanes<T, N>) -> [bool; N] {
        a.mask(b, |a, b| match how {
            Compare::Equal => a == b,
            Compare::Less => a < b,
            Compare::LessOrEqual => a <= b,
            Compare::NotEqual => a != b,
            Compare::NotLess => a.partial_cmp(&b) != Some(Ordering::Less),
            Compare::Unordered => a.partial_cmp(&b).is_none(),
        })
    }
    #[inline(always)]
    unsafe fn iequal(a: Lanes<T, N>, b: Lanes<T, N>) -> [bool; N] {
        a.mask(b, |a, b| a.bits() == b.bits())
    }
    #[inline(always)]
    unsafe fn both(a: [bool; N], b: [bool; N]) -> [bool; N] {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn either(a: [bool; N], b: [bool; N]) -> [bool; N] {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    unsafe fn without(a: [bool; N], b: [bool; N]) -> [bool; N] {
        std::array::from_fn(|i| a[i] & !b[i])
    }
    #[inline(always)]
    unsafe fn blend(mask: [bool; N], a: Lanes<T, N>, b: Lanes<T, N>) -> Lanes<T, N> {
        Lanes(std::array::from_fn(
            |i| if mask[i] { a.0[i] } else { b.0[i] },
        ))
    }
    #[inline(always)]
    unsafe fn masked(mask: [bool; N], v: Lanes<T, N>) -> Lanes<T, N> {
        // SAFETY: nothing is needed.
        unsafe { Self::blend(mask, v, Self::zero()) }
    }
    #[inline(always)]
    unsafe fn unmasked(mask: [bool; N], v: Lanes<T, N>) -> Lanes<T, N> {
        // SAFETY: nothing is needed.
        unsafe { Self::blend(mask, Self::zero(), v) }
    }
}
