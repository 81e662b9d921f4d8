//! [`Head`]: what a cell's outputs say of the distribution of what it forecasts.

use serde::{Deserialize, Serialize};

use crate::random::{Rng, RngExt};

/// What a cell's outputs say of a distribution, for intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Head {
    /// Nothing: intervals are those of the errors in a backtest.
    #[default]
    Point,
    /// A normal distribution; the output `log_variance` has the logarithm of its variance.
    Gaussian,
    /// Student's distribution of so many degrees of freedom, a whole number; the output `log_scale` has the logarithm of its scale.
    Student(u32),
    /// Its quantiles at these levels, which rise; the output `quantiles` has them level by level.
    Quantiles(Vec<f64>),
}

#[cfg(feature = "text")]
impl From<crate::zoo::ForecastLoss> for Head {
    fn from(loss: crate::zoo::ForecastLoss) -> Head {
        use crate::zoo::ForecastLoss;
        match loss {
            ForecastLoss::Gaussian => Head::Gaussian,
            ForecastLoss::StudentT => Head::Student(ForecastLoss::DF as u32),
            ForecastLoss::Quantile => Head::Quantiles(ForecastLoss::LEVELS.to_vec()),
            ForecastLoss::Squared | ForecastLoss::Absolute | ForecastLoss::Huber => Head::Point,
        }
    }
}

impl Head {
    /// The output beside the forecast that says it.
    pub(super) fn output(&self) -> Option<&'static str> {
        match self {
            Head::Point => None,
            Head::Gaussian => Some("log_variance"),
            Head::Student(_) => Some("log_scale"),
            Head::Quantiles(_) => Some("quantiles"),
        }
    }

    /// How far what a batch's outputs say of number `k` is from a target, the less, the better: the square without a distribution, else
    /// the negative logarithm of its density, or the mean pinball loss of its quantiles. `spread` is the other output as the cell has
    /// it, and `y` as long for each of the rows of numbers, `each` numbers long.
    pub(super) fn score(
        &self,
        (y, spread): (&[f32], &[f32]),
        (k, each): (usize, usize),
        target: f64,
    ) -> f64 {
        let off = target - f64::from(y[k]);
        let wide = |at: usize| f64::from(spread[at]);
        match self {
            Head::Point => off * off,
            Head::Gaussian => {
                let log_variance = wide(k);
                0.5 * (log_variance + off * off / log_variance.exp() + std::f64::consts::TAU.ln())
            }
            Head::Student(df) => {
                // Up to a constant.
                let (df, z) = (f64::from(*df), off / wide(k).exp());
                wide(k) + 0.5 * (df + 1.0) * (z * z / df).ln_1p()
            }
            Head::Quantiles(levels) => {
                let first = k / each * each * levels.len() + k % each;
                let pinball = |(n, level): (usize, &f64)| {
                    let off = target - wide(first + n * each);
                    (level * off).max((level - 1.0) * off)
                };
                let sum: f64 = levels.iter().enumerate().map(pinball).sum();
                sum / levels.len() as f64
            }
        }
    }

    /// Draws number `k` of a forecast `y` from its distribution, which the other output describes.
    pub(super) fn draw(&self, y: &[f64], spread: &[f64], k: usize, rng: &mut impl Rng) -> f64 {
        match self {
            Head::Point => y[k],
            Head::Gaussian => y[k] + (0.5 * spread[k]).exp() * normal(rng),
            Head::Student(df) => {
                let squares: f64 = (0..*df).map(|_| normal(rng).powi(2)).sum();
                let t = normal(rng) / (squares / f64::from(*df)).sqrt();
                y[k] + spread[k].exp() * t
            }
            Head::Quantiles(levels) => {
                let u: f64 = rng.random();
                self.quantile(y, spread, k, u, levels)
            }
        }
    }

    /// The quantile of a forecast's number `k` at a level, on the lines between those that there are; beyond the outermost, it is
    /// these. Quantiles that cross count in their order.
    fn quantile(&self, y: &[f64], spread: &[f64], k: usize, u: f64, levels: &[f64]) -> f64 {
        let mut at: Vec<f64> = levels
            .iter()
            .enumerate()
            .map(|(level, _)| spread[level * y.len() + k])
            .collect();
        at.sort_by(f64::total_cmp);
        let above = levels.partition_point(|level| *level < u);
        match above {
            0 => at[0],
            above if above == levels.len() => at[above - 1],
            above => {
                let (low, high) = (levels[above - 1], levels[above]);
                at[above - 1] + (at[above] - at[above - 1]) * (u - low) / (high - low)
            }
        }
    }

    /// The quantile that the model itself forecasts at a level.
    pub(super) fn own_quantile(&self, y: &[f64], spread: &[f64], k: usize, p: f64) -> Option<f64> {
        match self {
            Head::Quantiles(levels) => Some(self.quantile(y, spread, k, p, levels)),
            Head::Point | Head::Gaussian | Head::Student(_) => None,
        }
    }
}

