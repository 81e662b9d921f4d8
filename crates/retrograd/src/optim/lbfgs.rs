//! L-BFGS.

use super::line_search::{Trial, strong_wolfe};
use super::{Optimizer, Step, StepError, first_non_finite, positive};
use crate::error::Error;
use crate::numbers::Float;

/// L-BFGS (Nocedal & Wright 2006, algorithms 7.4 and 7.5) with a line search for the strong Wolfe conditions: for models of some
/// thousand parameters that are trained on the same batch in every step. A step is one iteration; its line search evaluates loss and
/// gradient a few times, usually once. The gradient is not clipped, and parameter groups can only freeze.
///
/// A line search that finds no lower loss leaves the parameters as they are and forgets the past, so that the next step goes along the
/// gradient; once that happens twice in a row, training is at its end.
///
/// ```
/// use retrograd::optim::Lbfgs;
/// use retrograd::{Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Lbfgs::new()).double().build()?;
/// let wave: Vec<f64> = (0..33).map(|t| (t as f64 * 0.4).sin()).collect();
/// let batch = Batch::new(Extent::steps(32)).with("x", wave[..32].to_vec()).with("next", wave[1..].to_vec());
/// for _ in 0..40 {
///     trainer.step(&batch)?;
/// }
/// assert!(trainer.evaluate(&batch)?.loss() < 0.01);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lbfgs {
    /// The first step length that a line search tries, 1 for quasi-Newton steps; without one, the step length.
    pub learning_rate: f64,
    /// How many steps it remembers.
    pub history: usize,
    /// How often a line search may evaluate the loss; 0 for steps of a fixed length without a search.
    pub evaluations: usize,
}

impl Lbfgs {
    /// L-BFGS that remembers 10 steps, with up to 20 evaluations a line search, from length 1.
    #[expect(clippy::new_without_default, reason = "as the other optimisers")]
    pub fn new() -> Lbfgs {
        Lbfgs {
            learning_rate: 1.0,
            history: 10,
            evaluations: 20,
        }
    }

    /// The same, remembering another number of steps, at least 1.
    pub fn history(self, history: usize) -> Lbfgs {
        Lbfgs { history, ..self }
    }

    /// The same with at most so many evaluations a line search.
    pub fn evaluations(self, evaluations: usize) -> Lbfgs {
        Lbfgs {
            evaluations,
            ..self
        }
    }

    /// The same without line searches, with steps of this length along the quasi-Newton direction; the first one is no longer than
    /// the reciprocal of the gradient's 1-norm times it.
    pub fn fixed(self, learning_rate: f64) -> Lbfgs {
        Lbfgs {
            learning_rate,
            evaluations: 0,
            ..self
        }
    }
}

/// y·s ÷ y·y at least, for a pair to be remembered: below, rounding is all there is.
const LEAST_CURVATURE: f64 = 1e-10;

impl Optimizer for Lbfgs {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn check(&self) -> Result<(), Error> {
        positive("the history of L-BFGS", self.history as f64)
    }

    fn memory(&self) -> &'static [&'static str] {
        &[
            "previous parameters",
            "previous gradient",
            "steps",
            "gradient differences",
        ]
    }

    fn scalars(&self) -> &'static [&'static str] {
        &["pairs", "iterations"]
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        let Step {
            parameters: x,
            gradient: g,
            memory,
            scalars,
            loss,
            objective,
            ..
        } = step;
        let (needed, found) = (4, memory.len() + scalars.len());
        let ([old_x, old_g, steps, differences], [pairs, iterations]) = (memory, scalars) else {
            return Err(StepError::Memory { needed, found });
        };
        let mut history = match *iterations > 0.0 {
            true => History::recalled(x.len(), *pairs, steps, differences)?,
            false => History::default(),
        };
        if *iterations > 0.0 {
            if old_x.len() != x.len() || old_g.len() != x.len() {
                return Err(StepError::Inconsistent);
            }
            history.remember(difference(x, old_x), difference(g, old_g), self.history)?;
        }
        let mut direction = history.direction(g);
        let mut slope = dot(&direction, g);
        if slope.is_nan() || slope >= 0.0 {
            history = History::default();
            direction = history.direction(g);
            slope = dot(&direction, g);
        }
        let first = match history.pairs.is_empty() {
            true => self.learning_rate * (1.0 / norm_1(g)).min(1.0),
            false => self.learning_rate,
        };
        let start = x.to_vec();
        let length = match (slope < 0.0, self.evaluations) {
            (false, _) => Some(0.0),
            (true, 0) => Some(first),
            (true, most) => {
                let objective = objective.ok_or(StepError::NoObjective)?;
                let at = 0.0;
                let begin = Trial { at, loss, slope };
                let (mut there, mut gradient) = (start.clone(), vec![T::ZERO; x.len()]);
                let found = strong_wolfe(begin, first, most, |at| {
                    moved(&start, &direction, at, &mut there);
                    let loss = match first_non_finite(&there) {
                        None => objective.evaluate(&there, &mut gradient)?,
                        Some(_) => f64::NAN,
                    };
                    let slope = dot(&direction, &gradient);
                    Ok(Trial { at, loss, slope })
                })?;
                found.map(|t| t.at)
            }
        };
        match length {
            Some(length) => {
                moved(&start, &direction, length, x);
                *iterations += 1.0;
                *old_x = start;
                *old_g = g.to_vec();
            }
            None => {
                history = History::default();
                *iterations = 0.0;
            }
        }
        *pairs = history.pairs.len() as f64;
        history.keep(steps, differences);
        Ok(())
    }
}

