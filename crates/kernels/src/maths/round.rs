//! Rounding to integers, and to bfloat16.
//!
//! Targets with fused multiply-add have instructions for it (x86-64 since SSE4.1). On the base of x86-64, where
//! Cranelift would call a function for each element, the same results come from exact arithmetic.

use super::{Compare, Lane, Math, Rounding, Vectors, two_to};

impl<E: Vectors> Math<'_, E> {
    /// The greatest integer ≤ x; ±0, ±∞ and NaN stay.
    #[inline(always)]
    pub fn floor(&mut self, x: E::V) -> E::V {
        if self.fma {
            return self.e.round(self.lane, Rounding::Floor, x);
        }
        let nearest = self.round(x);
        let above = self.truth(Compare::Less, x, nearest);
        self.sub(nearest, above)
    }

    /// The least integer ≥ x, −0 between −1 and 0; ±0, ±∞ and NaN stay.
    #[inline(always)]
    pub fn ceil(&mut self, x: E::V) -> E::V {
        if self.fma {
            return self.e.round(self.lane, Rounding::Ceil, x);
        }
        let minus_x = self.neg(x);
        let floor = self.floor(minus_x);
        self.neg(floor)
    }

    /// The nearest bfloat16 number, ties to even: 0 of the sign of x below 2⁻¹²⁶, ±∞ from 2¹²⁸ on after rounding; ±∞ and
    /// NaN stay.
    #[inline(always)]
    pub fn round_bf16(&mut self, x: E::V) -> E::V {
        let lost = self.lane.mantissa_bits() - 7;
        // Half of the last place, minus 1 where that place is 0; a carry enters the exponent.
        let shifted = self.e.shr(self.lane, x, lost);
        let one = self.bits(1);
        let odd = self.e.and(self.lane, shifted, one);
        let half = self.bits((1 << (lost - 1)) - 1);
        let sum = self.e.iadd(self.lane, x, half);
        let sum = self.e.iadd(self.lane, sum, odd);
        let kept = self.bits((u64::MAX << lost) & self.lane.all_bits());
        let mut near = self.e.and(self.lane, sum, kept);
        if self.lane == Lane::F64 {
            let beyond = self.constant(two_to(128));
            let size = self.abs(near);
            let fits = self.compare(Compare::Less, size, beyond);
            let infinity = self.constant(f64::INFINITY);
            let infinity = self.copy_sign(infinity, x);
            near = self.blend(fits, near, infinity);
        }
        let zero = self.constant(0.0);
        let zero = self.copy_sign(zero, x);
        let least = self.constant(f64::from(f32::MIN_POSITIVE));
        let size = self.abs(x);
        let small = self.compare(Compare::Less, size, least);
        let y = self.blend(small, zero, near);
        self.nan_of(x, y)
    }

    /// The nearest integer, ½ to even, with the sign of x; ±0, ±∞ and NaN stay.
    #[inline(always)]
    pub fn round(&mut self, x: E::V) -> E::V {
        if self.fma {
            return self.e.round(self.lane, Rounding::Nearest, x);
        }
        // From this on every number is an integer; below, the sum's last place is 1.
        let integers = self.constant(two_to(self.lane.mantissa_bits() as i32));
        let size = self.abs(x);
        let sum = self.add(size, integers);
        let nearest = self.sub(sum, integers);
        let nearest = self.copy_sign(nearest, x);
        let small = self.compare(Compare::Less, size, integers);
        self.blend(small, nearest, x)
    }
}
