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
//! and step over h, of the size of what is differenced. The gradient has at most [`ADJOINT`] times as many nodes as the
//! program, and sums up terms of the size of L and of its own numbers. Directions near a kink, or in which
//! the truncation would hide an error, are rejected as there, and others drawn.
//!
//! What a cell gives, its plan's interpreter gives too.
//!
//! **Equalities** of two computed sums: within 1e-10 · (1 + Σ|terms|), the f64 rule of `differential/check.rs`.

use std::cell::Cell;

use retrograd_graph::plan::{Blocking, Plan, plan};
use retrograd_graph::{Graph, Options, passes};
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::Lengths;
use retrograd_tape::generate::inputs_ragged;
use retrograd_tape::{CentralDifferences, DifferenceQuotients, Interpreter, Tape, TapeError};

/// Nodes of the adjoint for one of the program: the rule with the most (max) makes 8.
const ADJOINT: f64 = 9.0;

/// The greatest truncation that is accepted, relative to the size of the function and its derivative, as in `gradcheck`.
const CURVED: f64 = 1e-4;

/// The greatest truncation, relative to the derivative's own terms, of which the two widths tell how great it is.
const TOLD: f64 = 1e-4;

/// Directions that are tried before a program is given up as too near to a kink everywhere.
const TRIES: usize = 6;

/// How many differences were compared (of L, of g), or what went wrong.
pub(crate) type Verdict = Result<[usize; 2], String>;

/// SplitMix64 (Steele, Lea & Flood 2014), uniform in -1 ‥ 1.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
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

fn near(what: &str, a: f64, b: f64, tolerance: f64) -> Result<(), String> {
    let off = (a - b).abs();
    match off <= tolerance {
        true => Ok(()),
        false => Err(format!(
            "{what}: {a:e} and {b:e} differ by {off:e}, allowed {tolerance:e}"
        )),
    }
}

fn equal(what: &str, a: f64, b: f64, terms: f64) -> Result<(), String> {
    near(what, a, b, 1e-10 * (1.0 + terms))
}

/// A compiled cell, its plan, and the lengths of the rows that it runs for.
struct Compiled {
    cell: CompiledCell<f64>,
    plan: Plan,
    lengths: Lengths,
    /// The sizes and orders of the plan's interpreter, which must not matter; none once it has run.
    cut: Cell<Option<Blocking>>,
}

impl Compiled {
    fn new(
        tape: &Tape,
        purpose: &Purpose,
        options: &Options,
        (lengths, seed): (&Lengths, u64),
    ) -> Result<Compiled, String> {
        let cell = CompiledCell::compile_with(tape, purpose, options);
        let recorded = Graph::from_tape(tape);
        let what = purpose.derivations(&recorded).map_err(|e| e.to_string())?;
        let trace = passes::run(&recorded, &what, options).map_err(|e| e.to_string())?;
        let (_, graph) = trace.into_iter().last().expect("it starts with one");
        let cut = Blocking {
            steps: 1 + (seed % 4) as usize,
            lanes: 1 + (seed / 4 % 5) as usize,
            last_first: seed / 20 % 2 == 1,
            block: 1 + (seed / 40 % 5) as usize,
            replay: seed / 200 % 2 == 1,
        };
        Ok(Compiled {
            cell: cell.map_err(|e| e.to_string())?,
            plan: plan(&graph, options),
            lengths: lengths.clone(),
            cut: Cell::new(Some(cut)),
        })
    }

