//! Lyapunov exponents of a recurrence.

use retrograd_jit::{CompiledCell, Executor, Purpose};
use retrograd_tape::generate::{inputs, with_given_starts};
use retrograd_tape::{Domain, Extent, InputRole, Op, OutputRole, Tape};

use crate::findings::with_parameters;
use crate::random::Random;
use crate::subject::Program;

/// Exponents that are computed, at most.
const MOST: usize = 8;
/// Steps before anything is counted, and steps that are.
const WARM_UP: usize = 20;
const STEPS: usize = 200;
/// Draws of parameters and inputs, of which the median is taken.
const DRAWS: u64 = 5;
/// The logarithm of a change that is gone.
const GONE: f64 = -50.0;

/// The greatest exponents in order; none if there is no recurrence, one that reads from its end, or numbers are not finite.
///
/// With J_t the Jacobian of the states after step t in those before it, and Q_0 orthonormal columns, J_t Q_{t-1} = Q_t R_t;
/// the exponents are the means of ln |R_t[i, i]| (Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15, 1980). J_t Q is
/// one run of one step in forward mode: the columns are its rows.
pub(crate) fn exponents(program: &Program, seed: u64) -> Option<Vec<f64>> {
    let tape = with_given_starts(&program.tape)?;
    let delays = tape.nodes().iter().filter_map(|n| match n.op {
        Op::Delay(d) => Some(d),
        _ => None,
    });
    if delays.clone().count() == 0 || delays.clone().any(|d| d < 0) {
        return None;
    }
    let states: Vec<String> = (tape.inputs().iter())
        .filter(|i| i.role == InputRole::Initial)
        .map(|i| i.name.to_string())
        .collect();
    let purpose = Purpose::JacobianVector {
        along: states.clone(),
        of: states.clone(),
    };
    let cell = CompiledCell::<f64>::compile(&tape, &purpose).ok()?;
    let mut step = Step::new(&tape, cell.executor(), &states)?;
    let mut draws: Vec<Vec<f64>> = Vec::new();
    for k in 0..DRAWS {
        draws.push(step.exponents(program, seed + k)?);
    }
    let median = |i: usize| {
        let mut all: Vec<f64> = draws.iter().map(|d| d[i]).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let mut medians: Vec<f64> = (0..draws[0].len()).map(median).collect();
    medians.sort_by(|a, b| b.total_cmp(a));
    Some(medians)
}

/// One step of a program in forward mode, with as many rows as there are columns.
struct Step<'t> {
    tape: &'t Tape,
    executor: Executor<f64>,
    /// For each state: its input, its final output, the output that is its tangent, and its numbers, slots outermost.
    states: Vec<State>,
    columns: usize,
}

struct State {
    input: usize,
    last: usize,
    tangent: usize,
    slots: usize,
    len: usize,
}

