//! [`PlotError`]: why a picture could not be written.

/// Why a picture could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The file cannot be written.
    #[error("{}: cannot be written: {cause}", path.display())]
    Unwritable {
        /// The picture's path.
        path: std::path::PathBuf,
        /// The operating system's message.
        #[source]
        cause: std::io::Error,
    },
    /// There is nothing to draw.
    #[error("nothing to plot: {0}")]
    NoData(String),
    /// The picture would be too high for its panels or rows.
    #[error(
        "the picture would be {height} pixels high; at most {most} are drawn: plot fewer panels or rows"
    )]
    TooHigh {
        /// The height in logical pixels.
        height: u32,
        /// The limit.
        most: u32,
    },
    /// Arrays differ in length that belong together.
    #[error("{what}: found {found} values, expected {expected}")]
    Length {
        /// Which array.
        what: String,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// The drawing library failed.
    #[error("drawing failed: {0}")]
    Backend(String),
}
