//! [`ForecastPlot`]: small multiples, one panel per column, observed against predicted.

use std::ops::Range;
use std::path::Path;

use crate::PlotError;
use crate::axis::{AxisScale, PlotArea, TICK, widest};
use crate::canvas::{self, Anchor, Canvas, Lettering, colour, fitting, shorten, text_width};
use crate::style::{TITLE, WIDTH};
use retrograd::data::{DataError, Series};

const PANEL_TITLE: Lettering = Lettering::bold(24.0);
const AXIS: Lettering = Lettering::plain(24.0);

/// More panels than this make a page that nobody reads; the title says how many are left out.
const MAX_PANELS: usize = 8;
const HEAD: f64 = 110.0;
const FOOT: f64 = 90.0;
/// A panel with the title above it, in logical pixels.
const PANEL_STEP: f64 = 260.0;
const PANEL_HEAD: f64 = 60.0;
/// Room for a panel's title; the legend stands one line higher.
const HEADING_WIDTH: f64 = 1552.0;
/// At most about so many numbers on a panel's y axis.
const PANEL_TICKS: usize = 6;

/// Observed and predicted values of the same rows.
///
/// ```
/// use retrograd::data::Series;
/// use retrograd_plot::ForecastPlot;
///
/// let sunspots = Series::sunspots();
/// // Each year as the year before.
/// let predicted = &sunspots.rows()[299..308];
/// let plot = ForecastPlot::of_series("persistence", &sunspots, 300..309, predicted, 120)?;
/// assert_eq!(plot.x_labels[0], "2000");
/// let path = std::env::temp_dir().join(format!("retrograd-forecast-{}.svg", std::process::id()));
/// plot.write_svg(&path)?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastPlot {
    /// The title.
    pub title: String,
    /// The name of the x axis: "date".
    pub x_name: String,
    /// A label for every row, such as its date, `[rows]`.
    pub x_labels: Vec<String>,
    /// One per column.
    pub panels: Vec<ForecastPanel>,
}

