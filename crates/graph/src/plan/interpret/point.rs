//! The work at one point of a loop.

use retrograd_tape::{Real, Reduction};

use super::{PlanRun, StepAndRow};
use crate::plan::{Fold, Instr, Region, Stmt};

impl<T: Real> PlanRun<'_, T> {
    /// A statement.
    pub(super) fn stmt(&mut self, stmt: &Stmt, p: StepAndRow) {
        match stmt {
            Stmt::Region(r) => self.region(r, p),
            Stmt::Product(product) => self.product(product, p),
            Stmt::Activate { map, x, y, len } => {
                for i in 0..*len {
                    let value = (map.map().row().eval)(&[self.get(*x, p, i).to_f64()]);
                    self.put(*y, p, i, T::from_f64(value));
                }
            }
            Stmt::MatVec {
                rows,
                cols,
                transposed,
                m,
                x,
                y,
            } => {
                let (outer, inner) = if *transposed {
                    (*cols, *rows)
                } else {
                    (*rows, *cols)
                };
                for i in 0..outer {
                    let mut sum = T::ZERO;
                    for j in 0..inner {
                        let at = if *transposed {
                            j * cols + i
                        } else {
                            i * cols + j
                        };
                        sum += self.get(*m, p, at) * self.get(*x, p, j);
                    }
                    self.put(*y, p, i, sum);
                }
            }
            Stmt::OuterRow {
                rows,
                cols,
                a,
                b,
                y,
            } => {
                for (i, j) in (0..*rows).flat_map(|i| (0..*cols).map(move |j| (i, j))) {
                    let value = self.get(*a, p, i) * self.get(*b, p, j);
                    self.put(*y, p, i * cols + j, value);
                }
            }
            Stmt::Gather {
                rows,
                cols,
                m,
                index,
                y,
            } => {
                let line = self.line(*index, p, *rows);
                for j in 0..*cols {
                    self.put(*y, p, j, self.get(*m, p, line * cols + j));
                }
            }
            Stmt::Scatter {
                rows,
                cols,
                index,
                v,
                y,
            } => {
                (0..rows * cols).for_each(|i| self.put(*y, p, i, T::ZERO));
                let line = self.line(*index, p, *rows);
                for j in 0..*cols {
                    self.put(*y, p, line * cols + j, self.get(*v, p, j));
                }
            }
            Stmt::Transpose { rows, cols, m, y } => {
                for (i, j) in (0..*rows).flat_map(|i| (0..*cols).map(move |j| (i, j))) {
                    let value = self.get(*m, p, i * cols + j);
                    self.put(*y, p, j * rows + i, value);
                }
            }
            Stmt::CopyBlock {
                rows,
                cols,
                from,
                to,
            } => {
                for (i, j) in (0..*rows).flat_map(|i| (0..*cols).map(move |j| (i, j))) {
                    let value = self.get(from.0, p, i * from.1 + j);
                    self.put(to.0, p, i * to.1 + j, value);
                }
            }
        }
    }

    /// For each vector of lanes, all loads come before all stores; single numbers are loaded before the lane loop, and
    /// folds stored after it.
    fn region(&mut self, r: &Region, p: StepAndRow) {
        let fixed = self.fixed(r, p);
        let mut folds: Vec<T> = r.folds.iter().map(|(fold, ..)| start(*fold)).collect();
        for first in (0..r.lanes).step_by(self.cut.lanes) {
            let vector = first..r.lanes.min(first + self.cut.lanes);
            let lanes: Vec<Vec<T>> = vector.clone().map(|i| self.lane(r, &fixed, p, i)).collect();
            for (i, values) in vector.zip(&lanes) {
                for &(k, v) in &r.stores {
                    self.put(v, p, i, values[k]);
                }
                for (total, (fold, xs, _)) in folds.iter_mut().zip(&r.folds) {
                    *total = match fold {
                        Fold::Reduce(Reduction::Sum | Reduction::Mean) => *total + values[xs[0]],
                        Fold::Reduce(Reduction::Max) => greater(*total, values[xs[0]]),
                        Fold::Dot => *total + values[xs[0]] * values[xs[1]],
                    };
                }
            }
        }
        for (total, (fold, _, v)) in folds.into_iter().zip(&r.folds) {
            let total = match fold {
                Fold::Reduce(Reduction::Mean) => total / T::from_f64(r.lanes as f64),
                Fold::Reduce(Reduction::Sum | Reduction::Max) | Fold::Dot => total,
            };
            self.put(*v, p, 0, total);
        }
    }

    /// The instructions with the same value in all lanes of a point, indexed by instruction.
    pub(super) fn fixed(&self, r: &Region, p: StepAndRow) -> Vec<Option<T>> {
        (r.instrs.iter())
            .map(|instr| match instr {
                Instr::Splat(v) => Some(self.get(*v, p, 0)),
                Instr::Const(c) => Some(T::from_f64(*c)),
                Instr::Load(_) | Instr::SplatRows(..) | Instr::LoadRow(..) | Instr::Map(..) => None,
            })
            .collect()
    }

    /// The values of all instructions in one lane; `fixed` has those that are the same in all lanes.
    pub(super) fn lane(&self, r: &Region, fixed: &[Option<T>], p: StepAndRow, i: usize) -> Vec<T> {
        let mut values: Vec<T> = Vec::with_capacity(r.instrs.len());
        for (instr, fixed) in r.instrs.iter().zip(fixed) {
            let value = match (fixed, instr) {
                (Some(x), _) => *x,
                (None, Instr::Load(v)) => self.get(*v, p, i),
                (None, Instr::SplatRows(v, columns)) => self.get(*v, p, i / columns),
                (None, Instr::LoadRow(v, columns)) => self.get(*v, p, i % columns),
                (None, Instr::Map(m, xs)) => {
                    let xs: Vec<f64> = xs.iter().map(|&x| values[x].to_f64()).collect();
                    T::from_f64((m.row().eval)(&xs))
                }
                (None, Instr::Splat(_) | Instr::Const(_)) => unreachable!("fixed before"),
            };
            values.push(value);
        }
        values
    }
}

fn start<T: Real>(fold: Fold) -> T {
    match fold {
        Fold::Reduce(Reduction::Sum | Reduction::Mean) | Fold::Dot => T::ZERO,
        Fold::Reduce(Reduction::Max) => T::from_f64(f64::NEG_INFINITY),
    }
}

/// The greater number; NaN if either is NaN.
fn greater<T: Real>(a: T, b: T) -> T {
    if a.is_nan() || a > b { a } else { b }
}
