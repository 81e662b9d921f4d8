//! Building blocks of the functions: constants, casts, masks, clamps, polynomials.

use super::Math;
use cranelift::codegen::ir::{ConstantData, Endianness};
use cranelift::prelude::*;

impl Math<'_, '_> {
    /// `bits` in every element of a vector of type `ty`, whose elements are as wide as the lane's.
    pub(super) fn splat_bits(&mut self, ty: Type, bits: u64) -> Value {
        let bytes: Vec<u8> = match ty.lane_bits() {
            32 => bits.to_le_bytes()[..4].repeat(4),
            _ => bits.to_le_bytes().repeat(2),
        };
        let constant = self
            .b
            .func
            .dfg
            .constants
            .insert(ConstantData::from(bytes.as_slice()));
        self.b.ins().vconst(ty, constant)
    }

    /// `bits` in every element of an integer vector.
    pub(super) fn int_constant(&mut self, bits: u64) -> Value {
        self.splat_bits(self.lane.int_vector_type(), bits)
    }

    /// The same bits as type `ty`.
    pub(super) fn cast(&mut self, ty: Type, x: Value) -> Value {
        if self.b.func.dfg.value_type(x) == ty {
            return x;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.b.ins().bitcast(ty, flags, x)
    }

    /// The same bits as integers.
    pub(super) fn int_bits(&mut self, x: Value) -> Value {
        self.cast(self.lane.int_vector_type(), x)
    }

    /// The same bits as floats.
    pub(super) fn float_bits(&mut self, x: Value) -> Value {
        self.cast(self.lane.vector_type(), x)
    }

    /// Shifts integers left.
    pub(super) fn shift_left(&mut self, x: Value, by: u32) -> Value {
        let by = self.b.ins().iconst(types::I32, i64::from(by));
        self.b.ins().ishl(x, by)
    }

    /// Shifts integers right, zeros coming in.
    pub(super) fn shift_right(&mut self, x: Value, by: u32) -> Value {
        let by = self.b.ins().iconst(types::I32, i64::from(by));
        self.b.ins().ushr(x, by)
    }

    /// All ones where the comparison holds, as an integer vector.
    pub(super) fn compare(&mut self, condition: FloatCC, x: Value, y: Value) -> Value {
        self.b.ins().fcmp(condition, x, y)
    }

    /// x where the mask is ones, else y. One `blendv` if the mask is a comparison itself.
    pub(super) fn blend(&mut self, mask: Value, x: Value, y: Value) -> Value {
        let mask = self.float_bits(mask);
        self.b.ins().bitselect(mask, x, y)
    }

    /// x where the mask is ones, else 0.
    pub(super) fn masked(&mut self, mask: Value, x: Value) -> Value {
        let mask = self.float_bits(mask);
        self.b.ins().band(mask, x)
    }

    pub(super) fn truth(&mut self, condition: FloatCC, x: Value, y: Value) -> Value {
        let mask = self.compare(condition, x, y);
        let one = self.constant(1.0);
        self.masked(mask, one)
    }

    /// One `minps`: the lesser, or y where an operand is NaN.
    pub(super) fn min_or_second(&mut self, x: Value, y: Value) -> Value {
        let mask = self.compare(FloatCC::LessThan, x, y);
        self.blend(mask, x, y)
    }

    /// One `maxps`: the greater, or y where an operand is NaN.
    pub(super) fn max_or_second(&mut self, x: Value, y: Value) -> Value {
        let mask = self.compare(FloatCC::LessThan, y, x);
        self.blend(mask, x, y)
    }

    /// x where x is NaN, else y.
    pub(super) fn nan_of(&mut self, x: Value, y: Value) -> Value {
        let nan = self.compare(FloatCC::Unordered, x, x);
        self.blend(nan, x, y)
    }

    /// x limited to [low, high]; NaN stays.
    pub(super) fn clamp(&mut self, x: Value, low: f64, high: f64) -> Value {
        let high = self.constant(high);
        let x = self.min_or_second(high, x);
        let low = self.constant(low);
        self.max_or_second(low, x)
    }

    /// The sign bit of x, every other bit 0.
    pub(super) fn sign_of(&mut self, x: Value) -> Value {
        let sign = self.splat_bits(self.lane.vector_type(), self.lane.sign_bit());
        self.b.ins().band(x, sign)
    }

    /// The non-negative x with the sign of y.
    pub(super) fn copy_sign(&mut self, x: Value, y: Value) -> Value {
        let sign = self.sign_of(y);
        self.b.ins().bor(x, sign)
    }

    /// c₀ + c₁·x + c₂·x² + … by Horner's rule.
    pub(super) fn polynomial(&mut self, x: Value, coefficients: &[f64]) -> Value {
        let (&last, rest) = coefficients
            .split_last()
            .expect("a polynomial has a coefficient");
        let mut sum = self.constant(last);
        for &coefficient in rest.iter().rev() {
            let coefficient = self.constant(coefficient);
            sum = self.fma(sum, x, coefficient);
        }
        sum
    }
}
