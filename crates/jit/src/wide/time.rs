//! Recurrences with time innermost: for each row, a few vectors of lanes run through all steps with their states in
//! registers.

use iced_x86::{Code as X86, Instruction, MemoryOperand, Register};
use retrograd_graph::plan::Instr;

use super::block::{Block, Extent, Index, Op, Place, V};
use super::emit::emit;
use super::encode::{Assembly, LANES, POINTERS, ROWS, TABLE};
use super::pointers::Pointers;
use super::set::Set;
use crate::lower::{Access, Recurrence, map};
use retrograd_kernels::maths::{Lane, Math};

/// Vectors that run through time together: the chain of one leaves the units idle.
const TOGETHER: usize = 2;

/// Whether a recurrence can be emitted, as far as its ops and streams tell.
fn possible(r: &Recurrence<'_>) -> bool {
    let ops = r.region.instrs.iter().all(|i| match i {
        Instr::SplatRows(..) | Instr::LoadRow(..) => false,
        Instr::Load(_) | Instr::Splat(_) | Instr::Const(_) | Instr::Map(..) => true,
    });
    ops && r.streams.len() <= POINTERS.len()
}

/// Emits a function that runs a recurrence for a number of rows. Returns `None` if that takes too many registers.
pub(crate) fn recurrence(set: Set, lane: Lane, r: &Recurrence<'_>) -> Option<Vec<u8>> {
    if !possible(r) {
        return None;
    }
    let mut code = Assembly::new(set, r.strides.len());
    code.put(Instruction::with2(X86::Test_rm64_r64, ROWS, ROWS));
    let nothing = code.branch_ahead(X86::Jle_rel32_64);
    let row = code.here();
    let lanes = set.lanes(lane);
    let (vectors, rest) = (r.region.lanes / lanes, r.region.lanes % lanes);
    let together = match kept(r, TOGETHER) <= set.kept_over_time() {
        true => TOGETHER,
        false => 1,
    };
    let tiles = vectors / together;
    let bytes = |vectors: usize| i32::try_from(vectors * set.vector()).ok();
    code.set(LANES, 0);
    if tiles > 0 {
        let top = code.here();
        code.forget_part();
        Tile::new(set, lane, r, together, None).emit(&mut code)?;
        code.advance(LANES, bytes(together)?);
        code.again(LANES, bytes(tiles * together)?, top);
    }
    for v in tiles * together..vectors {
        code.set(LANES, bytes(v)?);
        Tile::new(set, lane, r, 1, None).emit(&mut code)?;
    }
    if rest > 0 {
        code.set(LANES, bytes(vectors)?);
        Tile::new(set, lane, r, 1, Some(rest)).emit(&mut code)?;
    }
    code.put(Instruction::with1(X86::Dec_rm64, ROWS));
    let end = code.branch_ahead(X86::Je_rel32_64);
    code.next_row(&r.strides);
    code.branch_back(X86::Jmp_rel32_64, row);
    code.arrive(end);
    code.arrive(nothing);
    Some(code.finish())
}

/// Whether an instruction's value is the same at all steps.
fn unchanging(r: &Recurrence<'_>, i: usize) -> bool {
    let carried = r
        .carried
        .iter()
        .any(|c| c.1.is_some_and(|(load, _)| load == i));
    !carried && matches!(r.loads[i], Some(Access::Fixed { .. }))
}

/// Registers that are kept from step to step by so many vectors.
fn kept(r: &Recurrence<'_>, vectors: usize) -> usize {
    let fixed = (0..r.loads.len()).filter(|&i| unchanging(r, i));
    let each = |i: usize| match r.region.instrs[i] {
        Instr::Splat(_) => 1,
        _ => vectors,
    };
    r.carried.len() * vectors + fixed.map(each).sum::<usize>()
}

/// Some vectors of lanes on their way through time.
struct Tile<'a> {
    lane: Lane,
    r: &'a Recurrence<'a>,
    vectors: usize,
    part: Option<usize>,
    block: Block,
}

