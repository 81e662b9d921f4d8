//! What a trainer returns.

use retrograd_tape::Shape;

use super::Trainer;
use crate::numbers::Float;

/// Loss and gradient norm of a training step, measured before it changed the parameters; see [`Trainer::step`].
///
/// ```
/// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let report = trainer.step(&Batch::new(Extent::steps(1)).with("x", vec![0.1]).with("next", vec![0.2]))?;
/// assert!(report.step == 1 && report.gradient_norm.is_finite());
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The step, the first being 1.
    pub step: u64,
    /// The loss of the batch.
    pub loss: f64,
    /// The norm of the gradient of all parameters, before clipping.
    pub gradient_norm: f64,
}

/// A parameter of a trainer and its current values; see [`Trainer::named_parameters`].
///
/// ```
/// use retrograd::{Sgd, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// for p in trainer.named_parameters() {
///     println!("{} {}: {:?}", p.name, p.shape, p.values);
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedParameter<'a, T> {
    /// The parameter's name.
    pub name: &'a str,
    /// Its shape.
    pub shape: Shape,
    /// Its values, row-major.
    pub values: &'a [T],
}

/// The results of running the cell; see [`Trainer::evaluate`], [`Trainer::predict`] and [`Trainer::differentiate`].
///
/// ```
/// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let forecast = trainer.predict(&Batch::new(Extent::steps(3)).with("x", vec![0.1, 0.2, 0.3]))?;
/// assert_eq!(forecast.output("y").map(<[f32]>::len), Some(3));
/// assert_eq!(forecast.output("h").map(<[f32]>::len), Some(4), "the final state");
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Debug)]
pub struct Evaluation<'a, T: Float> {
    pub(super) trainer: &'a Trainer<T>,
    pub(super) differentiated: bool,
}

impl<'a, T: Float> Evaluation<'a, T> {
    /// The loss of the batch; NaN if the cell has none.
    pub fn loss(&self) -> f64 {
        self.trainer.last_loss()
    }

    /// An output, `[T, B, shape]`, or under a state's name its final value, `[|d|, B, shape]`, from which a later batch can
    /// continue.
    pub fn output(&self, name: &str) -> Option<&'a [T]> {
        let i = self.trainer.cell.tape().output(name)?;
        Some(self.trainer.last_output(i))
    }

    /// The gradient of the loss with respect to a parameter, row-major; present after [`Trainer::differentiate`].
    pub fn gradient(&self, name: &str) -> Option<&'a [T]> {
        let at = self
            .trainer
            .cell
            .parameter_specs()
            .position(|p| p.name == name)?;
        let range = self.trainer.ranges[at].clone();
        self.differentiated.then(|| &self.trainer.gradient[range])
    }
}
