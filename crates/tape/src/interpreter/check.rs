//! What a run is given, checked before anything is computed.

use super::Interpreter;
use super::program::{rows, ticks};
use crate::algebra::Value;
use crate::error::TapeError;
use crate::map::Map;
use crate::op::Op;
use crate::real::Real;
use crate::tape::{Role, Tape};
use crate::ty::{Domain, Shape, Type};

impl<T: Real> Interpreter<T> {
    pub(super) fn check(&self, t: usize, b: usize, inputs: &[&[T]]) -> Result<(), TapeError> {
        for (what, size) in [("step", t), ("example", b)] {
            if size == 0 {
                return Err(TapeError::NothingToRun { what });
            }
        }
        if inputs.len() != self.inputs.len() {
            return Err(TapeError::Count {
                what: "inputs",
                expected: self.inputs.len(),
                found: inputs.len(),
            });
        }
        for (input, given) in self.inputs.iter().zip(inputs) {
            if !(given.is_empty() && input.role == Role::Initial) {
                let expected = length(input.ty, t, b);
                if given.len() != expected {
                    return Err(self.wrong_length(
                        "input",
                        &input.name,
                        input.ty,
                        expected,
                        given.len(),
                    ));
                }
            }
        }
        for index in &self.indices {
            let Some(weights) = &index.weights else {
                continue;
            };
            let (i, rows) = (index.input, index.rows);
            let whole = |x: f64| x >= 0.0 && x < rows as f64 && x.fract() == 0.0;
            let covered = |at: usize| weights.iter().any(|&w| inputs[w][at].to_f64() == 0.0);
            let wrong = |(at, x): (usize, &T)| !whole(x.to_f64()) && !covered(at);
            if let Some(at) = inputs[i].iter().enumerate().position(wrong) {
                return Err(TapeError::Index {
                    input: self.inputs[i].name.to_string(),
                    at,
                    found: inputs[i][at].to_string(),
                    rows,
                });
            }
        }
        Ok(())
    }

    pub(super) fn check_length(
        &self,
        what: &'static str,
        name: &str,
        ty: Type,
        found: usize,
    ) -> Result<(), TapeError> {
        let expected = length(ty, self.memory.steps, self.memory.batch);
        if found == expected {
            return Ok(());
        }
        Err(self.wrong_length(what, name, ty, expected, found))
    }

    fn wrong_length(
        &self,
        what: &'static str,
        name: &str,
        ty: Type,
        expected: usize,
        found: usize,
    ) -> TapeError {
        let layout = match (ty.domain, ty.shape) {
            (Domain::Once, Shape::Scalar) => "one number".to_string(),
            (Domain::Once, shape) => shape.to_string(),
            (Domain::Row, shape) => format!("B × {shape}"),
            (Domain::Edge(k), shape) => format!("{k} × B × {shape}"),
            (Domain::Step, shape) => format!("T × B × {shape}"),
        };
        TapeError::Length {
            what,
            name: name.to_string(),
            layout,
            expected,
            found,
        }
    }
}

/// How many numbers a value of a type has at `t` steps and `b` examples.
pub(super) fn length(ty: Type, t: usize, b: usize) -> usize {
    ticks(ty.domain, t) * rows(ty.domain, b) * ty.shape.len()
}

/// An input that is used as an index of gather or scatter.
#[derive(Clone, Debug)]
pub(crate) struct IndexInput {
    /// The input.
    pub(crate) input: usize,
    /// How many rows there are.
    pub(crate) rows: usize,
    /// Inputs, one number a step, whose 0 covers it (see `record/covered.rs`). None if what covers it is computed in another way
    /// than by multiplying such inputs: then it is not known beforehand which are read.
    pub(crate) weights: Option<Vec<usize>>,
}

/// Inputs that are used as an index of gather or scatter.
pub(crate) fn index_inputs(tape: &Tape) -> Vec<IndexInput> {
    let mut found = Vec::new();
    for node in tape.nodes() {
        let (mut index, rows) = match node.op {
            Op::Gather => {
                let rows = tape.node(node.operands[0]).ty.shape.as_matrix().0;
                (node.operands[1], rows)
            }
            Op::Scatter { rows, .. } => (node.operands[0], rows),
            _ => continue,
        };
        let mut weights = Some(Vec::new());
        loop {
            let node = tape.node(index);
            match node.op {
                Op::Spread(_) | Op::Reshape(_) => index = node.operands[0],
                // What a weight of 0 covers is row 0.
                Op::Map(Map::Select) if is_zero(tape, node.operands[2]) => {
                    let more = factors(tape, node.operands[0]);
                    weights = weights.zip(more).map(|(a, b)| [a, b].concat());
                    index = node.operands[1];
                }
                _ => break,
            }
        }
        if let Op::Input { id, .. } = tape.node(index).op {
            found.push(IndexInput {
                input: id,
                rows,
                weights,
            });
        }
    }
    found
}

fn is_zero(tape: &Tape, v: Value) -> bool {
    matches!(tape.node(v).op, Op::Constant { value, .. } if value.0 == 0.0)
}

/// The inputs, one number a step, whose product a value is.
fn factors(tape: &Tape, v: Value) -> Option<Vec<usize>> {
    let node = tape.node(v);
    match node.op {
        Op::Input { id, ty } => (ty == Type::new(Shape::Scalar, Domain::Step)).then(|| vec![id]),
        Op::Map(Map::Mul) => {
            let parts = node.operands.iter().map(|&x| factors(tape, x));
            Some(parts.collect::<Option<Vec<_>>>()?.concat())
        }
        _ => None,
    }
}
