//! Runs in two halves: the results of one, for any engine and any number of threads.

use retrograd::{Batch, Cell, Cotangents, Engine, Extent, Sgd, Trainer, zoo};
use retrograd_tape::InputRole;

/// Numbers without a pattern, of the order of 1.
fn numbers(n: usize, seed: usize) -> Vec<f64> {
    let number = |i: usize| (0.7 * (i + 13 * seed) as f64 + 0.3).sin();
    (0..n).map(number).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// A forecaster of every cell of the zoo, with its name.
fn forecasters() -> Vec<(&'static str, Cell)> {
    let of = |name| {
        let entry = zoo::find(name).expect("it is in the zoo");
        Some((name, zoo::forecaster(entry, 2, 8).ok()?))
    };
    zoo::names().filter_map(of).collect()
}

fn batch(cell: &Cell, extent: Extent) -> Batch<f32> {
    let n = extent.steps * extent.rows;
    let batch = Batch::new(extent)
        .with("x", single(&numbers(2 * n, 1)))
        .with("next", single(&numbers(2 * n, 2)));
    let inputs = cell.tape().inputs().iter();
    let of_rows = inputs.filter(|i| i.role == InputRole::Static);
    of_rows.fold(batch, |batch, input| {
        let n = input.ty.numbers(extent.steps, extent.rows);
        batch.with(&input.name, single(&numbers(n, 3)))
    })
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// By any number of threads, halves have the same bits, and on the tape those of a step. Compiled, a step is another program:
/// nobody gives it cotangents of outputs. Its products may be stacked otherwise, and columns that do not fill a register are
/// summed in an order of their own, so that sums of some tens of terms differ by their roundings.
#[test]
fn training_in_two_halves_gives_the_gradients_of_steps() {
    let extent = Extent::steps(9).rows(3);
    for (name, cell) in forecasters() {
        for engine in Engine::ALL {
            // Plain descent at rate 1: what a parameter changes by is its gradient.
            let build = |threads| {
                let builder = Trainer::builder(cell.clone(), Sgd::new(1.0)).clip(0.5);
                let builder = builder.engine(engine).seed(3).threads(threads);
                builder.build().unwrap()
            };
            let (mut whole, mut halves, mut alone) = (build(1), build(4), build(1));
            let off = match engine {
                Engine::Tape => 0.0,
                _ => 64.0 * f32::EPSILON,
            };
            for step in 0..3 {
                let what = format!("{name}, {engine}, step {step}");
                let batch = batch(&cell, extent);
                let report = whole.step(&batch).unwrap();
                let run = |halves: &mut Trainer| {
                    let forward = halves.forward(&batch).unwrap();
                    let loss = forward.loss().expect("it has one");
                    let gradients = forward.backward(&Cotangents::new().with_loss(1.0)).unwrap();
                    (loss, halves.apply([gradients]).unwrap().gradient_norm)
                };
                let (found, same) = (run(&mut halves), run(&mut alone));
                assert_eq!(found, same, "{what}");
                let (all, one) = (halves.parameters(), alone.parameters());
                assert_eq!(bits(all), bits(one), "{what}");
                let close = |x: f64, y: f64| (x - y).abs() <= f64::from(off) * x.abs().max(1.0);
                assert!(
                    close(report.loss, found.0),
                    "{what}: {} {}",
                    report.loss,
                    found.0
                );
                let (x, y) = (report.gradient_norm, found.1);
                assert!(close(x, y), "{what}: {x} {y}");
                for (&x, &y) in whole.parameters().iter().zip(all) {
                    assert!(close(x.into(), y.into()), "{what}: {x} {y}");
                }
            }
        }
    }
}
