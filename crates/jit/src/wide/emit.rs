//! From a block to machine code: registers are allocated while instructions are emitted.
//!
//! Loads and constants are emitted where they are needed, as a memory operand if they are needed once.

use iced_x86::{Code as X86, IcedError, Instruction, Register};

use super::allocate::{Busy, MASKS, NEVER, REGISTERS, Source, busy};
use super::block::{Block, Choice, Extent, Fused, M, OfMasks, One, Op, Place, Two, V};
use super::called::OPERAND;
use super::encode::Assembly;
use super::instructions::{self as x86, Operand};
use super::pointers::Pointers;
use super::set::Set;
use retrograd_kernels::maths::{Called, Lane};

/// Emits a block. `kept` registers keep their values from block to block.
///
/// Returns `None` if it needs more masks than there are.
pub(super) fn emit(
    code: &mut Assembly,
    block: &Block,
    kept: usize,
    pointers: &mut Pointers,
) -> Option<()> {
    Emitter::new(code, block, kept, pointers).all()
}

pub(super) struct Emitter<'a> {
    pub(super) code: &'a mut Assembly,
    pub(super) block: &'a Block,
    pub(super) pointers: &'a mut Pointers,
    /// Registers to allocate.
    pub(super) pool: usize,
    /// By operation and operand: the next operation that reads the same value.
    pub(super) next: Vec<[u32; 3]>,
    /// By value: the next operation that reads it.
    pub(super) upcoming: Vec<u32>,
    /// By value: its register.
    pub(super) register: Vec<Option<usize>>,
    /// By value: its place on the stack.
    pub(super) slot: Vec<Option<usize>>,
    /// By value: the kept register that it is computed for.
    pub(super) target: Vec<Option<usize>>,
    /// By mask: the last operation that reads it.
    pub(super) last: Vec<u32>,
    /// Loads that no instruction needed so far.
    pub(super) pending: Vec<V>,
    /// By register: its value.
    pub(super) held: [Option<V>; REGISTERS],
    /// By mask register: its value.
    pub(super) masks: [Option<M>; MASKS.len()],
    pub(super) free_slots: Vec<usize>,
    /// Places that this operation was the last to read.
    pub(super) freed: Vec<usize>,
    pub(super) slots: usize,
    /// The operation being emitted.
    pub(super) i: usize,
}

impl<'a> Emitter<'a> {
    fn new(
        code: &'a mut Assembly,
        block: &'a Block,
        kept: usize,
        pointers: &'a mut Pointers,
    ) -> Self {
        let n = block.ops.len();
        let calls = (block.ops.iter()).any(|(op, ..)| matches!(op, Op::CallIfAny(..)));
        let mut next = vec![[NEVER; 3]; n];
        let (mut upcoming, mut last) = (vec![NEVER; n], vec![0; n]);
        for (i, (op, ..)) in block.ops.iter().enumerate().rev() {
            let ((vectors, count), (masks, of_masks)) = (op.reads(), op.masks());
            for (k, v) in vectors[..count].iter().enumerate() {
                next[i][k] = upcoming[v.0 as usize];
            }
            let all = vectors[..count].iter().map(|v| v.0);
            all.for_each(|v| upcoming[v as usize] = i as u32);
            for m in &masks[..of_masks] {
                upcoming[m.0 as usize] = i as u32;
                let last = &mut last[m.0 as usize];
                *last = (*last).max(i as u32);
            }
        }
        let registers = code.set.registers();
        let mut target = vec![None; n];
        for (i, (op, ..)) in block.ops.iter().enumerate() {
            if let Op::Keep(k, v) = *op {
                // Nobody reads the old value from where the new one is computed on.
                let read = |&(j, other): &(usize, &(Op, Lane, u32))| {
                    let (vs, count) = other.0.reads();
                    let old = |v: &V| block.ops[v.0 as usize].0 == Op::Kept(k);
                    j > v.0 as usize && vs[..count].iter().any(old)
                };
                let made = !matches!(
                    block.ops[v.0 as usize].0,
                    Op::Bits(_) | Op::Load(..) | Op::Splat(_) | Op::Kept(_)
                );
                let sole = made && upcoming[v.0 as usize] == i as u32 && next[i][0] == NEVER;
                let after = block.ops.iter().enumerate().take(i);
                if sole && !after.skip(v.0 as usize).any(|o| read(&o)) {
                    target[v.0 as usize] = Some(registers - 1 - k);
                }
            }
        }
        Emitter {
            code,
            block,
            pointers,
            pool: registers - kept,
            next,
            upcoming,
            register: vec![None; n],
            slot: vec![None; n],
            target,
            last,
            pending: Vec::new(),
            held: [None; REGISTERS],
            masks: [None; MASKS.len()],
            free_slots: Vec::new(),
            freed: Vec::new(),
            slots: if calls { OPERAND + 1 } else { 0 },
            i: 0,
        }
    }

