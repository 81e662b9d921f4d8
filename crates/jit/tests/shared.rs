//! One compiled cell serves many threads: code is shared, a workspace belongs to one run at a time.

use retrograd_jit::{CompiledCell, Executor, Purpose, Stepper};
use retrograd_tape::Extent;
use retrograd_tape::InputRole;
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
    shared::<Stepper<f32>>();
    shared::<Stepper<f64>>();
}

fn inputs(cell: &CompiledCell<f32>, t: usize, b: usize, seed: usize) -> Vec<Vec<f32>> {
    let number = |i: usize| ((seed * 131 + i) as f32 * 0.37).sin() * 0.5;
    let of = |i: &retrograd_tape::Input| match i.role {
        InputRole::Initial => 0,
        InputRole::Param => i.ty.shape.len(),
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
    let lens = (0..cell.outputs().len()).map(|k| cell.output_len(k, Extent { steps: t, rows: b }));
    let mut own: Vec<Vec<f32>> = lens.map(|n| vec![f32::NAN; n]).collect();
    let mut outputs: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
    executor
        .run(Extent { steps: t, rows: b }, &given, &mut outputs)
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
    let least = first
        .memory(
            Extent {
                steps: 200,
                rows: 4,
            },
            (&[], &[]),
        )
        .expect("no budget")
        .bytes
        / 2;
    first.set_budget(Some(least));
    let right = run(&mut first, 200, 4, 1);
    let mut second = first.clone();
    assert_eq!(second.workspace_bytes(), 0);
    assert_eq!(run(&mut second, 200, 4, 1), right);
    assert!(second.workspace_bytes() <= least);
}

fn stepper() -> Stepper<f32> {
    let tape = read_tape("shared", GRU, &[]).expect("a cell");
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward).expect("it compiles");
    let given = parameters(&cell, 1);
    let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
    cell.stepper(2, &given).expect("it is made")
}

/// Parameters, and nothing for other inputs.
fn parameters(cell: &CompiledCell<f32>, seed: usize) -> Vec<Vec<f32>> {
    let mut given = inputs(cell, 1, 1, seed);
    for (x, i) in given.iter_mut().zip(cell.inputs()) {
        if i.role != InputRole::Param {
            x.clear();
        }
    }
    given
}

/// Bits of the outputs of samples, and of the state after them.
fn samples(stepper: &mut Stepper<f32>, from: usize, n: usize) -> Vec<u32> {
    let mut found = Vec::new();
    for i in from..from + n {
        let x: Vec<f32> = (0..6).map(|k| ((i * 6 + k) as f32).sin()).collect();
        stepper.step(&[&x], &mut []).expect("it fits");
        found.extend(stepper.output(0).iter().map(|x| x.to_bits()));
    }
    let state = stepper.state("h").expect("it has one");
    found.extend(state.iter().map(|x| x.to_bits()));
    found
}

#[test]
fn clones_of_a_stepper_go_on_by_themselves_on_four_threads() {
    let mut first = stepper();
    samples(&mut first, 0, 5);
    let mut right = first.clone();
    let right: Vec<Vec<u32>> = (0..4).map(|i| samples(&mut right, 10 * i, 10)).collect();
    std::thread::scope(|s| {
        for _ in 0..4 {
            let (mut stepper, right) = (first.clone(), &right);
            s.spawn(move || {
                for (i, right) in right.iter().enumerate() {
                    assert!(samples(&mut stepper, 10 * i, 10) == *right);
                }
            });
        }
    });
    assert!(samples(&mut first, 0, 10) == right[0]);
}

#[test]
fn parameters_of_one_stepper_are_not_those_of_its_clones() {
    let tape = read_tape("shared", GRU, &[]).expect("a cell");
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward).expect("it compiles");
    let others = parameters(&cell, 2);
    let others: Vec<&[f32]> = others.iter().map(Vec::as_slice).collect();
    let mut alone = stepper();
    let before = samples(&mut alone, 0, 5);
    alone.reset();
    alone.set_inputs(&others).expect("they fit");
    let after = samples(&mut alone, 0, 5);
    assert!(before != after);

    // Whichever of the two sets them, and also when the other is gone.
    let mut first = stepper();
    let mut second = first.clone();
    first.set_inputs(&others).expect("they fit");
    assert!(samples(&mut first, 0, 5) == after);
    assert!(samples(&mut second, 0, 5) == before);
    let mut third = second.clone();
    drop(second);
    third.reset();
    third.set_inputs(&others).expect("they fit");
    assert!(samples(&mut third, 0, 5) == after);
}
