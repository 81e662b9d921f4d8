//! Handwritten digits, read row by row: eight rows of eight pixels are eight steps.
//!
//!     cargo run --release -p retrograd --example 05_digits
//!
//! The images are scikit-learn's copy of the UCI digits (`data/README.md`). A fifth is kept for the score at the end. From
//! the shell, one way only:
//!
//!     retrograd train --data crates/retrograd/data/digits.csv --id image --label digit --cell gru

use std::error::Error;
use std::path::Path;

use retrograd::classify::{Classifier, Examples, GroupSplit, Model, Report, Setup};
use retrograd::data::Csv;
use retrograd::fit::Fit;
use retrograd::optim::Schedule;
use retrograd::{Adam, Join, Stack, Trainer, zoo};
use retrograd_plot::{Figure, TilePlot};

/// Passes over the images, in which the learning rate falls to zero.
const EPOCHS: u64 = 40;
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.csv");

/// Trains, writes the model to a file, and returns what the model of that file makes of the digits that were kept.
fn train(file: &Path) -> Result<Report, Box<dyn Error>> {
    let pixels = (0..8).map(|k| format!("x{k}"));
    let csv = Csv::new().id("image").constant(["digit"]).columns(pixels);
    let images = csv.open_panel(DATA)?;
    let kept = GroupSplit::new(0.2).seed(1).split(&images, "digit")?;
    let setup = Setup::fit(&images, "digit", &kept.training)?;

    // From the top row to the bottom and back, and a readout of the mean over the rows.
    let gru = zoo::find("gru").ok_or("it is in the zoo")?;
    let both = Stack::new(1).bidirectional(Join::Concat);
    let readout = Classifier::of(&setup).dropout(0.3).smoothing(0.1);
    let cell = readout.cell("digits", |c, x| {
        c.stack("rows", x, both, |c, x| gru.layer(c, "", x, 48))
            .steps()
    })?;
    let training = Examples::new(&setup, &images, &kept.training)?;
    let steps = EPOCHS * training.batches_per_epoch(32) as u64;
    let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
        .seed(1)
        .clip(1.0)
        .schedule(Schedule::cosine(steps))
        .build()?;
    Fit::new(EPOCHS).run(&mut trainer, |epoch| training.epoch(32, 1, epoch))?;

    Model::new(&trainer.checkpoint(), &setup)?
        .keep_in(trainer.checkpoint())
        .write(file)?;
    Ok(Model::open(file)?.report(&images, &kept.validation)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir();
    let report = train(&folder.join("digits.safetensors"))?;
    println!(
        "told:  {}",
        report
            .labels
            .iter()
            .map(|l| format!("{l:>4}"))
            .collect::<String>()
    );
    for (label, row) in report.labels.iter().zip(&report.confusion) {
        println!(
            "    {label}: {}",
            row.iter().map(|n| format!("{n:>4}")).collect::<String>()
        );
    }
    println!(
        "accuracy {:.3}, macro F1 {:.3}",
        report.accuracy, report.macro_f1
    );
    let picture = folder.join("digits.png");
    Figure::Tiles(TilePlot::confusion("Digits, row by row", &report)).write_png(&picture)?;
    println!("{}", picture.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::train;

    #[test]
    fn digits_are_told_apart() {
        let file = std::env::temp_dir().join(format!("digits-{}.safetensors", std::process::id()));
        let report = train(&file).expect("it trains");
        std::fs::remove_file(file).expect("it was written");
        assert_eq!(report.count(), 359);
        assert!(report.accuracy >= 0.97, "{report:?}");
    }
}
