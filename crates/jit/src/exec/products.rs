//! Hoisted products, over many points at once, and the packing of weights.
//!
//! A large weight that one product reads once in a run is packed by parts: some columns, in a place that stays in L2, which
//! are multiplied before the next ones are packed there. Its packing then crosses no other cache.

use retrograd_graph::plan::{Product, View};
use retrograd_kernels::{BACKWARD, Kernels, SimdElement, Weights, whole};
use retrograd_tape::Domain;

use super::columns::{border, unit, with_columns};
use super::halves::Divided;
use super::points::lag;
use super::{PlanExecution, SendPtr, StepRange, StridedPtr};
use crate::element::Element;

/// A product's addresses.
#[derive(Clone, Copy)]
struct ProductOperands<T> {
    w: *const Weights<T>,
    x: StridedPtr<T>,
    y: StridedPtr<T>,
    bias: Option<*const T>,
    add: bool,
}

impl<T: SimdElement> ProductOperands<T> {
    /// `m` rows from row b on.
    ///
    /// # Safety
    /// The rows must exist and be contiguous, and nobody else may touch those of the results.
    unsafe fn multiply(
        &self,
        kernels: &Kernels<T>,
        odd: bool,
        (b, m): (usize, usize),
        divided: Option<Divided<'_>>,
    ) {
        let ProductOperands { w, x, y, bias, add } = self;
        // Odd steps read the weights backward, as in recurrences: packed weights give the same bits.
        let way = if odd { BACKWARD } else { 0 };
        // SAFETY: passed on to the caller; the bias is as long as a row of results.
        unsafe {
            let a = x.at.add(b * x.row);
            let c = y.at.add(b * y.row);
            if let Some(divided) = divided {
                let bias = bias.unwrap_or(std::ptr::null());
                let how = way | u32::from(*add);
                divided.product(kernels, (*w, m), (a, x.row), bias, (c, y.row), how);
                return;
            }
            match *bias {
                Some(bias) => (kernels.product_from)(*w, m, a, x.row, bias, c, y.row, way),
                None => (kernels.product)(*w, m, a, x.row, c, y.row, way | u32::from(*add)),
            }
        }
    }
}

/// The columns of a product from one on: those that its part of the weights has.
pub(super) struct Columns<'a, T> {
    weights: &'a Weights<T>,
    from: usize,
}

impl<T> Clone for Columns<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Columns<'_, T> {}

// SAFETY: threads that share it only read addresses, and each accesses its own part of the results.
unsafe impl<T> Sync for Columns<'_, T> {}

impl<'a, T> Columns<'a, T> {
    /// All of them.
    pub(super) fn all(weights: &'a Weights<T>) -> Columns<'a, T> {
        Columns { weights, from: 0 }
    }
}

impl<T: Element> PlanExecution<'_, T> {
    /// Packs a weight, by its blocks where they share no panel's padding.
    pub(super) fn pack(&self, kernels: &Kernels<T>, weights: &Weights<T>, pieces: usize) {
        let (k, n) = (weights.inner(), weights.outer());
        // bfloat16 terms come in pairs, which two blocks may share.
        let padded =
            weights.unit.is_some() || !n.is_multiple_of(kernels.panel) || whole::<T>(k, n) < n;
        let blocks = SendPtr((weights, weights.packed.cast_mut()));
        let some = |first: usize, many: usize| {
            let (weights, packed) = { &blocks }.0;
            let of_it = Weights {
                blocks: weights.blocks.wrapping_add(first),
                n_blocks: many,
                ..*weights
            };
            // SAFETY: the blocks lie in arrays of checked length that are complete at this point of the plan, and the
            // packing has the length that the kernels require; nobody reads it while it is written, and without padding
            // each number of it belongs to one block.
            unsafe { (kernels.pack)(&of_it, packed) };
        };
        match padded || pieces <= 1 {
            true => some(0, weights.n_blocks),
            false => self.share(pieces, weights.n_blocks, |i| some(i, 1)),
        }
    }

