//! *adjoint*: adds the backward step to the graph, from the one table of derivative rules.
//!
//! The adjoint of a step is a step: the adjoint of `delay(d)` is `delay(-d)`, whose slots beyond the end are the
//! cotangents of the final values, and whose boundary at the other end holds those of the initial values. Both
//! directions together are one graph.
//!
//! An output of role [`OutputRole::Observed`] becomes the adjoint of its value, the cotangent that the pass collects
//! for it anyway.

use retrograd_tape::{Algebra, Domain, InputRole, Map, Op, OutputRole, Type, Value, rules};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::{Graph, zeros};

/// The cotangent assigned to an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// The constant 1: differentiate this output (the loss).
    One,
    /// A new input named `cot(<output>)`, of the output's type.
    Given,
}

/// What to differentiate: outputs with their seeds, and inputs whose gradients are requested, by position.
#[derive(Clone, Debug, Default)]
pub struct Differentiate {
    /// Outputs and their cotangents; all others have cotangent 0.
    pub seeds: Vec<(usize, Seed)>,
    /// Inputs whose gradients become outputs named `grad(<input>)`.
    pub wrt: Vec<usize>,
}

impl Differentiate {
    /// The gradients of the loss with respect to all parameters.
    pub fn loss(g: &Graph) -> Differentiate {
        Differentiate {
            seeds: g
                .outputs()
                .iter()
                .enumerate()
                .filter(|(_, o)| o.role == OutputRole::Loss)
                .map(|(i, _)| (i, Seed::One))
                .collect(),
            wrt: g
                .inputs()
                .iter()
                .enumerate()
                .filter(|(_, i)| i.role == InputRole::Param)
                .map(|(i, _)| i)
                .collect(),
        }
    }
}

/// Adds the adjoint step, and replaces the outputs of observed values by their adjoints.
pub fn adjoint(g: &Graph, what: &Differentiate) -> Graph {
    let order = g.order();
    let mut a = Adjoint::new(g, what);
    a.seed(what);
    a.open_delays(&order);
    for &v in order.iter().rev() {
        match *g.op_of(v) {
            _ if !a.is_active(v) => {}
            op @ (Op::Delay(d) | Op::Boundary(d)) => a.transpose_delay(v, op, d),
            op => a.transpose(v, op),
        }
    }
    a.finish(what)
}

/// The walk from outputs to inputs.
struct Adjoint<'g> {
    g: &'g Graph,
    new: Graph,
    /// Nodes on a path from a requested input to a seeded output, through delays too: only these need a cotangent.
    active: HashSet<Value>,
    /// The cotangents collected so far.
    cotangents: HashMap<Value, Value>,
    /// Keyed by the delay's distance and operands.
    groups: HashMap<(i32, Value, Value), Group>,
    /// Reverse delays, each with its operand and its initial value.
    closing: Vec<(Value, Value, Value)>,
}

/// A delay and its boundary, whose transposes are one reverse delay. It adds to the cotangent of x at once; its operand
/// is known only when the walk has reached the whole group.
struct Group {
    reverse: Value,
    /// Number of the group's nodes that the walk has not reached.
    waiting: usize,
    /// Cotangent of the delay.
    steps: Option<Value>,
    /// Cotangent of the boundary.
    ends: Option<Value>,
}

impl<'g> Adjoint<'g> {
    fn new(g: &'g Graph, what: &Differentiate) -> Self {
        let wanted = what.wrt.iter().map(|&i| g.inputs()[i].value);
        let below = g.below(wanted.chain(g.observed()));
        let above = g.above(what.seeds.iter().map(|&(o, _)| g.outputs()[o].value));
        Adjoint {
            g,
            new: g.clone(),
            active: below.intersection(&above).copied().collect(),
            cotangents: HashMap::default(),
            groups: HashMap::default(),
            closing: Vec::new(),
        }
    }

    fn is_active(&self, v: Value) -> bool {
        self.active.contains(&v)
    }

    fn add(&mut self, v: Value, t: Value) {
        let sum = match self.cotangents.get(&v) {
            Some(&before) => self.new.map2(Map::Add, before, t),
            None => t,
        };
        self.cotangents.insert(v, sum);
    }

