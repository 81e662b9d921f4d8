//! Constraints that parameters meet after every step.

use std::ops::Range;

use retrograd_tape::Shape;

use super::{norm::global_norm, positive};
use crate::error::Error;
use crate::numbers::Float;

/// What parameters are moved to after a step of the optimiser, for [`TrainerBuilder::constrain`](crate::TrainerBuilder::constrain):
/// the nearest that meet it. Norms are those of each row of a matrix, the weights of one output of a layer, and of a whole vector.
///
/// ```
/// use retrograd::optim::Constraint;
/// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1.0)).constrain("*.h", Constraint::MaxNorm(0.5)).build()?;
/// trainer.step(&Batch::new(Extent::steps(2)).with("x", vec![0.5, -0.5]).with("next", vec![1.0, 1.0]))?;
/// let rows = trainer.parameter("h.h").unwrap().chunks(4);
/// assert!(rows.into_iter().all(|row| row.iter().map(|u| u * u).sum::<f32>().sqrt() < 0.500001));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Constraint {
    /// A norm of at most this, more than 0 (Srivastava et al. 2014, section 5.1).
    MaxNorm(f64),
    /// A norm of 1; zeros stay zeros.
    UnitNorm,
    /// No number below 0.
    NonNegative,
}

impl Constraint {
    pub(crate) fn check(self) -> Result<(), Error> {
        match self {
            Constraint::MaxNorm(most) => positive("the greatest norm of a constraint", most),
            Constraint::UnitNorm | Constraint::NonNegative => Ok(()),
        }
    }

    fn project<T: Float>(self, row: &mut [T]) {
        let scale = |row: &mut [T], norm: f64, by: f64| {
            // Divided first: a norm that is a denormal number has no finite reciprocal.
            row.iter_mut()
                .for_each(|x| *x = T::from_f64(x.to_f64() / norm * by));
        };
        let norm = global_norm(row);
        match self {
            Constraint::MaxNorm(most) if norm > most && norm.is_finite() => scale(row, norm, most),
            Constraint::UnitNorm if norm > 0.0 && norm.is_finite() => scale(row, norm, 1.0),
            Constraint::NonNegative => {
                // Not `max`, which would make a number of NaN.
                let negative = row.iter_mut().filter(|x| **x < T::ZERO);
                negative.for_each(|x| *x = T::ZERO);
            }
            Constraint::MaxNorm(_) | Constraint::UnitNorm => {}
        }
    }
}

/// A constraint of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Constrained {
    constraint: Constraint,
    range: Range<usize>,
    row: usize,
}

impl Constrained {
    pub(crate) fn new(constraint: Constraint, range: Range<usize>, shape: Shape) -> Constrained {
        let row = shape.axes().last().copied().unwrap_or(1).max(1);
        Constrained {
            constraint,
            range,
            row,
        }
    }

    pub(crate) fn project<T: Float>(&self, parameters: &mut [T]) {
        let rows = parameters[self.range.clone()].chunks_mut(self.row);
        rows.for_each(|row| self.constraint.project(row));
    }
}
