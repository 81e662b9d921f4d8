//! Dot products, of weights that are read as they are and of a row's own matrix: the order of their sums, to the bit; and a
//! row's own matrix against the naive sum, transposed, too.

use proptest::prelude::*;
use retrograd_kernels::{BlockSlice, Isa, Kernels, kernels_for, product_unpacked};

use crate::common::{Element, Guarded, Numbers, Sum, size};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_matrix_times_a_vector_is_the_naive_sum(rows in size(), cols in size(), transposed: bool, at_end: bool, seed: u64) {
        let sizes = (rows.max(1), cols.max(1));
        for isa in Isa::ALL {
            if let Some(kernels) = kernels_for::<f32>(isa) {
                check_matvec(kernels, sizes, transposed, at_end, seed)?;
            }
            if let Some(kernels) = kernels_for::<f64>(isa) {
                check_matvec(kernels, sizes, transposed, at_end, seed)?;
            }
        }
    }

    #[test]
    fn dot_products_with_weights_as_they_are_have_their_order_to_the_bit(m in 0..4usize, rows in size(), cols in size(), add: bool, seed: u64) {
        for isa in Isa::ALL {
            if let Some(kernels) = kernels_for::<f32>(isa) {
                check_fold(kernels, (m, rows, cols), add, seed)?;
            }
            if let Some(kernels) = kernels_for::<f64>(isa) {
                check_fold(kernels, (m, rows, cols), add, seed)?;
            }
        }
    }
}

/// Whether multiply and add are one operation.
fn fused(isa: Isa) -> bool {
    match isa {
        Isa::Avx512 | Isa::Avx2 => true,
        Isa::Portable => cfg!(any(
            target_arch = "aarch64",
            target_arch = "s390x",
            target_arch = "riscv64"
        )),
    }
}

/// 64 bytes of partial sums, each an ascending chain; halves are added until one is left.
fn fold<T: Element>(isa: Isa, w: &[T], x: &[T]) -> T {
    let fused = fused(isa);
    let mut sums = vec![T::default(); 64 / size_of::<T>()];
    let places = sums.len();
    for (p, (&w, &x)) in w.iter().zip(x).enumerate() {
        let sum = &mut sums[p % places];
        *sum = if fused {
            w.mul_add(x, *sum)
        } else {
            w * x + *sum
        };
    }
    while sums.len() > 1 {
        let upper = sums.split_off(sums.len() / 2);
        sums = sums.iter().zip(upper).map(|(&a, b)| a + b).collect();
    }
    sums[0]
}

fn check_fold<T: Element>(
    kernels: &'static Kernels<T>,
    (m, rows, cols): (usize, usize, usize),
    add: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(seed);
    let (w, a) = (numbers.vec::<T>(rows * cols), numbers.vec::<T>(m * cols));
    let old: Vec<T> = numbers.vec(m * rows);
    let mut c = old.clone();
    let parts = [BlockSlice::whole(&w, rows, cols)];
    product_unpacked(kernels, (rows, cols), false, &parts, m, &a, &mut c, add);
    let folds = |i: usize, r: usize| {
        let row = &w[r * cols..(r + 1) * cols];
        fold(kernels.isa, row, &a[i * cols..(i + 1) * cols])
    };
    for (at, (&got, &old)) in c.iter().zip(&old).enumerate() {
        let sum = folds(at / rows, at % rows);
        let want = if add { old + sum } else { sum };
        prop_assert_eq!(got, want, "{} {}", kernels.isa, at);
    }
    if m > 0 && rows > 0 && cols > 0 {
        let mut y = vec![T::default(); rows];
        // SAFETY: the arrays have these sizes.
        unsafe { kernels.matvec[0](rows, cols, w.as_ptr(), a.as_ptr(), y.as_mut_ptr()) };
        for (r, &got) in y.iter().enumerate() {
            prop_assert_eq!(got, folds(0, r), "matvec, {} {}", kernels.isa, r);
        }
    }
    Ok(())
}

/// Products that are too small are −0 where multiply and add are fused, from the first 64 bytes on, at every length of a
/// remainder: elements that do not exist add no 0.
fn negative_zeros<T: Element>(small: f64) {
    for isa in Isa::ALL {
        let Some(kernels) = kernels_for::<T>(isa) else {
            continue;
        };
        let bits = |x: T| x.wide().to_bits();
        for cols in 1..=70 {
            let (w, x) = ([T::of(-small); 70], [T::of(small); 70]);
            let mut y = [T::of(7.0)];
            // SAFETY: the arrays have these sizes.
            unsafe { kernels.matvec[0](1, cols, w.as_ptr(), x.as_ptr(), y.as_mut_ptr()) };
            let right = fold(isa, &w[..cols], &x[..cols]);
            let all = cols >= 64 / size_of::<T>();
            assert_eq!(right.wide().is_sign_negative(), all && fused(isa));
            assert_eq!(bits(y[0]), bits(right), "{isa}, {cols} columns");
            let parts = [BlockSlice::whole(&w[..cols], 1, cols)];
            product_unpacked(
                kernels,
                (1, cols),
                false,
                &parts,
                1,
                &x[..cols],
                &mut y,
                false,
            );
            assert_eq!(bits(y[0]), bits(right), "a weight's, {isa}, {cols} columns");
        }
    }
}

#[test]
fn dot_products_keep_negative_zeros() {
    negative_zeros::<f32>(1e-30);
    negative_zeros::<f64>(1e-200);
}

fn check_matvec<T: Element>(
    kernels: &Kernels<T>,
    (rows, cols): (usize, usize),
    transposed: bool,
    at_end: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(seed);
    let (terms, sums) = if transposed {
        (rows, cols)
    } else {
        (cols, rows)
    };
    let m = Guarded::new(&numbers.vec::<T>(rows * cols), at_end);
    let x = Guarded::new(&numbers.vec::<T>(terms), at_end);
    // What was there is not read.
    let mut y = Guarded::new(&vec![T::of(f64::NAN); sums], at_end);
    // SAFETY: the arrays have these sizes.
    unsafe {
        let kernel = kernels.matvec[usize::from(transposed)];
        kernel(rows, cols, m.ptr(), x.ptr(), y.ptr_mut());
    }
    for (i, &got) in y.get().iter().enumerate() {
        let mut sum = Sum::default();
        for (k, &x) in x.get().iter().enumerate() {
            let (r, c) = if transposed { (k, i) } else { (i, k) };
            sum.add(m.get()[r * cols + c], x);
        }
        sum.check(got, terms, "matrix times vector")?;
    }
    prop_assert!(y.untouched_around());
    Ok(())
}
