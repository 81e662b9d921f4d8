//! The passes, each a function from graph to graph, and the driver that runs them in order and, if [`Options::verify`]
//! is set, verifies the graph after each.

pub mod adjoint;
pub(crate) mod coarsest;
pub mod components;
pub mod flush;
pub(crate) mod halves;
pub mod legalize;
pub mod rematerialize;
pub mod simplify;
pub mod split;
pub mod stack_products;
pub mod stream;
pub mod tangent;
pub mod unbatch;

use crate::graph::Graph;
use crate::options::Options;
use crate::verify::{named_twice, verify};
use adjoint::Differentiate;
use tangent::Tangents;

/// The program after each pass, with the pass's name.
pub type Trace = Vec<(&'static str, Graph)>;

/// One differentiation of a program. It appends inputs and outputs to the existing ones, so the positions that the next
/// derivation names are known beforehand.
#[derive(Clone, Debug)]
pub enum Derivation {
    /// Reverse mode: gradients.
    Adjoint(Differentiate),
    /// Forward mode: the product of a Jacobian with a vector; of gradients, that of a Hessian.
    Tangent(Tangents),
}

/// A program that the passes reject.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A recurrence whose states need each other both forward and backward in time.
    #[error(transparent)]
    BothWays(#[from] retrograd_tape::BothWays),
    /// A program that is to run sample by sample but needs later samples.
    #[error(transparent)]
    Future(#[from] stream::NeedsFuture),
    /// A pass derives the names of its additions from the program's names, and the program already uses one of them.
    #[error("the {pass} adds {kind} `{name}`, and the program has one of that name already")]
    NameTaken {
        /// `adjoint`, `tangent` or `stream`.
        pass: &'static str,
        /// `an input` or `an output`.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

/// Runs the derivations in order, and the passes that `options` enable, and returns the graph after each pass. The plan
/// is built from the last.
///
/// # Errors
/// [`Refused`], which says why.
///
/// # Panics
/// If a pass breaks a rule of the verifier and [`Options::verify`] is set; the message names the pass.
pub fn run(g: &Graph, derivations: &[Derivation], options: &Options) -> Result<Trace, Refused> {
    components::components(g)?;
    let check = options.verify;
    let mut trace: Trace = vec![("record", g.clone())];
    // `stop_gradient` is needed until the last derivation.
    if options.simplify {
        let last = derivations.is_empty();
        step(&mut trace, check, "simplify", |g| {
            simplify::simplify(g, last)
        });
    }
    for (i, derivation) in derivations.iter().enumerate() {
        let (pass, next) = match derivation {
            Derivation::Adjoint(what) => ("adjoint", adjoint::adjoint(last(&trace), what)),
            Derivation::Tangent(what) => ("tangent", tangent::tangent(last(&trace), what)),
        };
        names_are_free(pass, &next)?;
        step(&mut trace, check, pass, |_| next);
        if options.simplify {
            let last = i + 1 == derivations.len();
            step(&mut trace, check, "simplify", |g| {
                simplify::simplify(g, last)
            });
        }
    }
    if unbatch::needed(last(&trace)) {
        step(&mut trace, check, "unbatch", unbatch::unbatch);
    }
    if options.flush {
        step(&mut trace, check, "flush", flush::flush);
    }
    if options.stack_products {
        step(&mut trace, check, "split", split::split);
        if options.simplify {
            step(&mut trace, check, "simplify", |g| {
                simplify::simplify(g, true)
            });
        }
        step(&mut trace, check, "stack_products", |g| {
            stack_products::stack_products(g, options.distribute)
        });
    }
    step(&mut trace, check, "legalize", legalize::legalize);
    if options.rematerialize {
        step(
            &mut trace,
            check,
            "rematerialize",
            rematerialize::rematerialize,
        );
    }
    Ok(trace)
}

/// The program that *stream* leaves, as input to [`run`].
///
/// # Errors
/// [`Refused`], which says why.
///
/// # Panics
/// As [`run`].
pub fn streamed(g: &Graph, options: &Options) -> Result<stream::Stream, Refused> {
    components::components(g)?;
    let left = stream::stream(g)?;
    names_are_free("stream", &left.graph)?;
    if options.verify {
        verified("stream", &left.graph);
    }
    Ok(left)
}

/// Checks that a pass's additions do not reuse an existing name.
fn names_are_free(pass: &'static str, g: &Graph) -> Result<(), Refused> {
    match named_twice(g) {
        None => Ok(()),
        Some((kind, name)) => {
            let name = name.to_owned();
            Err(Refused::NameTaken { pass, kind, name })
        }
    }
}

fn last(trace: &Trace) -> &Graph {
    &trace.last().expect("it starts with one").1
}

/// Runs a pass on the last graph, and verifies the result if `check` is set.
fn step(trace: &mut Trace, check: bool, name: &'static str, pass: impl FnOnce(&Graph) -> Graph) {
    let next = pass(last(trace));
    if check {
        verified(name, &next);
    }
    trace.push((name, next));
}

fn verified(pass: &str, g: &Graph) {
    if let Err(broken) = verify(g) {
        panic!("pass `{pass}` broke {broken}\n{g}");
    }
}
