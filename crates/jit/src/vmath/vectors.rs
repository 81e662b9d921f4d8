//! The operations on vectors that [`Math`](super::Math) is made of, and their implementation by Cranelift's instructions.

use cranelift::codegen::ir::{BlockArg, ConstantData, Endianness, InstBuilder};
use cranelift::codegen::isa::CallConv;
use cranelift::prelude::*;

use super::Lane;

/// A comparison of floats. Where an operand is NaN, only the last three hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// x = y
    Equal,
    /// x < y
    Less,
    /// x ≤ y
    LessOrEqual,
    /// x ≠ y
    NotEqual,
    /// x ≥ y, or an operand is NaN.
    NotLess,
    /// An operand is NaN.
    Unordered,
}

/// How to round to an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Down.
    Floor,
    /// Up.
    Ceil,
    /// To the nearest, ½ to even.
    Nearest,
}

/// What emits operations on whole vectors: a function builder of Cranelift, whose vectors have 128 bits, or the second
/// back end, which emits machine code of the target's width itself.
///
/// A vector is bits; each operation says how wide its elements are, and whether they are integers. Results are those of
/// IEEE 754 in every implementation, so that all of them agree bit for bit.
pub trait Vectors {
    /// A vector.
    type V: Copy;
    /// A choice for each element.
    type M: Copy;

