//! How long does compiling take, and does it depend on the length of the sequence? Every cell that is known by name, as a
//! forecaster with gradients, H=64: compiled, and its memory laid out for T = 10 and T = 10,000 steps of one row. Then for
//! an LSTM what comes before the first result (compile, and one run) at both lengths beside a later run alone: what
//! is left is compiling, which does not depend on T, and memory touched for the first time, which does.
//!
//! Last, how it grows with a program: independent states, layers of a stack, equations of one step
//! ([`retrograd_tape::families`]). `crates/jit/examples/compile_scaling.rs` says which stage the time goes to.
//!
//!     cargo bench -p retrograd-bench --bench compile_time -- --quick

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use retrograd::{Cell, zoo};
use retrograd_bench::cells;
use retrograd_bench::engine::{JitEngine, Portion, Steps};
use retrograd_bench::work::StepArrays;
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Extent, Tape, families};

/// Every cell of the zoo, with 64 units, the matrix memory with 16.
fn named() -> Vec<(&'static str, Cell)> {
    let units = |e: &zoo::Entry| if e.units() == "D" { 16 } else { 64 };
    zoo::ENTRIES
        .iter()
        .map(|e| (e.name, zoo::forecaster(e, 4, units(e)).expect("a cell")))
        .collect()
}

fn all_cells(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    for (name, cell) in named() {
        for steps in [10, 10_000] {
            group.bench_function(BenchmarkId::new(name, steps), |b| {
                b.iter(|| {
                    let tape = black_box(cell.tape());
                    let compiled =
                        CompiledCell::<f32>::compile(tape, &Purpose::Train).expect("it compiles");
                    compiled
                        .memory(Extent::steps(steps), (&[], &[]))
                        .expect("there is no budget")
                });
            });
        }
    }
    for name in cells::NAMES {
        let cell = cells::find(name, 64).expect("a cell");
        group.bench_function(BenchmarkId::new("stacked", name), |b| {
            b.iter(|| JitEngine::<f32>::new(black_box(&cell), Portion::Whole, 1));
        });
    }
    group.finish();
}

fn lengths(c: &mut Criterion) {
    let mut group = c.benchmark_group("first_result");
    let cell = cells::find("lstm", 16).expect("a cell");
    for steps in [10, 10_000] {
        let work = StepArrays::new(&cell, steps, 1);
        group.bench_function(BenchmarkId::new("compile_and_run", steps), |b| {
            b.iter(|| {
                let mut jit = JitEngine::<f32>::new(&cell, Portion::Whole, 1).expect("it compiles");
                jit.step(&work);
            });
        });
        let mut jit = JitEngine::<f32>::new(&cell, Portion::Whole, 1).expect("it compiles");
        group.bench_function(BenchmarkId::new("run", steps), |b| {
            b.iter(|| jit.step(&work))
        });
    }
    group.finish();
}

type Family = (&'static str, fn(usize) -> Tape, &'static [usize]);

/// Families of programs, and how large.
const FAMILIES: [Family; 3] = [
    ("states", families::states, &[1, 10, 100, 300, 1000]),
    ("layers", families::layers, &[1, 4, 16, 64]),
    ("equations", families::equations, &[10, 100, 1000, 10_000]),
];

fn sizes(c: &mut Criterion) {
    for (name, family, sizes) in FAMILIES {
        let mut group = c.benchmark_group(format!("size/{name}"));
        for &n in sizes {
            let tape = family(n);
            group.bench_function(BenchmarkId::from_parameter(n), |b| {
                b.iter(|| CompiledCell::<f32>::compile(black_box(&tape), &Purpose::Train));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    targets = all_cells, lengths, sizes
}
criterion_main!(benches);
