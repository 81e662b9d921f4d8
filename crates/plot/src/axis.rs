//! Axes: ranges, ticks with readable numbers, and the frame of a panel.

use crate::PlotError;
use crate::canvas::{Anchor, Canvas, Lettering, Point, colour, text_width};

pub(crate) const TICK: Lettering = Lettering {
    em: 22.0,
    bold: false,
};

/// A value axis, linear or logarithmic, that covers `low..=high`, low < high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) log: bool,
}

impl Scale {
    /// Covers the finite ones of `values` with 5 % to spare, on a logarithmic axis if that is allowed and they span more
    /// than `LOG_FROM`.
    pub(crate) fn covering(values: impl Iterator<Item = f64>, may_be_log: bool) -> Self {
        /// A factor of 8 between the extremes: below it a linear axis still shows the small values.
        const LOG_FROM: f64 = 8.0;
        let finite = values.filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
                log: false,
            };
        }
        if may_be_log && low > 0.0 && high / low > LOG_FROM {
            let spare = (high / low).powf(0.05);
            return Self {
                low: low / spare,
                high: high * spare,
                log: true,
            };
        }
        // A flat line gets room above and below.
        let span = if high > low {
            high - low
        } else {
            low.abs().max(1.0)
        };
        Self {
            low: low - 0.05 * span,
            high: high + 0.05 * span,
            log: false,
        }
    }

    /// 0 at `low`, 1 at `high`; clamped to a little outside, so that nothing is drawn far off the page.
    pub(crate) fn position(self, value: f64) -> f64 {
        let position = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        position.clamp(0.0, 1.0)
    }

    /// Values for ticks, at most about `count`, each with its text.
    pub(crate) fn ticks(self, count: usize) -> Vec<(f64, String)> {
        if !self.log {
            return linear_ticks(self.low, self.high, count);
        }
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let inside = |mantissas: &[f64], every: i32| -> Vec<f64> {
            (first..=last)
                .filter(|decade| decade.rem_euclid(every) == 0)
                .flat_map(|decade| mantissas.iter().map(move |m| m * 10_f64.powi(decade)))
                .filter(|v| (self.low..=self.high).contains(v))
                .collect()
        };
        let mut ticks = inside(&[1.0, 2.0, 5.0], 1);
        let mut every = 1;
        while ticks.len() > count + 2 {
            ticks = inside(&[1.0], every);
            every += 1;
        }
        ticks.into_iter().map(|v| (v, number(v, v))).collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|&step| step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last)
        .map(|k| (k as f64 * step, number(k as f64 * step, step)))
        .collect()
}

/// A tick's text, with as many decimals as `step` needs.
fn number(value: f64, step: f64) -> String {
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        return format!("{value:.1e}").replace(".0e", "e").replace('-', "−");
    }
    let decimals = (-(step.abs().log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

/// The rectangle that data are drawn into, in logical pixels, with its two scales.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Panel {
    pub(crate) fn x_at(&self, value: f64) -> f64 {
        self.left + self.x.position(value) * (self.right - self.left)
    }

    pub(crate) fn y_at(&self, value: f64) -> f64 {
        self.bottom - self.y.position(value) * (self.bottom - self.top)
    }

    /// A line through values; one that is not finite leaves a gap.
    pub(crate) fn curve(
        &self,
        canvas: &dyn Canvas,
        points: impl Iterator<Item = (f64, f64)>,
        width: f64,
        colour: plotters::style::RGBColor,
    ) -> Result<(), PlotError> {
        let mut run: Vec<Point> = Vec::new();
        for (x, y) in points.chain([(f64::NAN, f64::NAN)]) {
            if y.is_finite() {
                run.push((self.x_at(x), self.y_at(y)));
                continue;
            }
            match run.as_slice() {
                [] => {}
                [alone] => canvas.disc(*alone, width, colour)?,
                line => canvas.line(line, width, colour)?,
            }
            run.clear();
        }
        Ok(())
    }

    /// Horizontal grid lines with their numbers, and vertical ones with the given texts; `x_texts` off leaves the latter out.
    pub(crate) fn grid(
        &self,
        canvas: &dyn Canvas,
        y_ticks: &[(f64, String)],
        x_ticks: &[(f64, String)],
        x_texts: bool,
    ) -> Result<(), PlotError> {
        for (value, text) in y_ticks {
            let y = self.y_at(*value);
            canvas.line(&[(self.left, y), (self.right, y)], 1.5, colour::GRID)?;
            canvas.text(
                text,
                (self.left - 12.0, y + 0.36 * TICK.em),
                Anchor::End,
                TICK,
            )?;
        }
        for (value, text) in x_ticks {
            let x = self.x_at(*value);
            canvas.line(&[(x, self.top), (x, self.bottom)], 1.5, colour::GRID)?;
            if x_texts {
                canvas.line(
                    &[(x, self.bottom), (x, self.bottom + 8.0)],
                    1.5,
                    colour::FRAME,
                )?;
                let at = (x, self.bottom + 12.0 + TICK.em);
                canvas.text(text, at, Anchor::Middle, TICK)?;
            }
        }
        let corners = [
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        canvas.line(&corners, 1.5, colour::FRAME)
    }
}

/// The widest of the ticks' texts.
pub(crate) fn widest(ticks: &[(f64, String)]) -> f64 {
    ticks
        .iter()
        .map(|(_, text)| text_width(text, TICK))
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale, count: usize) -> Vec<String> {
        scale
            .ticks(count)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers_with_just_enough_decimals() {
        let scale = |low, high| Scale {
            low,
            high,
            log: false,
        };
        assert_eq!(
            texts(scale(0.47, 1.03), 6),
            ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
        );
        assert_eq!(texts(scale(-6.0, 31.0), 4), ["0", "10", "20", "30"]);
        assert_eq!(
            texts(scale(-0.07, 0.02), 5),
            ["−0.06", "−0.04", "−0.02", "0.00", "0.02"]
        );
        assert_eq!(texts(scale(0.0, 2e7), 2), ["0", "1e7", "2e7"]);
    }

    #[test]
    fn log_ticks_cover_narrow_and_wide_ranges() {
        let scale = |low, high| Scale {
            low,
            high,
            log: true,
        };
        assert_eq!(texts(scale(0.08, 1.5), 6), ["0.1", "0.2", "0.5", "1"]);
        assert_eq!(texts(scale(1e-6, 2.0), 6).len(), 7);
        assert!(texts(scale(1e-300, 1e300), 6).len() <= 8);
    }

    #[test]
    fn the_axis_is_logarithmic_only_where_values_span_much_and_are_positive() {
        let scale = |values: &[f64], log| Scale::covering(values.iter().copied(), log);
        assert!(scale(&[0.1, 1.0], true).log);
        assert!(!scale(&[0.5, 1.0], true).log);
        assert!(!scale(&[0.0, 1.0], true).log);
        assert!(!scale(&[0.1, 1.0], false).log);
        assert_eq!(
            scale(&[f64::NAN], true),
            Scale {
                low: 0.0,
                high: 1.0,
                log: false
            }
        );
        assert!(scale(&[2.0, 2.0], true).high > 2.0);
    }
}
