//! Products of bfloat16 numbers by fused multiply-adds, with the bits of VDPBF16PS.
//!
//! Numbers are kept in single precision, rounded. Both steps of a pair round to nearest, and what is tiny then becomes 0:
//! tiny as if the exponent had no end, so that a result just below 2⁻¹²⁶ which single precision would round up to it is
//! 0 as well, unless 24 bits would round it up, too. Such results are looked for after each step, and are rare.

use std::marker::PhantomData;

use super::unit::Unit;
use crate::simd::{Simd, SimdOp};

/// The unit of an instruction set without one.
pub(crate) struct Emulated<S>(PhantomData<S>);

/// Most lanes of a register.
const MOST: usize = 16;

/// The nearest bfloat16 number, as VCVTNEPS2BF16.
#[inline(always)]
pub(crate) fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    // Of a NaN this may go beyond 32 bits.
    let near = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    let zero = bits & 0x8000_0000;
    if x.is_nan() {
        // Quiet, so that something is left of it in the upper half.
        f32::from_bits(bits | 0x0040_0000)
    } else if x.abs() < f32::MIN_POSITIVE {
        f32::from_bits(zero)
    } else {
        f32::from_bits(near)
    }
}

/// One step of a sum.
pub(crate) fn step(a: f32, b: f32, c: f32) -> f32 {
    let sum = a.mul_add(b, c);
    if sum.abs() > f32::MIN_POSITIVE || sum.is_nan() {
        return sum;
    }
    // Next to the least normal number this is exact: the product is, and what it is added to has no bits far above.
    let exact = f64::from(a) * f64::from(b) + f64::from(c);
    let normal = f64::from(f32::MIN_POSITIVE) - f64::powi(2.0, -151);
    match exact.abs() < normal {
        true => 0.0_f32.copysign(sum),
        false => sum,
    }
}

/// All lanes of a step, one by one.
#[cold]
#[inline(never)]
fn steps(a: &[f32; MOST], b: &[f32; MOST], c: &[f32; MOST], n: usize) -> [f32; MOST] {
    let mut sum = [0.0; MOST];
    for i in 0..n {
        sum[i] = step(a[i], b[i], c[i]);
    }
    sum
}

/// A register's lanes.
#[inline(always)]
unsafe fn lanes<S: Simd<T = f32>>(v: S::V) -> [f32; MOST] {
    let mut to = [0.0; MOST];
    // SAFETY: no register has more lanes; the caller guarantees the instruction set.
    unsafe { S::store(to.as_mut_ptr(), v) };
    to
}

/// One step of the sums of a register.
#[inline(always)]
unsafe fn step_of_all<S: Simd<T = f32>>(a: S::V, b: S::V, c: S::V) -> S::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        // Without a fused instruction, `fma` rounds twice.
        if S::FUSED {
            let sum = S::fma(a, b, c);
            if !S::any_tiny(sum) {
                return sum;
            }
        }
        let sum = steps(&lanes::<S>(a), &lanes::<S>(b), &lanes::<S>(c), S::LANES);
        S::load(sum.as_ptr())
    }
}

impl<S: Simd<T = f32>> Unit for Emulated<S> {
    type S = S;
    type B = [S::V; 2];
    type Lanes = usize;
    const WORDS: usize = 2;

    #[inline(always)]
    unsafe fn vectorize<O: SimdOp>(op: O) {
        // SAFETY: guaranteed by the caller.
        unsafe { S::vectorize(op) }
    }
    #[inline(always)]
    unsafe fn dot(c: S::V, a: *const u32, second: usize, b: [S::V; 2]) -> S::V {
        // SAFETY: the caller guarantees both words and the instruction set.
        unsafe {
            let term = |k: usize| S::splat(f32::from_bits(*a.add(k * second)));
            let c = step_of_all::<S>(term(1), b[1], c);
            step_of_all::<S>(term(0), b[0], c)
        }
    }
    #[inline(always)]
    unsafe fn flush(c: S::V) -> S::V {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let flushed = lanes::<S>(c).map(|x| match x.abs() < f32::MIN_POSITIVE {
                true => 0.0_f32.copysign(x),
                false => x,
            });
            S::load(flushed.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn load(b: *const u32, second: usize) -> [S::V; 2] {
        // SAFETY: the caller guarantees a register's words in both parts of the line.
        unsafe { [S::load(b.cast()), S::load(b.add(second).cast())] }
    }
    #[inline(always)]
    unsafe fn row(from: *const f32, n: usize, to: *mut u32, pairs: usize) {
        // SAFETY: the caller guarantees n numbers and 2 · pairs words.
        unsafe {
            for i in 0..n {
                *to.add(i) = round(*from.add(i)).to_bits();
            }
            to.add(n).write_bytes(0, 2 * pairs - n);
        }
    }
    #[inline(always)]
    fn first(n: usize) -> usize {
        n.min(S::LANES)
    }
    #[inline(always)]
    unsafe fn pairs(terms: [*const f32; 2], lanes: [usize; 2], to: *mut u32, second: usize) {
        for (k, (from, n)) in terms.into_iter().zip(lanes).enumerate() {
            // SAFETY: the caller guarantees n columns of the term, and a register's words in both parts of the line.
            unsafe {
                let to = to.add(k * second);
                for i in 0..n {
                    *to.add(i) = round(*from.add(i)).to_bits();
                }
                to.add(n).write_bytes(0, S::LANES - n);
            }
        }
    }
}
