//! Pictures, as PNG and as SVG: of a training run, [`LossPlot`] and [`ForecastPlot`]; of a study, [`Figure`].
//!
//! For whoever reads the results of a run. Text is measured and drawn with the DejaVu font that the `dejavu` crate
//! carries, so a picture needs no font of the machine. Colours are those of Okabe and Ito ("Color Universal Design",
//! 2008), which colour-blind readers can tell apart; lines differ in dash or marker as well.
//!
//! Invariant: both formats come from one drawing, 1600 logical pixels wide, laid out by the measured widths of its texts.

mod axis;
mod canvas;
mod figure;
mod forecast;
mod heat;
mod labels;
#[cfg(test)]
mod layout_tests;
mod lines;
mod loss;
mod ranges;
mod tiles;

use std::path::Path;

pub use figure::Figure;
pub use forecast::{ForecastPanel, ForecastPlot};
pub use heat::{HeatInput, HeatMap, HeatPlot};
pub use lines::{Axis, Curve, LinePanel, LinePlot};
pub use loss::{LossPlot, Reference};
pub use ranges::{Range, RangePanel, RangePlot};
pub use tiles::{ShareTile, TileGroup, TilePlot};

/// The width of a picture in logical pixels.
const WIDTH: u32 = 1600;

const TITLE: canvas::Lettering = canvas::Lettering {
    em: 30.0,
    bold: true,
};

/// Dash patterns, in logical pixels.
const DASHES: [&[f64]; 4] = [
    &[18.0, 9.0],
    &[4.0, 7.0],
    &[20.0, 7.0, 4.0, 7.0],
    &[34.0, 10.0],
];

/// Why a picture could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The file cannot be written.
    #[error("{}: cannot be written: {cause}", path.display())]
    Unwritable {
        /// The picture's path.
        path: std::path::PathBuf,
        /// What the operating system says.
        #[source]
        cause: std::io::Error,
    },
    /// There is nothing to draw.
    #[error("nothing to plot: {0}")]
    NoData(String),
    /// So many panels or rows that the picture would be too high.
    #[error(
        "the picture would be {height} pixels high; at most {most} are drawn: plot fewer panels or rows"
    )]
    TooHigh {
        /// The height in logical pixels.
        height: u32,
        /// The greatest that is drawn.
        most: u32,
    },
    /// Arrays that belong together differ in length.
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

impl LossPlot {
    /// Writes the picture as PNG, 1600 × 900 pixels.
    ///
    /// # Errors
    /// [`PlotError`] if there is nothing to plot or the file cannot be written.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_png(path.as_ref(), loss::SIZE, &mut |canvas| self.draw(canvas))
    }

    /// Writes the picture as SVG.
    ///
    /// # Errors
    /// As [`LossPlot::write_png`].
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_svg(path.as_ref(), loss::SIZE, &mut |canvas| self.draw(canvas))
    }
}

impl ForecastPlot {
    /// Writes the picture as PNG, 1600 pixels wide, higher with the number of panels.
    ///
    /// # Errors
    /// [`PlotError`] if there is nothing to plot, lengths differ, or the file cannot be written.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_png(path.as_ref(), self.size(), &mut |canvas| self.draw(canvas))
    }

    /// Writes the picture as SVG.
    ///
    /// # Errors
    /// As [`ForecastPlot::write_png`].
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_svg(path.as_ref(), self.size(), &mut |canvas| self.draw(canvas))
    }
}
