//! The main task: read, split, standardise, train, forecast, score, time, plot.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use retrograd::data::{Csv, Series, Split, Standardizer, Windows, printable};
use retrograd::optim::half_cosine;
use retrograd::random::{ChaCha8Rng, SeedableRng};
use retrograd::zoo::ForecastLoss;
use retrograd::{Adam, Trainer};
use retrograd_plot::{ForecastPlot, LossPlot, Reference};
use retrograd_study::baseline::{Baseline, Scores, score};

use super::args::{DataSource, TableArgs, TrainingArgs};
use super::choice::Forecaster;
use super::progress::TrainingProgress;
use super::timing::{self, Timing};
use super::trace;

/// Rows between the starts of an epoch's windows, from an offset that each epoch draws.
const STRIDE: usize = 8;
/// Default length and number of windows; a short series has shorter and fewer ones.
const STEPS: usize = 64;
const BATCH: usize = 32;
/// The norm to which gradients are clipped.
const CLIP: f64 = 1.0;
/// The greatest number of columns: the work of the autoregression grows with its square.
const MOST_COLUMNS: usize = 1024;
/// Characters of a file's name in titles.
const LONGEST_NAME: usize = 60;
/// Rows of the forecast plot.
const PLOTTED: usize = 120;

/// The results of a run.
pub(super) struct TrainingResults {
    pub(super) options: TrainingArgs,
    pub(super) forecaster: Forecaster,
    pub(super) data: Data,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) trained: Trained,
    /// The model's, then the baselines'.
    pub(super) scores: Vec<Scores>,
    pub(super) compile: Duration,
    pub(super) timing: Timing,
    pub(super) plots: Vec<PathBuf>,
    pub(super) model: PathBuf,
}

/// The observations and their split.
pub(super) struct Data {
    pub(super) name: String,
    pub(super) embedded: bool,
    pub(super) series: Series,
    pub(super) training: Range<usize>,
    pub(super) validation: Range<usize>,
    standardizer: Standardizer,
    /// The series in standardised units.
    standard: Series,
}

/// The course of training.
pub(super) struct Trained {
    /// The loss of every step.
    pub(super) losses: Vec<f64>,
    /// Validation error by number of steps, once per epoch: for the plot, nothing is chosen by it.
    validation: Vec<(usize, f64)>,
    /// Time for training steps, without the validation between them.
    pub(super) time: Duration,
}

/// Does the main task.
pub(super) fn run(source: &DataSource, options: &TrainingArgs) -> Result<TrainingResults> {
    if options.json && options.out.to_str().is_none() {
        bail!(
            "--out {}: JSON cannot name files in a directory whose name is not UTF-8; choose another --out, or leave --json out",
            options.out.display()
        );
    }
    let data = Data::read(source, options)?;
    let columns = data.series.columns();
    let forecaster = (options.cell).forecaster(columns, &options.sizes, &options.readout)?;
    let baselines = Baseline::ALL.map(|b| {
        let (training, validation) = (data.training.clone(), data.validation.clone());
        b.scores(&data.series, training, validation)
    });
    let baselines = baselines.into_iter().collect::<Result<Vec<_>, _>>()?;
    fs::create_dir_all(&options.out)
        .with_context(|| format!("{}: cannot be made", options.out.display()))?;

    let (steps, batch) = window(&data, options)?;
    let windows = Windows::new(&data.standard, data.training.clone(), steps)?;
    // Refuses a batch that does not fit before anything is compiled.
    windows.batches_per_epoch(batch, STRIDE)?;
    let mut trainer = Trainer::builder(forecaster.cell.clone(), Adam::new(options.learning_rate))
        .engine(options.engine)
        .seed(options.seed)
        .threads(options.threads)
        .unroll(options.unroll.unwrap_or_default())
        .clip(CLIP)
        .build()?;
    let trained = train(&mut trainer, &forecaster, &data, &windows, batch, options)?;

    let predicted = data.forecast(&mut trainer, &forecaster)?;
    let mut scores = vec![data.score(&forecaster.name, &predicted)?];
    scores.extend(baselines);
    let starts: Vec<usize> = (data.training.start..).take(batch).collect();
    let timing = timing::measure(
        &forecaster.cell,
        &forecaster.batch(windows.batch(&starts)?),
        options.threads,
        options.unroll.unwrap_or_default(),
    )?;
    let model = options.out.join("model.json");
    trainer.save(&model)?;
    Ok(TrainingResults {
        plots: plots(
            &forecaster.name,
            &data,
            &trained,
            &predicted,
            &scores,
            options,
        )?,
        compile: trainer.compile_time().unwrap_or(timing.compile),
        options: options.clone(),
        forecaster,
        data,
        steps,
        batch,
        trained,
        scores,
        timing,
        model,
    })
}

