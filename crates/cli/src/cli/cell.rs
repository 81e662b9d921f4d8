//! `retrograd cell`: a file to begin with, and the usual form of a file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use retrograd::{CellText, text};

/// Arguments of `retrograd cell`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CellCommand {
    /// Writes a cell file to begin with: a gated cell, with comments that say what each line does.
    New {
        /// The cell's name: letters, digits and `_`. The file is called `NAME.cell`.
        #[arg(value_name = "NAME")]
        name: String,
        /// Directory of the file.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Formats cell files; only white space changes.
    Fmt {
        /// The files.
        #[arg(value_name = "FILE.cell", required = true)]
        files: Vec<PathBuf>,
        /// Changes nothing, and fails if a file is not formatted.
        #[arg(long)]
        check: bool,
    },
}

/// Runs a command, and returns what it prints.
///
/// # Errors
/// Files that cannot be read or written, mistakes in them, names that are none.
pub(super) fn run(command: &CellCommand) -> Result<String> {
    match command {
        CellCommand::New { name, out } => new(name, out),
        CellCommand::Fmt { files, check } => fmt(files, *check),
    }
}

fn new(name: &str, out: &Path) -> Result<String> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !letters || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        bail!(
            "a cell is called by letters, digits and `_`, a letter first; `{name}` is no such name"
        );
    }
    let path = out.join(name).with_extension("cell");
    if path.exists() {
        bail!("{} is there already", path.display());
    }
    let text = TEMPLATE.replace("NAME", name);
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    let shown = path.display();
    Ok(format!(
        "{shown}\n\nretrograd check --cell {shown}\nretrograd train --data FILE.csv --cell {shown}\n"
    ))
}

/// A cell to begin with.
const TEMPLATE: &str = "\
# NAME: a memory that a gate keeps or overwrites. Everything is for one example and one step.
# x is the input, h the state: what h was a step before. H is the number of units (--set H=64).
cell NAME(x[I]; h[H]) where I=1, H=32
keep = sigmoid(dense(x, h))  # W x + U h + b, one of each unit; parameters keep.x, keep.h, keep.bias
new = tanh(dense(x, h))
h' = keep * h + (1 - keep) * new  # the state's next value
init keep.bias = 1  # begins by keeping
output y = dense[I](h')  # what is forecast
target next[I]
loss mean(square(y - next))  # of each step; averaged over all
";

fn fmt(files: &[PathBuf], check: bool) -> Result<String> {
    let mut changed = Vec::new();
    for path in files {
        // A mistake shows its line.
        CellText::open(path)?;
        let own = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let Some(usual) = text::format(&own) else {
            bail!("{} has text that is none of the language", path.display());
        };
        if usual == own {
            continue;
        }
        if !check {
            fs::write(path, usual)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        changed.push(path.display().to_string());
    }
    if check && !changed.is_empty() {
        bail!(
            "not in the usual form: {} (`retrograd cell fmt` writes it)",
            changed.join(", ")
        );
    }
    Ok(changed.iter().map(|name| format!("{name}\n")).collect())
}
