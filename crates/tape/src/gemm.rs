//! The one place of the crate with unsafe code: a length-checked call of the `gemm` crate.
//!
//! Invariant: no pointer is handed over before every index that the product can reach has been checked against its slice.
#![expect(
    unsafe_code,
    reason = "the entry point of the `gemm` crate takes pointers; there is no safe one"
)]

use crate::real::Real;

/// A read-only matrix in a slice: element (i, j) is `data[i * row_stride + j * column_stride]`. Strides may be 0, which
/// repeats a row or a column.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<T> Strided<'_, T> {
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

/// C = A·B, or C += A·B: C is `[m, n]`, row-major without gaps; A is m×k, B is k×n. One thread.
///
/// # Panics
/// If a matrix does not lie within its slice: the interpreter's buffers are sized from checked shapes, so this would be
/// its bug.
pub(crate) fn gemm<T: Real>(
    (m, n, k): (usize, usize, usize),
    c: &mut [T],
    accumulate: bool,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
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
    // Slices hold at most `isize::MAX` bytes, and a stride that is used lies within its slice; one that is not used
    // (its axis has length 1) may be anything, so it is replaced by 0.
    let stride = |s: usize, len: usize| if len > 1 { s as isize } else { 0 };
    // SAFETY: `Real` is sealed and implemented for f32 and f64 alone, which are types that `gemm` serves. `c` is a unique
    // borrow of exactly m·n elements, addressed with strides (n, 1); `a` and `b` are shared borrows (so they do not overlap
    // `c`), and `check` has shown that the greatest index of each, hence every index (strides are not negative), is
    // within its slice. All elements are initialised.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.data.as_ptr(),
            stride(a.column_stride, k),
            stride(a.row_stride, m),
            b.data.as_ptr(),
            stride(b.column_stride, n),
            stride(b.row_stride, k),
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(data: &[f64], row_stride: usize, column_stride: usize) -> Strided<'_, f64> {
        Strided {
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
