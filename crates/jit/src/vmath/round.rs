//! Rounding to integers.
//!
//! Targets with fused multiply-add have instructions for it (x86-64 since SSE4.1). On the base of x86-64, where
//! Cranelift would call a function for each element, the same results come from exact arithmetic.

use super::{Compare, Math, Rounding, Vectors};

impl<E: Vectors> Math<'_, E> {
    /// The greatest integer ≤ x; ±0, ±∞ and NaN stay.
    pub fn floor(&mut self, x: E::V) -> E::V {
        if self.fma {
            return self.e.round(self.lane, Rounding::Floor, x);
        }
        let nearest = self.round(x);
        let above = self.truth(Compare::Less, x, nearest);
        self.sub(nearest, above)
    }

    /// The least integer ≥ x, −0 between −1 and 0; ±0, ±∞ and NaN stay.
    pub fn ceil(&mut self, x: E::V) -> E::V {
        if self.fma {
            return self.e.round(self.lane, Rounding::Ceil, x);
        }
        let minus_x = self.neg(x);
        let floor = self.floor(minus_x);
        self.neg(floor)
    }

    /// The nearest integer, ½ to even, with the sign of x; ±0, ±∞ and NaN stay.
    pub fn round(&mut self, x: E::V) -> E::V {
        if self.fma {
            return self.e.round(self.lane, Rounding::Nearest, x);
        }
        // From this on every number is an integer; below, the sum's last place is 1.
        let integers = self.constant(f64::powi(2.0, self.lane.mantissa_bits() as i32));
        let size = self.abs(x);
        let sum = self.add(size, integers);
        let nearest = self.sub(sum, integers);
        let nearest = self.copy_sign(nearest, x);
        let small = self.compare(Compare::Less, size, integers);
        self.blend(small, nearest, x)
    }
}
