//! Columns of a packed product beyond the last whole registers, if they are few: a register of their own would be mostly
//! empty. A register of 64 bytes has four such columns instead, four terms at a time (f32), or one, sixteen at a time, where
//! one of whole columns has sixteen, one term at a time.
//!
//! For `product` and `pack`. The packing of these columns follows the panels: in chunks of [`CHUNK`] columns, term by term,
//! sixteen bytes of terms of each column; a chunk of one column is a vector.
//!
//! Invariant: which columns these are depends on the size of W alone, the same for every instruction set, and so does the
//! order of their sums: a column has 16 bytes of partial sums, each an ascending chain, a column alone in its chunk 64;
//! neighbouring partial sums are added up, and then the start.

use crate::micro::{SumStart, part};
use crate::simd::{Simd, SimdOp};
use crate::types::Block;
use std::marker::PhantomData;

/// Bytes of a register of the widest set, and of a column's partial sums.
const LINE: usize = 64;
const SUMS: usize = 16;

/// Most columns that are summed this way: above, a register of whole columns costs no more.
const MOST: usize = 8;

/// Columns that are done together.
const CHUNK: usize = LINE / SUMS;

/// Below this many terms there is nothing to gain.
const TERMS: usize = 16;

/// Columns of a packed product [k, n] of elements T that are done in whole registers; the others, at most eight, share
/// registers and take a fraction of the time.
pub fn whole<T>(k: usize, n: usize) -> usize {
    let extra = n % (LINE / size_of::<T>());
    match extra <= MOST && k >= TERMS {
        true => n - extra,
        false => n,
    }
}

/// Terms of a column that a register holds side by side.
const fn terms<T>() -> usize {
    SUMS / size_of::<T>()
}

/// Columns of a register of `lanes` elements.
const fn columns<T>(lanes: usize) -> usize {
    lanes / terms::<T>()
}

/// Elements of the packing of `extra` columns of k terms, for registers of `lanes` elements.
pub(crate) fn packed_len<T>(lanes: usize, k: usize, extra: usize) -> usize {
    let chunks = extra / CHUNK * chunk_len::<T>(lanes, k, CHUNK);
    chunks + chunk_len::<T>(lanes, k, extra % CHUNK)
}

/// The same for columns of one chunk.
fn chunk_len<T>(lanes: usize, k: usize, cols: usize) -> usize {
    match cols {
        1 => k.next_multiple_of(LINE / size_of::<T>()),
        _ => k.next_multiple_of(terms::<T>()) * cols.next_multiple_of(columns::<T>(lanes)),
    }
}

/// Columns `from .. n` of B, which the block may have some of, packed at `out`. B is Wᵀ or, `transposed`, W.
///
/// # Safety
/// The block must be readable, `out` have [`packed_len`] elements, zeros where nothing is packed.
pub(crate) unsafe fn pack<S: Simd>(
    w: Block<S::T>,
    transposed: bool,
    k: usize,
    (from, n): (usize, usize),
    out: *mut S::T,
) {
    // Of B: where the block's columns and terms begin, how many there are, and the distances between them.
    let (col, cols, across) = match transposed {
        true => (w.col, w.cols, 1),
        false => (w.row, w.rows, w.ld),
    };
    let (term, terms_of_it, along) = match transposed {
        true => (w.row, w.rows, w.ld),
        false => (w.col, w.cols, 1),
    };
    for c in from.max(col)..n.min(col + cols) {
        let (chunk, at) = ((c - from) / CHUNK * CHUNK, (c - from) % CHUNK);
        let beside = CHUNK.min(n - from - chunk);
        // Terms side by side, and from those of one column to the next ones of the same.
        let (one, line) = match beside {
            1 => (LINE / size_of::<S::T>(), LINE / size_of::<S::T>()),
            _ => {
                let one = terms::<S::T>();
                (
                    one,
                    one * beside.next_multiple_of(columns::<S::T>(S::LANES)),
                )
            }
        };
        // SAFETY: column c and these terms are the block's; their places lie inside the packing.
        unsafe {
            let read = w.ptr.add((c - col) * across);
            let to = out.add(packed_len::<S::T>(S::LANES, k, chunk) + at * one);
            for p in 0..terms_of_it {
                *to.add((term + p) / one * line + (term + p) % one) = *read.add(p * along);
            }
        }
    }
}

