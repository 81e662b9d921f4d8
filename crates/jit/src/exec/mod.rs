//! Running a compiled plan: the only module of this crate that touches memory through raw pointers.
//!
//! Invariant: every address that compiled code or a kernel is given lies in an array whose length has been checked against
//! the plan for the steps and rows of this run, and no two threads write the same numbers: loops are cut by rows (or, in
//! parallel loops, by steps and rows), sums by the rows of their result.

pub(crate) mod code;
mod sums;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use retrograd_graph::plan::cost::Cut;
use retrograd_graph::plan::{BlockAt, Item, Kind, Loop, Plan, Product, Stmt, Storage, View, WIDE};
use retrograd_kernels::{ActivateFn, Activation, Block, Buffer, Kernels, Real, Weights, kernels};
use retrograd_tape::{Domain, Map};

use crate::element::Element;
use code::Code;

/// What compiled loops are called with. Field order is known to [`crate::lower::field`].
#[repr(C)]
pub(crate) struct Frame<T: Real> {
    bases: *const *mut T,
    weights: *const Weights<T>,
    product: retrograd_kernels::ProductFn<T>,
    product_from: retrograd_kernels::ProductFromFn<T>,
    steps: usize,
    rows: usize,
    activations: [ActivateFn<T>; WIDE.len()],
}

// SAFETY: the frame is read only while loops run; what its addresses lead to is divided among the threads by rows.
unsafe impl<T: Real> Sync for Frame<T> {}

thread_local! {
    static PRODUCTS: Cell<usize> = const { Cell::new(0) };
    static ACTIVATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts, then multiplies.
unsafe extern "C" fn counting_product<T: Real>(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    c: *mut T,
    ldc: usize,
    add: u32,
) {
    PRODUCTS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels::<T>().product)(w, m, a, lda, c, ldc, add) }
}

/// Counts, then multiplies.
unsafe extern "C" fn counting_product_from<T: Real>(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    bias: *const T,
    c: *mut T,
    ldc: usize,
) {
    PRODUCTS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels::<T>().product_from)(w, m, a, lda, bias, c, ldc) }
}

/// Counts, then applies the activation of this number in [`WIDE`].
unsafe extern "C" fn counting_activation<T: Element, const K: usize>(
    rows: usize,
    n: usize,
    x: *const T,
    ldx: usize,
    y: *mut T,
    ldy: usize,
) {
    ACTIVATIONS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels::<T>().activation(activation(WIDE[K])))(rows, n, x, ldx, y, ldy) }
}

/// How often kernels were called in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Products over a whole domain at once.
    pub hoisted_products: usize,
    /// Products inside recurrences: one for each slice of up to 32 rows.
    pub step_products: usize,
    /// Activations of a block of numbers, by a wide kernel: one for each slice of up to 32 rows.
    pub activations: usize,
    /// Weights packed.
    pub packs: usize,
    /// Weight gradients (each for all right-hand sides of one left operand) and other sums.
    pub sums: usize,
}

/// Workspace of a compiled plan, kept from run to run.
pub(crate) struct Workspace<T> {
    /// One buffer for each array of the program's own, and stand-ins for arrays that the caller left out.
    own: Vec<Buffer<T>>,
    packed: Vec<Buffer<T>>,
    blocks: Vec<Vec<Block<T>>>,
    scratch: Vec<Buffer<T>>,
    shape: Option<(usize, usize)>,
}

