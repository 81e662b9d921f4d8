//! The passes, each a function from graph to graph, and the driver that runs them in order and verifies after each.

pub mod adjoint;
pub mod components;
pub mod fuse;
pub mod legalize;
pub mod recompute;
pub mod simplify;
pub mod split;
pub mod stream;
pub mod tangent;

use crate::graph::Graph;
use crate::options::Options;
use crate::verify::verify;
use adjoint::Differentiate;
use tangent::Tangents;

/// A program after each pass, by the pass's name.
pub type Trace = Vec<(&'static str, Graph)>;

/// One differentiation of a program. What it adds are inputs and outputs behind those that are there already, so the
/// positions that the next one names can be told beforehand.
#[derive(Clone, Debug)]
pub enum Derivation {
    /// Reverse mode: gradients.
    Adjoint(Differentiate),
    /// Forward mode: the product of a Jacobian with a vector; of gradients, that of a Hessian.
    Tangent(Tangents),
}

/// Runs the passes that `options` want on a program, after the derivations in their order, and returns what each pass
/// made of it. The last
/// graph is what the plan is made from.
///
/// # Errors
/// A recurrence whose states need each other both forward and backward in time.
///
/// # Panics
/// If a pass breaks a rule of the verifier; the message names the pass.
pub fn run(
    g: &Graph,
    derivations: &[Derivation],
    options: &Options,
) -> Result<Trace, components::BothWays> {
    components::components(g)?;
    let mut trace: Trace = vec![("record", g.clone())];
    let mut step = |name: &'static str, pass: &dyn Fn(&Graph) -> Graph| {
        let next = pass(&trace.last().expect("it starts with one").1);
        if let Err(broken) = verify(&next) {
            panic!("pass `{name}` broke {broken}\n{next}");
        }
        trace.push((name, next));
    };
    // `stop_gradient` is needed until the last derivation.
    if options.simplify {
        let last = derivations.is_empty();
        step("simplify", &|g| simplify::simplify(g, last));
    }
    for (i, derivation) in derivations.iter().enumerate() {
        match derivation {
            Derivation::Adjoint(what) => step("adjoint", &|g| adjoint::adjoint(g, what)),
            Derivation::Tangent(what) => step("tangent", &|g| tangent::tangent(g, what)),
        }
        if options.simplify {
            let last = i + 1 == derivations.len();
            step("simplify", &|g| simplify::simplify(g, last));
        }
    }
    if options.fuse {
        step("split", &split::split);
        if options.simplify {
            step("simplify", &|g| simplify::simplify(g, true));
        }
        step("fuse", &|g| fuse::fuse(g, options.distribute));
    }
    step("legalize", &legalize::legalize);
    if options.recompute {
        step("recompute", &recompute::recompute);
    }
    Ok(trace)
}