/// Steps of a window and windows of a batch: as requested, else by the length of the training part.
fn window(data: &Data, options: &TrainingArgs) -> Result<(usize, usize)> {
    let rows = data.training.len();
    let steps = options.steps.unwrap_or(STEPS.min(rows / 2).max(1));
    let batch = options
        .batch
        .unwrap_or(BATCH.min(rows.saturating_sub(steps)).max(1));
    if steps >= rows {
        bail!(
            "the training part has {rows} rows; --steps {steps} needs at least {}, a window and the row after it",
            steps + 1
        );
    }
    Ok((steps, batch))
}

/// Trains for all epochs; the learning rate falls to zero as half a cosine.
fn train(
    trainer: &mut Trainer,
    forecaster: &Forecaster,
    data: &Data,
    windows: &Windows<'_>,
    batch: usize,
    options: &TrainingArgs,
) -> Result<Trained> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let total = (options.epochs).saturating_mul(windows.batches_per_epoch(batch, STRIDE)?);
    let progress = TrainingProgress::new(total, options.epochs);
    let mut trained = Trained {
        losses: Vec::new(),
        validation: vec![(0, data.validation_error(trainer, forecaster)?)],
        time: Duration::ZERO,
    };
    for epoch in 1..=options.epochs {
        for windows in windows.batches::<f32>(batch, STRIDE, &mut rng)? {
            let windows = forecaster.batch(windows);
            let start = Instant::now();
            let done = trained.losses.len() as f64 / total as f64;
            trainer.set_learning_rate(options.learning_rate * half_cosine(done))?;
            let report = trace::step(trainer, &windows, options.trace_nan)?;
            trained.time += start.elapsed();
            trained.losses.push(report.loss);
            let examples = trained.losses.len() * batch;
            progress.step(epoch, report.loss, examples, trained.time);
        }
        let error = data.validation_error(trainer, forecaster)?;
        trained.validation.push((trained.losses.len(), error));
    }
    Ok(trained)
}

/// Writes the pictures, and returns their paths.
fn plots(
    name: &str,
    data: &Data,
    trained: &Trained,
    predicted: &[f64],
    scores: &[Scores],
    options: &TrainingArgs,
) -> Result<Vec<PathBuf>> {
    let references = Baseline::ALL.iter().zip(&scores[1..]);
    let loss = LossPlot {
        title: format!("{name} on {}: loss by training step", data.name),
        loss_name: match options.readout.loss {
            Some(ForecastLoss::Squared) | None => {
                "mean squared error (standardised units)".to_owned()
            }
            Some(loss) => format!("training: {loss}; others: mean squared error"),
        },
        training: trained.losses.clone(),
        validation: trained.validation.clone(),
        references: references
            .map(|(b, s)| Reference {
                name: b.title(),
                loss: s.mse,
            })
            .collect(),
    };
    let title = data.title(name);
    let targets = data.validation.clone();
    let forecast = ForecastPlot::of_series(&title, &data.series, targets, predicted, PLOTTED)?;
    let path = |file: &str| options.out.join(file);
    let paths = ["loss.png", "loss.svg", "forecast.png", "forecast.svg"].map(path);
    loss.write_png(&paths[0])?;
    loss.write_svg(&paths[1])?;
    forecast.write_png(&paths[2])?;
    forecast.write_svg(&paths[3])?;
    Ok(paths.to_vec())
}