impl<T: Real> Workspace<T> {
    pub(crate) fn new() -> Self {
        Workspace {
            own: Vec::new(),
            packed: Vec::new(),
            blocks: Vec::new(),
            scratch: Vec::new(),
            shape: None,
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let all = self.own.iter().chain(&self.packed).chain(&self.scratch);
        all.map(|b| b.len() * size_of::<T>()).sum()
    }
}

/// One run: the plan, its code and everything with an address.
pub(crate) struct Run<'a, T: Real> {
    pub(crate) plan: &'a Plan,
    pub(crate) code: &'a Code,
    pub(crate) t: usize,
    pub(crate) b: usize,
    pub(crate) count: bool,
    /// Where the time of each item goes, if it is wanted.
    pub(crate) times: Option<&'a mut Vec<Duration>>,
    /// Threads that this run may use; 1 runs everything on the caller's.
    pub(crate) threads: usize,
    pub(crate) workspace: &'a mut Workspace<T>,
}

/// Rows of a recurrence that one thread does at a time, at most: what a slice needs stays in cache. Rows are independent,
/// so how they are cut changes no result.
const SLICE: usize = 32;

/// Rows of a hoisted product that are made at a time: enough for the kernel's full speed, few enough to stay in L2 until
/// the steps read them (measured in the hand-written LSTM, Zen 4).
const BLOCK_ROWS: usize = 48;

/// How runs cut products into calls.
pub(crate) const CUT: Cut = Cut {
    slice: SLICE,
    block: BLOCK_ROWS,
};

/// An address that may go to another thread.
#[derive(Clone, Copy)]
struct Shared<P>(P);
// SAFETY: whoever uses the address keeps to its own part of the array.
unsafe impl<P> Send for Shared<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for Shared<P> {}

/// A view's addresses: of its first number, and numbers from step to step and from row to row.
#[derive(Clone, Copy)]
pub(crate) struct Strided<T> {
    at: *mut T,
    step: usize,
    row: usize,
}

/// The kernel of an activation that plans may call one for.
fn activation(m: Map) -> Activation {
    match m {
        Map::Tanh => Activation::Tanh,
        Map::Sigmoid => Activation::Sigmoid,
        Map::Exp => Activation::Exp,
        Map::Softplus => Activation::Softplus,
        other => unreachable!("{} is not in the plan's list", other.row().name),
    }
}

/// A product's addresses.
struct Operands<T> {
    w: *const Weights<T>,
    x: Strided<T>,
    y: Strided<T>,
    bias: Option<*const T>,
    add: bool,
}

impl<T: Real> Operands<T> {
    /// `m` rows from step t, row b on.
    ///
    /// # Safety
    /// The rows must exist, one after another, and nobody else may touch those of the results.
    unsafe fn multiply(&self, kernels: &Kernels<T>, t: usize, b: usize, m: usize) {
        let Operands { w, x, y, bias, add } = self;
        // SAFETY: passed on to the caller; the bias is as long as a row of results.
        unsafe {
            let a = x.at.add(t * x.step + b * x.row);
            let c = y.at.add(t * y.step + b * y.row);
            match *bias {
                Some(bias) => (kernels.product_from)(*w, m, a, x.row, bias, c, y.row),
                None => (kernels.product)(*w, m, a, x.row, c, y.row, u32::from(*add)),
            }
        }
    }
}