impl<'t> Step<'t> {
    fn new(tape: &'t Tape, executor: Executor<f64>, names: &[String]) -> Option<Step<'t>> {
        let cell = executor.cell().clone();
        let mut states = Vec::new();
        for name in names {
            let input = tape.input(name)?;
            let outputs = tape.outputs().iter();
            let last =
                { outputs }.position(|o| o.role == OutputRole::Final && *o.name == **name)?;
            let ty = tape.inputs()[input].ty;
            let Domain::BoundarySlots(slots) = ty.domain else {
                return None;
            };
            states.push(State {
                input,
                last,
                tangent: cell.output(&format!("tan({name})"))?,
                slots,
                len: ty.shape.len(),
            });
        }
        let size: usize = states.iter().map(|s| s.slots * s.len).sum();
        Some(Step {
            tape,
            executor,
            states,
            columns: size.min(MOST),
        })
    }

    fn exponents(&mut self, program: &Program, seed: u64) -> Option<Vec<f64>> {
        let k = self.columns;
        let mut random = Random::new(seed);
        let size: usize = self.states.iter().map(|s| s.slots * s.len).sum();
        let mut q: Vec<Vec<f64>> = (0..k)
            .map(|_| (0..size).map(|_| random.next()).collect())
            .collect();
        orthonormal(&mut q);
        // Everything but states and what each step reads stays as it is.
        let mut fixed = inputs(self.tape, 1, k, seed);
        with_parameters(program, self.tape, &mut fixed, seed);
        for s in &self.states {
            fixed[s.input] = vec![0.0; s.slots * k * s.len];
        }
        self.draw(&mut fixed, seed, Domain::Row);
        let mut sums = vec![0.0; k];
        for t in 0..WARM_UP + STEPS {
            self.draw(&mut fixed, seed.wrapping_add(1000 + t as u64), Domain::Step);
            q = self.step(&mut fixed, &q)?;
            let growth = orthonormal(&mut q);
            if t >= WARM_UP {
                sums.iter_mut().zip(growth).for_each(|(s, g)| *s += g);
            }
        }
        sums.iter_mut().for_each(|s| *s /= STEPS as f64);
        sums.iter().all(|s| s.is_finite()).then_some(sums)
    }

    /// Draws the inputs of these domains, the same for all rows: they are one example, in several directions.
    fn draw(&self, fixed: &mut [Vec<f64>], seed: u64, domain: Domain) {
        let one = inputs(self.tape, 1, 1, seed);
        for (i, input) in self.tape.inputs().iter().enumerate() {
            if input.ty.domain == domain {
                fixed[i] = one[i].repeat(self.columns);
            }
            // Nothing is dropped.
            if input.role == InputRole::Mask {
                fixed[i].fill(1.0);
            }
        }
    }

    /// The columns after a step, and the states in `fixed`.
    fn step(&mut self, fixed: &mut [Vec<f64>], q: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
        let k = self.columns;
        let mut tangents = Vec::new();
        let mut at = 0;
        for s in &self.states {
            let mut tangent = vec![0.0; s.slots * k * s.len];
            for (j, column) in q.iter().enumerate() {
                for slot in 0..s.slots {
                    let from = &column[at + slot * s.len..][..s.len];
                    tangent[(slot * k + j) * s.len..][..s.len].copy_from_slice(from);
                }
            }
            tangents.push(tangent);
            at += s.slots * s.len;
        }
        let given: Vec<&[f64]> = (fixed.iter().chain(&tangents)).map(Vec::as_slice).collect();
        let cell = self.executor.cell().clone();
        let extent = Extent::steps(1).rows(k);
        let mut out: Vec<Vec<f64>> = (0..cell.outputs().len())
            .map(|o| vec![0.0; cell.output_len(o, extent)])
            .collect();
        let mut places: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        self.executor.run(extent, &given, &mut places).ok()?;
        let mut next = vec![Vec::new(); k];
        for s in &self.states {
            let tangent = &out[s.tangent];
            for (j, column) in next.iter_mut().enumerate() {
                for slot in 0..s.slots {
                    column.extend(&tangent[(slot * k + j) * s.len..][..s.len]);
                }
            }
            fixed[s.input].clone_from(&out[s.last]);
        }
        Some(next)
    }
}

/// Makes columns orthonormal, one after another (modified Gram-Schmidt), and returns the logarithms of what was left of
/// each. A column that nothing is left of becomes a new direction.
fn orthonormal(q: &mut [Vec<f64>]) -> Vec<f64> {
    let mut growth = Vec::with_capacity(q.len());
    for j in 0..q.len() {
        let (before, rest) = q.split_at_mut(j);
        let column = &mut rest[0];
        for other in &*before {
            subtract(column, other);
        }
        let length = norm(column);
        growth.push(length.ln().max(GONE));
        if length > 0.0 {
            column.iter_mut().for_each(|x| *x /= length);
        } else {
            let mut random = Random::new(j as u64);
            column.iter_mut().for_each(|x| *x = random.next());
            for other in &*before {
                subtract(column, other);
            }
            let length = norm(column).max(f64::MIN_POSITIVE);
            column.iter_mut().for_each(|x| *x /= length);
        }
    }
    growth
}

fn subtract(column: &mut [f64], other: &[f64]) {
    let along: f64 = column.iter().zip(other).map(|(a, b)| a * b).sum();
    let pairs = column.iter_mut().zip(other);
    pairs.for_each(|(x, o)| *x -= along * o);
}

fn norm(column: &[f64]) -> f64 {
    column.iter().map(|x| x * x).sum::<f64>().sqrt()
}
