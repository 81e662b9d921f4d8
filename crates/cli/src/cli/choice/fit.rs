//! Cell files with a loss of their own, fitted to the rows of a table.

use anyhow::Result;
use retrograd::forecast::{ForecastError, Head, reads_no_later_row};
use retrograd::{Cell, CellText, InputRole};
use retrograd_tape::{Domain, Output, OutputRole};

use super::{Forecaster, Widths, of_role, only, size_of_dimension, sizes, with_columns};

/// Fits a cell file to rows of these widths: a symbolic dimension that is the shape of its input or target becomes their number, unless
/// it is set.
pub(super) fn fit(
    text: &CellText,
    widths: Widths<'_>,
    given: &[(&str, usize)],
) -> Result<Forecaster> {
    let dims = with_columns(given, of_role(text, InputRole::Sequence), widths.inputs);
    let dims = with_columns(&dims, of_role(text, InputRole::Target), widths.outputs);
    let input = only(
        text,
        InputRole::Sequence,
        "input",
        "cell name(x[I]; …) where I=4",
    )?;
    let target = only(text, InputRole::Target, "target", "target next[I]")?;
    let cell = text.cell(&dims)?;
    check_length(text, &cell, &input, widths.inputs)?;
    check_length(text, &cell, &target, widths.outputs)?;
    let output = forecast_of(text, &cell, widths.outputs)?;
    let of_step = domain(&cell, &output) == Some(Domain::Step);
    let inputs = cell.tape().inputs().iter();
    if let Some(row) =
        { inputs }.find(|i| i.role == InputRole::Target && (i.ty.domain == Domain::Step) != of_step)
    {
        let (message, expected) = match of_step {
            true => (
                format!("`{}` has one value for all steps of a series", row.name),
                "expected a target of each step: the next row".to_owned(),
            ),
            false => (
                format!("`{}` has a value for each step", row.name),
                format!("expected one of each row, as `{output}` is: `target next[I] over row`"),
            ),
        };
        return Err(text.mistake(Some(&row.name), message, expected).into());
    }
    forecasts(text, &cell, &output)?;
    Ok(Forecaster {
        name: text.name().to_owned(),
        hidden: size_of_dimension(text, &dims, "H"),
        size: sizes(text, &dims),
        dropout: None,
        output,
        head: Head::Point,
        cell,
        input,
        target,
    })
}

/// Rejects an input whose length is not the number of columns.
pub(super) fn check_length(text: &CellText, cell: &Cell, name: &str, columns: usize) -> Result<()> {
    let mut inputs = cell.tape().inputs().iter();
    let input = inputs.find(|i| *i.name == *name);
    let found = input.map_or(columns, |i| i.ty.shape.len());
    if found == columns {
        return Ok(());
    }
    let rows = match columns {
        1 => "1 column".to_owned(),
        n => format!("{n} columns"),
    };
    let message = format!("`{name}` has {found} numbers, but the data has {rows}");
    let symbolic = text.inputs().find(|i| i.1 == name).and_then(|i| i.2);
    let expected = match symbolic {
        Some(d) => format!("expected {columns}: leave `--set {d}=…` out"),
        None => format!("expected `{name}[{columns}]`, or `{name}[I]` with `where I={columns}`"),
    };
    Err(text.mistake(Some(name), message, expected).into())
}

/// Rejects a cell whose forecast depends on what it is to forecast.
pub(super) fn forecasts(text: &CellText, cell: &Cell, output: &str) -> Result<()> {
    match reads_no_later_row(cell, output) {
        Ok(()) => Ok(()),
        Err(ForecastError::Looks { why, .. }) => {
            let expected = "expected what each row knows of the rows before it".to_owned();
            Err(text.mistake(None, why, expected).into())
        }
        Err(e) => Err(e.into()),
    }
}

/// What an output varies over.
pub(super) fn domain(cell: &Cell, output: &str) -> Option<Domain> {
    let mut outputs = cell.tape().outputs().iter();
    let found = outputs.find(|o| *o.name == *output)?;
    Some(cell.tape().node(found.value).ty.domain)
}

/// The name of the output that forecasts: the only one with a number for each column, or `y` among several.
pub(super) fn forecast_of(text: &CellText, cell: &Cell, columns: usize) -> Result<String> {
    let outputs = cell.tape().outputs().iter();
    let outputs: Vec<_> = outputs.filter(|o| o.role == OutputRole::Output).collect();
    let fits = |o: &&&Output| {
        let ty = cell.tape().node(o.value).ty;
        ty.shape.len() == columns && matches!(ty.domain, Domain::Step | Domain::Row)
    };
    let fitting: Vec<&str> = outputs.iter().filter(fits).map(|o| &*o.name).collect();
    match fitting[..] {
        [one] => Ok(one.to_owned()),
        _ if fitting.contains(&"y") => Ok("y".to_owned()),
        _ => {
            let message = format!(
                "no output is known to be the forecast: {} have {columns} numbers, as the data has",
                fitting.len()
            );
            let expected =
                format!("expected one output of {columns} numbers, as in `output y = dense(h')`");
            let at = outputs.first().map(|o| &*o.name);
            Err(text.mistake(at, message, expected).into())
        }
    }
}
