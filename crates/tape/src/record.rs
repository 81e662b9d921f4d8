//! Recording: [`Recorder`] owns the growing tape, [`Var`] is a copyable handle with operators.
//!
//! A mistake poisons the values computed from it; [`Recorder::finish`] returns the first mistake, with the user's line.
//! Nothing panics, and nothing grows beyond the [limits](crate::limits).

mod covered;
mod gradient;
mod handle;
mod losses;
mod state;

use std::cell::RefCell;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use smallvec::smallvec;

use crate::algebra::{Algebra, Value};
use crate::cycles::BothWays;
use crate::error::TapeError;
use crate::limits::{MAX_DELAY, MAX_ELEMENTS, MAX_OPS};
use crate::op::Op;
use crate::schedule::{NoSchedule, no_order, schedule};
use crate::tape::{Input, InputRole, Node, Operands, Output, OutputRole, Place, Tape, describe};
use crate::ty::{Domain, Shape, Type};
pub use handle::Var;
pub use losses::LossReduction;
use losses::Losses;
use state::States;

#[derive(Default)]
struct Recording {
    nodes: Vec<Node>,
    inputs: Vec<Input>,
    /// Each input's number, by its name.
    input_names: HashMap<Arc<str>, usize>,
    output_names: HashSet<Arc<str>>,
    outputs: Vec<Output>,
    states: States,
    losses: Losses,
    error: Option<TapeError>,
    /// Of the text that is being read.
    place: Option<Place>,
}

/// Records a program. Share it by reference; [`Var`]s borrow it.
#[derive(Default)]
pub struct Recorder {
    inner: RefCell<Recording>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Recorder");
        if let Ok(inner) = self.inner.try_borrow() {
            shown.field("ops", &inner.nodes.len());
            shown.field("inputs", &inner.inputs.len());
            shown.field("error", &inner.error);
        }
        shown.finish_non_exhaustive()
    }
}

