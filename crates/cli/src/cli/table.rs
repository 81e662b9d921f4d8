//! The user's table: read as the flags say, split into what is trained on and what is not.

use std::io;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use retrograd::data::{Csv, DataError, Panel, Series, Split, printable};
use retrograd::forecast::Columns;

use super::args::{DataSource, RoleArgs, TableArgs};

/// The greatest number of columns: the work of the autoregression grows with its square.
const MOST_COLUMNS: usize = 1024;
/// Characters of a file's name in titles.
const LONGEST_NAME: usize = 60;

/// A range of rows for each series.
pub(super) type Parts = Vec<Range<usize>>;

/// A table that was read.
pub(super) struct Table {
    /// The file's name, for titles.
    pub(super) name: String,
    pub(super) embedded: bool,
    pub(super) panel: Panel,
}

impl TableArgs {
    /// The reader that they describe; it reads columns with roles, too.
    pub(super) fn csv(&self, roles: &RoleArgs) -> Csv {
        let mut csv = Csv::new()
            .header(self.header.unwrap_or_default())
            .reversed(self.reverse)
            .thousands(self.thousands)
            .gaps(self.form.gaps.unwrap_or_default())
            .also(trimmed(roles.target.iter().flatten()))
            .texts(trimmed(roles.known.iter().chain(&roles.statics)))
            .categorical(trimmed(&roles.categorical));
        if let Some(columns) = &self.columns {
            csv = csv.columns(columns);
        }
        if let Some(separator) = self.form.separator {
            csv = csv.separator(separator);
        }
        if let Some(decimal) = self.form.decimal {
            csv = csv.decimal(decimal);
        }
        if let Some(id) = &self.form.id {
            csv = csv.id(id);
        }
        match &self.form.time {
            Some(time) => csv.time(time),
            None => csv,
        }
    }
}

fn trimmed<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let names = names.into_iter();
    names.map(|name| name.trim().to_owned()).collect()
}

impl RoleArgs {
    /// The columns of a panel with their roles. Categories are not forecast, unless they are asked for, which is refused later.
    pub(super) fn of(&self, panel: &Panel) -> Result<Columns> {
        let first = &panel.series()[0];
        let numbers = || {
            let all = panel.names().iter().enumerate();
            let free = all.filter(|(c, name)| {
                let given = self.known.contains(name) || self.statics.contains(name);
                first.categories(*c).is_none() && !given
            });
            free.map(|(_, name)| name.clone()).collect()
        };
        let only = (0..first.columns()).any(|c| first.categories(c).is_some());
        let targets: Option<Vec<String>> = match &self.target {
            Some(targets) => Some(targets.clone()),
            None => only.then(numbers),
        };
        Ok(Columns::of(
            panel.names(),
            targets.as_deref(),
            &self.known,
            &self.statics,
        )?)
    }

    /// All columns that it names.
    pub(super) fn named(&self) -> Vec<String> {
        let targets = self.target.iter().flatten();
        let all = targets.chain(&self.known).chain(&self.statics);
        let all = all.chain(&self.categorical);
        all.map(|name| name.trim().to_owned()).collect()
    }

    /// Whether it says no more than the default.
    pub(super) fn is_plain(&self) -> bool {
        self.named().is_empty()
            && self.horizon.is_none_or(|h| h == 1)
            && self.scale.is_none()
            && self.difference.is_none()
    }
}

impl Table {
    /// Reads a table with all columns that roles name; of each series, the first rows only if so asked.
    pub(super) fn read(
        source: &DataSource,
        roles: &RoleArgs,
        rows: Option<usize>,
    ) -> Result<Table> {
        let (name, panel) = match source {
            DataSource::SeattleWeather => (
                "Seattle weather".to_owned(),
                Series::seattle_weather().into(),
            ),
            DataSource::File(table) => {
                let path = table.path.as_deref().context("there is no table")?;
                let (name, panel) = open(path, &table.csv(roles))?;
                match table.form.wide {
                    true => (name, panel.columns_as_series("series", "value")?),
                    false => (name, panel),
                }
            }
            DataSource::Wav(_) => bail!("recordings are no table"),
        };
        let columns = panel.names().len();
        if columns > MOST_COLUMNS {
            bail!(
                "{name}: {columns} columns of numbers; at most {MOST_COLUMNS} are forecast at a time: name them with --columns"
            );
        }
        let panel = match rows {
            Some(rows) if panel.series().len() > 1 => {
                panel.map(|series| series.first(rows.min(series.len())))?
            }
            Some(rows) => panel.map(|series| series.first(rows))?,
            None => panel,
        };
        Ok(Table {
            name,
            embedded: matches!(source, DataSource::SeattleWeather),
            panel,
        })
    }

    /// Whether it is one series without gaps, whose rows are forecast one by one.
    pub(super) fn is_plain(&self, roles: &RoleArgs) -> bool {
        let series = self.panel.series();
        roles.is_plain() && series.len() == 1 && !series[0].has_missing()
    }

    /// The rows to train on, and those after them, of each series.
    pub(super) fn split(&self, validation: f64) -> Result<(Parts, Parts)> {
        let several = self.panel.series().len() > 1;
        let split = |series: &Series| match series.split(Split::Fraction(validation)) {
            // One of several that is too short to be split is not validated on.
            Err(DataError::BadSplit { .. }) if several => {
                let rows = series.len();
                Ok((0..rows, rows..rows))
            }
            other => other,
        };
        let parts = self.panel.series().iter().map(split);
        let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
        Ok(parts.into_iter().unzip())
    }
}

/// Reads a file, or standard input; its name is that of the file, for titles.
pub(super) fn open(path: &Path, csv: &Csv) -> Result<(String, Panel)> {
    if path == Path::new("-") {
        let panel = csv.read_panel(io::stdin().lock(), "standard input")?;
        return Ok(("standard input".to_owned(), panel));
    }
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let name = printable(&stem.to_string_lossy(), LONGEST_NAME);
    Ok((name, csv.open_panel(path)?))
}
