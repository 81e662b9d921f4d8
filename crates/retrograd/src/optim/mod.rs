//! Optimisers: the trait [`Optimizer`], which is open, and [`Adam`] and [`Sgd`], which implement it. All parameters are one flat
//! vector, and a step is one pass over it.
//!
//! An optimiser of your own says how it moves the parameters and what it remembers between steps:
//!
//! ```
//! use retrograd::optim::{Optimizer, Step, StepError};
//! use retrograd::{Batch, Extent, Float, Trainer, zoo};
//!
//! /// RMSprop (Tieleman & Hinton 2012): divides by the root of a running mean of squared gradients.
//! #[derive(Clone, Debug)]
//! struct RmsProp {
//!     learning_rate: f64,
//! }
//!
//! impl Optimizer for RmsProp {
//!     fn learning_rate(&self) -> f64 {
//!         self.learning_rate
//!     }
//!     fn set_learning_rate(&mut self, learning_rate: f64) {
//!         self.learning_rate = learning_rate;
//!     }
//!     fn memory(&self) -> &'static [&'static str] {
//!         &["mean squared gradient"]
//!     }
//!     fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
//!         let [square] = step.memory else {
//!             return Err(StepError::Memory { needed: 1, found: step.memory.len() });
//!         };
//!         let (keep, rest, epsilon) = (T::from_f64(0.9), T::from_f64(0.1), T::from_f64(1e-8));
//!         let (scale, learning_rate) = (T::from_f64(step.scale), T::from_f64(self.learning_rate));
//!         let next = |v: T, g: T| keep * v + rest * (g * scale) * (g * scale);
//!         // First a look whether all goes well, then the change.
//!         let all = square.iter().zip(step.gradient);
//!         if let Some(element) = all.map(|(&v, &g)| next(v, g)).position(|v| !v.to_f64().is_finite()) {
//!             return Err(StepError::Overflow { what: "the mean squared gradient", element });
//!         }
//!         for ((p, &g), v) in step.parameters.iter_mut().zip(step.gradient).zip(square) {
//!             *v = next(*v, g);
//!             *p = *p - learning_rate * (g * scale) / (v.sqrt() + epsilon);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
//! let mut trainer = Trainer::builder(cell, RmsProp { learning_rate: 1e-3 }).build()?;
//! let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]).with("next", vec![0.2, 0.3]);
//! let first = trainer.step(&batch)?.loss;
//! assert!(trainer.evaluate(&batch)?.loss() < first);
//! # Ok::<(), retrograd::Error>(())
//! ```

mod adam;
mod sgd;

use std::fmt::Debug;

use crate::error::Error;
use crate::numbers::{Float, zeros};

pub use adam::Adam;
pub use sgd::Sgd;

/// Moves parameters along a gradient: its settings, and the computation of one step. What it remembers between steps is stored
/// outside it, in [`Step::memory`].
///
/// Gradient descent without a memory; [the module's example](self) has one:
///
/// ```
/// use retrograd::Float;
/// use retrograd::optim::{Optimizer, OptimizerState, Step, StepError};
///
/// #[derive(Debug)]
/// struct Descent(f64);
///
/// impl Optimizer for Descent {
///     fn learning_rate(&self) -> f64 {
///         self.0
///     }
///     fn set_learning_rate(&mut self, learning_rate: f64) {
///         self.0 = learning_rate;
///     }
///     fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
///         let learning_rate = T::from_f64(self.0 * step.scale);
///         for (p, &g) in step.parameters.iter_mut().zip(step.gradient) {
///             *p = *p - learning_rate * g;
///         }
///         Ok(())
///     }
/// }
///
/// let mut x = [3.0];
/// OptimizerState::new(Descent(0.5), 1)?.step(&mut x, &[2.0], 1.0).expect("it remembers nothing");
/// assert_eq!(x, [2.0]);
/// # Ok::<(), retrograd::Error>(())
/// ```
pub trait Optimizer: Debug + Send + Sync + 'static {
    /// The step size.
    fn learning_rate(&self) -> f64;

    /// Sets the step size, for schedules. It is a finite number of at least 0.
    fn set_learning_rate(&mut self, learning_rate: f64);

    /// Checks the settings; called once, before the first step. The learning rate has already been checked.
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Names of the vectors that it keeps between steps. Each is as long as the parameters, and zero before the first step.
    fn memory(&self) -> &'static [&'static str] {
        &[]
    }

    /// Computes one step.
    ///
    /// # Errors
    /// [`StepError`]; nothing has changed then.
    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError>;
}

