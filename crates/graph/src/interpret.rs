//! Evaluates a graph as it stands, slow and obvious: every value at every point, on demand. For comparing a program
//! before and after a pass.
//!
//! ```
//! use retrograd_graph::{Graph, interpret};
//! use retrograd_tape::{InputRole, Recorder, Shape};
//!
//! let r = Recorder::new();
//! let x = r.input("x", InputRole::Sequence, Shape::Scalar);
//! let s = r.state("s", Shape::Scalar, 1, None);
//! r.output("y", r.next(s, s + x));
//! let g = Graph::from_tape(&r.finish("sums")?);
//! // Three steps of one row, all of which are 2, from 0.
//! let found = interpret::run(&g, 3, 1, &|name, _| if name == "x" { 2.0 } else { 0.0 });
//! assert_eq!(found["y"], [2.0, 4.0, 6.0]);
//! # Ok::<(), retrograd_tape::TapeError>(())
//! ```

use std::collections::{BTreeMap, HashMap};

use retrograd_tape::{Domain, Op, Reduction, Shape, Type, Value};

use crate::graph::Graph;

/// A run of a graph over `t` steps and `b` rows.
struct Run<'g> {
    g: &'g Graph,
    t: usize,
    b: usize,
    /// What inputs are, from their names.
    inputs: &'g dyn Fn(&str, usize) -> f64,
    /// A value, one of its numbers (points outermost), and by how much it is moved.
    moved: Option<(Value, usize, f64)>,
    known: HashMap<(Value, usize), Vec<f64>>,
}

/// A graph's outputs by name, points outermost, over `t` steps of `b` rows. `inputs` gives each number of each input by
/// the input's name.
///
/// # Panics
/// If the graph breaks a rule of the [verifier](crate::verify()).
pub fn run(
    g: &Graph,
    t: usize,
    b: usize,
    inputs: &dyn Fn(&str, usize) -> f64,
) -> BTreeMap<String, Vec<f64>> {
    run_moved(g, t, b, inputs, None)
}

/// As [`run`], where one number of one value is moved by so much, and all that is computed from it follows.
///
/// # Panics
/// As [`run`].
pub fn run_moved(
    g: &Graph,
    t: usize,
    b: usize,
    inputs: &dyn Fn(&str, usize) -> f64,
    moved: Option<(Value, usize, f64)>,
) -> BTreeMap<String, Vec<f64>> {
    let known = HashMap::new();
    let mut run = Run {
        g,
        t,
        b,
        inputs,
        moved,
        known,
    };
    let all = |run: &mut Run<'_>, v: Value| {
        let points = run.points(g.node(v).ty.domain);
        (0..points).flat_map(|p| run.at(v, p)).collect::<Vec<f64>>()
    };
    (g.outputs().iter())
        .map(|o| (o.name.to_string(), all(&mut run, o.value)))
        .collect()
}

