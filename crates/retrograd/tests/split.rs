//! Runs in two halves: the same bits as in one, for any engine and any number of threads, whatever runs in between.

use retrograd::{Adam, Batch, Cell, Cotangents, Engine, Extent, Trainer, zoo};
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

#[test]
fn training_in_two_halves_gives_the_bits_of_steps() {
    let extent = Extent::steps(9).rows(3);
    for (name, cell) in forecasters() {
        for engine in Engine::ALL {
            let build = |threads| {
                let builder = Trainer::builder(cell.clone(), Adam::new(1e-2)).clip(0.5);
                builder
                    .engine(engine)
                    .seed(3)
                    .threads(threads)
                    .build()
                    .unwrap()
            };
            let (mut whole, mut halves) = (build(1), build(4));
            for step in 0..3 {
                let batch = batch(&cell, extent);
                let report = whole.step(&batch).unwrap();
                let forward = halves.forward(&batch).unwrap();
                assert_eq!(forward.loss(), Some(report.loss), "{name}, {engine}");
                let gradients = forward.backward(&Cotangents::new().with_loss(1.0)).unwrap();
                let update = halves.apply([gradients]).unwrap();
                let what = format!("{name}, {engine}, step {step}");
                assert_eq!(update.gradient_norm, report.gradient_norm, "{what}");
                assert_eq!(
                    bits(halves.parameters()),
                    bits(whole.parameters()),
                    "{what}"
                );
            }
        }
    }
}
