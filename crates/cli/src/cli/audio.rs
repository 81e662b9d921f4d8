//! Effects from pairs of recordings: `train --wav` and `predict --wav`.

mod told;

use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use retrograd::audio::{Clip, Cut, Effect, Errors, Loss, Model, Pair, Segments};
use retrograd::data::printable;
use retrograd::fit::Stopped;
use retrograd::{Checkpoint, Trainer};
use serde_json::Value;

use super::args::TrainingArgs;
use super::choice::{Forecaster, LossName};
use super::interrupt;
use super::run::{Ended, Request, make};
use super::saved::{Digest, Origin, READOUT, note};
use super::train::{self, Course, Trained};
use super::values::{between, whole};
pub(super) use told::{json, text};

/// Characters of a file's name in titles.
const LONGEST_NAME: usize = 40;

/// A pair of recordings, and how it is cut.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct WavArgs {
    /// Learns an effect: what turns the first recording into the second, two WAV files of one sample rate that begin at the same moment.
    /// --steps are the samples through which gradients pass (2048 by default), --batch the segments side by side (32).
    #[arg(long, num_args = 2, value_names = ["DRY.wav", "WET.wav"], conflicts_with_all = ["columns", "header", "reverse", "thousands", "FormArgs", "RoleArgs"])]
    pub(crate) wav: Option<Vec<PathBuf>>,
    /// Samples of a segment, within which states are carried; a whole number of --steps [default: half a second].
    #[arg(long, value_name = "N", conflicts_with = "path", value_parser = whole(1..=1_000_000_000))]
    segment: Option<usize>,
    /// Samples before a segment that only bring its states up to date [default: 1000].
    #[arg(long, value_name = "N", conflicts_with = "path", value_parser = whole(0..=1_000_000_000))]
    burn_in: Option<usize>,
    /// The pre-emphasis of --loss esr, a in the filter 1 − a/z, which makes high frequencies count more; 0 for none [default: 0.85].
    #[arg(long, value_name = "A", conflicts_with = "path", value_parser = emphasis)]
    emphasis: Option<f64>,
}

fn emphasis(text: &str) -> Result<f64, String> {
    match text.trim() {
        "0" | "0.0" => Ok(0.0),
        other => between(0.0, 1.0)(other),
    }
}

/// The results of a training on recordings.
pub(super) struct AudioResults {
    options: TrainingArgs,
    forecaster: Forecaster,
    title: String,
    pair: Pair,
    training: Range<usize>,
    held_out: Range<usize>,
    cut: Cut,
    trained: Trained,
    /// Of the model, sample by sample, and of the dry signal as it is, if it has as many channels.
    errors: Errors,
    dry: Option<Errors>,
    /// The time that the model took for all of the dry recording.
    time: Duration,
    plots: Vec<PathBuf>,
    model: PathBuf,
}

/// Learns an effect.
pub(super) fn train(request: &Request, args: &WavArgs) -> Result<Ended> {
    let options = &request.options;
    refuse_tables(options)?;
    let (dry, wet) = args.paths()?;
    let pair = Pair::new(
        Clip::read(dry).context("the dry recording")?,
        Clip::read(wet).context("the wet recording")?,
    )?;
    let (training, held_out) = pair.split(options.validation)?;
    let effect = Effect::of(&pair, training.clone(), args.loss(options)?);
    let saved: Option<Checkpoint> = request
        .resume
        .as_deref()
        .map(Checkpoint::read)
        .transpose()?;
    let forecaster = match &saved {
        None => {
            let asked = options.readout.loss.map(|l| l.to_string());
            let sizes = &options.sizes;
            options.cell.effect(&effect, asked.as_deref(), sizes)?
        }
        Some(saved) => of_saved(saved, request.resume.as_deref().unwrap_or(Path::new("")))?,
    };
    let mut setup = effect.setup();
    let ports = forecaster.ports();
    (setup.input, setup.target, setup.output) = (ports.input, ports.target, ports.output);
    make(&options.out)?;
    let cut = args.cut(&pair, &training, options)?;
    let segments = Segments::new(&pair, training.clone(), cut, &setup)?;
    let each = segments.steps_per_epoch();
    let mut trainer = train::trainer_of(forecaster.cell.clone(), each, options)?;
    let origin = Origin::new(request, digest(&pair), &forecaster)?;
    let saving = origin.saving(request, saved.as_ref(), setup.note())?;
    let measure = |trainer: &mut Trainer| {
        let errors = segments.errors(trainer, held_out.clone())?;
        Ok(of_loss(errors, options))
    };
    let course = Course {
        options,
        each,
        batch: cut.rows,
        saving: Some(&saving),
        measure: &measure,
        explain: &|e, _| e.into(),
    };
    let trained = course.run(&mut trainer, |epoch| segments.epoch(options.seed, epoch))?;
    if trained.stopped == Stopped::Asked && interrupt::asked() {
        let step = trained.losses.len();
        return Ok(Ended::Stopped {
            step,
            model: saving.path,
        });
    }
    let model = Model::open(&saving.path)?;
    let begun = Instant::now();
    let heard = model.process(pair.dry()).context(
        "the model diverges on the recording that it was trained on; a smaller --learning-rate may help",
    )?;
    let time = begun.elapsed();
    let title = format!("{} from {} to {}", forecaster.name, shown(dry), shown(wet));
    let mut results = AudioResults {
        options: options.clone(),
        errors: pair.compare(&heard, held_out.clone())?,
        dry: pair.compare(pair.dry(), held_out.clone()).ok(),
        forecaster,
        title,
        training,
        held_out,
        cut,
        trained,
        time,
        plots: Vec::new(),
        model: saving.path,
        pair,
    };
    results.plots = results.draw(&heard)?;
    Ok(Ended::Audio(Box::new(results)))
}

