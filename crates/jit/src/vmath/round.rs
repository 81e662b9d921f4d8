//! Rounding to integers.
//!
//! Targets with fused multiply-add have instructions for it (x86-64 since SSE4.1). On the base of x86-64, where
//! Cranelift would call a function for each element, the same results come from exact arithmetic.

use super::Math;
use cranelift::prelude::*;

impl Math<'_, '_> {
    /// The greatest integer ≤ x; ±0, ±∞ and NaN stay.
    pub fn floor(&mut self, x: Value) -> Value {
        if self.fma {
            return self.b.ins().floor(x);
        }
        let nearest = self.round(x);
        let above = self.truth(FloatCC::LessThan, x, nearest);
        self.sub(nearest, above)
    }

    /// The least integer ≥ x, −0 between −1 and 0; ±0, ±∞ and NaN stay.
    pub fn ceil(&mut self, x: Value) -> Value {
        if self.fma {
            return self.b.ins().ceil(x);
        }
        let minus_x = self.neg(x);
        let floor = self.floor(minus_x);
        self.neg(floor)
    }

    /// The nearest integer, ½ to even, with the sign of x; ±0, ±∞ and NaN stay.
    pub fn round(&mut self, x: Value) -> Value {
        if self.fma {
            return self.b.ins().nearest(x);
        }
        // From this on every number is an integer; below, the sum's last place is 1.
        let integers = self.constant(f64::powi(2.0, self.lane.mantissa_bits() as i32));
        let size = self.abs(x);
        let sum = self.add(size, integers);
        let nearest = self.sub(sum, integers);
        let nearest = self.copy_sign(nearest, x);
        let small = self.compare(FloatCC::LessThan, size, integers);
        self.blend(small, nearest, x)
    }
}
