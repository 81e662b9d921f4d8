//! The main task: read, split, standardise, train, forecast, score, time, plot, save.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use retrograd::data::{Note, Panel, Series, Standardizer};
use retrograd::fit::Stopped;
use retrograd::forecast::{Backtest, BacktestReport, Examples, Model, Scaling, Setup};
use retrograd::zoo::ForecastLoss;
use retrograd::{Checkpoint, Trainer};
use retrograd_plot::{ForecastPlot, LossPlot, Reference};
use retrograd_study::baseline::{Baseline, Scores, score};

use super::args::{DataSource, RoleArgs, TrainingArgs};
use super::audio::AudioResults;
use super::choice::{Forecaster, LossName, Widths};
use super::interrupt;
use super::labelled::{self, LabelledResults};
use super::labels::LabelArgs;
use super::saved::{self, Origin};
use super::table::Table;
use super::timing::{self, Timing};
use super::train::{self, Trained};

/// Rows of the forecast plot.
const PLOTTED: usize = 120;
/// Rows ahead whose errors are kept for intervals, if the model reads its own forecasts.
const AHEAD: usize = 48;

/// What to train, and on what.
pub(super) struct Request {
    pub(super) source: DataSource,
    pub(super) roles: RoleArgs,
    pub(super) labels: LabelArgs,
    pub(super) options: TrainingArgs,
    /// The command line, for a run that goes on.
    pub(super) command: Vec<String>,
    /// The file to go on from.
    pub(super) resume: Option<PathBuf>,
}

impl Request {
    /// The place of the model: that of the run which goes on, or in the directory of results.
    pub(super) fn model(&self) -> PathBuf {
        match &self.resume {
            Some(path) => path.clone(),
            None => self.options.out.join("model.safetensors"),
        }
    }
}

/// How a training ended.
pub(super) enum Ended {
    /// One series, forecast row by row.
    Rows(Box<TrainingResults>),
    /// Several series, rows ahead, or columns with roles.
    Ahead(Box<AheadResults>),
    /// Labelled sequences.
    Labelled(Box<LabelledResults>),
    /// An effect, from a pair of recordings.
    Audio(Box<AudioResults>),
    /// Ctrl-C after a step.
    Stopped { step: usize, model: PathBuf },
}

/// The results of a run on a series whose rows are forecast one by one.
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

