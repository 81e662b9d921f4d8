//! The memory of a run beside the caller's arrays, counted before anything is allocated.

use retrograd_graph::plan::cost::WeightUse;
use retrograd_graph::plan::{BlockAt, BufferId, Item, Layout, Plan, Storage, WeightId, walk};
use retrograd_kernels::{
    AlignedBuffer, Block, BlockMut, CACHE_LINE, Kernels, OuterRhs, PieceMut, SimdElement, Weights,
    outer_terms,
};
use retrograd_tape::Domain;

use super::blocks::Blocks;
use super::code::unit;
use super::columns::{Parts, can_be_cut};
use super::cut::Efforts;
use super::points::{Points, StepAccess, StepTable, rows_before};
use crate::element::Element;
use crate::error::RunError;

/// The most points in a block of steps, if the sequence is long enough: what begins with each block is then negligible.
const POINTS_PER_BLOCK: usize = 4096;

/// Bytes of a block, in the arrays that a sweep's items touch, that stay in L2 from item to item. It is no target's own size:
/// sums are grouped by blocks, and have the same bits on AVX2 and AVX-512 where nothing is replayed.
const BLOCK_BYTES: usize = 768 << 10;

/// The same for the third cache, which holds what does not fit the second.
const BLOCK_BYTES_FAR: usize = 8 << 20;

/// Steps from which on a copy of a weight pays for what it costs, which is the time of some twenty products, for one row,
/// with a weight that does not lie on cache lines: these take a tenth longer (docs/PERFORMANCE.md). Beyond L2 a copy costs
/// more than it saves.
const ALIGNED_FROM: usize = 32;

/// What a run keeps for the backward step stays in the last cache, which holds other things, too, and is shared, if it takes
/// at most this part of it (docs/PERFORMANCE.md).
const KEPT_OF_CACHE: usize = 3;

/// Halves of the second cache that a step may take which is replayed: what does not fit comes from the last cache.
const HALVES_OF_CACHE: usize = 3;

/// Points up to which a product packs its weight by parts: each part reads the other operand again, and from 1024 points on
/// that takes longer than a packing that leaves L2 (docs/PERFORMANCE.md).
const POINTS_BY_PARTS: usize = 256;

/// Distance of the rows of a matrix that all begin cache lines.
pub(super) fn aligned_ld<T>(cols: usize) -> usize {
    cols.next_multiple_of((CACHE_LINE / size_of::<T>()).max(1))
}

/// Called with the rows, right-hand sides, whether they are rounded, and bias of a weight gradient.
type EachSum<'f> = dyn FnMut(usize, (&[retrograd_graph::plan::Rhs], bool), &[BlockAt]) + 'f;

/// The memory that a run needs.
#[derive(Clone, Copy)]
pub(crate) struct MemoryNeed<'a, T: SimdElement> {
    pub(crate) plan: &'a Plan,
    pub(crate) kernels: &'a Kernels<T>,
    pub(crate) points: Points<'a>,
    pub(crate) access: &'a StepAccess,
    pub(crate) efforts: &'a Efforts,
    /// Number of threads that sums, and products that pack, are divided among, each with scratch of its own.
    pub(crate) parts: usize,
    pub(crate) layout: Layout,
    /// Which of the caller's arrays are given.
    pub(crate) given: &'a (dyn Fn(Storage) -> bool + Sync),
}

