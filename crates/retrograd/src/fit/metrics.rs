//! What a loop of training measures, and who is told.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A step of a [`Fit`](super::Fit).
///
/// ```
/// use retrograd::fit::Fit;
/// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
/// use std::ops::ControlFlow;
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let batch = Batch::new(Extent::steps(1)).with("x", vec![0.1]).with("next", vec![0.2]);
/// let mut lines = Vec::new();
/// Fit::new(1)
///     .on_step(|_, metrics| {
///         lines.push(serde_json::to_string(metrics).unwrap());
///         ControlFlow::Continue(())
///     })
///     .run(&mut trainer, |_| [batch.clone()])?;
/// assert!(lines[0].starts_with(r#"{"step":1,"epoch":0,"loss":"#));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepMetrics {
    /// The step of the trainer, the first being 1.
    pub step: u64,
    /// The epoch, the first being 0.
    pub epoch: u64,
    /// The loss of the batch before the step.
    pub loss: f64,
    /// The norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
}

/// An epoch of a [`Fit`](super::Fit); it serialises as [`StepMetrics`] does.
///
/// ```
/// let line = r#"{"epoch":0,"step":8,"loss":0.25,"validation":0.5,"is_best":true}"#;
/// let metrics: retrograd::fit::EpochMetrics = serde_json::from_str(line).unwrap();
/// assert!(metrics.validation == Some(0.5) && metrics.is_best);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochMetrics {
    /// The epoch, the first being 0.
    pub epoch: u64,
    /// The steps so far.
    pub step: u64,
    /// The mean of the batches' losses.
    pub loss: f64,
    /// What the validation measured, if it was a finite number.
    pub validation: Option<f64>,
    /// Whether that is less than ever before.
    pub is_best: bool,
}

/// Why a [`Fit`](super::Fit) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stopped {
    /// All epochs are done.
    Epochs,
    /// The validation has not become better for too long.
    Early,
    /// A callback asked for it.
    Asked,
}

/// The epochs of a [`Fit`](super::Fit), of which it gives an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// All epochs that have ended, also those before a checkpoint from which the training went on.
    pub epochs: Vec<EpochMetrics>,
    /// Why it ended.
    pub stopped: Stopped,
}

impl History {
    /// The epoch with the least validation, whose parameters the trainer has in the end.
    pub fn best(&self) -> Option<&EpochMetrics> {
        self.epochs.iter().rev().find(|e| e.is_best)
    }
}

/// A log of metrics, for [`Fit::log`](super::Fit::log).
///
/// ```
/// use retrograd::Error;
/// use retrograd::fit::{Log, StepMetrics};
///
/// /// Prints every hundredth step.
/// struct Print;
///
/// impl Log for Print {
///     fn step(&mut self, metrics: &StepMetrics) -> Result<(), Error> {
///         if metrics.step % 100 == 0 {
///             println!("{}: {:.4}", metrics.step, metrics.loss);
///         }
///         Ok(())
///     }
/// }
/// let fit = retrograd::fit::Fit::<f32>::new(10).log(Print);
/// ```
pub trait Log {
    /// Training begins, or goes on, after so many steps and whole epochs: what the log has of later ones is of a run that was stopped.
    ///
    /// # Errors
    /// [`Error::File`].
    fn begin(&mut self, steps: u64, epochs: u64) -> Result<(), Error> {
        let _ = (steps, epochs);
        Ok(())
    }

    /// A step was done.
    ///
    /// # Errors
    /// [`Error::File`].
    fn step(&mut self, metrics: &StepMetrics) -> Result<(), Error> {
        let _ = metrics;
        Ok(())
    }

    /// An epoch has ended.
    ///
    /// # Errors
    /// [`Error::File`].
    fn epoch(&mut self, metrics: &EpochMetrics) -> Result<(), Error> {
        let _ = metrics;
        Ok(())
    }
}
