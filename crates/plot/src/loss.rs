//! [`LossPlot`]: the loss over training, against reference losses.

use std::path::Path;

use plotters::style::RGBColor;

use crate::PlotError;
use crate::axis::{AxisScale, PlotArea, widest};
use crate::canvas::{self, Anchor, Canvas, Lettering, colour, fitting, shorten};
use crate::labels::{LineLabel, Swatch, draw_labels, labels_width};
use crate::style::{DASHES, TITLE, WIDTH};

pub(crate) const SIZE: (u32, u32) = (WIDTH, 900);

const AXIS: Lettering = Lettering::plain(24.0);

/// Training loss of every step, validation loss of every epoch, and references as horizontal lines.
///
/// ```
/// use retrograd_plot::{LossPlot, Reference};
///
/// let plot = LossPlot {
///     title: "lstm on sunspots".to_owned(),
///     loss_name: "mean squared error".to_owned(),
///     training: vec![1.0, 0.6, 0.4],
///     validation: vec![(0, 1.1), (3, 0.5)],
///     references: vec![Reference { name: "persistence".to_owned(), loss: 0.7 }],
/// };
/// let path = std::env::temp_dir().join(format!("retrograd-loss-{}.svg", std::process::id()));
/// plot.write_svg(&path)?;
/// assert!(std::fs::read_to_string(&path).unwrap().contains("persistence: 0.700"));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), retrograd_plot::PlotError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossPlot {
    /// What was trained on what.
    pub title: String,
    /// What the losses are, with their unit, for the y axis.
    pub loss_name: String,
    /// Training loss, one a step. Values that are not finite leave gaps.
    pub training: Vec<f64>,
    /// Validation loss: after how many steps, and the loss.
    pub validation: Vec<(usize, f64)>,
    /// Losses to compare with, in the same unit.
    pub references: Vec<Reference>,
}

/// A loss to compare with, such as a baseline's.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Its label.
    pub name: String,
    /// Its loss.
    pub loss: f64,
}

