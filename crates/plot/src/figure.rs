//! [`Figure`]: the pictures of a study, behind one interface.

use std::path::Path;

use crate::canvas::{self, Canvas};
use crate::{BarPlot, HeatPlot, LinePlot, PlotError, RangePlot, TilePlot};

/// A picture of a study.
///
/// ```
/// use retrograd_plot::{Figure, LinePlot, PlotError};
///
/// let empty = Figure::Lines(LinePlot::default());
/// assert_eq!(empty.size().0, 1600);
/// assert!(matches!(empty.svg(), Err(PlotError::NoData(_))));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// Curves.
    Lines(LinePlot),
    /// A table of shares.
    Tiles(TilePlot),
    /// Maps over time.
    Heat(HeatPlot),
    /// Numbers with their ranges.
    Ranges(RangePlot),
    /// Bars.
    Bars(BarPlot),
}

impl Figure {
    /// Writes the picture as PNG, 1600 pixels wide.
    ///
    /// # Errors
    /// [`PlotError`] if there is nothing to plot, lengths differ, or the file cannot be written.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_png(path.as_ref(), self.size(), &mut |canvas| self.draw(canvas))
    }

    /// The picture as SVG, 1600 logical pixels wide.
    ///
    /// # Errors
    /// [`PlotError`] if there is nothing to plot, or lengths differ.
    pub fn svg(&self) -> Result<String, PlotError> {
        self.check()?;
        canvas::svg(self.size(), &mut |canvas| self.draw(canvas))
    }

    fn check(&self) -> Result<(), PlotError> {
        match self {
            Figure::Lines(p) => p.check(),
            Figure::Tiles(p) => p.check(),
            Figure::Heat(p) => p.check(),
            Figure::Ranges(p) => p.check(),
            Figure::Bars(p) => p.check(),
        }
    }

    /// Its width and height in logical pixels.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Figure::Lines(p) => p.size(),
            Figure::Tiles(p) => p.size(),
            Figure::Heat(p) => p.size(),
            Figure::Ranges(p) => p.size(),
            Figure::Bars(p) => p.size(),
        }
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        match self {
            Figure::Lines(p) => p.draw(canvas),
            Figure::Tiles(p) => p.draw(canvas),
            Figure::Heat(p) => p.draw(canvas),
            Figure::Ranges(p) => p.draw(canvas),
            Figure::Bars(p) => p.draw(canvas),
        }
    }
}
