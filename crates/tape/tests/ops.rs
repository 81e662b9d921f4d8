//! Every op, on operands of every combination of domains: the derivative rules of both modes against finite differences in
//! f64, and once more after differentiation (the op table is closed).

use retrograd_tape::Extent;
use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use retrograd_tape::{
    Algebra, Directions, Domain, InputRole, Interpreter, Map, Op, Permutation, Recorder, Reduction,
    Shape, Tape, Type, Value, Var, gradcheck, rules,
};

/// What a case is drawn from.
#[derive(Clone, Debug)]
struct Draw {
    /// Lengths of axes, 1 to 4.
    m: usize,
    n: usize,
    /// 0, 1, 2 for once, row and the highest domain, for each operand; the last for the domain that is summed to.
    levels: [usize; 4],
    /// The highest domain is the boundary slots instead of the steps.
    edge: bool,
    seed: u64,
    t: usize,
    b: usize,
}

fn draws() -> impl Strategy<Value = Draw> {
    let levels = [0..3usize, 0..3, 0..3, 0..3];
    let sizes = (1..5usize, 1..5usize, 1..6usize, 1..6usize);
    (sizes, levels, any::<bool>(), any::<u64>()).prop_map(|((m, n, t, b), levels, edge, seed)| {
        Draw {
            m,
            n,
            levels,
            edge,
            seed,
            t,
            b,
        }
    })
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Map(Map),
    Reduce(Reduction),
    Dot,
    Broadcast,
    Concat(usize),
    Slice(usize),
    Reshape,
    MatVec(bool),
    Outer,
    Gather,
    Scatter,
    Spread,
    SumTo,
    /// Of a matrix or a value of rank 3.
    ReduceAxis(Reduction, usize),
    Stretch,
    Transpose,
    /// One per head.
    MatVecs(bool),
    Outers,
    ConcatInner(usize),
    SliceInner(usize),
}

/// Every op but delay and boundary (`delays.rs`), inputs and constants.
fn kinds() -> Vec<Kind> {
    let rest = [
        Kind::Reduce(Reduction::Sum),
        Kind::Reduce(Reduction::Mean),
        Kind::Reduce(Reduction::Max),
        Kind::Dot,
        Kind::Broadcast,
        Kind::Concat(0),
        Kind::Concat(1),
        Kind::Slice(0),
        Kind::Slice(1),
        Kind::Reshape,
        Kind::MatVec(false),
        Kind::MatVec(true),
        Kind::Outer,
        Kind::Gather,
        Kind::Scatter,
        Kind::Spread,
        Kind::SumTo,
        Kind::ReduceAxis(Reduction::Sum, 0),
        Kind::ReduceAxis(Reduction::Sum, 1),
        Kind::ReduceAxis(Reduction::Sum, 2),
        Kind::ReduceAxis(Reduction::Mean, 0),
        Kind::ReduceAxis(Reduction::Mean, 1),
        Kind::ReduceAxis(Reduction::Max, 0),
        Kind::ReduceAxis(Reduction::Max, 1),
        Kind::ReduceAxis(Reduction::Max, 2),
        Kind::Stretch,
        Kind::Transpose,
        Kind::MatVecs(false),
        Kind::MatVecs(true),
        Kind::Outers,
        Kind::ConcatInner(1),
        Kind::ConcatInner(2),
        Kind::SliceInner(1),
        Kind::SliceInner(2),
    ];
    (Map::ALL.into_iter().map(Kind::Map)).chain(rest).collect()
}

const EDGE: usize = 2;

impl Draw {
    fn level(&self, level: usize) -> Domain {
        match level {
            0 => Domain::Once,
            1 => Domain::Row,
            _ if self.edge => Domain::BoundarySlots(EDGE),
            _ => Domain::Step,
        }
    }

    fn domain(&self, operand: usize) -> Domain {
        self.level(self.levels[operand])
    }

