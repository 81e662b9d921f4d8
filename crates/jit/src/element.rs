//! The element types that code is generated for.

use retrograd_graph::Options;
use retrograd_tape::Real;

use crate::vmath::Lane;

/// f32 or f64.
pub trait Element: Real + retrograd_kernels::SimdElement {
    /// The vectors of it.
    const LANE: Lane;
    /// The row that an index means, of a table of so many: the nearest whole number, ½ to even, if it is one of them. As in
    /// compiled code.
    fn row_of(self, rows: usize) -> Option<usize> {
        let nearest = self.to_f64().round_ties_even();
        // NaN is in no range.
        (0.0..rows as f64)
            .contains(&nearest)
            .then_some(nearest as usize)
    }
}

impl Element for f32 {
    const LANE: Lane = Lane::F32;
}

impl Element for f64 {
    const LANE: Lane = Lane::F64;
}

/// The options of a program in this precision: only in single precision is what delays carry flushed.
pub(crate) fn of_width<T: Element>(options: &Options) -> Options {
    options
        .clone()
        .with(|o| o.flush = options.flush && T::LANE == Lane::F32)
}