/// Steps s and the differences y of gradients that they made, the last one last.
struct History<T> {
    pairs: Vec<(Vec<T>, Vec<T>)>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        History { pairs: Vec::new() }
    }
}

impl<T: Float> History<T> {
    /// As [`keep`](Self::keep) wrote it.
    fn recalled(n: usize, pairs: f64, steps: &[T], differences: &[T]) -> Result<Self, StepError> {
        let numbers = pairs * n as f64;
        let fits = |v: &[T]| v.len() as f64 == numbers;
        if pairs == 0.0 || n == 0 {
            return Ok(History::default());
        }
        if !fits(steps) || !fits(differences) {
            return Err(StepError::Inconsistent);
        }
        let both = steps.chunks(n).zip(differences.chunks(n));
        let pairs = both.map(|(s, y)| (s.to_vec(), y.to_vec())).collect();
        Ok(History { pairs })
    }

    fn keep(self, steps: &mut Vec<T>, differences: &mut Vec<T>) {
        steps.clear();
        differences.clear();
        for (s, y) in self.pairs {
            steps.extend_from_slice(&s);
            differences.extend_from_slice(&y);
        }
    }

    /// Adds a pair if the loss curves upwards along it, and forgets the oldest beyond `most`.
    fn remember(&mut self, s: Vec<T>, y: Vec<T>, most: usize) -> Result<(), StepError> {
        for v in [&s, &y] {
            if let Some(element) = first_non_finite(v) {
                let what = "a difference that L-BFGS remembers";
                return Err(StepError::Overflow { what, element });
            }
        }
        let (ys, yy) = (inner(&y, &s), inner(&y, &y));
        if ys > LEAST_CURVATURE * yy && yy > 0.0 {
            self.pairs.push((s, y));
        }
        let extra = self.pairs.len().saturating_sub(most);
        self.pairs.drain(..extra);
        Ok(())
    }

    /// −H g, by the two loops of algorithm 7.4, with H₀ = y·s ÷ y·y of the last pair.
    fn direction(&self, g: &[T]) -> Vec<f64> {
        let mut q: Vec<f64> = g.iter().map(|g| -g.to_f64()).collect();
        let mut along: Vec<f64> = Vec::with_capacity(self.pairs.len());
        let add = |q: &mut [f64], factor: f64, v: &[T]| {
            q.iter_mut()
                .zip(v)
                .for_each(|(q, v)| *q += factor * v.to_f64());
        };
        for (s, y) in self.pairs.iter().rev() {
            let alpha = dot(&q, s) / inner(y, s);
            add(&mut q, -alpha, y);
            along.push(alpha);
        }
        if let Some((s, y)) = self.pairs.last() {
            let scale = inner(y, s) / inner(y, y);
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for ((s, y), alpha) in self.pairs.iter().zip(along.into_iter().rev()) {
            let beta = dot(&q, y) / inner(y, s);
            add(&mut q, alpha - beta, s);
        }
        q
    }
}

fn inner<T: Float>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

fn dot<T: Float>(a: &[f64], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b.to_f64()).sum()
}

fn norm_1<T: Float>(g: &[T]) -> f64 {
    g.iter().map(|g| g.to_f64().abs()).sum()
}

fn difference<T: Float>(now: &[T], before: &[T]) -> Vec<T> {
    now.iter().zip(before).map(|(&a, &b)| a - b).collect()
}

/// Writes `start` + `length` · `direction`.
fn moved<T: Float>(start: &[T], direction: &[f64], length: f64, to: &mut [T]) {
    for ((to, x), d) in to.iter_mut().zip(start).zip(direction) {
        *to = T::from_f64(x.to_f64() + length * d);
    }
}
