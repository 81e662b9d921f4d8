//! What is no fault of any engine, but bites: kinks, numbers that are not finite, gradients that explode or vanish,
//! parameters without influence, saturated gates, and outputs that depend on later steps.

use std::fmt;

use retrograd_tape::generate::{inputs, without_limits};
use retrograd_tape::{Domain, Extent, InputRole, Interpreter, Map, Op, OutputRole, Tape};
use serde::Serialize;

use crate::lyapunov::exponents;
use crate::numerics::Numerics;
use crate::random::Random;
use crate::sample::slices;
use crate::subject::{Program, Subject};

/// Something to know about a cell, although all engines agree on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Values come so near to a kink or jump of an op that f32 may be on its other side.
    Kinks {
        /// Cases in which they do.
        cases: usize,
        /// Cases.
        of: usize,
    },
    /// Numbers overflow or have no value, on every engine.
    NotFinite {
        /// Cases in which they do in f64.
        double: usize,
        /// Cases in which they do in f32.
        single: usize,
        /// Cases.
        of: usize,
    },
    /// How fast a change of the states grows from step to step (natural logarithm), along the directions in which it grows
    /// most: the Lyapunov exponents of the recurrence, by products of its Jacobian with tangents that are made orthogonal
    /// after each step (Benettin et al. 1980), the median over several draws of the initial parameters and inputs.
    Exponents {
        /// The greatest of them, in order.
        exponents: Vec<f64>,
        /// What they say about gradients over many steps.
        gradients: GradientFlow,
    },
    /// A parameter, or an input, that no output, loss or final state depends on.
    NoInfluence {
        /// Its name.
        name: String,
    },
    /// A sigmoid or tanh that begins at its bounds, where hardly any gradient passes.
    Saturated {
        /// The value's name, or its op and number.
        name: String,
        /// The share of its numbers within 1 % of a bound, at the initial parameters.
        share: f64,
    },
    /// An output at a step depends on inputs of later steps: it cannot be computed sample by sample.
    LaterSteps {
        /// Its name.
        name: String,
    },
}

/// What becomes of gradients over many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GradientFlow {
    /// They grow.
    Explodes,
    /// They neither grow nor are gone within a few steps.
    Keeps,
    /// They are halved every other step, or faster.
    Vanishes,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Kinks { cases, of } => write!(
                f,
                "in {cases} of {of} cases values come so near to a kink or jump that a rounding of f32 decides between its sides"
            ),
            Finding::NotFinite { double, single, of } => write!(
                f,
                "numbers are not finite on any engine in {double} of {of} cases in f64, and in {single} in f32"
            ),
            Finding::Exponents {
                exponents,
                gradients,
            } => {
                let first = exponents.first().copied().unwrap_or(0.0);
                let all: Vec<String> = exponents.iter().map(|x| format!("{x:.3}")).collect();
                write!(f, "Lyapunov exponents at the start: {}; ", all.join(", "))?;
                let steps = std::f64::consts::LN_2 / first.abs();
                match gradients {
                    GradientFlow::Explodes => {
                        write!(f, "gradients explode, they double every {steps:.1} steps")
                    }
                    GradientFlow::Keeps => write!(f, "gradients last"),
                    GradientFlow::Vanishes => {
                        write!(
                            f,
                            "gradients vanish, they are halved every {steps:.1} steps"
                        )
                    }
                }
            }
            Finding::NoInfluence { name } => {
                write!(f, "nothing depends on `{name}`: its gradient is always 0")
            }
            Finding::Saturated { name, share } => write!(
                f,
                "{name} begins saturated: {:.0} % of its numbers are within 1 % of a bound",
                100.0 * share
            ),
            Finding::LaterSteps { name } => write!(
                f,
                "the output `{name}` depends on later steps: it cannot be computed sample by sample"
            ),
        }
    }
}

/// What is counted while cases run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    cases: usize,
    kinks: usize,
    infinite: [usize; 2],
}