    /// The outputs of these names. The first time, the plan's interpreter has to agree about all of them.
    fn run(&self, given: &[&[f64]], names: &[String]) -> Result<Arrays, String> {
        let (cell, lengths) = (&self.cell, &self.lengths);
        let mut out: Arrays = (0..cell.outputs().len())
            .map(|k| vec![f64::NAN; cell.output_len_ragged(k, lengths)])
            .collect();
        let mut slices: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        let ran = cell.executor().run_ragged(lengths, given, &mut slices);
        ran.map_err(|e| e.to_string())?;
        if let Some(cut) = self.cut.take() {
            let right = self.plan.interpret_ragged(lengths, given, cut);
            let right = right.map_err(|e| e.to_string())?;
            for ((a, b), output) in out.iter().zip(&right).zip(cell.outputs()) {
                let (a, b) = (finite(a), finite(b));
                let most = b.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                for (i, (a, b)) in a.iter().zip(&b).enumerate() {
                    let what = format!("number {i} of `{}`, and interpreted", output.name);
                    equal(&what, *a, *b, most)?;
                }
            }
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

/// A program compiled both ways, at a point.
struct Subject {
    data: Arrays,
    /// The inputs that can be moved, and their values.
    free: Vec<usize>,
    point: Arrays,
    free_names: Vec<String>,
    output_names: Vec<String>,
    /// J v.
    forward: Compiled,
    /// The gradient, and H v.
    hessian: Compiled,
    /// Cotangents of the outputs.
    c: Arrays,
}

impl Subject {
    fn tangents(&self, v: &[Vec<f64>]) -> Result<Arrays, String> {
        let given = arrays(&self.data, v);
        self.forward
            .run(&given, &wrapped("tan", &self.output_names))
    }

    /// The gradient and the Hessian's product with v.
    fn products(&self, v: &[Vec<f64>]) -> Result<(Arrays, Arrays), String> {
        let given = arrays(&self.data, self.c.iter().chain(v));
        let gradients = wrapped("grad", &self.free_names);
        let hv = self.hessian.run(&given, &wrapped("tan", &gradients))?;
        Ok((self.hessian.run(&given, &gradients)?, hv))
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
}

/// All that is checked of one program, with the passes that `options` want.
pub(crate) fn second_order(
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
    options: &Options,
) -> Verdict {
    let text = |e: TapeError| e.to_string();
    let data = inputs_ragged(tape, lengths, seed);
    let mut differences =
        CentralDifferences::ragged(tape, lengths, &arrays(&data, [])).map_err(text)?;
    let free: Vec<usize> = (0..data.len()).filter(|&i| differences.moves(i)).collect();
    let free_names = free.iter().map(|&i| tape.inputs()[i].name.to_string());
    let free_names: Vec<String> = free_names.collect();
    let output_names = tape.outputs().iter().map(|o| o.name.to_string());
    let output_names: Vec<String> = output_names.collect();
    let mut random = Random(seed ^ 0x5ec0);
    let mut draw = |like: &[Vec<f64>]| -> Arrays {
        (like.iter())
            .map(|a| a.iter().map(|_| random.next()).collect())
            .collect()
    };
    let outputs = (0..tape.outputs().len()).map(|k| finite(differences.run().output(k)));
    let values: Arrays = outputs.collect();
    let forward = Purpose::JacobianVector {
        along: free_names.clone(),
        of: output_names.clone(),
    };
    // The loss has a cotangent of its own here: it is an output like any other.
    let hessian = Purpose::HessianVector {
        given: output_names.clone(),
        loss: false,
        wrt: free_names.clone(),
        along: free_names.clone(),
    };
    let point = free.iter().map(|&i| differences.point()[i].clone());
    let subject = Subject {
        forward: Compiled::new(tape, &forward, options, (lengths, seed))?,
        hessian: Compiled::new(tape, &hessian, options, (lengths, seed))?,
        c: draw(&values),
        point: point.collect(),
        data,
        free,
        free_names,
        output_names,
    };
    let gradient = subject.gradient(differences.run()).map_err(text)?;

    let ulps = 4.0 * (tape.nodes().len() * lengths.steps()) as f64 * f64::EPSILON;
    let scale = size(&subject.c, &values);
    let mut compared = [0, 0];
    for _ in 0..TRIES {
        let mut unit = || {
            let mut u = draw(&subject.point);
            let length = dot(&u, &u).sqrt();
            u.iter_mut().flatten().for_each(|u| *u /= length);
            u
        };
        let (u, v) = (unit(), unit());

        let jv = subject.tangents(&v)?;
        let tangent = dot(&subject.c, &jv);
        let jv_terms = size(&subject.c, &jv);
        let terms = jv_terms + size(&gradient, &v);
        equal("c·(J v) and g·v", tangent, dot(&gradient, &v), terms)?;

        let (g, hv) = subject.products(&v)?;
        let (_, hu) = subject.products(&u)?;
        let bend = dot(&u, &hv);
        equal("g of both", dot(&g, &u), dot(&gradient, &u), size(&g, &u))?;
        let terms = size(&u, &hv) + size(&v, &hu);
        equal("u·(H v) and v·(H u)", bend, dot(&v, &hu), terms)?;

        let found = subject.along(&mut differences, &u, &v).map_err(text)?;
        if found.near_kink {
            continue;
        }
        let bent = scale + size(&u, &gradient);
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
                near(what, exact, quotient, tolerance)?;
                compared[k] += 1;
            }
        }
        if compared.iter().all(|n| *n > 0) {
            break;
        }
    }
    Ok(compared)
}
