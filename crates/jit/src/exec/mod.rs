//! Running a compiled plan: the only module of this crate that touches memory through raw pointers.
//!
//! Invariant: every address passed to compiled code or a kernel lies in an array whose length has been checked against
//! the plan for the steps and rows of this run, and no two threads write the same numbers: loops are cut by rows (or,
//! in parallel loops, by steps and rows), sums by the rows of their result. An array that keeps one block of steps is
//! addressed as if it had all steps; only steps of the current block and its boundary steps are dereferenced.

pub(crate) mod blocks;
pub(crate) mod code;
mod columns;
mod counting;
pub(crate) mod cut;
mod ends;
#[cfg(feature = "faults")]
mod faulty;
mod halves;
pub(crate) mod limit;
mod loops;
mod need;
pub(crate) mod points;
pub(crate) mod pool;
mod products;
pub(crate) mod stream;
mod sums;
mod sweep;
mod workspace;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use retrograd_graph::plan::{Item, Layout, Plan, View, WideActivation};
use retrograd_kernels::{Activation, Kernels, SimdElement};
use retrograd_tape::Domain;

use crate::element::Element;
use crate::frame::Frame;
use code::Code;
pub use counting::{Calls, functions_compiled};
use cut::{Cut, Division, Efforts, address, domain};
use halves::Divided;
pub(crate) use need::MemoryNeed;
use points::{Points, StepAccess, lag};
use pool::Crew;
pub(crate) use workspace::Workspace;

impl<T: Element> Frame<T> {
    /// The frame of a bound workspace and the kernels, in counting versions if requested.
    pub(crate) fn new(
        workspace: &Workspace<T>,
        kernels: &Kernels<T>,
        (steps, rows): (usize, usize),
        (count, divide): (bool, bool),
    ) -> Frame<T> {
        let wide = || WideActivation::ALL.map(|m| kernels.activation(activation(m)));
        let (product, product_from, activations) = match (count, divide) {
            (true, _) => counting::counting(kernels.isa),
            (false, true) => {
                let (product, product_from) = halves::dividing(kernels.isa);
                (product, product_from, wide())
            }
            (false, false) => (kernels.product, kernels.product_from, wide()),
        };
        #[cfg(feature = "faults")]
        let activations =
            match retrograd_tape::faults::active(retrograd_tape::faults::Fault::LastLane) {
                true => faulty::activations(kernels.isa),
                false => activations,
            };
        Frame {
            bases: workspace.bases.as_values_slice().as_ptr(),
            ends: workspace.ends.as_values_slice().as_ptr(),
            before: workspace.table.step_0(),
            weights: workspace.weights.as_values_slice().as_ptr(),
            product,
            product_from,
            matvec: kernels.matvec,
            steps,
            rows,
            outside: AtomicU64::new(0),
            activations,
        }
    }
}

/// An index that the program computed is no row of its table. Compiled code does not record which one.
pub(crate) struct IndexOutOfRange;

/// The items that a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of them.
    Whole,
    /// Those before the plan's border.
    Forward,
    /// Those behind it, in the workspace that the others left.
    Backward,
}

/// One run: the plan, its code and everything with an address.
pub(crate) struct PlanExecution<'a, T: SimdElement> {
    pub(crate) plan: &'a Plan,
    pub(crate) code: &'a Code<T>,
    points: Points<'a>,
    access: &'a StepAccess,
    cut: Cut,
    efforts: &'a Efforts,
    pub(crate) layout: Layout,
    pub(crate) workspace: &'a mut Workspace<T>,
    frame: Frame<T>,
    calls: Calls,
    /// The time of each item, by the item's address, if requested.
    times: Option<Vec<(usize, Duration)>>,
    /// The threads that help, if any may.
    crew: Option<Arc<Crew>>,
}

/// The range of steps that an item over steps is run for.
#[derive(Clone, Copy)]
struct StepRange {
    t0: usize,
    t1: usize,
    /// No sum has been started yet.
    first: bool,
}

