//! Sums over time and batch: weight gradients by the packed kernels, everything else by plain loops.

use rayon::prelude::*;
use retrograd_graph::plan::Item;
use retrograd_graph::plan::cost::points;
use retrograd_kernels::{BlockMut, Buffer, Kernels, OuterArgs, PieceMut, Rhs};
use retrograd_tape::Domain;

use super::{Run, Shared, Span};
use crate::element::Element;

impl<T: Element> Run<'_, T> {
    /// Runs a sum of the plan.
    pub(super) fn sum(&mut self, kernels: &Kernels<T>, item: &Item, span: Span) {
        match item {
            Item::Outer {
                domain,
                delta,
                len,
                rhs,
                bias,
            } => {
                let (steps, rows) = points(*domain, span.t1 - span.t0, self.b);
                let d = self.strided(*delta, span);
                let mut lists = std::mem::take(&mut self.workspace.lists);
                lists.blocks.clear();
                lists.sides.clear();
                lists.pieces.clear();
                for x in rhs.iter().flat_map(|r| &r.to) {
                    lists.blocks.push(BlockMut {
                        ptr: self.strided(x.view, span).at,
                        ld: x.ld,
                        row: x.row,
                        col: x.col,
                        rows: x.rows,
                        cols: x.cols,
                    });
                }
                let mut blocks = lists.blocks.as_slice();
                for r in rhs {
                    let x = self.strided(r.x, span);
                    let (own, rest) = blocks.split_at(r.to.len());
                    blocks = rest;
                    lists.sides.push(Rhs {
                        ptr: x.at,
                        step_stride: x.step,
                        row_stride: x.row,
                        n: r.len,
                        dst: own.as_ptr(),
                        n_dst: own.len(),
                    });
                }
                for x in bias {
                    lists.pieces.push(PieceMut {
                        ptr: self.strided(x.view, span).at,
                        start: x.col,
                        len: x.cols,
                    });
                }
                let args = OuterArgs {
                    delta: d.at,
                    step_stride: d.step,
                    row_stride: d.row,
                    m: *len,
                    steps,
                    rows,
                    rhs: lists.sides.as_ptr(),
                    n_rhs: lists.sides.len(),
                    bias: lists.pieces.as_ptr(),
                    n_bias: lists.pieces.len(),
                    add: !span.first,
                };
                let pieces = self.pieces(item, span).min(self.workspace.scratch.len());
                let scratch = &mut self.workspace.scratch[..pieces];
                let slice = len
                    .div_ceil(scratch.len())
                    .next_multiple_of(kernels.tile_rows);
                let args = Shared(&args);
                let part = |(i, s): (usize, &mut Buffer<T>)| {
                    let args = &args;
                    let (i0, i1) = ((i * slice).min(*len), ((i + 1) * slice).min(*len));
                    if i0 < i1 {
                        // SAFETY: all vectors and destinations lie in arrays of checked length; each part writes its own
                        // rows of the results, and has a scratch of its own, of the length that the kernels ask for.
                        unsafe { (kernels.outer)(args.0, i0, i1, s.as_mut_ptr()) };
                    }
                };
                if scratch.len() == 1 {
                    scratch.iter_mut().enumerate().for_each(part);
                } else {
                    let parts = scratch.par_iter_mut().with_max_len(1);
                    parts.enumerate().for_each(part);
                }
                self.workspace.lists = lists;
            }
            Item::SumTo {
                domain,
                to,
                x,
                parts,
                ..
            } => {
                let (steps, rows) = points(*domain, span.t1 - span.t0, self.b);
                let x = self.strided(*x, span);
                let add = u32::from(!span.first);
                // One sum in all, or one a row: the domains below a step are `row` and `once`.
                let (sums, over) = if *to == Domain::Once {
                    (1, rows)
                } else {
                    (rows, 1)
                };
                for part in parts {
                    let y = self.strided(part.view, span);
                    if (x.step, x.row) == (0, 0) {
                        // The same numbers at every point, as the weight of a loss that has none.
                        let n = T::from_f64((steps * over) as f64);
                        for (r, k) in (0..sums).flat_map(|r| (0..part.cols).map(move |k| (r, k))) {
                            // SAFETY: numbers of vectors that lie in arrays of checked length.
                            unsafe {
                                let dst = y.at.add(r * y.row + k);
                                let before = if span.first { T::default() } else { *dst };
                                *dst = n.mul_add(*x.at.add(part.col + k), before);
                            }
                        }
                        continue;
                    }
                    for r in 0..sums {
                        // SAFETY: vectors and destination lie in arrays of checked length.
                        unsafe {
                            let (src, dst) = (x.at.add(r * x.row + part.col), y.at.add(r * y.row));
                            (kernels.sum_rows)(
                                src, x.step, x.row, steps, over, part.cols, dst, add,
                            );
                        }
                    }
                }
            }
            Item::OuterTo {
                domain,
                to,
                a,
                b,
                y,
            } => {
                let (steps, rows) = points(*domain, span.t1 - span.t0, self.b);
                let (m, n) = (a.1, b.1);
                let (a, b) = (self.strided(a.0, span), self.strided(b.0, span));
                let y = self.strided(*y, span);
                debug_assert_eq!(*to, Domain::Row);
                for r in 0..rows {
                    // SAFETY: row r of all three arrays exists; the sum's array is nobody else's.
                    let y = unsafe { std::slice::from_raw_parts_mut(y.at.add(r * y.row), m * n) };
                    if span.first {
                        y.fill(T::default());
                    }
                    for t in 0..steps {
                        // SAFETY: as above, at step t.
                        let (a, b) = unsafe {
                            let a = std::slice::from_raw_parts(a.at.add(t * a.step + r * a.row), m);
                            (
                                a,
                                std::slice::from_raw_parts(b.at.add(t * b.step + r * b.row), n),
                            )
                        };
                        for (y, &a) in y.chunks_exact_mut(n).zip(a) {
                            for (y, &b) in y.iter_mut().zip(b) {
                                *y = a.mul_add(b, *y);
                            }
                        }
                    }
                }
            }
            Item::Scatter {
                domain,
                to,
                rows: lines,
                cols,
                index,
                v,
                y,
            } => {
                let (steps, rows) = points(*domain, span.t1 - span.t0, self.b);
                let (i, v) = (self.strided(*index, span), self.strided(*v, span));
                let y = self.strided(*y, span);
                let kept = points(*to, 0, self.b).1;
                for r in 0..if span.first { kept } else { 0 } {
                    // SAFETY: the sum's array has `lines · cols` numbers for each of its rows.
                    unsafe { std::slice::from_raw_parts_mut(y.at.add(r * y.row), lines * cols) }
                        .fill(T::default());
                }
                for t in 0..steps {
                    for r in 0..rows {
                        // SAFETY: step t and row r of index and vector exist; the line is clamped to those there are.
                        unsafe {
                            let line =
                                (*i.at.add(t * i.step + r * i.row)).round_to_index(lines - 1);
                            let to = std::slice::from_raw_parts_mut(
                                y.at.add(r * y.row + line * cols),
                                *cols,
                            );
                            let from =
                                std::slice::from_raw_parts(v.at.add(t * v.step + r * v.row), *cols);
                            to.iter_mut()
                                .zip(from)
                                .for_each(|(to, &from)| *to = *to + from);
                        }
                    }
                }
            }
            Item::Pack(_)
            | Item::Loop(_)
            | Item::Nest { .. }
            | Item::Phase { .. }
            | Item::Product { .. } => {
                unreachable!("no sums")
            }
        }
    }
}
