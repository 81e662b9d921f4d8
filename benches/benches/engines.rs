//! How much faster is compiled code than the interpreted tape? The same training step on both, per cell and shape; the
//! throughput is in steps of time (T a training step).
//!
//!     cargo bench -p retrograd-bench --bench engines -- --quick

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use retrograd_bench::cells;
use retrograd_bench::engine::{JitEngine, Portion, Steps, TapeEngine};
use retrograd_bench::shape::HxBxT;
use retrograd_bench::work::StepArrays;

/// Streaming, a small batch, and one where products are all.
const SHAPES: [&str; 3] = ["32x1x100", "64x16x50", "128x32x20"];

fn engines(c: &mut Criterion) {
    for name in cells::NAMES {
        let mut group = c.benchmark_group(format!("engines/{name}"));
        for shape in SHAPES {
            let HxBxT {
                hidden,
                rows,
                steps,
            } = shape.parse().expect("a shape");
            let cell = cells::find(name, hidden).expect("a cell");
            let work = StepArrays::new(&cell, steps, rows);
            group.throughput(Throughput::Elements(steps as u64));
            let mut jit = JitEngine::<f32>::new(&cell, Portion::Whole, 1).expect("it compiles");
            group.bench_function(BenchmarkId::new("jit", shape), |b| {
                b.iter(|| jit.step(black_box(&work)));
            });
            let mut tape = TapeEngine::<f32>::new(&cell);
            group.bench_function(BenchmarkId::new("tape", shape), |b| {
                b.iter(|| tape.step(black_box(&work)));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    targets = engines
}
criterion_main!(benches);
