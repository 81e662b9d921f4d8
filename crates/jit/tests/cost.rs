//! The cost of a plan against counts by hand, and the time that the model derives from it.

use retrograd_graph::plan::cost::{RunShape, Work, tasks};
use retrograd_graph::{Level, Target};
use retrograd_jit::predict::{Machine, run_shape};
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::Extent;
use retrograd_tape::Map;
use retrograd_text::read_tape;

/// An LSTM whose loss is a linear function of h, so that the only products are its own.
const LSTM: &str = "
cell lstm(x[I]; h[H], c[H]) where I=4, H=64
input  = sigmoid(dense[H](x, h))
forget = sigmoid(dense[H](x, h))
cell   = tanh(dense[H](x, h))
output = sigmoid(dense[H](x, h))
c' = forget * c + input * cell
h' = output * tanh(c')
output y = h'
loss sum(h')";

fn compiled(purpose: &Purpose, i: usize, h: usize) -> CompiledCell<f32> {
    let tape = read_tape("lstm", LSTM, &[("I", i), ("H", h)]).expect("the cell is right");
    CompiledCell::compile(&tape, purpose).expect("it compiles")
}

/// All work of a run: how often, and what.
fn all(cell: &CompiledCell<f32>, t: usize, b: usize) -> Vec<(usize, Work)> {
    let leaves = cell.plan().leaves().into_iter();
    let tasks = leaves.flat_map(|leaf| tasks(cell.plan(), leaf, run(cell, t, b)));
    tasks.map(|task| (task.times, task.work)).collect()
}

fn run(cell: &CompiledCell<f32>, t: usize, b: usize) -> RunShape {
    let memory = cell
        .memory(Extent { steps: t, rows: b }, (&[], &[]))
        .expect("there is no budget");
    run_shape(Extent { steps: t, rows: b }, memory.layout())
}

fn flops(work: &[(usize, Work)]) -> usize {
    work.iter().map(|(times, w)| times * w.flops()).sum()
}

#[test]
fn an_lstm_has_the_flops_of_its_equations() {
    for (i, h, t, b) in [(4, 64, 12, 1), (7, 32, 5, 3), (16, 48, 9, 40)] {
        // Forward: z = W x + U h, [4H] from [I] and [H], a multiply-add counting two.
        let forward = 2 * 4 * h * (i + h) * t * b;
        let counted = flops(&all(&compiled(&Purpose::Forward, i, h), t, b));
        assert_eq!(counted, forward, "forward, I={i} H={h} T={t} B={b}");
        // Backward: dW and dU as many again, and the cotangent of h, Uᵀ δ.
        let backward = 2 * 4 * h * (i + h) * t * b + 2 * 4 * h * h * t * b;
        let counted = flops(&all(&compiled(&Purpose::Train, i, h), t, b));
        assert_eq!(counted, forward + backward, "I={i} H={h} T={t} B={b}");
    }
}

#[test]
fn an_lstm_has_one_step_product_a_slice_and_direction() {
    let (t, b) = (10, 40);
    let work = all(&compiled(&Purpose::Train, 8, 32), t, b);
    let rows = |n: usize| {
        let calls = work.iter().filter_map(|(times, w)| match w {
            Work::Product { rows, .. } if *rows == n => Some(times),
            _ => None,
        });
        calls.sum::<usize>()
    };
    // Two slices of 20 rows, each for itself: in every step U h and Uᵀ δ, and W x right before.
    assert_eq!(rows(20), 2 * 3 * t);
    let activations = work.iter().filter_map(|(times, w)| match w {
        Work::Activate { rows, len, .. } => Some(times * rows * len),
        _ => None,
    });
    let emitted = work.iter().filter_map(|(times, w)| match w {
        Work::LaneLoop {
            rows, lanes, ops, ..
        } => {
            let activates = |m: &&Map| matches!(m, Map::Tanh | Map::Sigmoid);
            Some(times * rows * lanes * ops.iter().filter(activates).count())
        }
        _ => None,
    });
    // Each of the four gates once and tanh(c') forward and, made again, backward: in kernels or in emitted code.
    let (kernels, emitted) = (activations.sum::<usize>(), emitted.sum::<usize>());
    // Loops as wide as kernels compute all of them.
    assert_eq!(kernels == 0, Target::host().level() >= Level::Avx2);
    assert_eq!(kernels + emitted, 6 * 32 * t * b, "{kernels} by kernels");
}

#[test]
fn weights_beyond_the_cache_are_gone_through_for_more_rows_at_a_time() {
    let (t, b) = (10, 80);
    let work = all(&compiled(&Purpose::Train, 1024, 1024), t, b);
    let mut rows: Vec<(usize, usize)> = work
        .iter()
        .filter_map(|(times, w)| match w {
            Work::Product { rows, .. } => Some((*rows, *times)),
            _ => None,
        })
        .collect();
    rows.sort_unstable();
    // As above, with slices of up to 64 rows: 16 MiB of weights a step and more.
    assert_eq!(rows, [(40, 2 * t); 3]);
}

#[test]
fn predicted_time_grows_with_the_work_and_falls_with_the_machine() {
    let cell = compiled(&Purpose::Train, 32, 32);
    let machine = Machine {
        peak_gflops: 100.0,
        cache_gbs: 80.0,
        memory_gbs: 10.0,
        product: 1.0,
        outer: 1.1,
    };
    let time = |m: &Machine, t, b| m.run_seconds::<f32>(cell.plan(), run(&cell, t, b));
    let one = time(&machine, 100, 8);
    let (longer, wider) = (time(&machine, 200, 8), time(&machine, 100, 16));
    assert!(longer > 1.8 * one && longer < 2.4 * one, "{longer} {one}");
    assert!(wider > 1.2 * one && wider < 2.4 * one, "{wider} {one}");
    let faster = Machine {
        peak_gflops: 200.0,
        cache_gbs: 160.0,
        memory_gbs: 20.0,
        ..machine
    };
    let half = time(&faster, 100, 8);
    assert!((2.0 * half / one - 1.0).abs() < 1e-9, "{half} {one}");
    // No plan runs above the peak.
    let least = flops(&all(&cell, 100, 8)) as f64 / 100e9;
    assert!(one > least, "{one} {least}");
}
