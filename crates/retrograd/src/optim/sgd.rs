//! Gradient descent, plain and with momentum.

use super::{Optimizer, Step, StepError, decay, first_infinite, flushed, fraction, not_negative};
use crate::error::Error;
use crate::numbers::Float;

/// Stochastic gradient descent with momentum (Polyak 1964; in PyTorch's form, b ← μ b + g, θ ← θ − learning rate · b), and with
/// Nesterov's if requested (Sutskever et al. 2013; θ ← θ − learning rate · (g + μ b)).
///
/// ```
/// let sgd = retrograd::Sgd::new(0.1).momentum(0.9).nesterov();
/// assert!(sgd.momentum == 0.9 && sgd.nesterov);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sgd {
    /// The step size.
    pub learning_rate: f64,
    /// μ, the share of the last step that is repeated.
    pub momentum: f64,
    /// Whether the gradient is added to the momentum that the next step will repeat.
    pub nesterov: bool,
    /// λ: every step first subtracts learning rate · λ of each parameter.
    pub weight_decay: f64,
}

impl Sgd {
    /// Gradient descent without momentum and weight decay.
    pub fn new(learning_rate: f64) -> Sgd {
        Sgd {
            learning_rate,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }
    }

    /// The same with momentum μ, at least 0 and less than 1.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// The same with Nesterov's momentum.
    pub fn nesterov(self) -> Sgd {
        Sgd {
            nesterov: true,
            ..self
        }
    }

    /// The same with weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Sgd {
        Sgd {
            weight_decay,
            ..self
        }
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
        fraction("the momentum", self.momentum)?;
        not_negative("the weight decay", self.weight_decay)
    }

    fn memory(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        let (repeated, scale) = (T::from_f64(self.momentum), T::from_f64(step.scale));
        let next = |b: T, g: T| repeated * b + g * scale;
        let momentum = step.memory.first().map_or(&[][..], |m| m);
        if let Some(element) = first_infinite(momentum, step.gradient, next) {
            return Err(StepError::Overflow {
                what: "the momentum",
                element,
            });
        }
        step.by_part(|part, [momentum]| {
            let learning_rate = T::from_f64(self.learning_rate * part.learning_rate);
            let keep = decay(self.learning_rate, self.weight_decay, &part);
            let parameters = part.parameters.iter_mut().zip(part.gradient);
            for ((p, &g), b) in parameters.zip(momentum) {
                *b = flushed(next(*b, g));
                let along = match self.nesterov {
                    true => next(*b, g),
                    false => *b,
                };
                *p = keep * *p - learning_rate * along;
            }
        })
    }
}
