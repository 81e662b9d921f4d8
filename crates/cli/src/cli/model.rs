//! A saved model and the table that it is used on: what `predict` and `backtest` share.

use std::path::{Path, PathBuf};

use anyhow::Result;
use retrograd::Checkpoint;
use retrograd::data::{Header, Panel, printable};
use retrograd::forecast::Model;

use super::args::{DataSource, FormArgs, RoleArgs, TableArgs};
use super::report::LONGEST_NAME;
use super::resume::of_saved;
use super::table::Table;

/// A model and a table.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// The model that `train` saved.
    #[arg(value_name = "MODEL.safetensors")]
    pub(crate) model: PathBuf,
    /// The observations, in the form that `train` read; `-` is standard input [default: the table that the model was trained on].
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) data: Option<PathBuf>,
    /// Whether the first line has the columns' names [default: as for the training].
    #[arg(long, value_name = "yes|no", value_parser = super::values::header)]
    pub(crate) header: Option<Header>,
    /// Reverses the rows, for tables whose newest row comes first.
    #[arg(long)]
    pub(crate) reverse: bool,
    #[command(flatten)]
    pub(crate) form: FormArgs,
}

/// A model and a table that were read.
pub(super) struct Opened {
    pub(super) model: Model,
    pub(super) table: Table,
    reader: TableArgs,
}

impl ModelArgs {
    /// Reads both. What the flags do not say of the table is as for the training.
    pub(super) fn open(&self) -> Result<Opened> {
        let saved: Checkpoint = Checkpoint::read(&self.model)?;
        if retrograd::classify::Model::is_in(&saved) {
            anyhow::bail!(
                "{}: it tells labels, and forecasts nothing; `retrograd predict` with a labelled table tells how often it is right",
                self.model.display()
            );
        }
        let model = Model::open(&self.model)?;
        // A model of the library's has no command line; its table is read as the flags say.
        let began = of_saved(&saved, &self.model).ok().map(|r| r.source);
        let names: Vec<String> = model.setup().columns().names().cloned().collect();
        let roles = categories(&model);
        let source = match (began, &self.data) {
            (None, None) => anyhow::bail!("which rows? `--data FILE.csv` names them"),
            (Some(DataSource::SeattleWeather), None) => DataSource::SeattleWeather,
            (Some(DataSource::Wav(_)), None) => {
                anyhow::bail!("the model is of recordings, and of no table")
            }
            (Some(DataSource::File(began)), data) => DataSource::File(Box::new(TableArgs {
                path: data.clone().or(began.path),
                columns: began.columns,
                header: self.header.or(began.header),
                reverse: self.reverse || (data.is_none() && began.reverse),
                thousands: began.thousands,
                form: FormArgs {
                    separator: self.form.separator.or(began.form.separator),
                    decimal: self.form.decimal.or(began.form.decimal),
                    gaps: self.form.gaps.or(began.form.gaps),
                    id: self.form.id.clone().or(began.form.id),
                    wide: self.form.wide || (self.form.id.is_none() && began.form.wide),
                    time: self.form.time.clone().or(began.form.time),
                },
            })),
            (_, Some(path)) => DataSource::File(Box::new(TableArgs {
                path: Some(path.clone()),
                columns: None,
                header: self.header,
                reverse: self.reverse,
                thousands: false,
                form: self.form.clone(),
            })),
        };
        let reader = match &source {
            DataSource::File(table) => TableArgs::clone(table),
            DataSource::SeattleWeather | DataSource::Wav(_) => TableArgs {
                path: None,
                columns: None,
                header: None,
                reverse: false,
                thousands: false,
                form: FormArgs::default(),
            },
        };
        // Nothing but what the model reads: other columns may be as they are.
        let source = match source {
            DataSource::File(table) => DataSource::File(Box::new(TableArgs {
                columns: match table.form.wide {
                    true => table.columns.clone(),
                    false => Some(names),
                },
                ..*table
            })),
            embedded => embedded,
        };
        let table = Table::read(&source, &roles, None)?;
        Ok(Opened {
            model,
            table,
            reader,
        })
    }
}

impl Opened {
    /// A table of what is known ahead, read as the other one.
    pub(super) fn future(&self, path: &Path) -> Result<Panel> {
        let known = &self.model.setup().columns().known;
        let reader = TableArgs {
            path: Some(path.to_owned()),
            columns: Some(known.clone()),
            ..self.reader.clone()
        };
        let mut roles = categories(&self.model);
        roles.categorical.retain(|name| known.contains(name));
        Ok(super::table::open(path, &reader.csv(&roles))?.1)
    }

    /// What is said of categories that the model does not know, a line each.
    pub(super) fn unknown(&self, also: Option<&Panel>) -> Vec<String> {
        let setup = self.model.setup();
        let panels = std::iter::once(&self.table.panel).chain(also);
        let unknown = panels.flat_map(|panel| setup.unknown(panel));
        let line = |(column, texts): (String, Vec<String>)| {
            let shown = texts
                .iter()
                .take(5)
                .map(|t| format!("\"{}\"", printable(t, LONGEST_NAME)));
            let more = match texts.len() {
                ..=5 => "",
                _ => ", …",
            };
            format!(
                "column \"{}\": the model does not know {}{more}, and reads it as the mean of what it knows",
                printable(&column, LONGEST_NAME),
                shown.collect::<Vec<_>>().join(", ")
            )
        };
        unknown.map(line).collect()
    }
}

/// The columns that a model reads as categories.
fn categories(model: &Model) -> RoleArgs {
    let categories = model.setup().categories().iter();
    RoleArgs {
        categorical: categories.map(|c| c.column.clone()).collect(),
        ..RoleArgs::default()
    }
}