impl Tally {
    pub(crate) fn add(&mut self, numerics: &Numerics) {
        self.cases += 1;
        let [double, single] = numerics.finite();
        self.infinite[0] += usize::from(!double);
        self.infinite[1] += usize::from(!single);
        self.kinks += usize::from(double && numerics.meets_kink());
    }
}

/// Runs with different numbers that every finding is made of.
const DRAWS: u64 = 5;

/// Steps and rows of such a run.
const EXTENT: Extent = Extent { steps: 6, rows: 2 };

/// All findings on a subject, in a program of its first sizes.
pub(crate) fn findings(subject: &dyn Subject, seed: u64, tally: &Tally) -> Vec<Finding> {
    let mut found = Vec::new();
    if tally.kinks > 0 {
        let (cases, of) = (tally.kinks, tally.cases);
        found.push(Finding::Kinks { cases, of });
    }
    let [double, single] = tally.infinite;
    if single > 0 {
        let of = tally.cases;
        found.push(Finding::NotFinite { double, single, of });
    }
    let Ok(program) = subject.program() else {
        return found;
    };
    if let Some(exponents) = exponents(&program, seed) {
        let first = exponents.first().copied().unwrap_or(0.0);
        let gradients = match first {
            x if x > 0.01 => GradientFlow::Explodes,
            x if x < -0.5 * std::f64::consts::LN_2 => GradientFlow::Vanishes,
            _ => GradientFlow::Keeps,
        };
        found.push(Finding::Exponents {
            exponents,
            gradients,
        });
    }
    let runs: Vec<Vec<Vec<f64>>> = (0..DRAWS).map(|k| numbers(&program, seed + k)).collect();
    found.extend(without_influence(&program.tape, &runs));
    found.extend(saturated(&program.tape, &runs));
    found.extend(later_steps(&program.tape, &runs));
    found
}

/// Numbers for all inputs, with the cell's own initial parameters.
pub(crate) fn numbers(program: &Program, seed: u64) -> Vec<Vec<f64>> {
    let tape = &program.tape;
    let mut all = inputs(tape, EXTENT.steps, EXTENT.rows, seed);
    with_parameters(program, tape, &mut all, seed);
    all
}

/// Puts the cell's initial parameters among the inputs of a tape that has them.
pub(crate) fn with_parameters(program: &Program, tape: &Tape, all: &mut [Vec<f64>], seed: u64) {
    let Some(parameters) = &program.parameters else {
        return;
    };
    let names = program.tape.inputs().iter();
    let names = names.filter(|i| i.role == InputRole::Param);
    for (own, values) in names.zip(parameters(seed)) {
        if let Some(k) = tape.input(&own.name) {
            all[k] = values;
        }
    }
}

/// Inputs whose gradients are zero in every run, whatever the cotangents.
fn without_influence(tape: &Tape, runs: &[Vec<Vec<f64>>]) -> Vec<Finding> {
    let tape = without_limits(tape);
    let mut still = vec![true; tape.inputs().len()];
    for given in runs {
        let mut run = Interpreter::<f64>::new(&tape);
        if run.forward(EXTENT, &slices(given)).is_err() {
            return Vec::new();
        }
        let mut random = Random::new(17);
        let cotangents: Vec<Vec<f64>> = (0..tape.outputs().len())
            .map(|k| run.output(k).iter().map(|_| random.next()).collect())
            .collect();
        let cotangents: Vec<Option<&[f64]>> = cotangents.iter().map(|c| Some(&c[..])).collect();
        if run.backward(&cotangents).is_err() {
            return Vec::new();
        }
        for (k, still) in still.iter_mut().enumerate() {
            let moves = |g: &[f64]| g.iter().any(|g| *g != 0.0);
            *still &= !run.gradient(k).is_some_and(moves);
        }
    }
    // Row numbers have no gradients; what they choose has.
    let whole = |k: usize| {
        let nodes = tape.nodes().iter();
        let input = tape.inputs()[k].value;
        nodes.clone().any(|n| {
            n.operands.contains(&input)
                && matches!(n.op, Op::Gather | Op::Scatter { .. } | Op::Spread(_))
        })
    };
    let all = tape.inputs().iter().enumerate();
    let all = all.filter(|(k, i)| still[*k] && (i.role == InputRole::Param || !whole(*k)));
    all.filter(|(_, i)| {
        matches!(
            i.role,
            InputRole::Param | InputRole::Sequence | InputRole::Static
        )
    })
    .map(|(_, i)| Finding::NoInfluence {
        name: i.name.to_string(),
    })
    .collect()
}

