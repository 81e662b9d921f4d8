//! *stream*: reduces a program to what it can compute when its samples come one after another and never end.
//!
//! Outputs per step stay, and so do the states: their final value is their current value, available at any time. The
//! loss, and work that only it needs, is dropped, states among it. Every state starts from an input, so that it can be set at any time;
//! the initial value that the program gives it, if any, becomes an output.
//!
//! Not in the pass list of a purpose: a stepper runs it in place of a derivation.

use retrograd_tape::{Domain, InputRole, Op, Operands, OutputRole, Type, Value};
use rustc_hash::FxHashSet as HashSet;

use crate::graph::Graph;

/// The error for a program that needs samples which have not come yet.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{program}` cannot be run sample by sample: {value} {why}")]
pub struct NeedsFuture {
    /// The program's name.
    pub program: String,
    /// The state or value that needs later samples.
    pub value: String,
    /// Why it needs them.
    pub why: String,
}

/// A state of a streaming program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Its name.
    pub name: String,
    /// Steps that it is delayed by, which is its number of slots.
    pub delay: usize,
    /// The output, of domain `slots`, with its current value.
    pub value: usize,
    /// The input, of domain `slots`, with its initial value.
    pub beginning: usize,
    /// The output, of domain `once` or `row`, for the initial value that the program computes.
    pub computed: Option<usize>,
}

/// The program to run for one sample after another.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its outputs are those over steps, then the states, then the computed initial values of states.
    pub graph: Graph,
    /// The states, in the program's order.
    pub states: Vec<StreamState>,
}

/// Reduces a recorded program to its streaming part.
///
/// # Errors
/// If a state reads the sequence from its end, or an output or state needs a sum over all steps or the final value of a
/// state.
pub fn stream(g: &Graph) -> Result<Stream, NeedsFuture> {
    let mut new = g.clone();
    let states = states_beside_the_loss(g);
    new.retain_outputs(|g, o| match o.role {
        OutputRole::Output => g.node(o.value).ty.domain == Domain::Step,
        OutputRole::Final => states.contains(&o.value),
        OutputRole::Loss | OutputRole::Gradient | OutputRole::Tangent | OutputRole::Observed => {
            false
        }
    });
    needs_no_future(&new)?;
    let outputs = new.outputs().to_vec();
    let is_final = |o: &&retrograd_tape::Output| o.role == OutputRole::Final;
    let mut made: Vec<(Value, usize, Option<usize>)> = Vec::new();
    let mut states = Vec::new();
    for (k, o) in outputs.iter().enumerate().filter(|(_, o)| is_final(o)) {
        let delay = delay_of(&new, o.value);
        let (x, init) = (new.operands(o.value)[0], new.operands(o.value)[1]);
        let known = made.iter().find(|m| m.0 == init).copied();
        let (_, beginning, computed) = match (known, *new.op_of(init)) {
            (Some(known), _) => known,
            (None, Op::Input { id, .. }) if new.inputs()[id].role == InputRole::Initial => {
                (init, id, None)
            }
            (None, _) => {
                let ty = Type::new(new.node(init).ty.shape, Domain::BoundarySlots(delay));
                let name = format!("initial({})", o.name);
                let (id, out) = (new.inputs().len(), new.outputs().len());
                new.output(&name, OutputRole::Output, init);
                let input = new.input(&name, InputRole::Initial, ty);
                let users: Vec<Value> = new.users(init).collect();
                let same = |u: &Value| {
                    matches!(new.op_of(*u), Op::Delay(_) | Op::Boundary(_))
                        && new.operands(*u)[0] == x
                        && delay_of(&new, *u) == delay
                };
                let users: Vec<Value> = users.into_iter().filter(same).collect();
                for u in users {
                    new.replace_operand(u, init, input);
                }
                (input, id, Some(out))
            }
        };
        made.push((new.operands(o.value)[1], beginning, computed));
        states.push(StreamState {
            name: o.name.to_string(),
            delay,
            value: k,
            beginning,
            computed,
        });
    }
    Ok(Stream { graph: new, states })
}

