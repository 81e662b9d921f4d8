//! [`BarPlot`]: bars from 0, one below the other, with what noise there is.

use crate::PlotError;
use crate::axis::{AxisScale, PlotArea};
use crate::canvas::{Anchor, Canvas, Lettering, colour, fitting, shorten, text_width};
use crate::style::{TITLE, WIDTH};

const NAME: Lettering = Lettering::plain(23.0);
const HEAD: Lettering = Lettering::bold(25.0);

const TOP: f64 = 76.0;
/// Above a panel's frame: its title.
const ABOVE: f64 = 56.0;
const ROW: f64 = 48.0;
const BELOW: f64 = 104.0;
/// The longest note beside a bar, in characters.
const LONGEST: usize = 48;

/// Panels of bars, one above the other.
///
/// ```
/// use retrograd_plot::{Bar, BarPanel, BarPlot, Figure};
///
/// let bar = |name: &str, value| Bar { name: name.to_owned(), value, note: format!("{value} ms"), ..Bar::default() };
/// let panel = BarPanel {
///     title: "H=128 B=32 T=100".to_owned(),
///     x_name: "milliseconds a step".to_owned(),
///     bars: vec![bar("compiled", 23.0), bar("interpreted", 160.0)],
/// };
/// let plot = BarPlot { title: "lstm".to_owned(), panels: vec![panel] };
/// assert!(Figure::Bars(plot).svg()?.contains("160 ms"));
/// # Ok::<(), retrograd_plot::PlotError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarPlot {
    /// What is shown.
    pub title: String,
    /// The panels, from the top.
    pub panels: Vec<BarPanel>,
}

/// Bars on one axis, which begins at 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarPanel {
    /// Its title.
    pub title: String,
    /// What is on the axis, with its unit.
    pub x_name: String,
    /// The bars, from above.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its colour: the index of one of seven kinds, from 0.
    pub kind: usize,
    /// Its length; one below 0, or that is not finite, is not drawn.
    pub value: f64,
    /// The range of the value, drawn as a line across the end of the bar.
    pub range: Option<(f64, f64)>,
    /// What is written beside it.
    pub note: String,
}

impl BarPlot {
    pub(crate) fn check(&self) -> Result<(), PlotError> {
        if self.panels.is_empty() || self.panels.iter().any(|p| p.bars.is_empty()) {
            return Err(PlotError::NoData(format!("\"{}\" has no bars", self.title)));
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let panels = self.panels.iter().map(BarPanel::height);
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

impl BarPanel {
    fn height(&self) -> f64 {
        ABOVE + ROW * self.bars.len() as f64 + BELOW
    }

    fn draw(&self, canvas: &dyn Canvas, top: f64) -> Result<(), PlotError> {
        let width = f64::from(WIDTH);
        let widest = |texts: &mut dyn Iterator<Item = &str>| {
            texts.map(|t| text_width(t, NAME)).fold(0.0, f64::max)
        };
        let names = widest(&mut self.bars.iter().map(|b| b.name.as_str())).min(0.25 * width);
        let notes: Vec<String> = self
            .bars
            .iter()
            .map(|b| shorten(&b.note, LONGEST))
            .collect();
        let notes_width = widest(&mut notes.iter().map(String::as_str)).min(0.35 * width);
        let ends = self
            .bars
            .iter()
            .flat_map(|b| [b.value, b.range.map_or(b.value, |r| r.1)]);
        let greatest = ends.filter(|x| x.is_finite()).fold(0.0, f64::max);
        let panel = PlotArea {
            left: 24.0 + names + 20.0,
            right: width - notes_width - 48.0,
            top: top + ABOVE,
            bottom: top + ABOVE + ROW * self.bars.len() as f64,
            x: AxisScale {
                low: 0.0,
                high: if greatest > 0.0 {
                    greatest.min(f64::MAX / 2.0) * 1.02
                } else {
                    1.0
                },
                log: false,
            },
            y: AxisScale {
                low: 0.0,
                high: 1.0,
                log: false,
            },
        };
        let title = fitting(&self.title, HEAD, width - 48.0);
        canvas.text(&self.title, (24.0, top + 30.0), Anchor::Start, title)?;
        panel.grid(canvas, &[], &panel.x.ticks(7), true)?;
        let under = (f64::midpoint(panel.left, panel.right), panel.bottom + 80.0);
        let name = fitting(&self.x_name, NAME, panel.right - panel.left);
        canvas.text(&self.x_name, under, Anchor::Middle, name)?;
        for (k, (bar, note)) in self.bars.iter().zip(&notes).enumerate() {
            let y = panel.top + ROW * (k as f64 + 0.5);
            let baseline = y + 0.36 * NAME.em;
            let name = fitting(&bar.name, NAME, names);
            canvas.text(&bar.name, (24.0, baseline), Anchor::Start, name)?;
            bar.draw(canvas, &panel, y)?;
            let lettering = fitting(note, NAME, notes_width);
            canvas.text(
                note,
                (panel.right + 24.0, baseline),
                Anchor::Start,
                lettering,
            )?;
        }
        Ok(())
    }
}

impl Bar {
    fn draw(&self, canvas: &dyn Canvas, panel: &PlotArea, y: f64) -> Result<(), PlotError> {
        let tone = colour::KINDS[self.kind % colour::KINDS.len()];
        if self.value.is_finite() && self.value > 0.0 {
            let to = (panel.x_at(self.value), y + 0.3 * ROW);
            canvas.rect((panel.left, y - 0.3 * ROW), to, tone)?;
        }
        let finite = |r: &(f64, f64)| r.0.is_finite() && r.1.is_finite();
        if let Some((low, high)) = self.range.filter(finite) {
            let (low, high) = (panel.x_at(low), panel.x_at(high));
            canvas.line(&[(low, y), (high, y)], 3.0, colour::FRAME)?;
            for x in [low, high] {
                canvas.line(&[(x, y - 8.0), (x, y + 8.0)], 3.0, colour::FRAME)?;
            }
        }
        Ok(())
    }
}
