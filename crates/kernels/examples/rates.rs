//! Rates of the kernels on this machine, one core, f32, beside the machine's own peak:
//!
//!     taskset -c 0 cargo run --release -p retrograd-kernels --example rates
//!
//! Minimum times: the machine may be shared. `--isa avx2` or `--isa portable` measures narrower kernels, `--outer`
//! the outer products only, `--activations` the activations only, `--unpacked` products of one row with weights as they
//! are, `--odd` what one unit more costs an LSTM.

use retrograd_kernels::{
    Activation, AlignedBuffer, BlockMut, BlockSlice, Isa, Kernels, OuterArgs, OuterRhs, PieceMut,
    Weights, kernels_for,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The least time of a run, in seconds, over a quarter of a second; short runs are measured many at once.
fn best(mut f: impl FnMut()) -> f64 {
    let s = Instant::now();
    f();
    let runs = 1 + (2e-5 / s.elapsed().as_secs_f64()) as usize;
    let (start, mut best) = (Instant::now(), f64::MAX);
    while start.elapsed() < Duration::from_millis(250) {
        let s = Instant::now();
        (0..runs).for_each(|_| f());
        best = best.min(s.elapsed().as_secs_f64() / runs as f64);
    }
    best
}

fn numbers(n: usize) -> AlignedBuffer<f32> {
    let mut b = AlignedBuffer::new(n);
    let mut s = 1u32;
    for x in b.iter_mut() {
        s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x = (s >> 8) as f32 / 8_388_608.0 - 1.0;
    }
    b
}

/// FLOP/s of 16 independent chains of fused multiply-adds of 16 lanes.
fn peak() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        use std::arch::x86_64::*;
        const TURNS: usize = 100_000;
        #[target_feature(enable = "avx512f")]
        fn turns(x: f32) -> f32 {
            let (a, b) = (_mm512_set1_ps(x), _mm512_set1_ps(0.5));
            let mut acc = [a; 16];
            for _ in 0..TURNS {
                for x in &mut acc {
                    *x = _mm512_fmadd_ps(a, b, *x);
                }
            }
            let mut sum = acc[0];
            for x in &acc[1..] {
                sum = _mm512_add_ps(sum, *x);
            }
            _mm512_reduce_add_ps(sum)
        }
        let s = best(|| {
            // SAFETY: the machine has AVX-512 F.
            black_box(unsafe { turns(black_box(1e-9)) });
        });
        return Some(2.0 * 16.0 * 16.0 * TURNS as f64 / s);
    }
    None
}

fn report(peak: Option<f64>, what: &str, flops: f64, s: f64) {
    let share = peak.map_or(String::new(), |p| {
        format!("{:5.0} %", 100.0 * flops / s / p)
    });
    println!(
        "{what:40} {:10.3} µs {:7.1} GFLOP/s {share}",
        s * 1e6,
        flops / s / 1e9
    );
}

