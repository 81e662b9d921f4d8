//! The readout and the loss of a cell that has neither.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use retrograd::forecast::{Embedding, Head};
use retrograd::zoo::{self, ForecastLoss};
use retrograd::{CellText, InputRole};
use retrograd_tape::OutputRole;

use super::fit::{check_length, forecasts};
use super::{Forecaster, Widths, of_role, only, size_of_dimension, sizes, with_columns};

/// What is added to a cell without a loss of its own.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadoutArgs {
    /// Dropout before the readout of a cell without a loss of its own: the probability that an element is dropped in training
    /// [default: 0.4 for the cells S1 to S7, else 0].
    #[arg(long, value_name = "P", value_parser = super::super::values::dropout)]
    pub(crate) dropout: Option<f64>,
    /// The loss of a cell without one of its own: `mse`, `mae`, `huber`, `gaussian` or `student` (the likelihood of a
    /// distribution whose scale is forecast, too), or `quantile` (the quantiles of intervals of 50, 80, 90 and 95 %) [default: mse]. The
    /// readout is as wide as the loss needs. With --wav: `esr`, the error-to-signal ratio, or `mse` [default: esr].
    #[arg(long, value_name = "NAME")]
    pub(crate) loss: Option<LossName>,
}

/// What `--loss` names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LossName {
    /// Of rows of a table.
    Rows(ForecastLoss),
    /// The error-to-signal ratio of recordings.
    ErrorToSignal,
}

impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossName::Rows(loss) => loss.fmt(f),
            LossName::ErrorToSignal => f.write_str("esr"),
        }
    }
}

impl FromStr for LossName {
    type Err = String;

    fn from_str(name: &str) -> Result<LossName, String> {
        match name {
            "esr" => Ok(LossName::ErrorToSignal),
            _ => Ok(LossName::Rows(name.parse()?)),
        }
    }
}

impl ReadoutArgs {
    pub(super) fn of(&self, widths: Widths<'_>, dropout: f64) -> zoo::Forecaster {
        let cell = zoo::Forecaster::new(widths.inputs).targets(widths.outputs);
        let loss = self.of_rows();
        cell.masked(widths.masked).dropout(dropout).loss(loss)
    }

    /// What the readout says of a distribution.
    pub(crate) fn head(&self) -> Head {
        self.of_rows().into()
    }

    fn of_rows(&self) -> ForecastLoss {
        match self.loss {
            Some(LossName::Rows(loss)) => loss,
            Some(LossName::ErrorToSignal) | None => ForecastLoss::default(),
        }
    }

    /// Adds the readout to a cell file without a loss.
    pub(super) fn add_to(
        &self,
        text: &CellText,
        widths: Widths<'_>,
        given: &[(&str, usize)],
    ) -> Result<Forecaster> {
        let input = only(
            text,
            InputRole::Sequence,
            "input",
            "cell name(x[I]; …) where I=4",
        )?;
        if let Some((name, _)) = of_role(text, InputRole::Static).next() {
            let message = "rows of a series have no static inputs".to_owned();
            let expected = "expected a cell of one input".to_owned();
            return Err(text.mistake(Some(name), message, expected).into());
        }
        let dims = with_columns(given, of_role(text, InputRole::Sequence), widths.read());
        // As the file says its shape: the cell as a layer would only say what does not fit.
        let alone = text.cell(&dims)?;
        check_length(text, &alone, &input, widths.read())?;
        let mut outputs = alone.tape().outputs().iter();
        if let Some(read) = outputs.find(|o| o.role == OutputRole::Output) {
            forecasts(text, &alone, &read.name)?;
        }
        let cell = self.of(widths, self.dropout.unwrap_or(0.0));
        let cell = cell.cell(text.name(), |c, x| {
            let x = Embedding::read(widths.categories, c, x);
            c.layer("", text, [x], &dims)
        })?;
        let size = sizes(text, &dims);
        Ok(Forecaster {
            hidden: size_of_dimension(text, &dims, "H"),
            head: self.head(),
            ..Forecaster::with_readout(cell, size, self.dropout)
        })
    }
}
