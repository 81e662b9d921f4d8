//! Lion.

use super::{Optimizer, Step, StepError, decay, flushed, fraction, not_negative};
use crate::error::Error;
use crate::numbers::Float;

/// Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2): every parameter moves by the learning rate
/// in the direction of the sign of β₁ m + (1 − β₁) g. Learning rates are three to ten times smaller than Adam's, weight decays
/// larger by as much.
///
/// ```
/// let lion = retrograd::optim::Lion::new(3e-4).weight_decay(0.1);
/// assert_eq!((lion.beta1, lion.beta2), (0.9, 0.99));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lion {
    /// The step size.
    pub learning_rate: f64,
    /// β₁, the share of the mean gradient in the direction of a step.
    pub beta1: f64,
    /// β₂, the decay of the mean gradient.
    pub beta2: f64,
    /// λ: every step first subtracts learning rate · λ of each parameter.
    pub weight_decay: f64,
}

impl Lion {
    /// Lion with β₁ = 0.9, β₂ = 0.99 and no weight decay.
    pub fn new(learning_rate: f64) -> Lion {
        Lion {
            learning_rate,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.0,
        }
    }

    /// The same with other β₁ and β₂, both at least 0 and less than 1.
    pub fn betas(self, beta1: f64, beta2: f64) -> Lion {
        Lion {
            beta1,
            beta2,
            ..self
        }
    }

    /// The same with weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Lion {
        Lion {
            weight_decay,
            ..self
        }
    }
}

impl Optimizer for Lion {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn check(&self) -> Result<(), Error> {
        fraction("Lion's beta1", self.beta1)?;
        fraction("Lion's beta2", self.beta2)?;
        not_negative("the weight decay", self.weight_decay)
    }

    fn memory(&self) -> &'static [&'static str] {
        &["mean gradient"]
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        let scale = T::from_f64(step.scale);
        let (beta1, beta2) = (T::from_f64(self.beta1), T::from_f64(self.beta2));
        let (rest1, rest2) = (T::from_f64(1.0 - self.beta1), T::from_f64(1.0 - self.beta2));
        // A mean of finite numbers is finite.
        step.by_part(|part, [mean]| {
            let learning_rate = T::from_f64(self.learning_rate * part.learning_rate);
            let keep = decay(self.learning_rate, self.weight_decay, &part);
            let parameters = part.parameters.iter_mut().zip(part.gradient);
            for ((p, &g), m) in parameters.zip(mean) {
                let g = g * scale;
                let direction = beta1 * *m + rest1 * g;
                let sign = match direction {
                    d if d > T::ZERO => learning_rate,
                    d if d < T::ZERO => -learning_rate,
                    _ => T::ZERO,
                };
                *p = keep * *p - sign;
                *m = flushed(beta2 * *m + rest2 * g);
            }
        })
    }
}
