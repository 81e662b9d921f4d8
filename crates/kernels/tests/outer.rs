//! Outer products over sequences against the naive sum, on every instruction set that the machine has.

mod common;
mod rows;

use common::{Element, Guarded, Numbers, Sum, cuts, size};
use proptest::prelude::*;
use retrograd_kernels::{
    Bf16Unit, BlockMut, Isa, Kernels, OuterArgs, OuterRhs, PieceMut, kernels_for,
};

/// The kernels of f32 with each unit for bfloat16 operands that the machine has.
fn units() -> impl Iterator<Item = (&'static Kernels<f32>, Bf16Unit)> {
    let units = [Bf16Unit::Emulated, Bf16Unit::Dot, Bf16Unit::Tiles];
    Isa::ALL.into_iter().flat_map(move |isa| {
        let there = units.into_iter().filter(move |u| u.available(isa));
        there.filter_map(move |u| Some((kernels_for::<f32>(isa)?, u)))
    })
}

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    /// Per right-hand side: n, and where its destination is cut.
    rhs: Vec<(usize, [[usize; 2]; 2])>,
    steps: usize,
    rows: usize,
    bias: Option<[usize; 2]>,
    add: bool,
    /// Time runs slower than the batch in memory, or the other way round.
    step_major: bool,
    gap: usize,
    at: usize,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    (
        size(),
        proptest::collection::vec((prop_oneof![6 => size(), 1 => Just(600usize)], any::<[[usize; 2]; 2]>()), 0..3),
        prop_oneof![3 => (0..5usize, 0..5usize), 1 => Just((60usize, 5usize)), 1 => Just((1, 257)), 1 => Just((256, 1))],
        any::<Option<[usize; 2]>>(),
        any::<(bool, bool)>(),
        0..4usize,
        any::<usize>(),
        any::<u64>(),
    )
        .prop_map(|(m, rhs, (steps, rows), bias, (add, step_major), gap, at, seed)| Case {
            m,
            rhs,
            steps,
            rows,
            bias,
            add,
            step_major,
            gap,
            at,
            seed,
        })
}

/// A sequence of vectors in memory: strides of steps and rows, and the data.
struct Sequence<T> {
    step: usize,
    row: usize,
    data: Guarded<T>,
}

impl<T: Element> Sequence<T> {
    fn new(case: &Case, n: usize, numbers: &mut Numbers) -> Self {
        let &Case {
            steps,
            rows,
            step_major,
            gap,
            ..
        } = case;
        let (step, row) = if step_major {
            ((n + gap) * rows, n + gap)
        } else {
            (n + gap, (n + gap) * steps)
        };
        let len = if steps * rows == 0 {
            0
        } else {
            (steps - 1) * step + (rows - 1) * row + n
        };
        Self {
            step,
            row,
            data: Guarded::new(&numbers.vec(len), true),
        }
    }

    fn at(&self, case: &Case, p: usize, i: usize) -> T {
        self.data.get()[p / case.rows * self.step + p % case.rows * self.row + i]
    }

    /// The same vectors of n one after the other.
    fn dense(&self, case: &Case, n: usize) -> Self {
        let k = case.steps * case.rows;
        let all = (0..k).flat_map(|p| (0..n).map(move |i| self.at(case, p, i)));
        Self {
            step: case.rows * n,
            row: n,
            data: Guarded::new(&all.collect::<Vec<_>>(), true),
        }
    }
}

/// The destinations: for each right-hand side its blocks, and the pieces of the bias.
struct Destinations<T> {
    memory: Vec<Guarded<T>>,
    blocks: Vec<Vec<BlockMut<T>>>,
    bias: Vec<PieceMut<T>>,
}

