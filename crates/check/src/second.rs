//! Compares compiled tangents and Hessian-vector products of one program with finite differences in f64, and with each
//! other.
//!
//! With random c (one number for each of the outputs), L(x) = Σ c·output and g = ∂L/∂x are functions of all inputs but row
//! numbers. Along random directions u, v of length 1 these must hold:
//!
//! - c·(J v) is the difference of L along v, and equals g·v: forward mode against the function, and against reverse mode;
//! - u·(H v) is the difference of u·g along v, g from the tape: forward over reverse against reverse;
//! - u·(H v) = v·(H u): a Hessian is symmetric.
//!
//! **Differences** have the tolerance of `gradcheck`: the truncation that two step widths show, and 4 ulp for each node
//! and step over h, of the size of what is differenced. The gradient has at most 9 times as many nodes as the
//! program, and sums up terms of the size of L and of its own numbers. Directions near a kink, or in which
//! the truncation would hide an error, are rejected as there, and others drawn.
//!
//! What a cell gives, its plan's interpreter gives too.
//!
//! **Equalities** of two computed sums: within [`Sample::exact`] · (1 + Σ|terms|), the f64 rule of `checks.rs`.

use std::cell::Cell;

use retrograd_graph::Options;
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::generate::jittered;
use retrograd_tape::{CentralDifferences, DifferenceQuotients, Interpreter, TapeError};

use crate::agree::ulps;
use crate::numerics::MOST;
use crate::random::Random;
use crate::runs::{Planned, planned, run_over};
use crate::sample::{Sample, slices};

/// Nodes of the adjoint for one of the program: the rule with the most (max) makes 8.
const ADJOINT: f64 = 9.0;

/// The greatest truncation that is accepted, relative to the size of the function and its derivative, as in `gradcheck`.
const CURVED: f64 = 1e-4;

/// The greatest truncation, relative to the derivative's own terms, of which the two widths tell how great it is.
const TOLD: f64 = 1e-4;

/// Directions that are tried before a program is given up as too near to a kink everywhere.
const TRIES: usize = 6;

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// How many differences: of L, of g.
    pub differences: [usize; 2],
    /// The greatest error of an equality between modes, as a share of its tolerance.
    pub modes: f64,
    /// The greatest error of a difference of L, and of g, likewise.
    pub worst: [f64; 2],
}

type Arrays = Vec<Vec<f64>>;

fn pairs<'a>(a: &'a [Vec<f64>], b: &'a [Vec<f64>]) -> impl Iterator<Item = f64> + 'a {
    (a.iter().zip(b)).flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b))
}

fn dot(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    pairs(a, b).sum()
}

fn size(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    pairs(a, b).map(f64::abs).sum()
}

/// Numbers that move: in place of infinite ones, such as a greatest value so far where there are no steps, zeros.
fn finite(numbers: &[f64]) -> Vec<f64> {
    let finite = |x: &f64| if x.is_infinite() { 0.0 } else { *x };
    numbers.iter().map(finite).collect()
}

/// The difference of two numbers as a share of what is allowed.
fn near(what: &str, a: f64, b: f64, tolerance: f64) -> Result<f64, String> {
    let off = (a - b).abs();
    match off <= tolerance {
        true => Ok(off / tolerance),
        false => Err(format!(
            "{what}: {a:e} and {b:e} differ by {off:e}, allowed {tolerance:e}"
        )),
    }
}

/// A compiled cell.
struct Compiled<'s> {
    cell: CompiledCell<f64>,
    sample: &'s Sample<'s>,
    /// What it was compiled for, and with which passes.
    compiled_for: (Purpose, Options),
    /// Its plan, until the interpreter has run it.
    plan: Cell<Option<Planned>>,
}

impl<'s> Compiled<'s> {
    fn new(sample: &'s Sample<'s>, purpose: &Purpose, options: &Options) -> Result<Self, String> {
        let cell = CompiledCell::compile_with(sample.tape, purpose, options);
        let cell = cell.map_err(|e| e.to_string())?;
        Ok(Compiled {
            cell,
            sample,
            compiled_for: (purpose.clone(), options.clone()),
            plan: Cell::new(None),
        })
    }

    /// The same, whose plan is interpreted once.
    fn interpreted(
        sample: &'s Sample<'s>,
        purpose: &Purpose,
        options: &Options,
    ) -> Result<Self, String> {
        let compiled = Compiled::new(sample, purpose, options)?;
        let plan = planned(sample.tape, purpose, options)?;
        compiled.plan.set(Some(plan));
        Ok(compiled)
    }

