//! `--cell`: a cell by name or file, and its adaptation to the data.

mod effect;
mod fit;
mod label;
mod readout;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use retrograd::forecast::{Embedding, Head, Ports, Setup};
use retrograd::zoo::{self, Entry};
use retrograd::{Batch, Cell, CellText, Extent, InputRole};
use retrograd_tape::Domain;

use fit::{domain, fit};
pub(crate) use readout::{LossName, ReadoutArgs};

/// Default of `--hidden` for a cell of the zoo.
const HIDDEN: usize = 32;
/// Default of `--dropout` for a cell of the zoo.
const DROPOUT: f64 = 0.4;

/// The largest dimension of a cell of the zoo.
const LARGEST_OF_ZOO: usize = 4096;
/// The largest dimension that `--set` gives.
const LARGEST: usize = 1_000_000;

/// What `--cell` names.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// One of the zoo's.
    Zoo(&'static Entry),
    /// A cell file, not read yet.
    File(PathBuf),
}

/// Arguments for a cell's size.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SizeArgs {
    /// Hidden units; the same as `--set H=N` for a cell file [default: 32, or as the file says].
    #[arg(long, value_name = "N", value_parser = super::values::whole(1..=LARGEST_OF_ZOO))]
    pub(crate) hidden: Option<usize>,
    /// Sets a symbolic dimension of a cell file, to at most 1000000; may be repeated.
    #[arg(long, value_name = "NAME=N", value_parser = dimension)]
    pub(crate) set: Vec<(String, usize)>,
}

/// The numbers that a cell reads and forecasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths<'a> {
    /// Of its input.
    pub(crate) inputs: usize,
    /// Of its target and output.
    pub(crate) outputs: usize,
    /// Whether it is told what of a target there is.
    pub(crate) masked: bool,
    /// Which of the numbers are categories.
    pub(crate) categories: &'a [Embedding],
}

impl Widths<'_> {
    /// What a recurrence reads, in which each category is a row of its table.
    fn read(&self) -> usize {
        Embedding::width(self.categories, self.inputs)
    }

    /// As many numbers read as forecast, all of which there are.
    pub(crate) fn rows(columns: usize) -> Widths<'static> {
        Widths {
            categories: &[],
            inputs: columns,
            outputs: columns,
            masked: false,
        }
    }
}

/// A cell that forecasts rows of a series, and the names of its input, target and output.
#[derive(Clone, Debug)]
pub(crate) struct Forecaster {
    /// The cell.
    pub(crate) cell: Cell,
    /// Its name.
    pub(crate) name: String,
    /// Hidden units; None for a file without a dimension H.
    pub(crate) hidden: Option<usize>,
    /// Its size, for display.
    pub(crate) size: String,
    /// Dropout before the readout; None for cells with a loss of their own, which have their own masks.
    pub(crate) dropout: Option<f64>,
    input: String,
    target: String,
    /// The output that forecasts.
    pub(crate) output: String,
    /// What its outputs say of a distribution.
    pub(crate) head: Head,
}

impl Choice {
    /// Parses the argument. It is a path if it ends in `.cell` or has a directory.
    pub(crate) fn parse(name: &str) -> Result<Choice, String> {
        if let Some(entry) = zoo::find(name) {
            return Ok(Choice::Zoo(entry));
        }
        if name.ends_with(".cell") || Path::new(name).components().count() > 1 {
            return Ok(Choice::File(name.into()));
        }
        let known: Vec<&str> = zoo::names().collect();
        let hint = near(name, zoo::names());
        Err(format!(
            "there is no cell `{name}`{hint}; the cells are {}, and files that end in .cell",
            known.join(", ")
        ))
    }

    /// The cell file.
    ///
    /// # Errors
    /// A file that cannot be read, or a mistake in it.
    pub(crate) fn text(&self) -> Result<CellText> {
        Ok(match self {
            Choice::Zoo(entry) => entry.parsed()?,
            Choice::File(path) => CellText::open(path)?,
        })
    }