fn product(
    peak: Option<f64>,
    k: &Kernels<f32>,
    [m, inner, outer]: [usize; 3],
    transposed: bool,
    packed: bool,
) {
    let (rows, cols) = if transposed {
        (inner, outer)
    } else {
        (outer, inner)
    };
    let (w, a, mut c) = (numbers(rows * cols), numbers(m * inner), numbers(m * outer));
    let block = BlockSlice::whole(&w, rows, cols);
    let block = retrograd_kernels::Block {
        ptr: block.data.as_ptr(),
        ld: block.ld,
        row: 0,
        col: 0,
        rows: block.rows,
        cols: block.cols,
    };
    let mut packing = AlignedBuffer::<f32>::new(k.packed_len(rows, cols, transposed));
    let mut weights = Weights {
        rows,
        cols,
        transposed,
        blocks: &block,
        n_blocks: 1,
        unit: None,
        packed: std::ptr::null(),
    };
    let flops = 2.0 * (m * inner * outer) as f64;
    let name = format!(
        "product {m}x{inner}x{outer}{}",
        if transposed { " transposed" } else { "" }
    );
    if packed {
        // SAFETY: one block is W; the packing has its length.
        let s = best(|| unsafe { (k.pack)(&weights, packing.as_mut_ptr()) });
        println!(
            "{:40} {:9.1} µs {:7.1} GB/s read",
            format!("pack {rows}x{cols}"),
            s * 1e6,
            (rows * cols * 4) as f64 / s / 1e9
        );
        weights.packed = packing.as_ptr();
    }
    // SAFETY: A is [m, inner], C [m, outer].
    let s =
        best(|| unsafe { (k.product)(&weights, m, a.as_ptr(), inner, c.as_mut_ptr(), outer, 1) });
    report(
        peak,
        &format!("{name}{}", if packed { "" } else { " unpacked" }),
        flops,
        s,
    );
    let bias = numbers(outer);
    // SAFETY: as above, and the bias has as many elements as C columns.
    let s = best(|| unsafe {
        let (a, c) = (a.as_ptr(), c.as_mut_ptr());
        (k.product_from)(&weights, m, a, inner, bias.as_ptr(), c, outer, 0)
    });
    report(peak, "  from a bias", flops, s);
}

fn outer(peak: Option<f64>, k: &Kernels<f32>, m: usize, n: usize, terms: usize, two: bool) {
    let (d, r, mut w, mut b) = (
        numbers(terms * m),
        numbers(terms * n),
        numbers(m * n),
        numbers(m),
    );
    let mut w2 = numbers(m * n);
    let whole = |p: *mut f32| BlockMut {
        ptr: p,
        ld: n,
        row: 0,
        col: 0,
        rows: m,
        cols: n,
    };
    let dst = [whole(w.as_mut_ptr()), whole(w2.as_mut_ptr())];
    let rhs = [0, 1].map(|i| OuterRhs {
        ptr: r.as_ptr(),
        step_stride: n,
        row_stride: n,
        lag: 0,
        n,
        dst: &dst[i],
        n_dst: 1,
    });
    let bias = [PieceMut {
        ptr: b.as_mut_ptr(),
        start: 0,
        len: m,
    }];
    let n_rhs = if two { 2 } else { 1 };
    let args = OuterArgs {
        delta: d.as_ptr(),
        step_stride: m,
        row_stride: m,
        lag: 0,
        m,
        steps: terms,
        rows: 1,
        starts: std::ptr::null(),
        rhs: rhs.as_ptr(),
        n_rhs,
        bias: bias.as_ptr(),
        n_bias: 1,
        unit: None,
        add: true,
    };
    let mut scratch = AlignedBuffer::<f32>::new(k.outer_scratch_len(terms, n * n_rhs, n_rhs));
    // SAFETY: everything is described as it lies.
    let s = best(|| unsafe { (k.outer)(&args, 0, m, scratch.as_mut_ptr()) });
    report(
        peak,
        &format!("outer {m}x{n}{} K={terms}", if two { " twice" } else { "" }),
        2.0 * (m * n * n_rhs * terms) as f64,
        s,
    );
}

fn products(peak: Option<f64>, k: &Kernels<f32>) {
    for shape in [
        [32, 512, 2048],
        [4, 128, 512],
        [128, 512, 2048],
        [48, 32, 128],
        [13, 128, 512],
    ] {
        product(peak, k, shape, false, true);
    }
    product(peak, k, [32, 2048, 512], true, true);
    one_row(peak, k, &[true, false]);
}