impl LossPlot {
    /// Writes the picture as PNG, 1600 × 900 pixels.
    ///
    /// # Errors
    /// [`PlotError`] if there is nothing to plot or the file cannot be written.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_png(path.as_ref(), SIZE, &mut |canvas| self.draw(canvas))
    }

    /// Writes the picture as SVG.
    ///
    /// # Errors
    /// As [`LossPlot::write_png`].
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.check()?;
        canvas::write_svg(path.as_ref(), SIZE, &mut |canvas| self.draw(canvas))
    }

    pub(crate) fn check(&self) -> Result<(), PlotError> {
        if self.training.is_empty() && self.validation.is_empty() {
            return Err(PlotError::NoData(
                "the run has no training or validation loss".to_owned(),
            ));
        }
        Ok(())
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let window = self.smoothing_window();
        let smoothed = moving_average(&self.training, window);
        let labels = self.labels(&smoothed, window);
        let panel = self.panel(&labels);

        let middle = f64::from(SIZE.0) / 2.0;
        let title = fitting(&self.title, TITLE, f64::from(SIZE.0) - 48.0);
        canvas.text(&self.title, (middle, 48.0), Anchor::Middle, title)?;
        let axis = fitting(&self.loss_name, AXIS, f64::from(SIZE.0) - 48.0);
        canvas.text(&self.loss_name, (24.0, 100.0), Anchor::Start, axis)?;
        let under = (
            f64::midpoint(panel.left, panel.right),
            f64::from(SIZE.1) - 22.0,
        );
        canvas.text("training step", under, Anchor::Middle, AXIS)?;
        panel.grid(canvas, &panel.y.ticks(9), &panel.x.ticks(8), true)?;

        let steps = |values: &[f64]| -> Vec<(f64, f64)> {
            values
                .iter()
                .enumerate()
                .map(|(k, &v)| ((k + 1) as f64, v))
                .collect()
        };
        panel.curve(
            canvas,
            steps(&self.training).into_iter(),
            2.0,
            colour::PALE_BLUE,
        )?;
        for (k, reference) in self
            .references
            .iter()
            .enumerate()
            .filter(|(_, r)| r.loss.is_finite())
        {
            let y = panel.y_at(reference.loss);
            let (tone, pattern) = reference_style(k);
            canvas.dashes((panel.left, y), (panel.right, y), pattern, 4.0, tone)?;
        }
        panel.curve(canvas, steps(&smoothed).into_iter(), 4.0, colour::BLUE)?;
        let validation = self
            .validation
            .iter()
            .map(|&(step, loss)| (step as f64, loss));
        panel.curve(canvas, validation.clone(), 4.0, colour::VERMILION)?;
        if self.is_marked() {
            for (step, loss) in validation.filter(|(_, loss)| loss.is_finite()) {
                canvas.disc((panel.x_at(step), panel.y_at(loss)), 6.0, colour::VERMILION)?;
            }
        }
        draw_labels(canvas, &panel, &labels)
    }

    /// Whether each validation has a marker: only where they stay apart.
    fn is_marked(&self) -> bool {
        self.validation.len() <= 60
    }

    /// About a thirtieth of the run, odd so that it has a centre.
    fn smoothing_window(&self) -> usize {
        (self.training.len() / 30).clamp(1, 1000) | 1
    }

    fn labels(&self, smoothed: &[f64], window: usize) -> Vec<LineLabel> {
        let mut labels = Vec::new();
        let last = |values: &[f64]| values.iter().rev().copied().find(|v| v.is_finite());
        if let Some(value) = last(&self.training) {
            let sample = Swatch::Curve(colour::PALE_BLUE, 4.0);
            labels.push(LineLabel {
                text: "training, each step".to_owned(),
                value,
                sample,
            });
        }
        if let Some(value) = last(smoothed) {
            let sample = Swatch::Curve(colour::BLUE, 4.0);
            let text = format!("training, mean of {window} steps");
            labels.push(LineLabel {
                text,
                value,
                sample,
            });
        }
        let validation: Vec<f64> = self.validation.iter().map(|&(_, loss)| loss).collect();
        if let Some(value) = last(&validation) {
            let text = match validation.last() {
                Some(end) if end.is_finite() => format!("validation: {}", three_digits(value)),
                _ => "validation: not finite at the end".to_owned(),
            };
            labels.push(LineLabel {
                text,
                value,
                sample: match self.is_marked() {
                    true => Swatch::Marked(colour::VERMILION),
                    false => Swatch::Curve(colour::VERMILION, 4.0),
                },
            });
        }
        for (k, Reference { name, loss }) in self.references.iter().enumerate() {
            let (tone, pattern) = reference_style(k);
            if loss.is_finite() {
                let text = format!("{}: {}", shorten(name, 28), three_digits(*loss));
                labels.push(LineLabel {
                    text,
                    value: *loss,
                    sample: Swatch::Dashed(tone, pattern),
                });
            }
        }
        labels
    }

    fn panel(&self, labels: &[LineLabel]) -> PlotArea {
        let losses = self.training.iter().copied();
        let validation = self.validation.iter().map(|&(_, loss)| loss);
        let references = self.references.iter().map(|reference| reference.loss);
        let y = AxisScale::covering(losses.chain(validation).chain(references), true);
        let last_validation = self
            .validation
            .iter()
            .map(|&(step, _)| step)
            .max()
            .unwrap_or(0);
        let steps = self.training.len().max(last_validation).max(1);
        PlotArea {
            left: 24.0 + widest(&y.ticks(9)) + 12.0,
            right: f64::from(SIZE.0) - labels_width(labels) - 24.0,
            top: 124.0,
            bottom: f64::from(SIZE.1) - 100.0,
            x: AxisScale {
                low: 0.0,
                high: steps as f64,
                log: false,
            },
            y,
        }
    }
}

/// The mean of the `window` values around each one, of fewer at the ends; values that are not finite
/// are left out, and stay gaps.
fn moving_average(values: &[f64], window: usize) -> Vec<f64> {
    let half = window / 2;
    let around = |at: usize| &values[at.saturating_sub(half)..values.len().min(at + half + 1)];
    let mean = |at: usize| {
        if !values[at].is_finite() {
            return f64::NAN;
        }
        let finite = around(at).iter().filter(|v| v.is_finite());
        finite.clone().sum::<f64>() / finite.count() as f64
    };
    (0..values.len()).map(mean).collect()
}

fn reference_style(k: usize) -> (RGBColor, &'static [f64]) {
    (
        colour::REFERENCES[k % colour::REFERENCES.len()],
        DASHES[k % DASHES.len()],
    )
}

/// A loss as text: three decimals, three digits where it is small.
pub(crate) fn three_digits(value: f64) -> String {
    match value.abs() {
        0.0 | 0.1..1e4 => format!("{value:.3}"),
        0.01..0.1 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moving_average_is_centred_and_leaves_out_what_is_not_finite() {
        let smoothed = moving_average(&[1.0, 2.0, 6.0, f64::NAN, 4.0], 3);
        assert_eq!(smoothed[..3], [1.5, 3.0, 4.0]);
        assert!(smoothed[3].is_nan());
        assert_eq!(smoothed[4], 4.0);
    }
}
