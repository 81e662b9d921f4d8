//! How long does one sample take, and how much does a batch of rows a call save? LSTMs and the zoo's keepwrite, samples one
//! after another; the throughput is in rows.
//!
//!     cargo bench -p retrograd-bench --bench stepper -- --quick

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use retrograd_bench::cells;
use retrograd_bench::stream::SampleStream;
use retrograd_graph::Options;

fn samples(c: &mut Criterion) {
    for name in ["lstm", "keepwrite"] {
        let mut group = c.benchmark_group(format!("stepper/{name}"));
        for (hidden, rows) in [(16, 1), (64, 1), (128, 1), (64, 8), (128, 32)] {
            let cell = cells::find(name, hidden).expect("a cell");
            let mut stream =
                SampleStream::new(&cell, &Options::default(), rows).expect("it compiles");
            group.throughput(Throughput::Elements(rows as u64));
            let shape = format!("{hidden}x{rows}");
            group.bench_function(BenchmarkId::from_parameter(shape), |b| {
                b.iter(|| stream.step());
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    targets = samples
}
criterion_main!(benches);
