//! Adam and AdamW.

use super::{Optimizer, Step, StepError, decay, fraction, not_negative, positive, squares_fit};
use crate::error::Error;
use crate::numbers::Float;
use crate::optim::flushed;

/// Adam (Kingma & Ba 2015, algorithm 1), with bias correction, and decoupled weight decay if requested, which makes it AdamW
/// (Loshchilov & Hutter 2019, algorithm 2).
///
/// ```
/// use retrograd::Adam;
///
/// let adam = Adam::new(3e-3).betas(0.9, 0.99).weight_decay(0.01);
/// assert_eq!(adam.epsilon, 1e-8);
/// assert_eq!(Adam::adamw(3e-3), Adam::new(3e-3).weight_decay(0.01));
/// ```
#[doc(alias = "AdamW")]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Adam {
    /// α, the step size.
    pub learning_rate: f64,
    /// β₁, the decay of the mean gradient.
    pub beta1: f64,
    /// β₂, the decay of the mean squared gradient.
    pub beta2: f64,
    /// ε, added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// λ: every step first subtracts learning rate · λ of each parameter.
    pub weight_decay: f64,
}

impl Adam {
    /// Adam with β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸ and no weight decay.
    pub fn new(learning_rate: f64) -> Adam {
        Adam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }

    /// AdamW with the weight decay that PyTorch gives it, λ = 0.01.
    pub fn adamw(learning_rate: f64) -> Adam {
        Adam::new(learning_rate).weight_decay(0.01)
    }

    /// The same with other decays β₁ and β₂, both at least 0 and less than 1.
    pub fn betas(self, beta1: f64, beta2: f64) -> Adam {
        Adam {
            beta1,
            beta2,
            ..self
        }
    }

    /// The same with another ε, more than 0.
    pub fn epsilon(self, epsilon: f64) -> Adam {
        Adam { epsilon, ..self }
    }

    /// The same with weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Adam {
        Adam {
            weight_decay,
            ..self
        }
    }
}

impl Optimizer for Adam {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn check(&self) -> Result<(), Error> {
        fraction("Adam's beta1", self.beta1)?;
        fraction("Adam's beta2", self.beta2)?;
        positive("Adam's epsilon", self.epsilon)?;
        not_negative("the weight decay", self.weight_decay)
    }

    fn memory(&self) -> &'static [&'static str] {
        &["mean gradient", "mean squared gradient"]
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        squares_fit(&step, 1, self.beta2, "Adam's mean squared gradient")?;
        let scale = T::from_f64(step.scale);
        let number = step.number as f64;
        let (unbias1, unbias2) = (1.0 - self.beta1.powf(number), 1.0 - self.beta2.powf(number));
        let root = T::from_f64(1.0 / unbias2.sqrt());
        let (beta1, beta2) = (T::from_f64(self.beta1), T::from_f64(self.beta2));
        let (rest1, rest2) = (T::from_f64(1.0 - self.beta1), T::from_f64(1.0 - self.beta2));
        let epsilon = T::from_f64(self.epsilon);
        step.by_part(|part, [mean, square]| {
            let learning_rate = T::from_f64(self.learning_rate * part.learning_rate / unbias1);
            let keep = decay(self.learning_rate, self.weight_decay, &part);
            let moments = mean.iter_mut().zip(square);
            let parameters = part.parameters.iter_mut().zip(part.gradient);
            for ((p, &g), (m, v)) in parameters.zip(moments) {
                let g = g * scale;
                *m = flushed(beta1 * *m + rest1 * g);
                *v = flushed(beta2 * *v + rest2 * (g * g));
                *p = keep * *p - learning_rate * *m / (v.sqrt() * root + epsilon);
            }
        })
    }
}
