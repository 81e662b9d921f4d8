//! [`LinePlot`]: curves with bands, panels one above the other, each curve named where it ends.

use crate::PlotError;
use crate::axis::{AxisScale, PlotArea, widest};
use crate::canvas::{Anchor, Canvas, Lettering, PixelPoint, colour, fitting, shorten};
use crate::labels::{LineLabel, Swatch, draw_labels, labels_width};
use crate::style::{DASHES, TITLE, WIDTH};

const PANEL_TITLE: Lettering = Lettering::bold(25.0);
const AXIS: Lettering = Lettering::plain(23.0);

/// Above the first panel; a panel with all that belongs to it, and of that what lies above and below its frame.
const TOP: f64 = 76.0;
const PANEL: f64 = 620.0;
const ABOVE: f64 = 84.0;
const BELOW: f64 = 96.0;

/// Panels of curves, one above the other.
///
/// ```
/// use retrograd_plot::{Axis, Figure, Curve, LinePanel, LinePlot};
///
/// let line = Curve { name: "lstm".to_owned(), points: vec![(1.0, 1.0), (10.0, 0.1)], ..Curve::default() };
/// let panel = LinePanel {
///     title: "error flow".to_owned(),
///     x: Axis::named("steps back"),
///     y: Axis::named("norm").log(),
///     lines: vec![line],
/// };
/// let plot = LinePlot { title: "Error flow".to_owned(), panels: vec![panel] };
/// assert!(Figure::Lines(plot).svg()?.contains("steps back"));
/// # Ok::<(), retrograd_plot::PlotError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinePlot {
    /// What is shown.
    pub title: String,
    /// The panels, from the top.
    pub panels: Vec<LinePanel>,
}

/// Curves in one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinePanel {
    /// Its title.
    pub title: String,
    /// The x axis.
    pub x: Axis,
    /// The y axis.
    pub y: Axis,
    /// The curves.
    pub lines: Vec<Curve>,
}

/// An axis, which covers what is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// Its name, with the unit.
    pub name: String,
    /// Whether it is logarithmic. Values that are not positive are then drawn at its lower end.
    pub log: bool,
    /// A lower limit of the axis.
    pub floor: Option<f64>,
}

/// A curve.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Its colour: the index of one of seven kinds, from 0.
    pub kind: usize,
    /// Its dashes: its index within its kind, from 0, which is solid.
    pub variant: usize,
    /// x and y, with x increasing.
    pub points: Vec<(f64, f64)>,
    /// The ends of a band in y for each point; empty for none.
    pub band: Vec<(f64, f64)>,
}

