//! The readout and the loss of a cell that has neither.

use anyhow::Result;
use retrograd::zoo::{self, ForecastLoss};
use retrograd::{CellText, InputRole};

use super::{
    Forecaster, check_length, of_role, only, reads_no_later_rows, size_of_dimension, sizes,
    with_columns,
};

/// What is added to a cell without a loss of its own.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadoutArgs {
    /// Dropout before the readout of a cell without a loss of its own: the probability that an element is dropped in training
    /// [default: 0.4 for the cells S1 to S7, else 0].
    #[arg(long, value_name = "P", value_parser = super::super::values::dropout)]
    pub(crate) dropout: Option<f64>,
    /// The loss of a cell without one of its own: `mse`, `mae`, `huber`, or `gaussian` (the likelihood of a normal distribution
    /// whose variance is forecast, too) [default: mse]. The readout is as wide as the loss needs.
    #[arg(long, value_name = "NAME")]
    pub(crate) loss: Option<ForecastLoss>,
}

impl ReadoutArgs {
    pub(super) fn of(&self, columns: usize, dropout: f64) -> zoo::Forecaster {
        let loss = self.loss.unwrap_or_default();
        zoo::Forecaster::new(columns).dropout(dropout).loss(loss)
    }

    /// Adds the readout to a cell file without a loss.
    pub(super) fn add_to(
        &self,
        text: &CellText,
        columns: usize,
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
        let dims = with_columns(given, of_role(text, InputRole::Sequence), columns);
        // As the file says its shape: the cell as a layer would only say what does not fit.
        check_length(text, &text.cell(&dims)?, &input, columns)?;
        reads_no_later_rows(text, &text.cell(&dims)?)?;
        let cell = self.of(columns, self.dropout.unwrap_or(0.0));
        let cell = cell.cell(text.name(), |c, x| c.layer("", text, [x], &dims))?;
        let size = sizes(text, &dims);
        Ok(Forecaster {
            hidden: size_of_dimension(text, &dims, "H"),
            ..Forecaster::with_readout(cell, size, self.dropout)
        })
    }
}
