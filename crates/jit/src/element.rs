//! The element types that code is generated for.

use retrograd_graph::{Bf16, Options, Target};
use retrograd_kernels::maths::Lane;
use retrograd_kernels::{Bf16Unit, Isa};
use retrograd_tape::Real;

/// f32 or f64.
pub trait Element: Real + retrograd_kernels::SimdElement {
    /// The vector type of its lanes.
    const LANE: Lane;
    /// The row that an index selects in a table of `rows` rows: the nearest integer, rounding half to even, if it is
    /// one of them. Compiled code does the same.
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

/// The options for this precision: the values that delays carry are flushed in single precision only, and no kernel rounds
/// in double precision.
pub(crate) fn of_width<T: Element>(options: &Options) -> Options {
    let single = T::LANE == Lane::F32;
    options.clone().with(|o| {
        o.flush = options.flush && single;
        if o.bf16 == Bf16::Kernels && !single {
            o.bf16 = Bf16::Ops;
        }
        // A system may withhold the tiles that its machine has.
        let withheld = || !Bf16Unit::Tiles.available(Isa::Avx512);
        if o.bf16 == Bf16::Kernels && o.target.amx() && o.target.runs_here() && withheld() {
            o.target = Target::avx512().with_bf16();
        }
    })
}
