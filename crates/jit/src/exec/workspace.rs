//! The memory of a run beside the caller's arrays, counted before anything is allocated, and its addresses.

use cranelift::codegen::entity::{EntityRef, PrimaryMap};
use retrograd_graph::plan::cost::most_rows;
use retrograd_graph::plan::{BlockAt, BufferId, Item, Layout, Plan, Storage, WeightId, walk};
use retrograd_kernels::{
    AlignedBuffer, Block, BlockMut, Kernels, OuterRhs, PieceMut, SimdElement, Weights,
};
use retrograd_tape::Domain;

use super::limit::machine_bytes;
use super::points::{Points, StepAccess, StepTable, rows_before};
use crate::element::Element;
use crate::error::RunError;

/// Minimal number of rows of all products and sums in a block of steps, if the sequence is long enough: enough for the
/// kernels' full speed and to make the overhead of a block negligible.
const ROWS_PER_BLOCK: usize = 4096;

/// Workspace of a compiled plan, kept between runs.
pub(crate) struct Workspace<T: SimdElement> {
    /// One buffer per array of the program's own, and stand-ins for arrays that the caller omitted.
    pub(super) own: PrimaryMap<BufferId, AlignedBuffer<T>>,
    pub(super) packed: PrimaryMap<WeightId, AlignedBuffer<T>>,
    pub(super) scratch: Vec<AlignedBuffer<T>>,
    /// Boundary states of all blocks, one replay after another.
    pub(super) checkpoints: AlignedBuffer<T>,
    /// The address of each array.
    pub(super) arrays: PrimaryMap<BufferId, *mut T>,
    /// For arrays over steps, where entry 0 of the table leads to, or would if the array kept all steps; for other
    /// arrays, their address.
    pub(super) bases: PrimaryMap<BufferId, *mut T>,
    /// The last steps of each row and the boundary steps after them, by slot and row, of arrays that are read or written
    /// there, if rows end at different steps.
    pub(super) at_ends: PrimaryMap<BufferId, AlignedBuffer<T>>,
    /// The address of the first boundary step after the last step of each array: in the array itself, or in `at_ends`.
    pub(super) ends: PrimaryMap<BufferId, *mut T>,
    pub(super) table: StepTable,
    /// The first step that each array keeps.
    pub(super) origins: PrimaryMap<BufferId, usize>,
    pub(super) blocks: Vec<Block<T>>,
    pub(super) weights: PrimaryMap<WeightId, Weights<T>>,
    pub(super) lists: Lists<T>,
}

// SAFETY: threads that share it during a run only read addresses.
unsafe impl<T: SimdElement> Sync for Workspace<T> {}

/// Storage for the descriptions of one sum.
#[derive(Default)]
pub(super) struct Lists<T> {
    pub(super) blocks: Vec<BlockMut<T>>,
    pub(super) sides: Vec<OuterRhs<T>>,
    pub(super) pieces: Vec<PieceMut<T>>,
}

// SAFETY: addresses are dereferenced only during a run, which sets all of them first.
unsafe impl<T: SimdElement> Send for Workspace<T> {}

/// Called with the rows, right-hand sides and bias of a weight gradient.
type EachSum<'f> = dyn FnMut(usize, &[retrograd_graph::plan::Rhs], &[BlockAt]) + 'f;