    /// That the plan's interpreter gives what the cell has given.
    fn plan_agrees(
        &self,
        plan: &Planned,
        given: &[&[f64]],
        found: &[Vec<f64>],
    ) -> Result<(), String> {
        let right = plan.interpret(self.sample, given)?;
        let compared = self.compare(&right, found, self.sample.exact);
        if compared.is_ok() {
            return compared;
        }
        // Derivatives can be more sensitive to roundings than what they are derivatives of.
        match self.sensitivity(given, &right)? {
            own if own <= MOST => self.compare(&right, found, own.max(self.sample.exact)),
            _ => Ok(()),
        }
    }

    /// What roundings of ops and inputs make of these results, as [`Numerics`](crate::numerics::Numerics) has it for those
    /// of the program itself.
    fn sensitivity(&self, given: &[&[f64]], right: &Arrays) -> Result<f64, String> {
        const UNIT: f64 = 1e-9;
        let (purpose, options) = &self.compiled_for;
        let mut most: f64 = 0.0;
        for k in 0..4 {
            // Ops jitter as a whole; what sums of equal numbers cancel shows when the inputs move one by one.
            let mut random = Random::new(k);
            let mut moved = |x: f64| x + UNIT * random.next() * (1.0 + x.abs());
            let given: Arrays = (given.iter().zip(self.cell.inputs()))
                .map(|(xs, input)| match xs.is_empty() {
                    // States that are not given begin as zeros.
                    true => vec![0.0; self.sample.lengths.numbers(input.ty)],
                    false => xs.to_vec(),
                })
                .map(|xs| xs.into_iter().map(&mut moved).collect())
                .collect();
            let off = jittered(self.sample.tape, UNIT, k);
            let off = planned(&off, purpose, options)?.interpret(self.sample, &slices(&given))?;
            for (a, b) in right.iter().zip(&off) {
                let (a, b) = (finite(a), finite(b));
                let size = a.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                let moved = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / (1.0 + size));
                most = moved.fold(most, f64::max);
            }
        }
        Ok(16.0 * (most / UNIT * f64::EPSILON + ulps(self.sample, f64::EPSILON)))
    }

    /// That numbers are equal within a tolerance for numbers of the order of 1.
    fn compare(&self, right: &Arrays, found: &[Vec<f64>], exact: f64) -> Result<(), String> {
        for ((a, b), output) in found.iter().zip(right).zip(self.cell.outputs()) {
            let (a, b) = (finite(a), finite(b));
            let most = b.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (i, (a, b)) in a.iter().zip(&b).enumerate() {
                let what = format!("number {i} of `{}`, and interpreted", output.name);
                near(&what, *a, *b, exact * (1.0 + most))?;
            }
        }
        Ok(())
    }

    /// The outputs of these names. The first time, the plan's interpreter has to agree about all of them, if there is one.
    fn run(&self, given: &[&[f64]], names: &[String]) -> Result<Arrays, String> {
        let cell = &self.cell;
        let len = |k| self.sample.lengths.numbers(cell.output_type(k));
        let mut out: Arrays = (0..cell.outputs().len())
            .map(|k| vec![f64::NAN; len(k)])
            .collect();
        let mut places: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        let ran = run_over(&mut cell.executor(), self.sample, given, &mut places);
        ran.map_err(|e| e.to_string())?;
        if let Some(plan) = self.plan.take() {
            self.plan_agrees(&plan, given, &out)?;
        }
        let find = |name: &String| {
            let k = cell.output(name);
            k.map(|k| out[k].clone())
                .ok_or_else(|| format!("there is no output `{name}`"))
        };
        names.iter().map(find).collect()
    }
}

fn wrapped(f: &str, names: &[String]) -> Vec<String> {
    names.iter().map(|n| format!("{f}({n})")).collect()
}

fn arrays<'a>(a: &'a [Vec<f64>], more: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<&'a [f64]> {
    a.iter().chain(more).map(Vec::as_slice).collect()
}

/// A program compiled for products with its Jacobian, at a point.
struct Subject<'s> {
    sample: &'s Sample<'s>,
    /// The inputs that can be moved, and their values.
    free: Vec<usize>,
    point: Arrays,
    free_names: Vec<String>,
    output_names: Vec<String>,
    /// J v.
    forward: Compiled<'s>,
    /// Cotangents of the outputs.
    c: Arrays,
    /// The outputs at the point.
    values: Arrays,
    /// The tape's gradient of c · outputs.
    gradient: Arrays,
}