/// The results of any other run.
pub(super) struct AheadResults {
    pub(super) options: TrainingArgs,
    pub(super) forecaster: Forecaster,
    pub(super) name: String,
    pub(super) notes: Vec<Note>,
    /// Series, and those of them that are too short to be trained on.
    pub(super) series: usize,
    pub(super) left_out: Vec<String>,
    pub(super) training_rows: usize,
    pub(super) validation_rows: usize,
    pub(super) setup: Setup,
    pub(super) batch: usize,
    pub(super) trained: Trained,
    pub(super) report: BacktestReport,
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

/// Does the main task.
pub(super) fn run(request: &Request) -> Result<Ended> {
    let options = &request.options;
    if options.json && options.out.to_str().is_none() {
        bail!(
            "--out {}: JSON cannot name files in a directory whose name is not UTF-8; choose another --out, or leave --json out",
            options.out.display()
        );
    }
    match &request.source {
        DataSource::Wav(pair) => return super::audio::train(request, pair),
        DataSource::File(table) => request.labels.check(table, &request.roles, options)?,
        DataSource::SeattleWeather => {}
    }
    if request.labels.asked() {
        return labelled::run(request);
    }
    let table = Table::read(&request.source, &request.roles, options.rows)?;
    let options = &train::options(options, &table, &request.roles);
    let (training, validation) = table.split(options.validation)?;
    let columns = request.roles.of(&table.panel)?;
    let saved = request
        .resume
        .as_deref()
        .map(Checkpoint::read)
        .transpose()?;
    // Of a series whose rows are forecast one by one, baselines are told before anything is made.
    let data = match table.is_plain(&request.roles) {
        true => Some(Data::of(
            &table,
            training[0].clone(),
            validation[0].clone(),
        )?),
        false => None,
    };
    let baselines = match &data {
        Some(data) => {
            // A cell that is refused is so before a series that is too short for a baseline.
            let widths = Widths::rows(data.series.columns());
            saved::forecaster(&options.cell, options, widths, saved.as_ref())?;
            data.baselines()?
        }
        None => Vec::new(),
    };
    make(&options.out)?;
    let setup = train::setup(&table, &training, &request.roles, columns, options.steps)?;
    let categories = setup.embeddings();
    let widths = train::widths(&setup, &categories);
    let forecaster = saved::forecaster(&options.cell, options, widths, saved.as_ref())?;
    let setup = setup
        .ports(forecaster.ports())
        .head(forecaster.head.clone());
    let data = data.filter(|_| !forecaster.once());

    let examples = Examples::new(&setup, &table.panel, &training, forecaster.once())?;
    let mut trainer = train::trainer(&forecaster, &examples, options)?;
    let origin = Origin::of(request, &table, &forecaster)?;
    let saving = origin.saving(request, saved.as_ref(), setup.note())?;
    let ends = match &data {
        Some(_) => None,
        None => validation_windows(&setup, &table, &validation, &forecaster)?,
    };
    let measure = |trainer: &mut Trainer| match (&data, &ends) {
        (Some(data), _) => data.validation_error(trainer, &forecaster),
        (None, Some(ends)) => Ok(train::window_error(ends, trainer)?),
        (None, None) => {
            bail!("no series has rows enough to validate on; leave more with --validation")
        }
    };
    let trained = train::train(&mut trainer, &examples, options, Some(&saving), &measure)?;
    if trained.stopped == Stopped::Asked && interrupt::asked() {
        let step = trained.losses.len();
        return Ok(Ended::Stopped {
            step,
            model: saving.path,
        });
    }
    let job = Job {
        options,
        table: &table,
        training: &training,
        validation: &validation,
        setup: &setup,
        examples: &examples,
        path: saving.path,
    };
    match data {
        Some(data) => job.rows(data, forecaster, trainer, trained, baselines),
        None => job.ahead(forecaster, trained),
    }
}

/// A training that has ended.
struct Job<'a> {
    options: &'a TrainingArgs,
    table: &'a Table,
    training: &'a [Range<usize>],
    validation: &'a [Range<usize>],
    setup: &'a Setup,
    examples: &'a Examples<'a>,
    path: PathBuf,
}

impl Job<'_> {
    /// The results on a series whose rows are forecast one by one.
    fn rows(
        self,
        data: Data,
        forecaster: Forecaster,
        mut trainer: Trainer,
        trained: Trained,
        baselines: Vec<Scores>,
    ) -> Result<Ended> {
        let options = self.options;
        // A model that diverges when it reads its own forecasts still forecasts the next row.
        if let Ok(kept) = self.kept() {
            kept.write(&self.path)?;
        }
        let batch = train::batch(self.examples, options);
        let shown = self.examples.batch(&(0..batch).collect::<Vec<_>>())?;
        let predicted = data.forecast(&mut trainer, &forecaster)?;
        let name = &forecaster.name;
        let mut scores = vec![data.score(name, &predicted)?];
        scores.extend(baselines);
        let timing = timing::measure(&forecaster.cell, &shown, options)?;
        Ok(Ended::Rows(Box::new(TrainingResults {
            plots: plots(name, &data, &trained, &predicted, &scores, options)?,
            compile: trainer.compile_time().unwrap_or(timing.compile),
            options: options.clone(),
            steps: self.setup.window(),
            batch,
            forecaster,
            data,
            trained,
            scores,
            timing,
            model: self.path,
        })))
    }

    /// The results of any other training.
    fn ahead(self, forecaster: Forecaster, trained: Trained) -> Result<Ended> {
        let (table, options) = (self.table, self.options);
        let kept = self.kept()?;
        kept.write(&self.path)?;
        let rows = |parts: &[Range<usize>]| parts.iter().map(Range::len).sum();
        let name = &forecaster.name;
        Ok(Ended::Ahead(Box::new(AheadResults {
            plots: super::ahead::plots(name, table, &kept.report, &trained, options)?,
            options: options.clone(),
            notes: table.panel.notes().to_vec(),
            series: table.panel.series().len(),
            left_out: self.examples.left_out().map(str::to_owned).collect(),
            training_rows: rows(self.training),
            validation_rows: rows(self.validation),
            batch: train::batch(self.examples, options),
            report: kept.report,
            name: table.name.clone(),
            setup: self.setup.clone(),
            forecaster,
            trained,
            model: self.path,
        })))
    }

    /// The model, tested on the rows to validate on.
    fn kept(&self) -> Result<Kept> {
        let model = Model::new(&Checkpoint::read(&self.path)?, self.setup)?;
        Kept::of(model, &self.table.panel, self.validation)
    }
}

