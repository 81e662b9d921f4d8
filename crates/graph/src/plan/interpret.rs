//! Executes a plan as it stands: slow, obvious, one number after another. The oracle between tape and machine code.
//!
//! It uses the plan's own arrays, views and order, so a mistake in storage, in the reuse of arrays or in the schedule
//! shows here, and one in the lowering does not. Every array starts as NaN, so that a read of unwritten data shows. The
//! plan's invariants are checked: views lie within their arrays' points, inputs are not written, weights are packed
//! before use.
//!
//! Each op is computed in f64 and rounded to `T`; sums are added up in `T`, first to last.
//!
//! Rows may have lengths of their own. Arrays have room for the longest one and for the boundary steps of any other: a
//! row's slots after its last step lie where its next steps would, and what counts from the end counts from the row's
//! own. Loops, products and sums visit the points that exist; everything else in an array stays NaN.

mod arrays;
mod point;
mod sweep;
mod time_innermost;

use std::ops::Range;

use cranelift_entity::{PrimaryMap, SecondaryMap};
use retrograd_tape::{Domain, Lengths, Real};
use rustc_hash::FxHashMap as HashMap;

use crate::plan::{
    BlockAt, BufferId, Innermost, Item, Layout, Lifetime, Loop, LoopKind, Plan, Product, Rhs,
    Storage, View, Weight, WeightId,
};

/// Choices that a plan leaves open: sizes and orders that must not change a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Steps that a time tile's items do per block; at least 1.
    pub steps: usize,
    /// Lanes of a region that are loaded before any of them is stored; at least 1.
    pub lanes: usize,
    /// Whether parallel loops go from the last point to the first.
    pub last_first: bool,
    /// Steps that a sweep's items do per block; at least 1.
    pub block: usize,
    /// Whether whatever can be replayed is replayed instead of kept.
    pub replay: bool,
}

impl Default for Blocking {
    /// Time tiles of 3 steps in sweeps' blocks of 5 (so that short tests have several), 4 lanes, first to last, no
    /// replay.
    fn default() -> Blocking {
        Blocking {
            steps: 3,
            lanes: 4,
            last_first: false,
            block: 5,
            replay: false,
        }
    }
}

/// Why a plan was not run: a mistake of the caller. A plan that breaks its own invariants panics instead.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// No points.
    #[error("there is nothing to do for T = {t}, B = {b} in cuts of {cut:?}")]
    Empty {
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
        /// The requested sizes.
        cut: Blocking,
    },
    /// Too few or too many inputs.
    #[error("the plan has {expected} inputs, {found} were given")]
    Count {
        /// Number of inputs of the plan.
        expected: usize,
        /// Number of inputs given.
        found: usize,
    },
    /// An input of the wrong size.
    #[error("input `{name}` has {found} numbers, not {expected}")]
    Length {
        /// Name of the input.
        name: String,
        /// Numbers required for this many steps and rows.
        expected: usize,
        /// Numbers given.
        found: usize,
    },
}

impl Plan {
    /// Runs the plan for `t` steps of `b` rows and returns its outputs in order. Layouts are those of
    /// `CompiledCell::run` (points outermost, time before rows); an empty input is zeros.
    ///
    /// # Errors
    /// Inputs whose number or lengths do not fit, or no points.
    ///
    /// # Panics
    /// If the plan breaks an invariant; the message names the array.
    pub fn interpret<T: Real>(
        &self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        cut: Blocking,
    ) -> Result<Vec<Vec<T>>, InterpretError> {
        if t == 0 || b == 0 {
            return Err(InterpretError::Empty { t, b, cut });
        }
        self.interpret_rows(vec![t; b], inputs, cut)
    }

    /// Runs the plan for rows of these lengths, as [`interpret`](Plan::interpret) does for rows of one length. Arrays over
    /// steps, inputs and outputs, are packed: the value of row r at step t is number `lengths.offset(t) + r`.
    ///
    /// # Errors
    /// Those of `interpret`.
    ///
    /// # Panics
    /// If the plan breaks an invariant; the message names the array.
    pub fn interpret_ragged<T: Real>(
        &self,
        lengths: &Lengths,
        inputs: &[&[T]],
        cut: Blocking,
    ) -> Result<Vec<Vec<T>>, InterpretError> {
        self.interpret_rows(lengths.of_rows().to_vec(), inputs, cut)
    }

