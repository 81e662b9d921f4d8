//! Matrix products: loops where a side is one row or column, else a length-checked call of the `matrixmultiply` crate, the
//! one place of the crate with unsafe code.
//!
//! `real.rs` and this file name each other: a number type must have a matrix product.
//!
//! Invariant: no pointer is passed on before every index that the product can reach has been checked against its slice.
#![expect(
    unsafe_code,
    reason = "the entry points of the `matrixmultiply` crate take pointers; there are no safe ones"
)]

use crate::real::Real;
use crate::sums;

/// A read-only matrix in a slice: element (i, j) is `data[i * row_stride + j * column_stride]`. Strides may be 0, which
/// repeats a row or a column.
#[derive(Clone, Copy)]
pub(crate) struct StridedMatrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<T> StridedMatrix<'_, T> {
    /// Checks that a matrix of `rows` × `columns`, neither of them 0, lies within the slice.
    fn check(&self, what: &str, rows: usize, columns: usize) {
        let last = (rows - 1)
            .checked_mul(self.row_stride)
            .zip((columns - 1).checked_mul(self.column_stride))
            .and_then(|(r, c)| r.checked_add(c));
        assert!(
            last.is_some_and(|last| last < self.data.len()),
            "{what} of a product leaves its slice: {rows}×{columns}, strides {} and {}, {} elements",
            self.row_stride,
            self.column_stride,
            self.data.len()
        );
    }
}

/// C = A·B, or C += A·B: C is `[m, n]`, row-major without gaps; A is m×k, B is k×n. Single-threaded. A sum's k terms
/// are added in blocks, one after the other: callers that sum over points divide them into blocks ([`crate::sums`]).
///
/// # Panics
/// If a matrix does not lie within its slice. The interpreter sizes its buffers from checked shapes, so this would be a
/// bug of the interpreter.
pub(crate) fn gemm<T: Real>(
    (m, n, k): (usize, usize, usize),
    c: &mut [T],
    accumulate: bool,
    a: StridedMatrix<'_, T>,
    b: StridedMatrix<'_, T>,
) {
    assert_eq!(
        Some(c.len()),
        m.checked_mul(n),
        "the result of a product is {m}×{n}"
    );
    if c.is_empty() {
        return;
    }
    if k == 0 {
        if !accumulate {
            c.fill(T::ZERO);
        }
        return;
    }
    a.check("the left side", m, k);
    b.check("the right side", k, n);
    if !accumulate {
        c.fill(T::ZERO);
    }
    if narrow((m, n, k), c, a, b) {
        return;
    }
    // Slices hold at most `isize::MAX` bytes, and a stride that is used lies within its slice; one that is not used
    // (its axis has length 1) may be anything, so it is replaced by 0.
    let stride = |s: usize, len: usize| if len > 1 { s as isize } else { 0 };
    // SAFETY: `c` is a unique borrow of exactly m·n elements, addressed with strides (n, 1); `a` and `b` are shared borrows
    // (so they do not overlap `c`), and `check` has shown that the greatest index of each, hence every index (strides are
    // not negative), is within its slice. All elements are initialised.
    unsafe {
        T::product(
            (m, k, n),
            a.data.as_ptr(),
            [stride(a.row_stride, m), stride(a.column_stride, k)],
            b.data.as_ptr(),
            [stride(b.row_stride, k), stride(b.column_stride, n)],
            c.as_mut_ptr(),
            [n as isize, 1],
        );
    }
}

/// Rows of a product up to which the right side is read in place. The crate packs it first, which does not pay off for so few
/// rows: at 4×128×512 in f32 this reaches 21 GFLOP/s instead of 8; at 8 rows both reach about 25 (one core of Zen 4).
const FEW: usize = 6;

/// C += A·B where packing a matrix would cost more than the product. False if the product is too large for that, or has
/// strides that these loops do not support.
fn narrow<T: Real>(
    (m, n, k): (usize, usize, usize),
    c: &mut [T],
    a: StridedMatrix<'_, T>,
    b: StridedMatrix<'_, T>,
) -> bool {
    let left = |i: usize, l: usize| a.data[i * a.row_stride + l * a.column_stride];
    let right = |l: usize| &b.data[l * b.row_stride..][..n];
    if (m <= FEW || k == 1) && b.column_stride == 1 {
        // Four terms per pass over a row of C, because its loads and stores dominate the time.
        let whole = k - k % 4;
        for l in (0..whole).step_by(4) {
            let rows = [right(l), right(l + 1), right(l + 2), right(l + 3)];
            for (i, c) in c.chunks_exact_mut(n).enumerate() {
                let x = [left(i, l), left(i, l + 1), left(i, l + 2), left(i, l + 3)];
                for (j, c) in c.iter_mut().enumerate() {
                    *c += (x[0] * rows[0][j] + x[1] * rows[1][j])
                        + (x[2] * rows[2][j] + x[3] * rows[3][j]);
                }
            }
        }
        for l in whole..k {
            for (i, c) in c.chunks_exact_mut(n).enumerate() {
                let x = left(i, l);
                for (c, &r) in c.iter_mut().zip(right(l)) {
                    *c += x * r;
                }
            }
        }
    } else if m == 1 && b.row_stride == 1 && a.column_stride == 1 {
        for (j, c) in c.iter_mut().enumerate() {
            *c += sums::dot(&a.data[..k], &b.data[j * b.column_stride..][..k]);
        }
    } else if n == 1 && a.column_stride == 1 && b.row_stride == 1 {
        for (i, c) in c.iter_mut().enumerate() {
            *c += sums::dot(&a.data[i * a.row_stride..][..k], &b.data[..k]);
        }
    } else if n == 1 && a.row_stride == 1 {
        for l in 0..k {
            let x = b.data[l * b.row_stride];
            for (c, &r) in c.iter_mut().zip(&a.data[l * a.column_stride..][..m]) {
                *c += x * r;
            }
        }
    } else {
        return false;
    }
    true
}

