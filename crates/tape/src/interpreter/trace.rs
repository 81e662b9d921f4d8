//! Where a number that is not finite first appeared: [`Tape::first_non_finite`].
//!
//! Beside each number of a run that is not finite stands its *origin*: the place where the first of all such numbers that it
//! was computed from appeared. An instruction whose result is not finite although all that it read was is a new origin;
//! origins are numbered in the order of the run. Only what flows into a result counts: an infinite number that a selection
//! left out, or that an exponential made 0, is nobody's origin.
//!
//! The program runs twice. The first run finds the number of the origin, and the second, which is the same to the bit, its
//! operands: to keep those of every origin would take more memory than the run.

use std::fmt;
use std::panic::Location;

use super::Interpreter;
use super::origins::{Found, Origins};
use super::points::RunPoints;
use crate::algebra::Value;
use crate::error::TapeError;
use crate::lengths::Lengths;
use crate::op::Op;
use crate::real::Real;
use crate::tape::{Input, InputRole, Output, OutputRole, Place, Tape};
use crate::ty::{Domain, Shape};

/// What a value was computed from, at the place where it stopped being finite.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OperandRange {
    /// The operand's name, or its op and number.
    pub name: String,
    /// How many of its numbers were read.
    pub count: usize,
    /// The least of them.
    pub least: f64,
    /// The greatest of them.
    pub greatest: f64,
}

/// Where a number that is not finite first appeared; see [`Tape::first_non_finite`]. It displays as a sentence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NonFinite {
    /// The node: an op whose operands were all finite, or an input.
    pub node: Value,
    /// Its name, or its op and number.
    pub name: String,
    /// Its op.
    pub op: &'static str,
    /// For a gradient, the operand of the node that it was derived in.
    pub derived_in: Option<usize>,
    /// The step, counted from 0; none for what does not vary over steps, and for a sum over them.
    pub step: Option<usize>,
    /// The slot of an initial value, counted from 0.
    pub slot: Option<usize>,
    /// The row, counted from 0; none for what does not vary over rows, and for a sum over them.
    pub row: Option<usize>,
    /// The index in the value, row-major.
    pub element: usize,
    /// Its shape.
    pub shape: Shape,
    /// Infinite, or NaN.
    pub found: f64,
    /// What the node was computed from; empty for an input. For a gradient these are the operands of the node, and then its
    /// result.
    pub operands: Vec<OperandRange>,
    /// For a gradient, the gradient of the node's result.
    pub cotangent: Option<OperandRange>,
    /// What the input is for, if the node is one.
    pub role: Option<InputRole>,
    /// The user's line that recorded the node.
    pub line: Option<&'static Location<'static>>,
    /// The user's place in the text that the program was read from.
    pub place: Option<Place>,
    /// The first named value that was computed from the node, if the node has no name.
    pub toward: Option<String>,
}

impl Tape {
    /// Runs the tape and its gradient once more, and finds where the first number that is not finite appeared, of all those
    /// that a loss was computed from; if all losses are finite, of those that the gradients of the `wanted` inputs were
    /// computed from. `None` if both are finite. Inputs are those of [`Interpreter::forward_ragged`]; step and row are those of
    /// the run. If `bf16`, products round their operands: see [`Interpreter::of_bf16_products`].
    ///
    /// ```
    /// use retrograd_tape::{Lengths, InputRole, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// let w = r.param("w", Shape::Scalar);
    /// r.loss((w * x).ln());
    /// let tape = r.finish("logarithm")?;
    ///
    /// let rows = Lengths::new(vec![3, 1])?; // steps of row 0: 1, 2, -3; of row 1: 4
    /// let found = tape.first_non_finite::<f32>(&rows, &[&[1.0, 4.0, 2.0, -3.0], &[1.0]], false, |_| true)?;
    /// let found = found.expect("the logarithm of -3 is NaN");
    /// assert_eq!((found.op, found.step, found.row), ("ln", Some(2), Some(0)));
    /// assert_eq!(found.operands[0].least, -3.0);
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    ///
    /// # Errors
    /// Those of a run. An index that is not finite is no error here, but found.
    pub fn first_non_finite<T: Real>(
        &self,
        lengths: &Lengths,
        inputs: &[&[T]],
        bf16: bool,
        wanted: impl Fn(&Input) -> bool,
    ) -> Result<Option<NonFinite>, TapeError> {
        let loss = |o: &Output| o.role == OutputRole::Loss;
        self.origin(lengths, inputs, bf16, &loss, Some(&wanted))
    }

