//! Pictures, as PNG and as SVG: of a training run, [`LossPlot`] and [`ForecastPlot`]; of a study or a
//! measurement, [`Figure`].
//!
//! Text is measured and drawn with the DejaVu font that the `dejavu` crate carries, so a picture does not depend on installed
//! fonts, but for what that font lacks: an installed font draws it in a PNG, or else � stands for it ([`undrawable`]). Colours are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers can tell apart; lines
//! differ in dash or marker as well.
//!
//! Invariant: both formats come from one drawing, 1600 logical pixels wide, laid out by the measured widths of its texts.

mod axis;
mod bars;
mod canvas;
mod error;
mod fallback;
mod figure;
mod forecast;
mod heat;
mod labels;
#[cfg(test)]
mod layout_tests;
mod lettering;
mod lines;
mod loss;
mod ranges;
mod style;
mod tiles;

pub use bars::{Bar, BarPanel, BarPlot};
pub use error::PlotError;
pub use fallback::undrawable;
pub use figure::Figure;
pub use forecast::{ForecastPanel, ForecastPlot};
pub use heat::{HeatInput, HeatMap, HeatPlot};
pub use lines::{Axis, Curve, LinePanel, LinePlot};
pub use loss::{LossPlot, Reference};
pub use ranges::{Range, RangePanel, RangePlot};
pub use tiles::{ShareTile, TileGroup, TilePlot};