/// Refuses flags that say something of tables.
fn refuse_tables(options: &TrainingArgs) -> Result<()> {
    let given = [
        ("--rows", options.rows.is_some()),
        ("--dropout", options.readout.dropout.is_some()),
        ("--trace-nan", options.trace_nan),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => bail!("{flag} is for tables, and not for --wav"),
        None => Ok(()),
    }
}

impl WavArgs {
    fn paths(&self) -> Result<(&Path, &Path)> {
        match self.wav.as_deref() {
            Some([dry, wet]) => Ok((dry, wet)),
            _ => bail!("--wav takes two files, the dry recording and the wet one"),
        }
    }

    fn loss(&self, options: &TrainingArgs) -> Result<Loss> {
        Ok(match (options.readout.loss, self.emphasis) {
            (Some(LossName::ErrorToSignal) | None, None) => Loss::default(),
            (Some(LossName::ErrorToSignal) | None, Some(a)) => Loss::ErrorToSignal(a),
            (Some(_), Some(_)) => bail!("--emphasis is for --loss esr"),
            (Some(LossName::Rows(loss)), None) => {
                let name = loss.to_string();
                let parsed = name.parse::<Loss>();
                parsed.map_err(|why| anyhow::anyhow!("--loss {name}: {why}"))?
            }
        })
    }

    /// How the part to train on is cut: as the flags say, and as its length allows where they do not.
    fn cut(&self, pair: &Pair, part: &Range<usize>, options: &TrainingArgs) -> Result<Cut> {
        let usual = Cut::of(pair.rate(), part.len());
        let burn_in = self.burn_in.unwrap_or(usual.burn_in);
        let chunk = options.steps.unwrap_or(match self.segment {
            Some(segment) if segment % usual.chunk != 0 => segment,
            _ => usual.chunk,
        });
        let segment = self
            .segment
            .unwrap_or((usual.segment / chunk * chunk).max(chunk));
        if !segment.is_multiple_of(chunk) {
            bail!("--segment {segment} is no whole number of --steps {chunk}");
        }
        let most = part.len().saturating_sub(burn_in) / segment;
        let rows = options.batch.unwrap_or(most.clamp(1, 32));
        Ok(Cut {
            segment,
            burn_in,
            chunk,
            rows,
        })
    }
}

/// The cell of a file to go on from.
fn of_saved(saved: &Checkpoint, path: &Path) -> Result<Forecaster> {
    let model = Model::of(saved, path)?;
    let shown: Value = note(saved, READOUT).unwrap_or_default();
    let size = shown["size"].as_str().unwrap_or("a saved cell").to_owned();
    let hidden = shown["hidden"]
        .as_u64()
        .and_then(|n| usize::try_from(n).ok());
    let mut forecaster = Forecaster::effect(saved.cell()?, model.setup(), size);
    forecaster.hidden = hidden;
    Ok(forecaster)
}

/// The validation error: that of the loss.
fn of_loss(errors: Errors, options: &TrainingArgs) -> f64 {
    match options.readout.loss {
        Some(LossName::Rows(_)) => errors.mse,
        Some(LossName::ErrorToSignal) | None => errors.emphasised,
    }
}

fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    printable(&name.to_string_lossy(), LONGEST_NAME)
}

/// A number that tells recordings apart.
fn digest(pair: &Pair) -> String {
    let mut digest = Digest::new();
    digest.eat(&pair.rate().to_le_bytes());
    for clip in [pair.dry(), pair.wet()] {
        digest.eat(&(clip.channels() as u64).to_le_bytes());
        let samples = clip.samples().iter();
        samples.for_each(|s| digest.eat(&s.to_le_bytes()));
    }
    digest.text()
}

/// Sends a recording through a saved effect.
pub(super) fn predict(model: &Path, wav: &Path, out: &Path, as_json: bool) -> Result<String> {
    if out
        .extension()
        .is_none_or(|e| !e.eq_ignore_ascii_case("wav"))
    {
        bail!("--out {}: a recording is a .wav file", out.display());
    }
    let model = Model::open(model)?;
    let dry = Clip::read(wav)?;
    let begun = Instant::now();
    let wet = model
        .process(&dry)
        .with_context(|| wav.display().to_string())?;
    let factor = dry.seconds() / begun.elapsed().as_secs_f64();
    let clipped = wet.write(out)?;
    if as_json {
        let object = serde_json::json!({
            "rate": wet.rate(),
            "channels": wet.channels(),
            "samples": wet.frames(),
            "peak": wet.peak(),
            "clipped_samples": clipped,
            "real_time_factor": factor,
            "out": out,
        });
        return Ok(format!("{object}\n"));
    }
    let mut text = format!(
        "{:<16} {:.2} s at {} Hz through {}, {factor:.0} times as fast as real time\n",
        "recording",
        dry.seconds(),
        dry.rate(),
        model.cell().name(),
    );
    if clipped > 0 {
        let _ = writeln!(
            text,
            "{:<16} {clipped} samples beyond full scale are cut off; the peak is {:.2}",
            "clipped",
            wet.peak()
        );
    }
    let _ = writeln!(text, "{:<16} {}", "written", out.display());
    Ok(text)
}