/// Sigmoids and tanhs nine tenths of whose numbers lie within 1 % of a bound.
fn saturated(tape: &Tape, runs: &[Vec<Vec<f64>>]) -> Vec<Finding> {
    let bounds = |op: &Op| match op {
        Op::Map(Map::Sigmoid) => Some((0.0, 1.0)),
        Op::Map(Map::Tanh) => Some((-1.0, 1.0)),
        _ => None,
    };
    let mut counts = vec![(0, 0); tape.nodes().len()];
    for given in runs {
        let mut run = Interpreter::<f64>::with_gradients(tape, |_| false);
        if run.forward(EXTENT, &slices(given)).is_err() {
            return Vec::new();
        }
        for (i, node) in tape.nodes().iter().enumerate() {
            let Some((low, high)) = bounds(&node.op) else {
                continue;
            };
            let value = tape_value(tape, i).and_then(|v| run.value(v).ok());
            let near = 0.01 * (high - low);
            for x in value.unwrap_or_default() {
                counts[i].1 += 1;
                counts[i].0 += usize::from(x < low + near || x > high - near);
            }
        }
    }
    let shares = counts.iter().enumerate().filter(|(_, (_, all))| *all > 0);
    shares
        .map(|(i, (near, all))| (i, *near as f64 / *all as f64))
        .filter(|(_, share)| *share > 0.9)
        .filter_map(|(i, share)| {
            let name = tape.describe(tape_value(tape, i)?);
            Some(Finding::Saturated { name, share })
        })
        .collect()
}

/// The handle of a node: what reads it has one.
fn tape_value(tape: &Tape, i: usize) -> Option<retrograd_tape::Value> {
    let read = tape.nodes().iter().flat_map(|n| n.operands.iter());
    let outputs = tape.outputs().iter().map(|o| &o.value);
    read.chain(outputs).find(|v| v.index() == i).copied()
}

/// Outputs of each step whose value at the first step has a gradient in an input of a later one.
fn later_steps(tape: &Tape, runs: &[Vec<Vec<f64>>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let outputs = tape.outputs().iter().enumerate();
    let of_step = |o: &retrograd_tape::Output| {
        o.role == OutputRole::Output && tape.node(o.value).ty.domain == Domain::Step
    };
    for (k, output) in outputs.filter(|(_, o)| of_step(o)) {
        let mut run = Interpreter::<f64>::new(tape);
        let later = runs.iter().any(|given| {
            if run.forward(EXTENT, &slices(given)).is_err() {
                return false;
            }
            let mut cotangent = vec![0.0; run.output(k).len()];
            let step = cotangent.len() / EXTENT.steps;
            cotangent[..step].fill(1.0);
            let mut cotangents: Vec<Option<&[f64]>> = vec![None; tape.outputs().len()];
            cotangents[k] = Some(&cotangent);
            run.backward(&cotangents).is_ok()
                && tape.inputs().iter().enumerate().any(|(i, input)| {
                    let own = input.ty.domain == Domain::Step;
                    let after = |g: &[f64]| g[g.len() / EXTENT.steps..].iter().any(|g| *g != 0.0);
                    own && run.gradient(i).is_some_and(after)
                })
        });
        if later {
            found.push(Finding::LaterSteps {
                name: output.name.to_string(),
            });
        }
    }
    found
}