    /// Runs the plan for rows of these lengths, the longest first.
    #[inline(never)]
    fn interpret_rows<T: Real>(
        &self,
        lengths: Vec<usize>,
        inputs: &[&[T]],
        cut: Blocking,
    ) -> Result<Vec<Vec<T>>, InterpretError> {
        let (t, b) = (lengths[0], lengths.len());
        if cut.steps == 0 || cut.lanes == 0 || cut.block == 0 {
            return Err(InterpretError::Empty { t, b, cut });
        }
        let mut run = PlanRun {
            plan: self,
            t,
            b,
            cut,
            arrays: arrays::arrays(self, &lengths, inputs)?,
            lengths,
            packed: SecondaryMap::new(),
            first: true,
            kept: HashMap::default(),
        };
        let mut sweep = 0;
        for item in &self.items {
            if let Item::Sweep { reverse, items } = item {
                run.sweep(sweep, *reverse, items);
                sweep += 1;
            } else {
                run.item(item, 0..t);
            }
        }
        let outputs = self.buffers.values().zip(run.arrays.values());
        let mut outputs: Vec<(usize, Vec<T>)> = outputs
            .filter_map(|(buffer, array)| match buffer.storage {
                Storage::Output(k) => Some((k, arrays::packed(buffer, &run.lengths, array))),
                Storage::Input(_) | Storage::Workspace => None,
            })
            .collect();
        outputs.sort_by_key(|(k, _)| *k);
        Ok(outputs.into_iter().map(|(_, array)| array).collect())
    }
}

/// A point of a loop: step (or boundary slot), row.
type StepAndRow = (usize, usize);

struct PlanRun<'p, T: Clone> {
    plan: &'p Plan,
    /// The length of each row.
    lengths: Vec<usize>,
    /// Steps of the longest row, which all arrays have room for.
    t: usize,
    b: usize,
    cut: Blocking,
    arrays: PrimaryMap<BufferId, Vec<T>>,
    /// Weights as matrices, once they are packed.
    packed: SecondaryMap<WeightId, Option<Vec<T>>>,
    /// No sum has been started yet.
    first: bool,
    /// States at the starts of blocks, keyed by replay and first step.
    kept: HashMap<(usize, usize), Vec<Vec<T>>>,
}

