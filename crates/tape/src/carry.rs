//! Carried states: a program that runs over a long sequence chunk after chunk, each from the states that the one before
//! left.

use rustc_hash::FxHashMap as HashMap;
use smallvec::smallvec;

use crate::algebra::Value;
use crate::error::TapeError;
use crate::map::Map;
use crate::op::Op;
use crate::tape::{Input, InputRole, Node, Operands, Output, OutputRole, Tape};
use crate::ty::{Domain, Shape, Type};

/// A state that can be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedState {
    /// The position of the output that is its final value.
    pub output: usize,
    /// The position of the input that is its carried value, `[|d|, B, shape]`.
    pub input: usize,
    /// The position of the input that says which rows are carried, `[|d|, B]`: 1 for the carried value, 0 for the start
    /// that the program declares. None if that start is the carried value, zeros unless given.
    pub flag: Option<usize>,
}

impl Tape {
    /// The program with a carried value for every state, which takes the place of the start that it declares, and the
    /// states in order. A state whose start is an input keeps that input. One that is learned or computed gets two, after
    /// all others: one of the state's name, and a flag of each row, `carried(<state>)`, which zeros leave at the declared
    /// start. No gradient reaches the declared start of a carried row.
    ///
    /// ```
    /// use retrograd_tape::{Extent, Interpreter, Recorder, InputRole, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// let start = r.param("start", Shape::Scalar);
    /// let h = r.state("h", Shape::Scalar, 1, Some(start));
    /// r.output("y", r.next(h, h + x));
    /// let (tape, states) = r.finish("sum")?.carrying()?;
    /// assert_eq!((states[0].input, states[0].flag), (2, Some(3)));
    ///
    /// // Two rows of one step: the first begins as declared, the second where it was.
    /// let mut run = Interpreter::<f64>::new(&tape);
    /// run.forward(Extent::steps(1).rows(2), &[&[1.0, 1.0], &[5.0], &[0.0, 7.0], &[0.0, 1.0]])?;
    /// assert_eq!(run.output(0), [6.0, 8.0]);
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    ///
    /// # Errors
    /// [`TapeError::NeedsLaterSteps`] for what reads later steps, which the next chunk has: a negative delay, a value of
    /// the whole row. [`TapeError::CarriedName`] if an input already has the name of one that is added.
    pub fn carrying(&self) -> Result<(Tape, Vec<CarriedState>), TapeError> {
        self.needs_no_later_steps()?;
        let mut new = Rewritten {
            inputs: self.inputs.clone(),
            nodes: Vec::with_capacity(self.nodes.len()),
            place: Vec::with_capacity(self.nodes.len()),
        };
        let (starts, states, unnamed) = self.starts(&mut new.inputs)?;
        new.rewrite(&self.nodes, &starts, &states);
        let mut outputs = self.outputs.clone();
        for output in &mut outputs {
            output.value = new.place[output.value.index()];
        }
        for (state, delay) in states[states.len() - unnamed.len()..].iter().zip(unnamed) {
            let Node { op, operands, .. } = new.nodes[new.place[delay.index()].index()].clone();
            let Op::Delay(d) = op else {
                unreachable!("only delays are collected")
            };
            let Input { name, ty, .. } = new.inputs[state.input].clone();
            let value = new.push(Op::Boundary(d), operands, ty, None);
            outputs.push(Output {
                name,
                role: OutputRole::Final,
                value,
            });
        }
        let tape = Tape {
            name: self.name.clone(),
            nodes: new.nodes,
            inputs: new.inputs,
            outputs,
        };
        Ok((tape, states))
    }