impl<T: Element> Run<'_, T> {
    /// Runs the plan over checked arrays. An empty input is zeros, an empty output is not handed out.
    pub(crate) fn run(&mut self, inputs: &[&[T]], outputs: &mut [&mut [T]]) -> Calls {
        let (t, b) = (self.t, self.b);
        if self.workspace.shape != Some((t, b)) {
            self.workspace.own = self.plan.buffers.iter().map(|_| Buffer::new(0)).collect();
            self.workspace.shape = Some((t, b));
        }
        // An address for each array: the caller's, or our own.
        let mut bases: Vec<*mut T> = Vec::with_capacity(self.plan.buffers.len());
        for (i, buffer) in self.plan.buffers.iter().enumerate() {
            let own = &mut self.workspace.own[i];
            let given: *mut T = match buffer.storage {
                // The caller's inputs are only read: no statement of a plan stores to an input.
                Storage::Input(k) if !inputs[k].is_empty() => inputs[k].as_ptr().cast_mut(),
                Storage::Output(k) if !outputs[k].is_empty() => outputs[k].as_mut_ptr(),
                _ => {
                    if own.len() != buffer.size(t, b) {
                        *own = Buffer::new(buffer.size(t, b));
                    }
                    own.as_mut_ptr()
                }
            };
            bases.push(given);
        }
        let weights = self.weights(&bases);
        let kernels = kernels::<T>();
        let (product, product_from) = match self.count {
            true => (counting_product::<T> as _, counting_product_from::<T> as _),
            false => (kernels.product, kernels.product_from),
        };
        let activations = match self.count {
            true => [
                counting_activation::<T, 0> as ActivateFn<T>,
                counting_activation::<T, 1>,
                counting_activation::<T, 2>,
                counting_activation::<T, 3>,
            ],
            false => WIDE.map(|m| kernels.activation(activation(m))),
        };
        let frame = Frame {
            bases: bases.as_ptr(),
            weights: weights.as_ptr(),
            product,
            product_from,
            steps: t,
            rows: b,
            activations,
        };
        let mut calls = Calls::default();
        let before = (PRODUCTS.with(Cell::get), ACTIVATIONS.with(Cell::get));
        let mut function = 0;
        for item in &self.plan.items {
            let start = self.times.is_some().then(Instant::now);
            match item {
                Item::Pack(w) => {
                    if !weights[*w].packed.is_null() {
                        // SAFETY: the blocks lie in arrays of checked length that are complete at this point of the plan,
                        // and the packing has the length that the kernels ask for.
                        unsafe { (kernels.pack)(&weights[*w], weights[*w].packed.cast_mut()) };
                        calls.packs += 1;
                    }
                }
                Item::Loop(l) => {
                    self.run_loop(&frame, l, function);
                    function += 1;
                }
                Item::Nest { reverse, items } => {
                    calls.hoisted_products += self.nest(&frame, kernels, *reverse, items, function);
                    function += 1;
                }
                Item::Product { domain, product } => {
                    self.product(&frame, kernels, *domain, product);
                    calls.hoisted_products += 1;
                }
                Item::Outer { .. }
                | Item::SumTo { .. }
                | Item::OuterTo { .. }
                | Item::Scatter { .. } => {
                    self.sum(&frame, kernels, item);
                    calls.sums += 1;
                }
            }
            if let (Some(times), Some(start)) = (&mut self.times, start) {
                times.push(start.elapsed());
            }
        }
        calls.step_products = PRODUCTS.with(Cell::get) - before.0;
        calls.activations = ACTIVATIONS.with(Cell::get) - before.1;
        calls
    }

    /// Descriptions of all weights: their blocks, and room for a packing where more than one row is multiplied.
    fn weights(&mut self, bases: &[*mut T]) -> Vec<Weights<T>> {
        let plan = self.plan;
        let ws = &mut *self.workspace;
        ws.packed.resize_with(plan.weights.len(), || Buffer::new(0));
        ws.blocks = plan
            .weights
            .iter()
            .map(|w| w.blocks.iter().map(|x| block(x, bases)).collect())
            .collect();
        let rows = most_rows(plan, self.t, self.b);
        plan.weights
            .iter()
            .zip(&ws.blocks)
            .zip(&mut ws.packed)
            .zip(rows)
            .map(|(((w, blocks), packed), rows)| {
                let len = kernels::<T>().packed_len(w.rows, w.cols, w.transposed);
                let pack = rows > 1;
                if pack && packed.len() != len {
                    *packed = Buffer::new(len);
                }
                Weights {
                    rows: w.rows,
                    cols: w.cols,
                    transposed: w.transposed,
                    blocks: blocks.as_ptr(),
                    n_blocks: blocks.len(),
                    packed: if pack {
                        packed.as_ptr()
                    } else {
                        std::ptr::null()
                    },
                }
            })
            .collect()
    }

    /// Calls `f` for slices of `rows`, on as many threads as there are. Slices keep what a slice needs in cache.
    fn over_slices(&self, rows: usize, f: impl Fn(usize, usize) + Sync) {
        let slice = SLICE.min(rows.div_ceil(self.threads));
        let part = |i: usize| f(i * slice, rows.min((i + 1) * slice));
        if self.threads <= 1 {
            (0..rows.div_ceil(slice)).for_each(part);
        } else {
            (0..rows.div_ceil(slice)).into_par_iter().for_each(part);
        }
    }

    fn run_loop(&self, frame: &Frame<T>, l: &Loop, function: usize) {
        let f = self.code.function::<T>(function);
        let (steps, rows) = points(l.domain, self.t, self.b);
        let call = |t0: usize, t1: usize, b0: usize, b1: usize| {
            // SAFETY: the frame's arrays have the lengths that the plan says, and the range lies within them. Loops write
            // only at their own points, and ranges given to different threads share none.
            unsafe { f(frame, t0, t1, b0, b1) }
        };
        match l.kind {
            Kind::Recurrence { .. } => self.over_slices(rows, |b0, b1| call(0, steps, b0, b1)),
            Kind::Parallel if self.threads <= 1 => call(0, steps, 0, rows),
            Kind::Parallel if steps >= rows => {
                let slice = steps.div_ceil(4 * self.threads);
                let part = |i: usize| call(i * slice, steps.min((i + 1) * slice), 0, rows);
                (0..steps.div_ceil(slice)).into_par_iter().for_each(part);
            }
            Kind::Parallel => {
                let slice = rows.div_ceil(4 * self.threads);
                let part = |i: usize| call(0, steps, i * slice, rows.min((i + 1) * slice));
                (0..rows.div_ceil(slice)).into_par_iter().for_each(part);
            }
        }
    }

    /// Products and the recurrence behind them, a block of steps at a time. Returns how many products were made.
    fn nest(
        &self,
        frame: &Frame<T>,
        kernels: &Kernels<T>,
        reverse: bool,
        items: &[Item],
        function: usize,
    ) -> usize {
        let f = self.code.function::<T>(function);
        let (steps, rows) = (self.t, self.b);
        let products: Vec<Operands<T>> = items
            .iter()
            .filter_map(|i| match i {
                Item::Product { product, .. } => Some(self.operands(frame, product)),
                _ => None,
            })
            .collect();
        let slice = SLICE.min(rows);
        let most = (BLOCK_ROWS / slice).max(1);
        let blocks = steps.div_ceil(most);
        let length = steps.div_ceil(blocks);
        let products = Shared(&products);
        let made = AtomicUsize::new(0);
        self.over_slices(rows, |b0, b1| {
            for i in 0..blocks {
                let i = if reverse { blocks - 1 - i } else { i };
                let (t0, t1) = (i * length, steps.min((i + 1) * length));
                for p in { &products }.0 {
                    // Rows of neighbouring steps lie side by side where the slice is all of them.
                    let (calls, m) = match b1 - b0 == rows {
                        true => (1, (t1 - t0) * rows),
                        false => (t1 - t0, b1 - b0),
                    };
                    made.fetch_add(calls, Ordering::Relaxed);
                    for k in 0..calls {
                        // SAFETY: these rows exist, and only this slice's loop and products touch those of the results.
                        unsafe { p.multiply(kernels, t0 + k, b0, m) };
                    }
                }
                // SAFETY: as for any loop; the blocks come in the order of the recurrence.
                unsafe { f(frame, t0, t1, b0, b1) };
            }
        });
        made.into_inner()
    }

    /// A product over all points: as one matrix, for the points of a domain lie one after another.
    fn product(&self, frame: &Frame<T>, kernels: &Kernels<T>, domain: Domain, p: &Product) {
        let (steps, rows) = points(domain, self.t, self.b);
        let m = steps * rows;
        let operands = Shared(self.operands(frame, p));
        let part = |i0: usize, i1: usize| {
            // SAFETY: rows i0..i1 exist, one after another from the first step on, and no other part writes the results.
            unsafe { { &operands }.0.multiply(kernels, 0, i0, i1 - i0) }
        };
        let slice = m
            .div_ceil(4 * self.threads)
            .next_multiple_of(kernels.tile_rows);
        if self.threads <= 1 || m <= slice {
            part(0, m);
        } else {
            (0..m.div_ceil(slice))
                .into_par_iter()
                .for_each(|i| part(i * slice, m.min((i + 1) * slice)));
        }
    }

    /// Addresses of a product.
    fn operands(&self, frame: &Frame<T>, p: &Product) -> Operands<T> {
        Operands {
            // SAFETY: there is one description a weight.
            w: unsafe { frame.weights.add(p.weight) },
            x: self.strided(frame, p.x),
            y: self.strided(frame, p.y),
            bias: p.bias.map(|b| self.strided(frame, b).at.cast_const()),
            add: p.add,
        }
    }

    /// Where a view begins in a loop over a domain.
    fn strided(&self, frame: &Frame<T>, v: View) -> Strided<T> {
        let buffer = &self.plan.buffers[v.buffer];
        // SAFETY: there is one base for each buffer.
        let base = unsafe { *frame.bases.add(v.buffer) };
        let (start, step, row) = match buffer.domain {
            Domain::Once => (0, 0, 0),
            Domain::Row => (0, 0, buffer.len),
            Domain::Edge(_) => (0, self.b * buffer.len, buffer.len),
            Domain::Step => {
                let t = v.shift + buffer.front as i64 + if v.from_end { self.t as i64 } else { 0 };
                (
                    t as usize * self.b * buffer.len,
                    self.b * buffer.len,
                    buffer.len,
                )
            }
        };
        debug_assert!(start + v.offset < buffer.size(self.t, self.b));
        // SAFETY: the view's first point lies in the buffer: boundary steps are part of it.
        let at = unsafe { base.add(start + v.offset) };
        Strided { at, step, row }
    }
}

