//! `retrograd predict` with a model of labels: the label of each sequence of a table, with the probability of each.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use retrograd::Checkpoint;
use retrograd::classify::{Model, Prediction, Report};
use retrograd::data::{Panel, printable};
use retrograd::files;
use serde_json::json;

use super::ahead::drawn;
use super::args::{DataSource, FormArgs, RoleArgs, TableArgs, with_flags};
use super::labelled::{draw, printed, report_json, title};
use super::labels::manifest;
use super::model::ModelArgs;
use super::predict::quoted;
use super::report::{LONGEST_NAME, note_lines};
use super::resume::of_saved;
use super::table::open;

/// Sequences that are printed; the CSV has all.
const PRINTED: usize = 20;

/// What `predict` says of labels.
pub(super) struct Told<'a> {
    pub(super) args: &'a ModelArgs,
    pub(super) manifest: Option<&'a Path>,
    pub(super) out: Option<&'a Path>,
    pub(super) plot: Option<&'a Path>,
    pub(super) json: bool,
}

/// A model with the sequences that it tells the labels of.
struct Read {
    model: Model,
    name: String,
    panel: Panel,
    /// Whether they are those that it was trained on.
    own: bool,
}

impl Told<'_> {
    /// Tells, writes, and returns what is printed.
    pub(super) fn run(&self) -> Result<String> {
        let read = self.read()?;
        let (model, panel) = (&read.model, &read.panel);
        let all: Vec<usize> = (0..panel.series().len()).collect();
        let told = model.predict(panel, &all)?;
        let labels = panel.constant(model.setup().label_name());
        let report = match labels {
            Some(labels) if labels.iter().any(|l| !l.is_empty()) => {
                Some(model.score(panel, &all, &told)?)
            }
            _ => None,
        };
        if let Some(path) = self.out {
            let text = csv(&read, &told);
            files::replace(path, "csv", |beside| fs::write(beside, text))
                .with_context(|| format!("{}: cannot be written", path.display()))?;
        }
        let title = title(model.cell().name(), &read.name, model.setup());
        match (self.plot, &report) {
            (Some(path), Some(report)) => draw(&title, report, path)?,
            (Some(_), None) => bail!(
                "--plot draws who was taken for whom, and the sequences have no labels: no column \"{}\", or nothing in it",
                printable(model.setup().label_name(), LONGEST_NAME)
            ),
            (None, _) => {}
        }
        Ok(match self.json {
            true => as_json(&read, &told, report.as_ref()),
            false => self.text(&read, &title, &told, report.as_ref()),
        })
    }

    /// Reads model and sequences. What the flags do not say is as for the training.
    fn read(&self) -> Result<Read> {
        let model = Model::open(&self.args.model)?;
        let saved: Checkpoint = Checkpoint::read(&self.args.model)?;
        // A model of the library's has no command line; its sequences are read as the flags say.
        let began = of_saved(&saved, &self.args.model).ok();
        let (began, how) = match began.map(|r| (r.source, r.labels)) {
            Some((DataSource::File(table), labels)) => (Some(table), labels),
            _ => (None, Default::default()),
        };
        let own = self.args.data.is_none() && self.manifest.is_none();
        let files = match own {
            true => how.manifest.as_deref(),
            false => self.manifest,
        };
        let path = match own {
            true => began.as_ref().and_then(|b| b.path.clone()),
            false => self.args.data.clone(),
        };
        let form = began.as_ref().map(|b| b.form.clone()).unwrap_or_default();
        let told = &self.args.form;
        let reader = TableArgs {
            path: path.clone(),
            columns: Some(model.setup().columns().to_vec()),
            header: self.args.header.or(began.as_ref().and_then(|b| b.header)),
            reverse: self.args.reverse || (own && began.as_ref().is_some_and(|b| b.reverse)),
            thousands: began.as_ref().is_some_and(|b| b.thousands),
            form: FormArgs {
                separator: told.separator.or(form.separator),
                decimal: told.decimal.or(form.decimal),
                gaps: told.gaps.or(form.gaps),
                id: told.id.clone().or(form.id),
                time: told.time.clone().or(form.time),
                wide: false,
            },
        };
        let csv = reader.csv(&RoleArgs::default());
        let (name, panel) = match (files, &path) {
            (Some(_), _) if told.id.is_some() => bail!(
                "--id tells the sequences of one table apart, and a manifest has a file for each; leave --id or --manifest out"
            ),
            (Some(files), _) => manifest(files, &csv)?,
            (None, Some(path)) => open(path, &csv.optional([model.setup().label_name()]))?,
            (None, None) => bail!(
                "which sequences? `--data FILE.csv` names a table of them, `--manifest FILE.csv` a table of files"
            ),
        };
        Ok(Read {
            model,
            name,
            panel,
            own,
        })
    }

    fn text(
        &self,
        read: &Read,
        title: &str,
        told: &[Prediction],
        report: Option<&Report>,
    ) -> String {
        let setup = read.model.setup();
        let mut out = format!("{title}\n\n{}", note_lines(read.panel.notes()));
        if read.own {
            out.push_str(
                "These are the sequences of the training: scores say nothing of others.\n`--data` names others.\n",
            );
        }
        let truth = read.panel.constant(setup.label_name());
        let mut header = vec![id_name(read), "label".to_owned(), "probability".to_owned()];
        header.extend(truth.map(|_| "true label".to_owned()));
        let rows = told.iter().take(PRINTED).enumerate().map(|(k, told)| {
            let mut row = vec![
                printable(id(read, &told.id), LONGEST_NAME),
                printable(&setup.labels()[told.label], LONGEST_NAME),
                format!("{:.3}", told.probabilities[told.label]),
            ];
            row.extend(truth.map(|t| printable(&t[k], LONGEST_NAME)));
            row
        });
        let _ = writeln!(out, "{}", drawn(header, rows.collect()));
        if told.len() > PRINTED {
            let _ = writeln!(
                out,
                "and {} more sequences; `--out FILE.csv` has them all",
                told.len() - PRINTED
            );
        }
        out.push('\n');
        if let Some(report) = report {
            out += &printed(report, setup);
            let missing = told.len() as u64 - report.count();
            if missing > 0 {
                let _ = writeln!(out, "not scored       {missing} sequences without a label");
            }
            out.push('\n');
        }
        for (heading, path) in [("labels", self.out), ("plot", self.plot)] {
            if let Some(path) = path {
                let _ = writeln!(out, "{heading:<16} {}", path.display());
            }
        }
        out
    }
}

