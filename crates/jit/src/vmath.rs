//! Element-wise maths on 128-bit vectors, emitted as Cranelift IR: the functions are those of [`retrograd_kernels::maths`],
//! and here are their operations.
//!
//! Used by the lowering of element-wise regions. Everything is emitted at the builder's current position.
//!
//! Constants are `vconst`s, emitted by each op: with `opt_level = speed` Cranelift merges equal ones and hoists them
//! out of the loop.

use std::ops::{Deref, DerefMut};

use cranelift::codegen::ir::{BlockArg, ConstantData, Endianness};
use cranelift::codegen::isa::{CallConv, TargetIsa};
use cranelift::prelude::*;
use retrograd_kernels::maths::{Called, Compare, Emitter, Lane, Math, Rounding, Vectors};
use retrograd_tape::Map;

/// A function builder that emits maths, too.
#[expect(missing_debug_implementations, reason = "a function builder has none")]
pub struct Cranelift<'f>(pub FunctionBuilder<'f>);

impl<'f> Deref for Cranelift<'f> {
    type Target = FunctionBuilder<'f>;
    fn deref(&self) -> &FunctionBuilder<'f> {
        &self.0
    }
}

impl DerefMut for Cranelift<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Cranelift's types of elements.
pub trait LaneTypes {
    /// The vector type, `f32x4` or `f64x2`.
    fn vector_type(self) -> Type;

    /// The integer vector of the same shape, which is also the type of a comparison: `i32x4` or `i64x2`.
    fn int_vector_type(self) -> Type;

    /// The type of one element.
    fn scalar_type(self) -> Type;

    /// Elements in a vector.
    fn lanes(self) -> u32;
}

impl LaneTypes for Lane {
    fn vector_type(self) -> Type {
        match self {
            Lane::F32 => types::F32X4,
            Lane::F64 => types::F64X2,
        }
    }

    fn int_vector_type(self) -> Type {
        match self {
            Lane::F32 => types::I32X4,
            Lane::F64 => types::I64X2,
        }
    }

    fn scalar_type(self) -> Type {
        match self {
            Lane::F32 => types::F32,
            Lane::F64 => types::F64,
        }
    }

    fn lanes(self) -> u32 {
        16 / self.bytes()
    }
}

/// Whether `isa` has a fused multiply-add on vectors: the field `fma` of [`Math`].
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

/// Vectors in memory.
pub trait Memory {
    /// Loads the vector at `offset` bytes from an address that is aligned to an element only.
    fn load(&mut self, at: Value, offset: i32) -> Value;
    /// Stores a vector at such an address.
    fn store(&mut self, x: Value, at: Value, offset: i32);
}

impl Memory for Math<'_, Cranelift<'_>> {
    /// All memory operands come from here. Before AVX, instructions require operands in memory to be aligned to 16
    /// bytes. Cranelift knows that of most, uses a separate load for operands that may be unaligned, and folds all
    /// other loads into the instruction that uses them; but packed compares are not marked, and fault
    /// (docs/UPSTREAM.md). So without AVX no load is folded: the load is one of integers, and its cast to floats, which
    /// is no instruction, separates it from its user. Nothing is lost, because only aligned operands could be folded
    /// there.
    fn load(&mut self, at: Value, offset: i32) -> Value {
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

    fn store(&mut self, x: Value, at: Value, offset: i32) {
        let flags = MemFlagsData::new().with_notrap();
        self.e.ins().store(flags, x, at, offset);
    }
}

/// The host's convention for `extern "C"`.
const HOST: CallConv = if cfg!(windows) {
    CallConv::WindowsFastcall
} else if cfg!(all(target_vendor = "apple", target_arch = "aarch64")) {
    CallConv::AppleAarch64
} else {
    CallConv::SystemV
};

/// What emitted code calls.
pub(crate) fn called(function: Called) -> extern "C" fn(f64) -> f64 {
    match function {
        Called::Sin => sin,
        Called::Cos => cos,
    }
}

extern "C" fn sin(x: f64) -> f64 {
    (Map::Sin.row().eval)(&[x])
}

extern "C" fn cos(x: f64) -> f64 {
    (Map::Cos.row().eval)(&[x])
}

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

impl Parts for Cranelift<'_> {
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

/// Vectors of 128 bits, as Cranelift IR at the builder's current position: of [`LaneTypes::vector_type`], masks
/// of [`LaneTypes::int_vector_type`].
impl Vectors for Cranelift<'_> {
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
}

impl Emitter for Cranelift<'_> {
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
        function: Called,
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
        let each = self.call_each(lane, called(function), x);
        let found = self.blend(lane, mask, each, fast);
        self.ins().jump(next, &[BlockArg::Value(found)]);
        self.seal_block(next);
        self.switch_to_block(next);
        result
    }
}
