//! What a run in two halves costs: the time of `forward`, `backward` and `apply` over that of `step`, for an LSTM.
//!
//!     cargo run --release -p retrograd --example halves
//!
//! Steps and halves alternate; the least time of each counts.

use std::time::Instant;

use retrograd::{Adam, Batch, Cotangents, Error, Extent, Trainer, zoo};

fn main() -> Result<(), Error> {
    println!("   H    B    T    step ms  halves ms    ratio");
    for (h, b, t, times) in [
        (32, 1, 100, 400),
        (32, 32, 100, 100),
        (128, 1, 100, 100),
        (128, 32, 100, 20),
        (512, 1, 50, 30),
        (512, 32, 50, 6),
    ] {
        let columns = 8;
        let cell = zoo::forecaster(zoo::find("lstm").expect("it is in the zoo"), columns, h)?;
        let build = || Trainer::builder(cell.clone(), Adam::new(1e-3)).build();
        let (mut whole, mut halves) = (build()?, build()?);
        let numbers = |k: usize| (0..t * b * columns).map(move |i| (0.1 * (i + k) as f32).sin());
        let batch = Batch::new(Extent::steps(t).rows(b))
            .with("x", numbers(0).collect())
            .with("next", numbers(1).collect());
        let one = Cotangents::new().with_loss(1.0);
        let (mut least_whole, mut least_halves) = (f64::MAX, f64::MAX);
        for _ in 0..times + 2 {
            let start = Instant::now();
            whole.step(&batch)?;
            least_whole = least_whole.min(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            let gradients = halves.forward(&batch)?.backward(&one)?;
            halves.apply([gradients])?;
            least_halves = least_halves.min(start.elapsed().as_secs_f64() * 1e3);
        }
        let ratio = least_halves / least_whole;
        println!("{h:4} {b:4} {t:4} {least_whole:10.3} {least_halves:10.3} {ratio:8.3}");
    }
    Ok(())
}
