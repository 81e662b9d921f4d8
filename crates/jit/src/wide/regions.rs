//! Element-wise regions of a row: unrolled, or as loops over vectors.

use retrograd_graph::plan::{Fold, Instr, Region};
use retrograd_tape::Reduction;

use super::block::{Index, Op, V};
use super::emit::emit;
use super::known::Known;
use super::rows::{At, Function};
use crate::lower::map;
use retrograd_kernels::maths::Math;

/// Operations of a statement that is unrolled, at most.
const UNROLLED: usize = 320;
/// A loop's iteration does as many vectors as keep it below this many operations, up to four.
const ITERATION: usize = 48;

/// The rows that a region's lanes form.
pub(super) enum Columns {
    None,
    /// All of so many lanes.
    All(usize),
    Several,
}

pub(super) fn columns(r: &Region) -> Columns {
    let mut found = Columns::None;
    for i in &r.instrs {
        if let Instr::SplatRows(_, n) | Instr::LoadRow(_, n) = i {
            found = match found {
                Columns::None => Columns::All(*n),
                Columns::All(known) if known == *n => Columns::All(known),
                Columns::All(_) | Columns::Several => return Columns::Several,
            };
        }
    }
    found
}

impl Function<'_> {
    /// The vectors of a region.
    fn vectors_of(&self, r: &Region) -> Vec<At> {
        match columns(r) {
            Columns::All(n) => (0..r.lanes / n)
                .flat_map(|row| self.vectors_of_row(n, row))
                .collect(),
            Columns::None | Columns::Several => self.vectors(r.lanes),
        }
    }

    /// Records one vector, and returns its number of operations.
    pub(super) fn trial(&mut self, r: &Region) -> Option<usize> {
        let fixed = self.fixed(r)?;
        let mut sums = self.starts(r);
        let before = self.block.ops.len();
        let at = self.vectors_of(r)[0];
        self.vector(r, at, &fixed, &mut sums)?;
        Some(self.block.ops.len() - before)
    }

    /// Emits a region, of which a vector takes so many operations.
    pub(super) fn region(&mut self, r: &Region, ops: usize) -> Option<()> {
        let all = self.vectors_of(r);
        if ops * all.len() <= UNROLLED {
            let fixed = self.fixed(r)?;
            let mut sums = self.starts(r);
            for at in all {
                self.vector(r, at, &fixed, &mut sums)?;
            }
            return self.folds(r, &sums);
        }
        self.region_in_loop(r, ops)
    }

    /// A region as a loop over vectors, or over the rows that its lanes form.
    fn region_in_loop(&mut self, r: &Region, ops: usize) -> Option<()> {
        self.flush()?;
        let sums = self.starts(r);
        let folds = sums.len();
        let splats = self.kept_splats(r, folds)?;
        let fixed = self.fixed(r)?;
        let lane = self.lane;
        for (k, &sum) in sums.iter().enumerate() {
            self.block.push(lane, Op::Keep(k, sum));
        }
        for (k, &i) in splats.iter().enumerate() {
            let v = fixed[i].expect("chosen so");
            self.block.push(lane, Op::Keep(folds + k, v));
        }
        let kept = folds + splats.len();
        let before = self.block.take();
        self.known = Known::default();
        emit(&mut self.code, &before, kept, &mut self.pointers)?;
        // The same values in another block.
        let again = |f: &mut Self| -> Option<(Vec<Option<V>>, Vec<V>)> {
            let sums = (0..folds).map(|k| f.block.push(lane, Op::Kept(k)));
            let sums = sums.collect();
            let mut fixed = vec![None; r.instrs.len()];
            for (k, &i) in splats.iter().enumerate() {
                fixed[i] = Some(f.block.push(lane, Op::Kept(folds + k)));
            }
            Some((fixed, sums))
        };
        let keep = |f: &mut Self, sums: &[V]| {
            for (k, &sum) in sums.iter().enumerate() {
                f.block.push(lane, Op::Keep(k, sum));
            }
        };
        let (bytes, lanes, vector) = (self.bytes(), self.lanes(), self.set.vector());
        let rest: Vec<At> = match columns(r) {
            Columns::All(n) => {
                let row = self.vectors_of_row(n, 0);
                self.loop_over((r.lanes / n, n * bytes, bytes), kept, &mut |f| {
                    let (fixed, mut sums) = again(f)?;
                    for &at in &row {
                        let at = At {
                            in_loop: true,
                            ..at
                        };
                        f.vector(r, at, &fixed, &mut sums)?;
                    }
                    keep(f, &sums);
                    Some(())
                })?;
                Vec::new()
            }
            Columns::None | Columns::Several => {
                let whole = r.lanes / lanes;
                let mut by = (ITERATION / ops.max(1)).clamp(1, 4).min(whole.max(1));
                if folds > 0 {
                    by = by.next_multiple_of(self.set.parts());
                }
                let iterations = whole / by;
                let all = self.vectors(r.lanes);
                if iterations > 0 {
                    self.loop_over((iterations, by * vector, 0), kept, &mut |f| {
                        let (fixed, mut sums) = again(f)?;
                        for &at in &all[..by] {
                            let at = At {
                                in_loop: true,
                                ..at
                            };
                            f.vector(r, at, &fixed, &mut sums)?;
                        }
                        keep(f, &sums);
                        Some(())
                    })?;
                }
                all[iterations * by..].to_vec()
            }
        };
        let (fixed, mut sums) = again(self)?;
        for at in rest {
            self.vector(r, at, &fixed, &mut sums)?;
        }
        self.folds(r, &sums)?;
        let after = self.block.take();
        self.known = Known::default();
        emit(&mut self.code, &after, kept, &mut self.pointers)
    }

    /// The numbers, by instruction, that a loop keeps in registers beside so many partial sums: as many as there are
    /// registers for, first those that have to be read before the loop, because its stores may overwrite their places.
    fn kept_splats(&self, r: &Region, sums: usize) -> Option<Vec<usize>> {
        let room = self.set.kept_over_lanes().checked_sub(sums)?;
        let splats = r.instrs.iter().enumerate().filter_map(|(i, instr)| {
            let Instr::Splat(v) = instr else { return None };
            let changes = r.stores.iter().any(|(_, to)| to.buffer == v.buffer);
            Some((i, changes))
        });
        let (before, others): (Vec<_>, Vec<_>) = splats.partition(|s| s.1);
        if before.len() > room {
            return None;
        }
        let all = before.into_iter().chain(others);
        Some(all.map(|s| s.0).take(room).collect())
    }

    /// Values that are the same for all vectors.
    fn fixed(&mut self, r: &Region) -> Option<Vec<Option<V>>> {
        let fixed = r.instrs.iter().map(|i| match i {
            Instr::Splat(v) => self.splat(*v, 0, Index::None).map(Some),
            _ => Some(None),
        });
        fixed.collect()
    }

    /// What the folds' partial sums begin with: those of the first fold, then those of the next.
    fn starts(&mut self, r: &Region) -> Vec<V> {
        let lane = self.lane;
        let start = |(fold, ..): &(Fold, _, _)| match fold {
            Fold::Reduce(Reduction::Max) => f64::NEG_INFINITY,
            Fold::Reduce(Reduction::Sum | Reduction::Mean) | Fold::Dot => 0.0,
        };
        let starts: Vec<f64> = r.folds.iter().map(start).collect();
        let mut math = Math::new(&mut self.block, lane, true);
        let parts = self.set.parts();
        let starts = starts.into_iter().map(|s| vec![math.constant(s); parts]);
        starts.flatten().collect()
    }

    /// One vector of a region: loads, ops, stores, and the folds' next values.
    fn vector(&mut self, r: &Region, at: At, fixed: &[Option<V>], sums: &mut [V]) -> Option<()> {
        let (lane, bytes) = (self.lane, self.bytes());
        self.block.first = at.part.map(|n| (lane, n));
        let mut values: Vec<V> = Vec::with_capacity(r.instrs.len());
        for (i, instr) in r.instrs.iter().enumerate() {
            let value = match (fixed[i], instr) {
                (Some(v), _) => v,
                (None, Instr::Load(v)) => self.load(*v, at.lanes, at)?,
                (None, Instr::Splat(v)) => self.splat(*v, 0, Index::None)?,
                (None, Instr::SplatRows(v, _)) => {
                    let index = match at.in_loop {
                        true => Index::Numbers,
                        false => Index::None,
                    };
                    self.splat(*v, at.row * bytes, index)?
                }
                (None, Instr::LoadRow(v, _)) => {
                    let same = At {
                        in_loop: false,
                        ..at
                    };
                    self.load(*v, at.column, same)?
                }
                (None, Instr::Const(c)) => Math::new(&mut self.block, lane, true).constant(*c),
                (None, Instr::Map(m, xs)) => {
                    let xs: Vec<V> = xs.iter().map(|&x| values[x]).collect();
                    map(&mut Math::new(&mut self.block, lane, true), *m, &xs)
                }
            };
            values.push(value);
        }
        for (i, view) in &r.stores {
            self.store(*view, at.lanes, at, values[*i])?;
        }
        let (parts, part) = (self.set.parts(), self.part_of(at));
        for ((fold, xs, _), sums) in r.folds.iter().zip(sums.chunks_mut(parts)) {
            let sum = &mut sums[part];
            let mut math = Math::new(&mut self.block, lane, true);
            let next = match fold {
                Fold::Reduce(Reduction::Sum | Reduction::Mean) => math.add(*sum, values[xs[0]]),
                Fold::Reduce(Reduction::Max) => math.max(*sum, values[xs[0]]),
                Fold::Dot => math.fma(values[xs[0]], values[xs[1]], *sum),
            };
            *sum = self.in_part(at, next, *sum);
        }
        self.block.first = None;
        Some(())
    }

    /// Stores what the folds have come to.
    fn folds(&mut self, r: &Region, sums: &[V]) -> Option<()> {
        for ((fold, _, view), sums) in r.folds.iter().zip(sums.chunks(self.set.parts())) {
            let maximum = matches!(fold, Fold::Reduce(Reduction::Max));
            let mut total = self.across(sums, maximum);
            if let Fold::Reduce(Reduction::Mean) = fold {
                let mut math = Math::new(&mut self.block, self.lane, true);
                let share = math.constant(1.0 / r.lanes as f64);
                total = math.mul(total, share);
            }
            self.store_number(*view, 0, total)?;
        }
        Some(())
    }
}