    /// A product over rows b0 .. b1 of some steps of a span: as one matrix if these points are contiguous. Returns the
    /// number of calls.
    pub(super) fn product_of_steps(
        &self,
        kernels: &Kernels<T>,
        (p, columns): (&Product, Columns<'_, T>),
        span: StepRange,
        (t0, t1): (usize, usize),
        (b0, b1): (usize, usize),
        divided: Option<Divided<'_>>,
    ) -> usize {
        let table = &self.workspace.table;
        let contiguous = |v: View| {
            let buffer = &self.plan.buffers[v.buffer];
            buffer.domain == Domain::Step && table.contiguous(lag(buffer, v), t0, t1)
        };
        let odd = |t: usize| !(t - span.t0).is_multiple_of(2);
        if b1 - b0 == self.points.rows && contiguous(p.x) && contiguous(p.y) {
            let m = table.points(t0, t1);
            // SAFETY: these rows exist, and only this part touches those of the results.
            unsafe {
                (self.operands((p, columns), t0)).multiply(kernels, odd(t0), (0, m), divided)
            };
            return 1;
        }
        for t in t0..t1 {
            let m = table.live(t as i64).min(b1) - b0;
            // SAFETY: as above.
            unsafe { (self.operands((p, columns), t)).multiply(kernels, odd(t), (b0, m), divided) };
        }
        t1 - t0
    }

    /// A product over all points.
    pub(super) fn product(
        &self,
        kernels: &Kernels<T>,
        domain: Domain,
        p: &Product,
        (span, pieces): (StepRange, usize),
    ) {
        let ws = &self.workspace;
        let Some(part) = ws.by_parts[p.weight] else {
            let whole = Columns::all(&ws.weights[p.weight]);
            return self.product_with(kernels, domain, (p, whole), (span, pieces));
        };
        let places = ws.packed[p.weight].len() / part.numbers;
        let pieces = pieces.min(places);
        self.share(pieces, pieces, |i| {
            let (weights, places) = (&ws.weights[p.weight], ws.packed[p.weight].as_ptr());
            let place = places.wrapping_add(i * part.numbers).cast_mut();
            let border = |i| border(weights.outer(), unit(kernels), (i, pieces));
            for from in (border(i)..border(i + 1)).step_by(part.columns) {
                let to = border(i + 1).min(from + part.columns);
                with_columns(weights, (from, to), |cut| {
                    // SAFETY: the blocks lie in arrays of checked length that are complete at this point of the plan; the
                    // place has room for these columns and is this thread's alone.
                    unsafe { (kernels.pack)(cut, place) };
                    let packed = Weights {
                        packed: place,
                        ..*cut
                    };
                    let columns = Columns {
                        weights: &packed,
                        from,
                    };
                    self.product_with(kernels, domain, (p, columns), (span, 1));
                });
            }
        });
    }

    /// A product over all points with some columns of its weight: as one matrix if the points of the domain are contiguous in
    /// its arrays.
    fn product_with(
        &self,
        kernels: &Kernels<T>,
        domain: Domain,
        (p, columns): (&Product, Columns<'_, T>),
        (span, pieces): (StepRange, usize),
    ) {
        let table = &self.workspace.table;
        let contiguous = |v: View| {
            let buffer = &self.plan.buffers[v.buffer];
            buffer.domain != Domain::Step || table.contiguous(lag(buffer, v), span.t0, span.t1)
        };
        let rows = domain.rows(self.points.rows);
        let m = match domain {
            Domain::Step => table.points(span.t0, span.t1),
            other => other.steps(0) * rows,
        };
        if domain == Domain::Step && !(contiguous(p.x) && contiguous(p.y)) {
            let (steps, slice) = (span.t1 - span.t0, (span.t1 - span.t0).div_ceil(4 * pieces));
            self.share(pieces, steps.div_ceil(slice), |i| {
                let steps = (i * slice, steps.min((i + 1) * slice));
                let steps = (span.t0 + steps.0, span.t0 + steps.1);
                self.product_of_steps(kernels, (p, columns), span, steps, (0, rows), None);
            });
            return;
        }
        let operands = SendPtr(self.operands((p, columns), span.t0));
        let part = |i0: usize, i1: usize| {
            // SAFETY: rows i0..i1 exist and are contiguous from the first step on, and no other part writes the
            // results.
            unsafe {
                { &operands }
                    .0
                    .multiply(kernels, false, (i0, i1 - i0), None)
            }
        };
        let slice = m.div_ceil(4 * pieces).next_multiple_of(kernels.tile_rows);
        if pieces <= 1 || m <= slice {
            part(0, m);
        } else {
            self.share(pieces, m.div_ceil(slice), |i| {
                part(i * slice, m.min((i + 1) * slice));
            });
        }
    }

    /// The addresses of a product at step `t`.
    fn operands(&self, (p, columns): (&Product, Columns<'_, T>), t: usize) -> ProductOperands<T> {
        let Columns { weights, from } = columns;
        let at = |v: View| self.strided(v, t);
        let y = at(p.y);
        ProductOperands {
            w: weights,
            x: at(p.x),
            y: StridedPtr {
                at: y.at.wrapping_add(from),
                ..y
            },
            bias: p.bias.map(|b| at(b).at.wrapping_add(from).cast_const()),
            add: p.add,
        }
    }
}