impl<'a> Tile<'a> {
    fn new(
        set: Set,
        lane: Lane,
        r: &'a Recurrence<'a>,
        vectors: usize,
        part: Option<usize>,
    ) -> Self {
        Tile {
            lane,
            r,
            vectors,
            part,
            block: Block::new(set),
        }
    }

    fn emit(mut self, code: &mut Assembly) -> Option<()> {
        let kept = kept(self.r, self.vectors);
        if kept > code.set.kept_over_time() {
            return None;
        }
        self.before()?;
        let before = self.block.take();
        emit(code, &before, kept, &mut Pointers::none())?;
        // All registers for pointers are theirs: the counter has another.
        let streams: Vec<usize> = (0..self.r.streams.len()).collect();
        let mut pointers = Pointers::fix(code, &streams);
        for (k, &(lanes, _)) in self.r.streams.iter().enumerate() {
            if lanes {
                let add = Instruction::with2(X86::Add_r64_rm64, POINTERS[k], LANES);
                code.put(add);
            }
        }
        let steps = MemoryOperand::with_base_displ(TABLE, 8 * self.r.steps as i64);
        let counter = Register::RAX;
        // The mask is set before the counter, which uses the same register.
        if let Some(n) = self.part
            && !code.set.without_mask(self.lane, n)
        {
            code.set_part(n);
        }
        code.put(Instruction::with2(X86::Mov_r64_rm64, counter, steps));
        code.put(Instruction::with2(X86::Test_rm64_r64, counter, counter));
        let none = code.branch_ahead(X86::Jle_rel32_64);
        let top = code.here();
        self.step()?;
        let step = self.block.take();
        emit(code, &step, kept, &mut pointers)?;
        for (k, &(_, word)) in self.r.streams.iter().enumerate() {
            let far = MemoryOperand::with_base_displ(TABLE, 8 * word as i64);
            let add = Instruction::with2(X86::Add_r64_rm64, POINTERS[k], far);
            code.put(add);
        }
        code.put(Instruction::with1(X86::Dec_rm64, counter));
        code.branch_back(X86::Jne_rel32_64, top);
        code.arrive(none);
        self.after()?;
        emit(code, &self.block, kept, &mut Pointers::none())
    }

    /// What the first step begins with, and what no step changes.
    fn before(&mut self) -> Option<()> {
        let lane = self.lane;
        let mut k = 0;
        let mut keep = |block: &mut Block, v: V| {
            block.push(lane, Op::Keep(k, v));
            k += 1;
        };
        for &(_, load) in &self.r.carried {
            for j in 0..self.vectors {
                let start = match load {
                    Some((_, access)) => self.load(access, j, Index::Lanes)?,
                    None => Math::new(&mut self.block, lane, true).constant(0.0),
                };
                keep(&mut self.block, start);
            }
        }
        for i in (0..self.r.loads.len()).filter(|&i| unchanging(self.r, i)) {
            let access = self.r.loads[i]?;
            if matches!(self.r.region.instrs[i], Instr::Splat(_)) {
                let place = self.place(access, 0, Index::None)?;
                let v = self.block.push(lane, Op::Splat(place));
                keep(&mut self.block, v);
                continue;
            }
            for j in 0..self.vectors {
                let v = self.load(access, j, Index::Lanes)?;
                keep(&mut self.block, v);
            }
        }
        Some(())
    }