impl<T: Element> Destinations<T> {
    fn new(case: &Case) -> Self {
        let mut numbers = Numbers(case.seed ^ 1);
        let (mut memory, mut bias) = (Vec::new(), Vec::new());
        let mut fresh = |len| {
            let mut g = Guarded::new(&numbers.vec::<T>(len), true);
            let ptr = g.ptr_mut();
            memory.push(g);
            ptr
        };
        let mut blocks = Vec::new();
        for &(n, at) in &case.rhs {
            let (r, c) = (cuts(case.m, at[0]), cuts(n, at[1]));
            let mut tiling = Vec::new();
            for (r0, r1) in r.iter().zip(&r[1..]).map(|(a, b)| (*a, *b)) {
                for (c0, c1) in c.iter().zip(&c[1..]).map(|(a, b)| (*a, *b)) {
                    let ld = c1 - c0 + case.gap;
                    let len = ((r1 - r0) * ld).saturating_sub(case.gap);
                    tiling.push(BlockMut {
                        ptr: fresh(len),
                        ld,
                        row: r0,
                        col: c0,
                        rows: r1 - r0,
                        cols: c1 - c0,
                    });
                }
            }
            blocks.push(tiling);
        }
        if let Some(at) = case.bias {
            let c = cuts(case.m, at);
            for (start, end) in c.iter().zip(&c[1..]).map(|(a, b)| (*a, *b)) {
                bias.push(PieceMut {
                    ptr: fresh(end - start),
                    start,
                    len: end - start,
                });
            }
        }
        Self {
            memory,
            blocks,
            bias,
        }
    }

    fn element(&self, rhs: usize, i: usize, j: usize) -> T {
        let b = self.blocks[rhs]
            .iter()
            .find(|b| (b.row..b.row + b.rows).contains(&i) && (b.col..b.col + b.cols).contains(&j))
            .expect("blocks tile");
        // SAFETY: the element lies in the block.
        unsafe { *b.ptr.add((i - b.row) * b.ld + j - b.col) }
    }

    fn sum(&self, i: usize) -> T {
        let p = self
            .bias
            .iter()
            .find(|p| (p.start..p.start + p.len).contains(&i))
            .expect("pieces tile");
        // SAFETY: the element lies in the piece.
        unsafe { *p.ptr.add(i - p.start) }
    }

    fn run(
        &self,
        (kernels, unit): (&Kernels<T>, Option<Bf16Unit>),
        case: &Case,
        delta: &Sequence<T>,
        rhs: &[Sequence<T>],
        ranges: &[(usize, usize)],
    ) {
        let rhs: Vec<_> = (0..rhs.len())
            .map(|r| OuterRhs {
                ptr: rhs[r].data.ptr(),
                step_stride: rhs[r].step,
                row_stride: rhs[r].row,
                lag: 0,
                n: case.rhs[r].0,
                dst: self.blocks[r].as_ptr(),
                n_dst: self.blocks[r].len(),
            })
            .collect();
        let args = OuterArgs {
            delta: delta.data.ptr(),
            step_stride: delta.step,
            row_stride: delta.row,
            lag: 0,
            m: case.m,
            steps: case.steps,
            rows: case.rows,
            starts: std::ptr::null(),
            rhs: rhs.as_ptr(),
            n_rhs: rhs.len(),
            bias: self.bias.as_ptr(),
            n_bias: self.bias.len(),
            unit,
            add: case.add,
        };
        let n = case.rhs.iter().map(|r| r.0).sum();
        let (k, runs) = (case.steps * case.rows, 3 * rhs.len());
        let len = match unit {
            None => kernels.outer_scratch_len(k, n, runs),
            Some(unit) => kernels.outer_scratch_len_of(unit, k, n, runs),
        };
        for &(i0, i1) in ranges {
            // NaN at first: what isn't written must not be used.
            let mut scratch = Guarded::new(&vec![T::of(f64::NAN); len], true);
            // SAFETY: everything is described as it lies.
            unsafe { (kernels.outer)(&args, i0, i1, scratch.ptr_mut()) };
            assert!(scratch.untouched_around());
        }
    }
}