/// The arguments of an optimiser's step. All slices are as long as the parameters.
///
/// [The module's example](self) uses its memory; this one the number of the step:
///
/// ```
/// # use retrograd::Float;
/// # use retrograd::optim::{Optimizer, OptimizerState, Step, StepError};
/// # #[derive(Debug)]
/// # struct Falling(f64);
/// # impl Optimizer for Falling {
/// #     fn learning_rate(&self) -> f64 {
/// #         self.0
/// #     }
/// #     fn set_learning_rate(&mut self, learning_rate: f64) {
/// #         self.0 = learning_rate;
/// #     }
/// fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
///     let learning_rate = T::from_f64(self.0 / step.number as f64 * step.scale);
///     for (p, &g) in step.parameters.iter_mut().zip(step.gradient) {
///         *p = *p - learning_rate * g;
///     }
///     Ok(())
/// }
/// # }
/// # let mut falling = OptimizerState::new(Falling(1.0), 1)?;
/// # let mut x = [3.0];
/// # for _ in 0..2 {
/// #     falling.step(&mut x, &[1.0], 1.0).expect("it remembers nothing");
/// # }
/// # assert_eq!(x, [1.5]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a, T> {
    /// The number of the step, the first being 1.
    pub number: u64,
    /// The parameters to move.
    pub parameters: &'a mut [T],
    /// The gradient with respect to the parameters, before scaling.
    pub gradient: &'a [T],
    /// The factor to multiply the gradient by, 1 unless it is clipped: an optimiser that ignores it does not clip.
    pub scale: f64,
    /// The vectors that [`Optimizer::memory`] names, in that order.
    pub memory: &'a mut [Vec<T>],
}

/// Why an optimiser rejected a step. Nothing has changed.
///
/// ```
/// use retrograd::Adam;
/// use retrograd::optim::{OptimizerState, StepError};
///
/// let mut adam = OptimizerState::<_, f32>::new(Adam::new(1e-3), 2)?;
/// let mut x = [0.5, 0.5];
/// let error = adam.step(&mut x, &[1.0, 1e30], 1.0).unwrap_err(); // no f32 is as great as its square
/// assert_eq!(error, StepError::Overflow { what: "Adam's mean squared gradient", element: 1 });
/// assert_eq!(x, [0.5, 0.5]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A number in its memory would not be finite.
    #[error("{what} would not be finite at element {element}")]
    Overflow {
        /// What would not be finite.
        what: &'static str,
        /// The element, as a position in the vector of all parameters.
        element: usize,
    },
    /// [`Step::memory`] does not have as many vectors as it needs: an optimiser that wraps another must also forward its
    /// [`Optimizer::memory`].
    #[error("the optimiser remembers {needed} vectors, and was given {found}")]
    Memory {
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
}

/// The `N` vectors of a step's memory.
///
/// # Errors
/// [`StepError::Memory`].
fn memory<T, const N: usize>(memory: &mut [Vec<T>]) -> Result<&mut [Vec<T>; N], StepError> {
    let found = memory.len();
    memory
        .try_into()
        .map_err(|_| StepError::Memory { needed: N, found })
}