    /// The op and the types of its operands.
    fn op(&self, kind: Kind) -> (Op, Vec<Type>) {
        let (m, n) = (self.m, self.n);
        let ty = |shape, operand| Type::new(shape, self.domain(operand));
        let vector = Shape::Vector;
        let matrix = Shape::Matrix(m, n);
        // The number of heads, independent of the two sizes.
        let h = 1 + (self.seed >> 16) as usize % 3;
        let tensor = Shape::Tensor(h, m, n);
        let any = [Shape::Scalar, vector(n), matrix, tensor][(m + n) % 4];
        // The lowest of the last level and the operands' own.
        let to = |operands: usize| {
            let own = self.levels[..operands].iter().max();
            self.level(self.levels[3].min(*own.expect("at least one")))
        };
        match kind {
            Kind::Map(f) => {
                let types = (0..f.row().arity).map(|i| ty(any, i)).collect();
                (Op::Map(f), types)
            }
            Kind::Reduce(r) => (Op::Reduce(r), vec![ty(any, 0)]),
            Kind::Dot => (Op::Dot, vec![ty(any, 0), ty(any, 1)]),
            Kind::Broadcast => (Op::Broadcast(any), vec![ty(Shape::Scalar, 0)]),
            Kind::Concat(0) if m % 2 == 0 => {
                let types = vec![ty(vector(m), 0), ty(vector(n), 1), ty(vector(1), 2)];
                (Op::Concat { axis: 0 }, types)
            }
            Kind::Concat(axis) => {
                let other = matrix.with_axis(axis, 2);
                (Op::Concat { axis }, vec![ty(matrix, 0), ty(other, 1)])
            }
            Kind::Slice(axis) => {
                let whole = if axis == 0 && m % 2 == 0 {
                    vector(n)
                } else {
                    matrix
                };
                let size = whole.axis(axis).expect("it has that axis");
                let start = self.seed as usize % size;
                let len = 1 + (self.seed >> 8) as usize % (size - start);
                (Op::Slice { axis, start, len }, vec![ty(whole, 0)])
            }
            Kind::Reshape => (Op::Reshape(vector(m * n)), vec![ty(matrix, 0)]),
            Kind::MatVec(transposed) => {
                let inner = if transposed { m } else { n };
                (
                    Op::MatVec { transposed },
                    vec![ty(matrix, 0), ty(vector(inner), 1)],
                )
            }
            Kind::Outer => (
                Op::Outer { to: to(2) },
                vec![ty(vector(m), 0), ty(vector(n), 1)],
            ),
            Kind::Gather => (Op::Gather, vec![ty(matrix, 0), ty(Shape::Scalar, 1)]),
            Kind::Scatter => (
                Op::Scatter { rows: m, to: to(2) },
                vec![ty(Shape::Scalar, 0), ty(vector(n), 1)],
            ),
            Kind::Spread => {
                let top = self.level(self.levels[0].max(self.levels[3]));
                (Op::Spread(top), vec![ty(any, 0)])
            }
            Kind::SumTo => (Op::SumTo(to(1)), vec![ty(any, 0)]),
            Kind::ReduceAxis(..)
            | Kind::Stretch
            | Kind::Transpose
            | Kind::MatVecs(_)
            | Kind::Outers
            | Kind::ConcatInner(_)
            | Kind::SliceInner(_) => self.op_along_axes(kind, h, to(2)),
        }
    }

    /// An op along axes, of values of `h` heads; an outer product is summed to the domain `to`.
    fn op_along_axes(&self, kind: Kind, h: usize, to: Domain) -> (Op, Vec<Type>) {
        let (m, n) = (self.m, self.n);
        let ty = |shape, operand| Type::new(shape, self.domain(operand));
        let (matrix, tensor) = (Shape::Matrix(m, n), Shape::Tensor(h, m, n));
        match kind {
            Kind::ReduceAxis(kind, axis) => {
                let whole = match axis < 2 && self.seed.is_multiple_of(2) {
                    true => matrix,
                    false => tensor,
                };
                (Op::ReduceAxis { kind, axis }, vec![ty(whole, 0)])
            }
            Kind::Stretch => {
                let whole = if self.seed.is_multiple_of(3) {
                    matrix
                } else {
                    tensor
                };
                let from = (0..whole.rank())
                    .filter(|axis| self.seed >> (4 + axis) & 1 == 0)
                    .fold(whole, |shape, axis| shape.with_axis(axis, 1));
                (Op::Broadcast(whole), vec![ty(from, 0)])
            }
            Kind::Transpose => {
                let orders: [&[usize]; 6] = [
                    &[1, 0],
                    &[0, 2, 1],
                    &[2, 0, 1],
                    &[1, 2, 0],
                    &[2, 1, 0],
                    &[1, 0, 2],
                ];
                let order = orders[self.seed as usize % 6];
                let whole = if order.len() == 2 { matrix } else { tensor };
                let order = Permutation::new(order).expect("each axis once");
                (Op::Transpose(order), vec![ty(whole, 0)])
            }
            Kind::MatVecs(transposed) => {
                let inner = if transposed { m } else { n };
                let types = vec![ty(tensor, 0), ty(Shape::Matrix(h, inner), 1)];
                (Op::MatVec { transposed }, types)
            }
            Kind::Outers => {
                let types = vec![ty(Shape::Matrix(h, m), 0), ty(Shape::Matrix(h, n), 1)];
                (Op::Outer { to }, types)
            }
            Kind::ConcatInner(axis) => {
                let other = tensor.with_axis(axis, 2);
                (Op::Concat { axis }, vec![ty(tensor, 0), ty(other, 1)])
            }
            Kind::SliceInner(axis) => {
                let size = tensor.axis(axis).expect("it has that axis");
                let start = self.seed as usize % size;
                let len = 1 + (self.seed >> 8) as usize % (size - start);
                (Op::Slice { axis, start, len }, vec![ty(tensor, 0)])
            }
            other => unreachable!("{other:?} is along no axis"),
        }
    }

