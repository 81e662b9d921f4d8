//! What a run is given, checked before anything is computed.

use super::Interpreter;
use super::program::{rows, ticks};
use crate::error::TapeError;
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
        for &(i, rows) in &self.indices {
            let whole = |x: f64| x >= 0.0 && x < rows as f64 && x.fract() == 0.0;
            if let Some(at) = inputs[i].iter().position(|x| !whole(x.to_f64())) {
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

/// Inputs that are used as an index of gather or scatter, with the rows they index.
pub(crate) fn index_inputs(tape: &Tape) -> Vec<(usize, usize)> {
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
        while let Op::Spread(_) | Op::Reshape(_) = tape.node(index).op {
            index = tape.node(index).operands[0];
        }
        if let Op::Input { id, .. } = tape.node(index).op {
            found.push((id, rows));
        }
    }
    found
}
