//! [`StudyError`]: why a study could not be made.

use std::path::PathBuf;

use retrograd::Error;
use retrograd::data::DataError;
use retrograd_plot::PlotError;

use crate::baseline::BaselineError;

/// Why a study could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A cell, its training or its parameters.
    #[error(transparent)]
    Cell(#[from] Error),
    /// A series.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A baseline.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// A picture.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A file or directory that cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The operating system's message.
        #[source]
        cause: std::io::Error,
    },
    /// A file of results with an invalid line.
    #[error("{}, line {line}: not a result of a study; to begin anew, move the file away or choose another directory: {cause}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// The line, the first being 1.
        line: usize,
        /// The parser's message.
        #[source]
        cause: serde_json::Error,
    },
    /// A report was requested of a study that has not ended.
    #[error("{missing} of the {of} jobs of the study have no result yet")]
    Missing {
        /// Jobs without a result.
        missing: usize,
        /// All jobs.
        of: usize,
    },
}
