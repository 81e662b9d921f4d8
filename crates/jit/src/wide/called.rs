//! Calls in the middle of straight code, where registers have meanings: they are so rare that a stub keeps all of them
//! around the function.

use iced_x86::{Code as X86, Instruction, MemoryOperand, Register};
use retrograd_tape::Real;

use super::allocate::MASKS;
use super::encode::{Ahead, Assembly, POINTERS};
use super::set::{LINE, Set};
use crate::vmath::called;
use retrograd_kernels::maths::{Called, Lane};

/// The vector's place on the stack that has the operand, then the result.
pub(super) const OPERAND: usize = 0;

/// Calls so far: what is called, and where.
pub(super) type Calls = Vec<((Called, Lane), Ahead)>;

impl Assembly {
    /// Replaces each element of the vector at [`OPERAND`] by the function of it. All registers stay as they are.
    pub(super) fn call_keeping(&mut self, function: Called, lane: Lane) {
        let call = self.branch_ahead(X86::Call_rel32_64);
        self.calls.push(((function, lane), call));
    }

    /// What these calls arrive at: each function once, between what saves and what restores the registers that a function
    /// of the System V convention may change.
    pub(super) fn stubs(&mut self) {
        while let Some(&(function, _)) = self.calls.first() {
            let all = std::mem::take(&mut self.calls);
            let (these, others): (Calls, Calls) = all.into_iter().partition(|c| c.0 == function);
            self.calls = others;
            these.into_iter().for_each(|call| self.arrive(call.1));
            self.keeping(function);
        }
    }

    fn keeping(&mut self, (function, lane): (Called, Lane)) {
        use Register::{RAX, RBP, RDI, RDX, RSI, RSP};
        let one = |code, r| Instruction::with1(code, r);
        let general = || std::iter::once(RAX).chain(POINTERS);
        self.put(one(X86::Push_r64, RBP));
        self.put(Instruction::with2(X86::Mov_r64_rm64, RBP, RSP));
        for r in general() {
            self.put(one(X86::Push_r64, r));
        }
        let (set, vector) = (self.set, self.set.vector());
        let vectors = set.registers() * vector;
        let size = (vectors + LINE) as i32;
        self.put(Instruction::with2(X86::And_rm64_imm8, RSP, -64));
        self.put(Instruction::with2(X86::Sub_rm64_imm32, RSP, size));
        let on_stack = |at: usize| MemoryOperand::with_base_displ(RSP, at as i64);
        for r in 0..set.registers() {
            self.store_whole(on_stack(r * vector), set.register(r));
        }
        let masks: Vec<Register> = match set {
            Set::Avx512 => std::iter::once(Register::K1).chain(MASKS).collect(),
            Set::Avx2 => Vec::new(),
        };
        for (k, &mask) in masks.iter().enumerate() {
            let to = on_stack(vectors + 2 * k);
            self.put(Instruction::with2(X86::VEX_Kmovw_m16_kr, to, mask));
        }
        self.put(Ok(Instruction::with(X86::VEX_Vzeroupper)));
        // Above the caller's frame pointer and the address to return to.
        let operand = MemoryOperand::with_base_displ(RBP, (16 + OPERAND * vector) as i64);
        self.put(Instruction::with2(X86::Lea_r64_m, RDI, operand));
        self.set(RSI, set.lanes(lane) as i32);
        let replace = match lane {
            Lane::F32 => replace::<f32> as *const () as u64,
            Lane::F64 => replace::<f64> as *const () as u64,
        };
        let each = called(function) as *const () as u64;
        self.put(Instruction::with2(X86::Mov_r64_imm64, RDX, each));
        self.put(Instruction::with2(X86::Mov_r64_imm64, RAX, replace));
        self.put(one(X86::Call_rm64, RAX));
        for (k, &mask) in masks.iter().enumerate() {
            let from = on_stack(vectors + 2 * k);
            self.put(Instruction::with2(X86::VEX_Kmovw_kr_km16, mask, from));
        }
        for r in 0..set.registers() {
            self.load_whole(set.register(r), on_stack(r * vector));
        }
        let pushed = MemoryOperand::with_base_displ(RBP, -8 * general().count() as i64);
        self.put(Instruction::with2(X86::Lea_r64_m, RSP, pushed));
        for r in general().collect::<Vec<_>>().into_iter().rev() {
            self.put(one(X86::Pop_r64, r));
        }
        self.put(one(X86::Pop_r64, RBP));
        self.put(Ok(Instruction::with(X86::Retnq)));
    }
}

/// Replaces each of `n` numbers by f of it.
///
/// # Safety
/// `x` has `n` numbers.
unsafe extern "sysv64" fn replace<T: Real>(x: *mut T, n: usize, f: extern "C" fn(f64) -> f64) {
    // SAFETY: guaranteed by the caller.
    for x in unsafe { std::slice::from_raw_parts_mut(x, n) } {
        *x = T::from_f64(f(x.to_f64()));
    }
}
