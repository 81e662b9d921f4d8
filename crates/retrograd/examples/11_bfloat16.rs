//! Training with products of bfloat16 numbers, beside training in full.
//!
//!     cargo run --release -p retrograd --example 11_bfloat16        # one seed
//!     cargo run --release -p retrograd --example 11_bfloat16 5      # five
//!
//! The adding problem: of a hundred random numbers two are marked, and their sum is asked for at the end. Guessing the mean has a
//! squared error of 1/6; a solution remembers a number over many steps. Operands of products have 8 bits here, and everything
//! else has 24: parameters, states, sums.

use std::time::Instant;

use retrograd::random::{RngExt, stream};
use retrograd::{Adam, Batch, Cell, Domain, Error, Extent, InputRole, Precision, Trainer, zoo};

const LAG: usize = 100;
const ROWS: usize = 32;
const STEPS: u64 = 2500;
/// The squared error of the mean.
const GUESS: f64 = 1.0 / 6.0;

fn cell() -> Result<Cell, Error> {
    let gru = zoo::find("gru").expect("it is in the zoo");
    Cell::define("adder", |c| {
        let h = gru.layer(c, "", c.input("x", 2), 64);
        let sum = c.dense("sum", 1, [h.last()]);
        let right = c.input_over("right", InputRole::Target, 1, Domain::Row);
        c.loss((sum - right).square().sum());
    })
}

/// Batch number `k`.
fn batch(k: u64, what: &str) -> Batch {
    let mut rng = stream(k, "adding", what);
    let (mut x, mut right) = (vec![0.0; 2 * LAG * ROWS], vec![0.0; ROWS]);
    for (row, right) in right.iter_mut().enumerate() {
        let marks = [rng.random_range(0..LAG / 2), rng.random_range(LAG / 2..LAG)];
        for t in 0..LAG {
            let number = rng.random::<f32>();
            let at = 2 * (t * ROWS + row);
            x[at] = number;
            if marks.contains(&t) {
                x[at + 1] = 1.0;
                *right += number;
            }
        }
    }
    Batch::new(Extent::steps(LAG).rows(ROWS))
        .with("x", x)
        .with("right", right)
}

/// The error on sequences that were not trained on, and the seconds of the training.
fn trained(precision: Precision, seed: u64) -> Result<(f64, f64), Error> {
    let mut trainer = Trainer::builder(cell()?, Adam::new(2e-3))
        .precision(precision)
        .seed(seed)
        .clip(1.0)
        .build()?;
    let start = Instant::now();
    for k in 0..STEPS {
        trainer.step(&batch(seed << 32 | k, "train"))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let tests = (0..20).map(|k| Ok(trainer.evaluate(&batch(k, "test"))?.loss()));
    let errors: Vec<f64> = tests.collect::<Result<_, Error>>()?;
    Ok((errors.iter().sum::<f64>() / errors.len() as f64, seconds))
}

fn main() -> Result<(), Error> {
    let seeds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    for seed in 1..=seeds {
        for precision in Precision::ALL {
            let (error, seconds) = trained(precision, seed)?;
            println!("seed {seed}, {precision:4}: {error:.5} of {GUESS:.3} in {seconds:.1} s");
            assert!(error < GUESS / 10.0, "it has not learned to add");
        }
    }
    Ok(())
}