    /// The cell for rows of these widths.
    ///
    /// # Errors
    /// A cell file with a mistake, or one that cannot forecast such rows; settings that the cell does not take.
    pub(crate) fn forecaster(
        &self,
        widths: Widths<'_>,
        sizes: &SizeArgs,
        readout: &ReadoutArgs,
    ) -> Result<Forecaster> {
        if readout.loss == Some(LossName::ErrorToSignal) {
            bail!("--loss esr is for recordings, --wav DRY.wav WET.wav");
        }
        if let Choice::Zoo(entry) = self
            && entry.number.is_some()
        {
            if let Some((name, n)) = sizes.set.first() {
                bail!(
                    "--set {name}={n} is for cell files; the cell `{}` takes --hidden {n}",
                    entry.name
                );
            }
            let hidden = sizes.hidden.unwrap_or(HIDDEN);
            let dropout = readout.dropout.unwrap_or(DROPOUT);
            let cell = readout.of(widths, dropout);
            let cell = cell.cell(entry.name, |c, x| {
                let x = Embedding::read(widths.categories, c, x);
                entry.layer(c, "", x, hidden)
            })?;
            let size = format!("{hidden} hidden units");
            let made = Forecaster::with_readout(cell, size, Some(dropout));
            return Ok(Forecaster {
                hidden: Some(hidden),
                head: readout.head(),
                ..made
            });
        }
        let text = self.text()?;
        let given = sizes.of(&text)?;
        if !text.has_loss() && of_role(&text, InputRole::Target).next().is_none() {
            return readout.add_to(&text, widths, &given);
        }
        if readout.dropout.is_some() {
            bail!(
                "--dropout is for cells without a loss of their own; in `{}` write a mask, as in `mask kept[H] keep 0.6`",
                text.name()
            );
        }
        if let Some(loss) = readout.loss {
            bail!(
                "--loss {loss} is for cells without a loss of their own; `{}` has one",
                text.name()
            );
        }
        if !widths.categories.is_empty() {
            bail!(
                "categories are for cells without a loss of their own, whose tables they become a part of; `{}` has one",
                text.name()
            );
        }
        if widths.masked {
            bail!(
                "--gaps mask and --scale window are for cells without a loss of their own; `{}` has one, which does not know what is missing",
                text.name()
            );
        }
        fit(&text, widths, &given)
    }

    /// The cell with a readout of `inputs` numbers if it has no loss of its own, and its sizes as text.
    ///
    /// # Errors
    /// As [`Choice::forecaster`].
    pub(crate) fn explained(&self, sizes: &SizeArgs) -> Result<(Cell, String)> {
        if let Choice::Zoo(entry) = self
            && entry.number.is_some()
        {
            let [inputs, hidden] = sizes.of_zoo(entry.name)?;
            let cell = zoo::forecaster(entry, inputs, hidden)?;
            return Ok((cell, format!("I={inputs} H={hidden}")));
        }
        let text = self.text()?;
        let set = sizes.of(&text)?;
        let cell = match self {
            Choice::Zoo(entry) => {
                let inputs = size_of_dimension(&text, &set, "I").unwrap_or(INPUTS);
                zoo::Forecaster::new(inputs)
                    .cell(text.name(), |c, x| entry.layer_of(c, "", x, &set))?
            }
            Choice::File(_) => text.cell(&set)?,
        };
        let size = text
            .dimensions()
            .filter_map(|d| Some(format!("{d}={}", size_of_dimension(&text, &set, d)?)));
        Ok((cell, size.collect::<Vec<_>>().join(" ")))
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Zoo(entry) => f.write_str(entry.name),
            Choice::File(path) => path.display().fmt(f),
        }
    }
}

/// A hint at the most similar known name, if any is similar.
pub(crate) fn near<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let distance = |known: &&str| strsim::osa_distance(&name.to_lowercase(), known);
    let nearest = known.min_by_key(distance);
    let near = nearest.filter(|n| distance(n) <= n.len().div_ceil(2));
    near.map_or(String::new(), |n| format!(" (did you mean `{n}`?)"))
}

/// Default of `--set I` for a cell of the zoo.
const INPUTS: usize = 4;

impl SizeArgs {
    /// Inputs and hidden units of a cell of the zoo, whose dimensions are I and H like those of cell files.
    ///
    /// # Errors
    /// An unknown dimension, one that is set twice, or a size that `--hidden` would reject.
    pub(crate) fn of_zoo(&self, cell: &str) -> Result<[usize; 2]> {
        let hidden = self.hidden.map(|n| ("H", n));
        let set = self.set.iter().map(|(name, n)| (name.as_str(), *n));
        let mut found = [None, None];
        for (name, n) in set.chain(hidden) {
            let Some(at) = ["I", "H"].iter().position(|d| *d == name) else {
                bail!("the cell `{cell}` has no dimension {name}; its dimensions are I and H");
            };
            if found[at].replace(n).is_some() {
                bail!("the dimension {name} is set twice");
            }
            if n > LARGEST_OF_ZOO {
                bail!("the dimension {name} is {n}; the zoo's cells have at most {LARGEST_OF_ZOO}");
            }
        }
        let [inputs, hidden] = found;
        Ok([inputs.unwrap_or(INPUTS), hidden.unwrap_or(HIDDEN)])
    }

