//! Training on labelled sequences, and what is said of it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use retrograd::classify::{Examples, GroupSplit, Model, Parts, Report, Setup};
use retrograd::data::printable;
use retrograd::fit::Stopped;
use retrograd::{Checkpoint, Trainer};
use retrograd_plot::{Figure, LossPlot, Reference, TilePlot};
use serde_json::{Value, json};

use super::ahead::drawn;
use super::args::{DataSource, TrainingArgs, with_flags};
use super::choice::Forecaster;
use super::interrupt;
use super::labels::LabelArgs;
use super::report::{LONGEST_NAME, note_lines, rate};
use super::run::{Ended, Request, make};
use super::saved::{self, Origin};
use super::table::Table;
use super::train::{self, Trained};

/// Sequences of a batch.
const BATCH: usize = 32;
/// Labels whose matrix is printed; of more, the mistakes.
const PRINTED: usize = 12;
const MISTAKES: usize = 12;
/// Names of groups that are printed.
const GROUPS: usize = 6;

/// The results of a training on labelled sequences.
pub(super) struct LabelledResults {
    options: TrainingArgs,
    classifier: Forecaster,
    table: Table,
    setup: Setup,
    parts: Parts,
    group: Option<String>,
    how: LabelArgs,
    batch: usize,
    trained: Trained,
    report: Report,
    plots: Vec<PathBuf>,
    model: PathBuf,
}

/// Does the task.
pub(super) fn run(request: &Request) -> Result<Ended> {
    let (options, how) = (&request.options, &request.labels);
    let DataSource::File(args) = &request.source else {
        bail!("the embedded weather has no labels; `--data` or `--manifest` names sequences");
    };
    let table = how.read(args, options.rows)?;
    let panel = &table.panel;
    // Sequences by themselves are their own groups.
    let group = how
        .group_of(panel)
        .filter(|g| Some(g) != args.form.id.as_ref());
    let (parts, setup) = split(&table, how, group.as_deref(), options)?;
    let saved = request
        .resume
        .as_deref()
        .map(Checkpoint::read)
        .transpose()?;
    let classifier = match &saved {
        Some(saved) => saved::classifier(saved)?,
        None => {
            let dropout = options.readout.dropout;
            options
                .cell
                .classifier(&setup, &options.sizes, dropout, how)?
        }
    };
    let training = Examples::new(&setup, panel, &parts.training)?;
    let held_out = Examples::new(&setup, panel, &parts.validation)?;
    let batch = options.batch.unwrap_or(BATCH).min(training.len());
    training.check_batch(batch)?;
    make(&options.out)?;
    let each = training.batches_per_epoch(batch);
    let mut trainer = train::trainer_of(classifier.cell.clone(), each, options)?;
    let origin = Origin::of(request, &table, &classifier)?;
    let saving = origin.saving(request, saved.as_ref(), setup.note())?;
    let measure = |trainer: &mut Trainer| Ok(held_out.error(trainer)?);
    let epoch = |n| training.epoch(batch, options.seed, n);
    let trained = train::train_on(
        &mut trainer,
        (each, batch),
        epoch,
        options,
        Some(&saving),
        &measure,
    )?;
    if trained.stopped == Stopped::Asked && interrupt::asked() {
        let step = trained.losses.len();
        return Ok(Ended::Stopped {
            step,
            model: saving.path,
        });
    }
    let model = Model::new(&Checkpoint::read(&saving.path)?, &setup)?;
    let report = model.report(panel, &parts.validation)?;
    let plots = plots(
        &classifier.name,
        &table,
        &setup,
        &trained,
        (&held_out, &report),
        options,
    )?;
    Ok(Ended::Labelled(Box::new(LabelledResults {
        options: options.clone(),
        how: how.clone(),
        classifier,
        group,
        batch,
        trained,
        report,
        plots,
        model: saving.path,
        setup,
        parts,
        table,
    })))
}

/// The parts to train on and to validate on, and the setup of the first.
pub(super) fn split(
    table: &Table,
    how: &LabelArgs,
    group: Option<&str>,
    options: &TrainingArgs,
) -> Result<(Parts, Setup)> {
    let split = GroupSplit::new(options.validation).seed(options.seed);
    let split = match group {
        Some(group) => split.by(group),
        None => split,
    };
    let parts = split.split(&table.panel, how.column())?;
    let setup = Setup::fit(&table.panel, how.column(), &parts.training)?;
    Ok(match how.balance {
        true => (parts, setup.balanced()),
        false => (parts, setup),
    })
}

/// The label that was trained on most often: what to say without looking.
pub(super) fn most_frequent(setup: &Setup) -> usize {
    let counts = setup.counts().iter().enumerate();
    let best = counts.max_by_key(|(k, n)| (**n, std::cmp::Reverse(*k)));
    best.map_or(0, |(k, _)| k)
}

/// The share of sequences that have the most frequent label.
pub(super) fn chance(setup: &Setup, report: &Report) -> f64 {
    report.classes[most_frequent(setup)].support as f64 / report.count() as f64
}

