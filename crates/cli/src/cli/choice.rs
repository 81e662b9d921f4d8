//! `--cell`: a cell by name or by its file, and how it is fitted to the data.

use retrograd::Extent;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use retrograd::zoo::{self, Entry, Written};
use retrograd::{Batch, Cell, CellText, InputRole, data};

/// Hidden units of a cell of the zoo unless `--hidden` says it.
const HIDDEN: usize = 32;
/// Dropout of a cell of the zoo unless `--dropout` says it.
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
    /// One that the program carries as text.
    Written(&'static Written),
    /// A cell file, not read yet.
    File(PathBuf),
}

/// What the command line says about a cell's size.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SizeArgs {
    /// Hidden units, `--set H=N` for a cell file [default: 32, or what the file says].
    #[arg(long, value_name = "N", value_parser = super::args::whole(1..=LARGEST_OF_ZOO))]
    pub(crate) hidden: Option<usize>,
    /// Gives a cell file's symbolic dimension another value, at most 1000000; may be repeated.
    #[arg(long, value_name = "NAME=N", value_parser = dimension)]
    pub(crate) set: Vec<(String, usize)>,
}

/// A cell that forecasts the next row of a series, and what it calls what it reads and gives.
#[derive(Clone, Debug)]
pub(crate) struct Forecaster {
    /// The cell.
    pub(crate) cell: Cell,
    /// Its name.
    pub(crate) name: String,
    /// Hidden units, where that is said; None for a file without a dimension H.
    pub(crate) hidden: Option<usize>,
    /// What its size is, for people.
    pub(crate) size: String,
    /// Of what its forecast is read from; none for cell files, which say their own.
    pub(crate) dropout: Option<f64>,
    input: String,
    target: String,
    /// The output that forecasts.
    pub(crate) output: String,
}

impl Choice {
    /// Reads the argument. A path is what ends in `.cell` or has a directory.
    pub(crate) fn parse(name: &str) -> Result<Choice, String> {
        if let Some(entry) = zoo::find(name) {
            return Ok(Choice::Zoo(entry));
        }
        if let Some(written) = zoo::written(name) {
            return Ok(Choice::Written(written));
        }
        if name.ends_with(".cell") || Path::new(name).components().count() > 1 {
            return Ok(Choice::File(name.into()));
        }
        let known: Vec<&str> = names().collect();
        let hint = near(name, names());
        Err(format!(
            "there is no cell `{name}`{hint}; the cells are {}, and files that end in .cell",
            known.join(", ")
        ))
    }

    /// The cell file, if it is one.
    ///
    /// # Errors
    /// A file that cannot be read, or a mistake in it.
    pub(crate) fn text(&self) -> Result<Option<CellText>> {
        Ok(match self {
            Choice::Zoo(_) => None,
            Choice::Written(w) => Some(CellText::parse(&format!("{}.cell", w.name), w.text)?),
            Choice::File(path) => Some(CellText::open(path)?),
        })
    }

    /// The cell for a series of so many columns.
    ///
    /// # Errors
    /// A cell file with a mistake, or one that cannot forecast such rows; settings that the cell does not take.
    pub(crate) fn forecaster(
        &self,
        columns: usize,
        sizes: &SizeArgs,
        dropout: Option<f64>,
    ) -> Result<Forecaster> {
        if let Choice::Zoo(entry) = self {
            if let Some((name, n)) = sizes.set.first() {
                bail!(
                    "--set {name}={n} is for cell files; the cell `{}` takes --hidden {n}",
                    entry.name
                );
            }
            let hidden = sizes.hidden.unwrap_or(HIDDEN);
            let dropout = dropout.unwrap_or(DROPOUT);
            return Ok(Forecaster {
                cell: zoo::forecaster_with_dropout(entry, columns, hidden, dropout)?,
                name: entry.name.to_owned(),
                hidden: Some(hidden),
                size: format!("{hidden} hidden units"),
                dropout: Some(dropout),
                input: "x".to_owned(),
                target: "next".to_owned(),
                output: "y".to_owned(),
            });
        }
        let text = self.text()?.expect("what is not the zoo's is text");
        if dropout.is_some() {
            bail!(
                "--dropout is for the zoo's cells; in `{}` write a mask, as in `mask kept[H] keep 0.6`",
                text.name()
            );
        }
        fit(&text, columns, &sizes.of(&text)?)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Zoo(entry) => f.write_str(entry.name),
            Choice::Written(written) => f.write_str(written.name),
            Choice::File(path) => path.display().fmt(f),
        }
    }
}

/// A hint at the known name that is most like one, if any is.
pub(crate) fn near<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let distance = |known: &&str| strsim::osa_distance(&name.to_lowercase(), known);
    let nearest = known.min_by_key(distance);
    let near = nearest.filter(|n| distance(n) <= n.len().div_ceil(2));
    near.map_or(String::new(), |n| format!(" (did you mean `{n}`?)"))
}

