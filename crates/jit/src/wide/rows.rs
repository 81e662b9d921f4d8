//! Statements row by row: a function that does them for a number of rows.
//!
//! Short statements are unrolled into straight code; what one stores and another loads a few instructions later stays
//! in its register. Longer ones are loops over vectors.

use iced_x86::{Code as X86, Instruction};
use retrograd_graph::plan::{Stmt, View};
use rustc_hash::FxHashMap as HashMap;

use super::block::{Block, Extent, Index, One, Op, Place, V};
use super::emit::emit;
use super::encode::{Ahead, Assembly, LANES, NUMBERS, ROWS};
use super::known::{Form, Known};
use super::matrices::UNROLLED_MATRIX;
use super::pointers::Pointers;
use super::regions::{Columns, columns};
use super::set::{LINE, Set};
use crate::lower::{CALLED, RowStride};
use retrograd_kernels::maths::{Lane, Math};

/// Operations of a straight block, about.
const STRAIGHT: usize = 1500;
/// Lines of 64 bytes in a row of a matrix, at most.
const ACROSS: usize = 16;

/// Whether a statement can be emitted.
pub(crate) fn possible(set: Set, lane: Lane, s: &Stmt) -> bool {
    let lanes = LINE / lane.bytes() as usize;
    match s {
        Stmt::Region(r) => {
            let few_folds = r.folds.len() * set.parts() <= set.kept_over_lanes();
            few_folds
                && match columns(r) {
                    Columns::None => true,
                    Columns::All(n) => {
                        n.div_ceil(lanes) <= ACROSS && (r.folds.is_empty() || n % lanes == 0)
                    }
                    Columns::Several => false,
                }
        }
        // The convention of the kernels is that of the emitted code.
        Stmt::MatVec { rows, cols, .. } => rows * cols < CALLED || cfg!(not(windows)),
        Stmt::OuterRow { cols, .. } => cols.div_ceil(lanes) <= ACROSS,
        Stmt::CopyBlock { rows, cols, .. } => rows * cols.div_ceil(lanes) <= UNROLLED_MATRIX,
        Stmt::Product(_)
        | Stmt::Activate { .. }
        | Stmt::Gather { .. }
        | Stmt::Scatter { .. }
        | Stmt::Transpose { .. } => false,
    }
}

/// A vector of a statement: its first lane, and where that lies.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// Bytes from the first lane of the statement, without what a loop has advanced.
    pub(super) lanes: usize,
    /// The row of the lanes, without what a loop has advanced, and the bytes from its first lane.
    pub(super) row: usize,
    pub(super) column: usize,
    /// Elements, if they are fewer than a vector's.
    pub(super) part: Option<usize>,
    /// Whether a loop over vectors or rows is around it.
    pub(super) in_loop: bool,
}

/// The function under construction.
pub(super) struct Function<'t> {
    pub(super) set: Set,
    pub(super) lane: Lane,
    /// The place of each view, without its offset, in the table of pointers.
    table: &'t HashMap<View, usize>,
    pub(super) code: Assembly,
    pub(super) pointers: Pointers,
    /// Straight code that is not emitted so far.
    pub(super) block: Block,
    pub(super) known: Known,
    /// From row to row, by pointer, and the row that statements are emitted for: so many after the pointers'.
    strides: &'t [RowStride],
    row: usize,
    /// Operations so far.
    emitted: usize,
}

/// Emits the statements, which must be [`possible`], for rows of which the table has the first pointers; `strides` are
/// those from row to row of each. Returns `None` if there are too few registers.
pub(crate) fn function(
    set: Set,
    lane: Lane,
    stmts: &[Stmt],
    table: &HashMap<View, usize>,
    strides: &[RowStride],
) -> Option<Vec<u8>> {
    let mut f = Function {
        set,
        lane,
        table,
        strides,
        code: Assembly::new(set, strides.len()),
        pointers: Pointers::none(),
        block: Block::new(set),
        known: Known::default(),
        row: 0,
        emitted: 0,
    };
    let sized: Vec<(&Stmt, usize)> = (stmts.iter())
        .map(|s| Some((s, f.operations(s)?)))
        .collect::<Option<_>>()?;
    let first = f.code.branch_ahead(X86::Jmp_rel32_64);
    // One row.
    let one = f.code.here();
    f.code
        .put(Instruction::with2(X86::Test_rm64_r64, ROWS, ROWS));
    let nothing = f.code.branch_ahead(X86::Jle_rel32_64);
    let mut ends = vec![nothing, f.rows(&sized, 1)?];
    f.code.branch_back(X86::Jmp_rel32_64, one);
    // Several, as long as there are so many.
    let together = match f.emitted {
        ..=300 => 4,
        301..=900 => 2,
        _ => 1,
    };
    f.code.arrive(first);
    if together > 1 {
        let rows = i32::try_from(together).ok()?;
        f.code
            .put(Instruction::with2(X86::Cmp_rm64_imm32, ROWS, rows));
        f.code.branch_back(X86::Jl_rel32_64, one);
        let several = f.code.here();
        ends.push(f.rows(&sized, together)?);
        f.code
            .put(Instruction::with2(X86::Cmp_rm64_imm32, ROWS, rows));
        f.code.branch_back(X86::Jge_rel32_64, several);
    }
    f.code.branch_back(X86::Jmp_rel32_64, one);
    for end in ends {
        f.code.arrive(end);
    }
    Some(f.code.finish())
}