    fn all(mut self) -> Option<()> {
        for i in 0..self.block.ops.len() {
            self.i = i;
            self.free_slots.append(&mut self.freed);
            let (op, lane, _) = self.block.ops[i];
            self.op(op, lane)?;
        }
        self.code.spilled = self.code.spilled.max(self.slots);
        Some(())
    }

    fn op(&mut self, op: Op, lane: Lane) -> Option<()> {
        let this = V(self.i as u32);
        let used = self.upcoming[self.i] != NEVER;
        match op {
            // Emitted where they are needed.
            Op::Bits(_) => {}
            Op::Load(..) | Op::Splat(_) => self.pending.push(this),
            Op::Kept(k) => self.register[self.i] = Some(self.kept(k)),
            Op::Keep(k, v) => {
                let to = self.kept(k);
                if self.target[v.0 as usize] != Some(to) {
                    let from = self.in_register(v, Busy::NONE);
                    self.code.copy(self.vector(to), self.vector(from));
                }
                self.done(v, 0);
            }
            Op::Store(place, extent, v) => self.store(place, extent, lane, v),
            _ if !used => {
                let (vs, n) = op.reads();
                for (k, &v) in vs[..n].iter().enumerate() {
                    self.done(v, k);
                }
                self.done_masks(&op);
            }
            Op::One(one, x) => self.one(one, lane, this, x),
            Op::Two(two, x, y) => self.two(two, lane, this, (x, 0), (y, 1)),
            Op::Fused(fused, x, y, z) => self.fused(fused, lane, this, [x, y, z]),
            Op::Compare(how, x, y) => {
                let swap = !self.memorable(y, 1) && self.memorable(x, 0);
                let imm = x86::predicate(how, swap);
                let code = self.code.set.compare(lane);
                self.compare(code, Some(imm), this, [x, y], swap)?;
            }
            Op::EqualIntegers(x, y) => {
                let code = self.code.set.equal_integers(lane);
                self.compare(code, None, this, [x, y], false)?;
            }
            Op::OfMasks(how, x, y) => {
                let (a, b) = (self.mask(x), self.mask(y));
                self.done_masks(&op);
                let to = self.mask_result(M(this.0))?;
                let put = match how {
                    OfMasks::Both => Instruction::with3(X86::VEX_Kandw_kr_kr_kr, to, a, b),
                    OfMasks::Either => Instruction::with3(X86::VEX_Korw_kr_kr_kr, to, a, b),
                    // Not the first operand, and the second.
                    OfMasks::Without => Instruction::with3(X86::VEX_Kandnw_kr_kr_kr, to, b, a),
                };
                self.code.put(put);
            }
            Op::Blend(m, x, y) => {
                let mask = self.mask(m);
                self.done_masks(&op);
                self.blend(lane, mask, this, x, y);
            }
            Op::Choose(mask, x, y) => self.choose(lane, this, [x, y, mask]),
            Op::CallIfAny(function, chosen, x, fast) => {
                self.call_if_any(function, chosen, lane, this, [x, fast]);
            }
            Op::InPart(n, x, y) => match self.code.set {
                Set::Avx512 => {
                    self.code.set_part(n);
                    self.blend(lane, Register::K1, this, x, y);
                }
                Set::Avx2 => self.in_part(n, lane, this, x, y),
            },
            Op::Masked(m, x) => {
                let mask = self.mask(m);
                let from = self.in_register(x, Busy::NONE);
                self.done(x, 0);
                self.done_masks(&op);
                let to = self.result(this, Busy::NONE);
                let (to, from) = (self.vector(to), self.vector(from));
                self.code.copy_masked(lane, to, from, mask);
            }
        }
        Some(())
    }

    /// The register that is kept as number `k`.
    fn kept(&self, k: usize) -> usize {
        self.code.set.registers() - 1 - k
    }

    fn store(&mut self, place: Place, extent: Extent, lane: Lane, v: V) {
        self.load_what_is_pending();
        let from = self.in_register(v, Busy::NONE);
        let free = match extent {
            Extent::Part(n) if self.code.set.masks_are_vectors(lane, n) => {
                let free = self.free_register(Busy::NONE.with(from));
                Some(self.vector(free))
            }
            _ => None,
        };
        let to = self.memory(place, false);
        self.done(v, 0);
        self.code.store(lane, extent, to, self.vector(from), free);
    }

