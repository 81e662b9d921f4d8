//! `--label`: labelled sequences, from a table with a column that tells them apart or from a manifest of files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use retrograd::classify::Pool;
use retrograd::data::{Csv, Panel, printable};

use super::args::{RoleArgs, TableArgs, TrainingArgs};
use super::report::LONGEST_NAME;
use super::table::{Table, open};

/// What labels are learned of, and how.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LabelArgs {
    /// Learns the labels of whole sequences instead of forecasting: the column that has them, the same in all rows of a sequence. --id
    /// names the column that tells the sequences apart.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// Instead of --data: a table with a line for each sequence, whose column `file` names a CSV file, relative to it; its column `label`,
    /// or the one of --label, has the labels.
    #[arg(long, value_name = "FILE.csv", conflicts_with = "path")]
    pub(crate) manifest: Option<PathBuf>,
    /// The column of groups of labelled sequences, such as speakers: all of a group are trained on, or none [default: the column `group`
    /// of a manifest, else each sequence by itself].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) group: Option<String>,
    /// What is read of a labelled sequence's steps: their `mean`, the `last`, or the greatest value of each element, `max` [default:
    /// mean].
    #[arg(long, value_name = "HOW")]
    pub(crate) pool: Option<Pool>,
    /// Lets rare labels count as much as frequent ones.
    #[arg(long)]
    pub(crate) balance: bool,
    /// Smooths labels: a share of the target that is spread evenly over all of them [default: 0].
    #[arg(long, value_name = "X", value_parser = super::values::dropout)]
    pub(crate) smoothing: Option<f64>,
}

/// The columns of a manifest unless flags name others.
const LABEL: &str = "label";
const GROUP: &str = "group";

impl LabelArgs {
    /// Whether labels are to be learned.
    pub(super) fn asked(&self) -> bool {
        self.label.is_some() || self.manifest.is_some()
    }

    /// The column of labels.
    pub(super) fn column(&self) -> &str {
        self.label.as_deref().unwrap_or(LABEL)
    }

    /// The column of groups of sequences that were read, if there is one.
    pub(super) fn group_of(&self, panel: &Panel) -> Option<String> {
        let own = self.group.clone();
        own.or_else(|| panel.constant(GROUP).map(|_| GROUP.to_owned()))
    }

    /// Refuses flags that do not go together.
    pub(super) fn check(
        &self,
        table: &TableArgs,
        roles: &RoleArgs,
        options: &TrainingArgs,
    ) -> Result<()> {
        if !self.asked() {
            let own = [
                ("--group", self.group.is_some()),
                ("--pool", self.pool.is_some()),
                ("--balance", self.balance),
                ("--smoothing", self.smoothing.is_some()),
            ];
            return match own.iter().find(|(_, given)| *given) {
                Some((flag, _)) => bail!(
                    "{flag} is for labelled sequences: `--label COLUMN` names the column of their labels"
                ),
                None => Ok(()),
            };
        }
        let forecasts = [
            ("--target", roles.target.is_some()),
            ("--known", !roles.known.is_empty()),
            ("--static", !roles.statics.is_empty()),
            ("--horizon", roles.horizon.is_some()),
            ("--scale", roles.scale.is_some()),
            ("--loss", options.readout.loss.is_some()),
            ("--steps", options.steps.is_some()),
        ];
        let learns = match self.manifest {
            Some(_) => "--manifest",
            None => "--label",
        };
        if let Some((flag, _)) = forecasts.iter().find(|(_, given)| *given) {
            bail!(
                "{flag} is for forecasts, and {learns} learns the labels of whole sequences; leave one of them out"
            );
        }
        let id = table.form.id.as_deref();
        match (&self.manifest, id) {
            (Some(_), Some(_)) => bail!(
                "--id tells the sequences of one table apart, and a manifest has a file for each; leave --id or --manifest out"
            ),
            (None, None) => bail!(
                "--label needs `--id COLUMN`, the column that tells the sequences of the table apart; or `--manifest`, a table of files"
            ),
            _ => {}
        }
        let label = self.column();
        if id == Some(label) {
            bail!("column \"{label}\" cannot be both --id and --label");
        }
        if self.group.as_deref() == Some(label) {
            bail!(
                "column \"{label}\" cannot be both --group and --label: all sequences of a label would be on one side"
            );
        }
        Ok(())
    }

    /// Reads the sequences.
    pub(super) fn read(&self, args: &TableArgs, rows: Option<usize>) -> Result<Table> {
        let csv = args.csv(&RoleArgs::default());
        let (name, panel) = match &self.manifest {
            Some(path) => manifest(path, &csv)?,
            None => {
                // Sequences by themselves are their own groups.
                let group = self
                    .group
                    .iter()
                    .filter(|g| Some(*g) != args.form.id.as_ref());
                let named = std::iter::once(self.column()).chain(group.map(String::as_str));
                let path = args.path.as_deref().context("there is no table")?;
                open(path, &csv.constant(named))?
            }
        };
        let panel = match rows {
            Some(rows) => panel.map(|series| series.first(rows.min(series.len())))?,
            None => panel,
        };
        Ok(Table {
            name,
            embedded: false,
            panel,
        })
    }
}

/// Reads a manifest and its files; its name is that of the file, for titles.
pub(super) fn manifest(path: &Path, csv: &Csv) -> Result<(String, Panel)> {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let name = printable(&stem.to_string_lossy(), LONGEST_NAME);
    Ok((name, csv.open_manifest(path)?))
}