/// The operands: rows of A, the columns' packing, and where they are in C and the bias. All sizes at least 1.
pub(crate) struct Extra<T> {
    pub(crate) k: usize,
    /// How many columns.
    pub(crate) cols: usize,
    pub(crate) a: *const T,
    pub(crate) lda: usize,
    pub(crate) b: *const T,
    pub(crate) start: SumStart<T>,
    pub(crate) c: *mut T,
    pub(crate) ldc: usize,
}

impl<T: Copy> Extra<T> {
    /// Does `m` rows.
    ///
    /// # Safety
    /// The memory must be accessible as the fields say, and the machine must have the instruction set.
    pub(crate) unsafe fn run<S: Simd<T = T>>(&self, m: usize) {
        let tiles = m.div_ceil(S::MR);
        // SAFETY: guaranteed by the caller.
        unsafe {
            if tiles == 1 {
                return self.tile::<S>(0, m);
            }
            for t in 0..tiles {
                self.tile::<S>(part(m, tiles, t), part(m, tiles, t + 1));
            }
        }
    }

    /// Rows i0 .. i1, at most MR.
    #[inline(always)]
    unsafe fn tile<S: Simd<T = T>>(&self, i0: usize, i1: usize) {
        let mut done = 0;
        while done < self.cols {
            // SAFETY: these rows and columns exist; whole chunks lie before the last one.
            unsafe {
                let of_it = Chunk::<S> {
                    k: self.k,
                    cols: CHUNK.min(self.cols - done),
                    a: self.a.add(i0 * self.lda),
                    lda: self.lda,
                    b: self.b.add(packed_len::<T>(S::LANES, self.k, done)),
                    start: self.start.part(true, done),
                    c: self.c.add(i0 * self.ldc + done),
                    ldc: self.ldc,
                    set: PhantomData,
                };
                let (alone, of_line) = (of_it.cols == 1, LINE / size_of::<T>() / S::LANES);
                let of_chunk = of_it.cols.div_ceil(columns::<T>(S::LANES));
                match if alone { of_line } else { of_chunk } {
                    1 => of_it.rows::<1>(alone, i1 - i0),
                    2 => of_it.rows::<2>(alone, i1 - i0),
                    3 => of_it.rows::<3>(alone, i1 - i0),
                    _ => of_it.rows::<4>(alone, i1 - i0),
                }
            }
            done += CHUNK;
        }
    }
}

/// At most [`CHUNK`] columns of a tile of rows.
struct Chunk<S: Simd> {
    k: usize,
    cols: usize,
    a: *const S::T,
    lda: usize,
    b: *const S::T,
    start: SumStart<S::T>,
    c: *mut S::T,
    ldc: usize,
    set: PhantomData<S>,
}

impl<S: Simd> Chunk<S> {
    /// In `V` registers.
    #[inline(always)]
    unsafe fn rows<const V: usize>(&self, alone: bool, rows: usize) {
        if V * S::LANES > LINE / size_of::<S::T>() {
            return;
        }
        // SAFETY: guaranteed by the caller.
        unsafe {
            match alone {
                true => self.tile::<V, true>(rows),
                false => self.tile::<V, false>(rows),
            }
        }
    }

    /// Makes `rows` a constant, so that the sums are kept in registers.
    #[inline(always)]
    unsafe fn tile<const V: usize, const ALONE: bool>(&self, rows: usize) {
        debug_assert!((1..=S::MR).contains(&rows));
        // SAFETY: guaranteed by the caller.
        unsafe {
            match rows {
                1 => S::vectorize(ChunkOf::<S, 1, V, ALONE>(self)),
                2 => S::vectorize(ChunkOf::<S, 2, V, ALONE>(self)),
                3 => S::vectorize(ChunkOf::<S, 3, V, ALONE>(self)),
                4 => S::vectorize(ChunkOf::<S, 4, V, ALONE>(self)),
                5 if S::MR >= 5 => S::vectorize(ChunkOf::<S, 5, V, ALONE>(self)),
                6 if S::MR >= 6 => S::vectorize(ChunkOf::<S, 6, V, ALONE>(self)),
                7 if S::MR >= 7 => S::vectorize(ChunkOf::<S, 7, V, ALONE>(self)),
                8 if S::MR >= 8 => S::vectorize(ChunkOf::<S, 8, V, ALONE>(self)),
                9 if S::MR >= 9 => S::vectorize(ChunkOf::<S, 9, V, ALONE>(self)),
                10 if S::MR >= 10 => S::vectorize(ChunkOf::<S, 10, V, ALONE>(self)),
                11 if S::MR >= 11 => S::vectorize(ChunkOf::<S, 11, V, ALONE>(self)),
                12 if S::MR >= 12 => S::vectorize(ChunkOf::<S, 12, V, ALONE>(self)),
                _ => {}
            }
        }
    }
}

