//! RMSprop.

use super::{
    Optimizer, Step, StepError, decay, flushed, fraction, not_negative, positive, squares_fit,
};
use crate::error::Error;
use crate::numbers::Float;

/// RMSprop (Tieleman & Hinton 2012, lecture 6.5; in PyTorch's form, with ε outside the root): divides by the root of a running mean of
/// squared gradients, or, *centred*, of their variance (Graves 2013, section 2.4.1), and may repeat a share of the last step.
///
/// ```
/// let rmsprop = retrograd::optim::RmsProp::new(1e-3).decay(0.9).momentum(0.5).centred();
/// assert_eq!(rmsprop.epsilon, 1e-8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RmsProp {
    /// The step size.
    pub learning_rate: f64,
    /// α, the decay of the mean squared gradient.
    pub decay: f64,
    /// ε, added to the root.
    pub epsilon: f64,
    /// μ, the share of the last step that is repeated.
    pub momentum: f64,
    /// Whether the square of the mean gradient is subtracted from the mean squared one.
    pub centred: bool,
    /// λ: every step first subtracts learning rate · λ of each parameter.
    pub weight_decay: f64,
}

impl RmsProp {
    /// RMSprop with α = 0.99, ε = 10⁻⁸, and none of the rest.
    pub fn new(learning_rate: f64) -> RmsProp {
        RmsProp {
            learning_rate,
            decay: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            centred: false,
            weight_decay: 0.0,
        }
    }

    /// The same with another decay α, at least 0 and less than 1.
    pub fn decay(self, decay: f64) -> RmsProp {
        RmsProp { decay, ..self }
    }

    /// The same with another ε, more than 0.
    pub fn epsilon(self, epsilon: f64) -> RmsProp {
        RmsProp { epsilon, ..self }
    }

    /// The same with momentum μ, at least 0 and less than 1.
    pub fn momentum(self, momentum: f64) -> RmsProp {
        RmsProp { momentum, ..self }
    }

    /// The same, centred.
    pub fn centred(self) -> RmsProp {
        RmsProp {
            centred: true,
            ..self
        }
    }

    /// The same with weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> RmsProp {
        RmsProp {
            weight_decay,
            ..self
        }
    }
}

impl Optimizer for RmsProp {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn check(&self) -> Result<(), Error> {
        fraction("RMSprop's decay", self.decay)?;
        positive("RMSprop's epsilon", self.epsilon)?;
        fraction("the momentum", self.momentum)?;
        not_negative("the weight decay", self.weight_decay)
    }

    fn memory(&self) -> &'static [&'static str] {
        &["mean squared gradient", "mean gradient", "momentum"]
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        squares_fit(&step, 0, self.decay, "RMSprop's mean squared gradient")?;
        let (scale, repeated) = (T::from_f64(step.scale), T::from_f64(self.momentum));
        let (alpha, rest) = (T::from_f64(self.decay), T::from_f64(1.0 - self.decay));
        let epsilon = T::from_f64(self.epsilon);
        step.by_part(|part, [square, mean, momentum]| {
            let learning_rate = T::from_f64(self.learning_rate * part.learning_rate);
            let keep = decay(self.learning_rate, self.weight_decay, &part);
            let parameters = part.parameters.iter_mut().zip(part.gradient);
            let moments = square.iter_mut().zip(mean).zip(momentum);
            for ((p, &g), ((v, m), b)) in parameters.zip(moments) {
                let g = g * scale;
                *v = flushed(alpha * *v + rest * (g * g));
                let mut spread = *v;
                if self.centred {
                    *m = flushed(alpha * *m + rest * g);
                    let variance = *v - *m * *m;
                    // Rounding may take it below 0.
                    spread = if variance > T::ZERO {
                        variance
                    } else {
                        T::ZERO
                    };
                }
                *b = flushed(repeated * *b + g / (spread.sqrt() + epsilon));
                *p = keep * *p - learning_rate * *b;
            }
        })
    }
}
