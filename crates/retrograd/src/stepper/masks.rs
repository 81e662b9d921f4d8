//! The masks of a [`Stepper`](super::Stepper): ones, drawn, or the caller's.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use retrograd_tape::{Domain, Input, InputRole};

use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, reserved};
use crate::random::stream;

/// What masks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaskSource {
    Ones,
    /// Drawn from this seed.
    Drawn(u64),
    /// Given with each sample.
    Given,
}

/// A mask that the caller does not give.
#[derive(Clone, Debug)]
pub(super) struct FilledMask<T> {
    pub(super) values: Vec<T>,
    /// The probability that an element is kept, and where the numbers come from that decide.
    drawn: Option<(f64, ChaCha8Rng)>,
}

impl<T: Float> FilledMask<T> {
    /// A mask of a cell for samples of this many rows.
    pub(super) fn new(
        cell: &Cell,
        input: &Input,
        rows: usize,
        source: MaskSource,
    ) -> Result<FilledMask<T>, Error> {
        let count = input.ty.numbers(1, rows);
        let mut values = reserved("the masks", count)?;
        values.resize(count, T::ONE);
        let masks = cell.tape().inputs().iter();
        let masks = masks.filter(|i| i.role == InputRole::Mask);
        let keep = masks
            .zip(cell.keep_probabilities())
            .find(|(i, _)| i.name == input.name);
        let drawn = match (source, keep) {
            (MaskSource::Drawn(seed), Some((_, &keep))) => {
                Some((keep, stream(seed, "stepper", &input.name)))
            }
            _ => None,
        };
        let mut mask = FilledMask { values, drawn };
        mask.draw(0..mask.values.len());
        Ok(mask)
    }

    /// Draws some of the elements anew, if the mask is drawn.
    pub(super) fn draw(&mut self, elements: std::ops::Range<usize>) {
        let Some((keep, rng)) = &mut self.drawn else {
            return;
        };
        let kept = T::from_f64(1.0 / *keep);
        let kept_below = (*keep * 4_294_967_296.0) as u64;
        for value in &mut self.values[elements] {
            *value = match u64::from(rng.next_u32()) < kept_below {
                true => kept,
                false => T::ZERO,
            };
        }
    }

    pub(super) fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }
}

/// The elements of a row; all of them if they are the same for all rows.
pub(super) fn of_row(input: &Input, row: usize) -> std::ops::Range<usize> {
    let n = input.ty.shape.len();
    match input.ty.domain {
        Domain::Once => 0..n,
        Domain::Row | Domain::BoundarySlots(_) | Domain::Step => row * n..(row + 1) * n,
    }
}