    fn one(&mut self, one: One, lane: Lane, this: V, x: V) {
        let from = self.in_register(x, Busy::NONE);
        self.done(x, 0);
        let to = self.result(this, Busy::NONE);
        let (to, from) = (self.vector(to), self.vector(from));
        let made = self.code.set.one(one, lane, to, from);
        self.code.put(x86::halved(made, self.block.ops[self.i].2));
    }

    fn two(&mut self, two: Two, lane: Lane, this: V, x: (V, usize), y: (V, usize)) {
        let swap = two.commutes() && !self.memorable(y.0, y.1) && self.memorable(x.0, x.1);
        let (x, y) = if swap { (y, x) } else { (x, y) };
        let right = self.source(y.0, y.1, &[x.0]);
        let left = self.in_register(x.0, busy(right));
        self.done(x.0, x.1);
        self.done(y.0, y.1);
        let to = self.result(this, Busy::NONE);
        let (to, left) = (self.vector(to), self.vector(left));
        let c = self.code.set.two(two, lane);
        let immediate = self.code.set.immediate(two);
        self.with_source(right, |s| match immediate {
            Some(imm) => s.with_immediate(c, &[to, left], imm),
            None => s.with(c, &[to, left]),
        });
    }

    /// `fast`, and the function of those elements of x that are chosen. The call's operand and its result are on the stack.
    fn call_if_any(
        &mut self,
        function: Called,
        chosen: Choice,
        lane: Lane,
        this: V,
        [x, fast]: [V; 2],
    ) {
        let from = self.in_register(x, Busy::NONE);
        let other = self.in_register(fast, Busy::NONE.with(from));
        let (mask, taken) = match chosen {
            Choice::Mask(m) => (self.mask(m), Busy::NONE),
            Choice::Vector(m) => {
                let mask = self.in_register(m, Busy::NONE.with(from).with(other));
                (self.vector(mask), Busy::NONE.with(mask))
            }
        };
        let (place, set) = (self.stack(OPERAND), self.code.set);
        self.code.store_whole(place, self.vector(from));
        self.code.put(set.test(mask));
        self.done(x, 0);
        self.done(fast, 1);
        match chosen {
            Choice::Mask(_) => self.done_masks(&self.block.ops[self.i].0),
            Choice::Vector(m) => self.done(m, 2),
        }
        // If that takes the place of `fast`, what it has is what is wanted.
        let to = self.result(this, taken);
        let (to, other) = (self.vector(to), self.vector(other));
        if to != other {
            self.code.copy(to, other);
        }
        let none = self.code.branch_ahead(X86::Je_rel32_64);
        self.code.call_keeping(function, lane);
        let (found, blend) = (Operand::Memory(place), set.blend(lane));
        self.code.put(match chosen {
            Choice::Mask(_) => found.with(blend, &[to, to]).map(|mut made| {
                made.set_op_mask(mask);
                made
            }),
            Choice::Vector(_) => found.chosen_by(blend, [to, to], mask),
        });
        self.code.arrive(none);
    }

    /// A mask, with operands exchanged if `swap`.
    fn compare(
        &mut self,
        code: X86,
        imm: Option<u32>,
        this: V,
        [x, y]: [V; 2],
        swap: bool,
    ) -> Option<()> {
        let (left, right, k) = match swap {
            true => (y, x, 0),
            false => (x, y, 1),
        };
        let right = self.source(right, k, &[left]);
        let left = self.in_register(left, busy(right));
        self.done(x, 0);
        self.done(y, 1);
        let to = match self.code.set {
            Set::Avx512 => self.mask_result(M(this.0))?,
            Set::Avx2 => {
                let to = self.result(this, Busy::NONE);
                self.vector(to)
            }
        };
        let registers = [to, self.vector(left)];
        self.with_source(right, |s| match imm {
            Some(imm) => s.with_immediate(code, &registers, imm),
            None => s.with(code, &registers),
        });
        Some(())
    }

    fn blend(&mut self, lane: Lane, mask: Register, this: V, x: V, y: V) {
        let chosen = self.source(x, 0, &[y]);
        let other = self.in_register(y, busy(chosen));
        self.done(x, 0);
        self.done(y, 1);
        let to = self.result(this, Busy::NONE);
        let c = self.code.set.blend(lane);
        let (to, other) = (self.vector(to), self.vector(other));
        self.with_source(chosen, |s| {
            let mut put = s.with(c, &[to, other])?;
            put.set_op_mask(mask);
            Ok(put)
        });
    }