    /// The states, whose inputs are declared where they lack one, and for each delay and boundary (its distance and
    /// operands) with a declared start, the number of its state. Delays that are no state become one.
    fn starts(
        &self,
        inputs: &mut Vec<Input>,
    ) -> Result<(Starts, Vec<CarriedState>, Vec<Value>), TapeError> {
        let mut starts = Starts::default();
        let mut states: Vec<CarriedState> = Vec::new();
        let finals = self.outputs.iter().enumerate();
        for (output, o) in finals.filter(|(_, o)| o.role == OutputRole::Final) {
            let node = self.node(o.value);
            if let Op::Input { id, .. } = self.node(node.operands[1]).op
                && inputs[id].role == InputRole::Initial
            {
                states.push(CarriedState {
                    output,
                    input: id,
                    flag: None,
                });
                continue;
            }
            if let Some(&same) = starts.get(&key(node)) {
                // It is the same state under another name.
                let same: &CarriedState = &states[same];
                states.push(CarriedState {
                    output,
                    ..same.clone()
                });
                continue;
            }
            starts.insert(key(node), states.len());
            states.push(self.declare(inputs, output, &o.name, node.ty)?);
        }
        let live = self.needed(self.outputs.iter().map(|o| o.value));
        let mut unnamed = Vec::new();
        for i in (0..self.nodes.len()).filter(|&i| live[i]) {
            let node = &self.nodes[i];
            let Op::Delay(d) = node.op else { continue };
            let start = self.node(node.operands[1]);
            let given =
                matches!(start.op, Op::Input { id, .. } if inputs[id].role == InputRole::Initial);
            if given || starts.contains_key(&key(node)) {
                continue;
            }
            let name = match &node.name {
                Some(name) => format!("delay({name})"),
                None => format!("delay(%{i})"),
            };
            let ty = Type::new(
                node.ty.shape,
                Domain::BoundarySlots(d.unsigned_abs() as usize),
            );
            starts.insert(key(node), states.len());
            let output = self.outputs.len() + unnamed.len();
            states.push(self.declare(inputs, output, &name, ty)?);
            unnamed.push(Value(i as u32));
        }
        Ok((starts, states, unnamed))
    }

    /// Declares the inputs of a state that has none.
    fn declare(
        &self,
        inputs: &mut Vec<Input>,
        output: usize,
        name: &str,
        ty: Type,
    ) -> Result<CarriedState, TapeError> {
        let flag = Type::new(Shape::Scalar, ty.domain);
        let names = [name.to_string(), format!("carried({name})")];
        for (name, ty) in names.into_iter().zip([ty, flag]) {
            if inputs.iter().any(|i| *i.name == *name)
                || output >= self.outputs.len() && self.output(&name).is_some()
            {
                return Err(TapeError::CarriedName {
                    program: self.name.to_string(),
                    name,
                });
            }
            inputs.push(Input {
                name: name.into(),
                role: InputRole::Initial,
                ty,
                range: None,
                // Set when the nodes are made.
                value: Value(u32::MAX),
            });
        }
        Ok(CarriedState {
            output,
            input: inputs.len() - 2,
            flag: Some(inputs.len() - 1),
        })
    }

    /// Checks that a run needs nothing of the steps after its last.
    fn needs_no_later_steps(&self) -> Result<(), TapeError> {
        let roots = |loss: bool| {
            let outputs = self.outputs.iter();
            let wanted = outputs.filter(move |o| loss || o.role != OutputRole::Loss);
            wanted.map(|o| o.value)
        };
        let live = self.needed(roots(true));
        // What outputs, states and values of each step need: of sums over all steps, only a loss may be made.
        let over_steps = |v: &Value| self.node(*v).ty.domain == Domain::Step;
        let steps = (0..self.nodes.len() as u32).map(Value);
        let steps = steps.filter(|v| live[v.index()] && over_steps(v));
        let of_steps = self.needed(steps.chain(roots(false)));
        let refusal = |value: String, why: &str| TapeError::NeedsLaterSteps {
            program: self.name.to_string(),
            value,
            why: why.to_owned(),
        };
        // The number of steps, which a mean divides by, is named only if nothing else is summed.
        let mut count = Ok(());
        for (i, node) in self.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
            let v = Value(i as u32);
            let leaves = node.ty.domain != Domain::Step && node.operands.iter().any(over_steps);
            match node.op {
                Op::Delay(d @ ..0) | Op::Boundary(d @ ..0) => {
                    let mut finals = self.outputs.iter().filter(|o| o.role == OutputRole::Final);
                    let state = finals.find(|o| self.node(o.value).operands == node.operands);
                    let name = state.map(|o| format!("the state `{}`", o.name));
                    let name = name.unwrap_or_else(|| self.describe(v));
                    let why = format!("begins at the end of the steps (delay {d})");
                    return Err(refusal(name, &why));
                }
                Op::Boundary(_) if self.nodes.iter().any(|n| n.operands.contains(&v)) => {
                    let what = self.describe(self.unspread(node.operands[0]));
                    return Err(refusal(what, "is read as it is after the last step"));
                }
                Op::Boundary(_) => {}
                _ if leaves && (node.ty.domain != Domain::Once || of_steps[i]) => {
                    let x = node.operands.iter().copied().find(over_steps);
                    let x = self.unspread(x.unwrap_or(v));
                    let refused = Err(refusal(self.describe(x), "is summed over all steps"));
                    match self.node(x).op {
                        Op::Constant { .. } => count = count.and(refused),
                        _ => return refused,
                    }
                }
                _ => {}
            }
        }
        count
    }

    /// The value itself, if this is one that was only spread or reshaped.
    fn unspread(&self, mut v: Value) -> Value {
        while let (Op::Spread(_) | Op::Reshape(_), None) = (self.node(v).op, &self.node(v).name) {
            v = self.node(v).operands[0];
        }
        v
    }

    /// Whether each value is needed for these.
    fn needed(&self, roots: impl Iterator<Item = Value>) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        let mut work: Vec<Value> = roots.collect();
        while let Some(v) = work.pop() {
            if !std::mem::replace(&mut needed[v.index()], true) {
                work.extend(&self.node(v).operands);
            }
        }
        needed
    }
}

