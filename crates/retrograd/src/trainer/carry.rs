//! Training chunk after chunk, each from the states that the one before left.

use super::{Evaluation, Report, Trainer};
use crate::batch::{Batch, RunMode, Unpacked};
use crate::carry::Carry;
use crate::engine::Runner;
use crate::error::Error;
use crate::numbers::Float;

impl<T: Float> Trainer<T> {
    /// States of this many rows, to be carried from chunk to chunk by [`step_carrying`](Self::step_carrying) and its kind;
    /// see [`Carry`]. If a state begins otherwise than given, the cell becomes [`Cell::carrying`](crate::Cell::carrying), and
    /// is compiled again with its next run; parameters, masks and optimiser stay. [`Checkpoint::with_carry`](crate::Checkpoint::with_carry)
    /// saves the states with the rest of a run.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent, Sgd, StateSpec, Trainer};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state_with("h", (), StateSpec::delay(1).init_learned()));
    ///     let h = c.next(h, h + x);
    ///     c.loss((h - c.target("right", ())).square());
    /// })?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.25)).build()?;
    /// let mut carry = trainer.carry(2)?.burn_in(1);
    /// let chunk = Batch::new(Extent::steps(3).rows(2)).with("x", vec![1.0; 6]).with("right", vec![0.0; 6]);
    /// let first = trainer.step_carrying(&chunk, &mut carry)?;
    /// assert_eq!(first.loss, (4.0 + 9.0) / 2.0, "the first step is not counted");
    /// assert_eq!(carry.state("h"), Some(&[3.0, 3.0][..]));
    /// // Learned was nothing: no gradient passes the steps that run forward only.
    /// assert_eq!(trainer.parameters(), [0.0]);
    /// carry.reset_row(1)?;
    /// trainer.evaluate_carrying(&chunk, &mut carry)?;
    /// assert_eq!(carry.state("h"), Some(&[6.0, 3.0][..]));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Cell::carrying`](crate::Cell::carrying); [`Error::EmptyBatch`] for no rows.
    #[inline(never)]
    pub fn carry(&mut self, rows: usize) -> Result<Carry<T>, Error> {
        self.carrying()?;
        self.cell.carry(rows)
    }

    /// [`Trainer::step`] on the next chunk, whose rows begin with the states that are carried: new ones take their place.
    /// Gradients do not pass to earlier chunks, nor to the steps of a [burn-in](Carry::burn_in), which draws masks of its own.
    ///
    /// # Errors
    /// Those of [`Trainer::step`], of [`Carry::onto`], and [`Error::Setting`] for a burn-in that leaves no step. After an error
    /// parameters and carried states are unchanged.
    #[inline(never)]
    pub fn step_carrying(
        &mut self,
        chunk: &Batch<T>,
        carry: &mut Carry<T>,
    ) -> Result<Report, Error> {
        let (mut left, rest) = self.burnt_in(chunk, carry, None)?;
        let report = self.step(&rest)?;
        left.keep(chunk, |name| self.output(name))?;
        *carry = left;
        Ok(report)
    }

    /// [`Trainer::evaluate`] of the next chunk; loss and outputs are those of the steps after the burn-in.
    ///
    /// # Errors
    /// As [`step_carrying`](Self::step_carrying).
    #[inline(never)]
    pub fn evaluate_carrying(
        &mut self,
        chunk: &Batch<T>,
        carry: &mut Carry<T>,
    ) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation_carrying(chunk, carry, RunMode::Evaluate)
    }

    /// [`Trainer::predict`] for the next chunk; outputs are those of the steps after the burn-in.
    ///
    /// # Errors
    /// As [`step_carrying`](Self::step_carrying).
    #[inline(never)]
    pub fn predict_carrying(
        &mut self,
        chunk: &Batch<T>,
        carry: &mut Carry<T>,
    ) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation_carrying(chunk, carry, RunMode::Predict)
    }

    /// An output of the last run, of a [`step`](Self::step) too: `[T, B, shape]`, or under a state's name its final value,
    /// `[|d|, B, shape]`, from which a later batch can continue. None before the first run.
    pub fn output(&self, name: &str) -> Option<&[T]> {
        let k = self.cell.tape().output(name)?;
        Some(self.last_output(k)).filter(|values| !values.is_empty())
    }

    fn evaluation_carrying(
        &mut self,
        chunk: &Batch<T>,
        carry: &mut Carry<T>,
        mode: RunMode,
    ) -> Result<Evaluation<'_, T>, Error> {
        let (mut left, rest) = self.burnt_in(chunk, carry, Some(mode))?;
        self.run(&rest, mode, false)?;
        left.keep(chunk, |name| self.output(name))?;
        *carry = left;
        Ok(Evaluation {
            trainer: self,
            differentiated: false,
        })
    }

    /// Runs the steps of a chunk that run forward only, and returns the states that they leave, and the rest of the chunk,
    /// which begins with these. In training, which is no `mode` here, they have masks of their own.
    fn burnt_in(
        &mut self,
        chunk: &Batch<T>,
        carry: &Carry<T>,
        mode: Option<RunMode>,
    ) -> Result<(Carry<T>, Batch<T>), Error> {
        self.carrying()?;
        let mut left = carry.clone();
        let (first, rest) = carry.divided(&self.cell, chunk)?;
        if let Some(first) = first {
            let first = left.onto(&first)?;
            let mode = mode.unwrap_or_else(|| self.next_draw());
            self.run_cell(&first, mode, false)?;
            left.keep(&first, |name| self.output(name))?;
        }
        let rest = left.onto(&rest)?;
        Ok((left, rest))
    }

    /// Makes the cell one whose states are all carried.
    pub(super) fn carrying(&mut self) -> Result<(), Error> {
        if self.cell.carried().is_some() {
            return Ok(());
        }
        let carrying = self.cell.carrying()?;
        if carrying.tape().inputs().len() != self.cell.tape().inputs().len() {
            self.splitter = None;
            self.unpacked = Unpacked::default();
            self.runner = Runner::new(self.engine, &carrying, self.settings, &self.trained, false)?;
        }
        self.declared = Some(std::mem::replace(&mut self.cell, carrying));
        Ok(())
    }
}