impl Function<'_> {
    /// The statements for the next `n` rows. Each is done for all of them before the next one, so that one row's chain of
    /// operations fills the time in which another's waits. Returns the branch that is taken if they were the last ones.
    fn rows(&mut self, stmts: &[(&Stmt, usize)], n: usize) -> Option<Ahead> {
        self.pointers = Pointers::none();
        self.code.forget_part();
        for &(s, ops) in stmts {
            for row in 0..n {
                self.row = row;
                self.stmt(s, ops)?;
            }
        }
        self.flush()?;
        let rows = i32::try_from(n).ok()?;
        self.code
            .put(Instruction::with2(X86::Sub_rm64_imm32, ROWS, rows));
        let last = self.code.branch_ahead(X86::Jle_rel32_64);
        let far = |s: &RowStride| match s.again {
            true => 0,
            false => s.bytes * n as i64,
        };
        let far: Vec<i64> = self.strides.iter().map(far).collect();
        self.code.next_row(&far);
        Some(last)
    }

    pub(super) fn bytes(&self) -> usize {
        self.lane.bytes() as usize
    }

    pub(super) fn lanes(&self) -> usize {
        self.set.lanes(self.lane)
    }

    /// Emits the straight code so far.
    pub(super) fn flush(&mut self) -> Option<()> {
        let block = self.block.take();
        self.known = Known::default();
        self.emitted += block.ops.len();
        emit(&mut self.code, &block, 0, &mut self.pointers)
    }

    /// The operations of one vector of a region; 0 for another statement.
    fn operations(&mut self, s: &Stmt) -> Option<usize> {
        let Stmt::Region(r) = s else {
            return Some(0);
        };
        let ops = self.trial(r)?;
        self.block.take();
        self.known = Known::default();
        Some(ops)
    }

    /// Emits a statement, of which a vector takes so many operations.
    fn stmt(&mut self, s: &Stmt, ops: usize) -> Option<()> {
        if self.block.ops.len() > STRAIGHT {
            self.flush()?;
        }
        match s {
            Stmt::Region(r) => self.region(r, ops),
            Stmt::MatVec {
                rows,
                cols,
                transposed,
                m,
                x,
                y,
            } if rows * cols >= CALLED => {
                self.call_matvec((*rows, *cols), *transposed, [*m, *x, *y])
            }
            Stmt::MatVec {
                rows,
                cols,
                transposed,
                m,
                x,
                y,
            } => match transposed {
                false => self.dots((*rows, *cols), *m, *x, *y),
                true => self.sums((*rows, *cols), *m, *x, *y),
            },
            Stmt::OuterRow {
                rows,
                cols,
                a,
                b,
                y,
            } => self.outer((*rows, *cols), *a, *b, *y),
            Stmt::CopyBlock {
                rows,
                cols,
                from,
                to,
            } => self.copy_block((*rows, *cols), *from, *to),
            _ => None,
        }
    }

    /// A loop of `times` iterations, which advances by bytes of lanes and of numbers. Straight code before it must have
    /// been emitted.
    pub(super) fn loop_over(
        &mut self,
        (times, lanes, numbers): (usize, usize, usize),
        kept: usize,
        body: &mut dyn FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        body(self)?;
        let block = self.block.take();
        self.known = Known::default();
        self.emitted += block.ops.len();
        let mut used: Vec<usize> = Vec::new();
        for (op, ..) in &block.ops {
            if let Op::Load(p, _) | Op::Splat(p) | Op::Store(p, ..) = op
                && !used.contains(&p.pointer)
            {
                used.push(p.pointer);
            }
        }
        let mut pointers = Pointers::fix(&mut self.code, &used);
        self.code.set(LANES, 0);
        self.code.set(NUMBERS, 0);
        let top = self.code.here();
        self.code.forget_part();
        pointers.forget();
        emit(&mut self.code, &block, kept, &mut pointers)?;
        if numbers > 0 {
            self.code.advance(NUMBERS, i32::try_from(numbers).ok()?);
        }
        self.code.advance(LANES, i32::try_from(lanes).ok()?);
        self.code
            .again(LANES, i32::try_from(times * lanes).ok()?, top);
        self.code.forget_part();
        pointers.forget();
        self.pointers = Pointers::none();
        Some(())
    }

    /// The vectors of so many lanes.
    pub(super) fn vectors(&self, n: usize) -> Vec<At> {
        self.vectors_of_row(n, 0)
    }

    pub(super) fn vectors_of_row(&self, n: usize, row: usize) -> Vec<At> {
        let (lanes, bytes) = (self.lanes(), self.bytes());
        let vector = |k: usize| At {
            lanes: (row * n + k * lanes) * bytes,
            row,
            column: k * self.set.vector(),
            part: Some(n - k * lanes).filter(|&left| left < lanes),
            in_loop: false,
        };
        (0..n.div_ceil(lanes)).map(vector).collect()
    }

    /// What `op` records, of which only the elements that there are matter.
    pub(super) fn of_part(&mut self, at: At, op: impl FnOnce(&mut Block) -> V) -> V {
        self.block.first = at.part.map(|n| (self.lane, n));
        let v = op(&mut self.block);
        self.block.first = None;
        v
    }

    /// The next value in the elements that there are.
    pub(super) fn in_part(&mut self, at: At, next: V, before: V) -> V {
        match at.part {
            None => next,
            Some(n) => self.block.push(self.lane, Op::InPart(n, next, before)),
        }
    }

    /// Which of a fold's partial sums a vector is added to.
    pub(super) fn part_of(&self, at: At) -> usize {
        at.lanes / self.set.vector() % self.set.parts()
    }

    /// The sum or maximum of all elements of partial sums, in all elements: halves are joined until one element is left.
    pub(super) fn across(&mut self, sums: &[V], maximum: bool) -> V {
        let lane = self.lane;
        let halves = [
            One::SwapHalves,
            One::SwapLines,
            One::SwapInLine,
            One::SwapPairs,
        ];
        let steps = match lane {
            Lane::F32 => 4,
            Lane::F64 => 3,
        };
        let mut total = sums[0];
        if let &[low, high] = sums {
            total = self.joined(low, high, maximum);
        }
        // Each part halves the steps that are left within a vector.
        for swap in &halves[sums.len() - 1..steps] {
            let other = self.block.push(lane, Op::One(*swap, total));
            total = self.joined(total, other, maximum);
        }
        match maximum {
            // Of two zeros the second is taken, which is not the same one in all elements.
            true => self.block.push(lane, Op::One(One::First, total)),
            false => total,
        }
    }

    fn joined(&mut self, x: V, y: V, maximum: bool) -> V {
        let mut math = Math::new(&mut self.block, self.lane, true);
        match maximum {
            true => math.max(x, y),
            false => math.add(x, y),
        }
    }

    pub(super) fn place(&self, v: View, distance: usize, index: Index) -> Option<Place> {
        let plain = View { offset: 0, ..v };
        let pointer = self.table[&plain];
        let row = self.strides[pointer].bytes * self.row as i64;
        let distance = (v.offset * self.bytes() + distance) as i64 + row;
        Some(Place {
            pointer,
            index,
            distance: i32::try_from(distance).ok()?,
        })
    }

    fn index(at: At) -> Index {
        match at.in_loop {
            true => Index::Lanes,
            false => Index::None,
        }
    }

    /// The vector of a view at a distance in bytes.
    pub(super) fn load(&mut self, v: View, distance: usize, at: At) -> Option<V> {
        let place = self.place(v, distance, Self::index(at))?;
        if let Some(known) = self.known.vector(&self.block, v, place, at.part) {
            return Some(known);
        }
        let extent = at.part.map_or(Extent::Whole, Extent::Part);
        let loaded = self.block.push(self.lane, Op::Load(place, extent));
        let form = at.part.map_or(Form::Whole, Form::Part);
        self.known.remember(&self.block, v, place, form, loaded);
        Some(loaded)
    }

    /// A number of a view at a distance in bytes, in all elements.
    pub(super) fn splat(&mut self, v: View, distance: usize, index: Index) -> Option<V> {
        let place = self.place(v, distance, index)?;
        let number = match self.known.number(&self.block, v, place) {
            Some((number, Form::Number)) => return Some(number),
            Some((vector, _)) => self.block.push(self.lane, Op::One(One::First, vector)),
            None => self.block.push(self.lane, Op::Splat(place)),
        };
        self.known
            .remember(&self.block, v, place, Form::Number, number);
        Some(number)
    }

    pub(super) fn store(&mut self, v: View, distance: usize, at: At, x: V) -> Option<()> {
        let place = self.place(v, distance, Self::index(at))?;
        let extent = at.part.map_or(Extent::Whole, Extent::Part);
        self.block.push(self.lane, Op::Store(place, extent, x));
        let vector = self.set.vector();
        let bytes = at.part.map_or(vector, |n| n * self.bytes());
        self.known.overwritten(v, place, bytes, vector);
        let form = at.part.map_or(Form::Whole, Form::Part);
        self.known.remember(&self.block, v, place, form, x);
        Some(())
    }

    /// Stores a number, which all elements of `x` have.
    pub(super) fn store_number(&mut self, v: View, distance: usize, x: V) -> Option<()> {
        let place = self.place(v, distance, Index::None)?;
        self.block
            .push(self.lane, Op::Store(place, Extent::First, x));
        let vector = self.set.vector();
        self.known.overwritten(v, place, self.bytes(), vector);
        self.known.remember(&self.block, v, place, Form::Number, x);
        Some(())
    }
}