impl<T: Element> MemoryNeed<'_, T> {
    /// Length of array `u`; 0 if it is the caller's.
    pub(super) fn array(&self, u: BufferId) -> usize {
        match self.plan.buffers[u].storage {
            theirs if theirs != Storage::Workspace && (self.given)(theirs) => 0,
            _ => self.size(u),
        }
    }

    /// Numbers of array `u`.
    pub(super) fn size(&self, u: BufferId) -> usize {
        let (Points { steps, rows, .. }, x) = (self.points, &self.plan.buffers[u]);
        if !self.points.ragged() || x.domain != Domain::Step || self.plan.ring(u).is_some() {
            return self.plan.size(u, steps, rows, self.layout);
        }
        let points = match self.plan.is_block(u, self.layout) {
            true => self.blocks().most_points(),
            false => self.points.before(steps),
        };
        (rows_before(x, rows) + points) * x.len
    }

    /// The blocks that sweeps go over.
    pub(super) fn blocks(&self) -> Blocks<'_> {
        Blocks::new(self.points, self.layout)
    }

    /// Length of the array of the ends of rows of array `u`.
    pub(super) fn at_end(&self, u: BufferId) -> usize {
        let x = &self.plan.buffers[u];
        match self.points.ragged() && self.access.has_ends(u) {
            true => rows_before(x, self.points.rows) * x.len,
            false => 0,
        }
    }

    /// Steps that a sample, or a run, has in the table.
    pub(super) fn tabled(&self) -> (usize, usize) {
        (self.access.reach, self.points.steps)
    }

    /// Length of the packing of weight `w`; 0 if it is not packed.
    pub(super) fn packed(&self, w: WeightId) -> usize {
        let weight = &self.plan.weights[w];
        if !self.is_packed(w) {
            return 0;
        }
        if weight.bf16 {
            let (w, unit) = (weight, unit(self.plan.target));
            return (self.kernels).packed_len_of(unit, w.rows, w.cols, w.transposed);
        }
        match self.by_parts(w) {
            Some(part) => self.parts.saturating_mul(part.numbers),
            None => (self.kernels).packed_len(weight.rows, weight.cols, weight.transposed),
        }
    }

    /// Whether weight `w` is packed: if some product has more than one row, the packing serves many samples, or numbers that are
    /// read as they are would be rounded at each step.
    fn is_packed(&self, w: WeightId) -> bool {
        let steps = self.layout.block.min(self.points.steps);
        let mut uses = self.access.uses(w).iter();
        uses.any(|u| u.rows(steps, self.points.rows) > 1)
            || self.plan.memory.streams
            || self.plan.weights[w].bf16
    }

    /// How weight `w` is packed if one product of few points reads it, once in the run: by parts, one for each thread.
    pub(super) fn by_parts(&self, w: WeightId) -> Option<Parts> {
        let weight = &self.plan.weights[w];
        let whole = (self.kernels).packed_len(weight.rows, weight.cols, weight.transposed);
        let part = Parts::of(self.kernels, weight);
        let less = self.parts.saturating_mul(part.numbers) < whole;
        let few = self.points.before(self.points.steps) <= POINTS_BY_PARTS;
        (less && few && self.is_packed(w) && can_be_cut(weight) && self.is_read_once(w))
            .then_some(part)
    }

    /// Whether one product reads weight `w`, once in the run.
    fn is_read_once(&self, w: WeightId) -> bool {
        if self.access.uses(w).len() != 1 || self.blocks().count() > 1 {
            return false;
        }
        let sizes = (self.points.before(self.points.steps), self.points.rows);
        let once = |item: &Item| match item {
            Item::Product { product, .. } => product.weight == w,
            Item::TimeTile { items, .. } => {
                let of_it =
                    |i: &Item| matches!(i, Item::Product { product, .. } if product.weight == w);
                items.iter().any(of_it)
                    && (self.efforts).is_one_tile((self.plan, item), sizes, size_of::<T>())
            }
            _ => false,
        };
        (self.plan.items.iter()).any(|item| match item {
            Item::Sweep { items, .. } => items.iter().any(once),
            other => once(other),
        })
    }

    /// Length of the copy of weight `w`, whose rows begin cache lines; 0 if it is packed, or few products read it.
    pub(super) fn aligned(&self, w: WeightId) -> usize {
        let each_step = |u: &WeightUse| *u == WeightUse::Loop(Domain::Step);
        let often = self.points.steps >= ALIGNED_FROM;
        if !often || !self.access.uses(w).iter().any(each_step) || self.packed(w) > 0 {
            return 0;
        }
        let blocks = self.plan.weights[w].blocks.iter();
        let numbers = blocks.map(|b| b.rows * aligned_ld::<T>(b.cols)).sum();
        match numbers * size_of::<T>() <= self.plan.target.caches().l2 {
            true => numbers,
            false => 0,
        }
    }

    /// Length of one part's scratch.
    pub(super) fn scratch(&self) -> usize {
        let mut most = 0;
        self.sums(&mut |rows, (rhs, bf16), _| {
            let total: usize = rhs.iter().map(|r| r.len).sum();
            let runs: usize = rhs.iter().map(|r| r.to.len()).sum();
            let len = match bf16 {
                true => {
                    let unit = unit(self.plan.target);
                    self.kernels.outer_scratch_len_of(unit, rows, total, runs)
                }
                false => self.kernels.outer_scratch_len(rows, total, runs),
            };
            most = most.max(len);
        });
        most
    }

    /// The maximal numbers of blocks, right-hand sides and pieces of a sum.
    pub(super) fn lists(&self) -> (usize, usize, usize) {
        let mut most = (0, 0, 0);
        self.sums(&mut |_, (rhs, _), bias| {
            let runs: usize = rhs.iter().map(|r| r.to.len()).sum();
            most = (
                most.0.max(runs),
                most.1.max(rhs.len()),
                most.2.max(bias.len()),
            );
        });
        most
    }

    /// Calls `f` with the rows, right-hand sides and bias of every weight gradient.
    pub(super) fn sums(&self, f: &mut EachSum<'_>) {
        for item in walk(&self.plan.items) {
            if let Item::Outer {
                domain,
                rhs,
                bias,
                bf16,
                ..
            } = item
            {
                let points = match domain {
                    Domain::Step => self.sum_points(),
                    other => other.points(0, self.points.rows),
                };
                f(points, (rhs, *bf16), bias);
            }
        }
    }

    /// Points that a sum over steps covers at a time: all of them without sweeps.
    fn sum_points(&self) -> usize {
        match self.plan.sweeps().next() {
            Some(_) => self.blocks().most_points(),
            None => self.points.before(self.points.steps),
        }
    }

    /// The same as steps of all rows.
    pub(crate) fn sum_steps(&self) -> usize {
        self.sum_points().div_ceil(self.points.rows)
    }

    /// Checks that addresses can distinguish all bytes of every array with all of its steps, as arrays are addressed:
    /// then no number of steps, rows or bytes that a run computes from T and B overflows.
    ///
    /// # Errors
    /// [`RunError::Extent`].
    pub(crate) fn can_be_addressed(&self) -> Result<(), RunError> {
        let Points { steps, rows, .. } = self.points;
        let (t, b) = (steps as u128, rows as u128);
        let points = |(u, x): (BufferId, &retrograd_graph::plan::Buffer)| {
            let steps = steps.saturating_add(x.front + x.back);
            let steps = self.plan.ring(u).unwrap_or(steps);
            (x.domain.points(steps, rows) as u128).saturating_mul(x.len as u128)
        };
        let numbers = self.plan.buffers.iter().map(points);
        let numbers = numbers.fold(t.saturating_mul(b), u128::saturating_add);
        if numbers.saturating_mul(size_of::<T>() as u128) <= isize::MAX as u128 {
            return Ok(());
        }
        Err(RunError::Extent { t: steps, b: rows })
    }

    /// Bytes in total.
    pub(crate) fn bytes(&self) -> usize {
        let lines = |n: usize| AlignedBuffer::<T>::bytes_of(n);
        let arrays = self.plan.buffers.keys().map(|u| lines(self.array(u)));
        let packed = self.plan.weights.keys().map(|w| lines(self.packed(w)));
        let aligned = self.plan.weights.keys().map(|w| lines(self.aligned(w)));
        let scratch = self.parts.saturating_mul(lines(self.scratch()));
        let ends = self.plan.buffers.keys().map(|u| lines(self.at_end(u)));
        let others = [scratch, lines(self.checkpoints()), self.described()];
        let all = arrays
            .chain(packed)
            .chain(aligned)
            .chain(ends)
            .chain(others);
        all.fold(0, usize::saturating_add)
    }

    pub(super) fn checkpoints(&self) -> usize {
        let Points { steps, rows, .. } = self.points;
        if !self.points.ragged() || !self.layout.replay {
            return self.plan.checkpoints(steps, rows, self.layout);
        }
        let one = self.plan.memory.replays.iter();
        let one: usize = one.map(|r| self.plan.checkpoint(r, 1)).sum();
        one.saturating_mul(self.checkpoint_rows().last().unwrap_or(0))
    }

    /// Rows whose states are kept at the borders before each block, and at all of them, if rows end at different steps and
    /// states are kept at all.
    pub(super) fn checkpoint_rows(&self) -> impl Iterator<Item = usize> + '_ {
        let blocks = self.blocks();
        (0..self.borders()).scan(0, move |sum, i| {
            let before = *sum;
            if i < blocks.count() {
                *sum += blocks.rows_at(i, self.access.reach);
            }
            Some(before)
        })
    }

    /// The number of these.
    pub(super) fn borders(&self) -> usize {
        match self.keeps_rows() {
            true => self.blocks().count() + 1,
            false => 0,
        }
    }

    fn keeps_rows(&self) -> bool {
        self.points.ragged() && self.layout.replay && !self.plan.memory.replays.is_empty()
    }

    /// Bytes of addresses and descriptions.
    pub(super) fn described(&self) -> usize {
        let (n, weights) = (self.plan.buffers.len(), self.plan.weights.len());
        let blocks: usize = self.plan.weights.values().map(|w| w.blocks.len()).sum();
        let lists = self.lists();
        let buffers = 2 * n + 2 * weights + self.parts;
        let (reach, steps) = self.tabled();
        buffers * size_of::<AlignedBuffer<T>>()
            + StepTable::bytes(reach, steps)
            + n * (3 * size_of::<*mut T>() + size_of::<usize>())
            + blocks * size_of::<Block<T>>()
            + weights * (size_of::<Weights<T>>() + size_of::<bool>() + size_of::<Option<Parts>>())
            + lists.0 * size_of::<BlockMut<T>>()
            + lists.1 * size_of::<OuterRhs<T>>()
            + lists.2 * size_of::<PieceMut<T>>()
            + self.borders().saturating_mul(size_of::<usize>())
    }

    /// The fastest layout that takes no more than `budget` bytes, or the fewest bytes that some layout needs.
    pub(crate) fn choose(mut self, budget: Option<usize>) -> Result<Layout, usize> {
        let (t, rows) = (self.full_steps(), self.points.rows);
        let steps = (self.block_points() / rows).clamp(1, t.max(1));
        let fewest = t.div_ceil(steps);
        let of = |blocks: usize, replay| Layout {
            block: match blocks == fewest {
                true => steps,
                false => t.div_ceil(blocks),
            },
            replay,
        };
        let memory = &self.plan.memory;
        let pays = memory.pays && self.replays_in_cache();
        let short = match pays {
            true => self.short(),
            false => fewest,
        };
        // A single block is kept in any case.
        let replays = pays && short > 1;
        let Some(budget) = budget else {
            return Ok(of(short, replays));
        };
        let mut least = usize::MAX;
        let other = (!memory.replays.is_empty()).then_some(match replays {
            true => (fewest, false),
            false => (short, true),
        });
        for (first, replay) in [(short, replays)].into_iter().chain(other) {
            let mut blocks = first;
            while blocks <= t {
                self.layout = of(blocks, replay);
                let bytes = self.bytes();
                if bytes <= budget {
                    return Ok(self.layout);
                }
                least = least.min(bytes);
                blocks += (blocks / 16).max(1);
            }
        }
        Err(least)
    }

    /// Points in a block of steps, about, unless the plan replays: as many as keep the arrays of a sweep in L2 from item to
    /// item, a multiple of what the kernels of weight gradients add at a time, or, if one such multiple is too many for L3,
    /// fewer. Sums of weight gradients are read and written again for each block: it has as many points as make its arrays as
    /// large as that (docs/PERFORMANCE.md).
    fn block_points(&self) -> usize {
        let plan = self.plan;
        let point = plan.memory.sweep_numbers * size_of::<T>();
        let (mut sums, mut least) = (0, outer_terms(false));
        for item in walk(&plan.items) {
            if let Item::Outer {
                domain: Domain::Step,
                len,
                rhs,
                bf16,
                ..
            } = item
            {
                sums += 2 * len * rhs.iter().map(|r| r.len).sum::<usize>() * size_of::<T>();
                least = least.max(outer_terms(*bf16));
            }
        }
        let point = point.max(1);
        let near = (BLOCK_BYTES / point / least * least).max(least);
        let in_cache = near.min(BLOCK_BYTES_FAR / point);
        let points = match sums / point > in_cache {
            true => (sums / point).next_multiple_of(least),
            false => in_cache,
        };
        points.clamp(1, POINTS_PER_BLOCK)
    }

    /// The points as steps of all rows.
    fn full_steps(&self) -> usize {
        match self.points.ragged() {
            true => (self.points.before(self.points.steps)).div_ceil(self.points.rows),
            false => self.points.steps,
        }
    }

    /// Whether all steps would be kept in memory, while a replay of one leaves it in the second cache, or nearly.
    fn replays_in_cache(&self) -> bool {
        let caches = self.plan.target.caches();
        let step = self.step_bytes();
        step <= caches.l2 / 2 * HALVES_OF_CACHE
            && step.saturating_mul(self.full_steps()) > caches.l3 / KEPT_OF_CACHE
    }

    /// Bytes of a step of all rows in the arrays that cross between sweeps, or that keep a block.
    fn step_bytes(&self) -> usize {
        let numbers = self.plan.block_numbers() * size_of::<T>();
        self.points.rows.saturating_mul(numbers)
    }

    /// Block length of a sequence that is replayed rather than kept: short enough for a block's values to be in cache
    /// when they are read, unless that takes more memory for the states at the borders.
    pub(super) fn short(&self) -> usize {
        let (t, b, plan) = (self.full_steps(), self.points.rows, self.plan);
        let step = self.step_bytes();
        let border = plan.memory.replays.iter().map(|r| plan.checkpoint(r, b));
        let border = border.sum::<usize>() * size_of::<T>();
        // step · K + border · T / K is minimal where both terms are equal.
        let least = (t as f64 * border as f64 / step as f64).sqrt() as usize;
        let steps = (self.plan.target.caches().l2 / step).max(least).max(1);
        t.div_ceil(steps.min(POINTS_PER_BLOCK.div_ceil(b)))
    }
}