    /// The same bits in each element.
    fn bits(&mut self, lane: Lane, bits: u64) -> Self::V;
    /// x + y
    fn add(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x − y
    fn sub(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x·y
    fn mul(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x ÷ y
    fn div(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x·y + z, rounded once; only where [`Math::fma`](super::Math) says that there is such an instruction.
    fn fma(&mut self, lane: Lane, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// x·y − z, as [`Vectors::fma`].
    fn fms(&mut self, lane: Lane, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// z − x·y, as [`Vectors::fma`].
    fn fnma(&mut self, lane: Lane, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// √x
    fn sqrt(&mut self, lane: Lane, x: Self::V) -> Self::V;
    /// The lesser, or y where an operand is NaN or both are zeros.
    fn min(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// The greater, or y where an operand is NaN or both are zeros.
    fn max(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x rounded to an integer; only where there is [`Vectors::fma`].
    fn round(&mut self, lane: Lane, how: Rounding, x: Self::V) -> Self::V;

    /// x and y
    fn and(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x or y
    fn or(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x exclusive or y
    fn xor(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x + y as integers.
    fn iadd(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x − y as integers.
    fn isub(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// Integers shifted left.
    fn shl(&mut self, lane: Lane, x: Self::V, by: u32) -> Self::V;
    /// Integers shifted right, zeros coming in.
    fn shr(&mut self, lane: Lane, x: Self::V, by: u32) -> Self::V;

    /// Where the comparison holds.
    fn compare(&mut self, lane: Lane, how: Compare, x: Self::V, y: Self::V) -> Self::M;
    /// Where integers are equal.
    fn iequal(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::M;
    /// Where both hold.
    fn both(&mut self, lane: Lane, x: Self::M, y: Self::M) -> Self::M;
    /// Where either holds.
    fn either(&mut self, lane: Lane, x: Self::M, y: Self::M) -> Self::M;
    /// Where x holds and y does not.
    fn without(&mut self, lane: Lane, x: Self::M, y: Self::M) -> Self::M;
    /// x where the mask holds, else y.
    fn blend(&mut self, lane: Lane, mask: Self::M, x: Self::V, y: Self::V) -> Self::V;
    /// x where the mask holds, else 0.
    fn masked(&mut self, lane: Lane, mask: Self::M, x: Self::V) -> Self::V;
    /// x where the mask does not hold, else 0.
    fn unmasked(&mut self, lane: Lane, mask: Self::M, x: Self::V) -> Self::V;

    /// The lower and the upper half of a vector of `f32`, as `f64`.
    fn widen(&mut self, x: Self::V) -> [Self::V; 2];
    /// The inverse of [`Vectors::widen`], rounding.
    fn narrow(&mut self, halves: [Self::V; 2]) -> Self::V;

    /// `fast`; or f of each element of x, where the mask holds for any of them.
    fn call_if_any(
        &mut self,
        lane: Lane,
        mask: Self::M,
        f: extern "C" fn(f64) -> f64,
        x: Self::V,
        fast: Self::V,
    ) -> Self::V;
}

/// The host's convention for `extern "C"`.
const HOST: CallConv = if cfg!(windows) {
    CallConv::WindowsFastcall
} else if cfg!(all(target_vendor = "apple", target_arch = "aarch64")) {
    CallConv::AppleAarch64
} else {
    CallConv::SystemV
};

/// What only this implementation needs.
trait Parts {
    /// The same bits as type `ty`; no instruction.
    fn cast(&mut self, ty: Type, x: Value) -> Value;
    /// An operation on integers of a lane's width.
    fn integers(
        &mut self,
        lane: Lane,
        xs: [Value; 2],
        op: impl FnOnce(&mut Self, Value, Value) -> Value,
    ) -> Value;
    /// f of each element.
    fn call_each(&mut self, lane: Lane, f: extern "C" fn(f64) -> f64, x: Value) -> Value;
    /// Half `i` of x below half `j` of y, as `f32`.
    fn halves(&mut self, xs: [Value; 2], i: u8, j: u8) -> Value;
}

impl Parts for FunctionBuilder<'_> {
    fn cast(&mut self, ty: Type, x: Value) -> Value {
        if self.func.dfg.value_type(x) == ty {
            return x;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.ins().bitcast(ty, flags, x)
    }

    fn integers(
        &mut self,
        lane: Lane,
        xs: [Value; 2],
        op: impl FnOnce(&mut Self, Value, Value) -> Value,
    ) -> Value {
        let [x, y] = xs.map(|x| self.cast(lane.int_vector_type(), x));
        let z = op(self, x, y);
        self.cast(lane.vector_type(), z)
    }

    fn call_each(&mut self, lane: Lane, f: extern "C" fn(f64) -> f64, x: Value) -> Value {
        let mut signature = Signature::new(HOST);
        signature.params.push(AbiParam::new(types::F64));
        signature.returns.push(AbiParam::new(types::F64));
        let signature = self.import_signature(signature);
        let callee = self.ins().iconst(types::I64, f as usize as i64);
        (0..lane.lanes() as u8).fold(x, |vector, k| {
            let element = self.ins().extractlane(x, k);
            let element = match lane {
                Lane::F32 => self.ins().fpromote(types::F64, element),
                Lane::F64 => element,
            };
            let call = self.ins().call_indirect(signature, callee, &[element]);
            let result = self.inst_results(call)[0];
            let result = match lane {
                Lane::F32 => self.ins().fdemote(types::F32, result),
                Lane::F64 => result,
            };
            self.ins().insertlane(vector, result, k)
        })
    }

    fn halves(&mut self, [x, y]: [Value; 2], i: u8, j: u8) -> Value {
        let [x, y] = [x, y].map(|x| self.cast(types::I8X16, x));
        let mask: Vec<u8> = (8 * i..8 * i + 8)
            .chain(16 + 8 * j..16 + 8 * j + 8)
            .collect();
        let mask = ConstantData::from(mask.as_slice());
        let mask = self.func.dfg.immediates.push(mask);
        let shuffled = self.ins().shuffle(x, y, mask);
        self.cast(types::F32X4, shuffled)
    }
}

/// Vectors of 128 bits, as Cranelift IR at the builder's current position: of [`Lane::vector_type`], masks of
/// [`Lane::int_vector_type`].
impl Vectors for FunctionBuilder<'_> {
    type V = Value;
    type M = Value;

    /// A `vconst`: with `opt_level = speed` Cranelift merges equal ones and hoists them out of the loop.
    fn bits(&mut self, lane: Lane, bits: u64) -> Value {
        let bytes: Vec<u8> = match lane {
            Lane::F32 => bits.to_le_bytes()[..4].repeat(4),
            Lane::F64 => bits.to_le_bytes().repeat(2),
        };
        let constants = &mut self.func.dfg.constants;
        let constant = constants.insert(ConstantData::from(bytes.as_slice()));
        self.ins().vconst(lane.vector_type(), constant)
    }
    fn add(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().fadd(x, y)
    }
    fn sub(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().fsub(x, y)
    }
    fn mul(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().fmul(x, y)
    }
    fn div(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().fdiv(x, y)
    }
    fn fma(&mut self, _: Lane, x: Value, y: Value, z: Value) -> Value {
        self.ins().fma(x, y, z)
    }
    fn fms(&mut self, _: Lane, x: Value, y: Value, z: Value) -> Value {
        let minus_z = self.ins().fneg(z);
        self.ins().fma(x, y, minus_z)
    }
    fn fnma(&mut self, _: Lane, x: Value, y: Value, z: Value) -> Value {
        let minus_x = self.ins().fneg(x);
        self.ins().fma(minus_x, y, z)
    }
    fn sqrt(&mut self, _: Lane, x: Value) -> Value {
        self.ins().sqrt(x)
    }
    /// One `minps`: it has this pattern, where `fmin` has rules for NaN that cost several instructions.
    fn min(&mut self, lane: Lane, x: Value, y: Value) -> Value {
        let mask = self.compare(lane, Compare::Less, x, y);
        self.blend(lane, mask, x, y)
    }
    /// One `maxps`.
    fn max(&mut self, lane: Lane, x: Value, y: Value) -> Value {
        let mask = self.compare(lane, Compare::Less, y, x);
        self.blend(lane, mask, x, y)
    }
    fn round(&mut self, _: Lane, how: Rounding, x: Value) -> Value {
        match how {
            Rounding::Floor => self.ins().floor(x),
            Rounding::Ceil => self.ins().ceil(x),
            Rounding::Nearest => self.ins().nearest(x),
        }
    }

    fn and(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().band(x, y)
    }
    fn or(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().bor(x, y)
    }
    fn xor(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().bxor(x, y)
    }
    fn iadd(&mut self, lane: Lane, x: Value, y: Value) -> Value {
        self.integers(lane, [x, y], |b, x, y| b.ins().iadd(x, y))
    }
    fn isub(&mut self, lane: Lane, x: Value, y: Value) -> Value {
        self.integers(lane, [x, y], |b, x, y| b.ins().isub(x, y))
    }
    fn shl(&mut self, lane: Lane, x: Value, by: u32) -> Value {
        let by = self.ins().iconst(types::I32, i64::from(by));
        self.integers(lane, [x, x], |b, x, _| b.ins().ishl(x, by))
    }
    fn shr(&mut self, lane: Lane, x: Value, by: u32) -> Value {
        let by = self.ins().iconst(types::I32, i64::from(by));
        self.integers(lane, [x, x], |b, x, _| b.ins().ushr(x, by))
    }

    fn compare(&mut self, _: Lane, how: Compare, x: Value, y: Value) -> Value {
        let condition = match how {
            Compare::Equal => FloatCC::Equal,
            Compare::Less => FloatCC::LessThan,
            Compare::LessOrEqual => FloatCC::LessThanOrEqual,
            Compare::NotEqual => FloatCC::NotEqual,
            Compare::NotLess => FloatCC::UnorderedOrGreaterThanOrEqual,
            Compare::Unordered => FloatCC::Unordered,
        };
        self.ins().fcmp(condition, x, y)
    }
    fn iequal(&mut self, lane: Lane, x: Value, y: Value) -> Value {
        let [x, y] = [x, y].map(|x| self.cast(lane.int_vector_type(), x));
        self.ins().icmp(IntCC::Equal, x, y)
    }
    fn both(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().band(x, y)
    }
    fn either(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().bor(x, y)
    }
    fn without(&mut self, _: Lane, x: Value, y: Value) -> Value {
        self.ins().band_not(x, y)
    }
    /// One `blendv` if the mask is a comparison itself.
    fn blend(&mut self, lane: Lane, mask: Value, x: Value, y: Value) -> Value {
        let mask = self.cast(lane.vector_type(), mask);
        self.ins().bitselect(mask, x, y)
    }
    fn masked(&mut self, lane: Lane, mask: Value, x: Value) -> Value {
        let mask = self.cast(lane.vector_type(), mask);
        self.ins().band(mask, x)
    }
    fn unmasked(&mut self, lane: Lane, mask: Value, x: Value) -> Value {
        let mask = self.cast(lane.vector_type(), mask);
        self.ins().band_not(x, mask)
    }

    fn widen(&mut self, x: Value) -> [Value; 2] {
        let low = self.ins().fvpromote_low(x);
        let high = self.halves([x, x], 1, 1);
        [low, self.ins().fvpromote_low(high)]
    }
    fn narrow(&mut self, halves: [Value; 2]) -> Value {
        let halves = halves.map(|x| self.ins().fvdemote(x));
        self.halves(halves, 0, 0)
    }

    /// A branch to a cold block. Ends the current block and leaves the builder in a new, sealed one.
    fn call_if_any(
        &mut self,
        lane: Lane,
        mask: Value,
        f: extern "C" fn(f64) -> f64,
        x: Value,
        fast: Value,
    ) -> Value {
        let any = self.ins().vany_true(mask);
        let (slow, next) = (self.create_block(), self.create_block());
        let result = self.append_block_param(next, lane.vector_type());
        self.set_cold_block(slow);
        (self.ins()).brif(any, slow, &[], next, &[BlockArg::Value(fast)]);
        self.seal_block(slow);
        self.switch_to_block(slow);
        let each = self.call_each(lane, f, x);
        self.ins().jump(next, &[BlockArg::Value(each)]);
        self.seal_block(next);
        self.switch_to_block(next);
        result
    }
}
