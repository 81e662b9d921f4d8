//! One compiled cell serves many threads: code is shared, a workspace belongs to one run at a time.

use retrograd_jit::{CompiledCell, Executor, Purpose};
use retrograd_tape::Role;
use retrograd_text::read_tape;

const GRU: &str = "cell gru(x[3]; h[20])
z = sigmoid(dense(x, h))
r = sigmoid(dense(x, h))
h' = z * h + (1 - z) * tanh(dense(x, r * h))
output y = dense[2](h')
target next[2]
loss mean(square(y - next))
";

#[test]
fn a_cell_and_what_runs_it_go_to_other_threads_and_are_cloned() {
    fn shared<X: Send + Sync + Clone + std::fmt::Debug>() {}
    shared::<CompiledCell<f32>>();
    shared::<CompiledCell<f64>>();
    shared::<Executor<f32>>();
    shared::<Executor<f64>>();
}

fn inputs(cell: &CompiledCell<f32>, t: usize, b: usize, seed: usize) -> Vec<Vec<f32>> {
    let number = |i: usize| ((seed * 131 + i) as f32 * 0.37).sin() * 0.5;
    let of = |i: &retrograd_tape::Input| match i.role {
        Role::Initial => 0,
        Role::Param => i.ty.shape.len(),
        _ => t * b * i.ty.shape.len(),
    };
    let lens = cell.inputs().iter().map(of);
    lens.map(|n| (0..n).map(number).collect()).collect()
}

/// Bits of all outputs of a run.
fn run(executor: &mut Executor<f32>, t: usize, b: usize, seed: usize) -> Vec<Vec<u32>> {
    let cell = executor.cell().clone();
    let given = inputs(&cell, t, b, seed);
    let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
    let lens = (0..cell.outputs().len()).map(|k| cell.output_len(k, t, b));
    let mut own: Vec<Vec<f32>> = lens.map(|n| vec![f32::NAN; n]).collect();
    let mut outputs: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
    executor
        .run(t, b, &given, &mut outputs)
        .expect("the arrays fit");
    own.iter()
        .map(|a| a.iter().map(|x| x.to_bits()).collect())
        .collect()
}

#[test]
fn four_threads_run_one_cell_at_once_and_get_the_bits_of_one() {
    let tape = read_tape("shared", GRU, &[]).expect("a cell");
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Train).expect("it compiles");
    // Each thread has sizes and numbers of its own, so that a workspace that two share shows.
    let sizes = [(40, 1), (7, 33), (100, 5), (13, 12)];
    let alone: Vec<_> = (sizes.iter().enumerate())
        .map(|(i, &(t, b))| run(&mut cell.executor(), t, b, i))
        .collect();
    let barrier = std::sync::Barrier::new(sizes.len());
    std::thread::scope(|s| {
        for (i, (&(t, b), alone)) in sizes.iter().zip(&alone).enumerate() {
            let (cell, barrier) = (cell.clone(), &barrier);
            s.spawn(move || {
                let mut executor = cell.executor();
                executor.cut_into(1 + i % 3);
                barrier.wait();
                for _ in 0..20 {
                    assert!(run(&mut executor, t, b, i) == *alone, "T={t} B={b}");
                }
            });
        }
    });
}

#[test]
fn a_cloned_executor_has_the_settings_and_no_workspace() {
    let tape = read_tape("shared", GRU, &[]).expect("a cell");
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Train).expect("it compiles");
    let mut first = cell.executor();
    let least = first.memory(200, 4, (&[], &[])).expect("no budget").bytes / 2;
    first.set_budget(Some(least));
    let right = run(&mut first, 200, 4, 1);
    let mut second = first.clone();
    assert_eq!(second.workspace_bytes(), 0);
    assert_eq!(run(&mut second, 200, 4, 1), right);
    assert!(second.workspace_bytes() <= least);
}