    /// The dimensions of a cell file that `--set` and `--hidden` set.
    ///
    /// # Errors
    /// `--hidden` where the file has no dimension H, or where `--set` also says it.
    pub(crate) fn of<'a>(&'a self, text: &CellText) -> Result<Vec<(&'a str, usize)>> {
        let mut out: Vec<(&str, usize)> = Vec::new();
        let hidden = self.hidden.map(|n| ("H", n));
        for (name, n) in self
            .set
            .iter()
            .map(|(name, n)| (name.as_str(), *n))
            .chain(hidden)
        {
            if out.iter().any(|(known, _)| *known == name) {
                bail!("the dimension {name} is set twice");
            }
            out.push((name, n));
        }
        if let Some((_, n)) = hidden
            && !text.dimensions().any(|d| d == "H")
        {
            let known: Vec<&str> = text.dimensions().collect();
            bail!(
                "--hidden {n} sets the dimension H, which the cell `{}` does not have; its dimensions are {}: use --set",
                text.name(),
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            );
        }
        Ok(out)
    }
}

/// The dimensions of a cell file as text.
fn sizes(text: &CellText, dims: &[(&str, usize)]) -> String {
    let size: Vec<String> = (text.dimensions())
        .filter_map(|d| Some(format!("{d}={}", size_of_dimension(text, dims, d)?)))
        .collect();
    match size.is_empty() {
        true => "a cell file".to_owned(),
        false => size.join(", "),
    }
}

/// The given dimensions, and the number of columns for those that are the shape of a row.
fn with_columns<'d>(
    given: &[(&'d str, usize)],
    rows: impl Iterator<Item = (&'d str, Option<&'d str>)>,
    columns: usize,
) -> Vec<(&'d str, usize)> {
    let mut dims = given.to_vec();
    for (_, dimension) in rows {
        if let Some(name) = dimension
            && !dims.iter().any(|(n, _)| *n == name)
        {
            dims.push((name, columns));
        }
    }
    dims
}

/// The inputs of a role: name, and the dimension that alone is its shape.
fn of_role(text: &CellText, role: InputRole) -> impl Iterator<Item = (&str, Option<&str>)> {
    let inputs = text.inputs().filter(move |i| i.0 == role);
    inputs.map(|(_, name, dimension)| (name, dimension))
}

/// The value of a dimension: as set, or the file's default.
pub(super) fn size_of_dimension(
    text: &CellText,
    set: &[(&str, usize)],
    dimension: &str,
) -> Option<usize> {
    let set = set.iter().find(|(name, _)| *name == dimension);
    set.map(|(_, n)| *n).or_else(|| text.default_of(dimension))
}

/// The name of the only input of a role.
fn only(text: &CellText, role: InputRole, what: &str, write: &str) -> Result<String> {
    let mut all = of_role(text, role);
    let found = match (all.next(), all.next()) {
        (Some((name, _)), None) => return Ok(name.to_owned()),
        (None, _) => ("none", None),
        (_, second) => ("several", second.map(|s| s.0)),
    };
    let message = format!(
        "to forecast rows, a cell needs one {what}; this one has {}",
        found.0
    );
    let expected = format!("expected one, as in `{write}`");
    Err(text.mistake(found.1, message, expected).into())
}

impl Forecaster {
    /// A cell to which a readout was added.
    fn with_readout(cell: Cell, size: String, dropout: Option<f64>) -> Forecaster {
        Forecaster {
            name: cell.name().to_owned(),
            cell,
            hidden: None,
            size,
            dropout,
            input: "x".to_owned(),
            target: "next".to_owned(),
            output: "y".to_owned(),
            head: Head::Point,
        }
    }

    /// The cell of a saved training.
    pub(crate) fn saved(
        cell: Cell,
        setup: &Setup,
        hidden: Option<usize>,
        size: String,
        dropout: Option<f64>,
    ) -> Forecaster {
        let ports = setup.cell_ports();
        Forecaster {
            name: cell.name().to_owned(),
            hidden,
            size,
            dropout,
            input: ports.input.clone(),
            target: ports.target.clone(),
            output: ports.output.clone(),
            head: setup.distribution().clone(),
            cell,
        }
    }

    /// Whether it forecasts once from a whole window.
    pub(crate) fn once(&self) -> bool {
        domain(&self.cell, &self.output) == Some(Domain::Row)
    }

    /// The names of its input, target and output.
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            input: self.input.clone(),
            target: self.target.clone(),
            output: self.output.clone(),
        }
    }

    /// A batch of one sequence of `t` rows.
    pub(crate) fn rows(&self, t: usize, x: Vec<f32>) -> Batch {
        Batch::new(Extent::steps(t)).with(&self.input, x)
    }
}

fn dimension(text: &str) -> Result<(String, usize), String> {
    let pair = text.split_once('=').and_then(|(name, n)| {
        let n = n
            .trim()
            .parse()
            .ok()
            .filter(|n| (1..=LARGEST).contains(n))?;
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), n))
    });
    pair.ok_or_else(|| {
        format!("expected a dimension and a whole number from 1 to {LARGEST}, as in H=32")
    })
}