/// Products of one row, with packed weights or as they are, and with a matrix of its own.
fn one_row(peak: Option<f64>, k: &Kernels<f32>, packed: &[bool]) {
    for [inner, outer] in [[512, 2048], [128, 512], [32, 128], [13, 37]] {
        for &packed in packed {
            product(peak, k, [1, inner, outer], false, packed);
            product(peak, k, [1, outer, inner], true, packed);
        }
    }
    for n in [16, 32, 64, 128] {
        let (m, x, mut y) = (numbers(n * n), numbers(n), numbers(n));
        for (transposed, matvec) in [false, true].into_iter().zip(k.matvec) {
            // SAFETY: the matrix is [n, n], both vectors have n elements.
            let s = best(|| unsafe { matvec(n, n, m.as_ptr(), x.as_ptr(), y.as_mut_ptr()) });
            let name = format!(
                "matvec {n}x{n}{}",
                if transposed { " transposed" } else { "" }
            );
            report(peak, &name, 2.0 * (n * n) as f64, s);
        }
    }
}

/// Cycles are those of the peak: a fused multiply-add of 16 lanes a cycle.
fn activation(peak: Option<f64>, k: &Kernels<f32>, f: Activation, [rows, n, ld]: [usize; 3]) {
    let mut x = numbers((rows - 1) * ld + n);
    let mut y = numbers(x.len());
    x.iter_mut().for_each(|x| *x *= 4.0);
    let kernel = k.activation(f);
    let s = best(|| {
        // SAFETY: both have `rows` rows of n elements, ld apart.
        unsafe { kernel(rows, n, x.as_ptr(), ld, black_box(y.as_mut_ptr()), ld) }
    });
    let each = s / (rows * n) as f64;
    let cycles = peak.map_or(String::new(), |p| format!("{:7.2} cycles", each * p / 32.0));
    println!(
        "{:40} {:9.3} ns an element {cycles}",
        format!("{f:?} {rows}x{n} of {ld}"),
        each * 1e9
    );
}

/// The products of an LSTM of one unit more than whole registers, and of as many units as those.
fn odd(peak: Option<f64>, k: &Kernels<f32>) {
    for h in [16, 64, 128] {
        // A sample's: of input and state side by side.
        product(peak, k, [1, 2 * h, 4 * h], false, true);
    }
    for h in [32, 33, 40, 64, 65, 128, 129] {
        for m in [1, 16, 32, 48] {
            product(peak, k, [m, h, 4 * h], false, true);
            product(peak, k, [m, 4 * h, h], true, true);
        }
        outer(peak, k, 4 * h, h, 3200, true);
        activation(peak, k, Activation::Sigmoid, [32, 3 * h, 4 * h]);
        activation(peak, k, Activation::Tanh, [32, h, 4 * h]);
        activation(peak, k, Activation::Tanh, [32, h, h]);
    }
}

fn main() {
    let isa = std::env::args().skip_while(|a| a != "--isa").nth(1);
    let k = match isa.as_deref() {
        Some("avx2") => kernels_for::<f32>(Isa::Avx2).expect("AVX2 and FMA"),
        Some("portable") => kernels_for::<f32>(Isa::Portable).expect("always there"),
        _ => kernels_for::<f32>(Isa::widest()).expect("the machine has it"),
    };
    let peak = peak();
    println!(
        "{}, peak {:.1} GFLOP/s",
        k.isa,
        peak.unwrap_or(f64::NAN) / 1e9
    );
    let only = |what: &str| std::env::args().any(|a| a == what);
    if only("--odd") {
        return odd(peak, k);
    }
    if only("--unpacked") {
        return one_row(peak, k, &[false]);
    }
    if !only("--outer") {
        for f in Activation::ALL {
            for shape in [[32, 96, 128], [1, 96, 96], [32, 384, 512], [1, 8192, 8192]] {
                activation(peak, k, f, shape);
            }
        }
        if only("--activations") {
            return;
        }
        products(peak, k);
    }
    outer(peak, k, 2048, 512, 1600, false);
    outer(peak, k, 512, 128, 3200, true);
    outer(peak, k, 128, 32, 3200, true);
    // One product's weights: terms that fit L2, and that do not.
    for terms in [256, 512, 1024, 3200, 12_800] {
        outer(peak, k, 128, 128, terms, false);
    }
}