/// What the delay and the boundary of a state have in common: their distance and operands.
type Key = (Option<i32>, Operands);

/// The number of the state that a delay or boundary belongs to.
type Starts = HashMap<Key, usize>;

fn key(node: &Node) -> Key {
    let distance = match node.op {
        Op::Delay(d) | Op::Boundary(d) => Some(d),
        _ => None,
    };
    (distance, node.operands.clone())
}

/// A program under construction.
struct Rewritten {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    /// The new value of each old one, so far.
    place: Vec<Value>,
}

impl Rewritten {
    /// Copies the nodes, and lets delays and boundaries begin with what is carried.
    fn rewrite(&mut self, nodes: &[Node], starts: &Starts, states: &[CarriedState]) {
        // All inputs come first, because engines take them in the order of their nodes.
        for id in 0..self.inputs.len() {
            let Input {
                ty,
                name,
                value: old,
                ..
            } = self.inputs[id].clone();
            let value = self.push(Op::Input { id, ty }, smallvec![], ty, Some(name));
            if let Some(old) = nodes.get(old.index()) {
                let new = &mut self.nodes[value.index()];
                (new.at, new.place) = (old.at, old.place);
            }
            self.inputs[id].value = value;
        }
        let mut made: HashMap<usize, Value> = HashMap::default();
        for node in nodes {
            if let Op::Input { id, .. } = node.op {
                self.place.push(self.inputs[id].value);
                continue;
            }
            let mut operands: Operands = node.operands.clone();
            for (k, x) in operands.iter_mut().enumerate() {
                // The next value of a state comes later, and is set below.
                let later = k == 0 && matches!(node.op, Op::Delay(_));
                *x = if later { *x } else { self.place[x.index()] };
            }
            if let Some(&k) = starts.get(&key(node)) {
                let start = made.entry(k);
                operands[1] = *start.or_insert_with(|| self.select(&states[k], operands[1]));
            }
            self.place.push(Value(self.nodes.len() as u32));
            self.nodes.push(Node {
                operands,
                ..node.clone()
            });
        }
        for node in &mut self.nodes {
            if let Op::Delay(_) = node.op {
                node.operands[0] = self.place[node.operands[0].index()];
            }
        }
    }

    fn push(
        &mut self,
        op: Op,
        operands: Operands,
        ty: Type,
        name: Option<std::sync::Arc<str>>,
    ) -> Value {
        self.nodes.push(Node {
            op,
            operands,
            ty,
            name,
            at: None,
            place: None,
        });
        Value(self.nodes.len() as u32 - 1)
    }

    /// The carried value of a state, or its declared start, row by row.
    fn select(&mut self, state: &CarriedState, declared: Value) -> Value {
        let ty = self.inputs[state.input].ty;
        let carried = self.inputs[state.input].value;
        let flag = state.flag.expect("only these are selected");
        let mut flag = self.inputs[flag].value;
        if ty.shape != Shape::Scalar {
            flag = self.push(Op::Broadcast(ty.shape), smallvec![flag], ty, None);
        }
        let operands = smallvec![flag, carried, declared];
        self.push(Op::Map(Map::Select), operands, ty, None)
    }
}
