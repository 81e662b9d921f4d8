//! Products of bfloat16 operands, bit for bit against sums written out in scalars: those of VDPBF16PS on every instruction
//! set, and those of TDPBF16PS where the machine has tiles.

use retrograd_kernels::{
    ADD, BACKWARD, Bf16Unit, Block, BlockMut, Isa, Kernels, OuterArgs, OuterRhs, PieceMut, Weights,
    kernels_for,
};

/// Terms of a block, whose sums are one chain.
const K_BLOCK: usize = 512;

/// Every instruction set with each of its units.
fn all() -> Vec<(&'static Kernels<f32>, Bf16Unit)> {
    let units = [Bf16Unit::Emulated, Bf16Unit::Dot, Bf16Unit::Tiles];
    let of = |isa: Isa| {
        let there = units.into_iter().filter(move |u| u.available(isa));
        there.filter_map(move |u| Some((kernels_for::<f32>(isa)?, u)))
    };
    Isa::ALL.into_iter().flat_map(of).collect()
}

struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 33) as usize % n
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
    /// Mostly numbers around 1, some whose products lie around the least normal number, and some zeros and denormal ones.
    fn number(&mut self, tiny: bool) -> f32 {
        let x = self.unit();
        match self.below(40) {
            0 => 0.0,
            1 => -0.0,
            2 => x * 1e-40,
            3..=20 if tiny => x * f32::powi(2.0, -63 - self.below(3) as i32),
            3 if self.below(200) == 0 => x * 1e38,
            _ => x,
        }
    }
    fn numbers(&mut self, n: usize, tiny: bool) -> Vec<f32> {
        (0..n).map(|_| self.number(tiny)).collect()
    }
}

fn zero_if_denormal(x: f32) -> f32 {
    match x.abs() < f32::MIN_POSITIVE {
        true => 0.0_f32.copysign(x),
        false => x,
    }
}

/// By the neighbours: the nearer one, or the one whose last bit is 0.
fn round(x: f32) -> f32 {
    let x = zero_if_denormal(x);
    let upper = x.to_bits() & 0xffff_0000;
    let lower = x.to_bits() & 0xffff;
    let up = lower > 0x8000 || lower == 0x8000 && upper & 0x1_0000 != 0;
    f32::from_bits(if up { upper + 0x1_0000 } else { upper })
}

/// a b + c, rounded to 24 bits whatever the exponent, and 0 if that is tiny.
fn step(a: f32, b: f32, c: f32) -> f32 {
    let sum = a.mul_add(b, c);
    let exact = f64::from(a) * f64::from(b) + f64::from(c);
    let least = f64::from(f32::MIN_POSITIVE);
    // 24 bits below the least normal number are half as far apart as single precision has them.
    let tiny = exact.abs() < least && {
        let spacing = f64::powi(2.0, -150);
        (exact.abs() / spacing).round_ties_even() * spacing < least
    };
    match tiny {
        true => 0.0_f32.copysign(sum),
        false => sum,
    }
}

/// What a sum starts from.
#[derive(Clone, Copy, Debug)]
enum Start {
    Zero,
    Bias(f32),
    Old(f32),
}

/// The sum of products in the order of a unit; `term` gives both factors.
fn sum(
    unit: Bf16Unit,
    k: usize,
    block: usize,
    start: Start,
    term: impl Fn(usize) -> [f32; 2],
) -> f32 {
    let at = |p: usize| match p < k {
        true => term(p).map(round),
        false => [0.0; 2],
    };
    let mut c = match start {
        Start::Zero => 0.0,
        Start::Bias(x) | Start::Old(x) => x,
    };
    for k0 in (0..k).step_by(block) {
        let end = k.min(k0 + block);
        if unit == Bf16Unit::Tiles {
            for first in (k0..end).step_by(32) {
                let mut chains = [0.0; 2];
                for p in first..first + 32 {
                    let [a, b] = if p < end { at(p) } else { [0.0; 2] };
                    chains[p % 2] = step(a, b, chains[p % 2]);
                }
                let both = zero_if_denormal(chains[0] + chains[1]);
                c = zero_if_denormal(zero_if_denormal(c) + both);
            }
            continue;
        }
        let first = k0 == 0;
        let mut chain = match start {
            Start::Bias(x) if first => zero_if_denormal(x),
            _ => 0.0,
        };
        for p in (k0..end).step_by(2) {
            for q in [p + 1, p] {
                let [a, b] = if q < end { at(q) } else { [0.0; 2] };
                chain = step(a, b, chain);
            }
        }
        let adds = !first || matches!(start, Start::Old(_));
        c = if adds { c + chain } else { chain };
    }
    c
}