impl Run<'_> {
    fn points(&self, domain: Domain) -> usize {
        match domain {
            Domain::Once => 1,
            Domain::Row => self.b,
            Domain::BoundarySlots(k) => k * self.b,
            Domain::Step => self.t * self.b,
        }
    }

    /// The point of `to` that a point of a domain that contains it lies over.
    fn project(&self, p: usize, to: Domain) -> usize {
        match to {
            Domain::Once => 0,
            Domain::Row => p % self.b,
            Domain::BoundarySlots(_) | Domain::Step => p,
        }
    }

    fn at(&mut self, v: Value, p: usize) -> Vec<f64> {
        if let Some(x) = self.known.get(&(v, p)) {
            return x.clone();
        }
        let mut x = self.compute(v, p);
        if let Some((value, k, by)) = self.moved
            && value == v
            && k / x.len() == p
        {
            let i = k % x.len();
            x[i] += by;
        }
        assert_eq!(
            x.len(),
            self.g.node(v).ty.shape.len(),
            "{}",
            self.g.describe(v)
        );
        self.known.insert((v, p), x.clone());
        x
    }

    /// An operand at the point that `p` lies over.
    fn operand(&mut self, x: Value, p: usize) -> Vec<f64> {
        let q = self.project(p, self.g.node(x).ty.domain);
        self.at(x, q)
    }

    /// e = init ‖ x (or x ‖ init) of a delay at a slot.
    fn extended(&mut self, d: i32, xs: &[Value], slot: usize, row: usize) -> Vec<f64> {
        let before = if d > 0 { d as usize } else { 0 };
        let init = if d > 0 && slot < before {
            Some(slot)
        } else if d < 0 && slot >= self.t {
            Some(slot - self.t)
        } else {
            None
        };
        match init {
            Some(s) => self.operand(xs[1], s * self.b + row),
            None => self.at(xs[0], (slot - before) * self.b + row),
        }
    }

    /// The sum over all points of the operands' domain that lie over `p`.
    fn total(
        &mut self,
        xs: &[Value],
        to: Domain,
        p: usize,
        len: usize,
        f: impl Fn(&[Vec<f64>]) -> Vec<f64>,
    ) -> Vec<f64> {
        let domains = xs.iter().map(|&x| self.g.node(x).ty.domain);
        let all = domains.fold(Domain::Once, |d, x| d.join(x).expect("verified"));
        let mut sum = vec![0.0; len];
        for q in 0..self.points(all) {
            if self.project(q, to) != p {
                continue;
            }
            let values: Vec<Vec<f64>> = xs.iter().map(|&x| self.operand(x, q)).collect();
            for (s, y) in sum.iter_mut().zip(f(&values)) {
                *s += y;
            }
        }
        sum
    }

    fn compute(&mut self, v: Value, p: usize) -> Vec<f64> {
        let Type { shape, .. } = self.g.node(v).ty;
        let op = *self.g.op_of(v);
        let xs = self.g.operands(v);
        let shapes: Vec<Shape> = xs.iter().map(|&x| self.g.node(x).ty.shape).collect();
        let n = shape.len();
        match op {
            Op::Input { id, .. } => {
                let name = self.g.inputs()[id].name.clone();
                return (0..n).map(|i| (self.inputs)(&name, p * n + i)).collect();
            }
            Op::Constant { value, .. } => return vec![value.0; n],
            Op::Zeros(_) => return vec![0.0; n],
            Op::Delay(d) => {
                let slot = p / self.b + if d < 0 { d.unsigned_abs() as usize } else { 0 };
                return self.extended(d, &xs, slot, p % self.b);
            }
            Op::Boundary(d) => {
                let slot = p / self.b + if d > 0 { self.t } else { 0 };
                return self.extended(d, &xs, slot, p % self.b);
            }
            Op::SumTo(to) => return self.total(&xs, to, p, n, |x| x[0].clone()),
            Op::Outer { to } => {
                return self.total(&xs, to, p, n, |x| {
                    let heads = if shape.rank() == 3 {
                        shape.axes()[0]
                    } else {
                        1
                    };
                    let (m, k) = (x[0].len() / heads, x[1].len() / heads);
                    (0..n)
                        .map(|i| x[0][i / k] * x[1][i / (m * k) * k + i % k])
                        .collect()
                });
            }
            Op::Scatter { rows, to } => {
                return self.total(&xs, to, p, n, |x| {
                    let k = (x[0][0].round().max(0.0) as usize).min(rows - 1);
                    let mut out = vec![0.0; n];
                    out[k * x[1].len()..][..x[1].len()].copy_from_slice(&x[1]);
                    out
                });
            }
            _ => {}
        }
        let x: Vec<Vec<f64>> = xs.iter().map(|&x| self.operand(x, p)).collect();
        at_a_point(op, shape, &shapes, &x)
    }
}

