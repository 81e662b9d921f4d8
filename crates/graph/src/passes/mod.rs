//! The passes, each a function from graph to graph, and the driver that runs them in order and, if [`Options::verify`]
//! is set, verifies the graph after each.

pub mod adjoint;
pub mod centred;
pub(crate) mod coarsest;
pub mod components;
pub mod flush;
pub(crate) mod halves;
pub mod legalize;
pub mod rematerialize;
pub mod round;
pub mod simplify;
pub mod split;
pub mod stack_products;
pub mod stream;
pub mod tangent;
pub mod unbatch;

use std::borrow::Cow;

use crate::graph::Graph;
use crate::options::{Bf16, Options};
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

/// Runs the derivations in order, and the passes that `options` enable, and returns the graph that the plan is built
/// from.
///
/// # Errors
/// [`Refused`], which says why.
///
/// # Panics
/// If a pass breaks a rule of the verifier and [`Options::verify`] is set; the message names the pass.
pub fn run(g: &Graph, derivations: &[Derivation], options: &Options) -> Result<Graph, Refused> {
    let mut pipeline = Pipeline::new(g, options.verify, None);
    pipeline.all(derivations, options)?;
    Ok(pipeline.graph.into_owned())
}

/// The graph after each pass of [`run`], from the record on. The last is what [`run`] returns.
///
/// # Errors
/// [`Refused`], which says why.
///
/// # Panics
/// As [`run`].
pub fn trace(g: &Graph, derivations: &[Derivation], options: &Options) -> Result<Trace, Refused> {
    let mut trace = Trace::new();
    let mut pipeline = Pipeline::new(g, options.verify, Some(&mut trace));
    pipeline.all(derivations, options)?;
    let last = (pipeline.pass, pipeline.graph.into_owned());
    trace.push(last);
    Ok(trace)
}

/// A program on its way through the passes.
struct Pipeline<'a> {
    /// What ran last, `record` before any pass.
    pass: &'static str,
    /// The program after it.
    graph: Cow<'a, Graph>,
    /// Whether to verify the program after each pass.
    verify: bool,
    /// Takes the programs that a pass has superseded. A compiler needs none of them, and to free one takes as long as a
    /// small pass.
    superseded: Option<&'a mut Trace>,
}

impl<'a> Pipeline<'a> {
    fn new(g: &'a Graph, verify: bool, superseded: Option<&'a mut Trace>) -> Self {
        Self {
            pass: "record",
            graph: Cow::Borrowed(g),
            verify,
            superseded,
        }
    }

    fn all(&mut self, derivations: &[Derivation], options: &Options) -> Result<(), Refused> {
        components::components(&self.graph)?;
        // `stop_gradient` is needed until the last derivation.
        if options.simplify {
            let last = derivations.is_empty();
            self.step("simplify", |g| simplify::simplify(g, last));
        }
        for (i, derivation) in derivations.iter().enumerate() {
            let (pass, next) = match derivation {
                Derivation::Adjoint(what) => ("adjoint", adjoint::adjoint(&self.graph, what)),
                Derivation::Tangent(what) => ("tangent", tangent::tangent(&self.graph, what)),
            };
            names_are_free(pass, &next)?;
            self.step(pass, |_| next);
            if options.simplify {
                let last = i + 1 == derivations.len();
                self.step("simplify", |g| simplify::simplify(g, last));
            }
        }
        if options.centred && centred::needed(&self.graph) {
            self.step("centred", centred::centred);
        }
        let rounds = options.bf16 != Bf16::Off;
        if rounds && round::along_axes(&self.graph) {
            self.step("round", round::round_along_axes);
        }
        if unbatch::needed(&self.graph) {
            self.step("unbatch", unbatch::unbatch);
        }
        if options.flush {
            self.step("flush", flush::flush);
        }
        if options.stack_products {
            self.step("split", split::split);
            if options.simplify {
                self.step("simplify", |g| simplify::simplify(g, true));
            }
            self.step("stack_products", |g| {
                stack_products::stack_products(g, options)
            });
        }
        self.step("legalize", legalize::legalize);
        if rounds {
            self.step("round", round::round);
        }
        if options.rematerialize {
            self.step("rematerialize", rematerialize::rematerialize);
        }
        Ok(())
    }

    fn step(&mut self, pass: &'static str, apply: impl FnOnce(&Graph) -> Graph) {
        let next = apply(&self.graph);
        if self.verify {
            verified(pass, &next);
        }
        let before = std::mem::replace(&mut self.graph, Cow::Owned(next));
        let ran = std::mem::replace(&mut self.pass, pass);
        if let Some(trace) = &mut self.superseded {
            trace.push((ran, before.into_owned()));
        }
    }
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

fn verified(pass: &str, g: &Graph) {
    if let Err(broken) = verify(g) {
        panic!("pass `{pass}` broke {broken}\n{g}");
    }
}
