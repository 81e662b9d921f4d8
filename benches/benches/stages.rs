//! How fast is each stage of a step alone? Products with packed and unpacked weights, packing, activations over gate
//! blocks, weight gradients, and the optimiser. Throughput in FLOPs (a multiply-add counts two) or elements.
//!
//!     cargo bench -p retrograd-bench --bench stages -- --quick

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use retrograd::optim::{Adam, OptimizerState, Sgd};
use retrograd_kernels::{
    Activation, AlignedBuffer, BlockMut, BlockSlice, Isa, Kernels, OuterArgs, OuterRhs, Packed,
    PieceMut, SimdElement, kernels_for, product_unpacked,
};

/// The kernels that the machine's best target has.
fn widest<T: SimdElement>() -> &'static Kernels<T> {
    kernels_for(Isa::widest()).expect("the machine has it")
}

/// Not zeros, and no subnormals on the way.
fn numbers(n: usize) -> AlignedBuffer<f32> {
    let mut buffer = AlignedBuffer::new(n);
    for (i, x) in buffer.iter_mut().enumerate() {
        *x = ((i * 37 % 101) as f32 - 50.0) / 64.0;
    }
    buffer
}

/// C[m, outer] += A[m, inner] · Wᵀ, W `[outer, inner]`: the gates of m rows.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("product");
    for [m, inner, outer] in [
        [1, 128, 512],
        [32, 32, 128],
        [32, 128, 512],
        [48, 512, 2048],
    ] {
        let (w, a) = (numbers(outer * inner), numbers(m * inner));
        let mut out = numbers(m * outer);
        let part = [BlockSlice::whole(&w, outer, inner)];
        let packed = Packed::new(widest(), outer, inner, false, &part);
        let shape = format!("{m}x{inner}x{outer}");
        group.throughput(Throughput::Elements((2 * m * inner * outer) as u64));
        group.bench_function(BenchmarkId::new("packed", &shape), |b| {
            b.iter(|| packed.product(m, black_box(&a), &mut out, true));
        });
        if m == 1 {
            group.bench_function(BenchmarkId::new("unpacked", &shape), |b| {
                let size = (outer, inner);
                b.iter(|| {
                    product_unpacked(
                        widest(),
                        size,
                        false,
                        &part,
                        m,
                        black_box(&a),
                        &mut out,
                        true,
                    );
                });
            });
        }
    }
    group.finish();
}

/// Panels of W `[outer, inner]`, their allocation included; elements.
fn packing(c: &mut Criterion) {
    let mut group = c.benchmark_group("pack");
    for [outer, inner] in [[128, 32], [512, 128], [2048, 512]] {
        let w = numbers(outer * inner);
        let part = [BlockSlice::whole(&w, outer, inner)];
        group.throughput(Throughput::Elements((outer * inner) as u64));
        for transposed in [false, true] {
            let direction = if transposed { "backward" } else { "forward" };
            group.bench_function(
                BenchmarkId::new(direction, format!("{outer}x{inner}")),
                |b| {
                    b.iter(|| Packed::new(widest(), outer, inner, transposed, black_box(&part)));
                },
            );
        }
    }
    group.finish();
}

/// Over the first three gates of four, as an LSTM's sigmoids lie.
fn activations(c: &mut Criterion) {
    let mut group = c.benchmark_group("activation");
    for (rows, hidden) in [(1, 32), (32, 32), (32, 128)] {
        let (n, ld) = (3 * hidden, 4 * hidden);
        let (x, mut y) = (numbers(rows * ld), numbers(rows * ld));
        group.throughput(Throughput::Elements((rows * n) as u64));
        for f in Activation::ALL {
            let kernel = widest::<f32>().activation(f);
            group.bench_function(
                BenchmarkId::new(format!("{f:?}"), format!("{rows}x{n}")),
                |b| {
                    // SAFETY: both have `rows` rows of `ld` ≥ n elements.
                    b.iter(|| unsafe {
                        kernel(rows, n, black_box(x.as_ptr()), ld, y.as_mut_ptr(), ld)
                    });
                },
            );
        }
    }
    group.finish();
}

/// Σ δ xᵀ, Σ δ hᵀ and Σ δ over `terms` = T·B: dW, dU and db of four gates.
fn weight_gradients(c: &mut Criterion) {
    let mut group = c.benchmark_group("weight_gradient");
    for (hidden, terms) in [(32, 100), (32, 3200), (128, 3200), (512, 1600)] {
        let (m, n) = (4 * hidden, hidden);
        let (delta, x, h) = (numbers(terms * m), numbers(terms * n), numbers(terms * n));
        let (mut dw, mut du, mut db) = (numbers(m * n), numbers(m * n), numbers(m));
        let whole = |to: &mut AlignedBuffer<f32>| BlockMut {
            ptr: to.as_mut_ptr(),
            ld: n,
            row: 0,
            col: 0,
            rows: m,
            cols: n,
        };
        let to = [whole(&mut dw), whole(&mut du)];
        let rhs = [(&x, &to[0]), (&h, &to[1])].map(|(from, dst)| OuterRhs {
            ptr: from.as_ptr(),
            step_stride: n,
            row_stride: n,
            lag: 0,
            n,
            dst,
            n_dst: 1,
        });
        let bias = [PieceMut {
            ptr: db.as_mut_ptr(),
            start: 0,
            len: m,
        }];
        let args = OuterArgs {
            delta: delta.as_ptr(),
            step_stride: m,
            row_stride: m,
            lag: 0,
            m,
            steps: terms,
            rows: 1,
            starts: std::ptr::null(),
            rhs: rhs.as_ptr(),
            n_rhs: rhs.len(),
            bias: bias.as_ptr(),
            n_bias: bias.len(),
            unit: None,
            add: false,
        };
        let k = widest::<f32>();
        let mut scratch = AlignedBuffer::<f32>::new(k.outer_scratch_len(terms, 2 * n, rhs.len()));
        group.throughput(Throughput::Elements((2 * m * 2 * n * terms) as u64));
        group.bench_function(format!("{m}x{n} twice, K={terms}"), |b| {
            // SAFETY: everything is described as it lies, and nothing overlaps.
            b.iter(|| unsafe { (k.outer)(black_box(&args), 0, m, scratch.as_mut_ptr()) });
        });
    }
    group.finish();
}

/// One pass over all parameters.
fn optimisers(c: &mut Criterion) {
    let mut group = c.benchmark_group("optimiser");
    for n in [10_000, 2_000_000] {
        group.throughput(Throughput::Elements(n as u64));
        let gradient = numbers(n);
        let id = |name| BenchmarkId::new(name, n);
        let mut adam = OptimizerState::<_, f32>::new(Adam::new(1e-3), n).expect("it makes sense");
        let mut parameters = numbers(n);
        group.bench_function(id("adam"), |b| {
            b.iter(|| adam.step(&mut parameters, black_box(&gradient), 1.0));
        });
        let sgd = Sgd::new(1e-3).momentum(0.9);
        let mut sgd = OptimizerState::<_, f32>::new(sgd, n).expect("it makes sense");
        let mut parameters = numbers(n);
        group.bench_function(id("sgd"), |b| {
            b.iter(|| sgd.step(&mut parameters, black_box(&gradient), 1.0));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(300));
    targets = products, packing, activations, weight_gradients, optimisers
}
criterion_main!(benches);
