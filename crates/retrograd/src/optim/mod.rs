//! Optimisers: the trait [`Optimizer`], which is open, and those that implement it; parameter groups, and schedules of learning
//! rates. All parameters are one flat vector, and a step is one pass over it.
//!
//! | optimiser | source |
//! | --- | --- |
//! | [`Sgd`], with momentum, Nesterov's too | Polyak 1964; Sutskever et al. 2013 |
//! | [`RmsProp`] | Tieleman & Hinton 2012 |
//! | [`Adam`], which with weight decay is AdamW | Kingma & Ba 2015; Loshchilov & Hutter 2019 |
//! | [`NAdam`] | Dozat 2016 |
//! | [`Lion`] | Chen et al. 2023 |
//! | [`Lbfgs`], for small models and whole batches | Nocedal & Wright 2006 |
//!
//! Weight decay is *decoupled* in all of them: a step first subtracts learning rate · λ of each parameter, and its gradient stays as
//! it is. (A penalty that is part of the gradient is a loss of the cell's: `c.loss(1e-4 * w.square().sum())`.)
//!
//! An optimiser of your own says how it moves the parameters and what it remembers between steps:
//!
//! ```
//! use retrograd::optim::{Optimizer, Step, StepError};
//! use retrograd::{Batch, Extent, Float, Trainer, zoo};
//!
//! /// AdaGrad (Duchi, Hazan & Singer 2011): divides by the root of the sum of squared gradients.
//! #[derive(Clone, Debug)]
//! struct AdaGrad {
//!     learning_rate: f64,
//! }
//!
//! impl Optimizer for AdaGrad {
//!     fn learning_rate(&self) -> f64 {
//!         self.learning_rate
//!     }
//!     fn set_learning_rate(&mut self, learning_rate: f64) {
//!         self.learning_rate = learning_rate;
//!     }
//!     fn memory(&self) -> &'static [&'static str] {
//!         &["sum of squared gradients"]
//!     }
//!     fn has_groups(&self) -> bool {
//!         true // `by_part` below hands out what each group says
//!     }
//!     fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
//!         let scale = T::from_f64(step.scale);
//!         let next = |v: T, g: T| v + (g * scale) * (g * scale);
//!         // First a look whether all goes well, then the change.
//!         let all = step.memory.iter().flatten().zip(step.gradient);
//!         if let Some(element) = all.map(|(&v, &g)| next(v, g)).position(|v| !v.to_f64().is_finite()) {
//!             return Err(StepError::Overflow { what: "the sum of squared gradients", element });
//!         }
//!         step.by_part(|part, [square]| {
//!             let learning_rate = T::from_f64(self.learning_rate * part.learning_rate);
//!             for ((p, &g), v) in part.parameters.iter_mut().zip(part.gradient).zip(square) {
//!                 *v = next(*v, g);
//!                 *p = *p - learning_rate * (g * scale) / (v.sqrt() + T::from_f64(1e-10));
//!             }
//!         })
//!     }
//! }
//!
//! let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
//! let mut trainer = Trainer::builder(cell, AdaGrad { learning_rate: 1e-2 }).build()?;
//! let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]).with("next", vec![0.2, 0.3]);
//! let first = trainer.step(&batch)?.loss;
//! assert!(trainer.evaluate(&batch)?.loss() < first);
//! # Ok::<(), retrograd::Error>(())
//! ```

mod adam;
mod average;
mod constraint;
mod lbfgs;
mod line_search;
mod lion;
mod nadam;
mod norm;
mod part;
mod rmsprop;
mod schedule;
mod sgd;
mod state;

use std::fmt::Debug;

use crate::error::Error;
use crate::numbers::Float;

pub use adam::Adam;
pub use constraint::Constraint;
pub use lbfgs::Lbfgs;
pub use lion::Lion;
pub use nadam::NAdam;
pub use norm::{clip_scale, global_norm};
pub use part::{Group, Part, PartStep};
pub use rmsprop::RmsProp;
pub use schedule::{Plateau, Schedule, half_cosine};
pub use sgd::Sgd;
pub use state::{OptimizerMemory, OptimizerState};

