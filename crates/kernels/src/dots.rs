//! Dot products of a vector with rows of a row-major matrix, some rows at a time, so that as many sums are in flight.
//!
//! For `unpacked`, whose matrix is a weight, and `matvec`, whose matrix a row has of its own.
//!
//! Invariant: a dot product has the same bits on every instruction set that fuses multiply and add, however many rows are
//! done together, and those of emitted code: it is summed in 64 bytes of partial sums, each an ascending chain, which are
//! halved until one is left. A last part of 64 bytes adds to the sums of its elements.

use crate::simd::Simd;

/// Bytes of partial sums.
pub(crate) const LINE: usize = 64;

/// Registers that hold them, at most: on a machine with 128-bit vectors.
const MOST: usize = 4;

/// Elements of the partial sums.
const fn elements<S: Simd>() -> usize {
    LINE / size_of::<S::T>()
}

/// Registers that hold the partial sums of one dot product.
const fn registers<S: Simd>() -> usize {
    elements::<S>() / S::LANES
}

/// Work on rows of a matrix, a few at a time.
pub(crate) trait RowGroups {
    /// Processes rows r .. r + Q; `first` if they are the first to be processed.
    ///
    /// # Safety
    /// They exist, and the machine has the instruction set.
    unsafe fn rows<const Q: usize>(&self, r: usize, first: bool);
}

/// Processes rows eight at a time, or as many as there are registers for the sums of [`dots`].
///
/// # Safety
/// There are so many rows, and the machine has the instruction set.
#[inline(always)]
pub(crate) unsafe fn in_groups_of_dots<S: Simd>(
    rows: usize,
    backward: bool,
    work: &impl RowGroups,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match registers::<S>() {
            1 => in_groups::<8>(rows, backward, work),
            // Of the 16 registers of AVX2, twelve for sums, and two vectors of x.
            2 => in_groups::<6>(rows, backward, work),
            _ => in_groups::<2>(rows, backward, work),
        }
    }
}

/// Processes `G` rows at a time, at most eight, the remainder by four, two and one; from the last `G` to the first if
/// `backward`.
///
/// # Safety
/// There are so many rows, and the machine has the instruction set of the work.
#[inline(always)]
pub(crate) unsafe fn in_groups<const G: usize>(rows: usize, backward: bool, work: &impl RowGroups) {
    const { assert!(G <= 8) };
    let whole = rows / G;
    let end = whole * G;
    // SAFETY: each call covers rows that exist.
    unsafe {
        if backward {
            rest(end, rows - end, true, work);
            for g in (0..whole).rev() {
                work.rows::<G>(g * G, g + 1 == whole && end == rows);
            }
        } else {
            for g in 0..whole {
                work.rows::<G>(g * G, g == 0);
            }
            rest(end, rows - end, whole == 0, work);
        }
    }
}

/// Fewer than eight rows from `r` on, which may be the first to be processed.
#[inline(always)]
unsafe fn rest(r: usize, rows: usize, first: bool, work: &impl RowGroups) {
    // SAFETY: as above.
    unsafe {
        if rows & 4 != 0 {
            work.rows::<4>(r, first);
        }
        if rows & 2 != 0 {
            work.rows::<2>(r + (rows & 4), first && rows & 4 == 0);
        }
        if rows & 1 != 0 {
            work.rows::<1>(r + (rows & 6), first && rows & 6 == 0);
        }
    }
}

/// The dot products of x with `Q` rows, at most eight, of `cols` elements, which are `ld` apart.
///
/// # Safety
/// They must be readable, and the machine must have the instruction set.
#[inline(always)]
pub(crate) unsafe fn dots<S: Simd, const Q: usize>(
    m: *const S::T,
    ld: usize,
    cols: usize,
    x: *const S::T,
) -> [S::T; Q] {
    const { assert!(registers::<S>() <= MOST && Q <= 8) };
    let (elements, registers) = (elements::<S>(), registers::<S>());
    // SAFETY: the rows have `cols` elements, as x has.
    unsafe {
        let mut sums = [[S::zero(); MOST]; Q];
        let mut p = 0;
        while p + elements <= cols {
            for k in 0..registers {
                let at = p + k * S::LANES;
                let x = S::load(x.add(at));
                for (q, sum) in sums.iter_mut().enumerate() {
                    sum[k] = S::fma(S::load(m.add(q * ld + at)), x, sum[k]);
                }
            }
            p += elements;
        }
        for k in 0..registers {
            let at = p + k * S::LANES;
            if at >= cols {
                break;
            }
            let n = cols - at;
            let x = S::load_up_to(x.add(at), n);
            for (q, sum) in sums.iter_mut().enumerate() {
                let next = S::fma(S::load_up_to(m.add(q * ld + at), n), x, sum[k]);
                // A sum of −0 stays one where there are no elements.
                sum[k] = match n < S::LANES {
                    true => S::first_of(n, next, sum[k]),
                    false => next,
                };
            }
        }
        let mut halves = registers;
        while halves > 1 {
            halves /= 2;
            for sum in &mut sums {
                for k in 0..halves {
                    sum[k] = S::add(sum[k], sum[k + halves]);
                }
            }
        }
        // A register and the fourth after it share instructions, so that four take as many as half of eight.
        let place = |q: usize| q / Q.div_ceil(2) * 4 + q % Q.div_ceil(2);
        let mut all = [S::zero(); 8];
        for (q, sum) in sums.iter().enumerate() {
            all[place(q)] = sum[0];
        }
        let found = S::sums(all);
        std::array::from_fn(|q| found[place(q)])
    }
}
