//! Where a loss or a gradient stopped being finite: a step of training is run again by the tape.

use std::fmt;

use retrograd_tape::{InputRole, Lengths, NonFinite, OutputRole};

use super::Trainer;
use crate::batch::{Batch, Points, RunMode};
use crate::carry::Carry;
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::Float;

/// Where a number that is not finite first appeared in a step of training; see [`Trainer::explain_non_finite`]. It displays as
/// a sentence that names the place in the cell: the line of a cell file, or of the Rust code that recorded it.
///
/// ```
/// use retrograd::{Batch, Cell, Extent, Sgd, Trainer};
///
/// let text = "
///     cell gain(x)
///     param w
///     init w = 1
///     output y = ln(w * x)
///     target next
///     loss square(y - next)";
/// let mut trainer = Trainer::builder(Cell::from_text(text, &[])?, Sgd::new(0.1)).build()?;
/// let batch = Batch::new(Extent::steps(3)).with("x", vec![1.0, -2.0, 3.0]).with("next", vec![0.0; 3]);
/// assert!(trainer.step(&batch).is_err());
/// let origin = trainer.explain_non_finite(&batch)?.expect("the logarithm of -2 is NaN");
/// assert_eq!((origin.step(), origin.row(), origin.number().op), (Some(1), Some(0), "ln"));
/// let said = origin.to_string();
/// assert!(said.contains("becomes NaN at step 1, row 0: ln of") && said.contains("= -2"), "{said}");
/// assert!(said.contains("cell:5:16: `ln(w * x)`"), "{said}");
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Provenance {
    number: NonFinite,
    /// The place in the cell file, with the lines around it.
    #[cfg(feature = "text")]
    shown: Option<(String, retrograd_text::TextError)>,
}

impl Provenance {
    /// Of what was found in a run of this cell; step and row are the caller's.
    fn new(cell: &Cell, number: NonFinite) -> Provenance {
        #[cfg(not(feature = "text"))]
        let _ = cell;
        Provenance {
            #[cfg(feature = "text")]
            shown: shown(cell, &number),
            number,
        }
    }

    /// The number: its node, its operands, and where it is.
    pub fn number(&self) -> &NonFinite {
        &self.number
    }

    /// The step of the batch, counted from 0; none for what does not vary over steps, and for a sum over them.
    pub fn step(&self) -> Option<usize> {
        self.number.step
    }

    /// The row of the batch, counted from 0; none for what does not vary over rows, and for a sum over them.
    pub fn row(&self) -> Option<usize> {
        self.number.row
    }

    /// The same as an error that shows the line of the cell file, if the cell has one.
    #[cfg(feature = "text")]
    pub fn in_text(&self) -> Option<Error> {
        let (_, shown) = self.shown.as_ref()?;
        Some(shown.clone().into())
    }