/// An optimiser together with its memory for `n` parameters and the number of steps so far. A [`Trainer`](crate::Trainer) has one;
/// use it directly to train anything else.
///
/// ```
/// use retrograd::Adam;
/// use retrograd::optim::OptimizerState;
///
/// let mut adam = OptimizerState::<_, f64>::new(Adam::new(0.1), 1)?;
/// let mut x = [1.0];
/// for _ in 0..200 {
///     let gradient = [2.0 * x[0]]; // of x²
///     adam.step(&mut x, &gradient, 1.0).expect("it is finite");
/// }
/// assert!(x[0].abs() < 0.01);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OptimizerState<O, T> {
    optimizer: O,
    memory: Vec<Vec<T>>,
    steps: u64,
}

impl<O: Optimizer, T: Float> OptimizerState<O, T> {
    /// An optimiser before its first step.
    ///
    /// # Errors
    /// [`Error::Setting`] if a setting makes no sense; [`Error::NoMemory`].
    pub fn new(optimizer: O, n: usize) -> Result<Self, Error> {
        check_learning_rate::<T>(optimizer.learning_rate())?;
        optimizer.check()?;
        let memory = optimizer.memory().iter();
        let memory = memory.map(|_| zeros("the optimiser's memories", n));
        Ok(OptimizerState {
            memory: memory.collect::<Result<_, _>>()?,
            optimizer,
            steps: 0,
        })
    }

    /// One step along `scale` times the gradient (see [`clip_scale`]).
    ///
    /// # Errors
    /// [`StepError`]; then nothing has changed.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn step(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        scale: f64,
    ) -> Result<(), StepError> {
        assert_eq!(parameters.len(), gradient.len(), "a number a parameter");
        self.optimizer.step(Step {
            number: self.steps + 1,
            parameters,
            gradient,
            scale,
            memory: &mut self.memory,
        })?;
        self.steps += 1;
        Ok(())
    }
}

/// [`OptimizerState`] of any optimiser.
pub(crate) trait AnyOptimizer<T>: Debug + Send + Sync {
    /// The settings, for display.
    fn settings(&self) -> &dyn Debug;
    fn learning_rate(&self) -> f64;
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error>;
    /// The number of steps so far.
    fn steps(&self) -> u64;
    /// As [`OptimizerState::step`].
    fn step(&mut self, parameters: &mut [T], gradient: &[T], scale: f64) -> Result<(), StepError>;
}

impl<O: Optimizer, T: Float> AnyOptimizer<T> for OptimizerState<O, T> {
    fn settings(&self) -> &dyn Debug {
        &self.optimizer
    }

    fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        check_learning_rate::<T>(learning_rate)?;
        self.optimizer.set_learning_rate(learning_rate);
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn step(&mut self, parameters: &mut [T], gradient: &[T], scale: f64) -> Result<(), StepError> {
        self.step(parameters, gradient, scale)
    }
}

/// The factor of a learning rate that falls to 0 as half a cosine (Loshchilov & Hutter 2017, equation 5), after the share `done` of
/// all steps. Pass the product to [`Trainer::set_learning_rate`](crate::Trainer::set_learning_rate).
///
/// ```
/// use retrograd::optim::half_cosine;
///
/// let rates = [0.0, 0.25, 0.5, 0.75, 1.0].map(|done| 3e-3 * half_cosine(done));
/// assert_eq!((rates[0], rates[4]), (3e-3, 0.0));
/// assert!(rates.is_sorted_by(|before, after| before > after));
/// ```
pub fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// √Σ g², accumulated in f64 whatever the gradient's type. It is finite whenever the norm is: where squares would overflow or
/// vanish, the numbers are scaled first.
///
/// ```
/// use retrograd::optim::global_norm;
///
/// assert_eq!(global_norm(&[3.0_f32, -4.0]), 5.0);
/// assert!(global_norm(&[3e200, -4e200]).is_finite());
/// ```
pub fn global_norm<T: Float>(gradient: &[T]) -> f64 {
    let squares = |unit: f64| -> f64 {
        let scaled = gradient.iter().map(|g| g.to_f64() / unit);
        scaled.map(|g| g * g).sum()
    };
    let sum = squares(1.0);
    if sum.is_finite() && sum >= f64::MIN_POSITIVE {
        return sum.sqrt();
    }
    let largest = gradient
        .iter()
        .fold(0.0, |m: f64, g| m.max(g.to_f64().abs()));
    match largest.is_normal() {
        true if sum.is_nan() => f64::NAN,
        true => squares(largest).sqrt() * largest,
        // All are 0 or denormal, one is infinite, or all are NaN.
        false => sum.sqrt(),
    }
}

