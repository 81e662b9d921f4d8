//! Checks of a run's arguments before anything is computed.

use super::Interpreter;
use super::points::RunPoints;
use crate::Extent;
use crate::algebra::Value;
use crate::error::TapeError;
use crate::lengths::Lengths;
use crate::limits::MAX_POINTS;
use crate::map::Map;
use crate::op::Op;
use crate::real::Real;
use crate::tape::{InputRole, Tape};
use crate::ty::{Domain, Shape, Type};
use rustc_hash::FxHashSet as HashSet;

/// An index out of its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BadIndex<T> {
    /// Which of the interpreter's indices.
    pub(crate) index: usize,
    pub(crate) tick: usize,
    pub(crate) row: usize,
    pub(crate) found: T,
}

impl<T: Real> Interpreter<T> {
    pub(super) fn check(&self, points: &RunPoints, inputs: &[&[T]]) -> Result<(), TapeError> {
        let (t, b) = (points.steps(), points.rows());
        for (what, size) in [("step", t), ("example", b)] {
            if size == 0 {
                return Err(TapeError::NothingToRun { what });
            }
        }
        let full = matches!(points, RunPoints::Full(_));
        if full && t.checked_mul(b).is_none_or(|points| points > MAX_POINTS) {
            return Err(TapeError::TooManyPoints {
                steps: t,
                examples: b,
                limit: MAX_POINTS,
            });
        }
        if inputs.len() != self.inputs.len() {
            return Err(TapeError::Count {
                what: "inputs",
                expected: self.inputs.len(),
                found: inputs.len(),
            });
        }
        for (input, given) in self.inputs.iter().zip(inputs) {
            if !(given.is_empty() && input.role == InputRole::Initial) {
                let name = &input.name;
                self.check_length(points, ("input", name), input.ty, given.len())?;
            }
        }
        for (k, index) in self.indices.iter().enumerate() {
            let Some(i) = index.input else { continue };
            let whole = |x: f64| x >= 0.0 && x < index.rows as f64 && x.fract() == 0.0;
            let covered = |at: usize| index.weights.iter().any(|&w| inputs[w][at].to_f64() == 0.0);
            let wrong = |(at, x): (usize, &T)| !whole(x.to_f64()) && !covered(at);
            if let Some(at) = inputs[i].iter().enumerate().position(wrong) {
                let (tick, row) = points.at(self.inputs[i].ty.domain, at);
                return Err(self.outside(BadIndex {
                    index: k,
                    tick,
                    row,
                    found: inputs[i][at],
                }));
            }
        }
        Ok(())
    }

    /// Reports where an index is out of its table.
    pub(super) fn outside(&self, at: BadIndex<T>) -> TapeError {
        let index = &self.indices[at.index];
        // A value of a lower domain is the same at all points of the domain that uses it.
        let domain = self.places[index.value.index()].domain;
        TapeError::Index {
            index: index.name.clone(),
            row: (domain != Domain::Once).then_some(at.row),
            step: (domain == Domain::Step).then_some(at.tick),
            found: at.found.to_string(),
            rows: index.rows,
            table: index.table.clone(),
        }
    }

