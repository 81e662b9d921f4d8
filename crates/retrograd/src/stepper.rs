//! Streaming: a cell processes one sample after another and keeps its states.

use retrograd_jit::RunError;
use retrograd_tape::{Domain, Extent, InputRole};

use crate::batch::{Arrangement, Counts, axes};
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, emptied};

/// A compiled cell for streaming: each sample (of one or more rows) continues from the states that the previous one left, with one
/// call of machine code per sample, no allocation and no lock. A clone continues from the same states in a workspace of its own,
/// and shares code and parameters. Whatever depends on no sample, such as packed weights, is computed when parameters are set.
/// Masks are ones. There is no loss, so inputs that only the loss reads, such as targets, are not taken. A sample that is not
/// finite makes states and outputs so until [`reset`](Self::reset) or [`set_state`](Self::set_state). It wraps
/// [`retrograd_jit::Stepper`], which takes a tape's inputs by position and knows no parameters, masks or batches: this one keeps
/// the flat vector of parameters apart from the samples and fills in the masks.
///
/// ```
/// use retrograd::{Adam, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 1, 8)?;
/// let trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// // … training …
/// let mut stepper = trainer.stepper().build()?;
/// for x in [0.1, 0.2, 0.3] {
///     let forecast = stepper.step(&[&[x]])?;
///     assert_eq!(forecast.len(), 1);
/// }
/// let h = stepper.state("h").unwrap().to_vec();
/// stepper.reset();
/// stepper.set_state("h", &h)?;
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Stepper<T: Float = f32> {
    run: retrograd_jit::Stepper<T>,
    cell: Cell,
    /// Names of the inputs that the caller passes with a sample.
    inputs: Vec<String>,
    /// For each of the program's inputs per sample: ones if it is a mask.
    masks: Vec<Option<Vec<T>>>,
    /// The allocation of the last sample's list of inputs, reused by the next; always empty.
    slices: Vec<&'static [T]>,
}

/// The settings of a [`Stepper`]: the rows of a sample, static inputs and initial states.
///
/// ```
/// use retrograd::Cell;
///
/// let cell = Cell::define("decay", |c| {
///     let h = c.state("h", 1);
///     let h = c.next(h, 0.5 * h + c.input("x", 1));
///     c.output("y", h);
/// })?;
/// let mut stepper = cell.stepper(&[] as &[f32]).rows(2).with("h", vec![4.0, 8.0]).build()?;
/// assert_eq!(stepper.step(&[&[0.0, 0.0]])?, [2.0, 4.0]);
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// [`Trainer::stepper`](crate::Trainer::stepper) and [`Cell::stepper`] make one.
#[derive(Clone, Debug)]
pub struct StepperBuilder<'a, T: Float = f32> {
    cell: &'a Cell,
    parameters: &'a [T],
    rows: usize,
    arrays: Vec<(String, Vec<T>)>,
}

impl Cell {
    /// Builds a [`Stepper`] of the cell with a flat vector of parameters in the cell's order.
    pub fn stepper<'a, T: Float>(&'a self, parameters: &'a [T]) -> StepperBuilder<'a, T> {
        StepperBuilder {
            cell: self,
            parameters,
            rows: 1,
            arrays: Vec::new(),
        }
    }
}

impl<'a, T: Float> StepperBuilder<'a, T> {
    /// The number of rows of a sample, which are independent of each other; by default 1.
    #[must_use]
    pub fn rows(self, rows: usize) -> Self {
        StepperBuilder { rows, ..self }
    }

    /// A static input, `[B, n]`, or an initial state, `[d, B, n]` for its d slots, by default zeros. An initial state that is
    /// learned or computed cannot be replaced here; [`Stepper::set_state`] sets the state itself.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<T>) -> Self {
        self.arrays.retain(|(n, _)| n != name);
        self.arrays.push((name.to_owned(), values));
        self
    }

    /// Compiles the cell.
    ///
    /// # Errors
    /// [`Error::Stepper`] for a cell that reads later samples (the message names the state or value) and for arrays of the wrong
    /// length; [`Error::MissingInput`], [`Error::NotFixed`], [`Error::ParameterCount`].
    pub fn build(self) -> Result<Stepper<T>, Error> {
        let StepperBuilder { cell, rows, .. } = self;
        cell.check_count("parameters", self.parameters)?;
        let fixed = |role| matches!(role, InputRole::Static | InputRole::Initial);
        let taken = cell.tape().inputs().iter().filter(|i| fixed(i.role));
        let known: Vec<String> = taken.map(|i| i.name.to_string()).collect();
        if let Some((name, _)) = self.arrays.iter().find(|(n, _)| !known.contains(n)) {
            return Err(Error::NotFixed {
                sampled: cell.tape().inputs().iter().any(|i| *i.name == **name),
                name: name.clone(),
                known,
            });
        }
        let mut inputs = listed(cell, self.parameters);
        for (slice, input) in inputs.iter_mut().zip(cell.tape().inputs()) {
            match self.arrays.iter().find(|(n, _)| **n == *input.name) {
                Some((_, values)) => *slice = values,
                None if input.role == InputRole::Static => {
                    return Err(Error::MissingInput {
                        name: input.name.to_string(),
                        role: "static input",
                        expected: axes(
                            input.ty,
                            Arrangement::Rows,
                            Counts::full(Extent::steps(1).rows(rows)),
                        ),
                    });
                }
                None => {}
            }
        }
        let run = retrograd_jit::Stepper::new(cell.tape(), rows, &inputs)?;
        let ones = |i: &retrograd_tape::Input| {
            (i.role == InputRole::Mask).then(|| vec![T::ONE; rows * i.ty.shape.len()])
        };
        let given = run.inputs().iter().filter(|i| i.role != InputRole::Mask);
        Ok(Stepper {
            inputs: given.map(|i| i.name.to_string()).collect(),
            masks: run.inputs().iter().map(ones).collect(),
            slices: Vec::with_capacity(run.inputs().len()),
            cell: cell.clone(),
            run,
        })
    }
}

