//! Element-wise maths on 128-bit vectors, emitted as Cranelift IR.
//!
//! Used by the lowering of element-wise regions: [`Math`] wraps a `FunctionBuilder` and turns one op on one vector of
//! four `f32` or two `f64` ([`Lane`]) into a few branch-free instructions. Everything is emitted at the builder's
//! current position; nothing is called, except by sine and cosine beyond their reduction's range (see [`Math::sin`]).
//!
//! Every function guarantees:
//! - a NaN in an operand is a NaN in the result, through every clamp (`pow(NaN, 0)` and `pow(1, NaN)`, which are 1 as
//!   in `std`, and [`Math::select`], [`Math::lt`], [`Math::le`], [`Math::eq`] excepted);
//! - ±∞, ±0 and subnormal operands and results behave as in `std`; nothing is flushed to zero;
//! - the error stays below the constant beside the function ([`EXP_ULP`] and its siblings), in units of the last
//!   place of the correctly rounded result, with and without fused multiply-add.
//!
//! Constants are `vconst`s, emitted by each op: with `opt_level = speed` Cranelift merges equal ones and hoists them
//! out of the loop.
//!
//! # Choosing instructions
//!
//! `bitselect(fcmp(LessThan, x, y), x, y)` is one `minps`, and `bitselect(fcmp(LessThan, y, x), x, y)` one `maxps`:
//! both return y where an operand is NaN. So a clamp has its limit first and its value second, and NaN passes.
//!
//! Rounding to an integer n adds 1.5·2^23 (1.5·2^52 in `f64`): the sum's low mantissa bits are n, with no conversion
//! (which x86-64 lacks for 64-bit lanes), and a bias put into the same constant makes them the exponent field of a
//! power of two.

mod erf;
mod exp;
mod log;
mod parts;
mod pow;
mod round;
mod trig;
mod vectors;

pub use erf::ERF_ULP;
pub use exp::{EXP_ULP, EXPM1_ULP, SIGMOID_ULP, SOFTPLUS_ULP, TANH_ULP};
pub use log::{LN_ULP, LOG1P_ULP};
pub use pow::{POW_F32_ULP, POW_F64_ULP};
pub use trig::{SIN_COS_FAST_F32, SIN_COS_FAST_F64, SIN_COS_ULP};
pub use vectors::{Compare, Rounding, Vectors};

use cranelift::codegen::ir::Endianness;
use cranelift::codegen::isa::TargetIsa;
use cranelift::prelude::*;

/// Largest error of [`Math::softsign`], in ulp: half an ulp from the division, and up to half an ulp of the sum, which
/// is at most one ulp of the quotient.
pub const SOFTSIGN_ULP: f64 = 1.5;

/// The element type of a 128-bit vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Four `f32`.
    F32,
    /// Two `f64`.
    F64,
}

impl Lane {
    /// The vector type, `f32x4` or `f64x2`.
    pub fn vector_type(self) -> Type {
        match self {
            Lane::F32 => types::F32X4,
            Lane::F64 => types::F64X2,
        }
    }

    /// The integer vector of the same shape, which is also the type of a comparison: `i32x4` or `i64x2`.
    pub fn int_vector_type(self) -> Type {
        match self {
            Lane::F32 => types::I32X4,
            Lane::F64 => types::I64X2,
        }
    }