    /// Which operand is an index.
    fn index(kind: Kind) -> Option<usize> {
        match kind {
            Kind::Gather => Some(1),
            Kind::Scatter => Some(0),
            _ => None,
        }
    }

    /// An operand: an input, or, of boundary slots, what leaves a delay.
    fn operand<'t>(&self, r: &'t Recorder, name: &str, ty: Type) -> Var<'t> {
        let role = match ty.domain {
            Domain::Once => InputRole::Param,
            Domain::Row => InputRole::Static,
            Domain::Step => InputRole::Sequence,
            Domain::BoundarySlots(k) => {
                let x = r.input(&format!("{name}.x"), InputRole::Sequence, ty.shape);
                let init = r.input(&format!("{name}.init"), InputRole::Static, ty.shape);
                return r.apply(Op::Boundary(k as i32), &[x, init]);
            }
        };
        r.input(name, role, ty.shape)
    }

    /// Numbers in the op's domain of definition, away from 0 where a kink may be: whole ones for the inputs called
    /// `index`.
    fn data(&self, kind: Kind, tape: &Tape, index: Option<&str>) -> Vec<Vec<f64>> {
        let mut state = self.seed | 1;
        let mut uniform = move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let signed = match kind {
            Kind::Map(f) => (f.row().defined)(&[-1.0; 3][..f.row().arity]),
            _ => true,
        };
        (tape.inputs().iter())
            .map(|input| {
                (0..input.ty.numbers(self.t, self.b))
                    .map(|_| match index {
                        Some(name) if input.name.starts_with(name) => {
                            (uniform() * self.m as f64).floor()
                        }
                        _ => {
                            let x = 0.3 + 1.7 * uniform();
                            if signed && uniform() < 0.5 { -x } else { x }
                        }
                    })
                    .collect()
            })
            .collect()
    }
}

/// Applies rules on a recorder.
struct Rules<'t> {
    recorder: &'t Recorder,
    values: Vec<(Var<'t>, Type)>,
}

impl<'t> Rules<'t> {
    fn add(&mut self, v: Var<'t>, ty: Type) -> Value {
        self.values.push((v, ty));
        Value(self.values.len() as u32 - 1)
    }
}

impl Algebra for Rules<'_> {
    fn op(&mut self, op: Op, xs: &[Value]) -> Value {
        let types: Vec<Type> = xs.iter().map(|x| self.ty(*x)).collect();
        let vars: Vec<Var<'_>> = xs.iter().map(|x| self.values[x.index()].0).collect();
        let ty = op.infer(&types).expect("rules apply ops that fit");
        self.add(self.recorder.apply(op, &vars), ty)
    }
    fn ty(&self, v: Value) -> Type {
        self.values[v.index()].1
    }
}

fn slices(data: &[Vec<f64>]) -> Vec<&[f64]> {
    data.iter().map(Vec::as_slice).collect()
}