/// The factor that scales a gradient of this norm to a norm of at most `limit` (Pascanu et al. 2013, algorithm 1).
///
/// ```
/// use retrograd::optim::{clip_scale, global_norm};
///
/// let gradient = [3.0, -4.0];
/// let scale = clip_scale(global_norm(&gradient), Some(2.5));
/// assert_eq!(gradient.map(|g| g * scale), [1.5, -2.0]);
/// assert_eq!(clip_scale(5.0, None), 1.0);
/// ```
pub fn clip_scale(norm: f64, limit: Option<f64>) -> f64 {
    match limit {
        Some(limit) if norm > limit => limit / norm,
        _ => 1.0,
    }
}

/// 0 instead of a denormal number of f32, whose arithmetic takes a hundred times as long on many processors. Means of
/// gradients decay through these numbers wherever a gradient stays 0. (f64 takes some hundred thousand steps to get there.)
fn flushed<T: Float>(x: T) -> T {
    let least = T::from_f64(f64::from(f32::MIN_POSITIVE));
    match size_of::<T>() == size_of::<f32>() && x.abs() < least {
        true => T::ZERO,
        false => x,
    }
}

/// The first position at which `value` of memory and gradient is not finite. Chunks are tested without a branch, so that the
/// compiler vectorises the test.
fn first_infinite<T: Float>(
    memory: &[T],
    gradient: &[T],
    value: impl Fn(T, T) -> T,
) -> Option<usize> {
    const CHUNK: usize = 64;
    let infinite = |(&m, &g): (&T, &T)| {
        let v = value(m, g);
        // ∞ · 0 and NaN · 0 are NaN, any other number times 0 is 0.
        v * T::ZERO != T::ZERO
    };
    let chunks = memory.chunks(CHUNK).zip(gradient.chunks(CHUNK));
    let (chunk, (m, g)) = chunks.enumerate().find(|(_, (m, g))| {
        let all = m.iter().zip(*g).map(infinite);
        all.fold(false, |found, this| found | this)
    })?;
    let within = m.iter().zip(g).position(infinite)?;
    Some(chunk * CHUNK + within)
}

/// The first number that is not finite.
pub(crate) fn first_non_finite<T: Float>(values: &[T]) -> Option<usize> {
    first_infinite(values, values, |v, _| v)
}

/// Requires the learning rate to be finite in the parameters' precision too.
fn check_learning_rate<T: Float>(learning_rate: f64) -> Result<(), Error> {
    not_negative("the learning rate", learning_rate)?;
    match T::from_f64(learning_rate).to_f64().is_finite() {
        true => Ok(()),
        false => not_negative("the learning rate in single precision", f64::INFINITY),
    }
}

fn fraction(what: &'static str, found: f64) -> Result<(), Error> {
    setting(what, found, "at least 0 and less than 1", |x| {
        (0.0..1.0).contains(&x)
    })
}

fn not_negative(what: &'static str, found: f64) -> Result<(), Error> {
    setting(what, found, "a finite number of at least 0", |x| {
        x.is_finite() && x >= 0.0
    })
}

pub(crate) fn positive(what: &'static str, found: f64) -> Result<(), Error> {
    setting(what, found, "a finite number of more than 0", |x| {
        x.is_finite() && x > 0.0
    })
}

fn setting(
    what: &'static str,
    found: f64,
    expected: &'static str,
    fits: impl Fn(f64) -> bool,
) -> Result<(), Error> {
    match fits(found) {
        true => Ok(()),
        false => Err(Error::Setting {
            what,
            found: found.to_string(),
            expected: expected.to_owned(),
        }),
    }
}
