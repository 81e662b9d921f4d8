//! The passes, each a function from graph to graph, and the driver that runs them in order and verifies after each.

pub mod adjoint;
pub mod components;
pub mod fuse;
pub mod legalize;
pub mod simplify;
pub mod split;

use crate::graph::Graph;
use crate::options::Options;
use crate::verify::verify;
use adjoint::Differentiate;

/// A program after each pass, by the pass's name.
pub type Trace = Vec<(&'static str, Graph)>;

/// Runs the passes that `options` want on a program, differentiating it first if asked to, and returns what each pass made of it. The last
/// graph is what the plan is made from.
///
/// # Errors
/// A recurrence whose states need each other both forward and backward in time.
///
/// # Panics
/// If a pass breaks a rule of the verifier; the message names the pass.
pub fn run(
    g: &Graph,
    differentiate: Option<&Differentiate>,
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
    let more = differentiate.is_some();
    if options.simplify {
        step("simplify", &|g| simplify::simplify(g, !more));
    }
    if let Some(what) = differentiate {
        step("adjoint", &|g| adjoint::adjoint(g, what));
        if options.simplify {
            step("simplify", &|g| simplify::simplify(g, true));
        }
    }
    if options.fuse {
        step("split", &split::split);
        if options.simplify {
            step("simplify", &|g| simplify::simplify(g, true));
        }
        step("fuse", &fuse::fuse);
    }
    step("legalize", &legalize::legalize);
    Ok(trace)
}
