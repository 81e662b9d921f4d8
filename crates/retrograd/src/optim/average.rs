//! Exponential moving averages of parameters.

use crate::numbers::Float;

/// θ̄ ← d θ̄ + (1 − d) θ after every step, θ̄ being the parameters after the first one (Polyak & Juditsky 1992 for the idea; in the form
/// of PyTorch's `get_ema_multi_avg_fn`).
#[derive(Clone, Debug)]
pub(crate) struct Average<T> {
    pub(crate) decay: f64,
    pub(crate) values: Vec<T>,
    /// Whether there was a step.
    pub(crate) begun: bool,
}

impl<T: Float> Average<T> {
    pub(crate) fn update(&mut self, parameters: &[T]) {
        if !self.begun {
            self.values.copy_from_slice(parameters);
            self.begun = true;
            return;
        }
        let rest = T::from_f64(1.0 - self.decay);
        for (average, &p) in self.values.iter_mut().zip(parameters) {
            // Where the two are equal, it stays bitwise the same.
            *average = *average + rest * (p - *average);
        }
    }
}
