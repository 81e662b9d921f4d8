//! Adam with Nesterov's momentum.

use super::{
    Optimizer, Step, StepError, decay, flushed, fraction, not_negative, positive, squares_fit,
};
use crate::error::Error;
use crate::numbers::Float;

/// NAdam (Dozat 2016, "Incorporating Nesterov Momentum into Adam", algorithm 2 with the schedule of its section 3, μₜ = β₁ (1 − ½ ·
/// 0.96^(t ψ))), and decoupled weight decay if requested.
///
/// ```
/// let nadam = retrograd::optim::NAdam::new(2e-3).weight_decay(0.01);
/// assert_eq!(nadam.momentum_decay, 4e-3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NAdam {
    /// The step size.
    pub learning_rate: f64,
    /// β₁, the decay of the mean gradient in the long run.
    pub beta1: f64,
    /// β₂, the decay of the mean squared gradient.
    pub beta2: f64,
    /// ε, added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// ψ, how fast μₜ goes from β₁/2 to β₁.
    pub momentum_decay: f64,
    /// λ: every step first subtracts learning rate · λ of each parameter.
    pub weight_decay: f64,
}

impl NAdam {
    /// NAdam with β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, ψ = 0.004 and no weight decay.
    pub fn new(learning_rate: f64) -> NAdam {
        NAdam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum_decay: 4e-3,
            weight_decay: 0.0,
        }
    }

    /// The same with other decays β₁ and β₂, both at least 0 and less than 1.
    pub fn betas(self, beta1: f64, beta2: f64) -> NAdam {
        NAdam {
            beta1,
            beta2,
            ..self
        }
    }

    /// The same with another ε, more than 0.
    pub fn epsilon(self, epsilon: f64) -> NAdam {
        NAdam { epsilon, ..self }
    }

    /// The same with another ψ, at least 0.
    pub fn momentum_decay(self, momentum_decay: f64) -> NAdam {
        NAdam {
            momentum_decay,
            ..self
        }
    }

    /// The same with weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> NAdam {
        NAdam {
            weight_decay,
            ..self
        }
    }
}

impl Optimizer for NAdam {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn check(&self) -> Result<(), Error> {
        fraction("NAdam's beta1", self.beta1)?;
        fraction("NAdam's beta2", self.beta2)?;
        positive("NAdam's epsilon", self.epsilon)?;
        not_negative("NAdam's momentum decay", self.momentum_decay)?;
        not_negative("the weight decay", self.weight_decay)
    }

    fn memory(&self) -> &'static [&'static str] {
        &["mean gradient", "mean squared gradient"]
    }

    fn scalars(&self) -> &'static [&'static str] {
        &["product of momenta"]
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        squares_fit(&step, 1, self.beta2, "NAdam's mean squared gradient")?;
        let found = step.scalars.len();
        let [product] = step.scalars else {
            return Err(StepError::Memory { needed: 1, found });
        };
        let scale = T::from_f64(step.scale);
        let number = step.number as f64;
        let at = |t: f64| self.beta1 * (1.0 - 0.5 * 0.96_f64.powf(t * self.momentum_decay));
        let (mu, mu_next) = (at(number), at(number + 1.0));
        let before = if step.number == 1 { 1.0 } else { *product };
        *product = before * mu;
        let of_gradient = (1.0 - mu) / (1.0 - *product);
        let of_mean = mu_next / (1.0 - *product * mu_next);
        let root = T::from_f64(1.0 / (1.0 - self.beta2.powf(number)).sqrt());
        let (beta1, beta2) = (T::from_f64(self.beta1), T::from_f64(self.beta2));
        let (rest1, rest2) = (T::from_f64(1.0 - self.beta1), T::from_f64(1.0 - self.beta2));
        let epsilon = T::from_f64(self.epsilon);
        step.by_part(|part, [mean, square]| {
            let rate = self.learning_rate * part.learning_rate;
            let (along_g, along_m) = (T::from_f64(rate * of_gradient), T::from_f64(rate * of_mean));
            let keep = decay(self.learning_rate, self.weight_decay, &part);
            let moments = mean.iter_mut().zip(square);
            let parameters = part.parameters.iter_mut().zip(part.gradient);
            for ((p, &g), (m, v)) in parameters.zip(moments) {
                let g = g * scale;
                *m = flushed(beta1 * *m + rest1 * g);
                *v = flushed(beta2 * *v + rest2 * (g * g));
                *p = keep * *p - (along_g * g + along_m * *m) / (v.sqrt() * root + epsilon);
            }
        })
    }
}
