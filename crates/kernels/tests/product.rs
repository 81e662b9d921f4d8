//! Products against the naive sum, on every instruction set that the machine has.

mod common;
#[path = "product/dots.rs"]
mod dots;

use common::{Element, Guarded, Numbers, Sum, cuts, size};
use proptest::prelude::*;
use retrograd_kernels::{
    ADD, BACKWARD, Block, BlockSlice, IN_ORDER, Isa, Kernels, Packed, SimdElement, Weights,
    kernels_for, product_unpacked, sum_rows,
};

/// What the product is added to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Zero,
    Old,
    Bias,
}

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    rows: usize,
    cols: usize,
    transposed: bool,
    packed: bool,
    start: Start,
    at_end: bool,
    cuts: [[usize; 2]; 2],
    gap: usize,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    (
        (
            prop_oneof![size(), Just(1usize)],
            size(),
            prop_oneof![6 => size(), 1 => Just(515usize)],
        ),
        any::<(bool, bool, bool)>(),
        prop_oneof![Just(Start::Zero), Just(Start::Old), Just(Start::Bias)],
        any::<[[usize; 2]; 2]>(),
        0..5usize,
        any::<u64>(),
    )
        .prop_map(
            |((m, rows, cols), (transposed, packed, at_end), start, cuts, gap, seed)| {
                // The long side is the inner one as a rule, so that there is more than one K block.
                let (rows, cols) = if transposed {
                    (cols, rows)
                } else {
                    (rows, cols)
                };
                Case {
                    m,
                    rows,
                    cols,
                    transposed,
                    packed,
                    start,
                    at_end,
                    cuts,
                    gap,
                    seed,
                }
            },
        )
}

/// A matrix in blocks, each in memory of its own, its rows `gap` further apart than they need be.
fn blocks<T: Element>(w: &[T], case: &Case) -> (Vec<Block<T>>, Vec<Guarded<T>>) {
    let (r, c) = (cuts(case.rows, case.cuts[0]), cuts(case.cols, case.cuts[1]));
    let mut memory = Vec::new();
    let mut blocks = Vec::new();
    for (r0, r1) in r.iter().zip(&r[1..]).map(|(a, b)| (*a, *b)) {
        for (c0, c1) in c.iter().zip(&c[1..]).map(|(a, b)| (*a, *b)) {
            let ld = c1 - c0 + case.gap;
            let len = ((r1 - r0) * ld).saturating_sub(case.gap);
            let mut data = vec![T::of(f64::NAN); len];
            for i in r0..r1 {
                for j in c0..c1 {
                    data[(i - r0) * ld + j - c0] = w[i * case.cols + j];
                }
            }
            let data = Guarded::new(&data, case.at_end);
            blocks.push(Block {
                ptr: data.ptr(),
                ld,
                row: r0,
                col: c0,
                rows: r1 - r0,
                cols: c1 - c0,
            });
            memory.push(data);
        }
    }
    blocks.reverse(); // the order of the list doesn't matter
    (blocks, memory)
}

/// Packs a weight, whose blocks are then not looked at any more.
fn pack<T: Element>(
    kernels: &Kernels<T>,
    weights: &mut Weights<T>,
    packing: &mut Guarded<T>,
) -> Result<(), TestCaseError> {
    // SAFETY: the blocks tile W, the packing has its length.
    unsafe { (kernels.pack)(weights, packing.ptr_mut()) };
    let whole = packing.get().iter().all(|x| !x.wide().is_nan());
    prop_assert!(whole, "the packing has gaps");
    prop_assert!(packing.untouched_around());
    (weights.packed, weights.blocks, weights.n_blocks) = (packing.ptr(), std::ptr::null(), 0);
    Ok(())
}

