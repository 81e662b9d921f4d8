//! [`Chunk`]: a batch that goes on where the one before ended.

use crate::batch::Batch;
use crate::carry::Carry;
use crate::error::Error;
use crate::numbers::Float;
use crate::trainer::{Report, Trainer};

/// What a step of [`Fit`](super::Fit) runs on: a batch by itself, or a part of long sequences, whose rows begin with the states that the
/// part before left (truncated back-propagation through time; see [`Carry`]).
///
/// ```
/// use retrograd::fit::{Chunk, Fit};
/// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 1, 8)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// let wave: Vec<f32> = (0..1000).map(|t| (t as f32 * 0.4).sin()).collect();
/// let part = |from: usize, steps: usize| {
///     let batch = Batch::new(Extent::steps(steps)).with("x", wave[from..from + steps].to_vec());
///     batch.with("next", wave[from + 1..from + steps + 1].to_vec())
/// };
/// // An epoch begins with 20 steps that only bring the states up to date.
/// let history = Fit::new(3).run(&mut trainer, |_| {
///     let rest = (1..20).map(|k| Chunk::following(part(20 + 40 * k, 40)));
///     std::iter::once(Chunk::first(part(0, 60), 20)).chain(rest)
/// })?;
/// assert!(history.epochs[2].loss < history.epochs[0].loss);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Chunk<T: Float = f32> {
    batch: Batch<T>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// By itself: nothing is carried.
    Alone,
    /// The first of its sequences, so many of whose steps run forward only.
    First(usize),
    Following,
}

impl<T: Float> Chunk<T> {
    /// The first part of its rows' sequences: they begin as the cell declares. The first `burn_in` steps run forward only; see
    /// [`Carry::burn_in`].
    pub fn first(batch: Batch<T>, burn_in: usize) -> Chunk<T> {
        Chunk {
            batch,
            place: Place::First(burn_in),
        }
    }

    /// A part that goes on where the one before ended, of as many rows.
    pub fn following(batch: Batch<T>) -> Chunk<T> {
        Chunk {
            batch,
            place: Place::Following,
        }
    }

    /// The step of training. After an error, `carry` is as before.
    pub(super) fn step(
        self,
        trainer: &mut Trainer<T>,
        carry: &mut Option<Carry<T>>,
    ) -> Result<Report, Error> {
        let burn_in = match self.place {
            Place::Alone => return trainer.step(&self.batch),
            Place::First(burn_in) => burn_in,
            Place::Following => {
                let carry = carry.as_mut().ok_or_else(|| Error::Setting {
                    what: "the first chunk of a training",
                    found: "one that goes on where another ended".to_owned(),
                    expected: "`Chunk::first`".to_owned(),
                })?;
                return trainer.step_carrying(&self.batch, carry);
            }
        };
        let mut begun = trainer.carry(self.batch.extent.rows)?.burn_in(burn_in);
        let report = trainer.step_carrying(&self.batch, &mut begun)?;
        *carry = Some(begun.burn_in(0));
        Ok(report)
    }
}

impl<T: Float> From<Batch<T>> for Chunk<T> {
    fn from(batch: Batch<T>) -> Chunk<T> {
        Chunk {
            batch,
            place: Place::Alone,
        }
    }
}
