//! What a saved training knows of its beginning: command line, data, cell.

use std::path::Path;

use anyhow::{Context, Result, bail};
use retrograd::Checkpoint;
use retrograd::data::Panel;
use retrograd::forecast::Setup;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::args::TrainingArgs;
use super::choice::{Choice, Forecaster, Widths};
use super::run::Request;
use super::table::Table;
use super::train::Saving;

/// The notes of a file.
const COMMAND: &str = "command";
const DATA: &str = "data";
pub(super) const READOUT: &str = "readout";
/// The one that the library writes.
const SETUP: &str = "forecast";

/// Where a training began.
pub(super) struct Origin {
    command: String,
    data: String,
    readout: String,
}

impl Origin {
    pub(super) fn of(request: &Request, table: &Table, forecaster: &Forecaster) -> Result<Origin> {
        Origin::new(request, digest(&table.panel), forecaster)
    }

    /// Where a training on data of this digest began.
    pub(super) fn new(request: &Request, data: String, forecaster: &Forecaster) -> Result<Origin> {
        let shown = json!({
            "hidden": forecaster.hidden,
            "size": forecaster.size,
            "dropout": forecaster.dropout,
        });
        Ok(Origin {
            command: serde_json::to_string(&request.command)?,
            data,
            readout: shown.to_string(),
        })
    }

    /// Where the training is saved, with the note of its setup, and what it goes on from.
    ///
    /// # Errors
    /// A file that was trained on other data.
    pub(super) fn saving(
        &self,
        request: &Request,
        saved: Option<&Checkpoint>,
        (key, text): (&str, String),
    ) -> Result<Saving> {
        if let Some(saved) = saved {
            self.check(saved)?;
        }
        let own = std::iter::once((key.to_owned(), text));
        Ok(Saving {
            path: request.model(),
            notes: own.chain(self.notes()).collect(),
            resume: request.resume.is_some(),
        })
    }

    fn notes(&self) -> impl Iterator<Item = (String, String)> {
        let notes = [
            (COMMAND, &self.command),
            (DATA, &self.data),
            (READOUT, &self.readout),
        ];
        notes.map(|(k, v)| (k.to_owned(), v.clone())).into_iter()
    }

    /// Refuses a file that was trained on other data.
    fn check(&self, saved: &Checkpoint) -> Result<()> {
        match saved.note(DATA) {
            Some(data) if data != self.data => bail!(
                "the data are not those that the training began with; a run that goes on needs the same rows"
            ),
            _ => Ok(()),
        }
    }
}

/// The command line of a saved training.
///
/// # Errors
/// A file that was not saved by `train`.
pub(super) fn command(saved: &Checkpoint, path: &Path) -> Result<Vec<String>> {
    let text = saved.note(COMMAND);
    let text =
        text.with_context(|| format!("{}: it was not saved by `retrograd train`", path.display()))?;
    Ok(serde_json::from_str(text)?)
}

/// The forecaster of a choice; or that of a file to go on from, whose cell file need not be there any more.
pub(super) fn forecaster(
    cell: &Choice,
    options: &TrainingArgs,
    widths: Widths,
    saved: Option<&Checkpoint>,
) -> Result<Forecaster> {
    let Some(saved) = saved else {
        return cell.forecaster(widths, &options.sizes, &options.readout);
    };
    let shown: serde_json::Value = note(saved, READOUT).unwrap_or_default();
    let setup: Setup = note(saved, SETUP).context("the file does not say how its table is read")?;
    let size = |key: &str| shown[key].as_u64().and_then(|n| usize::try_from(n).ok());
    Ok(Forecaster::saved(
        saved.cell()?,
        &setup,
        size("hidden"),
        shown["size"].as_str().unwrap_or("a saved cell").to_owned(),
        shown["dropout"].as_f64(),
    ))
}

/// The cell of a training on labels to go on from.
pub(super) fn classifier(saved: &Checkpoint) -> Result<Forecaster> {
    let shown: serde_json::Value = note(saved, READOUT).unwrap_or_default();
    let hidden = shown["hidden"].as_u64();
    Ok(Forecaster::of_labels(
        saved.cell()?,
        hidden.and_then(|n| usize::try_from(n).ok()),
        shown["size"].as_str().unwrap_or("a saved cell").to_owned(),
        shown["dropout"].as_f64(),
    ))
}

/// A note in JSON.
pub(super) fn note<T: DeserializeOwned>(saved: &Checkpoint, key: &str) -> Option<T> {
    serde_json::from_str(saved.note(key)?).ok()
}

/// A number that tells data apart: FNV-1a, 64 bits.
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn eat(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The digest of names and values.
fn digest(panel: &Panel) -> String {
    let mut digest = Digest::new();
    for (id, series) in panel.ids().iter().zip(panel.series()) {
        digest.eat(id.as_bytes());
        series
            .names()
            .iter()
            .for_each(|name| digest.eat(name.as_bytes()));
        let texts = (0..series.columns()).filter_map(|c| series.categories(c));
        texts.flatten().for_each(|text| digest.eat(text.as_bytes()));
        series
            .rows()
            .iter()
            .for_each(|v| digest.eat(&v.to_le_bytes()));
    }
    for name in panel.constants() {
        digest.eat(name.as_bytes());
        let texts = panel.constant(name).unwrap_or_default();
        texts.iter().for_each(|t| {
            digest.eat(t.as_bytes());
            digest.eat(&[0]);
        });
    }
    digest.text()
}
