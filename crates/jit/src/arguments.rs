//! Requirements on a caller's arrays: their lengths, and which of their numbers must be rows of a table.

use retrograd_graph::Graph;
use retrograd_tape::{Domain, Map, Op, Shape, Type, Value};
use rustc_hash::FxHashSet as HashSet;

use crate::element::Element;
use crate::error::RunError;
use crate::exec::points::Points;

/// An input whose numbers are rows of a table.
#[derive(Clone, Debug)]
pub(crate) struct IndexInput {
    /// The input.
    pub(crate) input: usize,
    /// Number of rows of the table.
    pub(crate) rows: usize,
    /// Inputs, one number per step, that mask the index: where one is 0, the index is not read. None if the mask is
    /// computed other than by multiplying such inputs, so that it is not known beforehand which are read.
    pub(crate) weights: Option<Vec<usize>>,
}

/// Checks that an array has the length that its type requires.
pub(crate) fn fits(
    what: &'static str,
    name: &str,
    ty: Type,
    found: usize,
    points: Points<'_>,
) -> Result<(), RunError> {
    let expected = points.numbers(ty);
    if expected == found {
        return Ok(());
    }
    Err(mismatch(what, name, ty, expected, found, points))
}

/// The error of an array whose length is not the one expected.
#[cold]
pub(crate) fn mismatch(
    what: &'static str,
    name: &str,
    ty: Type,
    expected: usize,
    found: usize,
    points: Points<'_>,
) -> RunError {
    RunError::Length {
        what,
        name: name.into(),
        layout: layout(ty.domain, ty.shape, points.ragged()),
        expected,
        found,
        t: points.steps,
        b: points.rows,
    }
}

/// Checks that numbers are rows of a table, except where one of the weights is 0, which masks them.
pub(crate) fn are_rows<T: Element>(
    name: &str,
    given: &[T],
    rows: usize,
    weights: &[&[T]],
) -> Result<(), RunError> {
    let bad = |(at, x): (usize, &T)| {
        let x = x.to_f64();
        let none = x.fract() != 0.0 || !(0.0..rows as f64).contains(&x);
        none && weights.iter().all(|w| w[at].to_f64() != 0.0)
    };
    match given.iter().enumerate().position(bad) {
        None => Ok(()),
        Some(at) => Err(RunError::Index {
            name: name.into(),
            rows,
            at,
            found: format!("{:?}", given[at]),
        }),
    }
}

fn layout(domain: Domain, shape: Shape, ragged: bool) -> String {
    let points = match domain {
        Domain::Once => return shape.to_string(),
        Domain::Row => "B".to_string(),
        Domain::BoundarySlots(k) => format!("{k},B"),
        Domain::Step if ragged => "points".to_string(),
        Domain::Step => "T,B".to_string(),
    };
    match shape {
        Shape::Scalar => format!("[{points}]"),
        Shape::Vector(n) => format!("[{points},{n}]"),
        Shape::Matrix(m, n) => format!("[{points},{m},{n}]"),
        Shape::Tensor(h, m, n) => format!("[{points},{h},{m},{n}]"),
    }
}

/// Inputs that are row numbers of a table, directly or reshaped: they are checked before a run.
pub(crate) fn index_inputs(g: &Graph) -> Vec<IndexInput> {
    let mut found = Vec::new();
    for v in g.order() {
        let xs = g.operands(v);
        let (mut index, rows) = match *g.op_of(v) {
            Op::Gather => (xs[1], g.node(xs[0]).ty.shape.as_matrix().0),
            Op::Scatter { rows, .. } => (xs[0], rows),
            _ => continue,
        };
        let mut weights = Some(Vec::new());
        loop {
            match (g.op_of(index), &*g.operands(index)) {
                (Op::Reshape(_), &[x]) => index = x,
                // Where the weight is 0, the index is row 0.
                (Op::Map(Map::Select), &[weight, x, zero]) if matches!(g.op_of(zero), Op::Constant { value, .. } if value.0 == 0.0) =>
                {
                    let more = factors(g, weight);
                    weights = weights.zip(more).map(|(a, b)| [a, b].concat());
                    index = x;
                }
                _ => break,
            }
        }
        if let Op::Input { id, .. } = *g.op_of(index) {
            found.push(IndexInput {
                input: id,
                rows,
                weights,
            });
        }
    }
    found
}

/// The inputs, one number per step, whose product the value is, without duplicates.
fn factors(g: &Graph, v: Value) -> Option<Vec<usize>> {
    let mut inputs = Vec::new();
    let (mut seen, mut work) = (HashSet::from_iter([v]), vec![v]);
    while let Some(v) = work.pop() {
        match *g.op_of(v) {
            Op::Input { id, ty } if ty == Type::new(Shape::Scalar, Domain::Step) => inputs.push(id),
            Op::Map(Map::Mul) => {
                let operands = g.operands(v).into_iter();
                work.extend(operands.filter(|&x| seen.insert(x)));
            }
            _ => return None,
        }
    }
    Some(inputs)
}