/// An address that may be sent to another thread.
#[derive(Clone, Copy)]
struct SendPtr<P>(P);
// SAFETY: each user of the address accesses only its own part of the array.
unsafe impl<P> Send for SendPtr<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for SendPtr<P> {}

/// The addresses of a view: its number at some step in row 0, and the strides per step and per row, while the steps from
/// that one on have the same distances.
#[derive(Clone, Copy)]
pub(crate) struct StridedPtr<T> {
    at: *mut T,
    step: usize,
    row: usize,
}

/// The kernel of an activation that has one.
fn activation(a: WideActivation) -> Activation {
    match a {
        WideActivation::Tanh => Activation::Tanh,
        WideActivation::Sigmoid => Activation::Sigmoid,
        WideActivation::Exp => Activation::Exp,
        WideActivation::Softplus => Activation::Softplus,
    }
}

impl<'a, T: Element> PlanExecution<'a, T> {
    /// Prepares a run over a sufficient workspace that is bound to the caller's arrays.
    pub(crate) fn new(
        plan: &'a Plan,
        code: &'a Code<T>,
        (points, access): (Points<'a>, &'a StepAccess),
        (cut, efforts): (Cut, &'a Efforts),
        layout: Layout,
        workspace: &'a mut Workspace<T>,
        count: bool,
    ) -> Self {
        let sizes = (points.steps, points.rows);
        let crew = match cut.threads {
            0 | 1 => None,
            _ => Some(Arc::clone(workspace.crew.get_or_insert_with(Crew::new))),
        };
        let frame = Frame::new(workspace, code.kernels, sizes, (count, crew.is_some()));
        PlanExecution {
            plan,
            code,
            points,
            access,
            cut,
            efforts,
            layout,
            workspace,
            frame,
            calls: Calls::default(),
            times: None,
            crew,
        }
    }

    /// Calls `f` for the parts `0..n`, at most `most` at a time. Any thread may do any part.
    fn share(&self, most: usize, n: usize, f: impl Fn(usize) + Sync) {
        match &self.crew {
            Some(crew) => crew.share(most, n, f),
            None => (0..n).for_each(f),
        }
    }

    /// Runs the plan, and returns how long each item took: once per block for items of sweeps.
    pub(crate) fn run_timed(mut self) -> Result<Vec<(usize, Duration)>, IndexOutOfRange> {
        self.times = Some(Vec::new());
        self.go(Part::Whole)?;
        Ok(self.times.unwrap_or_default())
    }

    /// Runs a part of the plan.
    pub(crate) fn run(mut self, part: Part) -> Result<Calls, IndexOutOfRange> {
        self.go(part)?;
        Ok(self.calls)
    }

    fn go(&mut self, part: Part) -> Result<(), IndexOutOfRange> {
        let before = counting::counted();
        let whole = StepRange {
            t0: 0,
            t1: self.points.steps,
            first: true,
        };
        let (early, late) = self.plan.items.split_at(self.plan.border);
        let (early_too, late_too) = (part != Part::Backward, part != Part::Forward);
        if early_too {
            self.begin();
        }
        let mut sweep = 0;
        for (item, runs) in
            (early.iter().map(|i| (i, early_too))).chain(late.iter().map(|i| (i, late_too)))
        {
            if let Item::Sweep { reverse, items } = item {
                if runs {
                    self.sweep(sweep, *reverse, items);
                }
                sweep += 1;
            } else if runs {
                self.item(item, whole);
            }
        }
        let after = counting::counted();
        self.calls.step_products = after.0 - before.0;
        self.calls.activations = after.1 - before.1;
        match self.frame.was_outside() {
            true => Err(IndexOutOfRange),
            false => Ok(()),
        }
    }

    fn item(&mut self, item: &Item, span: StepRange) {
        let start = self.times.is_some().then(Instant::now);
        self.ends_before(item);
        self.run_item(item, span);
        self.ends_after(item);
        if let (Some(times), Some(start)) = (&mut self.times, start) {
            times.push((address(item), start.elapsed()));
        }
    }

    fn run_item(&mut self, item: &Item, span: StepRange) {
        let kernels = self.code.kernels;
        match item {
            // The product packs it.
            Item::Pack(w) if self.workspace.by_parts[*w].is_some() => {}
            Item::Pack(w) => {
                let weights = &self.workspace.weights[*w];
                if weights.packed.is_null() {
                    // SAFETY: as in `pack`.
                    unsafe { self.workspace.align(self.plan, *w) };
                } else {
                    self.pack(kernels, weights, self.pieces(item, span));
                    self.calls.packs += 1;
                }
            }
            Item::Loop(l) => self.run_loop(l, item, span),
            Item::TimeTile { reverse, items } => {
                self.time_tile(kernels, *reverse, (item, items), span);
            }
            Item::Product { domain, product } => {
                self.product(kernels, *domain, product, (span, self.pieces(item, span)));
                let by_parts = self.workspace.by_parts[product.weight].is_some();
                self.calls.packs += usize::from(by_parts);
                self.calls.hoisted_products += 1;
            }
            Item::Outer { .. }
            | Item::SumTo { .. }
            | Item::OuterTo { .. }
            | Item::Scatter { .. } => {
                self.sum(kernels, item, span);
                self.calls.sums += 1;
            }
            Item::Sweep { .. } => unreachable!("sweeps have no sweeps inside"),
        }
    }

    /// Number of pieces that an item's work is cut into.
    fn pieces(&self, item: &Item, span: StepRange) -> usize {
        let points = match domain(item) {
            Domain::Step => self.workspace.table.points(span.t0, span.t1),
            other => other.points(0, self.points.rows),
        };
        self.efforts.pieces(item, points, self.cut)
    }

    /// How a recurrence or a time tile is divided.
    fn division(&self, item: &Item, span: StepRange) -> Division {
        let points = match domain(item) {
            Domain::Step => self.workspace.table.points(span.t0, span.t1),
            other => other.points(0, self.points.rows),
        };
        let size = (points, self.points.rows);
        (self.efforts).division((self.plan, item), size, size_of::<T>(), self.cut)
    }

    /// Who divides products, if they are divided by columns.
    fn divided(&self, division: Division) -> Option<Divided<'_>> {
        match (division, &self.crew) {
            (Division::Columns(parts), Some(crew)) => Some(Divided {
                crew,
                parts,
                least: self.cut.product,
            }),
            _ => None,
        }
    }

