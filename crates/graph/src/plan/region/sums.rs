//! Sums over points, weight gradients included, and the destinations of their blocks.

use retrograd_tape::{Domain, Op, Value};

use super::Emit;
use crate::passes::legalize::cut_into_outputs;
use crate::plan::{BlockAt, Item, Rhs};

impl Emit<'_, '_> {
    /// The destinations of a sum's blocks: its own array, or the outputs that it is cut into.
    fn parts(&self, v: Value) -> Vec<BlockAt> {
        let f = self.f;
        let (rows, cols) = f.g.node(v).ty.shape.as_matrix();
        if !cut_into_outputs(f.g, v) {
            return vec![BlockAt {
                row: 0,
                col: 0,
                rows,
                cols,
                view: self.place_of(v),
                ld: cols,
            }];
        }
        // Rows of the sum, seen as a matrix, per index of its first axis.
        let unit = rows / f.g.node(v).ty.shape.axis(0).unwrap_or(1);
        let matrix = f.g.node(v).ty.shape.rank() >= 2;
        let mut parts: Vec<BlockAt> =
            f.g.outputs()
                .iter()
                .enumerate()
                .filter(|(_, o)| {
                    f.g.operands(o.value).first() == Some(&v)
                        && matches!(f.g.op_of(o.value), Op::Slice { .. })
                })
                .map(|(k, o)| {
                    let Op::Slice { start, len, .. } = *f.g.op_of(o.value) else {
                        unreachable!("filtered above")
                    };
                    let view = self.assignment.output(k);
                    if matrix {
                        BlockAt {
                            row: start * unit,
                            col: 0,
                            rows: len * unit,
                            cols,
                            view,
                            ld: cols,
                        }
                    } else {
                        BlockAt {
                            row: 0,
                            col: start,
                            rows: 1,
                            cols: len,
                            view,
                            ld: len,
                        }
                    }
                })
                .collect();
        parts.sort_by_key(|p| (p.row, p.col));
        parts
    }

    pub(super) fn global(&self, vs: &[Value]) -> Item {
        let f = self.f;
        let join = |v: Value| {
            let types: Vec<_> = f.g.operands(v).iter().map(|&x| f.g.node(x).ty).collect();
            f.g.op_of(v).work_domain(&types)
        };
        let first = *vs
            .iter()
            .find(|&&v| matches!(f.g.op_of(v), Op::Outer { .. }))
            .unwrap_or(&vs[0]);
        let xs = f.g.operands(first);
        let domain = join(first);
        match *f.g.op_of(first) {
            Op::Outer { to: Domain::Once } => {
                let outers = vs
                    .iter()
                    .filter(|&&v| matches!(f.g.op_of(v), Op::Outer { .. }));
                let rhs = outers
                    .map(|&v| {
                        let x = f.g.operands(v)[1];
                        Rhs {
                            x: self.at(x),
                            len: f.len(x),
                            to: self.parts(v),
                        }
                    })
                    .collect();
                let bias = vs
                    .iter()
                    .filter(|&&v| matches!(f.g.op_of(v), Op::SumTo(_)))
                    .flat_map(|&v| self.parts(v));
                Item::Outer {
                    domain,
                    delta: self.at(xs[0]),
                    len: f.len(xs[0]),
                    bf16: f.rounds(first),
                    rhs,
                    bias: bias.collect(),
                }
            }
            Op::Outer { to } => Item::OuterTo {
                domain,
                to,
                a: (self.at(xs[0]), f.len(xs[0])),
                b: (self.at(xs[1]), f.len(xs[1])),
                y: self.place_of(first),
            },
            Op::SumTo(to) => {
                let len = f.len(first);
                // Apart from blocks of matrices, a sum of any shape treats its numbers as one row.
                let parts = self
                    .parts(first)
                    .into_iter()
                    .map(|p| BlockAt {
                        row: 0,
                        col: p.row * p.cols + p.col,
                        rows: 1,
                        cols: p.rows * p.cols,
                        view: p.view,
                        ld: p.rows * p.cols,
                    })
                    .collect();
                Item::SumTo {
                    domain,
                    to,
                    x: self.at(xs[0]),
                    len,
                    parts,
                }
            }
            Op::Scatter { rows, to } => Item::Scatter {
                domain,
                to,
                rows,
                cols: f.len(xs[1]),
                index: self.at(xs[0]),
                v: self.at(xs[1]),
                y: self.place_of(first),
            },
            op => unreachable!("{op} sums nothing"),
        }
    }
}
