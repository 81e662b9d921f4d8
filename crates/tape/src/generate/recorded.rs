//! The program of calls that records a given tape again, so that any program can be reduced and printed as generated
//! ones are.

use std::collections::HashMap;

use super::program::{FinalCall, GeneratedProgram, Made};
use crate::algebra::Value;
use crate::op::Op;
use crate::tape::{InputRole, Node, OutputRole, Tape};
use crate::ty::Domain;

impl GeneratedProgram {
    /// The calls that compute what `tape` computes. The loss becomes an output like any other, and an input that varies
    /// over less than its role says gets the role of its domain. None if a state begins with an input that something
    /// else reads too: no call says so.
    pub(super) fn of(tape: &Tape) -> Option<GeneratedProgram> {
        let states = states(tape);
        let ends: Vec<Value> = (tape.outputs().iter())
            .filter(|o| o.role == OutputRole::Final)
            .map(|o| o.value)
            .collect();
        let mut program = GeneratedProgram::default();
        let mut place: Vec<Option<usize>> = vec![None; tape.nodes().len()];
        for (i, node) in tape.nodes().iter().enumerate() {
            // The recorder adds the final values of states.
            if ends.contains(&Value(i as u32)) {
                continue;
            }
            let made = match node.op {
                Op::Input { id, .. } => {
                    let input = &tape.inputs()[id];
                    if input.role == InputRole::Initial {
                        continue;
                    }
                    Made::Input {
                        name: input.name.to_string(),
                        role: role(input.role, input.ty.domain),
                        shape: input.ty.shape,
                        range: input.range.clone(),
                    }
                }
                Op::Delay(d) if states.contains_key(&i) => Made::State {
                    name: states[&i].clone(),
                    shape: node.ty.shape,
                    d,
                    init: match given(tape, node.operands[1]) {
                        true => None,
                        false => Some(place[node.operands[1].index()]?),
                    },
                },
                op => Made::Op {
                    op,
                    xs: placed(node, &place)?,
                },
            };
            place[i] = Some(program.made.len());
            program.made.push(made);
        }
        for &delay in states.keys() {
            program.ends.push(FinalCall::Next {
                state: place[delay]?,
                value: place[tape.nodes()[delay].operands[0].index()]?,
            });
        }
        // The order of a map is not that of the tape.
        program.ends.sort_by_key(|end| end.operands().next());
        for o in tape.outputs() {
            if o.role != OutputRole::Final {
                let (name, value) = (o.name.to_string(), place[o.value.index()]?);
                program.ends.push(FinalCall::Output { name, value });
            }
        }
        Some(program)
    }
}

/// The program with a name for each value that is not an input: `v7` is node number 7. For observing all of them.
pub fn named(tape: &Tape) -> Tape {
    let mut new = tape.clone();
    for (i, node) in new.nodes.iter_mut().enumerate() {
        if !matches!(node.op, Op::Input { .. }) {
            node.name = Some(format!("v{i}").into());
        }
    }
    new
}

/// The program with every state beginning with an input of its name, zeros unless given, whatever it began with. None for
/// the few programs that no calls of [`Recorder`](crate::Recorder) record again.
pub fn with_given_starts(tape: &Tape) -> Option<Tape> {
    let mut program = GeneratedProgram::of(tape)?;
    for made in &mut program.made {
        if let Made::State { init, .. } = made {
            *init = None;
        }
    }
    program.record().ok()
}

fn placed(node: &Node, place: &[Option<usize>]) -> Option<Vec<usize>> {
    node.operands.iter().map(|x| place[x.index()]).collect()
}

/// True for an input that a state begins with.
fn given(tape: &Tape, init: Value) -> bool {
    let input = tape.inputs().iter().find(|i| i.value == init);
    input.is_some_and(|i| i.role == InputRole::Initial)
}

/// The delays that are states, which have final values, by node; with their names.
fn states(tape: &Tape) -> HashMap<usize, String> {
    let finals = (tape.outputs().iter()).filter(|o| o.role == OutputRole::Final);
    let mut names: HashMap<Vec<Value>, String> = finals
        .map(|o| {
            let operands = tape.node(o.value).operands.to_vec();
            (operands, o.name.to_string())
        })
        .collect();
    let delays = (tape.nodes().iter().enumerate()).filter(|(_, n)| matches!(n.op, Op::Delay(_)));
    delays
        .filter_map(|(i, n)| Some((i, names.remove(&n.operands.to_vec())?)))
        .collect()
}

/// The role whose inputs vary over this domain, if they are not of their role's own.
fn role(role: InputRole, domain: Domain) -> InputRole {
    match (role, domain) {
        (_, Domain::Once) => InputRole::Param,
        (_, Domain::Row) => InputRole::Static,
        (role, _) => role,
    }
}
