//! Optimisers over one flat vector of parameters, one pass a step.

use crate::engine::Float;
use crate::error::Error;

/// Adam (Kingma & Ba 2015, algorithm 1), with bias correction, and decoupled weight decay (Loshchilov & Hutter 2019,
/// algorithm 2) if asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// α, the step size.
    pub rate: f64,
    /// β₁, the decay of the mean gradient.
    pub beta1: f64,
    /// β₂, the decay of the mean squared gradient.
    pub beta2: f64,
    /// ε, added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// λ: every step first takes rate · λ of each parameter away.
    pub weight_decay: f64,
}

impl Adam {
    /// Adam with β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸ and no weight decay.
    pub fn new(rate: f64) -> Adam {
        Adam {
            rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }

    /// The same with other decays β₁ and β₂, both at least 0 and less than 1.
    pub fn betas(self, beta1: f64, beta2: f64) -> Adam {
        Adam {
            beta1,
            beta2,
            ..self
        }
    }

    /// The same with weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Adam {
        Adam {
            weight_decay,
            ..self
        }
    }
}

/// Stochastic gradient descent with momentum (Polyak 1964; in PyTorch's form, b ← μ b + g, θ ← θ − rate · b).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The step size.
    pub rate: f64,
    /// μ, how much of the last step is taken again.
    pub momentum: f64,
}

impl Sgd {
    /// Gradient descent without momentum.
    pub fn new(rate: f64) -> Sgd {
        Sgd {
            rate,
            momentum: 0.0,
        }
    }

    /// The same with momentum μ, at least 0 and less than 1.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }
}

/// Which optimiser, with its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// See [`Adam`].
    Adam(Adam),
    /// See [`Sgd`].
    Sgd(Sgd),
}

impl From<Adam> for Method {
    fn from(adam: Adam) -> Method {
        Method::Adam(adam)
    }
}

impl From<Sgd> for Method {
    fn from(sgd: Sgd) -> Method {
        Method::Sgd(sgd)
    }
}

impl Method {
    /// The step size.
    pub fn rate(&self) -> f64 {
        match self {
            Method::Adam(adam) => adam.rate,
            Method::Sgd(sgd) => sgd.rate,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_rate(self.rate())?;
        let fraction = |what, found: f64| match (0.0..1.0).contains(&found) {
            true => Ok(()),
            false => Err(Error::Setting {
                what,
                found,
                expected: "at least 0 and less than 1",
            }),
        };
        match *self {
            Method::Adam(adam) => {
                fraction("Adam's beta1", adam.beta1)?;
                fraction("Adam's beta2", adam.beta2)?;
                positive("Adam's epsilon", adam.epsilon)?;
                not_negative("the weight decay", adam.weight_decay)
            }
            Method::Sgd(sgd) => fraction("the momentum", sgd.momentum),
        }
    }
}

/// An optimiser at work on a vector of `n` parameters: its method and what it remembers from step to step.
#[derive(Clone, Debug)]
pub struct Optimizer<T> {
    method: Method,
    /// Adam's mean gradient, or the momentum.
    first: Vec<T>,
    /// Adam's mean squared gradient; empty otherwise.
    second: Vec<T>,
    steps: u64,
}

impl<T: Float> Optimizer<T> {
    /// An optimiser before its first step.
    ///
    /// # Errors
    /// [`Error::Setting`] if a setting makes no sense.
    pub fn new(method: impl Into<Method>, n: usize) -> Result<Optimizer<T>, Error> {
        let method = method.into();
        method.check()?;
        let second = match method {
            Method::Adam(_) => n,
            Method::Sgd(_) => 0,
        };
        Ok(Optimizer {
            method,
            first: vec![T::ZERO; n],
            second: vec![T::ZERO; second],
            steps: 0,
        })
    }

    /// The method, with its present rate.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Sets the step size, for schedules.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is a finite number of at least 0.
    pub fn set_rate(&mut self, to: f64) -> Result<(), Error> {
        check_rate(to)?;
        match &mut self.method {
            Method::Adam(adam) => adam.rate = to,
            Method::Sgd(sgd) => sgd.rate = to,
        }
        Ok(())
    }

    /// The steps made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step along `scale` times the gradient (see [`clip_scale`]). Both slices are `[n]`.
    ///
    /// # Panics
    /// If a slice is not `[n]`.
    pub fn step(&mut self, params: &mut [T], gradient: &[T], scale: f64) {
        let n = self.first.len();
        assert_eq!(
            (params.len(), gradient.len()),
            (n, n),
            "as many as were announced"
        );
        self.steps += 1;
        let scale = T::from_f64(scale);
        match self.method {
            Method::Adam(adam) => {
                let steps = self.steps as f64;
                let (unbias1, unbias2) =
                    (1.0 - adam.beta1.powf(steps), 1.0 - adam.beta2.powf(steps));
                let rate = T::from_f64(adam.rate / unbias1);
                let root = T::from_f64(1.0 / unbias2.sqrt());
                let keep = T::from_f64(1.0 - adam.rate * adam.weight_decay);
                let (beta1, beta2) = (T::from_f64(adam.beta1), T::from_f64(adam.beta2));
                let (rest1, rest2) = (T::from_f64(1.0 - adam.beta1), T::from_f64(1.0 - adam.beta2));
                let epsilon = T::from_f64(adam.epsilon);
                let moments = self.first.iter_mut().zip(&mut self.second);
                for ((p, &g), (m, v)) in params.iter_mut().zip(gradient).zip(moments) {
                    let g = g * scale;
                    *m = beta1 * *m + rest1 * g;
                    *v = beta2 * *v + rest2 * (g * g);
                    *p = keep * *p - rate * *m / (v.sqrt() * root + epsilon);
                }
            }
            Method::Sgd(sgd) => {
                let (rate, momentum) = (T::from_f64(sgd.rate), T::from_f64(sgd.momentum));
                for ((p, &g), b) in params.iter_mut().zip(gradient).zip(&mut self.first) {
                    *b = momentum * *b + g * scale;
                    *p = *p - rate * *b;
                }
            }
        }
    }
}

/// What a rate is multiplied by when the share `done` of all steps is made and it is to fall to 0 as half a cosine
/// (Loshchilov & Hutter 2017, equation 5).
pub fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// √Σ g², accumulated in f64 whatever the gradient's type.
pub fn global_norm<T: Float>(gradient: &[T]) -> f64 {
    let squares = gradient.iter().map(|g| g.to_f64() * g.to_f64());
    squares.sum::<f64>().sqrt()
}

/// What to scale a gradient of this norm by so that its norm is at most `limit` (Pascanu et al. 2013, algorithm 1).
pub fn clip_scale(norm: f64, limit: Option<f64>) -> f64 {
    match limit {
        Some(limit) if norm > limit => limit / norm,
        _ => 1.0,
    }
}

fn check_rate(rate: f64) -> Result<(), Error> {
    not_negative("the learning rate", rate)
}

fn not_negative(what: &'static str, found: f64) -> Result<(), Error> {
    match found.is_finite() && found >= 0.0 {
        true => Ok(()),
        false => Err(Error::Setting {
            what,
            found,
            expected: "a finite number of at least 0",
        }),
    }
}

pub(crate) fn positive(what: &'static str, found: f64) -> Result<(), Error> {
    match found.is_finite() && found > 0.0 {
        true => Ok(()),
        false => Err(Error::Setting {
            what,
            found,
            expected: "a finite number of more than 0",
        }),
    }
}
