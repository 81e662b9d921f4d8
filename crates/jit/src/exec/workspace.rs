//! The memory of a run beside the caller's arrays, and its addresses.

use std::sync::Arc;

use cranelift::codegen::entity::{EntityRef, PrimaryMap};
use retrograd_graph::plan::{BlockAt, BufferId, Plan, Storage, WeightId};
use retrograd_kernels::{
    AlignedBuffer, Block, BlockMut, CACHE_LINE, OuterRhs, PieceMut, SimdElement, Weights,
};
use retrograd_tape::Domain;

use super::code::unit;
use super::columns::Parts;
use super::limit::machine_bytes;
use super::need::{MemoryNeed, aligned_ld};
use super::points::{Points, StepTable, rows_before};
use super::pool::Crew;
use crate::element::Element;
use crate::error::RunError;

/// Workspace of a compiled plan, kept between runs.
pub(crate) struct Workspace<T: SimdElement> {
    /// One buffer per array of the program's own, and stand-ins for arrays that the caller omitted.
    pub(super) own: PrimaryMap<BufferId, AlignedBuffer<T>>,
    pub(super) packed: PrimaryMap<WeightId, AlignedBuffer<T>>,
    /// How weights are packed that are not packed as a whole: in `packed` there is a place for a part of each thread.
    pub(super) by_parts: PrimaryMap<WeightId, Option<Parts>>,
    /// Copies on cache lines of weights that are not packed and read at many steps.
    pub(super) aligned: PrimaryMap<WeightId, AlignedBuffer<T>>,
    /// Whether these are used: in place, some weights lie on cache lines as well.
    pub(super) copied: PrimaryMap<WeightId, bool>,
    pub(super) scratch: Vec<AlignedBuffer<T>>,
    /// Boundary states of all blocks, one replay after another.
    pub(super) checkpoints: AlignedBuffer<T>,
    /// See [`MemoryNeed::checkpoint_rows`].
    pub(super) checkpoint_rows: Vec<usize>,
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
    /// Where runs meet the threads that help them, from the first run that has any.
    pub(super) crew: Option<Arc<Crew>>,
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

impl<T: Element> Workspace<T> {
    pub(crate) fn new() -> Self {
        Workspace {
            own: PrimaryMap::new(),
            packed: PrimaryMap::new(),
            by_parts: PrimaryMap::new(),
            aligned: PrimaryMap::new(),
            copied: PrimaryMap::new(),
            scratch: Vec::new(),
            checkpoints: AlignedBuffer::new(0),
            checkpoint_rows: Vec::new(),
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
            crew: None,
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
        let all = all.chain(self.aligned.values());
        let all = all.chain(self.at_ends.values()).chain(&self.scratch);
        let numbers: usize = all
            .chain([&self.checkpoints])
            .map(|b| AlignedBuffer::<T>::bytes_of(b.len()))
            .sum();
        let buffers = map(&self.own) + map(&self.at_ends) + map(&self.packed) + vec(&self.scratch);
        let buffers = buffers + map(&self.by_parts) + map(&self.aligned) + map(&self.copied);
        let addresses = map(&self.arrays) + map(&self.bases) + map(&self.ends);
        let addresses = addresses + map(&self.origins) + self.table.allocated();
        let lists = vec(&self.lists.blocks) + vec(&self.lists.sides) + vec(&self.lists.pieces);
        numbers
            + buffers
            + addresses
            + lists
            + vec(&self.checkpoint_rows)
            + vec(&self.blocks)
            + map(&self.weights)
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
            && self.by_parts.iter().all(|(w, x)| *x == need.by_parts(w))
            && self.aligned.iter().all(|(w, x)| x.len() == need.aligned(w))
            && self.scratch.len() == need.parts
            && self.scratch.iter().all(|x| x.len() == scratch)
            && self.at_ends.iter().all(|(u, x)| x.len() == need.at_end(u))
            && self.table.fits(reach, steps)
            && self.checkpoint_rows.capacity() == need.borders()
            && self.checkpoints.len() == need.checkpoints();
        if fits {
            self.checkpoint_rows.clear();
            self.checkpoint_rows.extend(need.checkpoint_rows());
            return Ok(());
        }
        // Free the old allocation before making the new one.
        let crew = self.crew.take();
        *self = Workspace::new();
        self.crew = crew;
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
        self.by_parts = PrimaryMap::with_capacity(plan.weights.len());
        for w in plan.weights.keys() {
            self.by_parts.push(need.by_parts(w));
        }
        self.aligned = PrimaryMap::with_capacity(plan.weights.len());
        for w in plan.weights.keys() {
            self.aligned.push(room(need.aligned(w))?);
        }
        self.copied = PrimaryMap::with_capacity(plan.weights.len());
        self.scratch = Vec::with_capacity(need.parts);
        for _ in 0..need.parts {
            self.scratch.push(room(scratch)?);
        }
        self.checkpoints = room(need.checkpoints())?;
        self.checkpoint_rows = Vec::with_capacity(need.borders());
        self.checkpoint_rows.extend(need.checkpoint_rows());
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
        self.copied.clear();
        for (w, copy) in &self.aligned {
            let mut blocks = plan.weights[w].blocks.iter();
            let in_place = blocks.all(|x| on_lines(&block(&self.bases, x)));
            self.copied.push(!copy.is_empty() && !in_place);
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

    /// Descriptions of all weights: their blocks, and the packing if more than one row is multiplied, unless that is done by
    /// parts.
    pub(super) fn describe(
        &mut self,
        plan: &Plan,
        packed: &PrimaryMap<WeightId, AlignedBuffer<T>>,
    ) {
        self.blocks.clear();
        for (w, weight) in &plan.weights {
            let copied = self.copied.get(w).copied().unwrap_or(false);
            let mut copy = copied.then(|| self.aligned[w].as_mut_ptr());
            for x in &weight.blocks {
                let mut block = block(&self.bases, x);
                if let Some(copy) = &mut copy {
                    block.ptr = copy.cast_const();
                    block.ld = aligned_ld::<T>(x.cols);
                    *copy = copy.wrapping_add(x.rows * block.ld);
                }
                self.blocks.push(block);
            }
        }
        self.weights.clear();
        let mut blocks = self.blocks.as_slice();
        for (number, packed) in packed {
            let w = &plan.weights[number];
            let by_parts = self.by_parts.get(number).is_some_and(Option::is_some);
            let (own, rest) = blocks.split_at(w.blocks.len());
            blocks = rest;
            self.weights.push(Weights {
                rows: w.rows,
                cols: w.cols,
                transposed: w.transposed,
                blocks: own.as_ptr(),
                n_blocks: own.len(),
                unit: w.bf16.then(|| unit(plan.target)),
                packed: match packed.is_empty() || by_parts {
                    true => std::ptr::null(),
                    false => packed.as_ptr(),
                },
            });
        }
    }
}

/// A block of a weight where it lies. Weights are of domain `once`: their position in the array is their offset.
fn block<T>(bases: &PrimaryMap<BufferId, *mut T>, x: &BlockAt) -> Block<T> {
    Block {
        ptr: bases[x.view.buffer].wrapping_add(x.view.offset),
        ld: x.ld,
        row: x.row,
        col: x.col,
        rows: x.rows,
        cols: x.cols,
    }
}

/// True if all rows of a block begin cache lines.
fn on_lines<T>(block: &Block<T>) -> bool {
    block.ptr.addr().is_multiple_of(CACHE_LINE)
        && (block.ld * size_of::<T>()).is_multiple_of(CACHE_LINE)
}

impl<T: SimdElement> Workspace<T> {
    /// Copies a weight to cache lines, if that is how it is read.
    ///
    /// # Safety
    /// The arrays of the weight must be complete, and nobody else may touch the copy.
    pub(super) unsafe fn align(&self, plan: &Plan, w: WeightId) {
        if !self.copied.get(w).copied().unwrap_or(false) {
            return;
        }
        // SAFETY: the blocks lie in arrays of checked length, and the copies in a buffer with room for all of them.
        unsafe {
            let weight = &self.weights[w];
            let copies = std::slice::from_raw_parts(weight.blocks, weight.n_blocks);
            for (x, copy) in plan.weights[w].blocks.iter().zip(copies) {
                let from = block(&self.bases, x);
                for r in 0..x.rows {
                    let to = copy.ptr.cast_mut().add(r * copy.ld);
                    to.copy_from_nonoverlapping(from.ptr.add(r * from.ld), x.cols);
                }
            }
        }
    }
}
