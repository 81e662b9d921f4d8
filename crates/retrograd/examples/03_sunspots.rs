//! Sunspots for decades ahead: a model that reads its own forecasts.
//!
//!     cargo run --release -p retrograd --example 03_sunspots
//!
//! The number of sunspots rises and falls in about eleven years, never quite alike. A GRU learns to say the next year from all years
//! before it. To forecast more, it runs free: each year that it says is the next that it reads. The years since 1947 are not trained
//! on; forecasts begin at every one of them that has 22 years behind it.

use retrograd::data::{Panel, Series};
use retrograd::fit::Fit;
use retrograd::forecast::{Backtest, Columns, Examples, Model, Setup};
use retrograd::optim::Schedule;
use retrograd::{Adam, Trainer, zoo};

const YEARS: usize = 22;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let panel = Panel::from(Series::sunspots());
    let (training, test) = (0..247, 247..309);
    let (training, test) = ([training], [test]);
    let columns = Columns::of(panel.names(), None, &[], &[])?;
    let setup = Setup::fit(columns, &panel, &training)?.steps(44);
    let gru = zoo::find("gru").expect("it is in the zoo");
    let cell = zoo::forecaster(gru, setup.inputs(), 24)?;
    let examples = Examples::new(&setup, &panel, &training, false)?;
    let (epochs, batch, stride) = (150, 16, 4);
    let steps = epochs * examples.batches_per_epoch(batch, stride)?;
    let mut trainer = Trainer::builder(cell, Adam::new(5e-3))
        .seed(1)
        .clip(1.0)
        .schedule(Schedule::cosine(steps as u64))
        .build()?;
    let mut order = examples.order(batch, stride, 1)?;
    Fit::new(epochs as u64).run(&mut trainer, |epoch| order.epoch(epoch))?;

    let mut model = Model::new(&trainer.checkpoint(), &setup)?;
    // A season of 11 years is what one knows of sunspots without a model.
    let report = model.backtest(&panel, &test, &Backtest::new(YEARS).season(11))?;
    println!(
        "{:<12} {:>8} {:>9} {:>9}",
        "mean error", "1 year", "11 years", "22 years"
    );
    for score in &report.scores {
        let [one, eleven, all] = [0, 10, 21].map(|k| score.mae[k]);
        println!("{:<12} {one:>8.1} {eleven:>9.1} {all:>9.1}", score.name);
    }
    model.keep(&report);
    let forecast = &model.forecast(&panel, YEARS, None, &[0.8])?[0];
    println!("\nsunspots after 2008, and what 80 % of errors so many years ahead were within");
    for (k, value) in forecast.values.iter().enumerate() {
        let interval = &forecast.intervals[0];
        let ends = (
            interval.low[k].unwrap_or(f64::NAN),
            interval.high[k].unwrap_or(f64::NAN),
        );
        println!(
            "{} {value:>6.0}  {:>5.0} to {:.0}",
            2009 + k,
            ends.0,
            ends.1
        );
    }
    let mean = |score: usize| report.scores[score].mae.iter().sum::<f64>() / YEARS as f64;
    let [model, persistence, seasonal] = [0, 1, 2].map(mean);
    println!(
        "\nmean over 22 years: {model:.1}; persistence {persistence:.1}; 11 years before {seasonal:.1}"
    );
    match model < persistence.min(seasonal) {
        true => Ok(()),
        false => Err("it forecasts no better than a simple forecast".into()),
    }
}
