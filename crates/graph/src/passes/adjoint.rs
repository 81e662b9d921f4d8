//! *adjoint*: adds the backward step to the graph, from the one table of derivative rules.
//!
//! The adjoint of a step is a step: that of `delay(d)` is `delay(-d)`, whose slots beyond the end are the cotangents of
//! the final values, and what leaves at its other end belongs to the initial values. Both directions together are one
//! graph.
//!
//! An output of role [`OutputRole::Observed`] becomes the adjoint of its value: the cotangent that is collected there anyhow.

use retrograd_tape::{Algebra, Domain, InputRole, Map, Op, OutputRole, Type, Value, rules};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::{Graph, zeros};

/// The cotangent that an output is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// The constant 1: differentiate this output (the loss).
    One,
    /// A new input named `cot(<output>)`, of the output's type.
    Given,
}

/// What to differentiate: outputs with their seeds, and inputs whose gradients are wanted, by position.
#[derive(Clone, Debug, Default)]
pub struct Differentiate {
    /// Outputs and their cotangents; all others have cotangent 0.
    pub seeds: Vec<(usize, Seed)>,
    /// Inputs whose gradients become outputs named `grad(<input>)`.
    pub wrt: Vec<usize>,
}

impl Differentiate {
    /// The gradients of the loss in all parameters.
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

/// Adds the adjoint step, and gives observed values' outputs their adjoints.
pub fn adjoint(g: &Graph, what: &Differentiate) -> Graph {
    let mut new = g.clone();
    let order = g.order();

    // Nodes on a path from a wanted input to a seeded output, over delays too: only these need a cotangent.
    let wanted = what.wrt.iter().map(|&i| g.inputs()[i].value);
    let below = g.below(wanted.chain(g.observed()));
    let above = g.above(what.seeds.iter().map(|&(o, _)| g.outputs()[o].value));
    let active = |v: Value| below.contains(&v) && above.contains(&v);

    let mut cots = Cotangents {
        cot: HashMap::default(),
    };
    for &(o, seed) in &what.seeds {
        let output = g.outputs()[o].clone();
        let ty = g.node(output.value).ty;
        let t = match seed {
            Seed::One => {
                let one = new.constant(1.0, ty.shape);
                new.spread(one, ty.domain)
            }
            Seed::Given => new.input(&format!("cot({})", output.name), InputRole::Cotangent, ty),
        };
        cots.add(&mut new, output.value, t);
    }

    // A delay and the boundary of the same operands are transposed together, by one reverse delay. It adds to the
    // cotangent of x at once; what it delays is known only when the walk has reached all of its group.
    let mut groups: HashMap<(i32, Value, Value), Group> = HashMap::default();
    let mut closing = Vec::new();
    for &v in &order {
        if let (true, &(Op::Delay(d) | Op::Boundary(d))) = (active(v), g.op_of(v)) {
            let xs = g.operands(v);
            let group = groups.entry((d, xs[0], xs[1])).or_insert_with(|| {
                let reverse = new.open_delay(-d, g.node(v).ty.shape);
                if active(xs[0]) {
                    cots.add(&mut new, xs[0], reverse);
                }
                Group {
                    reverse,
                    waiting: 0,
                    steps: None,
                    ends: None,
                }
            });
            group.waiting += 1;
        }
    }

    for &v in order.iter().rev().filter(|&&v| active(v)) {
        let xs = g.operands(v);
        let cot = cots.cot.get(&v).copied();
        let op = *g.op_of(v);
        if let Op::Delay(d) | Op::Boundary(d) = op {
            let group = groups
                .get_mut(&(d, xs[0], xs[1]))
                .expect("active delays have a group");
            let part = if matches!(op, Op::Delay(_)) {
                &mut group.steps
            } else {
                &mut group.ends
            };
            *part = match (*part, cot) {
                (Some(a), Some(b)) => Some(new.map2(Map::Add, a, b)),
                (a, b) => a.or(b),
            };
            group.waiting -= 1;
            if group.waiting == 0 {
                let shape = g.node(v).ty.shape;
                let steps = group
                    .steps
                    .unwrap_or_else(|| zeros(&mut new, Type::new(shape, Domain::Step)));
                let ends = group.ends.unwrap_or_else(|| new.zeros(shape));
                closing.push((group.reverse, steps, ends));
                if active(xs[1]) {
                    let slots = new.op(Op::Boundary(-d), &[steps, ends]);
                    let to = g.node(xs[1]).ty.domain;
                    let t = new.sum_to(slots, to);
                    cots.add(&mut new, xs[1], t);
                }
            }
        } else if let Some(t) = cot {
            for (i, &x) in xs.iter().enumerate() {
                if active(x)
                    && let Some(tx) = rules::vjp(&mut new, &op, &xs, v, i, t)
                {
                    cots.add(&mut new, x, tx);
                }
            }
        }
    }
    for (reverse, steps, ends) in closing {
        new.close_delay(reverse, steps, ends);
    }

    for (k, o) in g.outputs().iter().enumerate() {
        if o.role == OutputRole::Observed {
            let adjoint = cots.of(&mut new, o.value);
            new.answer(k, adjoint);
        }
    }
    for &i in &what.wrt {
        let input = &g.inputs()[i];
        let gradient = cots.of(&mut new, input.value);
        new.output(
            &format!("grad({})", input.name),
            OutputRole::Gradient,
            gradient,
        );
    }
    new.prune();
    new
}

/// The cotangents collected so far.
struct Cotangents {
    cot: HashMap<Value, Value>,
}

impl Cotangents {
    /// The whole cotangent of a value, once all of its users have been seen.
    fn of(&self, g: &mut Graph, v: Value) -> Value {
        let ty = g.node(v).ty;
        let there = self.cot.get(&v).copied();
        there.unwrap_or_else(|| zeros(g, ty))
    }

    fn add(&mut self, g: &mut Graph, v: Value, t: Value) {
        let sum = match self.cot.get(&v) {
            Some(&before) => g.map2(Map::Add, before, t),
            None => t,
        };
        self.cot.insert(v, sum);
    }
}

/// A delay and its boundary, whose transposes are one reverse delay.
struct Group {
    reverse: Value,
    /// Nodes of the group that the walk has not reached.
    waiting: usize,
    /// Cotangent of the delay.
    steps: Option<Value>,
    /// Cotangent of the boundary.
    ends: Option<Value>,
}
