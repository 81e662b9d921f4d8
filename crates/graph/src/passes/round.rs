//! *round*: products take bfloat16 operands.
//!
//! If [`Options::bf16`](crate::Options::bf16) asks for it, both operands of every product with a weight, and of every weight
//! gradient, are rounded by the op `round_bf16`; the products sum in the program's own precision. A product with a
//! constant, or with what is computed from constants alone, is none of them: a sum is made of products with ones, a mean of
//! products with one over a count. (*stack_products* keeps them apart.) Everything else (states, activations, biases, and the
//! sum of δ beside a weight gradient) is not rounded.
//!
//! It runs after the last pass that looks at products, so these see a program without roundings. *legalize* has run then,
//! whose copies are equal nodes: so this adds nodes and rebuilds nothing, like *rematerialize*, the only pass behind it.
//! Products along axes, which *unbatch* replaces, are rounded before that.

use retrograd_tape::{Domain, Map, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::Graph;
use crate::passes::legalize::sums_over_points;

/// Rounds the operands of the products that the plan leaves to kernels: those of matrices.
pub fn round(g: &Graph) -> Graph {
    rounded(g, |rank| rank <= 2)
}

/// Rounds the operands of products along axes.
pub(crate) fn round_along_axes(g: &Graph) -> Graph {
    rounded(g, |rank| rank > 2)
}

/// True if there are products along axes.
pub(crate) fn along_axes(g: &Graph) -> bool {
    let constants = constants(g);
    g.order()
        .into_iter()
        .any(|v| rank(g, v) > 2 && is_rounded(g, &constants, v))
}

fn rounded(g: &Graph, of_rank: impl Fn(usize) -> bool) -> Graph {
    let constants = constants(g);
    let mut new = g.clone();
    // What several products read is rounded once.
    let mut made: HashMap<Value, Value> = HashMap::default();
    for v in g.order() {
        if !is_rounded(g, &constants, v) || !of_rank(rank(g, v)) {
            continue;
        }
        for x in g.operands(v) {
            let ty = g.node(x).ty;
            let rounding = || new.add(Op::Map(Map::RoundBf16), &[x], ty);
            let rounded = *made.entry(x).or_insert_with(rounding);
            new.replace_operand(v, x, rounded);
        }
    }
    new
}

/// The rank of a product's matrices.
fn rank(g: &Graph, v: Value) -> usize {
    let shape = |v: Value| g.node(v).ty.shape.rank();
    match g.op_of(v) {
        Op::MatVec { .. } => shape(g.operands(v)[0]),
        _ => shape(v),
    }
}

/// True for products with weights, and for weight gradients.
fn is_rounded(g: &Graph, constants: &HashSet<Value>, v: Value) -> bool {
    let xs = g.operands(v);
    let once = |k: usize| g.node(xs[k]).ty.domain == Domain::Once;
    let multiplies = match g.op_of(v) {
        Op::MatVec { .. } => once(0) && !once(1),
        Op::Outer { to: Domain::Once } => sums_over_points(g, v),
        _ => false,
    };
    multiplies && !xs.iter().any(|x| constants.contains(x))
}

/// The values that depend on no input and no state: constants, and what is computed from them alone.
pub(crate) fn constants(g: &Graph) -> HashSet<Value> {
    let mut found = HashSet::default();
    for v in g.order() {
        let of_constants = g.op_of(v).is_constant_of_constants();
        if of_constants && g.operands(v).iter().all(|x| found.contains(x)) {
            found.insert(v);
        }
    }
    found
}
