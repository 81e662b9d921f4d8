//! The element types that code is generated for.

use retrograd_tape::Real;

use crate::vmath::Lane;

/// f32 or f64.
pub trait Element: Real + retrograd_kernels::Real {
    /// The vectors of it.
    const LANE: Lane;
    /// Rounded to a row number, clamped to `0 ..= last`; NaN is 0. As `gather` does in compiled code.
    fn round_to_index(self, last: usize) -> usize {
        // `as` saturates, and takes NaN to 0.
        (self.to_f64().round_ties_even() as usize).min(last)
    }
}

impl Element for f32 {
    const LANE: Lane = Lane::F32;
}

impl Element for f64 {
    const LANE: Lane = Lane::F64;
}