    /// A view in an item over a domain; if that is over steps, at step `t`.
    fn strided(&self, v: View, t: usize) -> StridedPtr<T> {
        let buffer = &self.plan.buffers[v.buffer];
        let (len, rows) = (buffer.len as isize, self.points.rows);
        let (bases, ends) = (&self.workspace.bases, &self.workspace.ends);
        let (base, first, step, row) = match buffer.domain {
            Domain::Once => (bases[v.buffer], 0, 0, 0),
            Domain::Row => (bases[v.buffer], 0, 0, buffer.len),
            Domain::BoundarySlots(_) => (bases[v.buffer], 0, rows * buffer.len, buffer.len),
            Domain::Step if v.from_end => {
                let first = v.shift as isize * rows as isize;
                (ends[v.buffer], first, rows * buffer.len, buffer.len)
            }
            Domain::Step => {
                let (t, table) = (t as i64 - lag(buffer, v), &self.workspace.table);
                let (first, live) = (table.before(t) as isize, table.live(t));
                (bases[v.buffer], first, live * buffer.len, buffer.len)
            }
        };
        // The base of a one-block array may lie outside it; the address of the view does not.
        let at = base.wrapping_offset(first * len).wrapping_add(v.offset);
        StridedPtr { at, step, row }
    }
}
