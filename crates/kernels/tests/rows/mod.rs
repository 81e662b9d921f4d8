//! Outer products of each row by itself: the same bits as the plain sum in order, on every instruction set that the machine
//! has, whatever rows are made together.

use crate::common::{Element, Guarded, Numbers, size};
use proptest::prelude::*;
use retrograd_kernels::{Isa, RowOuterArgs, kernels_for};

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    steps: usize,
    rows: usize,
    add: bool,
    gap: usize,
    cut: usize,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let sizes = (size(), size(), 0..6usize, 0..5usize);
    (
        sizes,
        any::<bool>(),
        0..4usize,
        any::<usize>(),
        any::<u64>(),
    )
        .prop_map(|((m, n, steps, rows), add, gap, cut, seed)| Case {
            m,
            n,
            steps,
            rows,
            add,
            gap,
            cut,
            seed,
        })
}

fn check<T: Element + std::ops::AddAssign>(case: &Case) {
    let &Case {
        m,
        n,
        steps,
        rows,
        add,
        gap,
        cut,
        seed,
    } = case;
    let mut numbers = Numbers(seed);
    let (a_row, b_row, y_row) = (m + gap, n + gap, m * n + gap);
    let a = Guarded::<T>::new(&numbers.vec(steps * rows * a_row), true);
    let b = Guarded::<T>::new(&numbers.vec(steps * rows * b_row), true);
    let old: Vec<T> = numbers.vec(rows * y_row);
    let mut right = old.clone();
    for r in 0..rows {
        for i in 0..m {
            for j in 0..n {
                let y = &mut right[r * y_row + i * n + j];
                if !add {
                    *y = T::of(0.0);
                }
                for t in 0..steps {
                    let at = t * rows + r;
                    *y += a.get()[at * a_row + i] * b.get()[at * b_row + j];
                }
            }
        }
    }
    for isa in Isa::ALL {
        let Some(kernels) = kernels_for::<T>(isa) else {
            continue;
        };
        let mut y = Guarded::new(&old, seed % 2 == 0);
        let args = RowOuterArgs {
            a: a.get().as_ptr(),
            a_step: rows * a_row,
            a_row,
            m,
            b: b.get().as_ptr(),
            b_step: rows * b_row,
            b_row,
            n,
            y: y.ptr_mut(),
            y_row,
            steps,
            add,
        };
        let cut = cut % (rows + 1);
        // SAFETY: all vectors and matrices lie in these arrays.
        unsafe {
            (kernels.row_outer)(&args, 0, cut);
            (kernels.row_outer)(&args, cut, rows);
        }
        assert!(y.untouched_around());
        for (k, (found, right)) in y.get().iter().zip(&right).enumerate() {
            assert!(
                found.wide().to_bits() == right.wide().to_bits(),
                "{isa}: number {k} is {found:?}, not {right:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn each_rows_outer_products_have_the_bits_of_the_plain_sum(case in case()) {
        check::<f32>(&case);
        check::<f64>(&case);
    }
}
