//! The step graph: what one time step computes, with batch and time implicit, over petgraph.
//!
//! Invariant: every node but a `delay` comes after its operands in [`Graph::order`]; cycles exist only through the
//! first operand of a delay. Passes do not edit a graph, they rebuild it ([`Rebuild`]), and a rebuild does not copy
//! unused nodes.

mod rebuild;
mod to_tape;

use std::panic::Location;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeRef, NodeIndexable};
use retrograd_tape::{
    Algebra, Domain, Input, InputRole, Map, Observe, Op, Operands, Output, OutputRole, Shape, Tape,
    Type, Value,
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::work;
pub(crate) use rebuild::{Rebuild, Rewrite, rebuild, rebuild_and_tell, rewrite};

/// One op of the graph; its operands are the incoming edges, weighted with their slot.
#[derive(Clone, Debug)]
pub struct GraphNode {
    /// The op that computes it.
    pub op: Op,
    /// The sources of the incoming edges in slot order, cached because they are read more often than anything else.
    operands: Operands,
    /// Shape and domain of the result.
    pub ty: Type,
    /// The user's name for the value.
    pub name: Option<Arc<str>>,
    /// The line of the user's program that recorded it.
    pub at: Option<&'static Location<'static>>,
}

/// A step graph with its inputs and outputs.
#[derive(Clone, Debug)]
pub struct Graph {
    name: Arc<str>,
    net: StableDiGraph<GraphNode, usize>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    /// Indexed by value: how many outputs the value is. Shorter than the node table if no later value is an output.
    yields: Vec<u32>,
    known: HashMap<(Op, Operands), Value>,
}

fn index(v: Value) -> NodeIndex {
    NodeIndex::new(v.index())
}

fn value(n: NodeIndex) -> Value {
    Value(n.index() as u32)
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Graph {
        Graph {
            name: name.into(),
            net: StableDiGraph::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            yields: Vec::new(),
            known: HashMap::default(),
        }
    }

    /// The graph of a recorded program, node for node; equal nodes are one.
    pub fn from_tape(tape: &Tape) -> Graph {
        Graph::observing(tape, &[]).expect("there is no name to be wrong")
    }

    /// The graph of a recorded program with additional outputs for these values and adjoints, named `value(…)` and
    /// `adjoint(…)`. An adjoint starts as an output of role [`OutputRole::Observed`] that holds the value itself;
    /// *adjoint* replaces it. The node of such a value is not merged with equal ones: the adjoint of one must not
    /// become that of both.
    ///
    /// # Errors
    /// The first observed name that belongs to no value.
    pub fn observing<'o>(tape: &Tape, observe: &'o [Observe]) -> Result<Graph, &'o str> {
        let mut observed: Vec<(&Observe, Value)> = Vec::new();
        for o in observe {
            observed.push((o, tape.find(o.name()).ok_or(o.name())?));
        }
        let opaque = |i: usize| {
            let adjoint = |o: &Observe| matches!(o, Observe::Adjoint(_));
            observed.iter().any(|(o, v)| adjoint(o) && v.index() == i)
        };
        let mut g = Graph::new(tape.name());
        let mut map: Vec<Value> = Vec::with_capacity(tape.nodes().len());
        let mut open = Vec::new();
        for node in tape.nodes() {
            let v = match node.op {
                Op::Input { id, .. } => {
                    let input = &tape.inputs()[id];
                    g.input(&input.name, input.role, input.ty)
                }
                Op::Delay(d) => {
                    let v = g.open_delay(d, node.ty.shape);
                    open.push((v, node.operands[0], node.operands[1]));
                    v
                }
                op => {
                    let xs: Operands = node.operands.iter().map(|x| map[x.index()]).collect();
                    if opaque(map.len()) {
                        g.add(op, &xs, node.ty)
                    } else {
                        g.op(op, &xs)
                    }
                }
            };
            g.label(v, node.name.clone(), node.at);
            map.push(v);
        }
        for (v, x, init) in open {
            g.close_delay(v, map[x.index()], map[init.index()]);
        }
        for o in tape.outputs() {
            g.output(&o.name, o.role, map[o.value.index()]);
        }
        for (o, v) in observed {
            let role = match o {
                Observe::Value(_) => OutputRole::Output,
                Observe::Adjoint(_) => OutputRole::Observed,
            };
            if g.outputs().iter().all(|k| *k.name != *o.to_string()) {
                g.output(&o.to_string(), role, map[v.index()]);
            }
        }
        Ok(g)
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The inputs in order. Every input has a node, used or not.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }
    /// The outputs in order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    /// A node.
    pub fn node(&self, v: Value) -> &GraphNode {
        &self.net[index(v)]
    }
    /// A node's op.
    pub fn op_of(&self, v: Value) -> &Op {
        &self.net[index(v)].op
    }
    /// A node's operands in the order of their slots.
    pub fn operands(&self, v: Value) -> Operands {
        let xs = &self.node(v).operands;
        work::note(xs.len() + 1);
        xs.clone()
    }
    /// The nodes that use a value, once per use, in no particular order.
    pub fn users(&self, v: Value) -> impl Iterator<Item = Value> + '_ {
        self.net
            .edges_directed(index(v), Direction::Outgoing)
            .map(|e| {
                work::note(1);
                value(e.target())
            })
    }
    /// These values and everything that depends on them, through delays too.
    pub(crate) fn below(&self, from: impl Iterator<Item = Value>) -> HashSet<Value> {
        reached(from.collect(), |v| self.users(v).collect())
    }
    /// These values and everything they depend on, through delays too.
    pub(crate) fn above(&self, from: impl Iterator<Item = Value>) -> HashSet<Value> {
        reached(from.collect(), |v| self.operands(v).to_vec())
    }
    /// True if a value depends on another one, directly or not, at any step.
    pub fn depends_on(&self, v: Value, on: Value) -> bool {
        self.above([v].into_iter()).contains(&on)
    }
    /// True if a value is an output of the program.
    pub fn is_output(&self, v: Value) -> bool {
        self.times_output(v) > 0
    }
    /// How many of the program's outputs the value is.
    pub(crate) fn times_output(&self, v: Value) -> usize {
        self.yields.get(v.index()).map_or(0, |&n| n as usize)
    }
    /// Records one more output for a value.
    fn yields(&mut self, v: Value) {
        if self.yields.len() <= v.index() {
            self.yields.resize(v.index() + 1, 0);
        }
        self.yields[v.index()] += 1;
    }
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.net.node_count()
    }
    /// True if the graph has no nodes.
    pub fn is_empty(&self) -> bool {
        self.net.node_count() == 0
    }
    /// An upper bound on value indices, exclusive.
    pub(crate) fn bound(&self) -> usize {
        self.net.node_bound()
    }
    /// The graph as petgraph sees it, for its algorithms.
    pub(crate) fn net(&self) -> &StableDiGraph<GraphNode, usize> {
        &self.net
    }
    /// The value as messages name it.
    pub fn describe(&self, v: Value) -> String {
        match &self.node(v).name {
            Some(name) => format!("`{name}`"),
            None => format!("%{} ({})", v.0, self.node(v).op.name()),
        }
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, role: InputRole, ty: Type) -> Value {
        let id = self.inputs.len();
        let v = self.push(Op::Input { id, ty }, &[], ty);
        self.inputs.push(Input {
            name: name.into(),
            role,
            ty,
            value: v,
            range: None,
        });
        self.label(v, Some(name.into()), None);
        v
    }

    /// Adds an output.
    pub fn output(&mut self, name: &str, role: OutputRole, v: Value) {
        self.outputs.push(Output {
            name: name.into(),
            role,
            value: v,
        });
        self.yields(v);
    }

    /// The values whose adjoints are requested.
    pub(crate) fn observed(&self) -> Vec<Value> {
        let observed = |o: &&Output| o.role == OutputRole::Observed;
        let outputs = self.outputs.iter().filter(observed);
        outputs.map(|o| o.value).collect()
    }

    /// Replaces output `k`, of role [`OutputRole::Observed`], by the adjoint that it requested.
    pub(crate) fn answer(&mut self, k: usize, adjoint: Value) {
        self.outputs[k].role = OutputRole::Gradient;
        self.set_output(k, adjoint);
    }

    /// Drops the outputs for which `keep` is false.
    pub(crate) fn retain_outputs(&mut self, keep: impl Fn(&Graph, &Output) -> bool) {
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.retain(|o| keep(self, o));
        self.yields.clear();
        outputs.iter().for_each(|o| self.yields(o.value));
        self.outputs = outputs;
    }

    /// Replaces the value of an output.
    pub(crate) fn set_output(&mut self, k: usize, v: Value) {
        self.yields[self.outputs[k].value.index()] -= 1;
        self.yields(v);
        self.outputs[k].value = v;
    }

    /// Adds a delay whose operands are not known yet; [`close_delay`](Graph::close_delay) sets them.
    pub fn open_delay(&mut self, d: i32, shape: Shape) -> Value {
        let ty = Type::new(shape, Domain::Step);
        self.push(Op::Delay(d), &[], ty)
    }

    /// Sets the operands of an open delay.
    pub fn close_delay(&mut self, delay: Value, x: Value, init: Value) {
        self.read(delay, &[x, init]);
    }

    /// Sets the operands of a node that has none.
    fn read(&mut self, user: Value, xs: &[Value]) {
        for (slot, x) in xs.iter().enumerate() {
            self.net.add_edge(index(*x), index(user), slot);
        }
        self.net[index(user)].operands = xs.into();
    }

    /// Names a value that has no name yet.
    pub fn label(
        &mut self,
        v: Value,
        name: Option<Arc<str>>,
        at: Option<&'static Location<'static>>,
    ) {
        let node = &mut self.net[index(v)];
        if node.name.is_none() {
            node.name = name;
        }
        if node.at.is_none() {
            node.at = at;
        }
    }

    fn push(&mut self, op: Op, xs: &[Value], ty: Type) -> Value {
        let v = value(self.net.add_node(GraphNode {
            op,
            operands: Operands::new(),
            ty,
            name: None,
            at: None,
        }));
        self.read(v, xs);
        v
    }

    /// Adds an op without looking for an equal one and without checking it. For tests of the verifier and for the text
    /// reader; passes use [`Algebra::op`].
    pub fn add(&mut self, op: Op, xs: &[Value], ty: Type) -> Value {
        self.push(op, xs, ty)
    }

    /// Redirects every read of `from` by `user` to `to`.
    pub(crate) fn replace_operand(&mut self, user: Value, from: Value, to: Value) {
        let edges = self.net.edges_connecting(index(from), index(user));
        let edges: Vec<(_, usize)> = edges.map(|e| (e.id(), *e.weight())).collect();
        for (edge, slot) in edges {
            self.net.remove_edge(edge);
            self.net.add_edge(index(to), index(user), slot);
            self.net[index(user)].operands[slot] = to;
        }
    }

    /// Adds an op read from text, and registers it so that a pass that adds an equal one finds it.
    pub(crate) fn restore(&mut self, op: Op, xs: &[Value], ty: Type) -> Value {
        let v = self.push(op, xs, ty);
        let key = (op, Operands::from_slice(xs));
        self.known.entry(key).or_insert(v);
        v
    }

    /// Removes the nodes that no output needs, except inputs, so that the users of a value are exactly its live users.
    pub(crate) fn prune(&mut self) {
        let mut needed = vec![false; self.net.node_bound()];
        for v in self.order() {
            needed[v.index()] = true;
        }
        self.net.retain_nodes(|_, n| needed[n.index()]);
        self.known.retain(|_, v| needed[v.index()]);
    }

    /// All nodes that an output needs, each after its operands except that the operand of a delay may come later.
    /// Inputs come first. Deterministic: the order depends on the graph alone.
    pub fn order(&self) -> Vec<Value> {
        let mut seen = vec![false; self.net.node_bound()];
        let mut out = Vec::with_capacity(self.net.node_count());
        for i in &self.inputs {
            seen[i.value.index()] = true;
            out.push(i.value);
        }
        let mut roots: std::collections::VecDeque<Value> =
            self.outputs.iter().map(|o| o.value).collect();
        let mut stack: Vec<(Value, &[Value], usize)> = Vec::new();
        let operands = |v: Value| {
            let xs = self.node(v).operands.as_slice();
            work::note(xs.len() + 1);
            xs
        };
        while let Some(root) = roots.pop_front() {
            if !seen[root.index()] {
                seen[root.index()] = true;
                stack.push((root, operands(root), 0));
            }
            while let Some((v, xs, next)) = stack.last_mut() {
                let v = *v;
                let Some(&x) = xs.get(*next) else {
                    out.push(v);
                    stack.pop();
                    continue;
                };
                let carried = *next == 0 && matches!(self.op_of(v), Op::Delay(_));
                *next += 1;
                if seen[x.index()] {
                    continue;
                }
                if carried {
                    roots.push_back(x);
                } else {
                    seen[x.index()] = true;
                    stack.push((x, operands(x), 0));
                }
            }
        }
        out
    }
}