    /// x where the mask holds, which is a vector, else y.
    fn choose(&mut self, lane: Lane, this: V, xs: [V; 3]) {
        let [x, y, mask] = xs;
        let chosen = self.source(x, 0, &[y, mask]);
        let mut taken = busy(chosen);
        let other = self.in_register_beside(y, taken, &xs);
        taken = taken.with(other);
        let mask = self.in_register_beside(mask, taken, &xs);
        for (k, x) in xs.into_iter().enumerate() {
            self.done(x, k);
        }
        let to = self.result(this, Busy::NONE);
        let c = self.code.set.blend(lane);
        let [to, other, mask] = [to, other, mask].map(|r| self.vector(r));
        self.with_source(chosen, |s| s.chosen_by(c, [to, other], mask));
    }

    /// x in the first elements, else y, without a mask.
    fn in_part(&mut self, n: usize, lane: Lane, this: V, x: V, y: V) {
        let chosen = self.source(x, 0, &[y]);
        let other = self.in_register(y, busy(chosen));
        self.done(x, 0);
        self.done(y, 1);
        let to = self.result(this, Busy::NONE);
        let [to, other] = [to, other].map(|r| self.vector(r));
        let c = x86::blend_parts(lane);
        let imm = (1 << n) - 1;
        self.with_source(chosen, |s| s.with_immediate(c, &[to, other], imm));
    }

    /// The result overwrites an operand, one that is not needed any more, or a copy.
    fn fused(&mut self, fused: Fused, lane: Lane, this: V, xs: [V; 3]) {
        let memory = [2, 1, 0].into_iter().find(|&k| {
            let twice = (0..3).any(|j| j != k && xs[j] == xs[k]);
            !twice && self.memorable(xs[k], k)
        });
        let mut sources = [Source::Register(0); 3];
        let mut taken = Busy::NONE;
        if let Some(k) = memory {
            sources[k] = self.source(xs[k], k, &xs);
        }
        for k in 0..3 {
            if Some(k) != memory {
                let r = self.in_register_beside(xs[k], taken, &xs);
                taken = taken.with(r);
                sources[k] = Source::Register(r);
            }
        }
        for (k, &x) in xs.iter().enumerate() {
            self.upcoming[x.0 as usize] = self.next[self.i][k];
        }
        let target = self.target[this.0 as usize];
        let register = |s: Source| match s {
            Source::Register(r) => Some(r),
            Source::Memory(_) | Source::Constant(_) => None,
        };
        // Which operand may be overwritten.
        let free = (0..3).find(|&k| {
            let r = register(sources[k]);
            match target {
                Some(_) => r == target,
                None => {
                    r.is_some_and(|r| r < self.pool) && self.upcoming[xs[k].0 as usize] == NEVER
                }
            }
        });
        let overwritten = free.unwrap_or(match memory {
            // A factor if the summand lies in memory, else the summand.
            Some(2) => 0,
            _ => 2,
        });
        let from = register(sources[overwritten]).expect("memory is not overwritten");
        let to = match (free, target) {
            (Some(_), _) => from,
            (None, Some(to)) => to,
            (None, None) => self.free_register(taken),
        };
        if free.is_none() {
            self.code.copy(self.vector(to), self.vector(from));
        }
        for x in xs {
            self.release(x);
        }
        self.occupy(this, to);
        let d = self.vector(to);
        let as_register = |k: usize| self.vector(register(sources[k]).unwrap_or(0));
        // dst·third + second, second·dst + third, second·third + dst.
        let (form, second, third) = match (overwritten, memory) {
            (2, Some(0)) => (x86::Form::F231, 1, 0),
            (2, _) => (x86::Form::F231, 0, 1),
            (k, Some(m)) if m != 2 => (x86::Form::F132, 2, 1 - k),
            (k, _) => (x86::Form::F213, 1 - k, 2),
        };
        let c = self.code.set.fused(fused, form, lane);
        let second = as_register(second);
        self.with_source(sources[third], |s| s.with(c, &[d, second]));
    }

    fn with_source(
        &mut self,
        source: Source,
        make: impl FnOnce(Operand) -> Result<Instruction, IcedError>,
    ) {
        let repeats = self.code.set.repeats();
        let halvings = self.block.ops[self.i].2;
        let make = |operand| x86::halved(make(operand), halvings);
        match source {
            Source::Register(r) => self.code.put(make(Operand::Register(self.vector(r)))),
            Source::Memory(m) => self.code.put(make(Operand::Memory(m))),
            Source::Constant(at) => {
                self.code
                    .put_with_constant(at, |m| make(Operand::Memory(m)), repeats);
            }
        }
    }
}
