//! Recording: [`Recorder`] owns the growing tape, [`Var`] is a copyable handle with operators.
//!
//! A mistake poisons the values that follow from it; [`Recorder::finish`] returns the first one, with the user's line.
//! Nothing panics.

mod covered;
mod state;

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

use smallvec::smallvec;

use crate::algebra::{Algebra, Value};
use crate::error::TapeError;
use crate::op::{Misfit, Op};
use crate::tape::{Input, Node, Operands, Output, Role, Tape, Yield, describe, no_order, schedule};
use crate::ty::{Domain, Shape, Type};
use state::State;

/// How the losses of all examples and steps become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossReduction {
    /// Σ weight·loss ÷ Σ weight; NaN if all weights are 0.
    #[default]
    Mean,
    /// Σ weight·loss.
    Sum,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Node>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    states: Vec<State>,
    loss: Option<Value>,
    weight: Option<Value>,
    reduction: LossReduction,
    error: Option<TapeError>,
}

/// Records a program. Share it by reference; [`Var`]s borrow it.
#[derive(Default)]
pub struct Recorder {
    inner: RefCell<Inner>,
}

/// A handle of a recorded value; operators on it record more.
#[derive(Clone, Copy)]
pub struct Var<'t> {
    tape: &'t Recorder,
    /// `None` is poison: an error has been recorded.
    value: Option<Value>,
}

impl std::fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value {
            Some(v) => write!(
                f,
                "{}: {}",
                describe(&self.tape.inner.borrow().nodes, v),
                self.tape.ty(v)
            ),
            None => write!(f, "poison"),
        }
    }
}

impl Inner {
    fn fail(&mut self, e: TapeError) {
        self.error.get_or_insert(e);
    }

    fn push(
        &mut self,
        op: Op,
        operands: Operands,
        ty: Type,
        name: Option<Arc<str>>,
        at: &'static Location<'static>,
    ) -> Value {
        self.nodes.push(Node {
            op,
            operands,
            ty,
            name,
            at: Some(at),
        });
        Value(self.nodes.len() as u32 - 1)
    }

    fn apply(&mut self, op: Op, xs: &[Value], at: &'static Location<'static>) -> Option<Value> {
        let types: Vec<Type> = xs.iter().map(|v| self.nodes[v.index()].ty).collect();
        match op.infer(&types) {
            Ok(ty) => Some(self.push(op, xs.iter().copied().collect(), ty, None, at)),
            Err(misfit) => {
                let which = |i: usize| {
                    xs.get(i)
                        .map_or_else(|| format!("operand {i}"), |&v| describe(&self.nodes, v))
                };
                let expected = match misfit {
                    Misfit::Arity { expected } => format!("it takes {expected} operands"),
                    Misfit::Shape { operand, expected } => {
                        format!("{} should be {expected}", which(operand))
                    }
                    Misfit::Domain { operand, expected } => {
                        format!("{} should be {expected}", which(operand))
                    }
                };
                let operands: Vec<String> = xs
                    .iter()
                    .zip(&types)
                    .map(|(&v, ty)| {
                        format!("{} is {} {}", describe(&self.nodes, v), ty.shape, ty.domain)
                    })
                    .collect();
                self.fail(TapeError::Misfit {
                    op: op.name().into(),
                    operands: operands.join(", "),
                    expected,
                    at: *at,
                });
                None
            }
        }
    }
}

/// Lets rules and composite functions record on the tape; the recorder is borrowed for as long as they run.
struct Appender<'a> {
    inner: &'a mut Inner,
    at: &'static Location<'static>,
}

impl Algebra for Appender<'_> {
    fn op(&mut self, op: Op, xs: &[Value]) -> Value {
        self.inner
            .apply(op, xs, self.at)
            .expect("composite functions apply ops to operands that fit")
    }
    fn ty(&self, v: Value) -> Type {
        self.inner.nodes[v.index()].ty
    }
}