/// The memory that a run needs.
#[derive(Clone, Copy)]
pub(crate) struct MemoryNeed<'a, T: SimdElement> {
    pub(crate) plan: &'a Plan,
    pub(crate) kernels: &'a Kernels<T>,
    pub(crate) points: Points<'a>,
    pub(crate) access: &'a StepAccess,
    /// Number of threads that sums are divided among, each with scratch of its own.
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
    fn size(&self, u: BufferId) -> usize {
        let (Points { steps, rows, .. }, x) = (self.points, &self.plan.buffers[u]);
        if !self.points.ragged() || x.domain != Domain::Step || self.plan.ring(u).is_some() {
            return self.plan.size(u, steps, rows, self.layout);
        }
        // No block has more points than the first.
        let steps = match self.plan.is_block(u, self.layout) {
            true => self.layout.block.min(steps),
            false => steps,
        };
        (rows_before(x, rows) + self.points.before(steps)) * x.len
    }

    /// Length of the array of the ends of rows of array `u`.
    fn at_end(&self, u: BufferId) -> usize {
        let x = &self.plan.buffers[u];
        match self.points.ragged() && self.access.has_ends(u) {
            true => rows_before(x, self.points.rows) * x.len,
            false => 0,
        }
    }

    /// Steps that a sample, or a run, has in the table.
    fn tabled(&self) -> (usize, usize) {
        (self.access.reach, self.points.steps)
    }

    /// Length of the packing of weight `w`; 0 if no product has more than one row, unless the packing serves many
    /// samples.
    pub(super) fn packed(&self, w: WeightId) -> usize {
        let weight = &self.plan.weights[w];
        let rows = most_rows(
            &self.plan.items,
            w,
            self.layout.block.min(self.points.steps),
            self.points.rows,
        );
        if rows > 1 || self.plan.memory.streams {
            self.kernels
                .packed_len(weight.rows, weight.cols, weight.transposed)
        } else {
            0
        }
    }

    /// Length of one part's scratch.
    pub(super) fn scratch(&self) -> usize {
        let mut most = 0;
        self.sums(&mut |rows, rhs, _| {
            let total: usize = rhs.iter().map(|r| r.len).sum();
            let runs: usize = rhs.iter().map(|r| r.to.len()).sum();
            most = most.max(self.kernels.outer_scratch_len(rows, total, runs));
        });
        most
    }

    /// The maximal numbers of blocks, right-hand sides and pieces of a sum.
    fn lists(&self) -> (usize, usize, usize) {
        let mut most = (0, 0, 0);
        self.sums(&mut |_, rhs, bias| {
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
    fn sums(&self, f: &mut EachSum<'_>) {
        for item in walk(&self.plan.items) {
            if let Item::Outer {
                domain, rhs, bias, ..
            } = item
            {
                let (steps, rows) = (self.sum_steps(), self.points.rows);
                f(domain.steps(steps) * domain.rows(rows), rhs, bias);
            }
        }
    }

    /// Steps that a sum covers at a time: all of them without sweeps.
    pub(crate) fn sum_steps(&self) -> usize {
        let in_blocks = self.plan.sweeps().next().is_some();
        if in_blocks {
            self.layout.block.min(self.points.steps)
        } else {
            self.points.steps
        }
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
        let scratch = self.parts.saturating_mul(lines(self.scratch()));
        let ends = self.plan.buffers.keys().map(|u| lines(self.at_end(u)));
        let others = [scratch, lines(self.checkpoints()), self.described()];
        let all = arrays.chain(packed).chain(ends).chain(others);
        all.fold(0, usize::saturating_add)
    }

    fn checkpoints(&self) -> usize {
        let Points { steps, rows, .. } = self.points;
        self.plan.checkpoints(steps, rows, self.layout)
    }

    /// Bytes of addresses and descriptions.
    fn described(&self) -> usize {
        let (n, weights) = (self.plan.buffers.len(), self.plan.weights.len());
        let blocks: usize = self.plan.weights.values().map(|w| w.blocks.len()).sum();
        let lists = self.lists();
        let buffers = 2 * n + weights + self.parts;
        let (reach, steps) = self.tabled();
        buffers * size_of::<AlignedBuffer<T>>()
            + StepTable::bytes(reach, steps)
            + n * (3 * size_of::<*mut T>() + size_of::<usize>())
            + blocks * size_of::<Block<T>>()
            + weights * size_of::<Weights<T>>()
            + lists.0 * size_of::<BlockMut<T>>()
            + lists.1 * size_of::<OuterRhs<T>>()
            + lists.2 * size_of::<PieceMut<T>>()
    }

    /// The fastest layout that takes no more than `budget` bytes, or the fewest bytes that some layout needs.
    pub(crate) fn choose(mut self, budget: Option<usize>) -> Result<Layout, usize> {
        let Points { steps: t, rows, .. } = self.points;
        let of = |blocks: usize, replay| Layout {
            block: t.div_ceil(blocks),
            replay,
        };
        let fewest = t.div_ceil(ROWS_PER_BLOCK.div_ceil(rows));
        let memory = &self.plan.memory;
        let short = match memory.pays {
            true => self.short(),
            false => fewest,
        };
        // A single block is kept in any case.
        let replays = memory.pays && short > 1;
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

    /// Block length of a sequence that is replayed rather than kept: short enough for a block's values to be in cache
    /// when they are read, unless that takes more memory for the states at the borders.
    fn short(&self) -> usize {
        let (t, b, plan) = (self.points.steps, self.points.rows, self.plan);
        let step = b * plan.block_numbers() * size_of::<T>();
        let border = plan.memory.replays.iter().map(|r| plan.checkpoint(r, b));
        let border = border.sum::<usize>() * size_of::<T>();
        // step · K + border · T / K is minimal where both terms are equal.
        let least = (t as f64 * border as f64 / step as f64).sqrt() as usize;
        let steps = (self.plan.target.caches().l2 / step).max(least).max(1);
        t.div_ceil(steps.min(ROWS_PER_BLOCK.div_ceil(b)))
    }
}

impl<T: Element> Workspace<T> {
    pub(crate) fn new() -> Self {
        Workspace {
            own: PrimaryMap::new(),
            packed: PrimaryMap::new(),
            scratch: Vec::new(),
            checkpoints: AlignedBuffer::new(0),
            arrays: PrimaryMap::new(),
            bases: PrimaryMap::new(),
            at_ends: PrimaryMap::new(),
            ends: PrimaryMap::new(),
            table: StepTable::default(),
            origins: PrimaryMap::new(),
            blocks: Vec::new(),
            weights: PrimaryMap::new(),
            lists: Lists {
                blocks: Vec::new(),
                sides: Vec::new(),
                pieces: Vec::new(),
            },
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        fn vec<U>(v: &Vec<U>) -> usize {
            v.capacity() * size_of::<U>()
        }
        fn map<K: EntityRef, U>(m: &PrimaryMap<K, U>) -> usize {
            m.len() * size_of::<U>()
        }
        let all = self.own.values().chain(self.packed.values());
        let all = all.chain(self.at_ends.values()).chain(&self.scratch);
        let numbers: usize = all
            .chain([&self.checkpoints])
            .map(|b| AlignedBuffer::<T>::bytes_of(b.len()))
            .sum();
        let buffers = map(&self.own) + map(&self.at_ends) + map(&self.packed) + vec(&self.scratch);
        let addresses = map(&self.arrays) + map(&self.bases) + map(&self.ends);
        let addresses = addresses + map(&self.origins) + self.table.allocated();
        let lists = vec(&self.lists.blocks) + vec(&self.lists.sides) + vec(&self.lists.pieces);
        numbers + buffers + addresses + lists + vec(&self.blocks) + map(&self.weights)
    }

    /// Allocates what a run needs, if that is at most `limit` bytes (`None`: the machine's memory); an allocation that
    /// already fits is kept.
    ///
    /// # Errors
    /// [`RunError::Memory`]. The workspace is then empty.
    pub(crate) fn fit(
        &mut self,
        need: &MemoryNeed<'_, T>,
        limit: Option<usize>,
    ) -> Result<(), RunError> {
        let plan = need.plan;
        let scratch = need.scratch();
        let (reach, steps) = need.tabled();
        let fits = self.own.len() == plan.buffers.len()
            && self.own.iter().all(|(u, x)| x.len() == need.array(u))
            && self.packed.iter().all(|(w, x)| x.len() == need.packed(w))
            && self.scratch.len() == need.parts
            && self.scratch.iter().all(|x| x.len() == scratch)
            && self.at_ends.iter().all(|(u, x)| x.len() == need.at_end(u))
            && self.table.fits(reach, steps)
            && self.checkpoints.len() == need.checkpoints();
        if fits {
            return Ok(());
        }
        // Free the old allocation before making the new one.
        *self = Workspace::new();
        let (needed, limit) = (need.bytes(), limit.unwrap_or_else(machine_bytes));
        let refused = |limit| RunError::Memory {
            needed,
            limit,
            t: steps,
            b: need.points.rows,
        };
        if needed > limit {
            return Err(refused(Some(limit)));
        }
        let room = |n: usize| AlignedBuffer::<T>::try_new(n).map_err(|_| refused(None));
        let n = plan.buffers.len();
        // Allocate exactly what was counted: lists that grow as they are collected would have spare capacity.
        self.own = PrimaryMap::with_capacity(plan.buffers.len());
        for u in plan.buffers.keys() {
            self.own.push(room(need.array(u))?);
        }
        self.packed = PrimaryMap::with_capacity(plan.weights.len());
        for w in plan.weights.keys() {
            self.packed.push(room(need.packed(w))?);
        }
        self.scratch = Vec::with_capacity(need.parts);
        for _ in 0..need.parts {
            self.scratch.push(room(scratch)?);
        }
        self.checkpoints = room(need.checkpoints())?;
        self.at_ends = PrimaryMap::with_capacity(n);
        for u in plan.buffers.keys() {
            self.at_ends.push(room(need.at_end(u))?);
        }
        self.table = StepTable::with_capacity(reach, steps);
        self.arrays = PrimaryMap::with_capacity(n);
        self.bases = PrimaryMap::with_capacity(n);
        self.ends = PrimaryMap::with_capacity(n);
        self.origins = PrimaryMap::with_capacity(n);
        for _ in plan.buffers.keys() {
            self.arrays.push(std::ptr::null_mut());
            self.bases.push(std::ptr::null_mut());
            self.ends.push(std::ptr::null_mut());
            self.origins.push(0);
        }
        self.blocks = Vec::with_capacity(plan.weights.values().map(|w| w.blocks.len()).sum());
        self.weights = PrimaryMap::with_capacity(plan.weights.len());
        let lists = need.lists();
        self.lists.blocks = Vec::with_capacity(lists.0);
        self.lists.sides = Vec::with_capacity(lists.1);
        self.lists.pieces = Vec::with_capacity(lists.2);
        Ok(())
    }

    /// Sets the addresses of all arrays, the caller's and the workspace's, for the next run.
    pub(crate) fn bind(
        &mut self,
        plan: &Plan,
        points: Points<'_>,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) {
        self.table.fill(points);
        let buffers = plan.buffers.values().zip(self.own.values_mut());
        for (array, (buffer, own)) in self.arrays.values_mut().zip(buffers) {
            *array = match buffer.storage {
                // The caller's inputs are only read: no statement of a plan stores to an input.
                Storage::Input(k) if !inputs[k].is_empty() => inputs[k].as_ptr().cast_mut(),
                Storage::Output(k) if !outputs[k].is_empty() => outputs[k].as_mut_ptr(),
                _ => own.as_mut_ptr(),
            };
        }
        for u in plan.buffers.keys() {
            self.keep_from(plan, points.rows, u, 0);
        }
        let packed = std::mem::take(&mut self.packed);
        self.describe(plan, &packed);
        self.packed = packed;
    }

    /// Sets the first step that array `u` keeps to `t0`, and its addresses accordingly.
    pub(super) fn keep_from(&mut self, plan: &Plan, rows: usize, u: BufferId, t0: usize) {
        let (x, array) = (&plan.buffers[u], self.arrays[u]);
        self.origins[u] = t0;
        if x.domain != Domain::Step || plan.ring(u).is_some() {
            self.bases[u] = array;
            return;
        }
        // The would-be address of step 0: only steps that are kept are dereferenced.
        let origin = self.table.before(t0 as i64) as usize;
        let zero = array.wrapping_add(rows_before(x, rows) * x.len);
        self.bases[u] = zero.wrapping_sub(origin * x.len);
        let at_end = &mut self.at_ends[u];
        self.ends[u] = match at_end.is_empty() {
            true => {
                let last = self.table.before(self.table.steps() as i64 - x.back as i64);
                self.bases[u].wrapping_offset(last as isize * x.len as isize)
            }
            false => at_end.as_mut_ptr().wrapping_add(x.front * rows * x.len),
        };
    }

    /// Sets the addresses of the caller's arrays once more, for the backward half of a run; those of the workspace stay
    /// where the forward half left them. An output that has an array in the workspace keeps it.
    pub(crate) fn bind_again(
        &mut self,
        plan: &Plan,
        rows: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) {
        for (u, buffer) in &plan.buffers {
            let own = &mut self.own[u];
            self.arrays[u] = match buffer.storage {
                Storage::Input(k) if !inputs[k].is_empty() => inputs[k].as_ptr().cast_mut(),
                Storage::Input(_) => own.as_mut_ptr(),
                Storage::Output(k) if own.is_empty() => outputs[k].as_mut_ptr(),
                Storage::Output(_) | Storage::Workspace => continue,
            };
            // The caller's arrays have all steps.
            self.keep_from(plan, rows, u, 0);
        }
        let packed = std::mem::take(&mut self.packed);
        self.describe(plan, &packed);
        self.packed = packed;
    }

    /// The workspace's own array `u`: empty if the caller's takes its place.
    pub(crate) fn own(&self, u: BufferId) -> &[T] {
        &self.own[u]
    }

    /// Descriptions of all weights: their blocks, and the packing if more than one row is multiplied.
    pub(super) fn describe(
        &mut self,
        plan: &Plan,
        packed: &PrimaryMap<WeightId, AlignedBuffer<T>>,
    ) {
        let bases = &self.bases;
        self.blocks.clear();
        for x in plan.weights.values().flat_map(|w| &w.blocks) {
            self.blocks.push(Block {
                // Weights are of domain `once`: their position in the array is their offset.
                ptr: bases[x.view.buffer].wrapping_add(x.view.offset),
                ld: x.ld,
                row: x.row,
                col: x.col,
                rows: x.rows,
                cols: x.cols,
            });
        }
        self.weights.clear();
        let mut blocks = self.blocks.as_slice();
        for (w, packed) in plan.weights.values().zip(packed.values()) {
            let (own, rest) = blocks.split_at(w.blocks.len());
            blocks = rest;
            self.weights.push(Weights {
                rows: w.rows,
                cols: w.cols,
                transposed: w.transposed,
                blocks: own.as_ptr(),
                n_blocks: own.len(),
                packed: if packed.is_empty() {
                    std::ptr::null()
                } else {
                    packed.as_ptr()
                },
            });
        }
    }
}