    /// As [`first_non_finite`](Tape::first_non_finite), of those that some outputs were computed from, such as final states.
    ///
    /// # Errors
    /// Those of a run.
    pub fn first_non_finite_of<T: Real>(
        &self,
        lengths: &Lengths,
        inputs: &[&[T]],
        bf16: bool,
        of: impl Fn(&Output) -> bool,
    ) -> Result<Option<NonFinite>, TapeError> {
        self.origin(lengths, inputs, bf16, &of, None)
    }

    fn origin<T: Real>(
        &self,
        lengths: &Lengths,
        inputs: &[&[T]],
        bf16: bool,
        of: &dyn Fn(&Output) -> bool,
        wanted: Option<&dyn Fn(&Input) -> bool>,
    ) -> Result<Option<NonFinite>, TapeError> {
        let gradient = |i: &Input| wanted.is_some_and(|wanted| wanted(i));
        let mut run = Interpreter::checked(self, &gradient, &[], bf16)?;
        let places = run.places.clone();
        let how = (of, wanted.is_some());
        let mut origins = Origins::new(self, &places, None);
        let Some(number) = run.origin(self, (lengths, inputs), how, &mut origins)? else {
            return Ok(None);
        };
        let mut origins = Origins::new(self, &places, Some(number));
        run.origin(self, (lengths, inputs), how, &mut origins)?;
        Ok(origins.found.map(|found| described(self, found)))
    }
}

impl<T: Real> Interpreter<T> {
    /// The number of the origin of the losses, or else of the gradients.
    fn origin(
        &mut self,
        tape: &Tape,
        (lengths, inputs): (&Lengths, &[&[T]]),
        (of, backward): (&dyn Fn(&Output) -> bool, bool),
        origins: &mut Origins<'_>,
    ) -> Result<Option<u32>, TapeError> {
        let points = RunPoints::of(lengths, &self.memory.points);
        match self.forward_at(points, inputs, origins) {
            Err(TapeError::Index { .. }) if origins.refused.is_some() => return Ok(origins.refused),
            ran => ran?,
        }
        let outputs = tape.outputs().iter().zip(&self.output_places);
        let outputs = outputs.filter(|(o, _)| of(o));
        let first = outputs.filter_map(|(_, place)| origins.first_in(place.buffer));
        if let Some(first) = first.min() {
            return Ok(Some(first));
        }
        if !backward {
            return Ok(None);
        }
        let one = [T::ONE];
        let cotangents = tape.outputs().iter();
        let cotangents: Vec<Option<&[T]>> = cotangents.map(|o| of(o).then_some(&one[..])).collect();
        self.backward_watched(&cotangents, origins)?;
        let gradients = tape.inputs().iter().zip(&self.backward.gradients);
        let places = gradients.filter_map(|(_, place)| place.as_ref());
        Ok(places.filter_map(|p| origins.first_in(p.buffer)).min())
    }
}

/// What is known of an origin.
fn described(tape: &Tape, found: Found) -> NonFinite {
    let node = tape.node(found.node);
    let named = |(v, numbers): (Value, Numbers)| operand(tape.describe(v), numbers);
    let (tick, row) = found.point.unzip();
    NonFinite {
        node: found.node,
        name: tape.describe(found.node),
        op: node.op.name(),
        derived_in: found.derived_in,
        step: tick.filter(|_| found.domain == Domain::Step),
        slot: tick.filter(|_| matches!(found.domain, Domain::BoundarySlots(_))),
        row: row.filter(|_| found.domain != Domain::Once),
        element: found.element,
        shape: found.shape,
        found: found.number,
        operands: found.operands.into_iter().map(named).collect(),
        cotangent: (found.cotangent).map(|c| operand("its gradient".into(), c)),
        role: match node.op {
            Op::Input { id, .. } => tape.inputs().get(id).map(|i| i.role),
            _ => None,
        },
        line: node.at,
        place: node.place,
        toward: match node.name {
            Some(_) => None,
            None => toward(tape, found.node),
        },
    }
}