    /// One step of all vectors; each vector's loads come before its stores.
    fn step(&mut self) -> Option<()> {
        let (lane, r) = (self.lane, self.r);
        self.block.first = self.part.map(|n| (lane, n));
        let mut next: Vec<(usize, V)> = Vec::new();
        for j in 0..self.vectors {
            let mut values: Vec<V> = Vec::with_capacity(r.region.instrs.len());
            let mut kept = r.carried.len() * self.vectors;
            for (i, instr) in r.region.instrs.iter().enumerate() {
                let carried =
                    (r.carried.iter()).position(|c| c.1.is_some_and(|(load, _)| load == i));
                let value = match (carried, instr) {
                    (Some(k), _) => self.block.push(lane, Op::Kept(k * self.vectors + j)),
                    (None, Instr::Splat(_)) if unchanging(r, i) => {
                        kept += 1;
                        self.block.push(lane, Op::Kept(kept - 1))
                    }
                    (None, _) if unchanging(r, i) => {
                        kept += self.vectors;
                        self.block.push(lane, Op::Kept(kept - self.vectors + j))
                    }
                    (None, Instr::Splat(_)) => {
                        let place = self.place(r.loads[i]?, 0, Index::None)?;
                        self.block.push(lane, Op::Splat(place))
                    }
                    (None, Instr::Load(_)) => self.load(r.loads[i]?, j, Index::None)?,
                    (None, Instr::Const(c)) => Math::new(&mut self.block, lane, true).constant(*c),
                    (None, Instr::Map(m, xs)) => {
                        let xs: Vec<V> = xs.iter().map(|&x| values[x]).collect();
                        map(&mut Math::new(&mut self.block, lane, true), *m, &xs)
                    }
                    (None, Instr::SplatRows(..) | Instr::LoadRow(..)) => return None,
                };
                values.push(value);
            }
            for (&(from, _), &access) in r.region.stores.iter().zip(&r.stores) {
                if let Access::Stream { .. } = access {
                    self.store(access, j, Index::None, values[from])?;
                }
            }
            for (k, &(from, _)) in r.carried.iter().enumerate() {
                next.push((k * self.vectors + j, values[from]));
            }
        }
        self.block.first = None;
        // A state that is another's next value must be read before it changes.
        let carried = |v: &V| matches!(self.block.ops[v.0 as usize].0, Op::Kept(_));
        let (moved, computed): (Vec<_>, Vec<_>) = next.into_iter().partition(|n| carried(&n.1));
        if !moved.is_empty() {
            // A copy of each by an operation, so that no register is overwritten before it is read.
            let zero = Math::new(&mut self.block, lane, true).constant(0.0);
            let copies: Vec<(usize, V)> = (moved.into_iter())
                .map(|(k, v)| {
                    let copy = Op::Two(super::block::Two::Or, v, zero);
                    (k, self.block.push(lane, copy))
                })
                .collect();
            for (k, v) in copies.into_iter().chain(computed) {
                self.block.push(lane, Op::Keep(k, v));
            }
            return Some(());
        }
        for (k, v) in computed {
            self.block.push(lane, Op::Keep(k, v));
        }
        Some(())
    }

    /// Stores what is left after the last step.
    fn after(&mut self) -> Option<()> {
        let (lane, r) = (self.lane, self.r);
        for (&(from, _), &access) in r.region.stores.iter().zip(&r.stores) {
            if let Access::Fixed { .. } = access {
                let k = r.carried.iter().position(|c| c.0 == from)?;
                for j in 0..self.vectors {
                    let v = self.block.push(lane, Op::Kept(k * self.vectors + j));
                    self.store(access, j, Index::Lanes, v)?;
                }
            }
        }
        Some(())
    }

    fn place(&self, access: Access, vector: usize, index: Index) -> Option<Place> {
        let (Access::Stream { pointer, offset } | Access::Fixed { pointer, offset }) = access;
        let distance = offset * self.lane.bytes() as usize + vector * self.block.set.vector();
        Some(Place {
            pointer,
            index,
            distance: i32::try_from(distance).ok()?,
        })
    }

    fn extent(&self) -> Extent {
        self.part.map_or(Extent::Whole, Extent::Part)
    }

    fn load(&mut self, access: Access, vector: usize, index: Index) -> Option<V> {
        let place = self.place(access, vector, index)?;
        let extent = self.extent();
        Some(self.block.push(self.lane, Op::Load(place, extent)))
    }

    fn store(&mut self, access: Access, vector: usize, index: Index, v: V) -> Option<()> {
        let place = self.place(access, vector, index)?;
        let extent = self.extent();
        self.block.push(self.lane, Op::Store(place, extent, v));
        Some(())
    }
}
