//! What does unrolling a recurrence buy? The same training step with every loop over time unrolled by 1, 2, 4 and 8, and by
//! default (today 1, `Unroll::AUTO`), in a stream and in a batch; the throughput is in steps of time.
//!
//!     cargo bench -p retrograd-bench --bench unroll -- --quick

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use retrograd_bench::cells;
use retrograd_bench::engine::{JitEngine, Portion, Steps};
use retrograd_bench::shape::HxBxT;
use retrograd_bench::work::StepArrays;
use retrograd_graph::{Options, Unroll};

/// Two whose recurrence is a product, two whose recurrence is element-wise.
const CELLS: [&str; 4] = ["lstm", "gru", "mingru", "indrnn"];

/// The loop's own work counts most in the first.
const SHAPES: [&str; 3] = ["16x1x200", "32x1x100", "32x32x100"];

fn factors(c: &mut Criterion) {
    let mut factors = vec![("auto".to_owned(), Unroll::AUTO)];
    factors.extend([1, 2, 4, 8].map(|n| {
        let unroll = Unroll::by(n).expect("a factor that there is code for");
        (n.to_string(), unroll)
    }));
    for name in CELLS {
        for shape in SHAPES {
            let HxBxT {
                hidden,
                rows,
                steps,
            } = shape.parse().expect("a shape");
            let mut group = c.benchmark_group(format!("unroll/{name}/{shape}"));
            group.throughput(Throughput::Elements(steps as u64));
            let cell = cells::find(name, hidden).expect("a cell");
            let work = StepArrays::new(&cell, steps, rows);
            for (factor, unroll) in &factors {
                let options = Options::default().with(|o| o.unroll = *unroll);
                let jit = JitEngine::<f32>::with_options(&cell, Portion::Whole, 1, &options);
                let mut jit = jit.expect("it compiles");
                group.bench_function(BenchmarkId::from_parameter(factor), |b| {
                    b.iter(|| jit.step(black_box(&work)));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    targets = factors
}
criterion_main!(benches);