    /// Checks the length of an array that a run at these points is given: `what` it is, and its name.
    pub(super) fn check_length(
        &self,
        points: &RunPoints,
        (what, name): (&'static str, &str),
        ty: Type,
        found: usize,
    ) -> Result<(), TapeError> {
        let expected = points.numbers(ty);
        if found == expected {
            return Ok(());
        }
        let layout = match (ty.domain, ty.shape, points) {
            (Domain::Once, Shape::Scalar, _) => "one number".to_string(),
            (Domain::Once, shape, _) => shape.to_string(),
            (Domain::Row, shape, _) => format!("B × {shape}"),
            (Domain::BoundarySlots(k), shape, _) => format!("{k} × B × {shape}"),
            (Domain::Step, shape, RunPoints::Full(_)) => format!("T × B × {shape}"),
            (Domain::Step, shape, RunPoints::Ragged(_)) => format!("steps of all rows × {shape}"),
        };
        Err(TapeError::Length {
            what,
            name: name.to_string(),
            layout,
            expected,
            found,
        })
    }
}

/// An index of a table, by `gather` or `scatter`.
#[derive(Clone, Debug)]
pub(crate) struct IndexUse {
    /// The node that uses it.
    pub(crate) user: Value,
    /// The index.
    pub(crate) value: Value,
    /// The input that the index is, unless it is computed.
    pub(crate) input: Option<usize>,
    /// Inputs, one number per step, whose 0 covers that input (see `record/covered.rs`): covered numbers are not read.
    weights: Vec<usize>,
    /// The index's name.
    name: String,
    /// The table's name.
    table: String,
    /// Rows of the table.
    pub(crate) rows: usize,
}

/// Every use of an index, in the tape's order.
pub(crate) fn indices(tape: &Tape) -> Vec<IndexUse> {
    let mut found = Vec::new();
    for (i, node) in tape.nodes().iter().enumerate() {
        let (value, rows, table) = match node.op {
            Op::Gather => {
                let table = node.operands[0];
                let rows = tape.node(table).ty.shape.as_matrix().0;
                (node.operands[1], rows, tape.describe(table))
            }
            Op::Scatter { rows, .. } => {
                let this = tape.describe(Value(i as u32));
                (node.operands[0], rows, this)
            }
            _ => continue,
        };
        // The same numbers under another name.
        let mut source = value;
        while let (Op::Spread(_) | Op::Reshape(_), None) =
            (tape.node(source).op, &tape.node(source).name)
        {
            source = tape.node(source).operands[0];
        }
        let name = tape.describe(source);
        // None if the cover is computed otherwise than as a product of inputs: then it is unknown beforehand which
        // numbers are read.
        let mut weights = Some(Vec::new());
        loop {
            let node = tape.node(source);
            match node.op {
                Op::Spread(_) | Op::Reshape(_) => source = node.operands[0],
                // An index under a weight of 0 is row 0.
                Op::Map(Map::Select) if is_zero(tape, node.operands[2]) => {
                    let more = factors(tape, node.operands[0]);
                    weights = weights.zip(more).map(|(a, b)| [a, b].concat());
                    source = node.operands[1];
                }
                _ => break,
            }
        }
        let name = match tape.node(source).op {
            Op::Input { .. } => tape.describe(source),
            _ => name,
        };
        found.push(IndexUse {
            user: Value(i as u32),
            value,
            input: match tape.node(source).op {
                Op::Input { id, .. } if weights.is_some() => Some(id),
                _ => None,
            },
            weights: weights.unwrap_or_default(),
            name,
            table,
            rows,
        });
    }
    found
}

fn is_zero(tape: &Tape, v: Value) -> bool {
    matches!(tape.node(v).op, Op::Constant { value, .. } if value.0 == 0.0)
}

/// The inputs, one number per step, whose product a value is, each once.
fn factors(tape: &Tape, v: Value) -> Option<Vec<usize>> {
    let mut inputs = Vec::new();
    let (mut seen, mut work) = (HashSet::from_iter([v]), vec![v]);
    while let Some(v) = work.pop() {
        let node = tape.node(v);
        match node.op {
            Op::Input { id, ty } if ty == Type::new(Shape::Scalar, Domain::Step) => inputs.push(id),
            Op::Map(Map::Mul) => {
                let operands = node.operands.iter().copied();
                work.extend(operands.filter(|&x| seen.insert(x)));
            }
            _ => return None,
        }
    }
    Some(inputs)
}

/// The values that are an index of gather or scatter, with the number of rows that they index.
#[cfg(feature = "generate")]
pub(crate) fn index_operands(tape: &Tape) -> Vec<(Value, usize)> {
    let indices = indices(tape).into_iter();
    indices.map(|i| (i.value, i.rows)).collect()
}

impl Tape {
    /// The inputs that are row numbers of a table, by position, and the rows of the table; an input as often as it is used.
    pub fn index_inputs(&self) -> Vec<(usize, usize)> {
        let all = indices(self).into_iter();
        all.filter_map(|i| Some((i.input?, i.rows))).collect()
    }

    /// Looks for an index out of its table: runs only the nodes that indices depend on, for an extent of these `inputs`
    /// (as [`Interpreter::forward`] takes them). Compiled code only detects that such an index exists; this function
    /// finds which it is and where. A computed index that rounds to different rows in the two engines may be found by
    /// only one of them.
    ///
    /// # Errors
    /// [`TapeError::Index`] for the first such index; those of a run.
    pub fn check_indices<T: Real>(&self, extent: Extent, inputs: &[&[T]]) -> Result<(), TapeError> {
        self.of_indices().forward(extent, inputs)
    }

    /// As [`check_indices`](Tape::check_indices), for rows of these lengths and inputs as
    /// [`Interpreter::forward_ragged`] takes them.
    ///
    /// # Errors
    /// Those of `check_indices`.
    pub fn check_indices_ragged<T: Real>(
        &self,
        lengths: &Lengths,
        inputs: &[&[T]],
    ) -> Result<(), TapeError> {
        self.of_indices().forward_ragged(lengths, inputs)
    }

    /// What computes and checks the indices of the tape, and nothing else.
    fn of_indices<T: Real>(&self) -> Interpreter<T> {
        let mut kept = vec![false; self.nodes().len()];
        let mut todo: Vec<Value> = indices(self).iter().map(|i| i.value).collect();
        while let Some(v) = todo.pop() {
            if !std::mem::replace(&mut kept[v.index()], true) {
                todo.extend(&self.node(v).operands);
            }
        }
        Interpreter::build(self, &|_| false, &[], (true, false), &|v| kept[v.index()])
    }
}