/// `R` rows × `V` registers: of columns side by side, or of one column that is `ALONE`.
struct ChunkOf<'a, S: Simd, const R: usize, const V: usize, const ALONE: bool>(&'a Chunk<S>);

impl<S: Simd, const R: usize, const V: usize, const ALONE: bool> ChunkOf<'_, S, R, V, ALONE> {
    /// Adds the products of the terms from p on, `n` of them if that is less than what a register has.
    #[inline(always)]
    unsafe fn add(&self, acc: &mut [[S::V; V]; R], p: usize, b: *const S::T, n: usize) {
        let (a, lda) = (self.0.a, self.0.lda);
        let one = terms::<S::T>();
        // SAFETY: guaranteed by the caller.
        unsafe {
            let w: [S::V; V] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
            for (i, acc) in acc.iter_mut().enumerate() {
                let x = a.add(i * lda + p);
                if ALONE {
                    for v in 0..V {
                        let n = n.saturating_sub(v * S::LANES);
                        if n > 0 {
                            let x = S::load_up_to(x.add(v * S::LANES), n);
                            acc[v] = S::fma(x, w[v], acc[v]);
                        }
                    }
                } else {
                    let x = if n < one {
                        S::repeat_part(x, n)
                    } else {
                        S::repeat(x)
                    };
                    for v in 0..V {
                        acc[v] = S::fma(x, w[v], acc[v]);
                    }
                }
            }
        }
    }

    /// The sums of a row's columns.
    #[inline(always)]
    unsafe fn sums(acc: [S::V; V]) -> [S::T; CHUNK] {
        let of_register = columns::<S::T>(S::LANES);
        let mut all = [S::T::default(); CHUNK];
        for (v, acc) in acc.into_iter().enumerate() {
            // SAFETY: guaranteed by the caller.
            let some = unsafe { S::repeated_sums(acc) };
            all[v * of_register..][..of_register].copy_from_slice(&some[..of_register]);
        }
        if ALONE {
            all[0] = (all[0] + all[1]) + (all[2] + all[3]);
        }
        all
    }
}

impl<S: Simd, const R: usize, const V: usize, const ALONE: bool> SimdOp
    for ChunkOf<'_, S, R, V, ALONE>
{
    #[inline(always)]
    unsafe fn run(self) {
        let &Chunk {
            k,
            cols,
            b,
            start,
            c,
            ldc,
            ..
        } = self.0;
        let one = if ALONE {
            LINE / size_of::<S::T>()
        } else {
            terms::<S::T>()
        };
        // SAFETY: A has R rows of k elements, the packing k terms rounded up, C and the bias `cols` columns.
        unsafe {
            let mut acc = [[S::zero(); V]; R];
            let mut b = b;
            for p in 0..k / one {
                self.add(&mut acc, p * one, b, one);
                b = b.add(V * S::LANES);
            }
            if !k.is_multiple_of(one) {
                self.add(&mut acc, k / one * one, b, k % one);
            }
            for (i, acc) in acc.into_iter().enumerate() {
                let mut sums = Self::sums(acc);
                let to = c.add(i * ldc);
                let from = match start {
                    SumStart::Zero => None,
                    SumStart::Bias(row) => Some(row),
                    SumStart::Old => Some(to.cast_const()),
                };
                if cols == CHUNK {
                    // One register of each.
                    if let Some(from) = from {
                        let old = from.cast::<[S::T; CHUNK]>().read_unaligned();
                        for (sum, old) in sums.iter_mut().zip(old) {
                            *sum = old + *sum;
                        }
                    }
                    to.cast::<[S::T; CHUNK]>().write_unaligned(sums);
                } else {
                    for (j, sum) in sums.into_iter().enumerate().take(cols) {
                        *to.add(j) = from.map_or(sum, |from| *from.add(j) + sum);
                    }
                }
            }
        }
    }
}