    /// The type of one element.
    pub fn scalar_type(self) -> Type {
        match self {
            Lane::F32 => types::F32,
            Lane::F64 => types::F64,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u32 {
        match self {
            Lane::F32 => 4,
            Lane::F64 => 8,
        }
    }

    /// Elements in a vector.
    pub fn lanes(self) -> u32 {
        16 / self.bytes()
    }

    /// Explicit mantissa bits.
    fn mantissa_bits(self) -> u32 {
        match self {
            Lane::F32 => 23,
            Lane::F64 => 52,
        }
    }

    /// All bits of an element.
    fn all_bits(self) -> u64 {
        match self {
            Lane::F32 => u64::from(u32::MAX),
            Lane::F64 => u64::MAX,
        }
    }

    /// The exponent's bias.
    fn bias(self) -> f64 {
        match self {
            Lane::F32 => 127.0,
            Lane::F64 => 1023.0,
        }
    }

    /// 1.5·2^mantissa_bits: adding it to a small number rounds that number to an integer.
    fn magic(self) -> f64 {
        match self {
            Lane::F32 => 12_582_912.0,
            Lane::F64 => 6_755_399_441_055_744.0,
        }
    }

    /// The bit that holds the sign.
    fn sign_bit(self) -> u64 {
        match self {
            Lane::F32 => 1 << 31,
            Lane::F64 => 1 << 63,
        }
    }

    /// `value`, rounded to the element type, as bits.
    fn bits(self, value: f64) -> u64 {
        match self {
            // The caller requests the rounding to the element type.
            Lane::F32 => u64::from((value as f32).to_bits()),
            Lane::F64 => value.to_bits(),
        }
    }
}

/// Whether `isa` has a fused multiply-add on vectors; the field `fma` of [`Math`].
///
/// Without it, Cranelift's `fma` is a call for each element, so [`Math`] multiplies and adds instead.
pub fn has_fma(isa: &dyn TargetIsa) -> bool {
    let set = |name| {
        isa.isa_flags()
            .iter()
            .any(|flag| flag.name == name && flag.as_bool() == Some(true))
    };
    match isa.name() {
        "x64" => set("has_fma") && set("has_avx"),
        // AArch64, RISC-V with V and s390x with vectors have it in their base.
        _ => true,
    }
}

/// Element-wise maths, emitted by `e`.
pub struct Math<'a, E> {
    /// What emits the operations.
    pub e: &'a mut E,
    /// The element type of operands and results.
    pub lane: Lane,
    /// Whether the target fuses multiply and add: see [`has_fma`].
    pub fma: bool,
}

impl<E> std::fmt::Debug for Math<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Math")
            .field("lane", &self.lane)
            .field("fma", &self.fma)
            .finish_non_exhaustive()
    }
}

/// Memory.
impl Math<'_, FunctionBuilder<'_>> {
    /// Loads the vector at `offset` bytes from an address that is aligned to an element only.
    ///
    /// All memory operands come from here. Before AVX, instructions require operands in memory to be aligned to 16
    /// bytes. Cranelift knows that of most, uses a separate load for operands that may be unaligned, and folds all
    /// other loads into the instruction that uses them; but packed compares are not marked, and fault
    /// (docs/UPSTREAM.md). So without AVX no load is folded: the load is one of integers, and its cast to floats, which
    /// is no instruction, separates it from its user. Nothing is lost, because only aligned operands could be folded
    /// there.
    pub fn load(&mut self, at: Value, offset: i32) -> Value {
        let flags = MemFlagsData::new().with_notrap();
        let vector = self.lane.vector_type();
        // On x86-64 a target has both AVX and FMA or neither; elsewhere there are no memory operands.
        if self.fma {
            return self.e.ins().load(vector, flags, at, offset);
        }
        let integers = self.lane.int_vector_type();
        let bits = self.e.ins().load(integers, flags, at, offset);
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.e.ins().bitcast(vector, flags, bits)
    }

    /// Stores a vector at such an address.
    pub fn store(&mut self, x: Value, at: Value, offset: i32) {
        let flags = MemFlagsData::new().with_notrap();
        self.e.ins().store(flags, x, at, offset);
    }
}

/// Arithmetic, comparison and choice.
impl<'a, E: Vectors> Math<'a, E> {
    /// Maths on elements of type `lane`, emitted by `e`; `fma` from [`has_fma`].
    pub fn new(e: &'a mut E, lane: Lane, fma: bool) -> Self {
        Math { e, lane, fma }
    }

    /// `value`, rounded to the element type, in every element.
    pub fn constant(&mut self, value: f64) -> E::V {
        self.bits(self.lane.bits(value))
    }

    /// −x; flips the sign of a NaN too.
    pub fn neg(&mut self, x: E::V) -> E::V {
        let sign = self.bits(self.lane.sign_bit());
        self.e.xor(self.lane, x, sign)
    }

    /// x + y.
    pub fn add(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.add(self.lane, x, y)
    }

    /// x − y.
    pub fn sub(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.sub(self.lane, x, y)
    }

    /// x·y.
    pub fn mul(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.mul(self.lane, x, y)
    }

    /// x ÷ y.
    pub fn div(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.div(self.lane, x, y)
    }

    /// x·y + z, rounded once where the target can, else twice.
    pub fn fma(&mut self, x: E::V, y: E::V, z: E::V) -> E::V {
        if self.fma {
            self.e.fma(self.lane, x, y, z)
        } else {
            let xy = self.mul(x, y);
            self.add(xy, z)
        }
    }