impl<T: Float> Stepper<T> {
    /// Names of the arrays of a sample, in order: the cell's inputs without those that only the loss reads.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|name| &**name)
    }

    /// Names of the outputs, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.run.outputs().iter().map(|o| &*o.name)
    }

    /// Processes a sample, an array `[B, n]` for each of [`inputs`](Self::inputs), and returns the first output, `[B, n]` (empty if
    /// there is none); [`output`](Self::output) returns the others.
    ///
    /// # Errors
    /// [`Error::Run`] for arrays of the wrong length, in which case the states are unchanged; also for a computed index that is not
    /// a row of its table, in which case the sample has been processed.
    pub fn step(&mut self, inputs: &[&[T]]) -> Result<&[T], Error> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::Run(RunError::Count {
                what: "inputs for each sample",
                expected: self.inputs.len(),
                found: inputs.len(),
            }));
        }
        if self.masks.len() == inputs.len() {
            self.run.step(inputs, &mut [])?;
        } else {
            let mut slices: Vec<&[T]> = std::mem::take(&mut self.slices);
            let mut given = inputs.iter();
            slices.extend(self.masks.iter().filter_map(|mask| match mask {
                Some(ones) => Some(&ones[..]),
                None => given.next().copied(),
            }));
            let ran = self.run.step(&slices, &mut []);
            self.slices = emptied(slices);
            ran?;
        }
        Ok(match self.run.outputs() {
            [] => &[],
            _ => self.run.output(0),
        })
    }

    /// An output of the last sample, `[B, n]`.
    pub fn output(&self, name: &str) -> Option<&[T]> {
        let k = self.outputs().position(|n| n == name)?;
        Some(self.run.output(k))
    }

    /// Resets all states to their initial values.
    pub fn reset(&mut self) {
        self.run.reset();
    }

    /// The current value of a state, `[d, B, n]` for its d slots, the oldest first.
    pub fn state(&mut self, name: &str) -> Option<&[T]> {
        self.run.state(name)
    }

    /// Sets a state, laid out as [`state`](Self::state) returns it.
    ///
    /// # Errors
    /// [`Error::Run`] if there is no state of this name, or the length is wrong.
    pub fn set_state(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        Ok(self.run.set_state(name, values)?)
    }

    /// Replaces the parameters by a flat vector in the cell's order; states are kept.
    ///
    /// # Errors
    /// [`Error::ParameterCount`].
    pub fn set_parameters(&mut self, parameters: &[T]) -> Result<(), Error> {
        self.cell.check_count("parameters", parameters)?;
        Ok(self.run.set_inputs(&listed(&self.cell, parameters))?)
    }
}

impl<T: Float> Clone for Stepper<T> {
    fn clone(&self) -> Self {
        Stepper {
            run: self.run.clone(),
            cell: self.cell.clone(),
            inputs: self.inputs.clone(),
            masks: self.masks.clone(),
            slices: Vec::with_capacity(self.slices.capacity()),
        }
    }
}

impl<T: Float> std::fmt::Debug for Stepper<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper")
            .field("cell", &self.cell.name())
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

/// The parameters in the order of the tape's inputs; empty slices for other inputs.
fn listed<'a, T>(cell: &Cell, parameters: &'a [T]) -> Vec<&'a [T]> {
    let mut rest = parameters;
    let inputs = cell.tape().inputs().iter();
    inputs
        .map(|i| match (i.role, i.ty.domain) {
            (InputRole::Param, Domain::Once) => {
                let (this, after) = rest.split_at(i.ty.shape.len());
                rest = after;
                this
            }
            _ => &[][..],
        })
        .collect()
}