fn check<T: Element>(kernels: &Kernels<T>, case: &Case) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(case.seed);
    let delta = Sequence::<T>::new(case, case.m, &mut numbers);
    let rhs: Vec<_> = case
        .rhs
        .iter()
        .map(|r| Sequence::<T>::new(case, r.0, &mut numbers))
        .collect();
    let (old, whole, split) = (
        Destinations::new(case),
        Destinations::new(case),
        Destinations::new(case),
    );
    let set = (kernels, None);
    whole.run(set, case, &delta, &rhs, &[(0, case.m)]);
    let k = case.steps * case.rows;
    let one = T::of(1.0);
    for i in 0..case.m {
        for (r, &(n, _)) in case.rhs.iter().enumerate() {
            for j in 0..n {
                let mut sum = Sum::default();
                (0..k).for_each(|p| sum.add(delta.at(case, p, i), rhs[r].at(case, p, j)));
                if case.add {
                    sum.add(old.element(r, i, j), one);
                }
                sum.check(
                    whole.element(r, i, j),
                    k,
                    &format!("{} rhs {r} ({i}, {j})", kernels.isa),
                )?;
            }
        }
        if case.bias.is_some() {
            let mut sum = Sum::default();
            (0..k).for_each(|p| sum.add(delta.at(case, p, i), one));
            if case.add {
                sum.add(old.sum(i), one);
            }
            sum.check(whole.sum(i), k, &format!("{} bias {i}", kernels.isa))?;
        }
    }
    // Split in two at any row, last part first: the same bits, also in the gaps between rows.
    let at = case.at % (case.m + 1);
    split.run(set, case, &delta, &rhs, &[(at, case.m), (0, at)]);
    for ((whole, split), old) in whole.memory.iter().zip(&split.memory).zip(&old.memory) {
        prop_assert!(whole.get() == split.get(), "{} split at {at}", kernels.isa);
        prop_assert!(whole.untouched_around());
        prop_assert_eq!(whole.get().len(), old.get().len());
    }
    for (r, tiling) in whole.blocks.iter().enumerate() {
        for (b, before) in tiling.iter().zip(&old.blocks[r]) {
            for i in 1..b.rows {
                for j in b.cols..b.ld {
                    let at = (i - 1) * b.ld + j;
                    // SAFETY: between two rows of the block.
                    let (now, before) = unsafe { (*b.ptr.add(at), *before.ptr.add(at)) };
                    prop_assert_eq!(now, before, "between the rows of a destination");
                }
            }
        }
    }
    Ok(())
}