impl Recording {
    fn declare(
        &mut self,
        name: &str,
        role: InputRole,
        ty: Type,
        at: &'static Location<'static>,
    ) -> Option<Value> {
        if self.input_names.contains_key(name) {
            self.fail(TapeError::NameTaken {
                kind: "an input",
                name: name.into(),
                at: *at,
            });
            return None;
        }
        self.room(at)?;
        self.check_type(name, ty, at)?;
        let name: Arc<str> = name.into();
        let id = self.inputs.len();
        let op = Op::Input { id, ty };
        let value = self.push(op, smallvec![], ty, Some(name.clone()), at);
        self.input_names.insert(name.clone(), id);
        self.inputs.push(Input {
            name,
            role,
            ty,
            value,
            range: None,
        });
        Some(value)
    }

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
            place: self.place,
        });
        Value(self.nodes.len() as u32 - 1)
    }

    /// Fails if there is no room for one more op.
    fn room(&mut self, at: &'static Location<'static>) -> Option<()> {
        if self.nodes.len() < MAX_OPS {
            return Some(());
        }
        self.fail(TapeError::TooManyOps {
            limit: MAX_OPS,
            at: *at,
        });
        None
    }

    /// Fails if a delay is longer than the limit.
    fn check_delay(
        &mut self,
        name: &str,
        steps: usize,
        at: &'static Location<'static>,
    ) -> Option<()> {
        if steps <= MAX_DELAY {
            return Some(());
        }
        self.fail(TapeError::DelayTooLong {
            name: name.into(),
            steps,
            limit: MAX_DELAY,
            at: *at,
        });
        None
    }

    /// Fails if a value (`name`, or the result of an op of that name) cannot be of type `ty`, whatever its operands.
    fn check_type(&mut self, name: &str, ty: Type, at: &'static Location<'static>) -> Option<()> {
        let needs = match (ty.shape.is_empty(), ty.domain) {
            (true, _) => "at least one element",
            (_, Domain::BoundarySlots(0)) => "a delay other than 0",
            (_, Domain::BoundarySlots(steps)) => {
                self.check_delay(name, steps, at)?;
                ""
            }
            _ => "",
        };
        if !needs.is_empty() {
            self.fail(TapeError::Empty {
                name: name.into(),
                needs,
                at: *at,
            });
            return None;
        }
        if ty.shape.len() > MAX_ELEMENTS {
            self.fail(TapeError::TooManyElements {
                name: name.into(),
                shape: ty.shape.to_string(),
                limit: MAX_ELEMENTS,
                at: *at,
            });
            return None;
        }
        Some(())
    }

    fn apply(&mut self, op: Op, xs: &[Value], at: &'static Location<'static>) -> Option<Value> {
        if let Op::Delay(d) | Op::Boundary(d) = op {
            self.check_delay(op.name(), d.unsigned_abs() as usize, at)?;
        }
        let types: Vec<Type> = xs.iter().map(|v| self.nodes[v.index()].ty).collect();
        match op.infer(&types) {
            Ok(ty) => {
                self.check_type(op.name(), ty, at)?;
                Some(self.push(op, xs.iter().copied().collect(), ty, None, at))
            }
            Err(misfit) => {
                let which = |i: usize| {
                    xs.get(i)
                        .map_or_else(|| format!("operand {i}"), |&v| describe(&self.nodes, v))
                };
                let expected = misfit.describe(which);
                let operands: Vec<String> = xs
                    .iter()
                    .zip(&types)
                    .map(|(&v, ty)| format!("{} is {}", describe(&self.nodes, v), ty.describe()))
                    .collect();
                self.fail(TapeError::TypeMismatch {
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

/// Lets rules and composite functions record on the tape; the recorder stays borrowed while they run.
struct Appender<'a> {
    inner: &'a mut Recording,
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

    fn var(&self, value: Option<Value>) -> Var<'_> {
        Var::on(self, value)
    }

    /// Whether a mistake has been recorded: [`Recorder::finish`] will return the first one.
    pub fn has_failed(&self) -> bool {
        self.inner.borrow().error.is_some()
    }

    /// A value that stands for none, for callers that have found a mistake of their own: what is computed of it is none, either.
    pub fn nothing(&self) -> Var<'_> {
        self.var(None)
    }

    /// Records a mistake, and returns poison.
    fn fail(&self, e: TapeError) -> Var<'_> {
        self.inner.borrow_mut().fail(e);
        self.var(None)
    }

    /// Declares an input. Its domain follows from its role: see [`input_over`](Recorder::input_over) for another. Initial values are declared by [`state`](Recorder::state),
    /// cotangents and tangents by differentiation: an input of these roles is a mistake.
    #[track_caller]
    pub fn input(&self, name: &str, role: InputRole, shape: Shape) -> Var<'_> {
        let domain = match role {
            InputRole::Param => Domain::Once,
            InputRole::Static => Domain::Row,
            _ => Domain::Step,
        };
        self.input_over(name, role, shape, domain)
    }

    /// Declares an input with its domain. Parameters are of the program, sequences of each step; static inputs vary over rows or
    /// are the same for all; targets, weights and masks vary over steps, over rows, or not at all.
    #[track_caller]
    pub fn input_over(&self, name: &str, role: InputRole, shape: Shape, domain: Domain) -> Var<'_> {
        let at = Location::caller();
        let may: &[Domain] = match role {
            InputRole::Param => &[Domain::Once],
            InputRole::Sequence => &[Domain::Step],
            InputRole::Static => &[Domain::Row, Domain::Once],
            InputRole::Target | InputRole::Weight | InputRole::Mask => {
                &[Domain::Step, Domain::Row, Domain::Once]
            }
            InputRole::Initial | InputRole::Cotangent | InputRole::Tangent => {
                return self.fail(TapeError::NotDeclared {
                    what: format!("the input `{name}` of role {role:?}"),
                    instead: match role {
                        InputRole::Initial => "`state` declares what a state begins with",
                        _ => "differentiation declares it",
                    },
                    at: *at,
                });
            }
        };
        if !may.contains(&domain) {
            let may: Vec<String> = may.iter().map(ToString::to_string).collect();
            return self.fail(TapeError::InputDomain {
                name: name.into(),
                found: domain.to_string(),
                may: may.join(" or "),
                at: *at,
            });
        }
        self.declare(name, role, Type::new(shape, domain), at)
    }

    fn declare(
        &self,
        name: &str,
        role: InputRole,
        ty: Type,
        at: &'static Location<'static>,
    ) -> Var<'_> {
        let value = self.inner.borrow_mut().declare(name, role, ty, at);
        self.var(value)
    }

    /// A learned parameter.
    #[track_caller]
    pub fn param(&self, name: &str, shape: Shape) -> Var<'_> {
        self.input(name, InputRole::Param, shape)
    }

    /// The parameter of this name, if one has been declared.
    pub fn parameter(&self, name: &str) -> Option<Var<'_>> {
        self.declared(name, InputRole::Param)
    }

    /// The input of this name and role, if one has been declared.
    pub fn declared(&self, name: &str, role: InputRole) -> Option<Var<'_>> {
        let inner = self.inner.borrow();
        let input = &inner.inputs[*inner.input_names.get(name)?];
        let value = (input.role == role).then_some(input.value)?;
        drop(inner);
        Some(self.var(Some(value)))
    }

    /// A number that never changes.
    #[track_caller]
    pub fn constant(&self, value: f64, shape: Shape) -> Var<'_> {
        self.record(Op::constant(value, shape), &[], Location::caller())
    }

    /// Applies any op of the table except inputs, which [`input`](Recorder::input) declares.
    #[track_caller]
    pub fn apply<'t>(&'t self, op: Op, xs: &[Var<'t>]) -> Var<'t> {
        let at = Location::caller();
        if let Op::Input { .. } = op {
            return self.fail(TapeError::NotDeclared {
                what: "an input".into(),
                instead: "`input`, `param` and `state` declare one",
                at: *at,
            });
        }
        let Some(xs) = self.own_all(op.name(), xs, at) else {
            return self.var(None);
        };
        self.record(op, &xs, at)
    }

    /// Records an op of values of this tape.
    fn record(&self, op: Op, xs: &[Value], at: &'static Location<'static>) -> Var<'_> {
        let mut inner = self.inner.borrow_mut();
        let value = inner.room(at).and_then(|()| inner.apply(op, xs, at));
        drop(inner);
        self.var(value)
    }

    /// The values of `xs`; none, and an error, if one is not on this tape.
    fn own_all(
        &self,
        op: &str,
        xs: &[Var<'_>],
        at: &'static Location<'static>,
    ) -> Option<Vec<Value>> {
        xs.iter().map(|&x| self.own(op, x, at)).collect()
    }

    /// Outputs a value, per example and step.
    #[track_caller]
    pub fn output(&self, name: &str, v: Var<'_>) {
        let at = Location::caller();
        let Some(v) = self.own("output", v, at) else {
            return;
        };
        let mut inner = self.inner.borrow_mut();
        let name: Arc<str> = name.into();
        if !inner.output_names.insert(name.clone()) {
            inner.fail(TapeError::NameTaken {
                kind: "an output",
                name: name.to_string(),
                at: *at,
            });
            return;
        }
        inner.outputs.push(Output {
            name,
            role: OutputRole::Output,
            value: v,
        });
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
        inner.total_loss(at);
        inner.final_values(at);
        let mut names = HashSet::default();
        if let Some(twice) = inner.outputs.iter().find(|o| !names.insert(&o.name)) {
            return Err(TapeError::NameTaken {
                kind: "an output",
                name: twice.name.to_string(),
                at: *at,
            });
        }
        scheduled(name, inner.nodes, inner.inputs, inner.outputs)
    }
}