/// One column of a [`ForecastPlot`].
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastPanel {
    /// The column's name.
    pub name: String,
    /// Its unit, if known.
    pub unit: Option<String>,
    /// The observed values, `[rows]`, in that unit. Values that are not finite, such as those of rows to come, leave gaps.
    pub observed: Vec<f64>,
    /// The predicted values of the same rows, `[rows]`. Values that are not finite leave gaps.
    pub predicted: Vec<f64>,
    /// The ends of an interval of the same rows, `[rows]`; empty for none. Rows whose ends are not finite have none.
    pub band: Vec<(f64, f64)>,
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

impl ForecastPlot {
    /// The last `most` of the rows `targets` of `series`. `predictions` is `[targets.len(), n]` in the series' own units, as for
    /// `retrograd_study::baseline::score`.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if the targets are not rows of the series, [`DataError::SliceLength`] if the predictions do
    /// not fit them.
    pub fn of_series(
        title: &str,
        series: &Series,
        targets: Range<usize>,
        predictions: &[f64],
        most: usize,
    ) -> Result<Self, DataError> {
        series.check_range("part to plot", &targets)?;
        let n = series.columns();
        if predictions.len() != targets.len() * n {
            return Err(DataError::SliceLength {
                what: format!("predictions to plot, [{} rows, {n} columns]", targets.len()),
                found: predictions.len(),
                expected: targets.len() * n,
            });
        }
        let skipped = targets.len().saturating_sub(most.max(1));
        let rows = targets.start + skipped..targets.end;
        let panel = |column: usize| ForecastPanel {
            name: series.names()[column].clone(),
            unit: series.unit(column).map(str::to_owned),
            observed: series
                .column(column)
                .skip(rows.start)
                .take(rows.len())
                .collect(),
            predicted: predictions
                .iter()
                .skip(skipped * n + column)
                .step_by(n)
                .copied()
                .collect(),
            band: Vec::new(),
        };
        let x_labels = match series.labels() {
            Some(labels) => labels[rows.clone()].to_vec(),
            None => rows.clone().map(|row| row.to_string()).collect(),
        };
        Ok(Self {
            title: title.to_owned(),
            x_name: series
                .label_name()
                .filter(|name| !name.is_empty())
                .unwrap_or("row")
                .to_owned(),
            x_labels,
            panels: (0..n).map(panel).collect(),
        })
    }

    pub(crate) fn check(&self) -> Result<(), PlotError> {
        let rows = self.x_labels.len();
        if rows == 0 || self.panels.is_empty() {
            return Err(PlotError::NoData(
                "the forecast has no rows or no columns".to_owned(),
            ));
        }
        for panel in &self.panels {
            for (which, values) in [
                ("observed", &panel.observed),
                ("predicted", &panel.predicted),
            ] {
                if values.len() != rows {
                    return Err(PlotError::Length {
                        what: format!("{which} values of \"{}\"", panel.name),
                        found: values.len(),
                        expected: rows,
                    });
                }
            }
            if !panel.band.is_empty() && panel.band.len() != rows {
                return Err(PlotError::Length {
                    what: format!("intervals of \"{}\"", panel.name),
                    found: panel.band.len(),
                    expected: rows,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let panels = self.panels.len().min(MAX_PANELS) as f64;
        (WIDTH, (HEAD + panels * PANEL_STEP + FOOT) as u32)
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let shown = &self.panels[..self.panels.len().min(MAX_PANELS)];
        let mut title = self.title.clone();
        if shown.len() < self.panels.len() {
            title += &format!(" (first {} of {} columns)", shown.len(), self.panels.len());
        }
        let lettering = fitting(&title, TITLE, f64::from(WIDTH) - 48.0);
        canvas.text(
            &title,
            (f64::from(WIDTH) / 2.0, 48.0),
            Anchor::Middle,
            lettering,
        )?;

        let scales: Vec<AxisScale> = shown
            .iter()
            .map(|p| {
                let values = p.observed.iter().chain(&p.predicted).copied();
                let ends = p.band.iter().flat_map(|&(low, high)| [low, high]);
                AxisScale::covering(values.chain(ends), false)
            })
            .collect();
        let tick_width = scales
            .iter()
            .map(|y| widest(&y.ticks(PANEL_TICKS)))
            .fold(0.0, f64::max);
        let x = AxisScale {
            low: 0.0,
            high: (self.x_labels.len() - 1).max(1) as f64,
            log: false,
        };
        let end = self.common_end();
        // Half of the widest label hangs over the right end.
        let widths = (0..self.x_labels.len()).map(|row| text_width(&self.x_label(row, end), TICK));
        let overhang = widths.fold(0.0, f64::max) / 2.0;
        let (left, right) = (24.0 + tick_width + 12.0, f64::from(WIDTH) - 24.0 - overhang);
        let x_ticks = self.x_ticks(right - left, 2.0 * overhang, end);
        draw_legend(canvas, right)?;
        for (k, (panel, y)) in shown.iter().zip(scales).enumerate() {
            let top = HEAD + k as f64 * PANEL_STEP;
            let frame = PlotArea {
                left,
                right,
                top: top + PANEL_HEAD,
                bottom: top + PANEL_STEP,
                x,
                y,
            };
            let heading = match &panel.unit {
                Some(unit) => format!("{} ({unit})", panel.name),
                None => panel.name.clone(),
            };
            let lettering = fitting(&heading, PANEL_TITLE, HEADING_WIDTH);
            canvas.text(
                &heading,
                (24.0, top + PANEL_HEAD - 14.0),
                Anchor::Start,
                lettering,
            )?;
            frame.grid(
                canvas,
                &y.ticks(PANEL_TICKS),
                &x_ticks,
                k + 1 == shown.len(),
            )?;
            panel.draw_band(canvas, &frame)?;
            let numbered = |values: &[f64]| -> Vec<(f64, f64)> {
                values
                    .iter()
                    .enumerate()
                    .map(|(k, &v)| (k as f64, v))
                    .collect()
            };
            let observed = numbered(&panel.observed);
            frame.curve(canvas, observed.iter().copied(), 2.0, OBSERVED)?;
            for &(row, value) in observed
                .iter()
                .filter(|(_, v)| observed.len() <= 200 && v.is_finite())
            {
                canvas.disc((frame.x_at(row), frame.y_at(value)), 3.5, OBSERVED)?;
            }
            frame.curve(
                canvas,
                numbered(&panel.predicted).into_iter(),
                4.0,
                PREDICTED,
            )?;
        }
        let under = (f64::midpoint(left, right), f64::from(self.size().1) - 20.0);
        let axis = fitting(&self.x_name, AXIS, right - left);
        canvas.text(&self.x_name, under, Anchor::Middle, axis)
    }

    /// A label in its room, without what all labels end with: see [`common_end`](Self::common_end).
    fn x_label(&self, row: usize, end: usize) -> String {
        let label = &self.x_labels[row];
        shorten(&label[..label.len() - end], 16)
    }

    /// Bytes at the end of all labels that say the same seconds, such as ":00" or ":00Z".
    fn common_end(&self) -> usize {
        let stamp = |label: &String| {
            let zone = label.len() - label.trim_end_matches('Z').len();
            let end = label.len().checked_sub(zone + 3)?;
            let seconds = label.is_char_boundary(end) && label[end..].starts_with(":00");
            // Without hours and minutes before them, they are minutes.
            let minutes = seconds && label[..end].contains(':');
            minutes.then_some(zone + 3)
        };
        let mut ends = self.x_labels.iter().map(stamp);
        let first = ends.next().flatten();
        let same = self.x_labels.iter().all(|l| stamp(l) == first);
        first.filter(|_| same).unwrap_or(0)
    }

    /// The 1st and 15th of every month, or the 1st alone, if the labels are dates and three or more of these fit with room
    /// between their texts; else evenly spaced rows.
    fn x_ticks(&self, width: f64, label_width: f64, end: usize) -> Vec<(f64, String)> {
        let most = ((width / (1.3 * label_width + 20.0)) as usize).clamp(1, 12);
        let tick = |row: usize| (row as f64, self.x_label(row, end));
        for days in [&["01", "15"][..], &["01"]] {
            let rows = (0..self.x_labels.len()).filter(|&row| {
                day_of_month(&self.x_labels[row]).is_some_and(|d| days.contains(&d))
            });
            if (3..=most).contains(&rows.clone().count()) {
                return rows.map(tick).collect();
            }
        }
        let rough = self.x_labels.len().div_ceil(most);
        let step = [1, 2, 5, 7, 10, 14, 20, 25, 50]
            .into_iter()
            .find(|&step| step >= rough)
            .unwrap_or_else(|| rough.next_multiple_of(50));
        (0..self.x_labels.len()).step_by(step).map(tick).collect()
    }
}

impl ForecastPanel {
    fn draw_band(&self, canvas: &dyn Canvas, frame: &PlotArea) -> Result<(), PlotError> {
        let known = |(low, high): &(f64, f64)| low.is_finite() && high.is_finite();
        let rows: Vec<(usize, (f64, f64))> = self.band.iter().copied().enumerate().collect();
        for run in rows.chunk_by(|a, b| known(&a.1) == known(&b.1)) {
            if !known(&run[0].1) {
                continue;
            }
            // Half a row to either side, so that a single row has a width.
            let (first, last) = (run[0].0 as f64 - 0.5, run[run.len() - 1].0 as f64 + 0.5);
            let most = frame.x.high;
            let x = |row: f64| frame.x_at(row.clamp(0.0, most));
            let ends = |low: bool| {
                let y = move |band: &(f64, f64)| if low { band.0 } else { band.1 };
                let inner = run.iter().map(move |(row, band)| (*row as f64, y(band)));
                let (begin, end) = ((first, y(&run[0].1)), (last, y(&run[run.len() - 1].1)));
                std::iter::once(begin).chain(inner).chain([end])
            };
            let mut corners: Vec<(f64, f64)> =
                ends(true).map(|(row, y)| (x(row), frame.y_at(y))).collect();
            let mut above: Vec<(f64, f64)> = ends(false)
                .map(|(row, y)| (x(row), frame.y_at(y)))
                .collect();
            above.reverse();
            corners.append(&mut above);
            canvas.area(&corners, PREDICTED, 0.2)?;
        }
        Ok(())
    }
}

const OBSERVED: plotters::style::RGBColor = colour::FRAME;
const PREDICTED: plotters::style::RGBColor = colour::VERMILION;

/// Both lines' names on one row above the panels, to the right.
fn draw_legend(canvas: &dyn Canvas, right: f64) -> Result<(), PlotError> {
    let y = 92.0;
    let mut end = right;
    for (name, width, tone) in [("predicted", 4.0, PREDICTED), ("observed", 2.0, OBSERVED)] {
        canvas.text(name, (end, y + 0.36 * AXIS.em), Anchor::End, AXIS)?;
        let line_end = end - text_width(name, AXIS) - 12.0;
        canvas.line(&[(line_end - 56.0, y), (line_end, y)], width, tone)?;
        if tone == OBSERVED {
            canvas.disc((line_end - 28.0, y), 3.5, tone)?;
        }
        end = line_end - 56.0 - 40.0;
    }
    Ok(())
}

/// The day of a date written as year, month, day with `-`, `/` or `.` between them.
fn day_of_month(label: &str) -> Option<&str> {
    let mut parts = label.split(['-', '/', '.']);
    let mut digits = |count| {
        parts
            .next()
            .filter(|part| part.len() == count && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (_year, _month, day) = (digits(4)?, digits(2)?, digits(2)?);
    parts.next().is_none().then_some(day)
}
