//! Compares the interpreter's gradients with central differences in f64.
//!
//! The function under test is L(x) = Σ c·output with random c, over all outputs, the loss included; x is all inputs.
//! Its derivative along a direction u of length 1 is, with D(h) = (L(x + h·u) - L(x - h·u)) ÷ 2h, D(h) up to
//!
//! - truncation, h²·L‴/6 and less: the error of D(2h) is four times as large, so the error is a third of |D(2h) -
//!   D(h)|; the tolerance is all of that, to cover the terms of higher order;
//! - rounding, ε·Σ|c·output|/h for each rounding that reaches the outputs: the tolerance is 4 ulp per node and step,
//!   provided that no later node enlarges them (inputs should be of moderate size); and the same for the gradient;
//! - what is left of that where large values cancel: to first order, the rounding of a value moves L by its adjoint times
//!   ε·|value|. The tolerance is 4 ulp of Σ|adjoint·value| over all values, at all points.
//!
//! h is 2⁻¹⁴ ([`CentralDifferences::H`]): the sum of both is then about 1e-8 for functions whose values and derivatives are about 1.
//!
//! A point near a kink or jump is rejected: one where, at any point of any node in the run, the distance to the kink is
//! at most twice the node's change between x and x ± 2h·u. So is a direction with so much curvature that truncation
//! would hide an error, and one along which a number leaves the range of its input
//! ([`Var::bounded`](crate::Var::bounded)). The result of `stop_gradient` is frozen at its value in x, as the gradient assumes,
//! and that of `with_gradient(y, z)` at its value in x plus the change of z. The limits of `clip_gradient`
//! are no derivative: gradients are compared without them.

use crate::central_differences::CentralDifferences;
use crate::error::TapeError;
use crate::interpreter::Interpreter;
use crate::lengths::Lengths;
use crate::op::Number;
use crate::tape::Tape;

/// The directions to compare along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Every coordinate of every input: for small programs.
    Coordinates,
    /// This many random directions through all inputs at once: for large programs.
    Random(usize),
}

/// Statistics of a passed check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientReport {
    /// Derivatives that were compared.
    pub checked: usize,
    /// Derivatives that were skipped: near a kink, near the end of an input's range, or with too much curvature.
    pub rejected: usize,
    /// The greatest difference, as a share of its tolerance.
    pub worst: f64,
}

/// The greatest accepted truncation, relative to the size of the function and its derivative.
const CURVED: f64 = 1e-4;

/// Compares gradients of `tape` at `t` steps, `b` examples and these `inputs` (as [`Interpreter::forward`] takes them) with
/// central differences. `seed` draws the functional, which leaves out infinite numbers of outputs, and the random directions.
///
/// # Errors
/// [`TapeError::Gradient`] if a gradient is wrong; [`TapeError::NearKink`] if no derivative could be compared; those of a
/// run.
pub fn gradcheck(
    tape: &Tape,
    t: usize,
    b: usize,
    inputs: &[&[f64]],
    directions: Directions,
    seed: u64,
) -> Result<GradientReport, TapeError> {
    let differences = CentralDifferences::new(tape, t, b, inputs)?;
    compare(tape, differences, t, directions, seed, |_| {})
}

/// As [`gradcheck`], over rows of these lengths, with `inputs` as [`Interpreter::forward_ragged`] takes them.
///
/// # Errors
/// Those of `gradcheck`.
pub fn gradcheck_ragged(
    tape: &Tape,
    lengths: &Lengths,
    inputs: &[&[f64]],
    directions: Directions,
    seed: u64,
) -> Result<GradientReport, TapeError> {
    let differences = CentralDifferences::ragged(tape, lengths, inputs)?;
    compare(tape, differences, lengths.steps(), directions, seed, |_| {})
}