impl<'s> Subject<'s> {
    fn new(
        sample: &'s Sample<'s>,
        differences: &mut CentralDifferences<'_>,
        compiled: impl FnOnce(&Purpose) -> Result<Compiled<'s>, String>,
        random: &mut Random,
    ) -> Result<Self, String> {
        let tape = sample.tape;
        let count = tape.inputs().len();
        let free: Vec<usize> = (0..count).filter(|&i| differences.moves(i)).collect();
        let free_names: Vec<String> = (free.iter())
            .map(|&i| tape.inputs()[i].name.to_string())
            .collect();
        let output_names: Vec<String> = tape.outputs().iter().map(|o| o.name.to_string()).collect();
        let outputs = (0..tape.outputs().len()).map(|k| finite(differences.run().output(k)));
        let values: Arrays = outputs.collect();
        let forward = Purpose::JacobianVector {
            along: free_names.clone(),
            of: output_names.clone(),
        };
        let point = free.iter().map(|&i| differences.point()[i].clone());
        let mut subject = Subject {
            sample,
            forward: compiled(&forward)?,
            c: random.like(&values),
            values,
            point: point.collect(),
            free,
            free_names,
            output_names,
            gradient: Vec::new(),
        };
        let gradient = subject.gradient(differences.run());
        subject.gradient = gradient.map_err(|e| e.to_string())?;
        Ok(subject)
    }

    fn tangents(&self, v: &[Vec<f64>]) -> Result<Arrays, String> {
        let given = arrays(&self.sample.inputs, v);
        self.forward
            .run(&given, &wrapped("tan", &self.output_names))
    }

    /// Two sums of these terms are equal.
    fn equal(&self, what: &str, a: f64, b: f64, terms: f64) -> Result<f64, String> {
        near(what, a, b, self.sample.exact * (1.0 + terms))
    }

    /// c·(J v) = g·v: forward mode against reverse mode. The first, the size of its terms, and the share of its tolerance.
    fn modes(&self, v: &[Vec<f64>]) -> Result<(f64, f64, f64), String> {
        let jv = self.tangents(v)?;
        let (tangent, jv_terms) = (dot(&self.c, &jv), size(&self.c, &jv));
        let terms = jv_terms + size(&self.gradient, v);
        let share = self.equal("c·(J v) and g·v", tangent, dot(&self.gradient, v), terms)?;
        Ok((tangent, jv_terms, share))
    }

    /// The tape's gradient of c · outputs, where its run stands.
    fn gradient(&self, run: &mut Interpreter<f64>) -> Result<Arrays, TapeError> {
        let cotangents: Vec<Option<&[f64]>> = self.c.iter().map(|c| Some(&c[..])).collect();
        run.backward(&cotangents)?;
        let read = |(&i, x): (&usize, &Vec<f64>)| match run.gradient(i) {
            Some(g) => g.to_vec(),
            None => vec![0.0; x.len()],
        };
        Ok(self.free.iter().zip(&self.point).map(read).collect())
    }

    /// Central differences along v: of c · outputs, and of u · gradient.
    fn along(
        &self,
        differences: &mut CentralDifferences<'_>,
        u: &[Vec<f64>],
        v: &[Vec<f64>],
    ) -> Result<DifferenceQuotients, TapeError> {
        // All inputs, row numbers too, which stay.
        let zeros = differences.point().iter().map(|x| vec![0.0; x.len()]);
        let mut along: Arrays = zeros.collect();
        for (&i, v) in self.free.iter().zip(v) {
            along[i].clone_from(v);
        }
        differences.along(&along, |run| {
            let outputs: Arrays = (0..self.c.len()).map(|k| finite(run.output(k))).collect();
            Ok(vec![dot(&self.c, &outputs), dot(u, &self.gradient(run)?)])
        })
    }

    /// A random direction of length 1.
    fn unit(&self, random: &mut Random) -> Arrays {
        let mut u = random.like(&self.point);
        let length = dot(&u, &u).sqrt();
        u.iter_mut().flatten().for_each(|u| *u /= length);
        u
    }
}

/// Gradients and products with Hessians.
struct Hessian<'s> {
    compiled: Compiled<'s>,
}

