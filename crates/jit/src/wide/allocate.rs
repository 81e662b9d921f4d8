//! Which registers hold the values of a block while it is emitted: the value whose next use is farthest leaves when one
//! is needed (Belady 1966).

use iced_x86::{MemoryOperand, Register};

use super::block::{Extent, Index, M, Op, Place, V};
use super::emit::Emitter;
use super::encode::{LANES, NUMBERS};

/// Vector registers, on the set that has most.
pub(super) const REGISTERS: usize = 32;
/// Masks that hold values: k0 is no mask, and k1 has the elements of the remainder.
pub(super) const MASKS: [Register; 6] = [
    Register::K2,
    Register::K3,
    Register::K4,
    Register::K5,
    Register::K6,
    Register::K7,
];
pub(super) const NEVER: u32 = u32::MAX;
/// An operand on the stack whose next use is farther than this stays there.
pub(super) const FAR: u32 = 24;

/// A source: a register or memory.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Register(usize),
    Memory(MemoryOperand),
    /// A number behind the code, or a vector of it.
    Constant(usize),
}

/// Registers that are not to be taken.
#[derive(Clone, Copy)]
pub(super) struct Busy(u32);

impl Busy {
    pub(super) const NONE: Self = Busy(0);

    pub(super) fn with(self, r: usize) -> Self {
        Busy(self.0 | 1 << r)
    }

    fn has(self, r: usize) -> bool {
        self.0 >> r & 1 != 0
    }
}

