//! Handwritten digits, read row by row: eight rows of eight pixels are eight steps.
//!
//!     cargo run --release -p retrograd --example 05_digits
//!
//! The images are scikit-learn's copy of the UCI digits (`data/README.md`). A fifth is kept for the score at the end, a tenth of the rest
//! to end the training by. The same from the shell:
//!
//!     retrograd train --data crates/retrograd/data/digits.csv --id image --label digit --cell gru

use std::error::Error;
use std::path::Path;

use retrograd::classify::{Classifier, Examples, GroupSplit, Model, Report, Setup};
use retrograd::data::Csv;
use retrograd::fit::Fit;
use retrograd::{Adam, Join, Stack, Trainer, zoo};
use retrograd_plot::{Figure, TilePlot};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.csv");

/// Trains, writes the model to a file, and returns what the model of that file makes of the digits that were kept.
fn train(file: &Path) -> Result<Report, Box<dyn Error>> {
    let pixels = (0..8).map(|k| format!("x{k}"));
    let csv = Csv::new().id("image").constant(["digit"]).columns(pixels);
    let images = csv.open_panel(DATA)?;
    let kept = GroupSplit::new(0.2).seed(1).split(&images, "digit")?;
    let parts = GroupSplit::new(0.1)
        .seed(1)
        .split_part(&images, "digit", &kept.training)?;
    let setup = Setup::fit(&images, "digit", &parts.training)?;

    // From the top row to the bottom and back, and a readout of the mean over the rows.
    let gru = zoo::find("gru").ok_or("it is in the zoo")?;
    let both = Stack::new(1).bidirectional(Join::Concat);
    let cell = Classifier::of(&setup).dropout(0.3).cell("digits", |c, x| {
        c.stack("rows", x, both, |c, x| gru.layer(c, "", x, 32))
            .steps()
    })?;
    let mut trainer = Trainer::builder(cell, Adam::new(5e-3))
        .seed(1)
        .clip(1.0)
        .build()?;
    let training = Examples::new(&setup, &images, &parts.training)?;
    let validation = Examples::new(&setup, &images, &parts.validation)?;
    Fit::new(60)
        .validate(|trainer| validation.error(trainer))
        .stop_early(12)
        .run(&mut trainer, |epoch| training.epoch(32, 1, epoch))?;

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
        assert_eq!(report.count(), 360);
        assert!(report.accuracy >= 0.97, "{report:?}");
    }
}