impl LinePlot {
    pub(crate) fn check(&self) -> Result<(), PlotError> {
        let empty = |p: &LinePanel| p.lines.iter().all(|l| l.points.is_empty());
        if self.panels.is_empty() || self.panels.iter().any(empty) {
            let what = format!("\"{}\" has no lines in a panel", self.title);
            return Err(PlotError::NoData(what));
        }
        for line in self.panels.iter().flat_map(|p| &p.lines) {
            if !line.band.is_empty() && line.band.len() != line.points.len() {
                return Err(PlotError::Length {
                    what: format!("band of \"{}\"", line.name),
                    found: line.band.len(),
                    expected: line.points.len(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        (WIDTH, (TOP + PANEL * self.panels.len() as f64) as u32)
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let middle = f64::from(WIDTH) / 2.0;
        let title = fitting(&self.title, TITLE, f64::from(WIDTH) - 48.0);
        canvas.text(&self.title, (middle, 48.0), Anchor::Middle, title)?;
        for (k, panel) in self.panels.iter().enumerate() {
            panel.draw(canvas, TOP + PANEL * k as f64)?;
        }
        Ok(())
    }
}

impl LinePanel {
    fn draw(&self, canvas: &dyn Canvas, top: f64) -> Result<(), PlotError> {
        let labels: Vec<LineLabel> = self.lines.iter().filter_map(label).collect();
        let y = self.y.scale(self.lines.iter().flat_map(Curve::ys));
        let panel = PlotArea {
            left: 24.0 + widest(&y.ticks(8)) + 12.0,
            right: f64::from(WIDTH) - labels_width(&labels) - 24.0,
            top: top + ABOVE,
            bottom: top + PANEL - BELOW,
            x: self
                .x
                .tight(self.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0))),
            y,
        };
        let title = fitting(&self.title, PANEL_TITLE, f64::from(WIDTH) - 48.0);
        canvas.text(&self.title, (24.0, top + 28.0), Anchor::Start, title)?;
        let axis = fitting(&self.y.name, AXIS, f64::from(WIDTH) - 48.0);
        canvas.text(&self.y.name, (24.0, top + 64.0), Anchor::Start, axis)?;
        let under = (f64::midpoint(panel.left, panel.right), top + PANEL - 28.0);
        let axis = fitting(&self.x.name, AXIS, panel.right - panel.left);
        canvas.text(&self.x.name, under, Anchor::Middle, axis)?;
        panel.grid(canvas, &panel.y.ticks(8), &panel.x.ticks(8), true)?;
        for line in &self.lines {
            line.draw_band(canvas, &panel)?;
        }
        for line in &self.lines {
            line.draw(canvas, &panel)?;
        }
        draw_labels(canvas, &panel, &labels)
    }
}

fn label(line: &Curve) -> Option<LineLabel> {
    let last = line.points.iter().rev().find(|p| p.1.is_finite())?;
    let tone = line.tone();
    Some(LineLabel {
        text: shorten(&line.name, 40),
        value: last.1,
        sample: match line.dashes() {
            [] => Swatch::Curve(tone, 4.0),
            dashes => Swatch::Dashed(tone, dashes),
        },
    })
}

impl Curve {
    fn tone(&self) -> plotters::style::RGBColor {
        colour::KINDS[self.kind % colour::KINDS.len()]
    }

    fn dashes(&self) -> &'static [f64] {
        match self.variant.checked_sub(1) {
            None => &[],
            Some(k) => DASHES[k % DASHES.len()],
        }
    }

    fn ys(&self) -> impl Iterator<Item = f64> {
        let band = self.band.iter().flat_map(|&(low, high)| [low, high]);
        self.points.iter().map(|p| p.1).chain(band)
    }

    fn draw_band(&self, canvas: &dyn Canvas, panel: &PlotArea) -> Result<(), PlotError> {
        let at = |x: f64, y: f64| (panel.x_at(x), panel.y_at(y));
        let both = self.points.iter().zip(&self.band);
        let both = both.filter(|(_, (low, high))| low.is_finite() && high.is_finite());
        let above: Vec<PixelPoint> = both.clone().map(|(p, band)| at(p.0, band.1)).collect();
        let below = both.rev().map(|(p, band)| at(p.0, band.0));
        match above.len() {
            0 | 1 => Ok(()),
            _ => {
                let corners: Vec<PixelPoint> = above.iter().copied().chain(below).collect();
                canvas.area(&corners, self.tone(), 0.15)
            }
        }
    }

    fn draw(&self, canvas: &dyn Canvas, panel: &PlotArea) -> Result<(), PlotError> {
        let points = self.points.iter().copied();
        if self.dashes().is_empty() {
            return panel.curve(canvas, points, 4.0, self.tone());
        }
        for run in self.points.split(|p| !p.1.is_finite()) {
            let run: Vec<PixelPoint> = run
                .iter()
                .map(|p| (panel.x_at(p.0), panel.y_at(p.1)))
                .collect();
            canvas.dashed(&run, self.dashes(), 4.0, self.tone())?;
        }
        Ok(())
    }
}

impl Axis {
    /// An axis called so.
    pub fn named(name: impl Into<String>) -> Axis {
        Axis {
            name: name.into(),
            ..Axis::default()
        }
    }

    /// The same, logarithmic.
    #[must_use]
    pub fn log(self) -> Axis {
        Axis { log: true, ..self }
    }

    /// Covers the values with a little to spare.
    fn scale(&self, values: impl Iterator<Item = f64>) -> AxisScale {
        let scale = self.tight(values).widened(0.04);
        match self.floor {
            Some(floor) if scale.low < floor && floor < scale.high => AxisScale {
                low: floor,
                ..scale
            },
            _ => scale,
        }
    }

    /// From the least to the greatest of the values that the axis can show.
    fn tight(&self, values: impl Iterator<Item = f64>) -> AxisScale {
        AxisScale::tight(values, self.log)
    }
}