pub(super) fn make(out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{}: cannot be made", out.display()))
}

/// Windows that end in the rows to validate on; None if no series has any.
pub(super) fn validation_windows<'a>(
    setup: &'a Setup,
    table: &'a Table,
    validation: &[Range<usize>],
    forecaster: &Forecaster,
) -> Result<Option<Examples<'a>>> {
    let before = |part: &Range<usize>| part.start.saturating_sub(setup.window())..part.end;
    let ranges: Vec<Range<usize>> = validation.iter().map(before).collect();
    let needed = setup.window() + setup.rows_ahead();
    match ranges.iter().any(|r| r.len() >= needed) {
        true => Ok(Some(Examples::new(
            setup,
            &table.panel,
            &ranges,
            forecaster.once(),
        )?)),
        false => Ok(None),
    }
}

/// The model, and the backtest whose errors it keeps.
pub(super) struct Kept {
    pub(super) model: Model,
    report: BacktestReport,
}

impl Kept {
    /// A model, tested on the rows to validate on.
    pub(super) fn of(mut model: Model, panel: &Panel, validation: &[Range<usize>]) -> Result<Kept> {
        let setup = model.setup();
        let longest = validation.iter().map(Range::len).max().unwrap_or(0);
        let one = setup.rows_ahead() == 1 && setup.columns().observed.is_empty();
        let recursive = one && setup.scale_per() != Scaling::Window;
        let ahead = setup.rows_ahead();
        let horizon = match recursive {
            // A third of the rows leaves as many origins as rows ahead, and more.
            true => (longest / 3).clamp(1, AHEAD),
            false => ahead,
        };
        let test = |model: &Model, horizon| {
            let how = Backtest::new(horizon).levels(&[0.8, 0.95]);
            model.backtest(panel, validation, &how)
        };
        let report = match test(&model, horizon) {
            // A cell that forecasts from a window does not read its own forecasts.
            Err(_) if horizon > ahead => test(&model, ahead)?,
            other => other?,
        };
        model.keep(&report);
        Ok(Kept { model, report })
    }

    fn write(&self, path: &Path) -> Result<()> {
        let saved = Checkpoint::read(path)?;
        Ok(self.model.keep_in(saved).write(path)?)
    }
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
            Some(LossName::Rows(ForecastLoss::Squared)) | None => {
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

    /// A single series.
    fn of(table: &Table, training: Range<usize>, validation: Range<usize>) -> Result<Data> {
        let series = table.panel.series()[0].clone();
        let standardizer = Standardizer::fit(&series, training.clone())?;
        Ok(Data {
            name: table.name.clone(),
            embedded: table.embedded,
            standard: standardizer.transform(&series)?,
            standardizer,
            series,
            training,
            validation,
        })
    }

    /// The errors of forecasts without a network.
    fn baselines(&self) -> Result<Vec<Scores>> {
        let baselines = Baseline::ALL.map(|b| {
            let (training, validation) = (self.training.clone(), self.validation.clone());
            b.scores(&self.series, training, validation)
        });
        Ok(baselines.into_iter().collect::<Result<_, _>>()?)
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
                "the forecast is not finite. If training diverged, a smaller --learning-rate may help; --trace-nan says \
                 where the numbers of a step stop being finite"
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