pub(crate) use average::Average;
pub(crate) use constraint::Constrained;
pub(crate) use norm::first_non_finite;
use norm::{first_infinite, flushed};
pub(crate) use part::matches;
pub(crate) use schedule::{Scheduled, Seen};
pub(crate) use state::AnyOptimizer;

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

    /// Names of the vectors that it keeps between steps. Each is as long as the parameters, and zero before the first step. A step
    /// may make one longer, by whole multiples, or empty.
    fn memory(&self) -> &'static [&'static str] {
        &[]
    }

    /// Names of the numbers that it keeps between steps, 0 before the first one.
    fn scalars(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether its steps follow [`Step::parts`]: the learning rates and weight decays of parameter groups. A trainer with such groups
    /// refuses an optimiser that does not.
    fn has_groups(&self) -> bool {
        false
    }

    /// What files of training call it; by default, the last part of its type's name.
    fn name(&self) -> &'static str {
        let whole = std::any::type_name::<Self>();
        let plain = whole.split('<').next().unwrap_or(whole);
        plain.rsplit("::").next().unwrap_or(plain)
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
    /// The numbers that [`Optimizer::scalars`] names, in that order.
    pub scalars: &'a mut [f64],
    /// The ranges of parameters that are trained, and the settings of their groups. Outside them the gradient is 0, and a trainer
    /// undoes changes.
    pub parts: &'a [Part],
    /// The loss at the parameters; NaN if the caller does not say it.
    pub loss: f64,
    /// Loss and gradient at other points, for line searches, if the caller offers them.
    pub objective: Option<&'a mut (dyn Objective<T> + 'a)>,
}

/// Loss and gradient, unscaled, at points of an optimiser's choice, [`Step::objective`]: in a [`Trainer`](crate::Trainer) on the
/// batch of the step, with the masks of the step. The gradient of frozen parameters is 0. Functions of this form implement it.
///
/// ```
/// use retrograd::optim::{Lbfgs, Objective, OptimizerState, StepError};
///
/// let mut rosenbrock = |x: &[f64], g: &mut [f64]| -> Result<f64, StepError> {
///     g[0] = -400.0 * x[0] * (x[1] - x[0] * x[0]) - 2.0 * (1.0 - x[0]);
///     g[1] = 200.0 * (x[1] - x[0] * x[0]);
///     Ok(100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2))
/// };
/// let mut lbfgs = OptimizerState::new(Lbfgs::new(), 2)?;
/// let (mut x, mut gradient) = ([-1.2, 1.0], [0.0; 2]);
/// for _ in 0..60 {
///     let loss = rosenbrock.evaluate(&x, &mut gradient).unwrap();
///     lbfgs.step_with(&mut x, &gradient, 1.0, loss, &mut rosenbrock).unwrap();
/// }
/// assert!((x[0] - 1.0).abs() < 1e-6 && (x[1] - 1.0).abs() < 1e-6);
/// # Ok::<(), retrograd::Error>(())
/// ```
pub trait Objective<T> {
    /// Writes the gradient at `parameters`, and returns the loss.
    ///
    /// # Errors
    /// [`StepError::Objective`].
    fn evaluate(&mut self, parameters: &[T], gradient: &mut [T]) -> Result<f64, StepError>;
}

impl<T, F: FnMut(&[T], &mut [T]) -> Result<f64, StepError>> Objective<T> for F {
    fn evaluate(&mut self, parameters: &[T], gradient: &mut [T]) -> Result<f64, StepError> {
        self(parameters, gradient)
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Step<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("number", &self.number)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
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
    /// Vectors of its memory do not have the length that they had after a step.
    #[error("the vectors that the optimiser remembers do not fit together")]
    Inconsistent,
    /// The optimiser needs [`Step::objective`], which was not offered: see [`OptimizerState::step_with`].
    #[error("the optimiser needs the loss at other points, and was given no objective")]
    NoObjective,
    /// The loss cannot be evaluated at another point. In a trainer, the error is the cause.
    #[error("the loss cannot be evaluated at another point")]
    Objective,
}

/// What a step of this learning rate and weight decay leaves of each parameter of a part.
fn decay<T: Float>(learning_rate: f64, weight_decay: f64, part: &PartStep<'_, T>) -> T {
    let weight_decay = part.weight_decay.unwrap_or(weight_decay);
    T::from_f64(1.0 - learning_rate * part.learning_rate * weight_decay)
}

/// An error if a running mean of squares in memory `k` would not be finite.
fn squares_fit<T: Float>(
    step: &Step<'_, T>,
    k: usize,
    decay: f64,
    what: &'static str,
) -> Result<(), StepError> {
    let scale = T::from_f64(step.scale);
    let (keep, rest) = (T::from_f64(decay), T::from_f64(1.0 - decay));
    let next = |v: T, g: T| keep * v + rest * ((g * scale) * (g * scale));
    let square = step.memory.get(k).map_or(&[][..], |m| m);
    match first_infinite(square, step.gradient, next) {
        Some(element) => Err(StepError::Overflow { what, element }),
        None => Ok(()),
    }
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

pub(crate) fn not_negative(what: &'static str, found: f64) -> Result<(), Error> {
    setting(what, found, "a finite number of at least 0", |x| {
        x.is_finite() && x >= 0.0
    })
}

pub(crate) fn positive(what: &'static str, found: f64) -> Result<(), Error> {
    setting(what, found, "a finite number of more than 0", |x| {
        x.is_finite() && x > 0.0
    })
}

pub(crate) fn setting(
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
