//! Training in two halves: the caller turns outputs into cotangents.

use std::sync::Arc;

use super::Trainer;
use crate::batch::Batch;
use crate::error::Error;
use crate::numbers::Float;
use crate::optim::global_norm;
use crate::split::{Forward, Gradients, Parameters, Splitter};

/// What [`Trainer::apply`] did.
///
/// ```
/// use retrograd::{Batch, Cotangents, Extent, Sgd, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let batch = Batch::new(Extent::steps(1)).with("x", vec![0.1]).with("next", vec![0.2]);
/// let (first, second) = (trainer.forward(&batch)?, trainer.forward(&batch)?);
/// let half = Cotangents::new().with_loss(0.5);
/// let update = trainer.apply([first.backward(&half)?, second.backward(&half)?])?;
/// assert!(update.step == 1 && update.gradient_norm.is_finite());
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Update {
    /// The step, the first being 1.
    pub step: u64,
    /// The norm of the sum of the gradients, before clipping.
    pub gradient_norm: f64,
}

impl<T: Float> Trainer<T> {
    /// Runs the forward half of a step of training, and keeps what the backward half needs; see [`Forward`]. New masks are drawn.
    /// The program for it is compiled at the first call, or by [`TrainerBuilder::build`](crate::TrainerBuilder::build) if that was told that the loss is
    /// outside.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Cotangents, Extent, Sgd, Trainer};
    ///
    /// let cell = Cell::define("line", |c| c.output("y", c.dense("read", 1, [c.input("x", 1)])))?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).loss_outside().build()?;
    /// let batch = Batch::new(Extent::steps(2)).with("x", vec![-1.0, 1.0]);
    /// for _ in 0..100 {
    ///     let forward = trainer.forward(&batch)?;
    ///     let y = forward.output("y").unwrap();
    ///     let slopes = vec![y[0] + 2.0, y[1] - 2.0]; // of half the squared distance to −2 and 2
    ///     let gradients = forward.backward(&Cotangents::new().with("y", slopes))?;
    ///     trainer.apply([gradients])?;
    /// }
    /// let slope = trainer.parameter("read.x").unwrap()[0];
    /// assert!((slope - 2.0).abs() < 1e-3);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches, and [`Error::Compile`]. Numbers that are not finite are accepted; [`Trainer::apply`]
    /// refuses gradients that are not.
    #[inline(never)]
    pub fn forward<'a>(&mut self, batch: &'a Batch<T>) -> Result<Forward<'a, T>, Error> {
        let mode = self.next_draw();
        let splitter = match &mut self.splitter {
            Some(splitter) => splitter,
            none => none.insert(Splitter::new(
                &self.cell,
                self.engine,
                self.settings,
                &self.trained,
                &self.input_gradients,
            )?),
        };
        let parameters = Parameters::Shared(Arc::clone(&self.parameters));
        splitter.forward(&mut self.feed, parameters, batch, mode)
    }

    /// One step of training on gradients that [`Forward::backward`] returned: their sum is clipped, and the optimiser does its
    /// step. They may be those of several runs (gradient accumulation), also of a [`Session`](crate::Session) of this cell.
    ///
    /// # Errors
    /// [`Error::OtherGradients`] unless they are those of all parameters of this cell that are not frozen; [`Error::Setting`] if
    /// there are none, or for an optimiser that needs the loss at other points; [`Error::NonFinite`], [`Error::Overflow`] and [`Error::Diverged`] as for [`Trainer::step`]. After an error the parameters are unchanged.
    pub fn apply(
        &mut self,
        gradients: impl IntoIterator<Item = Gradients<T>>,
    ) -> Result<Update, Error> {
        let mut none = true;
        for mut one in gradients {
            if !one.cell().parameter_specs().eq(self.cell.parameter_specs()) {
                return Err(Error::OtherGradients {
                    cell: self.cell.name().to_owned(),
                    found: one.cell().name().to_owned(),
                });
            }
            let first = std::mem::take(&mut none);
            // One of all parameters is taken as it is: copying it takes longer than a step may.
            if first && self.trained.iter().all(|t| *t) && one.exchange(&mut self.gradient) {
                continue;
            }
            let other = || Error::OtherGradients {
                cell: self.cell.name().to_owned(),
                found: one.cell().name().to_owned(),
            };
            let of = one.each_parameter();
            for ((range, trained), values) in self.ranges.iter().zip(&self.trained).zip(of) {
                let sums = &mut self.gradient[range.clone()];
                match (trained, first) {
                    (true, true) => sums.copy_from_slice(values.ok_or_else(other)?),
                    (true, false) => {
                        let values = values.ok_or_else(other)?;
                        (sums.iter_mut().zip(values)).for_each(|(sum, &g)| *sum += g);
                    }
                    (false, true) => sums.fill(T::ZERO),
                    (false, false) => {}
                }
            }
        }
        if none {
            return Err(Error::Setting {
                what: "the number of gradients to apply",
                found: "0".to_owned(),
                expected: "at least 1".to_owned(),
            });
        }
        let step = self.steps() + 1;
        let gradient_norm = global_norm(&self.gradient);
        if !gradient_norm.is_finite() {
            let what = "norm of the gradient";
            let value = gradient_norm;
            return Err(Error::NonFinite { what, value, step });
        }
        self.move_parameters(step, f64::NAN, None)?;
        Ok(Update {
            step,
            gradient_norm,
        })
    }
}