#[track_caller]
fn same(found: f32, right: f32, what: &dyn Fn() -> String) {
    let equal = found.to_bits() == right.to_bits() || found.is_nan() && right.is_nan();
    assert!(equal, "{}: {found:e} is not {right:e}", what());
}

/// A product of a case against the sums, with W in blocks that begin anywhere.
fn product(r: &mut Random, (m, k, n): (usize, usize, usize)) {
    let tiny = r.below(3) == 0;
    let transposed = r.below(2) == 0;
    let (rows, cols) = if transposed { (k, n) } else { (n, k) };
    let w = r.numbers(rows * cols, tiny);
    let (lda, ldc) = (k + r.below(3), n + r.below(3));
    let (a, bias) = (r.numbers(m * lda, tiny), r.numbers(n, tiny));
    let old = r.numbers(m * ldc, tiny);
    let (row, col) = (r.below(rows), r.below(cols));
    let block = |row: usize, col: usize, rows: usize, cols_of: usize| Block {
        ptr: w.as_ptr().wrapping_add(row * cols + col),
        ld: cols,
        row,
        col,
        rows,
        cols: cols_of,
    };
    let blocks = [
        block(0, 0, row, col),
        block(0, col, row, cols - col),
        block(row, 0, rows - row, col),
        block(row, col, rows - row, cols - col),
    ];
    let how = r.pick(&[0, 1, 2]);
    for (kernels, unit) in all() {
        let mut packed = vec![f32::NAN; kernels.packed_len_of(unit, rows, cols, transposed)];
        let mut weights = Weights {
            rows,
            cols,
            transposed,
            blocks: blocks.as_ptr(),
            n_blocks: blocks.len(),
            unit: Some(unit),
            packed: std::ptr::null(),
        };
        // SAFETY: blocks and packing are as long as the kernels demand.
        unsafe { (kernels.pack)(&weights, packed.as_mut_ptr()) };
        weights.packed = packed.as_ptr();
        let mut c = old.clone();
        let backward = if r.below(2) == 0 { BACKWARD } else { 0 };
        // SAFETY: so are A, C and the bias.
        unsafe {
            let (a, c) = (a.as_ptr(), c.as_mut_ptr());
            match how {
                2 => (kernels.product_from)(&weights, m, a, lda, bias.as_ptr(), c, ldc, backward),
                how => (kernels.product)(&weights, m, a, lda, c, ldc, backward | [0, ADD][how]),
            }
        }
        for i in 0..m {
            for j in 0..ldc {
                let (found, before) = (c[i * ldc + j], old[i * ldc + j]);
                let what = || {
                    let isa = kernels.isa;
                    format!("{isa} {unit:?} {m}×{k}×{n} {transposed} {how} at {i}, {j}")
                };
                if j >= n {
                    same(found, before, &what);
                    continue;
                }
                let start = match how {
                    0 => Start::Zero,
                    1 => Start::Old(before),
                    _ => Start::Bias(bias[j]),
                };
                let right = sum(unit, k, K_BLOCK, start, |p| {
                    [
                        a[i * lda + p],
                        w[if transposed {
                            p * cols + j
                        } else {
                            j * cols + p
                        }],
                    ]
                });
                same(found, right, &what);
            }
        }
    }
}