/// Steps and rows of a domain: the points of a loop over it.
fn points(domain: Domain, t: usize, b: usize) -> (usize, usize) {
    match domain {
        Domain::Once => (1, 1),
        Domain::Row => (1, b),
        Domain::Edge(k) => (k, b),
        Domain::Step => (t, b),
    }
}

/// The most rows that any product of each weight has at once.
fn most_rows(plan: &Plan, t: usize, b: usize) -> Vec<usize> {
    fn visit(items: &[Item], t: usize, b: usize, most: &mut [usize]) {
        for item in items {
            match item {
                Item::Product { domain, product } => {
                    let (steps, rows) = points(*domain, t, b);
                    most[product.weight] = most[product.weight].max(steps * rows);
                }
                Item::Loop(l) => {
                    for s in &l.body {
                        if let Stmt::Product(p) = s {
                            most[p.weight] = most[p.weight].max(points(l.domain, t, b).1);
                        }
                    }
                }
                Item::Nest { items, .. } => visit(items, t, b, most),
                Item::Pack(_)
                | Item::Outer { .. }
                | Item::SumTo { .. }
                | Item::OuterTo { .. }
                | Item::Scatter { .. } => {}
            }
        }
    }
    let mut most = vec![0; plan.weights.len()];
    visit(&plan.items, t, b, &mut most);
    most
}

fn block<T>(x: &BlockAt, bases: &[*mut T]) -> Block<T> {
    // SAFETY: weights are of domain `once`: their place in the array is their offset.
    let ptr = unsafe { bases[x.view.buffer].add(x.view.offset) };
    Block {
        ptr,
        ld: x.ld,
        row: x.row,
        col: x.col,
        rows: x.rows,
        cols: x.cols,
    }
}
