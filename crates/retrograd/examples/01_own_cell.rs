//! A cell of your own in thirty lines: equations, and machine code that trains them.
//!
//!     cargo run --release -p retrograd --example 01_own_cell
//!
//! A leaky average with a gate that says how fast it forgets reads a year of hourly temperatures in Seattle, and says after each hour
//! how the next will differ. The year's last weeks are not trained on.

use retrograd::data::{Series, Standardizer, Windows};
use retrograd::random::{ChaCha8Rng, SeedableRng};
use retrograd::{Adam, Batch, Cell, Error, Extent, Trainer};

fn main() -> Result<(), Error> {
    let cell = Cell::define("leaky", |c| {
        let (x, h) = (c.input("x", 1), c.state("h", 16));
        let keep = c.dense("keep", 16, [x, h]).sigmoid();
        let h = c.next(
            h,
            keep * h + (1.0 - keep) * c.dense("new", 16, [x, h]).tanh(),
        );
        let y = x + c.dense("read", 1, [h]); // what there is now, and how it changes
        c.output("y", y);
        c.loss((y - c.target("next", 1)).square().mean());
    })?;
    let text = include_str!("../data/seattle-temps.csv");
    let series = Series::from_csv_str(text, "seattle-temps.csv", None).expect("it is a table");
    let scale = Standardizer::fit(&series, 0..7758).expect("temperatures differ");
    let series = scale.transform(&series).expect("it was measured");
    let windows = Windows::new(&series, 0..7758, 48).expect("the year is long enough");

    let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?; // machine code from here on
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..80 {
        for w in windows
            .batches(32, 24, &mut rng)
            .expect("there are as many")
        {
            let batch = Batch::new(Extent::steps(w.steps).rows(w.batch));
            trainer.step(&batch.with("x", w.input).with("next", w.target))?;
        }
    }
    let rows: Vec<f32> = series.rows()[7758..].iter().map(|&t| t as f32).collect();
    let (x, next) = (rows[..rows.len() - 1].to_vec(), rows[1..].to_vec());
    let steps = x.len();
    let change = x.iter().zip(&next).map(|(a, b)| f64::from(b - a).powi(2));
    let persistence = change.sum::<f64>() / steps as f64;
    let held_out = Batch::new(Extent::steps(steps))
        .with("x", x)
        .with("next", next);
    let loss = trainer.evaluate(&held_out)?.loss();
    println!("squared error, the next hour: {loss:.5}; as the hour before: {persistence:.5}");
    assert!(
        loss < 0.25 * persistence,
        "it has not learned how a day goes"
    );
    Ok(())
}
