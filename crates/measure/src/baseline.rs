//! Faster or slower than last time, beyond the noise.
//!
//! What is compared are the least times of rounds: a round has memory of its own, so that their spread holds what the place of
//! arrays does, and the minimum of each leaves out what other programs do. Between two processes more may differ: the clock, for
//! example. It shows in the machine's peak rate, which both have measured; the range of the ratio is widened by its change.

use serde::{Deserialize, Serialize};

use crate::cell::{MeasureError, Measured, MeasuredEngine};
use crate::times::Spread;

/// Which way a time has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is less than before.
    Faster,
    /// It is more.
    Slower,
    /// The difference is within the noise.
    NotMeasurable,
}

/// How a time compares with an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Now ÷ then, of the medians of the rounds.
    pub ratio: f64,
    /// What the noise allows the ratio to be, at least …
    pub low: f64,
    /// … and at most.
    pub high: f64,
    /// Which way it has changed, if it has.
    pub change: Change,
}

impl Difference {
    /// Of times of rounds, then and now; `slower` is how much slower the machine itself is now.
    fn of(now: &[f64], then: &[f64], slower: f64) -> Difference {
        let (now, then) = (Spread::of(now.to_vec()), Spread::of(then.to_vec()));
        let low = now.q1_ms / then.q3_ms / slower.max(1.0);
        let high = now.q3_ms / then.q1_ms / slower.min(1.0);
        Difference {
            ratio: now.median_ms / then.median_ms,
            low,
            high,
            change: match (low, high) {
                (_, high) if high < 1.0 => Change::Faster,
                (low, _) if low > 1.0 => Change::Slower,
                _ => Change::NotMeasurable,
            },
        }
    }
}

/// A measurement against an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Compiled code.
    pub compiled: Difference,
    /// The interpreted tape.
    pub interpreted: Difference,
    /// The machine's peak rate now ÷ then.
    pub peak: f64,
}

impl Measured {
    /// Whether an earlier measurement is one of the same cell and shape.
    pub fn is_of(&self, then: &Measured) -> bool {
        let of = |m: &Measured| (m.rows, m.steps, m.threads, m.precision);
        (&self.cell, &self.sizes, of(self)) == (&then.cell, &then.sizes, of(then))
    }

    /// This measurement against an earlier one.
    ///
    /// # Errors
    /// [`MeasureError::Other`] if the earlier one is of another cell, shape or machine, or has no times.
    pub fn against(&self, then: &Measured) -> Result<Comparison, MeasureError> {
        if !self.is_of(then) {
            return Err(MeasureError::Other(
                "the baseline has another cell or shape".into(),
            ));
        }
        if self.isa != then.isa {
            return Err(MeasureError::Other(format!(
                "the baseline is of another machine: its instructions are {}, and here {}",
                then.isa, self.isa
            )));
        }
        let times = [
            &self.compiled,
            &self.interpreted,
            &then.compiled,
            &then.interpreted,
        ];
        let wrong = |m: &&MeasuredEngine| {
            m.rounds_ms.is_empty() || !m.rounds_ms.iter().all(|t| *t > 0.0 && t.is_finite())
        };
        if times.iter().any(wrong) || !(then.peak_gflops > 0.0 && then.peak_gflops.is_finite()) {
            return Err(MeasureError::Other(
                "the baseline has times that are none".into(),
            ));
        }
        let peak = self.peak_gflops / then.peak_gflops;
        let of = |now: &MeasuredEngine, then: &MeasuredEngine| {
            Difference::of(&now.rounds_ms, &then.rounds_ms, 1.0 / peak)
        };
        Ok(Comparison {
            compiled: of(&self.compiled, &then.compiled),
            interpreted: of(&self.interpreted, &then.interpreted),
            peak,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: [f64; 5] = [10.0, 10.1, 10.2, 10.3, 12.0];

    fn times(factor: f64) -> Vec<f64> {
        THEN.iter().map(|t| t * factor).collect()
    }

    #[test]
    fn what_is_beyond_the_noise_is_told_and_what_is_within_is_not() {
        let change = |factor, slower| Difference::of(&times(factor), &THEN, slower).change;
        assert_eq!(change(1.0, 1.0), Change::NotMeasurable);
        // The quartiles are 2 % apart.
        assert_eq!(change(1.015, 1.0), Change::NotMeasurable);
        assert_eq!(change(1.03, 1.0), Change::Slower);
        assert_eq!(change(0.97, 1.0), Change::Faster);
        // The machine itself is slower, or faster, by more than that.
        assert_eq!(change(1.03, 1.05), Change::NotMeasurable);
        assert_eq!(change(0.97, 0.95), Change::NotMeasurable);
        assert_eq!(change(1.5, 1.05), Change::Slower);
        // A slower machine is no excuse for being fast.
        assert_eq!(change(0.97, 1.05), Change::Faster);
    }

    #[test]
    fn the_ratio_lies_in_its_range() {
        let found = Difference::of(&times(2.0), &THEN, 1.1);
        assert!((found.ratio - 2.0).abs() < 1e-9, "{found:?}");
        assert!(found.low < found.ratio && found.ratio < found.high);
    }
}