    /// The place in the cell: `my.cell:5:16: `ln(w * x)``, or `src/main.rs:12:9`.
    fn place(&self) -> Option<String> {
        #[cfg(feature = "text")]
        if let Some((place, _)) = &self.shown {
            return Some(place.clone());
        }
        // A place in the reader of a text is none of the user's.
        let line = self.number.line.filter(|_| self.number.place.is_none())?;
        Some(line.to_string())
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)?;
        match self.place() {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

/// The place in a cell file, in a line and as a report.
#[cfg(feature = "text")]
fn shown(cell: &Cell, number: &NonFinite) -> Option<(String, retrograd_text::TextError)> {
    const LONGEST: usize = 60;
    let places = cell.places()?;
    let label = format!("{} appears here", number.found);
    let error = places.shown(number.place?, number.to_string(), label)?;
    let (line, column) = error.position();
    let (name, text) = places.part(number.place?)?;
    let first = text.lines().next().unwrap_or_default();
    let cut: String = first.chars().take(LONGEST).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    Some((format!("{name}:{line}:{column}: `{cut}{more}`"), error))
}

impl<T: Float> Trainer<T> {
    /// Why a step of training on this batch failed with [`Error::NonFinite`]: the tape runs the last step again (with its masks
    /// and the present parameters, in the same precision) and finds where the first number that is not finite appeared, of all
    /// those that the loss was computed from; if the loss is finite, of those that the gradients of the trained parameters were.
    /// Numbers that a selection leaves out are no reason. It takes several times as long as a step on the tape, and twice its
    /// memory.
    ///
    /// `None` if loss and gradients are finite. That may also be where compiled code, whose sums have another order, is just
    /// beyond the greatest number, and the tape just below it.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent, Sgd, Trainer};
    ///
    /// let cell = Cell::define("growth", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     let h = c.next(h, 3.0 * h + c.param("w", ()) * x);
    ///     c.loss(h.exp().named("e"));
    /// })?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
    /// trainer.set_parameters(&[1.0])?;
    /// // Two rows, of six steps and of two: 3⁵ = 243, and e²⁴³ is greater than any number of single precision.
    /// let mut x = vec![0.0; 12];
    /// x[0] = 1.0;
    /// let batch = Batch::new(Extent::steps(6).rows(2)).with_lengths(&[6, 2]).with("x", x);
    /// assert!(trainer.step(&batch).is_err());
    /// let origin = trainer.explain_non_finite(&batch)?.expect("the loss is infinite");
    /// assert_eq!((origin.number().name.as_str(), origin.step(), origin.row()), ("`e`", Some(5), Some(0)));
    /// assert_eq!(origin.number().operands[0].least, 243.0);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches; [`Error::NoLoss`].
    #[inline(never)]
    pub fn explain_non_finite(&mut self, batch: &Batch<T>) -> Result<Option<Provenance>, Error> {
        self.has_loss()?;
        let found = self.traced(batch, self.draws.max(1), Results::Loss)?;
        Ok(found.map(|found| Provenance::new(&self.cell, found)))
    }

    /// The same for [`Trainer::step_carrying`]: the states are those that the failed step began with, which an error leaves as
    /// they were. Steps are counted from the beginning of the chunk; a burn-in is searched first.
    ///
    /// # Errors
    /// Those of [`Trainer::step_carrying`].
    #[inline(never)]
    pub fn explain_non_finite_carrying(
        &mut self,
        chunk: &Batch<T>,
        carry: &Carry<T>,
    ) -> Result<Option<Provenance>, Error> {
        self.has_loss()?;
        self.carrying()?;
        let draw = self.draws.max(1);
        let mut left = carry.clone();
        let (first, rest) = carry.divided(&self.cell, chunk)?;
        let mut before = 0;
        if let Some(first) = first {
            let first = left.onto(&first)?;
            let burn_in = draw.saturating_sub(1).max(1);
            if let Some(found) = self.traced(&first, burn_in, Results::States)? {
                return Ok(Some(Provenance::new(&self.cell, found)));
            }
            self.run_cell(&first, RunMode::Train { draw: burn_in }, false)?;
            left.keep(&first, |name| self.output(name))?;
            before = first.extent.steps;
        }
        let rest = left.onto(&rest)?;
        let mut found = self.traced(&rest, draw, Results::Loss)?;
        if let Some(found) = &mut found {
            found.step = found.step.map(|step| step + before);
        }
        Ok(found.map(|found| Provenance::new(&self.cell, found)))
    }

    pub(super) fn has_loss(&self) -> Result<(), Error> {
        match self.loss {
            Some(_) => Ok(()),
            None => Err(Error::NoLoss {
                cell: self.cell.name().to_owned(),
            }),
        }
    }

    /// Where the first number that is not finite appeared, in the caller's steps and rows.
    fn traced(
        &mut self,
        batch: &Batch<T>,
        draw: u64,
        results: Results,
    ) -> Result<Option<NonFinite>, Error> {
        let names = self.cell.parameter_specs().zip(&self.trained);
        let trained: Vec<&str> = names.filter(|(_, t)| **t).map(|(p, _)| p.name).collect();
        let mut inputs: Vec<&[T]> = Vec::new();
        let mode = RunMode::Train { draw };
        let feed = &mut self.feed;
        let fed = feed.inputs(&self.cell, &self.parameters, batch, mode, &mut inputs)?;
        let equal;
        let lengths = match fed.points {
            Points::Ragged(lengths) => lengths,
            Points::Full(extent) => {
                equal = Lengths::new(vec![extent.steps; extent.rows])?;
                &equal
            }
        };
        let (tape, bf16) = (self.cell.tape(), !self.settings.precision.is_full());
        let found = match results {
            Results::Loss => tape.first_non_finite(lengths, &inputs, bf16, |i| {
                i.role == InputRole::Param && trained.contains(&&*i.name)
            }),
            Results::States => {
                tape.first_non_finite_of(lengths, &inputs, bf16, |o| o.role == OutputRole::Final)
            }
        };
        let found = found.map_err(|e| fed.located(e.into()))?;
        Ok(found.map(|mut found| {
            if let Some(packing) = fed.packing {
                (found.row, found.step) = packing.place(found.row, found.step);
            }
            found
        }))
    }
}

/// What has to be finite.
enum Results {
    /// The loss and the gradients.
    Loss,
    /// The final states.
    States,
}