fn operand(name: String, numbers: Numbers) -> OperandRange {
    OperandRange {
        name,
        count: numbers.count,
        least: numbers.least,
        greatest: numbers.greatest,
    }
}

/// The first named value that is computed from a node, at the same step.
fn toward(tape: &Tape, of: Value) -> Option<String> {
    let nodes = tape.nodes();
    let mut depends = vec![false; nodes.len()];
    depends[of.index()] = true;
    for (i, node) in nodes.iter().enumerate().skip(of.index() + 1) {
        if node.operands.iter().any(|x| depends[x.index()]) {
            depends[i] = true;
            if let Some(name) = &node.name {
                return Some(name.to_string());
            }
        }
    }
    let outputs = tape.outputs().iter();
    let mut reached = outputs.filter(|o| depends[o.value.index()]);
    reached.next().map(|o| o.name.to_string())
}

/// The extremes of some numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) count: usize,
    pub(super) least: f64,
    pub(super) greatest: f64,
}

impl Numbers {
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Numbers {
        let none = Numbers {
            count: 0,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
        };
        // NaN stays.
        let further = |now: f64, x: f64, less: bool| match now.is_nan() || x.is_nan() {
            true => f64::NAN,
            false if less => now.min(x),
            false => now.max(x),
        };
        numbers.fold(none, |n, x| Numbers {
            count: n.count + 1,
            least: further(n.least, x, true),
            greatest: further(n.greatest, x, false),
        })
    }
}

impl fmt::Display for OperandRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OperandRange {
            name,
            count,
            least,
            greatest,
        } = self;
        match count {
            1 => write!(f, "{name} = {}", short(*least)),
            _ => write!(
                f,
                "{count} numbers of {name} from {} to {}",
                short(*least),
                short(*greatest)
            ),
        }
    }
}

/// What an input is called.
fn called(role: InputRole) -> &'static str {
    match role {
        InputRole::Sequence => "input",
        InputRole::Static => "static input",
        InputRole::Target => "target",
        InputRole::Weight => "weight",
        InputRole::Mask => "mask",
        InputRole::Initial => "initial state",
        InputRole::Cotangent => "cotangent",
        InputRole::Tangent => "tangent",
        InputRole::Param => "parameter",
    }
}

/// A number in a sentence, to seven digits, which tell all numbers of single precision but neighbours apart.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 | 1e-4..1e7 => format!("{}", (x * 1e7).round_ties_even() / 1e7),
        _ if x.is_finite() => format!("{x:.6e}"),
        _ => format!("{x}"),
    }
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = short(self.found);
        match (self.role, self.derived_in) {
            (Some(role), _) => write!(f, "the {} {} is {found}", called(role), self.name)?,
            (_, None) => write!(f, "{} becomes {found}", self.name)?,
            (_, Some(_)) => write!(f, "the gradient through {} becomes {found}", self.name)?,
        }
        let places = [("step", self.step), ("slot", self.slot), ("row", self.row)];
        let mut places: Vec<String> = places
            .iter()
            .filter_map(|(what, n)| Some(format!("{what} {}", (*n)?)))
            .collect();
        if self.shape != Shape::Scalar {
            places.push(format!("element {} of {}", self.element, self.shape));
        }
        if !places.is_empty() {
            write!(f, " at {}", places.join(", "))?;
        }
        if !self.operands.is_empty() {
            let operands = self.operands.iter().chain(&self.cotangent);
            let operands: Vec<String> = operands.map(ToString::to_string).collect();
            write!(f, ": {} of {}", self.op, operands.join(", "))?;
        }
        if let Some(toward) = &self.toward {
            write!(f, "; it is a part of `{toward}`")?;
        }
        Ok(())
    }
}