impl Recorder {
    /// An empty tape.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    fn ty(&self, v: Value) -> Type {
        self.inner.borrow().nodes[v.index()].ty
    }

    pub(crate) fn domain(&self, v: Value) -> Domain {
        self.ty(v).domain
    }

    fn var(&self, value: Option<Value>) -> Var<'_> {
        Var { tape: self, value }
    }

    /// Declares an input. Its domain follows from its role; `Initial` and `Cotangent` inputs are declared by states and
    /// by differentiation.
    #[track_caller]
    pub fn input(&self, name: &str, role: Role, shape: Shape) -> Var<'_> {
        let domain = match role {
            Role::Param => Domain::Once,
            Role::Static => Domain::Row,
            _ => Domain::Step,
        };
        self.declare(name, role, Type::new(shape, domain), Location::caller())
    }

    fn declare(&self, name: &str, role: Role, ty: Type, at: &'static Location<'static>) -> Var<'_> {
        let mut inner = self.inner.borrow_mut();
        if inner.inputs.iter().any(|i| &*i.name == name) {
            inner.fail(TapeError::NameTaken {
                kind: "an input",
                name: name.into(),
                at: *at,
            });
            return self.var(None);
        }
        if ty.shape.is_empty() {
            inner.fail(TapeError::Empty {
                name: name.into(),
                needs: "at least one element",
                at: *at,
            });
            return self.var(None);
        }
        let name: Arc<str> = name.into();
        let id = inner.inputs.len();
        let value = inner.push(
            Op::Input { id, ty },
            smallvec![],
            ty,
            Some(name.clone()),
            at,
        );
        inner.inputs.push(Input {
            name,
            role,
            ty,
            value,
        });
        drop(inner);
        self.var(Some(value))
    }

    /// A learned parameter.
    #[track_caller]
    pub fn param(&self, name: &str, shape: Shape) -> Var<'_> {
        self.input(name, Role::Param, shape)
    }

    /// A number that never changes.
    #[track_caller]
    pub fn constant(&self, value: f64, shape: Shape) -> Var<'_> {
        self.apply_at(Op::constant(value, shape), &[], Location::caller())
    }

    /// Applies any op of the table.
    #[track_caller]
    pub fn apply<'t>(&'t self, op: Op, xs: &[Var<'t>]) -> Var<'t> {
        self.apply_at(op, xs, Location::caller())
    }

    fn apply_at<'t>(&'t self, op: Op, xs: &[Var<'t>], at: &'static Location<'static>) -> Var<'t> {
        let mut operands = Vec::with_capacity(xs.len());
        for x in xs {
            if !std::ptr::eq(x.tape, self) {
                self.inner.borrow_mut().fail(TapeError::TwoTapes {
                    op: op.name().into(),
                    at: *at,
                });
                return self.var(None);
            }
            match x.value {
                Some(v) => operands.push(v),
                None => return self.var(None),
            }
        }
        let value = self.inner.borrow_mut().apply(op, &operands, at);
        self.var(value)
    }

    /// Hands a value out, per example and step.
    #[track_caller]
    pub fn output(&self, name: &str, v: Var<'_>) {
        let at = Location::caller();
        let Some(v) = v.value else { return };
        let mut inner = self.inner.borrow_mut();
        if inner.outputs.iter().any(|o| &*o.name == name) {
            inner.fail(TapeError::NameTaken {
                kind: "an output",
                name: name.into(),
                at: *at,
            });
            return;
        }
        inner.outputs.push(Output {
            name: name.into(),
            role: Yield::Output,
            value: v,
        });
    }

    /// Adds a loss: a scalar per example and step. Several losses are added up.
    #[track_caller]
    pub fn loss(&self, v: Var<'_>) {
        let at = Location::caller();
        if let Some(v) = self.per_step_scalar("loss", v, at) {
            let mut inner = self.inner.borrow_mut();
            inner.loss = match inner.loss {
                None => Some(v),
                Some(before) => inner.apply(Op::Map(crate::Map::Add), &[before, v], at),
            };
        }
    }

    /// Weighs the loss of each example and step; a mask is a weight of 0. What a weight of 0 covers is not read: targets there
    /// may be NaN, infinite, or no row of a table, and move nothing. If all weights of a run are 0, their mean is 0 ÷ 0, NaN.
    #[track_caller]
    pub fn weight(&self, v: Var<'_>) {
        let at = Location::caller();
        if let Some(v) = self.per_step_scalar("weight", v, at) {
            let mut inner = self.inner.borrow_mut();
            inner.weight = match inner.weight {
                None => Some(v),
                Some(before) => inner.apply(Op::Map(crate::Map::Mul), &[before, v], at),
            };
        }
    }

    fn per_step_scalar(
        &self,
        which: &'static str,
        v: Var<'_>,
        at: &'static Location<'static>,
    ) -> Option<Value> {
        let v = v.value?;
        let mut inner = self.inner.borrow_mut();
        let ty = inner.nodes[v.index()].ty;
        if ty.shape != Shape::Scalar || !ty.domain.within(Domain::Step) {
            let what = describe(&inner.nodes, v);
            inner.fail(TapeError::NotScalar {
                which,
                what,
                found: ty.shape.to_string(),
                at: *at,
            });
            return None;
        }
        Some(
            Appender {
                inner: &mut inner,
                at,
            }
            .spread(v, Domain::Step),
        )
    }

    /// Chooses between the weighted mean (the default) and the weighted sum of the losses.
    pub fn reduce_loss(&self, reduction: LossReduction) {
        self.inner.borrow_mut().reduction = reduction;
    }

    /// Ends the recording: adds the loss over all examples and steps and the states' final values.
    ///
    /// # Errors
    /// The first mistake that was made while recording.
    #[track_caller]
    pub fn finish(self, name: &str) -> Result<Tape, TapeError> {
        let at = Location::caller();
        let mut inner = self.inner.into_inner();
        if let Some(e) = inner.error.take() {
            return Err(e);
        }
        inner.check_states()?;
        if let Some(loss) = inner.loss {
            let reduction = inner.reduction;
            let given = inner.weight;
            let weighted = match given {
                Some(weight) => inner.covered(weight, loss, at),
                None => loss,
            };
            // Recording once more may have moved it.
            let given = inner.weight;
            let mut a = Appender {
                inner: &mut inner,
                at,
            };
            let weight = given.unwrap_or_else(|| {
                let one = a.constant(1.0, Shape::Scalar);
                a.spread(one, Domain::Step)
            });
            let mut total = a.sum_to(weighted, Domain::Once);
            if reduction == LossReduction::Mean {
                let weights = a.sum_to(weight, Domain::Once);
                total = a.map2(crate::Map::Div, total, weights);
            }
            inner.outputs.push(Output {
                name: "loss".into(),
                role: Yield::Loss,
                value: total,
            });
        }
        inner.final_values(at);
        for i in 0..inner.outputs.len() {
            let name = inner.outputs[i].name.clone();
            if inner.outputs[..i].iter().any(|o| o.name == name) {
                return Err(TapeError::NameTaken {
                    kind: "an output",
                    name: name.to_string(),
                    at: *at,
                });
            }
        }
        let names = |vs: &[Value]| {
            let mut names: Vec<String> = vs.iter().map(|&v| describe(&inner.nodes, v)).collect();
            names.dedup();
            names.join(", ")
        };
        match schedule(&inner.nodes) {
            Ok(_) => {}
            Err((true, vs)) => {
                let states = names(&vs);
                return Err(match no_order(&inner.nodes, &vs) {
                    true => TapeError::BothWays { states },
                    false => TapeError::MixedDelays { states },
                });
            }
            Err((false, vs)) => return Err(TapeError::AfterTheSteps { what: names(&vs) }),
        }
        Ok(Tape {
            name: name.into(),
            nodes: inner.nodes,
            inputs: inner.inputs,
            outputs: inner.outputs,
        })
    }
}

impl<'t> Var<'t> {
    /// The tape that the value is on.
    pub fn tape(self) -> &'t Recorder {
        self.tape
    }

    /// The value's handle; `None` after a mistake.
    pub fn value(self) -> Option<Value> {
        self.value
    }

    /// Shape per example; `None` after a mistake.
    pub fn shape(self) -> Option<Shape> {
        self.value.map(|v| self.tape.ty(v).shape)
    }

    /// Names the value for messages and print-outs.
    pub fn named(self, name: &str) -> Var<'t> {
        if let Some(v) = self.value {
            let mut inner = self.tape.inner.borrow_mut();
            inner.nodes[v.index()]
                .name
                .get_or_insert_with(|| name.into());
        }
        self
    }

    /// The value's name, if it has one.
    pub fn name(self) -> Option<Arc<str>> {
        let nodes = &self.tape.inner.borrow().nodes;
        self.value.and_then(|v| nodes[v.index()].name.clone())
    }

    /// Applies a composite function, written over [`Algebra`], to values that it accepts.
    pub(crate) fn compose(
        self,
        at: &'static Location<'static>,
        f: impl FnOnce(&mut dyn Algebra, Value) -> Value,
    ) -> Var<'t> {
        let value = self.value.map(|v| {
            f(
                &mut Appender {
                    inner: &mut self.tape.inner.borrow_mut(),
                    at,
                },
                v,
            )
        });
        self.tape.var(value)
    }

    /// Applies an op at the user's line `at`; scalars are broadcast to the shape of the other element-wise operands.
    pub(crate) fn apply(op: Op, xs: &[Var<'t>], at: &'static Location<'static>) -> Var<'t> {
        let tape = xs[0].tape;
        if !matches!(op, Op::Map(_)) {
            return tape.apply_at(op, xs, at);
        }
        let wide = xs
            .iter()
            .filter_map(|x| x.shape())
            .find(|s| *s != Shape::Scalar);
        let xs: Vec<Var<'t>> = match wide {
            Some(shape) => xs
                .iter()
                .map(|x| match x.shape() {
                    Some(Shape::Scalar) => tape.apply_at(Op::Broadcast(shape), &[*x], at),
                    _ => *x,
                })
                .collect(),
            None => xs.to_vec(),
        };
        tape.apply_at(op, &xs, at)
    }
}