impl<'s> Hessian<'s> {
    fn new(subject: &Subject<'s>, options: &Options) -> Result<Hessian<'s>, String> {
        // The loss has a cotangent of its own here: it is an output like any other.
        let hessian = Purpose::HessianVector {
            given: subject.output_names.clone(),
            loss: false,
            wrt: subject.free_names.clone(),
            along: subject.free_names.clone(),
        };
        let compiled = Compiled::interpreted(subject.sample, &hessian, options)?;
        Ok(Hessian { compiled })
    }

    /// The gradient and the Hessian's product with v.
    fn products(&self, subject: &Subject<'_>, v: &[Vec<f64>]) -> Result<(Arrays, Arrays), String> {
        let given = arrays(&subject.sample.inputs, subject.c.iter().chain(v));
        let gradients = wrapped("grad", &subject.free_names);
        let hv = self.compiled.run(&given, &wrapped("tan", &gradients))?;
        Ok((self.compiled.run(&given, &gradients)?, hv))
    }
}

fn differences<'a>(sample: &'a Sample<'_>) -> Result<CentralDifferences<'a>, String> {
    CentralDifferences::ragged(sample.tape, &sample.lengths, &slices(&sample.inputs))
        .map_err(|e| e.to_string())
}

/// Forward mode against reverse mode, c·(J v) = g·v, along two random directions. The greatest share of its tolerance.
///
/// # Errors
/// What went wrong.
pub fn modes(sample: &Sample<'_>, options: &Options) -> Result<f64, String> {
    let mut random = Random::new(sample.seed ^ 0x5ec0);
    let mut differences = differences(sample)?;
    let compiled = |purpose: &Purpose| Compiled::new(sample, purpose, options);
    let subject = Subject::new(sample, &mut differences, compiled, &mut random)?;
    let mut worst: f64 = 0.0;
    for _ in 0..2 {
        worst = worst.max(subject.modes(&subject.unit(&mut random))?.2);
    }
    Ok(worst)
}

/// All that is checked of one program, with the passes that `options` want.
///
/// # Errors
/// What went wrong.
pub fn second_order(sample: &Sample<'_>, options: &Options) -> Result<Compared, String> {
    let mut random = Random::new(sample.seed ^ 0x5ec0);
    let mut differences = differences(sample)?;
    let compiled = |purpose: &Purpose| Compiled::interpreted(sample, purpose, options);
    let subject = Subject::new(sample, &mut differences, compiled, &mut random)?;
    let hessian = Hessian::new(&subject, options)?;
    let (c, gradient) = (&subject.c, &subject.gradient);
    let ulps = 4.0 * (sample.tape.nodes().len() * sample.t()) as f64 * f64::EPSILON;
    let scale = size(c, &subject.values);
    let mut compared = Compared::default();
    for _ in 0..TRIES {
        let (u, v) = (subject.unit(&mut random), subject.unit(&mut random));
        let (tangent, jv_terms, share) = subject.modes(&v)?;
        compared.modes = compared.modes.max(share);

        let (g, hv) = hessian.products(&subject, &v)?;
        let (_, hu) = hessian.products(&subject, &u)?;
        let bend = dot(&u, &hv);
        subject.equal("g of both", dot(&g, &u), dot(gradient, &u), size(&g, &u))?;
        let terms = size(&u, &hv) + size(&v, &hu);
        subject.equal("u·(H v) and v·(H u)", bend, dot(&v, &hu), terms)?;

        let found = subject.along(&mut differences, &u, &v);
        let found = found.map_err(|e| e.to_string())?;
        if found.near_kink {
            continue;
        }
        let bent = scale + size(&u, gradient);
        let checks = [
            ("J v", tangent, scale, 1.0, jv_terms),
            ("H v", bend, bent, ADJOINT, size(&u, &hv)),
        ];
        for (k, (what, exact, size, nodes, terms)) in checks.into_iter().enumerate() {
            let (quotient, truncation) = (found.quotients[k], found.truncation[k]);
            // The two widths' difference tells the truncation where it is small beside what is measured: a program that is
            // chaotic bends more between them than it says.
            let told = truncation <= TOLD * (terms + quotient.abs());
            if told && truncation <= CURVED * (size + quotient.abs()) {
                let rounding = nodes * ulps * (size / CentralDifferences::H + terms);
                let tolerance = truncation + rounding + f64::MIN_POSITIVE;
                let share = near(what, exact, quotient, tolerance)?;
                compared.worst[k] = compared.worst[k].max(share);
                compared.differences[k] += 1;
            }
        }
        if compared.differences.iter().all(|n| *n > 0) {
            break;
        }
    }
    Ok(compared)
}