#[test]
fn products_are_the_sums_of_their_unit_bit_for_bit() {
    let mut r = Random(0x1234_5678_9abc_def1);
    for m in [1, 2, 3, 4, 5, 11, 12, 13, 15, 16, 17, 31, 33] {
        for _ in 0..6 {
            let k = r.pick(&[1, 2, 3, 7, 16, 31, 32, 33, 64, 65, 129]);
            let n = r.pick(&[1, 3, 8, 15, 16, 17, 31, 32, 33, 65, 100, 130]);
            product(&mut r, (m, k, n));
        }
    }
}

#[test]
fn products_go_over_blocks_of_terms_and_groups_of_rows() {
    let mut r = Random(0x2234_5678_9abc_def1);
    for (m, k, n) in [
        (1, 1100, 40),
        (2, 512, 33),
        (70, 513, 20),
        (130, 1030, 33),
        (65, 33, 64),
    ] {
        product(&mut r, (m, k, n));
    }
}

#[test]
fn infinities_and_nan_come_out() {
    for (kernels, unit) in all() {
        let w = [1.0, f32::INFINITY, f32::NAN, 3.0e38, 2.0, 1.0, 1.0, 3.0e38];
        let block = Block {
            ptr: w.as_ptr(),
            ld: 4,
            row: 0,
            col: 0,
            rows: 2,
            cols: 4,
        };
        let mut packed = vec![0.0; kernels.packed_len_of(unit, 2, 4, true)];
        let mut weights = Weights {
            rows: 2,
            cols: 4,
            transposed: true,
            blocks: &block,
            n_blocks: 1,
            unit: Some(unit),
            packed: std::ptr::null(),
        };
        let mut c = [0.0; 4];
        // SAFETY: all arrays are as long as they are said to be.
        unsafe {
            (kernels.pack)(&weights, packed.as_mut_ptr());
            weights.packed = packed.as_ptr();
            (kernels.product)(&weights, 1, [1.0, 2.0].as_ptr(), 2, c.as_mut_ptr(), 4, 0);
        }
        assert_eq!(c[0], 5.0);
        assert_eq!(c[1], f32::INFINITY);
        assert!(c[2].is_nan());
        assert_eq!(c[3], f32::INFINITY);
    }
}

/// A NaN keeps something in its upper half, and that of all ones does not overflow, also where a term has no partner.
#[test]
fn any_nan_comes_out_of_a_product() {
    for (kernels, unit) in all() {
        for bits in [0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0xffff_ffff] {
            for k in [1, 2, 3, 17] {
                let (nan, ones) = (f32::from_bits(bits), vec![1.0; k]);
                let mut with_nan = ones.clone();
                with_nan[k - 1] = nan;
                for (a, w) in [(&ones, &with_nan), (&with_nan, &ones)] {
                    for transposed in [false, true] {
                        let (rows, cols) = if transposed { (k, 1) } else { (1, k) };
                        let block = Block {
                            ptr: w.as_ptr(),
                            ld: cols,
                            row: 0,
                            col: 0,
                            rows,
                            cols,
                        };
                        let n = kernels.packed_len_of(unit, rows, cols, transposed);
                        let mut packed = vec![0.0; n];
                        let mut weights = Weights {
                            rows,
                            cols,
                            transposed,
                            blocks: &block,
                            n_blocks: 1,
                            unit: Some(unit),
                            packed: std::ptr::null(),
                        };
                        let mut c = [0.0];
                        // SAFETY: block, packing, A and C are as long as the kernels demand.
                        unsafe {
                            (kernels.pack)(&weights, packed.as_mut_ptr());
                            weights.packed = packed.as_ptr();
                            (kernels.product)(&weights, 1, a.as_ptr(), k, c.as_mut_ptr(), 1, 0);
                        }
                        assert!(c[0].is_nan(), "{unit:?}, {bits:x}, {k} terms: {}", c[0]);
                    }
                }
            }
        }
    }
}

