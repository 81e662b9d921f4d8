//! [`HeatPlot`]: values from 0 to 1 of many units over time, one map below the other, with the inputs below them.

use plotters::style::RGBColor;

use crate::PlotError;
use crate::axis::{AxisScale, PlotArea, TICK};
use crate::canvas::{Anchor, Canvas, Lettering, colour, fitting, shorten};
use crate::style::{TITLE, WIDTH};

const NAME: Lettering = Lettering::bold(24.0);
const AXIS: Lettering = Lettering::plain(23.0);

const TOP: f64 = 76.0;
const LEFT: f64 = 100.0;
const RIGHT: f64 = 170.0;
/// Above a map, for its name; the height of a map and of an input.
const HEAD: f64 = 46.0;
const MAP: f64 = 230.0;
const READ: f64 = 110.0;
const BELOW: f64 = 90.0;
/// Shades that are told apart: neighbours of one shade are one rectangle.
const SHADES: usize = 24;

/// Points of the viridis colour map (van der Walt & Smith 2015), from 0 to 1: lightness rises evenly, for all kinds of sight.
const VIRIDIS: [(f64, f64, f64); 9] = [
    (68.0, 1.0, 84.0),
    (71.0, 44.0, 122.0),
    (59.0, 81.0, 139.0),
    (44.0, 113.0, 142.0),
    (33.0, 144.0, 141.0),
    (39.0, 173.0, 129.0),
    (92.0, 200.0, 99.0),
    (170.0, 220.0, 50.0),
    (253.0, 231.0, 37.0),
];

/// Maps over one time axis.
///
/// ```
/// use retrograd_plot::{Figure, HeatMap, HeatPlot};
///
/// let map = HeatMap { name: "forget gate".to_owned(), rows: vec![vec![0.1, 0.9, 1.0]; 4] };
/// let plot = HeatPlot {
///     title: "Gates of an LSTM".to_owned(),
///     x_name: "step".to_owned(),
///     row_name: "units".to_owned(),
///     steps: 3,
///     maps: vec![map],
///     read: Vec::new(),
/// };
/// assert!(Figure::Heat(plot).svg()?.contains("forget gate"));
/// # Ok::<(), retrograd_plot::PlotError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeatPlot {
    /// What is shown.
    pub title: String,
    /// The x axis.
    pub x_name: String,
    /// The name of a map's rows.
    pub row_name: String,
    /// Steps.
    pub steps: usize,
    /// The maps, from the top.
    pub maps: Vec<HeatMap>,
    /// The inputs, drawn as bars below the maps.
    pub read: Vec<HeatInput>,
}

/// One map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeatMap {
    /// Its name.
    pub name: String,
    /// The values of each row from 0 to 1, one per step; rows from the top.
    pub rows: Vec<Vec<f64>>,
}

/// One number per step, from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeatInput {
    /// Its name.
    pub name: String,
    /// One per step.
    pub values: Vec<f64>,
    /// For each step, whether its bar stands out, in another colour and below a triangle.
    pub marked: Vec<bool>,
}

impl HeatPlot {
    pub(crate) fn check(&self) -> Result<(), PlotError> {
        if self.steps == 0 || self.maps.iter().any(|m| m.rows.is_empty()) || self.maps.is_empty() {
            return Err(PlotError::NoData(format!(
                "\"{}\" has no values",
                self.title
            )));
        }
        let rows = self
            .maps
            .iter()
            .flat_map(|m| m.rows.iter().map(|r| (&m.name, r.len())));
        let read = self.read.iter().map(|i| (&i.name, i.values.len()));
        let marked = self.read.iter().map(|i| (&i.name, i.marked.len()));
        match rows
            .chain(read)
            .chain(marked)
            .find(|&(_, found)| found != self.steps)
        {
            None => Ok(()),
            Some((name, found)) => Err(PlotError::Length {
                what: format!("steps of \"{name}\""),
                found,
                expected: self.steps,
            }),
        }
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let maps = self.maps.len() as f64 * (HEAD + MAP);
        let read = self.read.len() as f64 * (HEAD + READ);
        (WIDTH, (TOP + maps + read + BELOW) as u32)
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let width = f64::from(WIDTH);
        let title = fitting(&self.title, TITLE, width - 48.0);
        canvas.text(&self.title, (width / 2.0, 48.0), Anchor::Middle, title)?;
        let mut top = TOP;
        for map in &self.maps {
            let panel = self.panel(top + HEAD, MAP, map.rows.len() as f64);
            map.draw(canvas, &panel, &self.row_name)?;
            top += HEAD + MAP;
        }
        for input in &self.read {
            // Room above 1 for the marks.
            let panel = self.panel(top + HEAD, READ, 1.25);
            input.draw(canvas, &panel)?;
            top += HEAD + READ;
        }
        let panel = self.panel(top, 0.0, 1.0);
        for (step, text) in panel.x.ticks(10) {
            // Of few steps, a tick may lie between two.
            if step >= self.steps as f64 || (step - step.round()).abs() > 1e-9 {
                continue;
            }
            // In the middle of the step's column.
            let at = (panel.x_at(step + 0.5), top + 14.0 + TICK.em);
            canvas.line(&[(at.0, top), (at.0, top + 8.0)], 1.5, colour::FRAME)?;
            canvas.text(&text, at, Anchor::Middle, TICK)?;
        }
        let under = (f64::midpoint(panel.left, panel.right), top + BELOW - 18.0);
        let axis = fitting(&self.x_name, AXIS, panel.right - panel.left);
        canvas.text(&self.x_name, under, Anchor::Middle, axis)?;
        legend(canvas, TOP + HEAD)
    }

