//! [`Observe`]: a value of the step, or its adjoint, that a run outputs in addition to the program's outputs.

use std::fmt;

use crate::algebra::Value;
use crate::tape::Tape;

/// A named value of the step (a gate, a state), or its adjoint, to be returned as an array in the layout of the value's
/// domain: `[T, B, shape]` for a value that varies over the steps.
///
/// The name is the one in the cell; if several values share it, the last one counts, as in a program that reuses a
/// name. A layer's sum has the layer's name, unless a value computed from it was given that name. A state's own name is
/// the value that a step reads (`c`), with a prime the value that it computes (`c'`).
///
/// ```
/// use retrograd_tape::{Extent, Interpreter, Observe, Recorder, Shape};
///
/// let r = Recorder::new();
/// let x = r.param("x", Shape::Scalar);
/// r.output("y", 3.0 * x.square().named("square"));
/// let tape = r.finish("observed")?;
///
/// let adjoint = Observe::adjoint("square");
/// assert_eq!(adjoint.to_string(), "adjoint(square)");
/// let square = tape.find(adjoint.name()).expect("it is on the tape");
/// let mut run = Interpreter::observing(&tape, |_| false, &[square])?;
/// run.forward(Extent::steps(1), &[&[5.0]])?;
/// run.backward(&[Some(&[1.0])])?;
/// assert_eq!(run.value(square)?, [25.0]);
/// assert_eq!(run.adjoint(square)?, Some(&[3.0][..]));
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Observe {
    /// The value.
    Value(String),
    /// The derivative of the differentiated quantity (the loss) in this value: its change, per unit, if the value were
    /// moved at one step, example and element, along with everything computed from it.
    Adjoint(String),
}

impl Observe {
    /// The value `name`.
    pub fn value(name: &str) -> Observe {
        Observe::Value(name.to_owned())
    }

    /// The adjoint of the value `name`.
    pub fn adjoint(name: &str) -> Observe {
        Observe::Adjoint(name.to_owned())
    }

    /// The name of the value.
    pub fn name(&self) -> &str {
        match self {
            Observe::Value(name) | Observe::Adjoint(name) => name,
        }
    }
}

/// The output's name: `value(keep)`, `adjoint(c)`.
impl fmt::Display for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observe::Value(name) => write!(f, "value({name})"),
            Observe::Adjoint(name) => write!(f, "adjoint({name})"),
        }
    }
}

impl Tape {
    /// The value called `name`, the last one if there are several.
    pub fn find(&self, name: &str) -> Option<Value> {
        let named = |n: &crate::tape::Node| n.name.as_deref() == Some(name);
        let at = self.nodes().iter().rposition(named)?;
        Some(Value(at as u32))
    }

    /// The names of all named values, each once, in the tape's order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.nodes().iter().filter_map(|n| n.name.as_deref()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
