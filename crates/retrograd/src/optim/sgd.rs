//! Gradient descent, plain and with momentum.

use super::{Optimizer, Step, StepError, first_infinite, flushed, fraction, memory};
use crate::error::Error;
use crate::numbers::Float;

/// Stochastic gradient descent with momentum (Polyak 1964; in PyTorch's form, b ← μ b + g, θ ← θ − learning rate · b).
///
/// ```
/// let sgd = retrograd::Sgd::new(0.1).momentum(0.9);
/// assert_eq!(sgd.momentum, 0.9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sgd {
    /// The step size.
    pub learning_rate: f64,
    /// μ, the share of the last step that is repeated.
    pub momentum: f64,
}

impl Sgd {
    /// Gradient descent without momentum.
    pub fn new(learning_rate: f64) -> Sgd {
        Sgd {
            learning_rate,
            momentum: 0.0,
        }
    }

    /// The same with momentum μ, at least 0 and less than 1.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }
}

impl Optimizer for Sgd {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn check(&self) -> Result<(), Error> {
        fraction("the momentum", self.momentum)
    }

    fn memory(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        let [momentum] = memory(step.memory)?;
        let learning_rate = T::from_f64(self.learning_rate);
        let (decay, scale) = (T::from_f64(self.momentum), T::from_f64(step.scale));
        let next = |b: T, g: T| decay * b + g * scale;
        if let Some(element) = first_infinite(momentum, step.gradient, next) {
            return Err(StepError::Overflow {
                what: "the momentum",
                element,
            });
        }
        let parameters = step.parameters.iter_mut().zip(step.gradient);
        for ((p, &g), b) in parameters.zip(momentum) {
            *b = flushed(decay * *b + g * scale);
            *p = *p - learning_rate * *b;
        }
        Ok(())
    }
}
