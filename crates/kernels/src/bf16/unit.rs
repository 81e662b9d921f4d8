//! The interface of what multiplies pairs of bfloat16 numbers, to the drivers of this module.

use crate::simd::{Simd, SimdOp};

/// Multiplies pairs. A pair of numbers takes [`WORDS`](Unit::WORDS) words of 32 bits: one if they are packed, two if they
/// are single precision.
///
/// In memory, a *row* of pairs is contiguous. A *line* of a panel or tile, which has one pair of each of its columns, is
/// WORDS parts of as many words as there are columns.
///
/// # Safety of the methods
/// All need the instruction set of `S`, and memory as they say.
pub(crate) trait Unit: 'static {
    /// The instruction set.
    type S: Simd<T = f32>;
    /// Pairs for the lanes of a register.
    type B: Copy;
    /// Some first lanes.
    type Lanes: Copy;
    /// Words of a pair.
    const WORDS: usize;

    /// Compiles an operation for the unit, as [`Simd::vectorize`].
    unsafe fn vectorize<O: SimdOp>(op: O);
    /// c plus the product of the pair at `a`, whose second word, if there is one, is `second` words on, with each lane's.
    unsafe fn dot(
        c: <Self::S as Simd>::V,
        a: *const u32,
        second: usize,
        b: Self::B,
    ) -> <Self::S as Simd>::V;
    /// Denormal numbers as 0.
    unsafe fn flush(c: <Self::S as Simd>::V) -> <Self::S as Simd>::V;
    /// The pairs of `LANES` columns of a line, whose second words, if there are any, are `second` words on.
    unsafe fn load(b: *const u32, second: usize) -> Self::B;
    /// Rounds `n` numbers into a row of `pairs` pairs, with zeros behind them.
    unsafe fn row(from: *const f32, n: usize, to: *mut u32, pairs: usize);
    /// The first `n` lanes, or all if it is more.
    fn first(n: usize) -> Self::Lanes;
    /// Rounds columns of two terms, of each those of some lanes, into the pairs of `LANES` columns of a line, zeros for the
    /// other lanes. Second words, if there are any, are `second` words on.
    unsafe fn pairs(terms: [*const f32; 2], lanes: [Self::Lanes; 2], to: *mut u32, second: usize);
}