fn check<T: Element>(kernels: &Kernels<T>, case: &Case) -> Result<(), TestCaseError> {
    let &Case {
        m,
        rows,
        cols,
        transposed,
        packed,
        start,
        at_end,
        gap,
        seed,
        ..
    } = case;
    let mut numbers = Numbers(seed);
    let w: Vec<T> = numbers.vec(rows * cols);
    let (k, n) = if transposed {
        (rows, cols)
    } else {
        (cols, rows)
    };
    let (blocks, _memory) = blocks(&w, case);
    let (lda, ldc) = (k + gap, n + gap);
    let (a, c): (Vec<T>, Vec<T>) = (
        numbers.vec((m * lda).saturating_sub(gap)),
        numbers.vec((m * ldc).saturating_sub(gap)),
    );
    let a = Guarded::new(&a, at_end);
    let mut got = Guarded::new(&c, at_end);
    let nan = vec![T::of(f64::NAN); kernels.packed_len(rows, cols, transposed)];
    let mut packing = Guarded::new(&nan, true);
    let mut weights = Weights {
        rows,
        cols,
        transposed,
        blocks: blocks.as_ptr(),
        n_blocks: blocks.len(),
        unit: None,
        packed: std::ptr::null(),
    };
    if packed {
        pack(kernels, &mut weights, &mut packing)?;
    }
    let bias: Vec<T> = numbers.vec(n);
    let bias = Guarded::new(&bias, at_end);
    let run = |m: usize, a: *const T, c: *mut T, way: u32| {
        let how = way | if start == Start::Old { ADD } else { 0 };
        // SAFETY: A is [m, k], C is [m, n] with these strides, the bias [n].
        unsafe {
            if start == Start::Bias {
                (kernels.product_from)(&weights, m, a, lda, bias.ptr(), c, ldc, how);
            } else {
                (kernels.product)(&weights, m, a, lda, c, ldc, how);
            }
        }
    };
    run(m, a.ptr(), got.ptr_mut(), 0);
    prop_assert!(got.untouched_around());
    let near = |i: usize, j: usize, got: T| {
        let mut sum = Sum::default();
        for p in 0..k {
            let at = if transposed { p * n + j } else { j * k + p };
            sum.add(a.get()[i * lda + p], w[at]);
        }
        match start {
            Start::Zero => {}
            Start::Old => sum.add(c[i * ldc + j], T::of(1.0)),
            Start::Bias => sum.add(bias.get()[j], T::of(1.0)),
        }
        sum.check(got, k, &format!("{} ({i}, {j})", kernels.isa))
    };
    for i in 0..m {
        for j in 0..n {
            near(i, j, got.get()[i * ldc + j])?;
        }
        let between = i * ldc + n..c.len().min((i + 1) * ldc);
        if !between.is_empty() {
            prop_assert_eq!(&got.get()[between.clone()], &c[between]);
        }
    }
    // A row alone has the same bits, whichever way weights are gone through. Sums of rows of unpacked transposed ones have
    // another order from their end, which does not depend on m either, unless they are to be in order.
    let mut turned = Guarded::new(&c, at_end);
    run(m, a.ptr(), turned.ptr_mut(), BACKWARD);
    prop_assert!(turned.untouched_around());
    prop_assert!(!packed || turned.get() == got.get(), "panels from the last");
    let ways = [0, BACKWARD, IN_ORDER, BACKWARD | IN_ORDER];
    for (i, way) in (0..m).flat_map(|i| ways.map(|way| (i, way))) {
        let mut alone = Guarded::new(&c[i * ldc..i * ldc + n], at_end);
        run(1, a.get()[i * lda..].as_ptr(), alone.ptr_mut(), way);
        prop_assert!(alone.untouched_around());
        let other = way == BACKWARD && transposed && !packed;
        let all = if other { &turned } else { &got };
        let row = &all.get()[i * ldc..i * ldc + n];
        prop_assert_eq!(alone.get(), row, "row {} alone, {}", i, way);
        if other {
            for (j, x) in alone.get().iter().enumerate() {
                near(i, j, *x)?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_product_is_the_naive_sum_and_its_rows_do_not_depend_on_each_other(case in case()) {
        for isa in Isa::ALL {
            if let Some(kernels) = kernels_for::<f32>(isa) {
                check(kernels, &case)?;
            }
            if let Some(kernels) = kernels_for::<f64>(isa) {
                check(kernels, &case)?;
            }
        }
    }

    #[test]
    fn sum_rows_is_the_naive_sum(steps in 0..5usize, rows in 0..5usize, n in prop_oneof![size(), 100..300usize], gaps in any::<(u8, u8)>(), add: bool, seed: u64) {
        for isa in Isa::ALL {
            if let Some(kernels) = kernels_for::<f32>(isa) {
                check_sum(kernels, steps, rows, n, gaps, add, seed)?;
            }
            if let Some(kernels) = kernels_for::<f64>(isa) {
                check_sum(kernels, steps, rows, n, gaps, add, seed)?;
            }
        }
    }
}

/// Rows of A whose lines all lie in one set of L1 are copied first: few and many of them, of one and of two blocks of terms.
#[test]
fn rows_whose_lines_compete_are_multiplied_as_others() -> Result<(), TestCaseError> {
    for (m, k, n) in [(9, 40, 170), (12, 515, 150), (80, 100, 165), (75, 515, 200)] {
        for start in [Start::Zero, Start::Old, Start::Bias] {
            let case = Case {
                m,
                rows: n,
                cols: k,
                transposed: false,
                packed: true,
                start,
                at_end: true,
                cuts: [[0; 2]; 2],
                gap: 1024 - k,
                seed: 5,
            };
            for isa in Isa::ALL {
                if let Some(kernels) = kernels_for::<f32>(isa) {
                    check(kernels, &case)?;
                }
                if let Some(kernels) = kernels_for::<f64>(isa) {
                    check(kernels, &case)?;
                }
            }
        }
    }
    Ok(())
}

/// One row of columns in several groups, of both widths, and of several blocks of terms: on AVX-512, AVX2 and portable.
#[test]
fn one_row_of_many_columns_is_a_row_of_several() -> Result<(), TestCaseError> {
    for (k, n) in [(100, 150), (100, 530), (200, 75), (400, 44), (515, 150)] {
        for (m, start) in [(1, Start::Zero), (2, Start::Bias), (1, Start::Old)] {
            let case = Case {
                m,
                rows: n,
                cols: k,
                transposed: false,
                packed: true,
                start,
                at_end: true,
                cuts: [[0; 2]; 2],
                gap: 0,
                seed: 7,
            };
            for isa in Isa::ALL {
                if let Some(kernels) = kernels_for::<f32>(isa) {
                    check(kernels, &case)?;
                }
                if let Some(kernels) = kernels_for::<f64>(isa) {
                    check(kernels, &case)?;
                }
            }
        }
    }
    Ok(())
}

fn check_sum<T: Element>(
    kernels: &Kernels<T>,
    steps: usize,
    rows: usize,
    n: usize,
    gaps: (u8, u8),
    add: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(seed);
    let row_stride = n + usize::from(gaps.0 % 4);
    let step_stride = rows * row_stride + usize::from(gaps.1 % 4);
    let len = if steps * rows == 0 {
        0
    } else {
        (steps - 1) * step_stride + (rows - 1) * row_stride + n
    };
    let (src, dst): (Vec<T>, Vec<T>) = (numbers.vec(len), numbers.vec(n));
    let (src, mut got) = (Guarded::new(&src, true), Guarded::new(&dst, true));
    // SAFETY: `src` reaches to the end of the last vector, `got` has n elements.
    unsafe {
        (kernels.sum_rows)(
            src.ptr(),
            step_stride,
            row_stride,
            steps,
            rows,
            n,
            got.ptr_mut(),
            add.into(),
        )
    };
    for (j, &old) in dst.iter().enumerate() {
        let mut sum = Sum::default();
        for p in 0..steps * rows {
            sum.add(
                src.get()[p / rows * step_stride + p % rows * row_stride + j],
                T::of(1.0),
            );
        }
        if add {
            sum.add(old, T::of(1.0));
        }
        sum.check(got.get()[j], steps * rows, "sum")?;
    }
    prop_assert!(got.untouched_around());
    Ok(())
}

#[test]
fn the_safe_products_agree_with_arithmetic() {
    // [2, 3] from two stacked rows.
    let (top, bottom) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
    let parts = [
        BlockSlice {
            data: &top,
            ld: 3,
            row: 0,
            col: 0,
            rows: 1,
            cols: 3,
        },
        BlockSlice {
            data: &bottom,
            ld: 3,
            row: 1,
            col: 0,
            rows: 1,
            cols: 3,
        },
    ];
    let mut c = [1.0, 1.0, 1.0];
    Packed::<f64>::new(widest(), 2, 3, true, &parts).product(1, &[1.0, 10.0], &mut c, true);
    assert_eq!(c, [42.0, 53.0, 64.0]);
    let mut c = [0.0, 0.0];
    product_unpacked(
        widest(),
        (2, 3),
        false,
        &parts,
        1,
        &[1.0, 1.0, 1.0],
        &mut c,
        false,
    );
    assert_eq!(c, [6.0, 15.0]);
    sum_rows(widest(), &[1.0, 2.0, 3.0, 4.0], 2, &mut c, false);
    assert_eq!(c, [4.0, 6.0]);
}

#[test]
#[should_panic(expected = "lies outside")]
fn a_part_outside_the_matrix_is_refused() {
    Packed::<f32>::new(
        widest(),
        1,
        1,
        false,
        &[BlockSlice {
            data: &[0.0; 4],
            ld: 2,
            row: 0,
            col: 0,
            rows: 2,
            cols: 2,
        }],
    );
}

#[test]
fn there_are_kernels_for_exactly_the_instruction_sets_that_the_machine_has() {
    for isa in Isa::ALL {
        assert_eq!(kernels_for::<f32>(isa).is_some(), isa.available(), "{isa}");
        assert_eq!(kernels_for::<f64>(isa).is_some(), isa.available(), "{isa}");
    }
    assert!(Isa::Portable.available() && Isa::widest().available());
    assert_eq!(widest::<f64>().isa, Isa::widest());
    assert_eq!(widest::<f32>().tile_rows, Isa::widest().tile_rows());
}

fn widest<T: SimdElement>() -> &'static Kernels<T> {
    kernels_for(Isa::widest()).expect("the machine has it")
}