    /// The total cotangent of a value, once all of its users have been visited.
    fn cotangent(&mut self, v: Value) -> Value {
        let there = self.cotangents.get(&v).copied();
        there.unwrap_or_else(|| zeros(&mut self.new, self.g.node(v).ty))
    }

    /// The cotangents that the walk starts from.
    fn seed(&mut self, what: &Differentiate) {
        for &(o, seed) in &what.seeds {
            let output = &self.g.outputs()[o];
            let ty = self.g.node(output.value).ty;
            let t = match seed {
                Seed::One => {
                    let one = self.new.constant(1.0, ty.shape);
                    self.new.spread(one, ty.domain)
                }
                Seed::Given => {
                    let name = format!("cot({})", output.name);
                    self.new.input(&name, InputRole::Cotangent, ty)
                }
            };
            self.add(output.value, t);
        }
    }

    /// Opens a reverse delay for every group.
    fn open_delays(&mut self, order: &[Value]) {
        let g = self.g;
        for &v in order {
            let (true, &(Op::Delay(d) | Op::Boundary(d))) = (self.is_active(v), g.op_of(v)) else {
                continue;
            };
            let xs = g.operands(v);
            let key = (d, xs[0], xs[1]);
            if !self.groups.contains_key(&key) {
                let reverse = self.new.open_delay(-d, g.node(v).ty.shape);
                if self.is_active(xs[0]) {
                    self.add(xs[0], reverse);
                }
                let group = Group {
                    reverse,
                    waiting: 0,
                    steps: None,
                    ends: None,
                };
                self.groups.insert(key, group);
            }
            let group = self.groups.get_mut(&key).expect("it is there now");
            group.waiting += 1;
        }
    }

    /// The transpose of a delay by `d`, or of its boundary, as far as it is known: complete at the group's last node.
    fn transpose_delay(&mut self, v: Value, op: Op, d: i32) {
        let (g, new) = (self.g, &mut self.new);
        let xs = g.operands(v);
        let group = self.groups.get_mut(&(d, xs[0], xs[1]));
        let group = group.expect("active delays have a group");
        let part = match op {
            Op::Delay(_) => &mut group.steps,
            _ => &mut group.ends,
        };
        *part = match (*part, self.cotangents.get(&v).copied()) {
            (Some(a), Some(b)) => Some(new.map2(Map::Add, a, b)),
            (a, b) => a.or(b),
        };
        group.waiting -= 1;
        if group.waiting > 0 {
            return;
        }
        let shape = g.node(v).ty.shape;
        let steps = group
            .steps
            .unwrap_or_else(|| zeros(new, Type::new(shape, Domain::Step)));
        #[cfg(feature = "faults")]
        if d.abs() == 2
            && retrograd_tape::faults::active(retrograd_tape::faults::Fault::BoundaryOfTwo)
        {
            group.ends = None;
        }
        let ends = group.ends.unwrap_or_else(|| new.zeros(shape));
        self.closing.push((group.reverse, steps, ends));
        if self.active.contains(&xs[1]) {
            let slots = new.op(Op::Boundary(-d), &[steps, ends]);
            let t = new.sum_to(slots, g.node(xs[1]).ty.domain);
            self.add(xs[1], t);
        }
    }

    /// Adds a node's contributions to the cotangents of its operands.
    fn transpose(&mut self, v: Value, op: Op) {
        let Some(&t) = self.cotangents.get(&v) else {
            return;
        };
        let xs = self.g.operands(v);
        for (i, &x) in xs.iter().enumerate() {
            if self.is_active(x)
                && let Some(tx) = rules::vjp(&mut self.new, &op, &xs, v, i, t)
            {
                self.add(x, tx);
            }
        }
    }

    /// Closes the delays, and adds the requested outputs.
    fn finish(mut self, what: &Differentiate) -> Graph {
        for (reverse, steps, ends) in std::mem::take(&mut self.closing) {
            self.new.close_delay(reverse, steps, ends);
        }
        for (k, o) in self.g.outputs().iter().enumerate() {
            if o.role == OutputRole::Observed {
                let adjoint = self.cotangent(o.value);
                self.new.answer(k, adjoint);
            }
        }
        for &i in &what.wrt {
            let input = &self.g.inputs()[i];
            let gradient = self.cotangent(input.value);
            let name = format!("grad({})", input.name);
            self.new.output(&name, OutputRole::Gradient, gradient);
        }
        self.new.prune();
        self.new
    }
}
