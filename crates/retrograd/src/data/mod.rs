//! Observations: reading them, splitting them, standardising them and cutting them into windows.
//!
//! To train a cell on a table of numbers, go from [`Series`] (a CSV file or an embedded data set, in its own units) →
//! [`Series::split`] → [`Standardizer::fit`] on the training part only → [`Windows`] of the standardised training part →
//! [`WindowBatch`]es in the `[T, B, n]` layout that cells read.
//!
//! Invariant: every value in a `Series` is finite, and every array has its documented shape. Data that would break this is rejected
//! with a [`DataError`] that names the file, the line and the column.

#[cfg(feature = "csv")]
mod category;
#[cfg(feature = "csv")]
mod csv;
mod error;
mod gaps;
#[cfg(feature = "csv")]
mod group;
#[cfg(feature = "csv")]
mod guesses;
#[cfg(feature = "csv")]
mod load;
#[cfg(feature = "csv")]
mod locale;
#[cfg(feature = "csv")]
mod manifest;
mod note;
mod panel;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "csv")]
mod read;
#[cfg(feature = "csv")]
mod records;
mod series;
mod shown;
mod spacing;
mod standardize;
#[cfg(feature = "csv")]
mod times;
mod windows;

#[cfg(feature = "csv")]
pub use csv::{Csv, Header};
pub use error::DataError;
pub use gaps::Gaps;
pub use note::{IndexUnit, Note};
pub use panel::Panel;
pub use series::{Series, Split};
pub use shown::printable;
pub use spacing::Spacing;
pub use standardize::Standardizer;
pub use windows::{Epoch, WindowBatch, Windows};
pub(crate) use windows::{at_least_one, starts};