/// A weight gradient of a case against the sums, with results in blocks, and Σ δ, which is not rounded.
fn outer(r: &mut Random, (steps, rows): (usize, usize), (m, n): (usize, usize), tabled: bool) {
    let k = steps * rows;
    let (delta, x) = (r.numbers((k + 1) * m, false), r.numbers((k + 1) * n, false));
    let add = r.below(2) == 0;
    let old = r.numbers(m * n + m, false);
    let (row, col) = (r.below(m), r.below(n));
    let starts: Vec<i64> = (0..=steps as i64).map(|t| t * rows as i64).collect();
    for (kernels, unit) in all() {
        let mut found = old.clone();
        let (result, bias) = found.split_at_mut(m * n);
        let base = result.as_mut_ptr();
        let block = |row: usize, col: usize, rows: usize, cols: usize| BlockMut {
            ptr: base.wrapping_add(row * n + col),
            ld: n,
            row,
            col,
            rows,
            cols,
        };
        let blocks = [
            block(0, 0, row, col),
            block(0, col, row, n - col),
            block(row, 0, m - row, col),
            block(row, col, m - row, n - col),
        ];
        let dst: Vec<_> = blocks.into_iter().filter(|b| b.rows * b.cols > 0).collect();
        let side = OuterRhs {
            ptr: x.as_ptr(),
            step_stride: rows * n,
            row_stride: n,
            lag: 0,
            n,
            dst: dst.as_ptr(),
            n_dst: dst.len(),
        };
        let piece = PieceMut {
            ptr: bias.as_mut_ptr(),
            start: 0,
            len: m,
        };
        let args = OuterArgs {
            delta: delta.as_ptr(),
            step_stride: rows * m,
            row_stride: m,
            lag: 0,
            m,
            steps,
            rows,
            starts: if tabled {
                starts.as_ptr()
            } else {
                std::ptr::null()
            },
            rhs: &side,
            n_rhs: 1,
            bias: &piece,
            n_bias: 1,
            unit: Some(unit),
            add,
        };
        let mut scratch = vec![f32::NAN; kernels.outer_scratch_len_of(unit, k, n, dst.len())];
        let cut = r.below(m + 1);
        // SAFETY: everything is as long as it is said to be.
        unsafe {
            (kernels.outer)(&args, 0, cut, scratch.as_mut_ptr());
            (kernels.outer)(&args, cut, m, scratch.as_mut_ptr());
        }
        for i in 0..m {
            for j in 0..n {
                let start = if add {
                    Start::Old(old[i * n + j])
                } else {
                    Start::Zero
                };
                let right = sum(unit, k, K_BLOCK, start, |p| {
                    [delta[p * m + i], x[p * n + j]]
                });
                let isa = kernels.isa;
                let what = || format!("{isa} {unit:?} {steps}·{rows} {m}×{n} at {i}, {j}");
                let found = found[i * n + j];
                // Of no terms: what was there, but for the sign of a zero.
                if k == 0 {
                    assert_eq!(found, right, "{}", what());
                    continue;
                }
                same(found, right, &what);
            }
            let terms = || (0..k).map(|p| f64::from(delta[p * m + i]));
            let before = if add { f64::from(old[m * n + i]) } else { 0.0 };
            let (right, size) = (
                before + terms().sum::<f64>(),
                terms().map(f64::abs).sum::<f64>(),
            );
            let off = (f64::from(found[m * n + i]) - right).abs();
            let most = (k + 1) as f64 * f64::from(f32::EPSILON) * (size + before.abs());
            assert!(off <= most, "Σ δ: {off:e} > {most:e}");
        }
    }
}

#[test]
fn weight_gradients_are_the_sums_of_their_unit_bit_for_bit() {
    let mut r = Random(0x3234_5678_9abc_def1);
    for (steps, rows) in [
        (0, 3),
        (1, 1),
        (3, 1),
        (5, 3),
        (16, 2),
        (33, 1),
        (7, 75),
        (3, 400),
    ] {
        for _ in 0..3 {
            let m = r.pick(&[1, 2, 11, 13, 16, 17, 40, 70]);
            let n = r.pick(&[1, 5, 16, 31, 32, 33, 70]);
            let tabled = r.below(2) == 0;
            outer(&mut r, (steps, rows), (m, n), tabled);
        }
    }
}