/// The result of an op whose operands are those of its own point.
fn at_a_point(op: Op, shape: Shape, shapes: &[Shape], x: &[Vec<f64>]) -> Vec<f64> {
    let n = shape.len();
    match op {
        Op::Map(m) => {
            let point = |i: usize| x.iter().map(|a| a[i]).collect::<Vec<f64>>();
            (0..n).map(|i| (m.row().eval)(&point(i))).collect()
        }
        Op::Reduce(Reduction::Sum) => vec![x[0].iter().sum()],
        Op::Reduce(Reduction::Mean) => vec![x[0].iter().sum::<f64>() / x[0].len() as f64],
        Op::Reduce(Reduction::Max) => vec![x[0].iter().copied().fold(f64::MIN, f64::max)],
        Op::Dot => vec![x[0].iter().zip(&x[1]).map(|(a, b)| a * b).sum()],
        Op::ReduceAxis { kind, axis } => {
            let (_, after) = shapes[0].around(axis);
            let len = shapes[0].axis(axis).expect("it has the axis");
            let along = |k: usize| -> Vec<f64> {
                let from = k / after * len * after + k % after;
                (0..len).map(|i| x[0][from + i * after]).collect()
            };
            (0..n)
                .map(|k| at_a_point(Op::Reduce(kind), Shape::Scalar, &[], &[along(k)])[0])
                .collect()
        }
        Op::Broadcast(_) => (0..n)
            .map(|k| {
                let at = place(shape, k);
                let stays = |axis: usize| shapes[0].axis(axis).is_some_and(|len| len > 1);
                let at: Vec<usize> = (0..shapes[0].rank())
                    .map(|axis| if stays(axis) { at[axis] } else { 0 })
                    .collect();
                x[0][number(shapes[0], &at)]
            })
            .collect(),
        Op::Transpose(order) => (0..n)
            .map(|k| {
                let (to, mut at) = (place(shape, k), vec![0; shape.rank()]);
                for (axis, &i) in to.iter().enumerate() {
                    at[order.axis(axis)] = i;
                }
                x[0][number(shapes[0], &at)]
            })
            .collect(),
        Op::Reshape(_) | Op::Spread(_) => x[0].clone(),
        Op::Concat { axis } => {
            let before = shape.around(axis).0;
            let block =
                |a: &Vec<f64>, r: usize| a[a.len() / before * r..][..a.len() / before].to_vec();
            (0..before)
                .flat_map(|r| x.iter().flat_map(move |a| block(a, r)))
                .collect()
        }
        Op::Slice { axis, start, len } => {
            let (before, after) = shapes[0].around(axis);
            let block = x[0].len() / before;
            (0..before)
                .flat_map(|r| x[0][r * block + start * after..][..len * after].to_vec())
                .collect()
        }
        Op::MatVec { transposed } => {
            let heads = if shapes[0].rank() == 3 {
                shapes[0].axes()[0]
            } else {
                1
            };
            let (m, k) = shapes[0].as_matrix();
            let m = m / heads;
            let (inner, out) = if transposed { (m, k) } else { (k, m) };
            let entry = |h: usize, i: usize, j: usize| {
                let (row, column) = if transposed { (j, i) } else { (i, j) };
                x[0][(h * m + row) * k + column]
            };
            let sum = |h: usize, i: usize| -> f64 {
                (0..inner)
                    .map(|j| entry(h, i, j) * x[1][h * inner + j])
                    .sum()
            };
            (0..n).map(|k| sum(k / out, k % out)).collect()
        }
        Op::Gather => {
            let (rows, k) = shapes[0].as_matrix();
            let row = (x[1][0].round().max(0.0) as usize).min(rows - 1);
            x[0][row * k..][..k].to_vec()
        }
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Zeros(_)
        | Op::Delay(_)
        | Op::Boundary(_)
        | Op::SumTo(_)
        | Op::Outer { .. }
        | Op::Scatter { .. } => unreachable!("done above"),
    }
}

/// The index along each axis of the `k`th number.
fn place(shape: Shape, k: usize) -> Vec<usize> {
    (0..shape.rank())
        .map(|axis| k / shape.around(axis).1 % shape.axes()[axis])
        .collect()
}

/// Which number has these indices.
fn number(shape: Shape, at: &[usize]) -> usize {
    let terms = at.iter().enumerate();
    terms.map(|(axis, i)| i * shape.around(axis).1).sum()
}