impl Emitter<'_> {
    /// Loads that were not needed so far, before a store that may overwrite their place.
    pub(super) fn load_what_is_pending(&mut self) {
        for v in std::mem::take(&mut self.pending) {
            let j = v.0 as usize;
            let made = self.register[j].is_some() || self.slot[j].is_some();
            if !made && self.upcoming[j] != NEVER {
                self.in_register(v, Busy::NONE);
            }
        }
    }

    /// Whether a value is best read from memory by the instruction that needs it.
    pub(super) fn memorable(&self, v: V, k: usize) -> bool {
        let j = v.0 as usize;
        if self.register[j].is_some() {
            return false;
        }
        let last = self.next[self.i][k] == NEVER;
        match self.block.ops[j].0 {
            Op::Bits(bits) => bits != 0,
            Op::Load(_, Extent::Whole) if self.slot[j].is_none() => last,
            Op::Splat(_) if self.slot[j].is_none() => last && self.code.set.repeats(),
            Op::Load(..) if self.slot[j].is_none() => false,
            _ => last || self.next[self.i][k] - self.i as u32 > FAR,
        }
    }

    /// Operand `k` as an instruction's last, without taking the registers of others.
    pub(super) fn source(&mut self, v: V, k: usize, others: &[V]) -> Source {
        if !self.memorable(v, k) {
            return Source::Register(self.in_register_beside(v, Busy::NONE, others));
        }
        let j = v.0 as usize;
        let lane = self.block.ops[j].1;
        match self.block.ops[j].0 {
            Op::Bits(bits) => Source::Constant(self.code.constant(lane, bits)),
            Op::Load(place, _) if self.slot[j].is_none() => {
                Source::Memory(self.memory(place, false))
            }
            Op::Splat(place) if self.slot[j].is_none() => Source::Memory(self.memory(place, true)),
            _ => Source::Memory(self.stack(self.slot[j].expect("made before"))),
        }
    }

    pub(super) fn in_register_beside(&mut self, v: V, taken: Busy, others: &[V]) -> usize {
        let of_others = others.iter().filter_map(|o| self.register[o.0 as usize]);
        self.in_register(v, of_others.fold(taken, Busy::with))
    }

    /// The register of a value, which is loaded if need be.
    pub(super) fn in_register(&mut self, v: V, busy: Busy) -> usize {
        let j = v.0 as usize;
        if let Some(r) = self.register[j] {
            return r;
        }
        let r = self.free_register(busy);
        let (op, lane, _) = self.block.ops[j];
        let to = self.vector(r);
        match (self.slot[j], op) {
            (Some(slot), _) => {
                let from = self.stack(slot);
                self.code.load_whole(to, from);
            }
            (None, Op::Bits(bits)) => self.code.splat_bits(lane, to, bits),
            (None, Op::Splat(place)) => {
                let from = self.memory(place, false);
                self.code.splat(lane, to, from);
            }
            (None, Op::Load(place, extent)) => {
                let from = self.memory(place, false);
                self.code.load(lane, extent, to, from);
            }
            _ => unreachable!("a value is in a register or on the stack"),
        }
        self.occupy(v, r);
        r
    }

    pub(super) fn occupy(&mut self, v: V, r: usize) {
        if r < self.pool {
            self.held[r] = Some(v);
        }
        self.register[v.0 as usize] = Some(r);
    }

    /// A register without a value: the one whose value is needed last, if all have one.
    pub(super) fn free_register(&mut self, busy: Busy) -> usize {
        let pool = 0..self.pool;
        if let Some(r) = pool
            .clone()
            .find(|&r| self.held[r].is_none() && !busy.has(r))
        {
            return r;
        }
        let far = |r: &usize| self.held[*r].map_or(0, |v| self.upcoming[v.0 as usize]);
        let r = pool.filter(|&r| !busy.has(r)).max_by_key(far);
        let r = r.expect("more registers than operands");
        if let Some(v) = self.held[r].take() {
            let j = v.0 as usize;
            self.register[j] = None;
            let again = matches!(self.block.ops[j].0, Op::Bits(_)) || self.slot[j].is_some();
            if self.upcoming[j] != NEVER && !again {
                let slot = self.free_slots.pop().unwrap_or_else(|| {
                    self.slots += 1;
                    self.slots - 1
                });
                self.slot[j] = Some(slot);
                let (to, from) = (self.stack(slot), self.vector(r));
                self.code.store_whole(to, from);
            }
        }
        r
    }

    /// Operand `k` has been read.
    pub(super) fn done(&mut self, v: V, k: usize) {
        self.upcoming[v.0 as usize] = self.next[self.i][k];
        self.release(v);
    }

    /// Frees what a value holds, if nobody needs it any more.
    pub(super) fn release(&mut self, v: V) {
        let j = v.0 as usize;
        if self.upcoming[j] != NEVER {
            return;
        }
        if let Some(r) = self.register[j].take()
            && r < self.pool
        {
            self.held[r] = None;
        }
        if let Some(slot) = self.slot[j].take() {
            // The instruction that reads it last comes after what is stored to make room for its result.
            self.freed.push(slot);
        }
    }

    /// The register for the value of this operation.
    pub(super) fn result(&mut self, v: V, busy: Busy) -> usize {
        let r = match self.target[v.0 as usize] {
            Some(r) => r,
            None => self.free_register(busy),
        };
        self.occupy(v, r);
        r
    }

    pub(super) fn mask(&self, m: M) -> Register {
        let k = self.masks.iter().position(|&held| held == Some(m));
        MASKS[k.expect("masks stay in their registers")]
    }

    pub(super) fn mask_result(&mut self, m: M) -> Option<Register> {
        let k = self.masks.iter().position(Option::is_none)?;
        self.masks[k] = Some(m);
        Some(MASKS[k])
    }

    /// Frees the masks that nobody reads after this operation.
    pub(super) fn done_masks(&mut self, op: &Op) {
        let (masks, n) = op.masks();
        for m in &masks[..n] {
            if self.last[m.0 as usize] == self.i as u32 {
                let held = self.masks.iter_mut().find(|held| **held == Some(*m));
                held.into_iter().for_each(|held| *held = None);
            }
        }
    }

    pub(super) fn memory(&mut self, place: Place, broadcast: bool) -> MemoryOperand {
        let base = self.pointers.get(self.code, place.pointer);
        let index = match place.index {
            Index::None => Register::None,
            Index::Lanes => LANES,
            Index::Numbers => NUMBERS,
        };
        let distance = i64::from(place.distance);
        let size = u32::from(distance != 0);
        MemoryOperand::new(base, index, 1, distance, size, broadcast, Register::None)
    }

    /// A vector register.
    pub(super) fn vector(&self, r: usize) -> Register {
        self.code.set.register(r)
    }

    /// A vector's place on the stack.
    pub(super) fn stack(&self, slot: usize) -> MemoryOperand {
        MemoryOperand::with_base_displ(Register::RSP, (self.code.set.vector() * slot) as i64)
    }
}

/// The registers of a source.
pub(super) fn busy(source: Source) -> Busy {
    match source {
        Source::Register(r) => Busy::NONE.with(r),
        Source::Memory(_) | Source::Constant(_) => Busy::NONE,
    }
}
