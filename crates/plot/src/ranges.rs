//! [`RangePlot`]: a number a thing with its range, one below the other, against references.

use crate::PlotError;
use crate::axis::{AxisScale, PlotArea, TICK};
use crate::canvas::{Anchor, Canvas, Lettering, colour, fitting, shorten, text_width};
use crate::loss::{Reference, three_digits};
use crate::style::{DASHES, TITLE, WIDTH};

const NAME: Lettering = Lettering::plain(23.0);
const HEAD: Lettering = Lettering::bold(25.0);

const TOP: f64 = 76.0;
/// Above a panel's frame: its title, and the references' names.
const ABOVE: f64 = 92.0;
const ROW: f64 = 44.0;
const BELOW: f64 = 104.0;

/// Panels of ranges, one above the other.
///
/// ```
/// use retrograd_plot::{Figure, Range, RangePanel, RangePlot, Reference};
///
/// let range = |name: &str, low, middle, high| Range { name: name.to_owned(), kind: 0, low, middle, high };
/// let panel = RangePanel {
///     title: "sunspots".to_owned(),
///     x_name: "mean squared error".to_owned(),
///     ranges: vec![range("rnn", 0.3, 0.4, 0.6), range("lstm", 0.2, 0.25, 0.3)],
///     reference: Some(Reference { name: "persistence".to_owned(), loss: 0.5 }),
/// };
/// let plot = RangePlot { title: "Forecasts".to_owned(), panels: vec![panel] };
/// assert!(Figure::Ranges(plot).svg()?.contains("persistence: 0.500"));
/// # Ok::<(), retrograd_plot::PlotError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RangePlot {
    /// What is shown.
    pub title: String,
    /// The panels, from the top.
    pub panels: Vec<RangePanel>,
}

/// Ranges on one axis.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RangePanel {
    /// Its title.
    pub title: String,
    /// What is on the axis, with its unit.
    pub x_name: String,
    /// The ranges, from above.
    pub ranges: Vec<Range>,
    /// A number to compare with.
    pub reference: Option<Reference>,
}

/// A number with its range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Range {
    /// Its name.
    pub name: String,
    /// Its colour: the index of one of seven kinds, from 0.
    pub kind: usize,
    /// The least.
    pub low: f64,
    /// The one to go by.
    pub middle: f64,
    /// The greatest.
    pub high: f64,
}

impl RangePlot {
    pub(crate) fn check(&self) -> Result<(), PlotError> {
        if self.panels.is_empty() || self.panels.iter().any(|p| p.ranges.is_empty()) {
            return Err(PlotError::NoData(format!(
                "\"{}\" has no ranges",
                self.title
            )));
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let panels = self.panels.iter().map(RangePanel::height);
        (WIDTH, (TOP + panels.sum::<f64>()) as u32)
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let width = f64::from(WIDTH);
        let title = fitting(&self.title, TITLE, width - 48.0);
        canvas.text(&self.title, (width / 2.0, 48.0), Anchor::Middle, title)?;
        let mut top = TOP;
        for panel in &self.panels {
            panel.draw(canvas, top)?;
            top += panel.height();
        }
        Ok(())
    }
}

impl RangePanel {
    fn height(&self) -> f64 {
        ABOVE + ROW * self.ranges.len() as f64 + BELOW
    }

    fn draw(&self, canvas: &dyn Canvas, top: f64) -> Result<(), PlotError> {
        let width = f64::from(WIDTH);
        let names = self.ranges.iter().map(|r| text_width(&r.name, NAME));
        let names = names.fold(0.0, f64::max).min(0.3 * width);
        let numbers = self.ranges.iter().flat_map(|r| [r.low, r.middle, r.high]);
        let x = AxisScale::covering(numbers.chain(self.reference.iter().map(|r| r.loss)), false);
        let panel = PlotArea {
            left: 24.0 + names + 20.0,
            right: width - 150.0,
            top: top + ABOVE,
            bottom: top + ABOVE + ROW * self.ranges.len() as f64,
            x,
            y: AxisScale {
                low: 0.0,
                high: 1.0,
                log: false,
            },
        };
        let title = fitting(&self.title, HEAD, width - 48.0);
        canvas.text(&self.title, (24.0, top + 30.0), Anchor::Start, title)?;
        panel.grid(canvas, &[], &panel.x.ticks(9), true)?;
        let under = (f64::midpoint(panel.left, panel.right), panel.bottom + 80.0);
        let name = fitting(&self.x_name, NAME, panel.right - panel.left);
        canvas.text(&self.x_name, under, Anchor::Middle, name)?;
        if let Some(reference) = &self.reference {
            let x = panel.x_at(reference.loss);
            let (from, to) = ((x, panel.top), (x, panel.bottom));
            canvas.dashes(from, to, DASHES[0], 4.0, colour::FRAME)?;
            let text = format!(
                "{}: {}",
                shorten(&reference.name, 60),
                three_digits(reference.loss)
            );
            let half = text_width(&text, TICK) / 2.0;
            let middle = x.clamp(24.0 + half, width - 24.0 - half);
            canvas.text(&text, (middle, panel.top - 14.0), Anchor::Middle, TICK)?;
        }
        for (k, range) in self.ranges.iter().enumerate() {
            let y = panel.top + ROW * (k as f64 + 0.5);
            let tone = colour::KINDS[range.kind % colour::KINDS.len()];
            let baseline = y + 0.36 * NAME.em;
            let name = fitting(&range.name, NAME, names);
            canvas.text(&range.name, (24.0, baseline), Anchor::Start, name)?;
            if range.low.is_finite() && range.high.is_finite() {
                let ends = [(panel.x_at(range.low), y), (panel.x_at(range.high), y)];
                canvas.line(&ends, 5.0, tone)?;
            }
            if range.middle.is_finite() {
                canvas.disc((panel.x_at(range.middle), y), 9.0, tone)?;
            }
            let at = (panel.right + 24.0, baseline);
            canvas.text(&three_digits(range.middle), at, Anchor::Start, NAME)?;
        }
        Ok(())
    }
}
