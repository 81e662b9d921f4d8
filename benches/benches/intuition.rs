//! What does compiling buy in a real study? Every job of `retrograd intuition --quick` by compiled code and by the
//! interpreted tape, one job after the other on one thread.
//!
//! Criterion wants ten rounds, so that a round is a slice of the suite: each of its jobs, all experiments, cells, tasks and
//! lags, but with one seed and a tenth of the training steps or fewer. Compiling counts, which weighs more in short runs: the slice
//! understates what the whole gains.
//!
//!     cargo bench -p retrograd-bench --bench intuition -- --quick

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use retrograd::Engine;
use retrograd_study::memory::Training;
use retrograd_study::{Scale, Study};

/// Training steps of a task, and of a series.
const LEARNED: u64 = 100;
const FORECAST: usize = 50;

fn slice() -> Study {
    let quick = Study::new(Scale::Quick, 1);
    Study {
        flow_seeds: 1,
        memory_seeds: 1,
        next_seeds: 1,
        next_steps: FORECAST,
        training: Training {
            limit: LEARNED,
            ..quick.training
        },
        ..quick
    }
}

fn suite(c: &mut Criterion) {
    let jobs = slice().jobs();
    let mut group = c.benchmark_group("intuition/quick");
    for engine in Engine::ALL {
        group.bench_function(engine.name(), |b| {
            b.iter(|| {
                for job in &jobs {
                    black_box(job.run(engine).expect("it runs"));
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(10));
    targets = suite
}
criterion_main!(benches);
