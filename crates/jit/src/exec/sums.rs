//! Sums over time and batch: weight gradients by the packed kernels, everything else by plain loops.

use rayon::prelude::*;
use retrograd_graph::plan::{BlockAt, Item};
use retrograd_kernels::{BlockMut, Buffer, Kernels, OuterArgs, PieceMut, Rhs};
use retrograd_tape::Domain;

use super::{Frame, Run, Shared, points};
use crate::element::Element;

impl<T: Element> Run<'_, T> {
    /// Runs a sum of the plan.
    pub(super) fn sum(&mut self, frame: &Frame<T>, kernels: &Kernels<T>, item: &Item) {
        match item {
            Item::Outer {
                domain,
                delta,
                len,
                rhs,
                bias,
            } => {
                let (steps, rows) = points(*domain, self.t, self.b);
                let d = self.strided(frame, *delta);
                let at = |x: &BlockAt| self.strided(frame, x.view).at;
                let blocks: Vec<Vec<BlockMut<T>>> = rhs
                    .iter()
                    .map(|r| {
                        let block = |x: &BlockAt| BlockMut {
                            ptr: at(x),
                            ld: x.ld,
                            row: x.row,
                            col: x.col,
                            rows: x.rows,
                            cols: x.cols,
                        };
                        r.to.iter().map(block).collect()
                    })
                    .collect();
                let sides: Vec<Rhs<T>> = rhs
                    .iter()
                    .zip(&blocks)
                    .map(|(r, blocks)| {
                        let x = self.strided(frame, r.x);
                        Rhs {
                            ptr: x.at,
                            step_stride: x.step,
                            row_stride: x.row,
                            n: r.len,
                            dst: blocks.as_ptr(),
                            n_dst: blocks.len(),
                        }
                    })
                    .collect();
                let pieces: Vec<PieceMut<T>> = bias
                    .iter()
                    .map(|x| PieceMut {
                        ptr: at(x),
                        start: x.col,
                        len: x.cols,
                    })
                    .collect();
                let args = OuterArgs {
                    delta: d.at,
                    step_stride: d.step,
                    row_stride: d.row,
                    m: *len,
                    steps,
                    rows,
                    rhs: sides.as_ptr(),
                    n_rhs: sides.len(),
                    bias: pieces.as_ptr(),
                    n_bias: pieces.len(),
                    add: false,
                };
                let total: usize = rhs.iter().map(|r| r.len).sum();
                let runs: usize = blocks.iter().map(Vec::len).sum();
                let need = kernels.outer_scratch_len(steps * rows, total, runs);
                let parts = if self.threads <= 1 { 1 } else { self.threads };
                let scratch = &mut self.workspace.scratch;
                scratch.resize_with(parts.max(scratch.len()), || Buffer::new(0));
                for s in scratch.iter_mut().take(parts).filter(|s| s.len() < need) {
                    *s = Buffer::new(need);
                }
                let slice = len.div_ceil(parts).next_multiple_of(kernels.tile_rows);
                let args = Shared(&args);
                scratch
                    .par_iter_mut()
                    .take(parts)
                    .with_max_len(1)
                    .enumerate()
                    .for_each(|(i, s)| {
                        let args = &args;
                        let (i0, i1) = ((i * slice).min(*len), ((i + 1) * slice).min(*len));
                        if i0 < i1 {
                            // SAFETY: all vectors and destinations lie in arrays of checked length; each part writes its own
                            // rows of the results, and has a scratch of its own.
                            unsafe { (kernels.outer)(args.0, i0, i1, s.as_mut_ptr()) };
                        }
                    });
            }
            Item::SumTo {
                domain,
                to,
                x,
                parts,
                ..
            } => {
                let (steps, rows) = points(*domain, self.t, self.b);
                let x = self.strided(frame, *x);
                // One sum in all, or one a row: the domains below a step are `row` and `once`.
                let (sums, over) = if *to == Domain::Once {
                    (1, rows)
                } else {
                    (rows, 1)
                };
                for part in parts {
                    let y = self.strided(frame, part.view);
                    for r in 0..sums {
                        // SAFETY: vectors and destination lie in arrays of checked length.
                        unsafe {
                            let (src, dst) = (x.at.add(r * x.row + part.col), y.at.add(r * y.row));
                            (kernels.sum_rows)(src, x.step, x.row, steps, over, part.cols, dst, 0);
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
                let (steps, rows) = points(*domain, self.t, self.b);
                let (m, n) = (a.1, b.1);
                let (a, b) = (self.strided(frame, a.0), self.strided(frame, b.0));
                let y = self.strided(frame, *y);
                debug_assert_eq!(*to, Domain::Row);
                for r in 0..rows {
                    // SAFETY: row r of all three arrays exists; the sum's array is nobody else's.
                    let y = unsafe { std::slice::from_raw_parts_mut(y.at.add(r * y.row), m * n) };
                    y.fill(T::default());
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
                let (steps, rows) = points(*domain, self.t, self.b);
                let (i, v) = (self.strided(frame, *index), self.strided(frame, *v));
                let y = self.strided(frame, *y);
                let kept = points(*to, self.t, self.b).1;
                for r in 0..kept {
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
            Item::Pack(_) | Item::Loop(_) | Item::Nest { .. } | Item::Product { .. } => {
                unreachable!("no sums")
            }
        }
    }
}