/// A finished tape, if some order of the steps computes it.
fn scheduled(
    name: &str,
    nodes: Vec<Node>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
) -> Result<Tape, TapeError> {
    let names = |vs: &[Value]| {
        let mut names: Vec<String> = vs.iter().map(|&v| describe(&nodes, v)).collect();
        names.dedup();
        names.join(", ")
    };
    match schedule(&nodes) {
        Ok(_) => {}
        Err(NoSchedule::BothWays(vs)) => {
            let states = names(&vs);
            return Err(BothWays::new(no_order(&nodes, &vs), states).into());
        }
        Err(NoSchedule::AfterTheSteps { what, states }) => {
            return Err(TapeError::AfterTheSteps {
                what: describe(&nodes, what),
                states: names(&states),
            });
        }
    }
    Ok(Tape {
        name: name.into(),
        nodes,
        inputs,
        outputs,
    })
}

impl Tape {
    /// A tape of these nodes, whose types have been checked: an operand comes before its node, but for the first one of a `delay`; each
    /// input has a node.
    ///
    /// # Errors
    /// [`TapeError`] if no order of the steps computes it.
    ///
    /// # Panics
    /// If an operand, an input's node or an output's is missing or comes too late.
    pub fn from_nodes(
        name: &str,
        nodes: Vec<Node>,
        inputs: Vec<Input>,
        outputs: Vec<Output>,
    ) -> Result<Tape, TapeError> {
        for (k, node) in nodes.iter().enumerate() {
            for (slot, v) in node.operands.iter().enumerate() {
                let later = slot == 0 && matches!(node.op, Op::Delay(_));
                assert!(
                    v.index() < if later { nodes.len() } else { k },
                    "%{k} reads %{}",
                    v.index()
                );
            }
        }
        let values = inputs
            .iter()
            .map(|i| i.value)
            .chain(outputs.iter().map(|o| o.value));
        assert!(
            values.into_iter().all(|v| v.index() < nodes.len()),
            "a node is missing"
        );
        scheduled(name, nodes, inputs, outputs)
    }
}