/// A standard normal number (Box & Muller 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    // Not 0, whose logarithm is infinite.
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// The quantile of sorted numbers at a level p, the rank being p (n + 1) (Hyndman & Fan 1996, type 6); None if there are too few to
/// have one.
pub(super) fn sample_quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = p * (sorted.len() + 1) as f64;
    if rank < 1.0 || rank > sorted.len() as f64 {
        return None;
    }
    let below = rank.floor() as usize;
    let low = sorted[below - 1];
    let high = sorted[below.min(sorted.len() - 1)];
    Some(low + (high - low) * rank.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn draws_have_the_moments_and_quantiles_of_their_distributions() {
        let rng = &mut stream(1, "test", "draws");
        let count = 40_000;
        let mut sorted = |head: &Head, spread: &[f64]| {
            let mut all: Vec<f64> = (0..count)
                .map(|_| head.draw(&[2.0], spread, 0, rng))
                .collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let normal = sorted(&Head::Gaussian, &[2.0 * 3.0_f64.ln()]);
        // Standard errors of a quantile: √(p (1 − p) ÷ n) ÷ density; four of them.
        for (p, z, density) in [(0.1, -1.281_552, 0.175_498), (0.5, 0.0, 0.398_942)] {
            let error = (p * (1.0 - p) / f64::from(count)).sqrt() / density * 3.0;
            let found = sample_quantile(&normal, p).unwrap();
            assert!(
                (found - (2.0 + 3.0 * z)).abs() < 4.0 * error,
                "{p}: {found}"
            );
        }
        // The 0.9 quantile of Student's t with 5 degrees of freedom, and its density there.
        let student = sorted(&Head::Student(5), &[0.0]);
        let error = (0.09 / f64::from(count)).sqrt() / 0.1538;
        let found = sample_quantile(&student, 0.9).unwrap();
        assert!((found - 3.475_884).abs() < 4.0 * error, "{found}");
        let levels = Head::Quantiles(vec![0.1, 0.5, 0.9]);
        let drawn = sorted(&levels, &[1.0, 2.0, 6.0]);
        assert!(drawn[0] == 1.0 && drawn[drawn.len() - 1] == 6.0);
        let found = sample_quantile(&drawn, 0.7).unwrap();
        assert!((found - 4.0).abs() < 0.1, "{found}");
        assert_eq!(
            levels.own_quantile(&[2.0], &[1.0, 2.0, 6.0], 0, 0.9),
            Some(6.0)
        );
    }

    /// Numbers from scipy.stats (norm, t) and by hand.
    #[test]
    fn a_distribution_is_scored_by_its_density_or_its_quantiles() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        let y = [1.0_f32, -2.0];
        near(Head::Point.score((&y, &[]), (1, 2), 1.0), 9.0);
        // -norm.logpdf(2, 1, 3)
        let spread = [9.0_f32.ln(), 0.0];
        near(
            Head::Gaussian.score((&y, &spread), (0, 2), 2.0),
            2.073_106_377,
        );
        // -t.logpdf(2, 5, 1, 3) + t.logpdf(0, 5), the density's height at its middle being left out
        let spread = [3.0_f32.ln(), 0.0];
        let student = Head::Student(5).score((&y, &spread), (0, 2), 2.0);
        near(student, 1.098_612_289 + 3.0 * (1.0 + 1.0_f64 / 45.0).ln());
        // Two rows of two numbers with two levels each: the second row's second number has quantiles 6 and 8.
        let head = Head::Quantiles(vec![0.25, 0.75]);
        let spread = [0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0];
        near(
            head.score((&[0.0; 4], &spread), (3, 2), 9.0),
            0.5 * (0.75 + 0.75),
        );
        near(
            head.score((&[0.0; 4], &spread), (3, 2), 5.0),
            0.5 * (0.75 + 0.75),
        );
    }

    #[test]
    fn a_quantile_needs_enough_numbers() {
        let numbers: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(sample_quantile(&numbers, 0.1), Some(1.0));
        assert_eq!(sample_quantile(&numbers, 0.5), Some(5.0));
        assert_eq!(sample_quantile(&numbers, 0.25), Some(2.5));
        assert_eq!(sample_quantile(&numbers, 0.95), None);
    }
}
