//! From a block to machine code: registers are allocated while instructions are emitted.
//!
//! Loads and constants are emitted where they are needed, as a memory operand if they are needed once.

use iced_x86::{Code as X86, IcedError, Instruction, Register};

use super::allocate::{MASKS, NEVER, REGISTERS, Source, busy, zmm};
use super::block::{Block, Fused, M, OfMasks, One, Op, Two, V};
use super::encode::Assembly;
use super::instructions::{self as x86, Operand};
use super::pointers::Pointers;
use retrograd_kernels::maths::Lane;

/// Emits a block. `kept` registers keep their values from block to block.
///
/// Returns `None` if it needs more masks than there are.
pub(super) fn emit(
    code: &mut Assembly,
    block: &Block,
    kept: usize,
    pointers: &mut Pointers,
) -> Option<()> {
    if block.impossible {
        return None;
    }
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
        let mut target = vec![None; n];
        for (i, (op, ..)) in block.ops.iter().enumerate() {
            if let Op::Keep(k, v) = *op {
                // Nobody reads the old value from where the new one is computed on.
                let read = |&(j, other): &(usize, &(Op, Lane, bool))| {
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
                    target[v.0 as usize] = Some(REGISTERS - 1 - k);
                }
            }
        }
        Emitter {
            code,
            block,
            pointers,
            pool: REGISTERS - kept,
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
            slots: 0,
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
            Op::Part(n) => self.code.set_part(n),
            Op::Load(..) | Op::Splat(_) => self.pending.push(this),
            Op::Kept(k) => self.register[self.i] = Some(REGISTERS - 1 - k),
            Op::Keep(k, v) => {
                let to = REGISTERS - 1 - k;
                if self.target[v.0 as usize] != Some(to) {
                    let from = self.in_register(v, &[]);
                    let copy = x86::copy(zmm(to), Operand::Register(zmm(from)));
                    self.code.put(copy);
                }
                self.done(v, 0);
            }
            Op::Store(place, extent, v) => {
                self.load_what_is_pending();
                let from = self.in_register(v, &[]);
                let to = self.memory(place, false);
                self.done(v, 0);
                self.code.put(x86::store(lane, extent, to, zmm(from)));
            }
            _ if !used => {
                let (vs, n) = op.reads();
                for (k, &v) in vs[..n].iter().enumerate() {
                    self.done(v, k);
                }
                self.done_masks(&op);
            }
            Op::One(one, x) => {
                let from = self.in_register(x, &[]);
                self.done(x, 0);
                let to = self.result(this, &[]);
                let (to, from) = (zmm(to), zmm(from));
                let operand = Operand::Register(from);
                if one == One::Sqrt && self.block.ops[self.i].2 {
                    let c = x86::narrow_sqrt(lane);
                    let put = operand.low().with(c, &[x86::low(to)]);
                    self.code.put(put);
                    return Some(());
                }
                self.code.put(match (one, x86::one(one, lane)) {
                    (One::First, (code, _)) => Instruction::with2(code, to, x86::low(from)),
                    (One::SwapHalves | One::SwapLines, (code, Some(imm))) => {
                        operand.with_immediate(code, &[to, from], imm)
                    }
                    (_, (code, Some(imm))) => operand.with_immediate(code, &[to], imm),
                    (_, (code, None)) => operand.with(code, &[to]),
                });
            }
            Op::Two(two, x, y) => self.two(two, lane, this, (x, 0), (y, 1)),
            Op::Fused(fused, x, y, z) => self.fused(fused, lane, this, [x, y, z]),
            Op::Compare(how, x, y) => {
                let swap = !self.memorable(y, 1) && self.memorable(x, 0);
                let imm = x86::predicate(how, swap);
                self.compare(x86::compare(lane), Some(imm), this, [x, y], swap)?;
            }
            Op::EqualIntegers(x, y) => {
                self.compare(x86::equal_integers(lane), None, this, [x, y], false)?;
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
            Op::InPart(x, y) => self.blend(lane, Register::K1, this, x, y),
            Op::Masked(m, x) => {
                let mask = self.mask(m);
                let from = self.in_register(x, &[]);
                self.done(x, 0);
                self.done_masks(&op);
                let to = self.result(this, &[]);
                let copy = x86::copy_masked(lane, zmm(to), zmm(from), mask);
                self.code.put(copy);
            }
        }
        Some(())
    }

    fn two(&mut self, two: Two, lane: Lane, this: V, x: (V, usize), y: (V, usize)) {
        let swap = two.commutes() && !self.memorable(y.0, y.1) && self.memorable(x.0, x.1);
        let (x, y) = if swap { (y, x) } else { (x, y) };
        let right = self.source(y.0, y.1, &[x.0]);
        let left = self.in_register(x.0, &busy(right));
        self.done(x.0, x.1);
        self.done(y.0, y.1);
        let to = self.result(this, &[]);
        if two == Two::Div && self.block.ops[self.i].2 {
            let c = x86::narrow_div(lane);
            let (to, left) = (x86::low(zmm(to)), x86::low(zmm(left)));
            return self.with_source(right, |s| s.low().with(c, &[to, left]));
        }
        let c = x86::two(two, lane);
        self.with_source(right, |s| s.with(c, &[zmm(to), zmm(left)]));
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
        let left = self.in_register(left, &busy(right));
        self.done(x, 0);
        self.done(y, 1);
        let to = self.mask_result(M(this.0))?;
        let registers = [to, zmm(left)];
        self.with_source(right, |s| match imm {
            Some(imm) => s.with_immediate(code, &registers, imm),
            None => s.with(code, &registers),
        });
        Some(())
    }

    fn blend(&mut self, lane: Lane, mask: Register, this: V, x: V, y: V) {
        let chosen = self.source(x, 0, &[y]);
        let other = self.in_register(y, &busy(chosen));
        self.done(x, 0);
        self.done(y, 1);
        let to = self.result(this, &[]);
        let c = x86::blend(lane);
        self.with_source(chosen, |s| {
            let mut put = s.with(c, &[zmm(to), zmm(other)])?;
            put.set_op_mask(mask);
            Ok(put)
        });
    }

    /// The result overwrites an operand, one that is not needed any more, or a copy.
    fn fused(&mut self, fused: Fused, lane: Lane, this: V, xs: [V; 3]) {
        let memory = [2, 1, 0].into_iter().find(|&k| {
            let twice = (0..3).any(|j| j != k && xs[j] == xs[k]);
            !twice && self.memorable(xs[k], k)
        });
        let mut sources = [Source::Register(0); 3];
        let mut taken: Vec<usize> = Vec::with_capacity(3);
        if let Some(k) = memory {
            sources[k] = self.source(xs[k], k, &xs);
        }
        for k in 0..3 {
            if Some(k) != memory {
                let r = self.in_register_beside(xs[k], &taken, &xs);
                taken.push(r);
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
            (None, None) => self.free_register(&taken),
        };
        if free.is_none() {
            self.code
                .put(x86::copy(zmm(to), Operand::Register(zmm(from))));
        }
        for x in xs {
            self.release(x);
        }
        self.occupy(this, to);
        let d = zmm(to);
        let as_register = |k: usize| zmm(register(sources[k]).unwrap_or(0));
        // dst·third + second, second·dst + third, second·third + dst.
        let (form, second, third) = match (overwritten, memory) {
            (2, Some(0)) => (x86::Form::F231, 1, 0),
            (2, _) => (x86::Form::F231, 0, 1),
            (k, Some(m)) if m != 2 => (x86::Form::F132, 2, 1 - k),
            (k, _) => (x86::Form::F213, 1 - k, 2),
        };
        let c = x86::fused(fused, form, lane);
        let second = as_register(second);
        self.with_source(sources[third], |s| s.with(c, &[d, second]));
    }

    fn with_source(
        &mut self,
        source: Source,
        make: impl FnOnce(Operand) -> Result<Instruction, IcedError>,
    ) {
        match source {
            Source::Register(r) => self.code.put(make(Operand::Register(zmm(r)))),
            Source::Memory(m) => self.code.put(make(Operand::Memory(m))),
            Source::Constant(at) => {
                self.code
                    .put_with_constant(at, |m| make(Operand::Memory(m)), true);
            }
        }
    }
}
