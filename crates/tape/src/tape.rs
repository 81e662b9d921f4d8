//! The finished tape: a straight list of ops, each after its operands, except for the next values of states.

use std::fmt;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::algebra::Value;
use crate::map::Map;
use crate::op::Op;
use crate::ty::Type;

/// Operand handles of a node; most ops have at most three.
pub type Operands = SmallVec<[Value; 3]>;

/// One recorded op.
#[derive(Clone, Debug)]
pub struct Node {
    /// The op.
    pub op: Op,
    /// Its operands. All are earlier nodes, except the first operand of a `delay`.
    pub operands: Operands,
    /// Shape and domain of the result.
    pub ty: Type,
    /// The user's name for it.
    pub name: Option<Arc<str>>,
    /// The user's line.
    pub at: Option<&'static Location<'static>>,
    /// The user's place in a text, if the program was read from one.
    pub place: Option<Place>,
}

/// A place in a text that a program was read from, in bytes; which text it is, the reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The number of the text.
    pub file: u32,
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// The role of an input. It determines the input's domain and how a trainer treats it.
///
/// ```
/// use retrograd_tape::{Domain, Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
/// let w = r.param("w", Shape::Vector(3));
/// r.output("y", w.dot(x));
/// let tape = r.finish("linear")?;
/// let inputs: Vec<_> = tape.inputs().iter().map(|i| (i.role, i.ty.domain)).collect();
/// assert_eq!(inputs, [(InputRole::Sequence, Domain::Step), (InputRole::Param, Domain::Once)]);
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputRole {
    /// A learned parameter, domain `once`.
    Param,
    /// A value per example, domain `row`.
    Static,
    /// An observation per example and step.
    Sequence,
    /// The reference for the outputs, per example and step.
    Target,
    /// The weight of the loss, per example and step.
    Weight,
    /// Random numbers that a trainer redraws for each batch (dropout), per example and step.
    Mask,
    /// The initial slots of a state, domain `edge`; zeros unless given.
    Initial,
    /// The cotangent of an output, in a differentiated program.
    Cotangent,
    /// The direction that an input moves in, in a differentiated program.
    Tangent,
}

/// One input of a program.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name, unique among the inputs.
    pub name: Arc<str>,
    /// Its role.
    pub role: InputRole,
    /// Shape and domain.
    pub ty: Type,
    /// The node that reads it.
    pub value: Value,
    /// The interval, without its end, from which tests draw its numbers; see [`Var::bounded`](crate::Var::bounded). A
    /// compiled program has none.
    pub range: Option<Range<f64>>,
}

/// The role of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputRole {
    /// A value per step that the user requested.
    Output,
    /// The loss of the whole batch of sequences, a scalar.
    Loss,
    /// The last slots of a state, to continue from.
    Final,
    /// The gradient of an input, or the adjoint of an observed value, in a differentiated program.
    Gradient,
    /// The change of an output along the inputs' directions, in a differentiated program.
    Tangent,
    /// A value whose adjoint is requested; differentiation turns it into a `Gradient`.
    Observed,
}

/// One output of a program.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name, unique among the outputs.
    pub name: Arc<str>,
    /// Its role.
    pub role: OutputRole,
    /// The node that computes it.
    pub value: Value,
}

/// A recorded program: one time step of one example, with batch and time implicit, and its loss over all of them.
///
/// ```
/// use retrograd_tape::{Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
/// let h = r.state("h", Shape::Scalar, 1, None);
/// let h = r.next(h, 0.5 * h + x);
/// r.output("y", h);
/// let tape = r.finish("leaky")?;
/// assert_eq!((tape.input("x"), tape.input("h")), (Some(0), Some(1)));
/// assert_eq!((tape.output("y"), tape.output("h")), (Some(0), Some(1)), "the final state follows");
/// assert!(tape.to_string().starts_with("tape leaky\n  %0: step [] = input 0  # x\n"));
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tape {
    pub(crate) name: Arc<str>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
}

impl Tape {
    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// All ops in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
    /// The values of all ops, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> + use<> {
        (0..self.nodes.len() as u32).map(Value)
    }
    /// One op.
    pub fn node(&self, v: Value) -> &Node {
        &self.nodes[v.index()]
    }
    /// The inputs, in the order they were declared.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }
    /// The outputs, in the order they were declared; the loss and the final states follow the user's.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    /// Position of the input called `name`.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|i| &*i.name == name)
    }
    /// Position of the output called `name`.
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|o| &*o.name == name)
    }
    /// The sum of all weights, by which the loss is divided; none if there is no loss, or if it is a sum.
    pub fn loss_weight(&self) -> Option<Value> {
        let loss = self.outputs.iter().find(|o| o.role == OutputRole::Loss)?;
        let node = self.node(loss.value);
        (node.op == Op::Map(Map::Div)).then(|| node.operands[1])
    }
    /// The name of a value in error messages: its own, or its op and number.
    pub fn describe(&self, v: Value) -> String {
        describe(&self.nodes, v)
    }
}

pub(crate) fn describe(nodes: &[Node], v: Value) -> String {
    let node = &nodes[v.index()];
    match &node.name {
        Some(name) => format!("`{name}`"),
        None => format!("%{} ({})", v.0, node.op.name()),
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tape {}", self.name)?;
        for (i, n) in self.nodes.iter().enumerate() {
            write!(f, "  %{i}: {} = {}", n.ty, n.op)?;
            for (k, v) in n.operands.iter().enumerate() {
                write!(f, "{}%{}", if k == 0 { " " } else { ", " }, v.0)?;
            }
            if let Op::Input { id, .. } = n.op
                && let Some(range) = self.inputs.get(id).and_then(|i| i.range.as_ref())
            {
                write!(f, " in {}..{}", range.start, range.end)?;
            }
            if let Some(name) = &n.name {
                write!(f, "  # {name}")?;
            }
            writeln!(f)?;
        }
        for o in &self.outputs {
            writeln!(f, "  output {} = %{}", o.name, o.value.0)?;
        }
        Ok(())
    }
}