fn plots(
    cell: &str,
    table: &Table,
    setup: &Setup,
    trained: &Trained,
    (held_out, report): (&Examples<'_>, &Report),
    options: &TrainingArgs,
) -> Result<Vec<PathBuf>> {
    // What knows nothing but how frequent the labels are, each seen once more than it was.
    let all: usize = setup.counts().iter().map(|n| n + 1).sum();
    let weight = |k: usize| setup.weights().map_or(1.0, |w| w[k]);
    let weights: f64 = held_out.truth().iter().map(|&k| weight(k)).sum();
    let nats = held_out.truth().iter().map(|&k| {
        let share = (setup.counts()[k] + 1) as f64 / all as f64;
        -weight(k) * share.ln() / weights
    });
    let loss = LossPlot {
        title: format!("{cell} on {}: loss by training step", table.name),
        loss_name: "cross entropy (nats)".to_owned(),
        training: trained.losses.clone(),
        validation: trained.validation.clone(),
        references: vec![Reference {
            name: "how frequent labels are".to_owned(),
            loss: nats.sum(),
        }],
    };
    let path = |file: &str| options.out.join(file);
    let paths = ["loss.png", "loss.svg", "confusion.png", "confusion.svg"].map(path);
    loss.write_png(&paths[0])?;
    loss.write_svg(&paths[1])?;
    let title = title(cell, &table.name, setup);
    draw(&title, report, &paths[2])?;
    draw(&title, report, &paths[3])?;
    Ok(paths.to_vec())
}

pub(super) fn title(cell: &str, table: &str, setup: &Setup) -> String {
    let label = printable(setup.label_name(), LONGEST_NAME);
    format!("{cell} on {table}: the {label} of each sequence")
}

/// Draws who was taken for whom, in the form that the file's name says.
pub(super) fn draw(title: &str, report: &Report, path: &Path) -> Result<()> {
    let figure = Figure::Tiles(TilePlot::confusion(title, report));
    match path.extension().and_then(|e| e.to_str()) {
        Some("png") => figure.write_png(path)?,
        Some("svg") => {
            let text = figure.svg()?;
            retrograd::files::replace(path, "svg", |beside| std::fs::write(beside, text))
                .map_err(|e| anyhow::anyhow!("{}: cannot be written: {e}", path.display()))?;
        }
        _ => bail!("{}: a picture is a .png or an .svg file", path.display()),
    }
    Ok(())
}

/// A report for a person.
pub(super) fn printed(report: &Report, setup: &Setup) -> String {
    let name = |k: usize| printable(&report.labels[k], LONGEST_NAME);
    let header = ["label", "precision", "recall", "F1", "sequences"];
    let rows = report.classes.iter().enumerate().map(|(k, c)| {
        let unknown = if k < setup.labels().len() {
            ""
        } else {
            " (not trained on)"
        };
        vec![
            name(k) + unknown,
            format!("{:.3}", c.precision),
            format!("{:.3}", c.recall),
            format!("{:.3}", c.f1),
            c.support.to_string(),
        ]
    });
    let mut out = drawn(header.map(str::to_owned).to_vec(), rows.collect());
    out.push_str("\n\n");
    let n = report.labels.len();
    if n <= PRINTED {
        let header = std::iter::once("true, and told".to_owned()).chain((0..n).map(name));
        let rows = report.confusion.iter().enumerate().map(|(k, row)| {
            let cells = row.iter().map(|count| match count {
                0 => "·".to_owned(),
                count => count.to_string(),
            });
            std::iter::once(name(k)).chain(cells).collect()
        });
        out += &drawn(header.collect(), rows.collect());
        out.push('\n');
    } else {
        let mistakes = report.mistakes();
        for (truth, told, count) in mistakes.iter().take(MISTAKES) {
            let _ = writeln!(
                out,
                "{} was taken for {}: {count}",
                name(*truth),
                name(*told)
            );
        }
        if let Some(more) = mistakes.len().checked_sub(MISTAKES + 1) {
            let _ = writeln!(out, "and {} more pairs; --json has them all", more + 1);
        }
    }
    let right: u64 = (0..n).map(|k| report.confusion[k][k]).sum();
    let always = most_frequent(setup);
    let _ = writeln!(
        out,
        "\naccuracy         {:.1} %, {right} of {} (always \"{}\": {:.1} %)\nmacro F1         {:.3}",
        100.0 * report.accuracy,
        report.count(),
        name(always),
        100.0 * chance(setup, report),
        report.macro_f1,
    );
    out
}

/// A report for a program.
pub(super) fn report_json(report: &Report, setup: &Setup) -> Value {
    let mut object = json!(report);
    object["most_frequent"] = json!(setup.labels()[most_frequent(setup)]);
    object["most_frequent_accuracy"] = json!(chance(setup, report));
    object
}

/// Sequences and their groups, in words.
fn part(r: &LabelledResults, part: &[usize], names: bool) -> String {
    let count = part.len();
    let Some(texts) = r.group.as_deref().and_then(|g| r.table.panel.constant(g)) else {
        return format!("{count} sequences");
    };
    let mut groups: Vec<&str> = part.iter().map(|&k| &*texts[k]).collect();
    groups.sort_unstable();
    groups.dedup();
    let s = if groups.len() == 1 { "" } else { "s" };
    let mut out = format!("{count} sequences of {} group{s}", groups.len());
    if names {
        let shown: Vec<String> = (groups.iter().take(GROUPS))
            .map(|g| printable(g, LONGEST_NAME))
            .collect();
        let more = match groups.len().saturating_sub(GROUPS) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let _ = write!(out, ": {}{more}", shown.join(", "));
    }
    out
}

/// The results for a person.
pub(super) fn text(r: &LabelledResults) -> String {
    let panel = &r.table.panel;
    let lengths = || panel.series().iter().map(|s| s.len());
    let (shortest, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
    let rows = match shortest == longest {
        true => format!("of {longest} rows"),
        false => format!("of {shortest} to {longest} rows"),
    };
    let columns: Vec<String> = r
        .setup
        .columns()
        .iter()
        .take(20)
        .map(|c| printable(c, LONGEST_NAME))
        .collect();
    let more = match r.setup.columns().len().saturating_sub(20) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let mut out = format!(
        "{}\n\n{}{:<16} {}{more}\n",
        title(&r.classifier.name, &r.table.name, &r.setup),
        note_lines(panel.notes()),
        "reads",
        columns.join(", ")
    );
    let never = (r.setup.labels().iter().zip(r.setup.counts())).filter(|(_, n)| **n == 0);
    let never: Vec<String> = never
        .take(GROUPS)
        .map(|(l, _)| printable(l, LONGEST_NAME))
        .collect();
    let _ = write!(
        out,
        "sequences        {} {rows}, {} labels\n\
         training part    {}\n\
         validation part  {}\n",
        panel.series().len(),
        r.setup.labels().len(),
        part(r, &r.parts.training, false),
        part(r, &r.parts.validation, true),
    );
    if !never.is_empty() {
        let _ = writeln!(
            out,
            "not trained on   {}: its groups are all in the validation part",
            never.join(", ")
        );
    }
    let balance = if r.how.balance {
        ", rare labels weigh more"
    } else {
        ""
    };
    let _ = write!(
        out,
        "model            {}, {} parameters, seed {}; pooled by {}{balance}\n\
         training         {} steps ({} epochs) of {} sequences, {:.1} s, {:.0} a second\n\n{}\n\n",
        r.classifier.size,
        r.classifier.cell.parameter_count(),
        r.options.seed,
        r.how.pool.unwrap_or_default(),
        r.trained.losses.len(),
        r.trained.validation.len().saturating_sub(1),
        r.batch,
        r.trained.time.as_secs_f64(),
        rate(&r.trained, r.batch),
        match r.options.patience {
            Some(_) => {
                "The model is that of the epoch with the least validation error, which makes\n\
                 the scores somewhat too good."
            }
            None =>
                "The model is that of the last epoch; nothing was chosen by the validation part.",
        },
    );
    out += &printed(&r.report, &r.setup);
    out.push('\n');
    let mut heading = "plots";
    for path in &r.plots {
        let _ = writeln!(out, "{heading:<16} {}", path.display());
        heading = "";
    }
    let shown = r.model.display();
    let flag = match r.how.manifest {
        Some(_) => "--manifest",
        None => "--data",
    };
    let _ = writeln!(
        out,
        "{:<16} {shown}\n\nretrograd predict {shown} {flag} NEW.csv",
        "model"
    );
    out
}

/// The results for a program.
pub(super) fn json(r: &LabelledResults) -> String {
    let notes = r.table.panel.notes().iter();
    let notes: Vec<String> = notes.map(|n| with_flags(&n.to_string())).collect();
    let ids =
        |part: &[usize]| -> Vec<&str> { part.iter().map(|&k| &*r.table.panel.ids()[k]).collect() };
    let object = json!({
        "cell": r.classifier.name,
        "data": r.table.name,
        "label": r.setup.label_name(),
        "group": r.group,
        "columns": r.setup.columns(),
        "sequences": r.table.panel.series().len(),
        "rows": r.table.panel.rows(),
        "training_sequences": r.parts.training.len(),
        "validation_ids": ids(&r.parts.validation),
        "labels": r.setup.labels(),
        "counts": r.setup.counts(),
        "pool": r.how.pool.unwrap_or_default().name(),
        "hidden": r.classifier.hidden,
        "parameters": r.classifier.cell.parameter_count(),
        "epochs": r.trained.validation.len().saturating_sub(1),
        "batch": r.batch,
        "seed": r.options.seed,
        "training_steps": r.trained.losses.len(),
        "first_loss": r.trained.losses.first(),
        "last_loss": r.trained.losses.last(),
        "validation_error": r.trained.validation.last().map(|v| v.1),
        "training_seconds": r.trained.time.as_secs_f64(),
        "report": report_json(&r.report, &r.setup),
        "notes": notes,
        "plots": r.plots,
        "model": r.model,
    });
    format!("{object}\n")
}
