//! Weights of products: the blocks of arrays that compose each.

use retrograd_tape::{Op, Value};

use super::Emit;
use crate::plan::build::LoweringKind;
use crate::plan::{BlockAt, Product, Weight, WeightId};

impl Emit<'_, '_> {
    pub(super) fn product(&mut self, v: Value) -> Product {
        let f = self.f;
        let xs = f.g.operands(v);
        let Op::MatVec { transposed } = *f.g.op_of(v) else {
            unreachable!("products are matvecs")
        };
        let weight = self.weight(xs[0], transposed, f.rounds(v));
        let add = f.added_to(v).is_some();
        let bias = f.biases.get(&v).map(|&b| self.at(b));
        Product {
            weight,
            x: self.at(xs[1]),
            y: self.place_of(v),
            add,
            bias,
        }
    }

    fn weight(&mut self, m: Value, transposed: bool, bf16: bool) -> WeightId {
        let (rows, cols) = self.f.g.node(m).ty.shape.as_matrix();
        let mut blocks = Vec::new();
        self.blocks(
            m,
            Rect {
                row: 0,
                col: 0,
                from_row: 0,
                from_col: 0,
                rows,
                cols,
            },
            &mut blocks,
        );
        let next = self.weights.next_key();
        let key = (blocks.clone(), (transposed, bf16), rows);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.weights.push(Weight {
                name: self.f.g.describe(self.f.unrounded(m)),
                rows,
                cols,
                transposed,
                bf16,
                blocks,
            });
        }
        number
    }

    /// Collects the stored blocks of a rectangle of a matrix.
    fn blocks(&self, m: Value, r: Rect, out: &mut Vec<BlockAt>) {
        let f = self.f;
        match *f.g.op_of(m) {
            _ if f.lowering(m) != LoweringKind::View => self.leaf(m, r, out),
            // The packing rounds.
            Op::Map(_) => self.blocks(f.g.operands(m)[0], r, out),
            Op::Concat { axis } => {
                let mut at = 0;
                for x in f.g.operands(m) {
                    let n =
                        f.g.node(x)
                            .ty
                            .shape
                            .axis(axis)
                            .expect("parts have the axis");
                    let (from, len) = if axis == 0 {
                        (r.from_row, r.rows)
                    } else {
                        (r.from_col, r.cols)
                    };
                    let (lo, hi) = (from.max(at), (from + len).min(at + n));
                    if lo < hi {
                        let part = if axis == 0 {
                            Rect {
                                row: r.row + lo - from,
                                from_row: lo - at,
                                rows: hi - lo,
                                ..r
                            }
                        } else {
                            Rect {
                                col: r.col + lo - from,
                                from_col: lo - at,
                                cols: hi - lo,
                                ..r
                            }
                        };
                        self.blocks(x, part, out);
                    }
                    at += n;
                }
            }
            Op::Slice { axis: 0, start, .. } => {
                self.blocks(
                    f.g.operands(m)[0],
                    Rect {
                        from_row: r.from_row + start,
                        ..r
                    },
                    out,
                );
            }
            Op::Slice { start, .. } => {
                self.blocks(
                    f.g.operands(m)[0],
                    Rect {
                        from_col: r.from_col + start,
                        ..r
                    },
                    out,
                );
            }
            _ => self.leaf(m, r, out),
        }
    }

    /// Adds a rectangle of a matrix that is stored as a whole.
    fn leaf(&self, m: Value, r: Rect, out: &mut Vec<BlockAt>) {
        let ld = self.f.g.node(m).ty.shape.as_matrix().1;
        let view = self.at(m).plus(r.from_row * ld + r.from_col);
        out.push(BlockAt {
            row: r.row,
            col: r.col,
            rows: r.rows,
            cols: r.cols,
            view,
            ld,
        });
    }
}

#[derive(Clone, Copy)]
struct Rect {
    row: usize,
    col: usize,
    from_row: usize,
    from_col: usize,
    rows: usize,
    cols: usize,
}