impl<T: Real> PlanRun<'_, T> {
    fn layout(&self) -> Layout {
        Layout {
            block: self.cut.block.min(self.t),
            replay: self.cut.replay,
        }
    }

    /// The index of number `i` of a view at a point. Only this function knows the layout of arrays.
    fn address(&self, v: View, (t, row): StepAndRow, i: usize) -> usize {
        let buffer = &self.plan.buffers[v.buffer];
        let name = &buffer.name;
        assert!(
            v.offset + i < buffer.len,
            "plan: number {} of `{name}`, which has {} a point",
            v.offset + i,
            buffer.len
        );
        let point = match buffer.domain {
            Domain::Once => 0,
            Domain::Row => row,
            Domain::BoundarySlots(k) => {
                assert!(t < k, "plan: slot {t} of `{name}`, which has {k}");
                t * self.b + row
            }
            Domain::Step => {
                let end = if v.from_end {
                    self.lengths[row] as i64
                } else {
                    0
                };
                let step = t as i64 + v.shift + end + buffer.front as i64;
                let steps = buffer.front + self.t + buffer.back;
                assert!(
                    (0..steps as i64).contains(&step),
                    "plan: step {step} of `{name}`, which has {steps}"
                );
                let step = match self.plan.memory.keep[v.buffer] {
                    Lifetime::Ring(n) => step as usize % n,
                    Lifetime::Whole | Lifetime::Block(_) | Lifetime::Replayed(_) => step as usize,
                };
                step * self.b + row
            }
        };
        point * buffer.len + v.offset + i
    }

    fn get(&self, v: View, p: StepAndRow, i: usize) -> T {
        self.arrays[v.buffer][self.address(v, p, i)]
    }

    fn put(&mut self, v: View, p: StepAndRow, i: usize, x: T) {
        let buffer = &self.plan.buffers[v.buffer];
        let given = matches!(buffer.storage, Storage::Input(_));
        assert!(!given, "plan: the input `{}` is written", buffer.name);
        let at = self.address(v, p, i);
        self.arrays[v.buffer][at] = x;
    }

    fn add(&mut self, v: View, p: StepAndRow, i: usize, x: T) {
        self.put(v, p, i, self.get(v, p, i) + x);
    }

    /// The matrix row that an index selects: the nearest, rounding half to even.
    fn line(&self, index: View, p: StepAndRow, rows: usize) -> usize {
        let i = self.get(index, p, 0).to_f64().round_ties_even();
        // NaN becomes 0.
        (i as i64).clamp(0, rows as i64 - 1) as usize
    }

    /// The points of a domain, over these steps if it has steps: those that rows have.
    fn points(&self, domain: Domain, steps: &Range<usize>) -> Vec<StepAndRow> {
        let steps = match domain {
            Domain::Step => steps.clone(),
            _ => 0..domain.steps(0),
        };
        let rows = domain.rows(self.b);
        let all = steps.flat_map(|t| (0..rows).map(move |b| (t, b)));
        let exists = |&(t, row): &StepAndRow| domain != Domain::Step || t < self.lengths[row];
        all.filter(exists).collect()
    }

    fn item(&mut self, item: &Item, steps: Range<usize>) {
        match item {
            Item::Pack(w) => self.pack(*w),
            Item::Loop(l) => self.run_loop(l, &steps),
            Item::Product { domain, product } => {
                for p in self.points(*domain, &steps) {
                    self.product(product, p);
                }
            }
            Item::TimeTile { reverse, items } => {
                let blocks = steps.len().div_ceil(self.cut.steps);
                for i in 0..blocks {
                    let i = if *reverse { blocks - 1 - i } else { i };
                    let start = steps.start + i * self.cut.steps;
                    let block = start..steps.end.min(start + self.cut.steps);
                    for item in items {
                        self.item(item, block.clone());
                    }
                }
            }
            Item::Sweep { .. } => unreachable!("sweeps have no sweeps inside"),
            Item::Outer {
                domain,
                delta,
                len,
                bf16,
                rhs,
                bias,
            } => {
                let points = self.points(*domain, &steps);
                for r in rhs {
                    self.outer(&points, (*delta, *len), r, *bf16);
                }
                for part in bias {
                    self.sum(&points, Domain::Once, *delta, part);
                }
            }
            Item::SumTo {
                domain,
                to,
                x,
                parts,
                ..
            } => {
                let points = self.points(*domain, &steps);
                for part in parts {
                    self.sum(&points, *to, *x, part);
                }
            }
            Item::OuterTo {
                domain,
                to,
                a,
                b,
                y,
            } => {
                let (m, n) = (a.1, b.1);
                self.clear(*to, *y, m * n);
                for p in self.points(*domain, &steps) {
                    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                        let x = self.get(a.0, p, i) * self.get(b.0, p, j);
                        self.add(*y, onto(*to, p), i * n + j, x);
                    }
                }
            }
            Item::Scatter {
                domain,
                to,
                rows,
                cols,
                index,
                v,
                y,
            } => {
                self.clear(*to, *y, rows * cols);
                for p in self.points(*domain, &steps) {
                    let line = self.line(*index, p, *rows);
                    for j in 0..*cols {
                        self.add(*y, onto(*to, p), line * cols + j, self.get(*v, p, j));
                    }
                }
            }
        }
    }

    /// The initial value of a sum over points.
    fn clear(&mut self, to: Domain, y: View, len: usize) {
        if !self.first {
            return;
        }
        for p in self.points(to, &(0..self.t)) {
            (0..len).for_each(|i| self.put(y, p, i, T::ZERO));
        }
    }

    /// Σ δ xᵀ over points, into the blocks of the result.
    fn outer(&mut self, points: &[StepAndRow], (delta, len): (View, usize), rhs: &Rhs, bf16: bool) {
        let covered: usize = rhs.to.iter().map(|b| b.rows * b.cols).sum();
        assert_eq!(covered, len * rhs.len, "plan: parts of a weight gradient");
        for to in &rhs.to {
            for (i, j) in entries(to) {
                let mut sum = if self.first {
                    T::ZERO
                } else {
                    self.get(to.view, (0, 0), i * to.ld + j)
                };
                for &p in points {
                    let d = rounded(bf16, self.get(delta, p, to.row + i));
                    sum += d * rounded(bf16, self.get(rhs.x, p, to.col + j));
                }
                self.put(to.view, (0, 0), i * to.ld + j, sum);
            }
        }
    }

    /// Σ x over points, for the numbers of one block of the result, which is one row.
    fn sum(&mut self, points: &[StepAndRow], to: Domain, x: View, part: &BlockAt) {
        self.clear(to, part.view, part.cols);
        for &p in points {
            for j in 0..part.cols {
                self.add(part.view, onto(to, p), j, self.get(x, p, part.col + j));
            }
        }
    }

    fn pack(&mut self, w: WeightId) {
        let weight = &self.plan.weights[w];
        let mut matrix = vec![T::NAN; weight.rows * weight.cols];
        for block in &weight.blocks {
            for (i, j) in entries(block) {
                let x = self.get(block.view, (0, 0), i * block.ld + j);
                matrix[(block.row + i) * weight.cols + block.col + j] = rounded(weight.bf16, x);
            }
        }
        self.packed[w] = Some(matrix);
    }

    /// y (+)= W x at a point.
    fn product(&mut self, product: &Product, p: StepAndRow) {
        let &Product {
            weight,
            x,
            y,
            add,
            bias,
        } = product;
        let w: &Weight = &self.plan.weights[weight];
        for i in 0..w.outer() {
            let mut sum = match bias {
                Some(bias) => self.get(bias, p, i),
                None if add => self.get(y, p, i),
                None => T::ZERO,
            };
            let matrix = self.packed[weight].as_ref();
            let matrix = matrix.unwrap_or_else(|| panic!("plan: {weight} is not packed"));
            for j in 0..w.inner() {
                let at = if w.transposed {
                    j * w.cols + i
                } else {
                    i * w.cols + j
                };
                sum += matrix[at] * rounded(w.bf16, self.get(x, p, j));
            }
            self.put(y, p, i, sum);
        }
    }

    fn run_loop(&mut self, l: &Loop, steps: &Range<usize>) {
        if let Innermost::Time(carried) = &l.inner {
            return self.time_innermost(l, carried, steps);
        }
        let mut points = self.points(l.domain, steps);
        let reverse = match l.kind {
            LoopKind::Parallel => self.cut.last_first,
            LoopKind::Recurrence { reverse } => reverse,
        };
        if reverse {
            points.reverse();
        }
        // A statement is done in all rows of a step before the next statement.
        for step in points.chunk_by(|p, q| p.0 == q.0) {
            for stmt in &l.body {
                step.iter().for_each(|&p| self.stmt(stmt, p));
            }
            // What no other point and no other loop reads may be gone by then.
            for &u in &l.scratch {
                for i in 0..self.plan.buffers[u].len {
                    (step.iter()).for_each(|&p| self.put(View::of(u), p, i, T::NAN));
                }
            }
        }
    }
}

/// An operand of a product.
fn rounded<T: Real>(bf16: bool, x: T) -> T {
    if bf16 { x.round_bf16() } else { x }
}

/// The point of a lower domain that corresponds to a point.
fn onto(to: Domain, (t, row): StepAndRow) -> StepAndRow {
    match to {
        Domain::Once => (0, 0),
        Domain::Row => (0, row),
        Domain::BoundarySlots(_) | Domain::Step => (t, row),
    }
}

fn entries(b: &BlockAt) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, cols) = (b.rows, b.cols);
    (0..rows).flat_map(move |i| (0..cols).map(move |j| (i, j)))
}

/// Compiled here for both precisions: a generic function is compiled again by each crate that calls it, unless it is never
/// inlined and a crate below has compiled it for the same types.
fn instances<T: Real>() {
    std::hint::black_box(Plan::interpret_rows::<T> as *const ());
}

#[used]
static INSTANCES: [fn(); 2] = [instances::<f32>, instances::<f64>];