fn each_kind(cases: u32, check: impl Fn(Kind, &Draw) -> Result<usize, TestCaseError>) {
    for kind in kinds() {
        let mut runner = TestRunner::new_with_rng(
            Config {
                cases,
                failure_persistence: None,
                ..Config::default()
            },
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        let compared = Cell::new(0);
        let result = runner.run(&draws(), |draw| {
            compared.set(compared.get() + check(kind, &draw)?);
            Ok(())
        });
        assert!(result.is_ok(), "{kind:?}: {}", result.unwrap_err());
        assert!(
            compared.get() > cases as usize,
            "{kind:?}: {compared:?} derivatives"
        );
    }
}

/// How many derivatives have been compared. Points that are too near a kink are possible, wherever two operands may be equal.
fn passes(tape: &Tape, draw: &Draw, data: &[Vec<f64>]) -> Result<usize, TestCaseError> {
    let directions = Directions::Coordinates;
    match gradcheck(tape, draw.t, draw.b, &slices(data), directions, draw.seed) {
        Ok(report) => Ok(report.checked),
        Err(retrograd_tape::TapeError::NearKink { .. }) => Ok(0),
        Err(e) => Err(TestCaseError::fail(format!("{e}\n{tape}"))),
    }
}

#[test]
fn the_gradient_of_every_op_is_that_of_its_differences() {
    each_kind(48, |kind, draw| {
        let (op, types) = draw.op(kind);
        let r = Recorder::new();
        let xs: Vec<Var<'_>> = (types.iter().enumerate())
            .map(|(i, ty)| draw.operand(&r, &format!("x{i}"), *ty))
            .collect();
        r.output("y", r.apply(op, &xs));
        let tape = r.finish("op").expect("the op fits");
        let index = Draw::index(kind).map(|i| format!("x{i}"));
        passes(&tape, draw, &draw.data(kind, &tape, index.as_deref()))
    });
}

#[test]
fn the_tangent_of_every_op_is_that_of_its_differences_and_so_is_the_tangents_gradient() {
    each_kind(48, |kind, draw| {
        let (op, types) = draw.op(kind);
        let index = Draw::index(kind);
        let r = Recorder::new();
        let mut a = Rules {
            recorder: &r,
            values: Vec::new(),
        };
        let xs: Vec<Value> = (types.iter().enumerate())
            .map(|(i, ty)| a.add(draw.operand(&r, &format!("x{i}"), *ty), *ty))
            .collect();
        let y = a.op(op, &xs);
        r.output("y", a.values[y.index()].0);
        // The sum of what the op's operands give.
        let shape = a.ty(y).shape;
        let mut tangent = a.constant(0.0, shape);
        tangent = a.spread(tangent, a.ty(y).domain);
        for (i, ty) in types.iter().enumerate().filter(|(i, _)| Some(*i) != index) {
            let t = draw.operand(&r, &format!("t{i}"), *ty);
            let t = a.add(t, *ty);
            if let Some(part) = rules::jvp(&mut a, &op, &xs, y, i, t) {
                prop_assert_eq!(a.ty(part), a.ty(y));
                tangent = a.map2(Map::Add, tangent, part);
            }
        }
        r.output("tangent", a.values[tangent.index()].0);
        let tape = r.finish("op and tangent").expect("the ops fit");
        let name = index.map(|i| format!("x{i}"));
        let data = draw.data(kind, &tape, name.as_deref());
        let mut run = Interpreter::<f64>::new(&tape);
        run.forward(
            Extent {
                steps: draw.t,
                rows: draw.b,
            },
            &slices(&data),
        )
        .expect("it runs");
        let mut at = |h: f64| -> (Vec<f64>, Vec<f64>) {
            // Each x moves along the t of the same rest of its name.
            let moved: Vec<Vec<f64>> = (tape.inputs().iter().zip(&data))
                .map(|(input, x)| {
                    let along = input.name.replacen('x', "t", 1);
                    match tape.input(&along) {
                        Some(t) if input.name.starts_with('x') => {
                            x.iter().zip(&data[t]).map(|(x, t)| x + h * t).collect()
                        }
                        _ => x.clone(),
                    }
                })
                .collect();
            // What is stopped does not move.
            run.forward_frozen(&slices(&moved)).expect("it runs");
            (run.output(0).to_vec(), run.output(1).to_vec())
        };
        let tangent = at(0.0).1;
        let h = 1.0 / 16384.0;
        let (up, down, up2, down2) = (at(h).0, at(-h).0, at(2.0 * h).0, at(-2.0 * h).0);
        for (k, t) in tangent.iter().enumerate() {
            // As in `gradcheck`: truncation by two step widths; few roundings of values that are summed up to 36 times.
            let numeric = (up[k] - down[k]) / (2.0 * h);
            let truncation = (numeric - (up2[k] - down2[k]) / (4.0 * h)).abs();
            let size = up[k].abs().max(10.0);
            if truncation > 1e-4 * size {
                continue; // a kink
            }
            let tolerance = truncation + 36.0 * f64::EPSILON * size / h;
            prop_assert!((t - numeric).abs() <= tolerance, "{t} {numeric} {tape}");
        }
        passes(&tape, draw, &data)
    });
}
