//! Rounding to integers, and to bfloat16.
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

    /// The nearest bfloat16 number, ties to even: 0 of the sign of x below 2⁻¹²⁶, ±∞ from 2¹²⁸ on after rounding; ±∞ and
    /// NaN stay.
    pub fn round_bf16(&mut self, x: Value) -> Value {
        let ty = self.lane.int_vector_type();
        let lost = self.lane.mantissa_bits() - 7;
        let bits = self.int_bits(x);
        // Half of the last place, minus 1 where that place is 0; a carry enters the exponent.
        let by = self.b.ins().iconst(types::I32, i64::from(lost));
        let shifted = self.b.ins().ushr(bits, by);
        let one = self.splat_bits(ty, 1);
        let odd = self.b.ins().band(shifted, one);
        let half = self.splat_bits(ty, (1 << (lost - 1)) - 1);
        let sum = self.b.ins().iadd(bits, half);
        let sum = self.b.ins().iadd(sum, odd);
        let kept = self.splat_bits(ty, (u64::MAX << lost) & self.lane.all_bits());
        let near = self.b.ins().band(sum, kept);
        let mut near = self.float_bits(near);
        if self.lane == super::Lane::F64 {
            let beyond = self.constant(f64::powi(2.0, 128));
            let size = self.abs(near);
            let fits = self.compare(FloatCC::LessThan, size, beyond);
            let infinity = self.constant(f64::INFINITY);
            let infinity = self.copy_sign(infinity, x);
            near = self.blend(fits, near, infinity);
        }
        let zero = self.constant(0.0);
        let zero = self.copy_sign(zero, x);
        let least = self.constant(f64::from(f32::MIN_POSITIVE));
        let size = self.abs(x);
        let small = self.compare(FloatCC::LessThan, size, least);
        let y = self.blend(small, zero, near);
        self.nan_of(x, y)
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
