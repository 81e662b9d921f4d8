//! *tangent*: adds the tangent step to the graph (forward mode), from the one table of derivative rules: the product of
//! the Jacobian of chosen outputs with respect to chosen inputs and a vector that is given at run time.
//!
//! The tangent of a step is a step in the same direction of time. `delay` and `boundary` are jointly linear in their
//! operand and their initial value, so the tangent of `delay(x, init)` is `delay(ẋ, init̊)`; every other op has its
//! rule in [`rules::jvp`]. The rules are closed and the adjoint of a step is a step: run after *adjoint*, with
//! gradients as its outputs, this pass computes Hessian-vector products (Pearlmutter 1994, "Fast exact multiplication
//! by the Hessian"), at a small multiple of the gradient's cost.

use retrograd_tape::{Algebra, Domain, InputRole, Map, Op, OutputRole, Type, Value, rules};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::{Graph, zeros};
use crate::passes::adjoint::Differentiate;

/// Which Jacobian-vector product: the derivatives of `of` along `along`, both given by position in the graph that the
/// pass receives.
#[derive(Clone, Debug, Default)]
pub struct Tangents {
    /// Inputs that vary. Each gets a new input of its type named `tan(<input>)`, its direction. All others are
    /// constant.
    pub along: Vec<usize>,
    /// Outputs whose tangents become outputs of their types named `tan(<output>)`.
    pub of: Vec<usize>,
}

impl Tangents {
    /// The tangents of the gradients that [`adjoint`](super::adjoint::adjoint) will add to `g` after its outputs: the
    /// product of the Hessian's rows `wrt` and columns `along` with a vector.
    pub fn of_gradients(g: &Graph, what: &Differentiate, along: Vec<usize>) -> Tangents {
        let first = g.outputs().len();
        Tangents {
            along,
            of: (first..first + what.wrt.len()).collect(),
        }
    }
}

/// Adds the tangent step.
pub fn tangent(g: &Graph, what: &Tangents) -> Graph {
    let mut new = g.clone();

    // Nodes on a path from a varying input to a requested output, through delays too: only these need a tangent.
    let moving = g.below(what.along.iter().map(|&i| g.inputs()[i].value));
    let wanted = g.above(what.of.iter().map(|&o| g.outputs()[o].value));

    let mut tangents: HashMap<Value, Value> = HashMap::default();
    for &i in &what.along {
        let input = &g.inputs()[i];
        let name = format!("tan({})", input.name);
        let t = new.input(&name, InputRole::Tangent, input.ty);
        tangents.insert(input.value, t);
    }

    // The tangent of a delay's first operand may come later than the delay's own.
    let mut open = Vec::new();
    for v in g.order() {
        if !(moving.contains(&v) && wanted.contains(&v)) || tangents.contains_key(&v) {
            continue;
        }
        let xs = g.operands(v);
        let ty = g.node(v).ty;
        let t = match *g.op_of(v) {
            Op::Delay(d) => {
                let t = new.open_delay(d, ty.shape);
                open.push((t, xs[0], xs[1]));
                Some(t)
            }
            Op::Boundary(d) if xs.iter().any(|x| tangents.contains_key(x)) => {
                let (x, init) = carried(&mut new, &tangents, xs[0], xs[1]);
                Some(new.op(Op::Boundary(d), &[x, init]))
            }
            op => {
                let mut sum = None;
                for (i, x) in xs.iter().enumerate() {
                    if let Some(&tx) = tangents.get(x)
                        && let Some(part) = rules::jvp(&mut new, &op, &xs, v, i, tx)
                    {
                        sum = Some(match sum {
                            Some(before) => new.map2(Map::Add, before, part),
                            None => part,
                        });
                    }
                }
                sum
            }
        };
        if let Some(t) = t {
            tangents.insert(v, t);
        }
    }
    for (t, x, init) in open {
        let (x, init) = carried(&mut new, &tangents, x, init);
        new.close_delay(t, x, init);
    }

    for &o in &what.of {
        let output = &g.outputs()[o];
        let t = match tangents.get(&output.value) {
            Some(&t) => t,
            None => zeros(&mut new, g.node(output.value).ty),
        };
        new.output(&format!("tan({})", output.name), OutputRole::Tangent, t);
    }
    new.prune();
    new
}

/// The tangents of the two operands of a delay or boundary, zeros for operands that do not vary.
fn carried(
    new: &mut Graph,
    tangents: &HashMap<Value, Value>,
    x: Value,
    init: Value,
) -> (Value, Value) {
    let shape = new.ty(x).shape;
    let t = match tangents.get(&x) {
        Some(&t) => t,
        None => zeros(new, Type::new(shape, Domain::Step)),
    };
    let t0 = match tangents.get(&init) {
        Some(&t0) => t0,
        None => new.zeros(shape),
    };
    (t, t0)
}
