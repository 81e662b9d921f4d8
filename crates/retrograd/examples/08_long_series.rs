//! A long series, chunk after chunk: what happened chunks ago is still known, because states are carried.
//!
//!     cargo run --release -p retrograd --example 08_long_series
//!
//! A switch is thrown now and then, and seen only at that step; what is to be said at every step is the signal, upside
//! down while the switch is off. Chunks are shorter than the time between two throws, so a cell that begins anew with each
//! chunk has to guess. Truncated back-propagation through time with carried states learns it, first from both.

use retrograd::random::{ChaCha8Rng, RngExt, stream};
use retrograd::{Adam, Batch, Carry, Cell, Error, Extent, Trainer, zoo};

/// Series side by side, and the steps of a chunk.
const ROWS: usize = 16;
const STEPS: usize = 20;
const CHUNKS: usize = 500;

/// The series of all rows, which go on without end.
struct Series {
    rng: ChaCha8Rng,
    on: [bool; ROWS],
}

impl Series {
    fn new(seed: u64) -> Series {
        Series {
            rng: stream(seed, "series", "switches"),
            on: [true; ROWS],
        }
    }

    /// The next steps of all rows, and what is to be said.
    fn next(&mut self, steps: usize) -> Batch<f32> {
        let (mut x, mut said) = (Vec::new(), Vec::new());
        for _ in 0..steps {
            for on in &mut self.on {
                let signal = self.rng.random::<f32>() * 2.0 - 1.0;
                let thrown = self.rng.random::<f32>() < 1.0 / 60.0;
                *on ^= thrown;
                let seen = match (thrown, *on) {
                    (false, _) => 0.0,
                    (true, true) => 1.0,
                    (true, false) => -1.0,
                };
                x.extend([signal, seen]);
                said.push(if *on { signal } else { -signal });
            }
        }
        let batch = Batch::new(Extent::steps(steps).rows(ROWS));
        batch.with("x", x).with("said", said)
    }
}

/// The loss of chunks that were not learned from, each of which begins where the one before ended, or anew.
fn test(trainer: &mut Trainer, carry: &mut Carry, anew: bool) -> Result<f64, Error> {
    let mut series = Series::new(2);
    carry.reset();
    let mut sum = 0.0;
    for _ in 0..50 {
        if anew {
            carry.reset();
        }
        sum += trainer
            .evaluate_carrying(&series.next(STEPS), carry)?
            .loss();
    }
    Ok(sum / 50.0)
}

fn main() -> Result<(), Error> {
    let gru = zoo::find("gru").expect("it is in the zoo");
    let cell = Cell::define("switch", |c| {
        let x = c.input("x", 2);
        let h = gru.layer(c, "", x, 16);
        let y = c.dense("say", 1, [c.dense("wide", 32, [h, x]).tanh()]);
        c.output("y", y);
        c.loss((y - c.target("said", 1)).square().mean());
    })?;
    let mut losses = Vec::new();
    for anew in [true, false] {
        let mut trainer = Trainer::builder(cell.clone(), Adam::new(5e-3))
            .seed(1)
            .build()?;
        let mut carry = trainer.carry(ROWS)?;
        let mut series = Series::new(1);
        for _ in 0..CHUNKS {
            if anew {
                carry.reset();
            }
            trainer.step_carrying(&series.next(STEPS), &mut carry)?;
        }
        let loss = test(&mut trainer, &mut carry, anew)?;
        println!(
            "{}: {loss:.4}",
            if anew {
                "each chunk anew"
            } else {
                "states carried"
            }
        );
        losses.push(loss);
    }
    assert!(losses[1] < 0.5 * losses[0], "{losses:?}");
    Ok(())
}