/// The final values of the states that outputs over steps need, directly or not, and of those that only the caller reads:
/// neither an output nor the loss needs them, and they need no target. Without such outputs the loss makes no difference.
fn states_beside_the_loss(g: &Graph) -> HashSet<Value> {
    let with = |role: OutputRole| g.outputs().iter().filter(move |o| o.role == role);
    let of_step = with(OutputRole::Output).filter(|o| g.node(o.value).ty.domain == Domain::Step);
    let outputs: Vec<Value> = of_step.map(|o| o.value).collect();
    let loss = match outputs.is_empty() {
        true => HashSet::default(),
        false => g.above(with(OutputRole::Loss).map(|o| o.value)),
    };
    let targets = g.inputs().iter();
    let targets = targets.filter(|i| matches!(i.role, InputRole::Target | InputRole::Weight));
    let supervised = g.below(targets.map(|i| i.value));
    let finals: Vec<Value> = with(OutputRole::Final).map(|o| o.value).collect();
    // A state is read by the delay of the same operands.
    let read = |needed: &HashSet<Value>| -> HashSet<Operands> {
        let delays = needed
            .iter()
            .filter(|v| matches!(g.op_of(**v), Op::Delay(_)));
        delays.map(|v| g.operands(*v)).collect()
    };
    let of_loss = read(&loss);
    let own = finals.iter().copied();
    let own: HashSet<Value> = own
        .filter(|v| !of_loss.contains(&g.operands(*v)) && !supervised.contains(v))
        .collect();
    let needed = read(&g.above(outputs.into_iter().chain(own.iter().copied())));
    let all = finals.into_iter();
    all.filter(|v| own.contains(v) || needed.contains(&g.operands(*v)))
        .collect()
}

/// Number of steps of a delay or boundary, whose sign has been checked.
fn delay_of(g: &Graph, v: Value) -> usize {
    match *g.op_of(v) {
        Op::Delay(d) | Op::Boundary(d) => d.unsigned_abs() as usize,
        op => unreachable!("a state leaves through a boundary, not `{op}`"),
    }
}

/// Checks that a value of each step needs no later step, whatever else the program computes.
///
/// # Errors
/// If it reads the sequence from its end, a sum over all steps, or the final value of a state.
pub fn looks_ahead(g: &Graph, v: Value) -> Result<(), NeedsFuture> {
    need_no_future(g, &g.above([v].into_iter()))
}

fn needs_no_future(g: &Graph) -> Result<(), NeedsFuture> {
    // A state that nothing needs is still a state.
    for o in g.outputs() {
        if let Op::Boundary(d @ ..0) = *g.op_of(o.value) {
            return Err(NeedsFuture {
                program: g.name().into(),
                value: format!("the state `{}`", o.name),
                why: from_end(d),
            });
        }
    }
    need_no_future(g, &g.above(g.outputs().iter().map(|o| o.value)))
}

fn from_end(d: i32) -> String {
    format!("reads the sequence from its end (delay {d})")
}

fn need_no_future(g: &Graph, needed: &HashSet<Value>) -> Result<(), NeedsFuture> {
    let fails = |v: Value, why: String| {
        Err(NeedsFuture {
            program: g.name().into(),
            value: g.describe(v),
            why,
        })
    };
    for v in g.order().into_iter().filter(|v| needed.contains(v)) {
        let over_steps = |v: &Value| g.node(*v).ty.domain == Domain::Step;
        let used = g.users(v).any(|u| needed.contains(&u));
        match *g.op_of(v) {
            Op::Delay(d @ ..0) => return fails(v, from_end(d)),
            Op::Boundary(_) if used => {
                return fails(v, "is what a state ends with, and read before".into());
            }
            Op::SumTo(_) | Op::Outer { .. } | Op::Scatter { .. }
                if !over_steps(&v) && g.operands(v).iter().any(over_steps) =>
            {
                return fails(v, "is a sum over all steps".into());
            }
            _ => {}
        }
    }
    Ok(())
}
