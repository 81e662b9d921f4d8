//! The element types that code is generated for.

use crate::vmath::Lane;

/// f32 or f64.
pub trait Element: retrograd_kernels::Real {
    /// The vectors of it.
    const LANE: Lane;
    /// As f64.
    fn to_f64(self) -> f64;
    /// A count, rounded.
    fn from_count(n: usize) -> Self;
    /// Rounded to a row number, clamped to `0 ..= last`; NaN is 0. As `gather` does in compiled code.
    fn round_to_index(self, last: usize) -> usize {
        // `as` saturates, and takes NaN to 0.
        (self.to_f64().round_ties_even() as usize).min(last)
    }
}

impl Element for f32 {
    const LANE: Lane = Lane::F32;
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn from_count(n: usize) -> Self {
        n as f32
    }
}

impl Element for f64 {
    const LANE: Lane = Lane::F64;
    fn to_f64(self) -> f64 {
        self
    }
    fn from_count(n: usize) -> Self {
        n as f64
    }
}