/// With bfloat16 operands: the bits of the same vectors one after the other, for which `bf16.rs` writes out the sums, and
/// nothing else is written.
fn check_rounded(kernels: &Kernels<f32>, unit: Bf16Unit, case: &Case) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(case.seed);
    let delta = Sequence::<f32>::new(case, case.m, &mut numbers);
    let sizes = || case.rhs.iter().map(|r| r.0);
    let rhs: Vec<_> = sizes()
        .map(|n| Sequence::<f32>::new(case, n, &mut numbers))
        .collect();
    let dense: Vec<_> = (rhs.iter().zip(sizes()))
        .map(|(r, n)| r.dense(case, n))
        .collect();
    let (right, found) = (Destinations::new(case), Destinations::new(case));
    let (set, at) = ((kernels, Some(unit)), case.at % (case.m + 1));
    let one_by_one = delta.dense(case, case.m);
    right.run(set, case, &one_by_one, &dense, &[(0, case.m)]);
    found.run(set, case, &delta, &rhs, &[(at, case.m), (0, at)]);
    for (found, right) in found.memory.iter().zip(&right.memory) {
        prop_assert!(found.get() == right.get(), "{} {unit:?}", kernels.isa);
        prop_assert!(found.untouched_around());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_outer_product_is_the_naive_sum_and_bitwise_the_same_for_any_split(case in case()) {
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
    fn an_outer_product_of_bfloat16_has_the_same_bits_for_any_layout_and_split(case in case()) {
        for (kernels, unit) in units() {
            check_rounded(kernels, unit, &case)?;
        }
    }
}

/// Where the vectors of rows of different lengths lie, in rows of the array: step t begins at `starts[t + before]`.
struct Ragged {
    lengths: Vec<usize>,
    before: usize,
    starts: Vec<i64>,
}

impl Ragged {
    fn new(mut lengths: Vec<usize>, before: usize) -> Ragged {
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let rows = lengths.len() as i64;
        let mut starts: Vec<i64> = (0..=before as i64)
            .map(|t| (t - before as i64) * rows)
            .collect();
        for t in 0..lengths[0] {
            let live = lengths.iter().filter(|&&n| n > t).count() as i64;
            starts.push(starts[before + t] + live);
        }
        Ragged {
            lengths,
            before,
            starts,
        }
    }

    /// The numbers of all vectors of n, in order, of an array whose positions lag by some steps.
    fn gathered(&self, lag: usize, from: &[f32], (n, gap): (usize, usize)) -> Vec<f32> {
        let mut all = Vec::new();
        for t in 0..self.lengths[0] {
            for r in 0..self.lengths.iter().filter(|&&n| n > t).count() {
                let first = self.starts[self.before - lag];
                let at = (self.starts[self.before + t - lag] - first) as usize + r;
                all.extend_from_slice(&from[at * (n + gap)..][..n]);
            }
        }
        all
    }
}

/// Σ δ rᵀ for one right-hand side in one block, and Σ δ.
fn simple(
    (kernels, unit): (&Kernels<f32>, Option<Bf16Unit>),
    (delta, m): (&[f32], usize),
    (r, n): (&[f32], usize),
    (steps, gap): (usize, usize),
    table: Option<(&Ragged, [usize; 2])>,
) -> Vec<f32> {
    let mut result = vec![f32::NAN; m * n + m];
    let (to, bias) = result.split_at_mut(m * n);
    let dst = [BlockMut {
        ptr: to.as_mut_ptr(),
        ld: n,
        row: 0,
        col: 0,
        rows: m,
        cols: n,
    }];
    let bias = [PieceMut {
        ptr: bias.as_mut_ptr(),
        start: 0,
        len: m,
    }];
    let lags = table.map_or([0, 0], |t| t.1);
    let rhs = [OuterRhs {
        ptr: r.as_ptr(),
        step_stride: n + gap,
        row_stride: n + gap,
        lag: lags[1],
        n,
        dst: dst.as_ptr(),
        n_dst: 1,
    }];
    let args = OuterArgs {
        delta: delta.as_ptr(),
        step_stride: m + gap,
        row_stride: m + gap,
        lag: lags[0],
        m,
        steps,
        rows: 1,
        starts: table.map_or(std::ptr::null(), |(x, _)| x.starts[x.before..].as_ptr()),
        rhs: rhs.as_ptr(),
        n_rhs: 1,
        bias: bias.as_ptr(),
        n_bias: 1,
        unit,
        add: false,
    };
    let terms = table.map_or(steps, |(x, _)| x.lengths.iter().sum());
    let len = match unit {
        None => kernels.outer_scratch_len(terms, n, 1),
        Some(unit) => kernels.outer_scratch_len_of(unit, terms, n, 1),
    };
    let mut scratch = vec![f32::NAN; len];
    // SAFETY: everything is described as it lies.
    unsafe { (kernels.outer)(&args, 0, m, scratch.as_mut_ptr()) };
    result
}

/// A few columns, for which δ is read where it lies, have the bits that they have among many, for which it is packed.
#[test]
fn a_column_has_the_same_bits_alone_and_among_many() {
    let (m, many, few) = (49, 300, 32);
    for terms in [3, 255, 256, 259, 515] {
        let mut numbers = Numbers(terms as u64);
        let (delta, r): (Vec<f32>, Vec<f32>) = (numbers.vec(terms * m), numbers.vec(terms * many));
        let first: Vec<f32> = r.chunks(many).flat_map(|r| &r[..few]).copied().collect();
        for kernels in Isa::ALL.into_iter().filter_map(kernels_for::<f32>) {
            let kernels = (kernels, None);
            let wide = simple(kernels, (&delta, m), (&r, many), (terms, 0), None);
            let found = simple(kernels, (&delta, m), (&first, few), (terms, 0), None);
            let columns = wide[..m * many].chunks(many).flat_map(|row| &row[..few]);
            let right: Vec<f32> = columns.chain(&wide[m * many..]).copied().collect();
            assert_eq!(found, right, "{terms} terms");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_different_lengths_have_the_sums_of_their_vectors_in_order(
        lengths in proptest::collection::vec(prop_oneof![0..4usize, 0..90usize], 1..9),
        lags in [0..4usize, 0..4usize],
        (m, n, gap) in (1..40usize, 1..40usize, 0..3usize),
        seed in any::<u64>(),
    ) {
        prop_assume!(lengths.iter().any(|&n| n > 0));
        let x = Ragged::new(lengths, 5);
        let (steps, rows) = (x.lengths[0], x.lengths.len());
        let mut numbers = Numbers(seed);
        let room = (steps + 5) * rows;
        let (delta, r): (Vec<f32>, Vec<f32>) = (numbers.vec(room * (m + gap)), numbers.vec(room * (n + gap)));
        let dense = (x.gathered(lags[0], &delta, (m, gap)), x.gathered(lags[1], &r, (n, gap)));
        let terms = x.lengths.iter().sum();
        let all = Isa::ALL.into_iter().filter_map(|isa| Some((kernels_for::<f32>(isa)?, None)));
        for set in all.chain(units().map(|(kernels, unit)| (kernels, Some(unit)))) {
            let found = simple(set, (&delta, m), (&r, n), (steps, gap), Some((&x, lags)));
            let expected = simple(set, (&dense.0, m), (&dense.1, n), (terms, 0), None);
            prop_assert_eq!(found, expected, "{} {:?}", set.0.isa, set.1);
        }
    }
}