fn reached(mut work: Vec<Value>, next: impl Fn(Value) -> Vec<Value>) -> HashSet<Value> {
    let mut seen: HashSet<Value> = work.iter().copied().collect();
    while let Some(v) = work.pop() {
        work.extend(next(v).into_iter().filter(|&n| seen.insert(n)));
    }
    seen
}

impl Algebra for Graph {
    /// Adds an op, or returns the existing equal one.
    ///
    /// # Panics
    /// If the operands do not fit. Passes build from checked values, so that is a bug in the pass.
    fn op(&mut self, op: Op, xs: &[Value]) -> Value {
        let key = (op, Operands::from_slice(xs));
        // Two limits limit twice: the sum of both cotangents, limited, is another gradient.
        let single = op != Op::Map(Map::ClipGradient);
        if let Some(&v) = self.known.get(&key).filter(|_| single) {
            return v;
        }
        let types: Vec<Type> = xs.iter().map(|&x| self.node(x).ty).collect();
        let ty = op
            .infer(&types)
            .unwrap_or_else(|mismatch| panic!("{op} of {types:?}: {mismatch:?}"));
        let v = self.push(op, xs, ty);
        self.known.insert(key, v);
        v
    }

    fn ty(&self, v: Value) -> Type {
        self.node(v).ty
    }
}

/// The number, if `v` is a constant, scalar or shaped; looks through `spread`.
pub(crate) fn constant(g: &Graph, v: Value) -> Option<f64> {
    match g.op_of(v) {
        Op::Constant { value, .. } => Some(value.0),
        Op::Zeros(_) => Some(0.0),
        Op::Spread(_) => constant(g, g.operands(v)[0]),
        _ => None,
    }
}

/// True for the zeros of a derivative, which stay 0 whatever they are multiplied with. A 0 that the program writes is
/// not one of them.
pub(crate) fn is_zero(g: &Graph, v: Value) -> bool {
    match g.op_of(v) {
        Op::Zeros(_) => true,
        Op::Spread(_) => is_zero(g, g.operands(v)[0]),
        _ => false,
    }
}

/// A derivative's zeros of the given type.
pub(crate) fn zeros(g: &mut Graph, ty: Type) -> Value {
    let z = g.zeros(ty.shape);
    g.spread(z, ty.domain)
}

/// The operands of `v` if it is this element-wise op.
pub(crate) fn as_map(g: &Graph, v: Value, m: Map) -> Option<Operands> {
    (*g.op_of(v) == Op::Map(m)).then(|| g.operands(v))
}
