//! [`Outcome`] of a property on one sample.

use serde::Serialize;

use crate::agree::Verdict;

/// What became of a property on one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It holds; the greatest error is this share of its tolerance.
    Holds(f64),
    /// Nothing could be compared, and that is no fault.
    Skipped(Skip),
    /// It does not hold.
    Fails(String),
}

/// Why nothing was compared. None of these is a fault of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Skip {
    /// The program or the rows have nothing that the property says something about.
    DoesNotApply,
    /// A rounding decides between the two sides of a kink or jump (see
    /// [`KinkDistances`](retrograd_tape::generate::KinkDistances)).
    Kink,
    /// The tape itself has numbers that are not finite, in f64, or, for what compares f32, in f32.
    NotFinite,
    /// Roundings grow so much on their way through the program that results of different orders of sums need not agree.
    Sensitive,
    /// The slope changes so much within a difference's step that it tells nothing.
    Curved,
}

impl Skip {
    /// In words, for a report.
    pub fn about(self) -> &'static str {
        match self {
            Skip::DoesNotApply => "does not apply",
            Skip::Kink => "too near a kink",
            Skip::NotFinite => "not finite on the tape either",
            Skip::Sensitive => "roundings grow too much",
            Skip::Curved => "too much curvature",
        }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Outcome {
        match verdict {
            Ok(share) => Outcome::Holds(share),
            Err(why) => Outcome::Fails(why),
        }
    }
}
