//! States: delays that are declared before their operand is known.
//!
//! Invariant: until [`Recorder::next`] closes it, a state's delay has itself as its first operand; a finished tape has
//! no such delay.

use std::panic::Location;
use std::sync::Arc;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use smallvec::smallvec;

use super::{Appender, Recorder, Recording, Var};
use crate::algebra::{Algebra, Value};
use crate::error::TapeError;
use crate::op::Op;
use crate::tape::{InputRole, Output, OutputRole, describe};
use crate::ty::{Domain, Shape, Type};

/// The declared states, in their order.
#[derive(Default)]
pub(super) struct States {
    list: Vec<DeclaredState>,
    names: HashSet<Arc<str>>,
    /// Position of the state that a delay implements.
    of: HashMap<Value, usize>,
}

/// A declared state.
struct DeclaredState {
    name: Arc<str>,
    delay: Value,
    at: &'static Location<'static>,
    /// Its next value is known.
    closed: bool,
}

impl States {
    /// Updates the states after values have moved within the tape.
    pub(super) fn moved(&mut self, place: impl Fn(Value) -> Value) {
        self.list.iter_mut().for_each(|s| s.delay = place(s.delay));
        self.of = self.of.drain().map(|(v, i)| (place(v), i)).collect();
    }
}

impl Recorder {
    /// Declares a state: a value as it was `d` steps earlier (later for d < 0). Without `init` its first |d| slots are
    /// an input of the same name, zeros unless given; with `init` (of domain `once` or `row`) they are that value.
    /// [`Recorder::next`] sets its next value.
    #[track_caller]
    pub fn state<'t>(&'t self, name: &str, shape: Shape, d: i32, init: Option<Var<'t>>) -> Var<'t> {
        let at = Location::caller();
        let edge = Type::new(shape, Domain::BoundarySlots(d.unsigned_abs() as usize));
        let checked = self.inner.borrow_mut().check_type(name, edge, at);
        let init = checked.and_then(|()| match init {
            Some(v) => self.own("state", v, at),
            None => self.declare(name, InputRole::Initial, edge, at).value(),
        });
        let Some(v) = init else {
            return self.var(None);
        };
        let state = self.inner.borrow_mut().open(name, d, edge, v, at);
        self.var(state)
    }

    /// Sets a state's next value, and returns that value, usable at once.
    #[track_caller]
    pub fn next<'t>(&'t self, state: Var<'t>, next: Var<'t>) -> Var<'t> {
        let at = Location::caller();
        let (Some(s), Some(v)) = (self.own("next", state, at), self.own("next", next, at)) else {
            return self.var(None);
        };
        let next = self.inner.borrow_mut().close(s, v, at);
        self.var(next)
    }
}

impl Recording {
    /// Records the delay of a new state with initial value `init`; `edge` is the largest domain of that value.
    fn open(
        &mut self,
        name: &str,
        d: i32,
        edge: Type,
        init: Value,
        at: &'static Location<'static>,
    ) -> Option<Value> {
        if self.states.names.contains(name) {
            self.fail(TapeError::NameTaken {
                kind: "a state",
                name: name.into(),
                at: *at,
            });
            return None;
        }
        let Type { shape, domain } = self.nodes[init.index()].ty;
        if shape != edge.shape {
            let types = (edge.shape.to_string(), shape.to_string());
            return self.misfit(name, "initial", init, types, at);
        }
        if !domain.within(edge.domain) {
            let expected = format!("{shape}, which must not vary over steps to begin with");
            let types = (expected, Type { shape, domain }.describe());
            return self.misfit(name, "initial", init, types, at);
        }
        self.room(at)?;
        let name: Arc<str> = name.into();
        // The operand is the delay itself until `next` closes it.
        let delay = Value(self.nodes.len() as u32);
        self.push(
            Op::Delay(d),
            smallvec![delay, init],
            Type::new(shape, Domain::Step),
            Some(name.clone()),
            at,
        );
        self.states.of.insert(delay, self.states.list.len());
        self.states.names.insert(name.clone());
        self.states.list.push(DeclaredState {
            name,
            delay,
            at,
            closed: false,
        });
        Some(delay)
    }

    /// Gives the state of a delay its next value, in the steps' domain.
    fn close(
        &mut self,
        delay: Value,
        next: Value,
        at: &'static Location<'static>,
    ) -> Option<Value> {
        let Some(&k) = self.states.of.get(&delay) else {
            let what = describe(&self.nodes, delay);
            self.fail(TapeError::NotAState { what, at: *at });
            return None;
        };
        let name = self.states.list[k].name.clone();
        if self.states.list[k].closed {
            self.fail(TapeError::NextTwice {
                name: name.to_string(),
                at: *at,
            });
            return None;
        }
        let shape = |v: Value| self.nodes[v.index()].ty.shape;
        let (expected, found) = (shape(delay), shape(next));
        if expected != found {
            let types = (expected.to_string(), found.to_string());
            return self.misfit(&name, "next", next, types, at);
        }
        self.room(at)?;
        let next = Appender { inner: self, at }.spread(next, Domain::Step);
        self.nodes[delay.index()].operands[0] = next;
        self.states.list[k].closed = true;
        Some(next)
    }

    /// Records a type mismatch of a value (the `which` one of a state): the type expected and the type found.
    fn misfit(
        &mut self,
        name: &str,
        which: &'static str,
        v: Value,
        (expected, found): (String, String),
        at: &'static Location<'static>,
    ) -> Option<Value> {
        let what = describe(&self.nodes, v);
        self.fail(TapeError::StateShape {
            name: name.into(),
            which,
            what,
            expected: expected.into(),
            found: found.into(),
            at: *at,
        });
        None
    }

    /// Checks that every state has a next value.
    pub(super) fn check_states(&self) -> Result<(), TapeError> {
        match self.states.list.iter().find(|s| !s.closed) {
            None => Ok(()),
            Some(s) => Err(TapeError::NoNext {
                name: s.name.to_string(),
                at: *s.at,
            }),
        }
    }

    /// Outputs the final values of the states.
    pub(super) fn final_values(&mut self, at: &'static Location<'static>) {
        for s in std::mem::take(&mut self.states.list) {
            let node = self.nodes[s.delay.index()].clone();
            let Op::Delay(d) = node.op else {
                unreachable!("states are delays")
            };
            let value = self
                .apply(Op::Boundary(d), &node.operands, at)
                .expect("a boundary takes what its delay takes");
            self.outputs.push(Output {
                name: s.name,
                role: OutputRole::Final,
                value,
            });
        }
    }
}