/// Compares at a point of a run of `t` steps. `tamper` may change the gradient before it is compared: the check's own test.
fn compare(
    tape: &Tape,
    mut differences: CentralDifferences<'_>,
    t: usize,
    directions: Directions,
    seed: u64,
    tamper: impl FnOnce(&mut Vec<Vec<f64>>),
) -> Result<GradientReport, TapeError> {
    let inputs = differences.point().len();
    let run = differences.run();
    let mut random = SplitMix64(seed);
    // Infinite numbers do not move, such as a greatest value so far where there are no steps.
    let mut weight = |y: &f64| match (random.next(), y.is_infinite()) {
        (weight, false) => weight,
        (_, true) => 0.0,
    };
    let weights: Vec<Vec<f64>> = (0..tape.outputs().len())
        .map(|i| run.output(i).iter().map(&mut weight).collect())
        .collect();
    let cotangents: Vec<Option<&[f64]>> = weights.iter().map(|w| Some(&w[..])).collect();
    run.backward(&cotangents)?;
    let scale = magnitude(run, &weights);
    let sensitivity = sensitivity(tape, run)?;
    let gradient = |i| differences.run().gradient(i).map(<[f64]>::to_vec);
    let gradient: Vec<Option<Vec<f64>>> = (0..inputs).map(gradient).collect();
    let mut gradient: Vec<Vec<f64>> = (gradient.into_iter().zip(differences.point()))
        .map(|(g, x)| g.unwrap_or_else(|| vec![0.0; x.len()]))
        .collect();
    tamper(&mut gradient);
    let mut check = Check {
        scale,
        noise: 4.0 * f64::EPSILON * sensitivity,
        rounding: 4.0 * tape.nodes().len() as f64 * t as f64 * f64::EPSILON,
        differences,
        weights,
        gradient,
        report: GradientReport {
            checked: 0,
            rejected: 0,
            worst: 0.0,
        },
    };
    let free: Vec<bool> = (0..inputs).map(|i| check.differences.moves(i)).collect();
    match directions {
        Directions::Coordinates => {
            for i in (0..inputs).filter(|&i| free[i]) {
                for k in 0..check.differences.point()[i].len() {
                    let mut u = zeros_like(check.differences.point());
                    u[i][k] = 1.0;
                    let name = &tape.inputs()[i].name;
                    check.along(&u, || format!("input `{name}` at number {k}"))?;
                }
            }
        }
        Directions::Random(count) => {
            // Ten tries for each requested direction.
            for k in 0..count.saturating_mul(10) {
                if check.report.checked == count {
                    break;
                }
                let mut u = zeros_like(check.differences.point());
                for (u, _) in u.iter_mut().zip(&free).filter(|(_, free)| **free) {
                    u.iter_mut().for_each(|u| *u = random.next());
                }
                let length = u.iter().flatten().map(|u| u * u).sum::<f64>().sqrt();
                if length > 0.0 {
                    u.iter_mut().flatten().for_each(|u| *u /= length);
                }
                check.along(&u, || format!("random direction {k} of seed {seed}"))?;
            }
        }
    }
    if check.report.checked == 0 && check.report.rejected > 0 {
        return Err(TapeError::NearKink {
            rejected: check.report.rejected,
        });
    }
    Ok(check.report)
}

struct Check<'a> {
    differences: CentralDifferences<'a>,
    weights: Vec<Vec<f64>>,
    gradient: Vec<Vec<f64>>,
    /// Σ|c·output|
    scale: f64,
    /// Relative error of the functional.
    rounding: f64,
    /// Error of the functional by roundings of values on the way to it.
    noise: f64,
    report: GradientReport,
}

impl Check<'_> {
    fn along(&mut self, u: &[Vec<f64>], place: impl FnOnce() -> String) -> Result<(), TapeError> {
        let weights = &self.weights;
        let found = (self.differences).along(u, |run| Ok(vec![functional(run, weights)]))?;
        let (numeric, truncation) = (found.quotients[0], found.truncation[0]);
        let (mut analytic, mut terms) = (0.0, 0.0);
        for (g, u) in self.gradient.iter().flatten().zip(u.iter().flatten()) {
            analytic += g * u;
            terms += (g * u).abs();
        }
        if found.near_kink || truncation > CURVED * (self.scale + numeric.abs()) {
            self.report.rejected += 1;
            return Ok(());
        }
        let tolerance = truncation
            + self.rounding * (self.scale / CentralDifferences::H + terms)
            + self.noise / CentralDifferences::H
            + f64::MIN_POSITIVE;
        if self.noise.is_infinite() {
            // Values or adjoints near the end of the range of numbers: any difference would pass.
            self.report.rejected += 1;
            return Ok(());
        }
        let share = (analytic - numeric).abs() / tolerance;
        if share.is_nan() || share > 1.0 {
            return Err(TapeError::Gradient {
                place: place(),
                analytic: Number(analytic),
                numeric: Number(numeric),
                tolerance: Number(tolerance),
            });
        }
        self.report.checked += 1;
        self.report.worst = self.report.worst.max(share);
        Ok(())
    }
}

fn zeros_like(x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    x.iter().map(|x| vec![0.0; x.len()]).collect()
}

fn terms<'a>(run: &'a Interpreter<f64>, weights: &'a [Vec<f64>]) -> impl Iterator<Item = f64> + 'a {
    (weights.iter().enumerate())
        .flat_map(|(i, w)| w.iter().zip(run.output(i)))
        .filter(|(w, _)| **w != 0.0)
        .map(|(w, y)| w * y)
}

fn functional(run: &Interpreter<f64>, weights: &[Vec<f64>]) -> f64 {
    terms(run, weights).sum()
}