    /// x·y − z, rounded as [`Math::fma`].
    pub fn fms(&mut self, x: E::V, y: E::V, z: E::V) -> E::V {
        if self.fma {
            self.e.fms(self.lane, x, y, z)
        } else {
            let xy = self.mul(x, y);
            self.sub(xy, z)
        }
    }

    /// z − x·y, rounded as [`Math::fma`].
    pub fn fnma(&mut self, x: E::V, y: E::V, z: E::V) -> E::V {
        if self.fma {
            self.e.fnma(self.lane, x, y, z)
        } else {
            let xy = self.mul(x, y);
            self.sub(z, xy)
        }
    }

    /// 1 ÷ x, correctly rounded.
    pub fn recip(&mut self, x: E::V) -> E::V {
        let one = self.constant(1.0);
        self.div(one, x)
    }

    /// √x, correctly rounded; NaN below −0.
    pub fn sqrt(&mut self, x: E::V) -> E::V {
        self.e.sqrt(self.lane, x)
    }

    /// |x|.
    pub fn abs(&mut self, x: E::V) -> E::V {
        let magnitude = self.bits(!self.lane.sign_bit());
        self.e.and(self.lane, x, magnitude)
    }

    /// x, or 0 where |x| < 2⁻¹²⁶, the least normal number of single precision; NaN stays. Three instructions: in single
    /// precision on integers, which take a cycle each where a comparison of floats takes three or more, because
    /// recurrences wait for them.
    pub fn flush(&mut self, x: E::V) -> E::V {
        if self.lane == Lane::F64 {
            let least = self.constant(f64::from(f32::MIN_POSITIVE));
            let size = self.abs(x);
            let kept = self.compare(Compare::NotLess, size, least);
            return self.masked(kept, x);
        }
        // Numbers below the least normal one have a zero exponent field.
        let exponent = self.bits(u64::from(f32::INFINITY.to_bits()));
        let exponent = self.e.and(self.lane, x, exponent);
        let zero = self.bits(0);
        let small = self.e.iequal(self.lane, exponent, zero);
        self.e.unmasked(self.lane, small, x)
    }

    /// −1, 0 or 1; ±0 and NaN stay as they are.
    pub fn sign(&mut self, x: E::V) -> E::V {
        let magnitude = self.abs(x);
        let zero = self.constant(0.0);
        let nonzero = self.compare(Compare::Less, zero, magnitude);
        let one = self.constant(1.0);
        let signed_one = self.copy_sign(one, x);
        self.blend(nonzero, signed_one, x)
    }

    /// The lesser; NaN where either operand is. `min(−0, 0)` is y.
    pub fn min(&mut self, x: E::V, y: E::V) -> E::V {
        let lesser = self.min_or_second(x, y);
        self.nan_of(x, lesser)
    }

    /// The greater; NaN where either operand is. `max(−0, 0)` is y.
    pub fn max(&mut self, x: E::V, y: E::V) -> E::V {
        let greater = self.max_or_second(x, y);
        self.nan_of(x, greater)
    }

    /// x ÷ (1 + |x|), within [`SOFTSIGN_ULP`]; NaN for ±∞.
    pub fn softsign(&mut self, x: E::V) -> E::V {
        let one = self.constant(1.0);
        let size = self.abs(x);
        let denominator = self.add(one, size);
        self.div(x, denominator)
    }

    /// max(x, 0); NaN stays.
    pub fn relu(&mut self, x: E::V) -> E::V {
        let zero = self.constant(0.0);
        self.max_or_second(zero, x)
    }

    /// 1 where x < y, else 0.
    pub fn lt(&mut self, x: E::V, y: E::V) -> E::V {
        self.truth(Compare::Less, x, y)
    }

    /// 1 where x ≤ y, else 0.
    pub fn le(&mut self, x: E::V, y: E::V) -> E::V {
        self.truth(Compare::LessOrEqual, x, y)
    }

    /// 1 where x = y, else 0.
    pub fn eq(&mut self, x: E::V, y: E::V) -> E::V {
        self.truth(Compare::Equal, x, y)
    }

    /// x where c ≠ 0, else y; a NaN in c chooses x.
    pub fn select(&mut self, c: E::V, x: E::V, y: E::V) -> E::V {
        let zero = self.constant(0.0);
        let chosen = self.compare(Compare::NotEqual, c, zero);
        self.blend(chosen, x, y)
    }
}
