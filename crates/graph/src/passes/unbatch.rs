//! *unbatch*: rewrites ops along axes and values of rank 3 by ops of rank 2 and less, which are all that the later
//! passes and the plan know: one product per head, slices that are views, scalars that are repeated lane by lane.
//!
//! A value with a short first axis is computed in *parts*, one per index of that axis, where a stretched operand or a
//! reduction asks for it: `f [h,1,1]` stretched to `[h,m,n]` is then one number per part, which no array has to hold.
//! All element-wise ops that are connected to such a place without a change of the first axis are computed in parts,
//! so that each part is one lane loop. Where the first axis is long, a matrix whose rows are whole vectors is repeated
//! lane by lane too, a number along each row or a row as it is; other rows are an outer product with ones, and a sum is
//! a product with ones.
//!
//! Many small matrices are multiplied with their heads as the innermost axis, as vectors of heads (*many.rs*), so that
//! the number of nodes grows with the number of heads only as far as each has work of its own.
//!
//! What remains after this pass: of rank 3 only values that are moved as a whole or cut along axis 0; of
//! [`Op::Transpose`] only that of a matrix; of [`Op::Broadcast`] only that of a scalar, of a row and of a column.

mod axes;
mod many;
mod parts;

use retrograd_tape::{Algebra, Domain, Map, Op, Operands, Shape, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use std::rc::Rc;

use crate::graph::{Graph, Rebuild, Rewrite};
use crate::passes::simplify::{concat, reshaped, slice};

/// The longest first axis that values are computed in parts along.
const PARTS: usize = 16;

/// Numbers that each part must have: two vectors of single precision.
const LEAST: usize = 8;

/// True if a value of `count` parts of `len` numbers each is worth a lane loop per part.
fn worth(count: usize, len: usize) -> bool {
    count <= PARTS && len >= LEAST
}

/// True if the pass has anything to do.
pub fn needed(g: &Graph) -> bool {
    g.order().into_iter().any(|v| concerns(g, v))
}

/// True for the nodes that cannot stay.
fn concerns(g: &Graph, v: Value) -> bool {
    let shape = |v: Value| g.node(v).ty.shape;
    let first = |v: Value| g.operands(v)[0];
    match *g.op_of(v) {
        Op::ReduceAxis { .. } | Op::Transpose(_) => true,
        Op::Broadcast(_) => shape(first(v)) != Shape::Scalar,
        Op::MatVec { .. } => shape(first(v)).rank() == 3,
        Op::Outer { .. } => shape(v).rank() == 3,
        Op::Slice { axis, .. } | Op::Concat { axis } => shape(v).rank() == 3 && axis > 0,
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Zeros(_)
        | Op::Map(_)
        | Op::Reduce(_)
        | Op::Dot
        | Op::Reshape(_)
        | Op::Gather
        | Op::Scatter { .. }
        | Op::Delay(_)
        | Op::Boundary(_)
        | Op::Spread(_)
        | Op::SumTo(_) => false,
    }
}

/// Rewrites the graph.
pub fn unbatch(g: &Graph) -> Graph {
    let in_parts = parts::in_parts(g);
    let mut pass = Unbatch {
        delays: parts::delays(g, &in_parts),
        in_parts,
        parts: HashMap::default(),
        open: Vec::new(),
    };
    let mut r = Rebuild::new(g);
    for v in g.order() {
        r.want(&mut pass, v);
    }
    pass.close(&mut r);
    r.finish()
}

struct Unbatch {
    /// Element-wise ops of the old graph that are computed in parts.
    in_parts: HashSet<Value>,
    /// Delays and boundaries of the old graph that become one for each part.
    delays: HashSet<Value>,
    /// Values of the new graph that were put together from parts along their first axis.
    parts: HashMap<Value, Rc<[Value]>>,
    /// New delays by part, with the old operands of all together.
    open: Vec<(Vec<Value>, Operands)>,
}

impl Rewrite for Unbatch {
    fn rewrite(&mut self, r: &mut Rebuild<'_>, v: Value) -> Option<Value> {
        let op = *r.old.op_of(v);
        let shape = r.old.node(v).ty.shape;
        if let Op::Map(m) = op {
            if !self.in_parts.contains(&v) {
                return None;
            }
            let xs = r.operands(v);
            return Some(self.map(&mut r.new, m, &xs, shape));
        }
        if self.delays.contains(&v) {
            return Some(self.delay(r, v, op, shape));
        }
        if !concerns(r.old, v) {
            return None;
        }
        let xs = r.operands(v);
        let g = &mut r.new;
        Some(match op {
            Op::ReduceAxis { kind, axis } => self.reduce(g, kind, axis, xs[0]),
            Op::Transpose(order) => self.transpose(g, order, xs[0]),
            Op::Broadcast(to) => self.stretch(g, xs[0], to),
            Op::MatVec { transposed } if many::are_many(g.ty(xs[0]).shape) => {
                self.many_products(g, transposed, &xs)
            }
            Op::MatVec { .. } => self.heads(g, op, &xs, shape),
            Op::Outer { to } if many::are_many(shape) => self.many_outers(g, &xs, to, shape),
            Op::Outer { to } => self.outers(g, &xs, to, shape),
            Op::Slice { axis, start, len } => inner_slice(g, axis, start, len, xs[0]),
            Op::Concat { axis } => inner_concat(g, axis, &xs, shape),
            Op::Input { .. }
            | Op::Constant { .. }
            | Op::Zeros(_)
            | Op::Map(_)
            | Op::Reduce(_)
            | Op::Dot
            | Op::Reshape(_)
            | Op::Gather
            | Op::Scatter { .. }
            | Op::Delay(_)
            | Op::Boundary(_)
            | Op::Spread(_)
            | Op::SumTo(_) => unreachable!("{op} stays"),
        })
    }
}

/// The shape of one index of the first axis.
fn rest(shape: Shape) -> Shape {
    shape.without_axis(0).expect("it has an axis")
}

impl Unbatch {
    /// `x[i]` along the first axis.
    fn head(&self, g: &mut Graph, x: Value, i: usize) -> Value {
        if let Some(parts) = self.parts.get(&x) {
            return parts[i];
        }
        let shape = g.ty(x).shape;
        let one = rest(shape);
        let inner = g.operands(x).first().copied();
        match (*g.op_of(x), inner) {
            (Op::Constant { value, .. }, _) => g.constant(value.0, one),
            (Op::Zeros(_), _) => g.zeros(one),
            (Op::Broadcast(_), Some(inner)) => {
                let from = g.ty(inner).shape;
                // A row that is the same for all, a number of each row, or one number.
                let part = match from.axis(0) {
                    None => inner,
                    Some(1) => reshaped(g, rest(from), inner),
                    Some(_) => self.head(g, inner, i),
                };
                match g.ty(part).shape.len() {
                    1 => {
                        let scalar = reshaped(g, Shape::Scalar, part);
                        g.broadcast(scalar, one)
                    }
                    _ => g.broadcast(part, one),
                }
            }
            (Op::Spread(to), Some(inner)) => {
                let part = self.head(g, inner, i);
                g.spread(part, to)
            }
            (Op::Reshape(_), Some(inner)) if g.ty(inner).shape.axis(0) == shape.axis(0) => {
                let part = self.head(g, inner, i);
                reshaped(g, one, part)
            }
            _ => {
                let part = slice(g, 0, i, 1, x);
                reshaped(g, one, part)
            }
        }
    }

    /// The value of this shape with these parts along its first axis.
    fn whole(&mut self, g: &mut Graph, parts: Vec<Value>, shape: Shape) -> Value {
        // No part is moved in memory by these reshapes: what is computed is what is put together.
        let flat: Vec<Value> = (parts.iter())
            .map(|&p| match g.ty(p).shape {
                Shape::Scalar => reshaped(g, Shape::Vector(1), p),
                _ => p,
            })
            .collect();
        let joined = concat(g, 0, &flat);
        let whole = reshaped(g, shape, joined);
        self.parts.insert(whole, parts.into());
        whole
    }

    /// An element-wise op, part by part.
    fn map(&mut self, g: &mut Graph, m: Map, xs: &[Value], shape: Shape) -> Value {
        let count = shape.axis(0).expect("it has parts");
        let parts = (0..count).map(|i| {
            let xs: Operands = xs.iter().map(|&x| self.head(g, x, i)).collect();
            g.op(Op::Map(m), &xs)
        });
        let parts = parts.collect();
        self.whole(g, parts, shape)
    }

    /// An op on each index of the first axis.
    fn heads(&mut self, g: &mut Graph, op: Op, xs: &[Value], shape: Shape) -> Value {
        let count = shape.axis(0).expect("it has heads");
        let parts = (0..count).map(|i| {
            let xs: Operands = xs.iter().map(|&x| self.head(g, x, i)).collect();
            g.op(op, &xs)
        });
        let parts = parts.collect();
        self.whole(g, parts, shape)
    }

    /// A delay, or a boundary, of each part.
    fn delay(&mut self, r: &mut Rebuild<'_>, v: Value, op: Op, shape: Shape) -> Value {
        let Op::Delay(d) = op else {
            let xs = r.operands(v);
            return self.heads(&mut r.new, op, &xs, shape);
        };
        let count = shape.axis(0).expect("it has parts");
        let part = rest(shape);
        let parts: Vec<Value> = (0..count).map(|_| r.new.open_delay(d, part)).collect();
        self.open.push((parts.clone(), r.old.operands(v)));
        self.whole(&mut r.new, parts, shape)
    }

    /// Gives the delays of parts their operands.
    fn close(&mut self, r: &mut Rebuild<'_>) {
        for (parts, xs) in std::mem::take(&mut self.open) {
            let (x, init) = (r.get(xs[0]), r.get(xs[1]));
            for (i, part) in parts.into_iter().enumerate() {
                let [x, init] = [x, init].map(|v| self.head(&mut r.new, v, i));
                r.new.close_delay(part, x, init);
            }
        }
    }

    /// An outer product per head, or the sum of one.
    fn outers(&mut self, g: &mut Graph, xs: &[Value], to: Domain, shape: Shape) -> Value {
        let count = shape.axis(0).expect("it has heads");
        let parts = (0..count).map(|i| {
            let part = |x: Value, g: &mut Graph| {
                let part = self.head(g, x, i);
                // One that does not vary over the whole domain still counts once per point of it.
                let domain = g.ty(x).domain;
                g.spread(part, domain)
            };
            let xs = [part(xs[0], g), part(xs[1], g)];
            g.op(Op::Outer { to }, &xs)
        });
        let parts = parts.collect();
        self.whole(g, parts, shape)
    }
}

/// The matrix that a value is with an axis and all that follow it as columns.
fn as_columns(g: &mut Graph, axis: usize, x: Value) -> Value {
    let shape = g.ty(x).shape;
    let rows = shape.around(axis).0;
    reshaped(g, Shape::Matrix(rows, shape.len() / rows), x)
}

/// A slice along another axis than the first.
fn inner_slice(g: &mut Graph, axis: usize, start: usize, len: usize, x: Value) -> Value {
    let shape = g.ty(x).shape;
    let after = shape.around(axis).1;
    let columns = as_columns(g, axis, x);
    let part = slice(g, 1, start * after, len * after, columns);
    reshaped(g, shape.with_axis(axis, len), part)
}

/// A concatenation along another axis than the first.
fn inner_concat(g: &mut Graph, axis: usize, xs: &[Value], shape: Shape) -> Value {
    let columns: Vec<Value> = xs.iter().map(|&x| as_columns(g, axis, x)).collect();
    let joined = concat(g, 1, &columns);
    reshaped(g, shape, joined)
}