/// The names that `--cell` knows.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    zoo::names().chain(zoo::WRITTEN.iter().map(|w| w.name))
}

/// Numbers a row that a cell of the zoo reads unless `--set I` says it.
const INPUTS: usize = 4;

impl SizeArgs {
    /// Inputs and hidden units of a cell of the zoo, whose dimensions are I and H like those of cell files.
    ///
    /// # Errors
    /// Another dimension, one that is set twice, or a size that `--hidden` would refuse.
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

    /// What `--set` and `--hidden` say about a cell file's dimensions.
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

/// A cell file for rows of so many columns: where the shape of its input or target is a symbolic dimension that nobody
/// has set, that becomes the number of columns.
fn fit(text: &CellText, columns: usize, given: &[(&str, usize)]) -> Result<Forecaster> {
    let mut dims: Vec<(&str, usize)> = given.to_vec();
    let sequences = |role: InputRole| text.inputs().filter(move |i| i.0 == role);
    for (_, _, dimension) in sequences(InputRole::Sequence).chain(sequences(InputRole::Target)) {
        if let Some(name) = dimension
            && !dims.iter().any(|(n, _)| *n == name)
        {
            dims.push((name, columns));
        }
    }
    let one = |role: InputRole, what: &str, write: &str| {
        let mut all = sequences(role);
        match (all.next(), all.next()) {
            (Some((_, name, _)), None) => Ok(name.to_owned()),
            (first, second) => {
                let found = if first.is_none() { "none" } else { "several" };
                let message =
                    format!("to forecast rows, a cell needs one {what}; this one has {found}");
                Err(text.mistake(
                    second.map(|s| s.1),
                    message,
                    format!("expected one, as in `{write}`"),
                ))
            }
        }
    };
    let input = one(InputRole::Sequence, "input", "cell name(x[I]; …) where I=4")?;
    let target = one(InputRole::Target, "target", "target next[I]")?;
    let cell = text.cell(&dims)?;
    let rows = |n: usize| {
        if n == 1 {
            "1 column".to_owned()
        } else {
            format!("{n} columns")
        }
    };
    for i in cell.tape().inputs() {
        let name: &str = &i.name;
        if (name == input || name == target) && i.ty.shape.len() != columns {
            let message = format!(
                "`{name}` has {} numbers, but the data has {}",
                i.ty.shape.len(),
                rows(columns)
            );
            let symbolic = text.inputs().find(|i| i.1 == name).and_then(|i| i.2);
            let expected = match symbolic {
                Some(d) => format!("expected {columns}: leave `--set {d}=…` out"),
                None => {
                    format!("expected `{name}[{columns}]`, or `{name}[I]` with `where I={columns}`")
                }
            };
            return Err(text.mistake(Some(name), message, expected).into());
        }
    }
    let outputs: Vec<(&str, usize)> = cell
        .tape()
        .outputs()
        .iter()
        .filter(|o| o.role == retrograd_tape::OutputRole::Output)
        .map(|o| (&*o.name, cell.tape().node(o.value).ty.shape.len()))
        .collect();
    let fitting: Vec<&str> = outputs
        .iter()
        .filter(|o| o.1 == columns)
        .map(|o| o.0)
        .collect();
    let output = match fitting[..] {
        [one] => one.to_owned(),
        _ if fitting.contains(&"y") => "y".to_owned(),
        _ => {
            let message = format!(
                "no output is known to be the forecast: {} have {} numbers, as the data has",
                fitting.len(),
                columns
            );
            let at = outputs.first().map(|o| o.0);
            let expected =
                format!("expected one output of {columns} numbers, as in `output y = dense(h')`");
            return Err(text.mistake(at, message, expected).into());
        }
    };
    let size: Vec<String> = (text.dimensions())
        .filter_map(|d| {
            let set = dims.iter().find(|(n, _)| *n == d).map(|(_, n)| *n);
            Some(format!("{d}={}", set.or_else(|| text.default_of(d))?))
        })
        .collect();
    let set = dims.iter().find(|(n, _)| *n == "H").map(|(_, n)| *n);
    Ok(Forecaster {
        name: text.name().to_owned(),
        hidden: set.or_else(|| text.default_of("H")),
        size: if size.is_empty() {
            "a cell file".to_owned()
        } else {
            size.join(", ")
        },
        dropout: None,
        cell,
        input,
        target,
        output,
    })
}

impl Forecaster {
    /// Windows under the names that the cell calls them by.
    pub(crate) fn batch(&self, windows: data::WindowBatch<f32>) -> Batch {
        Batch::new(Extent::steps(windows.steps).rows(windows.batch))
            .with(&self.input, windows.input)
            .with(&self.target, windows.target)
    }

    /// `t` rows of one sequence to forecast from.
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
