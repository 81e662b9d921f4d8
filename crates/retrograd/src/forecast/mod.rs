//! Forecasts of tables: what columns are for, training windows, a saved model, forecasts with intervals, backtests.
//!
//! A [`Setup`] says how a [`Panel`](crate::data::Panel) becomes what a cell reads: the roles of [`Columns`], how many rows are forecast
//! at once, the window, the [`Scaling`]. [`Examples`] draws windows for a [`Trainer`](crate::Trainer). A [`Model`] is a cell with its
//! parameters and setup, in one file: it forecasts rows after the last with intervals, and is tested against simple forecasts.
//!
//! ```
//! # #[cfg(feature = "text")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use retrograd::data::{Panel, Series};
//! use retrograd::fit::Fit;
//! use retrograd::forecast::{Backtest, Columns, Examples, Model, Setup};
//! use retrograd::{Adam, Trainer, zoo};
//!
//! let wave = (0..240).map(|t| (t as f64 * 0.5).sin()).collect();
//! let panel = Panel::from(Series::new(vec!["wave".to_owned()], wave)?);
//! let columns = Columns::of(panel.names(), None, &[], &[])?;
//! let setup = Setup::fit(columns, &panel, &[0..200])?.steps(24);
//!
//! let cell = zoo::forecaster(zoo::find("gru").unwrap(), setup.inputs(), 8)?;
//! let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?;
//! let examples = Examples::new(&setup, &panel, &[0..200], false)?;
//! let mut order = examples.order(16, 4, 1)?;
//! Fit::new(40).run(&mut trainer, |epoch| order.epoch(epoch))?;
//!
//! let mut model = Model::new(&trainer.checkpoint(), &setup)?;
//! let test = model.backtest(&panel, &[200..240], &Backtest::new(6))?;
//! assert!(test.mase[0].unwrap() < test.naive_mase[0].unwrap(), "better than the last value");
//! model.keep(&test);
//! let forecast = &model.forecast(&panel, 6, None, &[0.8])?[0];
//! assert_eq!(forecast.values.len(), 6);
//! let (low, high) = (&forecast.intervals[0].low, &forecast.intervals[0].high);
//! assert!(low[0].unwrap() < high[0].unwrap());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "text"))]
//! # fn main() {}
//! ```

mod ahead;
mod backtest;
mod category;
mod columns;
mod difference;
mod examples;
mod head;
mod model;
mod residuals;
mod rollout;
mod scaling;
mod setup;
mod tally;
mod view;

pub use ahead::reads_no_later_row;
pub use backtest::{Backtest, BacktestReport, Fold, Score};
pub use category::{Category, Embedding};
pub use columns::Columns;
pub use difference::Difference;
pub use examples::{Epoch, Examples, Order};
pub use head::Head;
pub use model::{Forecast, Interval, Model};
pub use residuals::Residuals;
pub use scaling::Scaling;
pub use setup::{Ports, Setup};

use crate::data::DataError;
use crate::error::Error;

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The table, or a request for it.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The cell, or a run of it.
    #[error(transparent)]
    Cell(#[from] Error),
    /// What was asked for does not go together.
    #[error("{0}")]
    Request(String),
    /// A cell whose output depends on what it is to forecast.
    #[error("`{output}` cannot forecast: {why}")]
    Looks {
        /// The output.
        output: String,
        /// What it depends on.
        why: String,
    },
    /// A file of parameters without what a forecast needs.
    #[error("{}: it has a cell and its parameters, and not how a table is read; it was not saved by a training on one", path.display())]
    NoSetup {
        /// The file.
        path: std::path::PathBuf,
    },
}

impl From<DataError> for ForecastError {
    fn from(error: DataError) -> ForecastError {
        ForecastError::Data(Box::new(error))
    }
}