/// Σ|adjoint·value| over all values, after a backward run that observes them.
fn sensitivity(tape: &Tape, run: &Interpreter<f64>) -> Result<f64, TapeError> {
    let mut sum = 0.0;
    for v in tape.values() {
        let Some(adjoint) = run.adjoint(v)? else {
            continue;
        };
        let products = run.value(v)?.into_iter().zip(adjoint);
        let products = products.map(|(x, a)| (x * a).abs());
        sum += products.filter(|p| p.is_finite()).sum::<f64>();
    }
    Ok(sum)
}

fn magnitude(run: &Interpreter<f64>, weights: &[Vec<f64>]) -> f64 {
    terms(run, weights).map(f64::abs).sum()
}

/// SplitMix64 of Steele, Lea & Flood (2014): enough for test directions, without a dependency.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// Uniform in -1 ‥ 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InputRole, Recorder, Shape, Var};

    /// A layer of 12 units over 5 steps of 3 rows, and its inputs.
    fn layer(f: impl for<'t> Fn(Var<'t>) -> Var<'t>) -> (Tape, Vec<Vec<f64>>) {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Vector(4));
        let w = r.param("w", Shape::Matrix(12, 4));
        let u = r.param("u", Shape::Matrix(12, 12));
        let h = r.state("h", Shape::Vector(12), 1, None);
        let next = r.next(h, f(w.matvec(x) + u.matvec(h)));
        r.loss(next.square().mean());
        let tape = r.finish("layer").unwrap();
        let mut random = SplitMix64(7);
        let inputs = [5 * 3 * 4, 48, 144, 0];
        let inputs = inputs.map(|n| (0..n).map(|_| 0.5 * random.next()).collect());
        (tape, inputs.to_vec())
    }

    fn check(
        (tape, inputs): &(Tape, Vec<Vec<f64>>),
        directions: Directions,
        tamper: impl FnOnce(&mut Vec<Vec<f64>>),
    ) -> Result<GradientReport, TapeError> {
        let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
        let differences = CentralDifferences::new(tape, 5, 3, &inputs)?;
        compare(tape, differences, 5, directions, 3, tamper)
    }

    #[test]
    fn a_right_gradient_passes_along_coordinates_and_random_directions() {
        let layer = layer(|x| x.tanh());
        let all = check(&layer, Directions::Coordinates, |_| {}).unwrap();
        assert_eq!((all.checked, all.rejected), (60 + 48 + 144 + 36, 0));
        let some = check(&layer, Directions::Random(8), |_| {}).unwrap();
        assert_eq!((some.checked, some.rejected), (8, 0));
    }

    #[test]
    fn a_gradient_that_is_wrong_in_one_number_by_a_millionth_is_found() {
        let layer = layer(|x| x.tanh());
        let wrong = check(&layer, Directions::Coordinates, |g| g[2][17] += 1e-6).unwrap_err();
        let text = wrong.to_string();
        assert!(text.contains("input `u` at number 17"), "{text}");
        let wrong = check(&layer, Directions::Random(8), |g| g[2][17] += 1e-4).unwrap_err();
        assert!(matches!(wrong, TapeError::Gradient { .. }), "{wrong}");
    }

    #[test]
    fn points_near_a_kink_are_rejected_and_stopped_values_do_not_move() {
        let (tape, mut inputs) = layer(|x| x.relu());
        inputs[0].fill(0.0);
        let at_kink = (tape, inputs);
        let e = check(&at_kink, Directions::Random(2), |_| {}).unwrap_err();
        assert!(matches!(e, TapeError::NearKink { .. }), "{e}");
        let relu = layer(|x| x.relu());
        let report = check(&relu, Directions::Coordinates, |_| {}).unwrap();
        assert!(report.rejected < report.checked / 10, "{report:?}");
        let stopped = layer(|x| x.tanh() * (x * x).stop_gradient());
        let report = check(&stopped, Directions::Coordinates, |_| {}).unwrap();
        assert_eq!(report.rejected, 0);
    }

    #[test]
    fn gradients_are_compared_without_limits() {
        let limited = layer(|x| x.clip_gradient(1e-4).tanh().clip_gradient(1e-5));
        let report = check(&limited, Directions::Coordinates, |_| {}).unwrap();
        assert_eq!((report.checked, report.rejected), (60 + 48 + 144 + 36, 0));
    }

    /// A step with the slope of a sigmoid: the differences alone would be 0. What the step is multiplied by moves too.
    #[test]
    fn a_surrogate_moves_as_what_gives_it_its_derivative() {
        let spiking = layer(|x| {
            let spike = (-x).lt(0.1 * x).with_gradient((4.0 * x).sigmoid());
            spike * x + spike
        });
        let report = check(&spiking, Directions::Coordinates, |_| {}).unwrap();
        assert!(report.rejected < report.checked / 10, "{report:?}");
        let wrong = check(&spiking, Directions::Coordinates, |g| g[1][5] += 1e-6).unwrap_err();
        assert!(
            wrong.to_string().contains("input `w` at number 5"),
            "{wrong}"
        );
    }
}
