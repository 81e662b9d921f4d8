//! Axes: ranges, ticks with readable numbers, and the frame of a panel.

use crate::PlotError;
use crate::canvas::{Anchor, Canvas, Lettering, PixelPoint, colour, text_width};

pub(crate) const TICK: Lettering = Lettering::plain(22.0);

/// A value axis, linear or logarithmic, that covers `low..=high`: finite, low < high, and low > 0 on a logarithmic one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AxisScale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) log: bool,
}

impl AxisScale {
    /// From the least to the greatest of `values` that the axis can show; where they are equal or there are none, with
    /// something around.
    pub(crate) fn tight(values: impl Iterator<Item = f64>, log: bool) -> AxisScale {
        let shown = values.filter(|v| v.is_finite() && (!log || *v > 0.0));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        let (low, high) = match (low < high, low == high, log) {
            (true, ..) => (low, high),
            (_, true, true) => (low / 10.0, high * 10.0),
            // More than what is lost beside a great number.
            (_, true, false) => {
                let room = (low.abs() / 20.0).max(1.0);
                (low - room, high + room)
            }
            (_, false, true) => (0.1, 10.0),
            (_, false, false) => (0.0, 1.0),
        };
        AxisScale { low, high, log }.in_range()
    }

    /// Covers the finite ones of `values` with 5 % to spare, on a logarithmic axis if that is allowed and they span more
    /// than `LOG_FROM`.
    pub(crate) fn covering(values: impl Iterator<Item = f64> + Clone, may_be_log: bool) -> Self {
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
            return AxisScale {
                low,
                high,
                log: true,
            }
            .widened(0.05);
        }
        // A flat line gets room above and below.
        let span = if high > low {
            high - low
        } else {
            low.abs().max(1.0)
        };
        let spare = (0.05 * span).min(f64::MAX);
        Self {
            low: low - spare,
            high: high + spare,
            log: false,
        }
        .in_range()
    }

    /// Wider by this share of it at both ends.
    pub(crate) fn widened(self, share: f64) -> AxisScale {
        let AxisScale { low, high, log } = self;
        if log {
            let spare = (share * (high.ln() - low.ln())).exp();
            return AxisScale {
                low: low / spare,
                high: high * spare,
                log,
            }
            .in_range();
        }
        // Both halves may be finite where the whole is not.
        let spare = share * high - share * low;
        AxisScale {
            low: low - spare,
            high: high + spare,
            log,
        }
        .in_range()
    }

    /// With finite ends, apart from each other; those of a logarithmic axis more than 0.
    fn in_range(self) -> AxisScale {
        let least = if self.log {
            f64::from_bits(1)
        } else {
            f64::MIN
        };
        let low = self.low.clamp(least, f64::MAX);
        let high = self.high.clamp(least, f64::MAX);
        let (low, high) = match low < high {
            true => (low, high),
            false if low > 0.0 => (low / 2.0, high),
            false => (low, if high < 0.0 { high / 2.0 } else { 1.0 }),
        };
        AxisScale { low, high, ..self }
    }

    /// 0 at `low`, 1 at `high`; clamped, so that nothing is drawn off the page.
    pub(crate) fn position(self, value: f64) -> f64 {
        let AxisScale { low, high, log } = self;
        if value <= low || value.is_nan() {
            return 0.0;
        }
        let position = if log {
            match high / low {
                ratio if ratio.is_finite() => (value / low).ln() / ratio.ln(),
                _ => (value.ln() - low.ln()) / (high.ln() - low.ln()),
            }
        } else {
            match high - low {
                span if span.is_finite() => (value - low) / span,
                _ => (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0),
            }
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
        match ticks.len() {
            // Between two round numbers.
            0 | 1 => linear_ticks(self.low, self.high, count),
            _ => ticks.into_iter().map(|v| (v, number(v, v))).collect(),
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    // Near the ends of the range of f64, in another unit: spans overflow there, and steps underflow.
    let unit = match low.abs().max(high.abs()) {
        most if most < 1e-200 => 1e200,
        most if most > 1e200 => 1e-100,
        _ => 1.0,
    };
    let (from, to) = (low * unit, high * unit);
    let rough = (to - from) / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|&step| step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    // In f64: ends that lie close together are many steps from 0, more than f64 tells apart; there are few between them.
    let (first, steps) = ((from / step).ceil(), ((to - from) / step).ceil());
    let mut ticks: Vec<(f64, String)> = (0..=steps as usize)
        .map(|k| (first + k as f64) * step / unit)
        .filter(|v| (low..=high).contains(v))
        .map(|v| (v, number(v, step / unit)))
        .collect();
    ticks.dedup_by(|a, b| a.0 == b.0);
    ticks
}

/// A tick's text, with as many decimals as `step` needs.
fn number(value: f64, step: f64) -> String {
    let exponent = |x: f64| (x.abs().log10() + 1e-9).floor();
    if value == 0.0 && !(1e-4..1e6).contains(&step) {
        return "0".to_owned();
    }
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        let decimals = (exponent(value) - exponent(step)).clamp(0.0, 9.0) as usize;
        return format!("{value:.decimals$e}").replace('-', "−");
    }
    let decimals = (-exponent(step)).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

/// The rectangle that data are drawn into, in logical pixels, with its two scales.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlotArea {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    pub(crate) x: AxisScale,
    pub(crate) y: AxisScale,
}

impl PlotArea {
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
        let mut run: Vec<PixelPoint> = Vec::new();
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

    fn texts(scale: AxisScale, count: usize) -> Vec<String> {
        scale
            .ticks(count)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers_with_just_enough_decimals() {
        let scale = |low, high| AxisScale {
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
        let scale = |low, high| AxisScale {
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
        let scale = |values: &[f64], log| AxisScale::covering(values.iter().copied(), log);
        assert!(scale(&[0.1, 1.0], true).log);
        assert!(!scale(&[0.5, 1.0], true).log);
        assert!(!scale(&[0.0, 1.0], true).log);
        assert!(!scale(&[0.1, 1.0], false).log);
        assert_eq!(
            scale(&[f64::NAN], true),
            AxisScale {
                low: 0.0,
                high: 1.0,
                log: false
            }
        );
        assert!(scale(&[2.0, 2.0], true).high > 2.0);
    }

    /// Ends from all of f64: any bits, the extremes, and two numbers next to each other.
    fn ends() -> impl proptest::strategy::Strategy<Value = (f64, f64)> {
        use proptest::prelude::*;
        let any = any::<u64>().prop_map(f64::from_bits);
        let special = prop::sample::select(vec![
            0.0,
            -0.0,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            f64::from_bits(1),
            -f64::from_bits(1),
            1e300,
            -1e300,
            1.0,
            1e-310,
        ]);
        let one = prop_oneof![any, special].prop_filter("finite", |v| v.is_finite());
        let both = (one.clone(), one.clone());
        let near = one.prop_map(|v| (v, v.next_up().min(f64::MAX)));
        prop_oneof![both, near]
    }

    fn check(scale: AxisScale, values: &[f64], count: usize) {
        let AxisScale { low, high, log } = scale;
        assert!(
            low.is_finite() && high.is_finite() && low < high,
            "{scale:?}"
        );
        assert!(!log || low > 0.0, "{scale:?}");
        let ticks = scale.ticks(count);
        assert!(ticks.len() <= count + 3, "{scale:?}: {ticks:?}");
        for (value, text) in &ticks {
            assert!((low..=high).contains(value), "{scale:?}: {text}");
            assert!(
                text.len() < 24 && !text.contains("inf"),
                "{scale:?}: {text}"
            );
        }
        let values = values.iter().chain(ticks.iter().map(|(v, _)| v));
        for value in values.copied().chain([low, high, f64::NAN, f64::INFINITY]) {
            let position = scale.position(value);
            assert!((0.0..=1.0).contains(&position), "{scale:?}: {value:e}");
        }
        assert_eq!(
            (scale.position(low), scale.position(high)),
            (0.0, 1.0),
            "{scale:?}"
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]
        #[test]
        fn any_finite_values_get_an_axis_with_few_ticks((a, b) in ends(), count in 1_usize..12) {
            let both = [a, b];
            for log in [false, true] {
                check(AxisScale::covering(both.into_iter(), log), &both, count);
                let tight = AxisScale::tight(both.into_iter(), log);
                check(tight, &both, count);
                check(tight.widened(0.04), &both, count);
            }
        }
    }

    #[test]
    fn denormals_and_the_greatest_numbers_have_round_ticks() {
        let scale = |low, high| AxisScale {
            low,
            high,
            log: false,
        };
        assert_eq!(
            texts(scale(0.0, 3e-310), 3),
            ["0", "1e−310", "2e−310", "3e−310"]
        );
        assert_eq!(texts(scale(-1e308, 1e308), 2), ["−1e308", "0", "1e308"]);
        assert_eq!(texts(scale(1e7, 1.2e7), 2), ["1.0e7", "1.1e7", "1.2e7"]);
        let outlier = AxisScale::covering([1e-320, 1e10].into_iter(), true);
        assert!(outlier.log && outlier.ticks(9).len() <= 12, "{outlier:?}");
    }
}
