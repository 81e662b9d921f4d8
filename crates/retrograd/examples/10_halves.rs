//! What a run in two halves costs, for an LSTM: the time of both halves over that of the same program in one run, and the
//! time of `forward`, `backward` and `apply` over that of `step`, which also has no gradients of initial states to compute.
//!
//!     cargo run --release -p retrograd --example 10_halves
//!
//! Both alternate; the least time of each counts.

use std::time::Instant;

use retrograd::jit::{CompiledCell, Purpose};
use retrograd::{Adam, Batch, Cell, Cotangents, Extent, InputRole, Trainer, zoo};

const COLUMNS: usize = 8;

/// The least time in milliseconds of each of two, which alternate.
fn least(times: usize, mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let mut least = [f64::MAX; 2];
    for _ in 0..times + 2 {
        let works: [&mut dyn FnMut(); 2] = [&mut one, &mut other];
        for (least, work) in least.iter_mut().zip(works) {
            let start = Instant::now();
            work();
            *least = least.min(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    (least[0], least[1])
}

fn numbers(n: usize, k: usize) -> Vec<f32> {
    (0..n).map(|i| (0.1 * (i + k) as f32).sin()).collect()
}

/// One program, run as a whole and in halves.
fn of_one_program(
    cell: &Cell,
    extent: Extent,
    times: usize,
) -> Result<(f64, f64), retrograd::Error> {
    let tape = cell.tape();
    let of = |role| {
        let inputs = tape.inputs().iter().filter(move |i| i.role == role);
        inputs.map(|i| i.name.to_string())
    };
    let purpose = Purpose::Gradients {
        given: tape.outputs().iter().map(|o| o.name.to_string()).collect(),
        loss: false,
        wrt: of(InputRole::Param).chain(of(InputRole::Initial)).collect(),
    };
    let compiled = CompiledCell::<f32>::compile(tape, &purpose)?;
    let array = |(k, i): (usize, &retrograd::tape::Input)| match i.role {
        InputRole::Initial => Vec::new(),
        _ => numbers(i.ty.numbers(extent.steps, extent.rows), k),
    };
    let arrays: Vec<Vec<f32>> = tape.inputs().iter().enumerate().map(array).collect();
    let inputs: Vec<&[f32]> = arrays.iter().map(Vec::as_slice).collect();
    let mut all = inputs.clone();
    let one: &[f32] = &[1.0];
    all.extend(tape.outputs().iter().map(|o| match &*o.name {
        "loss" => one,
        _ => &[],
    }));
    let zeros = |k| vec![0.0_f32; compiled.output_len(k, extent)];
    let outputs: Vec<Vec<f32>> = (0..compiled.outputs().len()).map(zeros).collect();
    let (mut of_whole, mut of_halves) = (outputs.clone(), outputs);
    let (mut whole, mut halves) = (compiled.executor(), compiled.executor());
    let own = tape.outputs().len();
    Ok(least(
        times,
        || {
            let mut outputs: Vec<&mut [f32]> = of_whole.iter_mut().map(|o| &mut o[..]).collect();
            whole.run(extent, &all, &mut outputs).expect("it runs");
        },
        || {
            let kept = halves.forward(extent, &inputs).expect("it runs");
            let outputs = of_halves[own..].iter_mut();
            let mut gradients: Vec<&mut [f32]> = outputs.map(|o| &mut o[..]).collect();
            kept.backward(&all, &mut gradients).expect("it runs");
        },
    ))
}

/// A step of training, and its halves.
fn of_training(cell: &Cell, extent: Extent, times: usize) -> Result<(f64, f64), retrograd::Error> {
    let build = || Trainer::builder(cell.clone(), Adam::new(1e-3)).build();
    let (mut whole, mut halves) = (build()?, build()?);
    let n = extent.steps * extent.rows * COLUMNS;
    let batch = Batch::new(extent)
        .with("x", numbers(n, 0))
        .with("next", numbers(n, 1));
    let one = Cotangents::new().with_loss(1.0);
    Ok(least(
        times,
        || {
            whole.step(&batch).expect("a step");
        },
        || {
            let forward = halves.forward(&batch).expect("it runs");
            let gradients = forward.backward(&one).expect("it runs");
            halves.apply([gradients]).expect("a step");
        },
    ))
}

fn main() -> Result<(), retrograd::Error> {
    println!("   H    B    T     run ms  halves ms    ratio    step ms  halves ms    ratio");
    for (h, b, t, times) in [
        (32, 1, 100, 4000),
        (32, 32, 100, 100),
        (128, 1, 100, 400),
        (128, 32, 100, 20),
        (512, 1, 50, 30),
        (512, 32, 50, 6),
    ] {
        let cell = zoo::forecaster(zoo::find("lstm").expect("it is in the zoo"), COLUMNS, h)?;
        let extent = Extent::steps(t).rows(b);
        let (run, halves) = of_one_program(&cell, extent, times)?;
        print!(
            "{h:4} {b:4} {t:4} {run:10.3} {halves:10.3} {:8.3}",
            halves / run
        );
        let (step, halves) = of_training(&cell, extent, times)?;
        println!(" {step:10.3} {halves:10.3} {:8.3}", halves / step);
    }
    Ok(())
}
