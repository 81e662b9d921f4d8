//! The weather of the next week with intervals, and a backtest.
//!
//!     cargo run --release -p retrograd --example 02_weather
//!
//! Four years of Seattle's daily weather: a GRU reads all columns, and forecasts the highest and lowest temperatures of seven days at
//! once. Its backtest is on the last year, from fifty days of it; the errors that it finds there so many days ahead are the
//! intervals of the forecast. A second backtest counts how many days the intervals of the first half hold in the second.

use retrograd::data::{Panel, Series};
use retrograd::fit::Fit;
use retrograd::forecast::{Backtest, Columns, Examples, Model, Setup};
use retrograd::optim::Schedule;
use retrograd::{Adam, Trainer, zoo};

const DAYS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let panel = Panel::from(Series::seattle_weather());
    let rows = panel.rows();
    let (training, last_year) = (0..rows - 365, rows - 365..rows);
    let targets = ["temp_max", "temp_min"].map(str::to_owned);
    let columns = Columns::of(panel.names(), Some(&targets), &[], &[])?;
    let training = [training];
    let setup = Setup::fit(columns, &panel, &training)?.horizon(DAYS);

    let gru = zoo::find("gru").expect("it is in the zoo");
    let cell = zoo::Forecaster::new(setup.inputs())
        .targets(setup.outputs())
        .dropout(0.4);
    let cell = cell.cell("gru", |c, x| gru.layer(c, "", x, 32))?;
    let examples = Examples::new(&setup, &panel, &training, false)?;
    let (epochs, batch, stride) = (60, 32, 8);
    let steps = epochs * examples.batches_per_epoch(batch, stride)?;
    let mut trainer = Trainer::builder(cell, Adam::new(3e-3))
        .seed(1)
        .clip(1.0)
        .schedule(Schedule::cosine(steps as u64))
        .build()?;
    let mut order = examples.order(batch, stride, 1)?;
    Fit::new(epochs as u64).run(&mut trainer, |epoch| order.epoch(epoch))?;

    let mut model = Model::new(&trainer.checkpoint(), &setup)?;
    let test = model.backtest(&panel, &[last_year], &Backtest::new(DAYS))?;
    println!("mean absolute error over the mean of a seasonal forecast's (MASE), last year:");
    for score in &test.scores {
        let mase: Vec<String> = score
            .mase
            .iter()
            .map(|m| format!("{:.3}", m.unwrap_or(f64::NAN)))
            .collect();
        println!("  {:<12} {}", score.name, mase.join("  "));
    }
    let held = test.coverage[0].1.expect("fifty origins are enough");
    println!("80 % intervals held {:.1} %", 100.0 * held);

    model.keep(&test);
    let forecast = &model.forecast(&panel, DAYS, None, &[0.8])?[0];
    let days = forecast.labels.as_ref().expect("the rows have dates");
    println!("\n{:<12} {:>8}  80 % interval", "day", "temp_max");
    for (day, k) in days.iter().zip((0..).step_by(targets.len())) {
        let ends = (forecast.intervals[0].low[k], forecast.intervals[0].high[k]);
        let (Some(low), Some(high)) = ends else {
            return Err("the backtest has too few errors for an interval".into());
        };
        println!(
            "{day:<12} {:>8.1}  {low:.1} to {high:.1}",
            forecast.values[k]
        );
    }
    for (c, target) in targets.iter().enumerate() {
        let better = test.scores[1..].iter().all(|s| test.mase[c] < s.mase[c]);
        if !better {
            return Err(format!("{target} is forecast no better than simply").into());
        }
    }
    match (0.7..=0.9).contains(&held) {
        true => Ok(()),
        false => Err("the intervals do not hold what they say".into()),
    }
}