/// What the names of sequences are called.
fn id_name(read: &Read) -> String {
    let name = read.panel.id_name().unwrap_or("sequence");
    printable(name, LONGEST_NAME)
}

/// The name of a sequence; that of the table for the only one of it.
fn id<'r>(read: &'r Read, id: &'r str) -> &'r str {
    match id {
        "" if read.panel.id_name().is_none() => &read.name,
        id => id,
    }
}

/// A line for each sequence: its name, the label that it has if the table says so, the label that it is told to have, and the
/// probability of each.
fn csv(read: &Read, told: &[Prediction]) -> String {
    let setup = read.model.setup();
    let truth = read.panel.constant(setup.label_name());
    let mut header = vec![quoted(read.panel.id_name().unwrap_or("sequence"))];
    header.extend(truth.map(|_| quoted(setup.label_name())));
    header.push("predicted".to_owned());
    header.extend(setup.labels().iter().map(|l| quoted(&format!("p_{l}"))));
    let mut out = header.join(",") + "\n";
    for (k, told) in told.iter().enumerate() {
        let mut cells = vec![quoted(id(read, &told.id))];
        cells.extend(truth.map(|t| quoted(&t[k])));
        cells.push(quoted(&setup.labels()[told.label]));
        cells.extend(told.probabilities.iter().map(f64::to_string));
        out += &(cells.join(",") + "\n");
    }
    out
}

fn as_json(read: &Read, told: &[Prediction], report: Option<&Report>) -> String {
    let setup = read.model.setup();
    let notes = read.panel.notes().iter();
    let notes: Vec<String> = notes.map(|n| with_flags(&n.to_string())).collect();
    let told = told.iter().map(|t| {
        json!({
            "id": id(read, &t.id),
            "label": setup.labels()[t.label],
            "probabilities": t.probabilities,
        })
    });
    let object = json!({
        "data": read.name,
        "notes": notes,
        "labels": setup.labels(),
        "predictions": told.collect::<Vec<_>>(),
        "report": report.map(|r| report_json(r, setup)),
    });
    format!("{object}\n")
}