/// The number types that `matrixmultiply` has a product for.
pub trait MatrixMultiply: Sized {
    /// C += A·B: C is m×n, A is m×k, B is k×n, with strides of rows and columns.
    ///
    /// # Safety
    /// Every element of A, B and C must be readable through its pointer, and those of C writable; C overlaps neither A nor B.
    unsafe fn product(
        size: (usize, usize, usize),
        a: *const Self,
        a_strides: [isize; 2],
        b: *const Self,
        b_strides: [isize; 2],
        c: *mut Self,
        c_strides: [isize; 2],
    );
}

macro_rules! product {
    ($t:ident, $gemm:path) => {
        impl MatrixMultiply for $t {
            unsafe fn product(
                (m, k, n): (usize, usize, usize),
                a: *const $t,
                [a_row, a_column]: [isize; 2],
                b: *const $t,
                [b_row, b_column]: [isize; 2],
                c: *mut $t,
                [c_row, c_column]: [isize; 2],
            ) {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    $gemm(
                        m, k, n, 1.0, a, a_row, a_column, b, b_row, b_column, 1.0, c, c_row,
                        c_column,
                    );
                }
            }
        }
    };
}
product!(f32, matrixmultiply::sgemm);
product!(f64, matrixmultiply::dgemm);

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(data: &[f64], row_stride: usize, column_stride: usize) -> StridedMatrix<'_, f64> {
        StridedMatrix {
            data,
            row_stride,
            column_stride,
        }
    }

    #[test]
    fn products_with_any_strides_equal_the_sum_they_stand_for() {
        let data: Vec<f64> = (0..400).map(|i| f64::from(i * 37 % 101) - 50.0).collect();
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (1, 9, 4),
            (8, 1, 5),
            (13, 17, 2),
            (5, 9, 1),
            (2, 3, 0),
        ] {
            for (a, b) in [
                (matrix(&data, k, 1), matrix(&data, n, 1)),
                (matrix(&data, 1, m), matrix(&data, 1, k)),
                (matrix(&data, 0, 1), matrix(&data, 1, 0)),
            ] {
                for accumulate in [false, true] {
                    let mut c = vec![2.0; m * n];
                    gemm((m, n, k), &mut c, accumulate, a, b);
                    for i in 0..m {
                        for j in 0..n {
                            let mut sum = if accumulate { 2.0 } else { 0.0 };
                            for l in 0..k {
                                sum += a.data[i * a.row_stride + l * a.column_stride]
                                    * b.data[l * b.row_stride + j * b.column_stride];
                            }
                            // Sums of small whole numbers: exact in f64 in any order.
                            assert_eq!(c[i * n + j], sum);
                        }
                    }
                }
            }
        }
    }

    /// How fast the products of a recurrent cell are, in GFLOP/s: `cargo test --release -p retrograd-tape rates -- --ignored
    /// --nocapture`. The right side is row-major, and column-major as M·v of a batch has it.
    #[test]
    #[ignore = "a measurement"]
    fn rates() {
        fn rate<T: Real>((m, n, k): (usize, usize, usize), by_columns: bool) -> f64 {
            let a = vec![T::from_f64(0.5); m * k];
            let b = vec![T::from_f64(0.25); k * n];
            let mut c = vec![T::ZERO; m * n];
            let (row_stride, column_stride) = if by_columns { (1, k) } else { (n, 1) };
            let left = StridedMatrix {
                data: &a,
                row_stride: k,
                column_stride: 1,
            };
            let right = StridedMatrix {
                data: &b,
                row_stride,
                column_stride,
            };
            let calls = (200_000_000 / (m * n * k)).max(3);
            let best = (0..7)
                .map(|_| {
                    let begin = std::time::Instant::now();
                    for _ in 0..calls {
                        gemm((m, n, k), &mut c, true, left, right);
                    }
                    begin.elapsed().as_secs_f64() / calls as f64
                })
                .fold(f64::INFINITY, f64::min);
            2.0 * (m * n * k) as f64 / best / 1e9
        }
        // rows × results × operands; the last is a weight gradient.
        for size in [
            (1, 512, 128),
            (4, 512, 128),
            (32, 512, 128),
            (128, 512, 128),
            (32, 2048, 512),
            (128, 512, 32),
        ] {
            for by_columns in [false, true] {
                let single = rate::<f32>(size, by_columns);
                let double = rate::<f64>(size, by_columns);
                println!("{size:?} by_columns={by_columns}: f32 {single:.1}, f64 {double:.1}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "leaves its slice")]
    fn a_matrix_that_leaves_its_slice_is_refused() {
        let mut c = [0.0; 4];
        gemm(
            (2, 2, 2),
            &mut c,
            false,
            matrix(&[0.0; 3], 2, 1),
            matrix(&[0.0; 4], 2, 1),
        );
    }
}