impl TrainingResults {
    /// A title that says what was done.
    pub(super) fn title(&self) -> String {
        self.data.title(&self.forecaster.name)
    }
}

impl Data {
    fn title(&self, cell: &str) -> String {
        let row = if self.embedded { "day" } else { "row" };
        format!(
            "{cell} on {}: each {row} forecast from all {row}s before it",
            self.name
        )
    }

    fn read(source: &DataSource, options: &TrainingArgs) -> Result<Data> {
        let (name, series) = match source {
            DataSource::SeattleWeather => ("Seattle weather".to_owned(), Series::seattle_weather()),
            DataSource::File(table) => read(table)?,
        };
        if series.columns() > MOST_COLUMNS {
            bail!(
                "{name}: {} columns of numbers; at most {MOST_COLUMNS} are forecast at a time: name them with --columns",
                series.columns()
            );
        }
        let series = match options.rows {
            Some(rows) => series.first(rows)?,
            None => series,
        };
        let (training, validation) = series.split(Split::Fraction(options.validation))?;
        let standardizer = Standardizer::fit(&series, training.clone())?;
        Ok(Data {
            name,
            embedded: matches!(source, DataSource::SeattleWeather),
            standard: standardizer.transform(&series)?,
            standardizer,
            series,
            training,
            validation,
        })
    }

    /// The model's forecast of every validation row, `[rows, n]` in the series' own units: it reads all rows in order, and each
    /// forecast is computed before its row is read.
    fn forecast(&self, trainer: &mut Trainer, forecaster: &Forecaster) -> Result<Vec<f64>> {
        let (n, first) = (self.series.columns(), self.validation.start);
        let read = self.validation.end - 1;
        let x = self.standard.rows()[..read * n].iter().map(|&v| v as f32);
        let run = trainer.predict(&forecaster.rows(read, x.collect()))?;
        let y = run.output(&forecaster.output);
        let y = y.expect("a forecaster has the output that it says");
        let y: Vec<f64> = y[(first - 1) * n..].iter().map(|&v| f64::from(v)).collect();
        if y.iter().any(|v| !v.is_finite()) {
            bail!(
                "the forecast is not finite: training diverged. A smaller --learning-rate may help"
            );
        }
        Ok(self.standardizer.inverse_rows(&y)?)
    }

    fn score(&self, name: &str, predicted: &[f64]) -> Result<Scores> {
        let targets = self.validation.clone();
        Ok(score(
            name,
            predicted,
            &self.series,
            targets,
            &self.standardizer,
        )?)
    }

    fn validation_error(&self, trainer: &mut Trainer, forecaster: &Forecaster) -> Result<f64> {
        let predicted = self.forecast(trainer, forecaster)?;
        Ok(self.score("model", &predicted)?.mse)
    }
}

/// Reads a table; its name is that of its file, for titles.
fn read(table: &TableArgs) -> Result<(String, Series)> {
    let mut csv = Csv::new()
        .header(table.header.unwrap_or_default())
        .reversed(table.reverse)
        .thousands(table.thousands);
    if let Some(columns) = &table.columns {
        csv = csv.columns(columns);
    }
    if table.path == Path::new("-") {
        let series = csv.read(io::stdin().lock(), "standard input")?;
        return Ok(("standard input".to_owned(), series));
    }
    let stem = table.path.file_stem().unwrap_or(table.path.as_os_str());
    let name = printable(&stem.to_string_lossy(), LONGEST_NAME);
    Ok((name, csv.open(&table.path)?))
}