    /// A panel whose x axis is steps and whose y axis is from 0 to `height` downwards.
    fn panel(&self, top: f64, tall: f64, height: f64) -> PlotArea {
        let scale = |high| AxisScale {
            low: 0.0,
            high,
            log: false,
        };
        PlotArea {
            left: LEFT,
            right: f64::from(WIDTH) - RIGHT,
            top,
            bottom: top + tall,
            x: scale(self.steps as f64),
            y: scale(height),
        }
    }
}

impl HeatMap {
    fn draw(&self, canvas: &dyn Canvas, panel: &PlotArea, row_name: &str) -> Result<(), PlotError> {
        let at = (panel.left, panel.top - 12.0);
        canvas.text(&self.name, at, Anchor::Start, name(&self.name, panel))?;
        let rows = format!("{} {}", self.rows.len(), shorten(row_name, 30));
        canvas.text(&rows, (panel.right, panel.top - 12.0), Anchor::End, TICK)?;
        let height = (panel.bottom - panel.top) / self.rows.len() as f64;
        for (row, values) in self.rows.iter().enumerate() {
            let top = panel.top + height * row as f64;
            let shades: Vec<usize> = values.iter().map(|v| shade(*v)).collect();
            let mut start = 0;
            for run in shades.chunk_by(|a, b| a == b) {
                let end = start + run.len();
                let from = (panel.x_at(start as f64), top);
                let to = (panel.x_at(end as f64), top + height);
                canvas.rect(from, to, viridis(run[0] as f64 / (SHADES - 1) as f64))?;
                start = end;
            }
        }
        Ok(())
    }
}

impl HeatInput {
    fn draw(&self, canvas: &dyn Canvas, panel: &PlotArea) -> Result<(), PlotError> {
        let at = (panel.left, panel.top - 12.0);
        canvas.text(&self.name, at, Anchor::Start, name(&self.name, panel))?;
        for (value, text) in [(0.0, "0"), (1.0, "1")] {
            let y = panel.y_at(value);
            canvas.line(&[(panel.left, y), (panel.right, y)], 1.5, colour::GRID)?;
            let at = (panel.left - 12.0, y + 0.36 * TICK.em);
            canvas.text(text, at, Anchor::End, TICK)?;
        }
        for (step, (value, marked)) in self.values.iter().zip(&self.marked).enumerate() {
            let (left, right) = (panel.x_at(step as f64), panel.x_at(step as f64 + 1.0));
            let tone = if *marked {
                colour::VERMILION
            } else {
                colour::FRAME
            };
            let from = (left + 0.15 * (right - left), panel.y_at(*value));
            canvas.rect(from, (right - 0.15 * (right - left), panel.bottom), tone)?;
            if *marked {
                let (middle, tip) = (f64::midpoint(left, right), from.1 - 3.0);
                let corners = [(-8.0, -14.0), (8.0, -14.0), (0.0, 0.0)];
                canvas.area(&corners.map(|(x, y)| (middle + x, tip + y)), tone, 1.0)?;
            }
        }
        Ok(())
    }
}

/// How the name above a panel is lettered: what its rows are stands beside it.
fn name(text: &str, panel: &PlotArea) -> Lettering {
    fitting(text, NAME, 0.6 * (panel.right - panel.left))
}

/// A bar of all shades to the right of the first map.
fn legend(canvas: &dyn Canvas, top: f64) -> Result<(), PlotError> {
    let left = f64::from(WIDTH) - RIGHT + 40.0;
    let height = MAP / SHADES as f64;
    for k in 0..SHADES {
        let from = (left, top + height * k as f64);
        let share = 1.0 - k as f64 / (SHADES - 1) as f64;
        canvas.rect(from, (left + 30.0, from.1 + height), viridis(share))?;
    }
    for (text, y) in [("1 open", top + 0.72 * TICK.em), ("0 shut", top + MAP)] {
        canvas.text(text, (left + 40.0, y), Anchor::Start, TICK)?;
    }
    Ok(())
}

fn shade(value: f64) -> usize {
    (value.clamp(0.0, 1.0) * (SHADES - 1) as f64).round() as usize
}

fn viridis(value: f64) -> RGBColor {
    let at = value.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let (k, part) = ((at as usize).min(VIRIDIS.len() - 2), at.fract());
    let part = if at as usize > k { 1.0 } else { part };
    let (a, b) = (VIRIDIS[k], VIRIDIS[k + 1]);
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}
