//! Next observation: a cell of the zoo trains to forecast the next row of a series, as the program does without a command.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use retrograd::Extent;
use serde::{Deserialize, Serialize};

use crate::StudyError;
use crate::baseline::{Baseline, Scores, score};
use crate::systems::nearest;
use retrograd::Adam;
use retrograd::Batch;
use retrograd::Engine;
use retrograd::Trainer;
use retrograd::data::{Series, Split, Standardizer, Windows};
use retrograd::optim::half_cosine;
use retrograd::zoo;

/// An embedded series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// Four years of Seattle's daily weather.
    Weather,
    /// Three hundred years of yearly sunspot numbers.
    Sunspots,
}

/// One training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NextJob {
    /// The series.
    pub data: Observed,
    /// A cell of the zoo, unchanged.
    pub cell: &'static str,
    /// The number of parameters to choose its size for.
    pub parameters: usize,
    /// The seed of parameters, batches and dropout.
    pub seed: u64,
    /// Training steps.
    pub steps: usize,
    /// Rows of a training window.
    pub window: usize,
    /// Windows of a training step.
    pub batch: usize,
    /// Adam's initial learning rate, which falls to 0 as half a cosine.
    // Stored results have it in their keys.
    #[serde(rename = "rate")]
    pub learning_rate: f64,
    /// Dropout between hidden state and forecast.
    pub dropout: f64,
    /// The norm that gradients are clipped to.
    pub clip: f64,
}

/// The error of the forecasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Mean squared error of the validation rows in standardised units, mean over the columns.
    pub error: f64,
    /// Hidden units.
    pub hidden: usize,
    /// Parameters.
    pub parameters: usize,
}

/// The share of rows, at the end, that is not trained on.
const VALIDATION: f64 = 0.2;
/// Rows between the starts of an epoch's windows.
const STRIDE: usize = 8;

impl Observed {
    /// Both.
    pub const ALL: [Observed; 2] = [Observed::Weather, Observed::Sunspots];

    /// Its name for display.
    pub fn name(self) -> &'static str {
        match self {
            Observed::Weather => "Seattle weather",
            Observed::Sunspots => "sunspots",
        }
    }

    fn series(self) -> Series {
        match self {
            Observed::Weather => Series::seattle_weather(),
            Observed::Sunspots => Series::sunspots(),
        }
    }

    /// The errors of forecasts without a network.
    ///
    /// # Errors
    /// None but a broken series.
    pub fn baselines(self) -> Result<Vec<Scores>, StudyError> {
        let series = self.series();
        let (training, validation) = series.split(Split::Fraction(VALIDATION))?;
        let scores = |b: Baseline| b.scores(&series, training.clone(), validation.clone());
        Ok(Baseline::ALL
            .into_iter()
            .map(scores)
            .collect::<Result<_, _>>()?)
    }
}

impl NextJob {
    /// Trains on the first rows and forecasts the last.
    ///
    /// # Errors
    /// [`StudyError::Cell`], [`StudyError::Data`].
    pub fn run(&self, engine: Engine) -> Result<Forecast, StudyError> {
        let entry = zoo::find(self.cell).expect("a run is of a cell of the zoo");
        let series = self.data.series();
        let columns = series.columns();
        let (training, validation) = series.split(Split::Fraction(VALIDATION))?;
        let standardizer = Standardizer::fit(&series, training.clone())?;
        let standard = standardizer.transform(&series)?;
        let hidden = nearest(self.parameters, |h| {
            Ok::<_, retrograd::Error>(zoo::forecaster(entry, columns, h)?.parameter_count())
        })?;
        let cell = zoo::forecaster_with_dropout(entry, columns, hidden, self.dropout)?;
        let parameters = cell.parameter_count();
        let mut trainer = Trainer::builder(cell, Adam::new(self.learning_rate))
            .engine(engine)
            .seed(self.seed)
            .clip(self.clip)
            .build()?;

        let windows = Windows::new(&standard, training, self.window)?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut done = 0;
        while done < self.steps {
            let epoch = windows.batches::<f32>(self.batch, STRIDE, &mut rng)?;
            for batch in epoch.take(self.steps - done) {
                trainer.set_learning_rate(
                    self.learning_rate * half_cosine(done as f64 / self.steps as f64),
                )?;
                trainer.step(&Batch::from(batch))?;
                done += 1;
            }
        }

        // Every row but the last is read, and each forecast made before the row is.
        let read = validation.end - 1;
        let x = standard.rows()[..read * columns].iter().map(|&v| v as f32);
        let run = trainer.predict(&Batch::new(Extent::steps(read)).with("x", x.collect()))?;
        let y = run.output("y").expect("a forecaster has this output");
        let y = y[(validation.start - 1) * columns..].iter();
        let y: Vec<f64> = y.map(|&v| f64::from(v)).collect();
        let y = standardizer.inverse_rows(&y)?;
        let scores = score(entry.name, &y, &series, validation, &standardizer)?;
        Ok(Forecast {
            error: if scores.mse.is_finite() {
                scores.mse
            } else {
                f64::MAX
            },
            hidden,
            parameters,
        })
    }
}
