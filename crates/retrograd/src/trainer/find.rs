//! A learning-rate range test.

use std::ops::RangeInclusive;

use super::Trainer;
use crate::batch::Batch;
use crate::error::Error;
use crate::numbers::Float;
use crate::optim::positive;

/// The result of [`Trainer::test_learning_rates`].
///
/// ```
/// let test = retrograd::RateTest::new(vec![(1e-4, 2.0), (1e-3, 1.9), (1e-2, 1.2), (1e-1, 1.1), (1.0, 8.0)]);
/// assert_eq!(test.suggestion(), Some(1e-2), "where the loss falls fastest");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RateTest {
    /// Learning rates, growing, each with the loss before a step of it, smoothed.
    pub losses: Vec<(f64, f64)>,
}

/// The loss is a mean of those so far that forgets this share each step, as Smith's test and its successors smooth it.
const SMOOTHING: f64 = 0.9;
/// Where the loss is so many times the least one above it, further rates need no test.
const DIVERGED: f64 = 4.0;

impl RateTest {
    /// A test with these rates and smoothed losses.
    pub fn new(losses: Vec<(f64, f64)>) -> RateTest {
        RateTest { losses }
    }

    /// The learning rate at which the loss falls fastest over the logarithm of the rate, before its minimum; none if it falls
    /// nowhere. With a schedule that has a peak, it is a good rate of the peak.
    pub fn suggestion(&self) -> Option<f64> {
        let least = (self.losses.iter().enumerate())
            .min_by(|a, b| a.1.1.total_cmp(&b.1.1))
            .map(|(k, _)| k)?;
        let falling = &self.losses[..=least];
        let slopes = falling.windows(2).map(|w| {
            let [(r0, l0), (r1, l1)] = [w[0], w[1]];
            ((l1 - l0) / (r1 / r0).ln(), r1)
        });
        let steepest = slopes.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (steepest.0 < 0.0).then_some(steepest.1)
    }
}

impl<T: Float> Trainer<T> {
    /// A learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3): trains a step on
    /// each batch, with learning rates that grow by equal factors through a range, until the loss explodes or the batches end. Then
    /// everything is as it was before: parameters, optimiser, schedule and step.
    ///
    /// ```
    /// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
    ///
    /// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 8)?;
    /// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
    /// let wave: Vec<f32> = (0..33).map(|t| (t as f32 * 0.4).sin()).collect();
    /// let batch = Batch::new(Extent::steps(32)).with("x", wave[..32].to_vec()).with("next", wave[1..].to_vec());
    /// let test = trainer.test_learning_rates(&vec![batch; 60], 1e-5..=1.0)?;
    /// let rate = test.suggestion().unwrap();
    /// assert!(1e-4 < rate && rate < 0.5, "{rate}");
    /// assert_eq!(trainer.steps(), 0);
    /// trainer.set_learning_rate(rate)?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for the first batch, and for later ones that do not fit; [`Error::Setting`] for a range that is not
    /// one of positive numbers, or fewer than two batches.
    #[inline(never)]
    pub fn test_learning_rates(
        &mut self,
        batches: &[Batch<T>],
        rates: RangeInclusive<f64>,
    ) -> Result<RateTest, Error> {
        let (from, to) = (*rates.start(), *rates.end());
        positive("the least learning rate of the test", from)?;
        positive("the greatest learning rate of the test", to)?;
        let count = batches.len();
        if count < 2 || to <= from {
            return Err(Error::Setting {
                what: "the learning-rate test",
                found: format!("{count} batches from {from} to {to}"),
                expected: "at least two batches and a range that grows".to_owned(),
            });
        }
        let state = self.training_state();
        let rate = |k: usize| from * (to / from).powf(k as f64 / (count - 1) as f64);
        let rated = batches
            .iter()
            .enumerate()
            .map(|(k, batch)| (rate(k), batch));
        let losses = self.losses_at(rated);
        self.set_training_state(state)?;
        Ok(RateTest { losses: losses? })
    }

    fn losses_at<'b>(
        &mut self,
        rated: impl Iterator<Item = (f64, &'b Batch<T>)>,
    ) -> Result<Vec<(f64, f64)>, Error> {
        let (mut losses, mut mean, mut least) = (Vec::new(), 0.0, f64::INFINITY);
        for (k, (rate, batch)) in rated.enumerate() {
            self.descent.optimizer.set_learning_rate(rate)?;
            let loss =
                match self.step(batch) {
                    Ok(report) => report.loss,
                    // That training explodes is what the test looks for.
                    Err(
                        Error::NonFinite { .. } | Error::Overflow { .. } | Error::Diverged { .. },
                    ) if k > 0 => break,
                    Err(e) => return Err(e),
                };
            mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
            let smooth = mean / (1.0 - SMOOTHING.powf(k as f64 + 1.0));
            losses.push((rate, smooth));
            least = least.min(smooth);
            let first = losses[0].1;
            if k > 0 && smooth - least > (DIVERGED - 1.0) * first.abs().max(least.abs()) {
                break;
            }
        }
        Ok(losses)
    }
}
