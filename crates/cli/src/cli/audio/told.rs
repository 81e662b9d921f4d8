//! What is told and drawn of a training on recordings.

use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use retrograd::audio::{Clip, Errors, Pair};
use retrograd_plot::{ForecastPanel, ForecastPlot, LossPlot, Reference};
use serde_json::{Value, json};

use super::super::choice::LossName;
use super::super::report::{number, undrawn};
use super::{AudioResults, of_loss};

/// Moments of the plot.
const PLOTTED: usize = 400;

impl AudioResults {
    fn real_time(&self) -> f64 {
        self.pair.dry().seconds() / self.time.as_secs_f64()
    }

    fn loss_name(&self) -> &'static str {
        match self.options.readout.loss {
            Some(LossName::Rows(_)) => "mean squared error",
            Some(LossName::ErrorToSignal) | None => "error-to-signal ratio with pre-emphasis",
        }
    }

    /// Writes the pictures, and returns their paths.
    pub(super) fn draw(&self, heard: &Clip) -> Result<Vec<PathBuf>> {
        let reference = self.dry.map(|e| Reference {
            name: "dry signal".to_owned(),
            loss: of_loss(e, &self.options),
        });
        let loss = LossPlot {
            title: format!("{}: loss by training step", self.title),
            loss_name: self.loss_name().to_owned(),
            training: self.trained.losses.clone(),
            validation: self.trained.validation.clone(),
            references: reference.into_iter().filter(|r| r.loss > 0.0).collect(),
        };
        let frames = loudest(&self.pair, &self.held_out);
        let rate = f64::from(self.pair.rate());
        let of = |clip: &Clip, c: usize| {
            frames
                .clone()
                .map(|f| f64::from(clip.frame(f)[c]))
                .collect()
        };
        let n = self.pair.wet().channels();
        let panel = |c: usize| ForecastPanel {
            name: if n == 1 {
                "wet".to_owned()
            } else {
                format!("wet, channel {}", c + 1)
            },
            unit: None,
            observed: of(self.pair.wet(), c),
            predicted: of(heard, c),
            band: Vec::new(),
        };
        let forecast = ForecastPlot {
            title: format!("{}: the loudest moment of what is held out", self.title),
            x_name: "seconds".to_owned(),
            x_labels: { frames.clone() }
                .map(|f| format!("{:.4}", f as f64 / rate))
                .collect(),
            panels: (0..n).map(panel).collect(),
        };
        let path = |file: &str| self.options.out.join(file);
        let paths = ["loss.png", "loss.svg", "held-out.png", "held-out.svg"].map(path);
        loss.write_png(&paths[0])?;
        loss.write_svg(&paths[1])?;
        forecast.write_png(&paths[2])?;
        forecast.write_svg(&paths[3])?;
        Ok(paths.to_vec())
    }
}

/// The frames to be plotted: those around the greatest sample.
fn loudest(pair: &Pair, part: &Range<usize>) -> Range<usize> {
    let level = |frame: &usize| {
        let samples = pair.wet().frame(*frame).iter();
        samples.fold(0.0_f32, |most, s| most.max(s.abs()))
    };
    let most = part.clone().max_by(|a, b| level(a).total_cmp(&level(b)));
    let start = most.unwrap_or(part.start).saturating_sub(PLOTTED / 2);
    let start = start.clamp(part.start, part.end.saturating_sub(PLOTTED).max(part.start));
    start..part.end.min(start + PLOTTED)
}

/// The results for a person.
pub(in crate::cli) fn text(r: &AudioResults) -> String {
    let mut out = format!("{}\n\n", r.title);
    let rate = f64::from(r.pair.rate());
    let mut line = |heading: &str, what: &str| {
        let _ = writeln!(out, "{heading:<16} {what}");
    };
    let mut heading = "data";
    for note in r.pair.notes() {
        line(heading, note);
        heading = "";
    }
    let channels = |clip: &Clip| match clip.channels() {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        n => format!("{n} channels"),
    };
    line(
        "recordings",
        &format!(
            "{:.2} s at {} Hz, {} to {}",
            r.pair.dry().seconds(),
            r.pair.rate(),
            channels(r.pair.dry()),
            channels(r.pair.wet())
        ),
    );
    line(
        "training part",
        &format!("{:.2} s", r.training.len() as f64 / rate),
    );
    line(
        "held out",
        &format!("the last {:.2} s", r.held_out.len() as f64 / rate),
    );
    line(
        "model",
        &format!(
            "{}, {} parameters, seed {}",
            r.forecaster.size,
            r.forecaster.cell.parameter_count(),
            r.options.seed
        ),
    );
    line(
        "training",
        &format!(
            "{} steps of {} segments, {} samples of {} each behind {}, {:.1} s",
            r.trained.losses.len(),
            r.cut.rows,
            r.cut.chunk,
            r.cut.segment,
            r.cut.burn_in,
            r.trained.time.as_secs_f64()
        ),
    );
    let _ = writeln!(
        out,
        "\n{:<44}{:>10}{}",
        "error to signal, of what is held out",
        "model",
        r.dry
            .map_or(String::new(), |_| format!("{:>14}", "dry signal"))
    );
    type Row = (&'static str, fn(&Errors) -> f64);
    let rows: [Row; 2] = [
        ("as it is", |e| e.esr),
        ("with pre-emphasis, as it is heard", |e| e.emphasised),
    ];
    for (name, of) in rows {
        let dry = r
            .dry
            .as_ref()
            .map_or(String::new(), |e| format!("{:>14}", number(of(e))));
        let _ = writeln!(out, "  {name:<42}{:>10}{dry}", number(of(&r.errors)));
    }
    let _ = writeln!(
        out,
        "\n{:<16} {:.0} times as fast as real time, sample by sample on one core",
        "speed",
        r.real_time()
    );
    let mut heading = "plots";
    for path in &r.plots {
        let _ = writeln!(out, "{heading:<16} {}", path.display());
        heading = "";
    }
    out.push_str(&undrawn([r.title.as_str()]));
    let model = r.model.display();
    let _ = writeln!(
        out,
        "{:<16} {model}\n\nretrograd predict {model} --wav IN.wav --out OUT.wav",
        "model"
    );
    out
}

fn errors(e: &Errors) -> Value {
    json!({"esr": e.esr, "esr_emphasised": e.emphasised, "mse": e.mse})
}

/// The results for a program.
pub(in crate::cli) fn json(r: &AudioResults) -> String {
    let object = json!({
        "cell": r.forecaster.name,
        "rate": r.pair.rate(),
        "dry_channels": r.pair.dry().channels(),
        "wet_channels": r.pair.wet().channels(),
        "training_samples": r.training.len(),
        "held_out_samples": r.held_out.len(),
        "parameters": r.forecaster.cell.parameter_count(),
        "epochs": r.options.epochs,
        "segment": r.cut.segment,
        "burn_in": r.cut.burn_in,
        "steps": r.cut.chunk,
        "batch": r.cut.rows,
        "seed": r.options.seed,
        "training_steps": r.trained.losses.len(),
        "first_loss": r.trained.losses.first(),
        "last_loss": r.trained.losses.last(),
        "validation_error": r.trained.validation.last().map(|v| v.1),
        "training_seconds": r.trained.time.as_secs_f64(),
        "held_out": errors(&r.errors),
        "held_out_dry": r.dry.as_ref().map(errors),
        "real_time_factor": r.real_time(),
        "notes": r.pair.notes(),
        "plots": r.plots,
        "model": r.model,
    });
    format!("{object}\n")
}
