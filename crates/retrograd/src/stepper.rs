//! Streaming: a cell processes one sample after another and keeps its states.

mod masks;

use retrograd_graph::Options;
use retrograd_jit::{RunError, StepperError};
use retrograd_tape::{Domain, Extent, Input, InputRole};

use crate::batch::{Arrangement, Counts, axes, called};
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, emptied};
use crate::precision::Precision;
use masks::{FilledMask, MaskSource, of_row};

/// A compiled cell for streaming: each sample (of one or more rows) continues from the states that the previous one left, with one
/// call of machine code per sample, no allocation and no lock. A clone continues from the same states in a workspace of its own,
/// and shares code and parameters. Whatever depends on no sample, such as packed weights, is computed when parameters are set.
/// Masks are ones unless they are [drawn](StepperBuilder::draw_masks) or [taken](StepperBuilder::take_masks). There is no loss:
/// what only the loss reads is neither taken nor kept, be it a target, a static input or a state. A sample that is not
/// finite makes states and outputs so until [`reset_row`](Self::reset_row) or [`set_state`](Self::set_state);
/// [`finite_outputs`](StepperBuilder::finite_outputs) makes that an error. It wraps
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
    /// For each of the program's inputs per sample: what it is if the caller does not give it, as a mask.
    masks: Vec<Option<FilledMask<T>>>,
    /// Masks that are drawn for each row or once, by their position among the cell's inputs.
    fixed_masks: Vec<(usize, FilledMask<T>)>,
    /// Whether an output that is not finite is an error.
    finite: bool,
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
    masks: MaskSource,
    finite: bool,
    precision: Precision,
}

impl Cell {
    /// Builds a [`Stepper`] of the cell with a flat vector of parameters in the cell's order.
    pub fn stepper<'a, T: Float>(&'a self, parameters: &'a [T]) -> StepperBuilder<'a, T> {
        StepperBuilder {
            cell: self,
            parameters,
            rows: 1,
            arrays: Vec::new(),
            masks: MaskSource::Ones,
            finite: false,
            precision: Precision::Full,
        }
    }
}

impl<'a, T: Float> StepperBuilder<'a, T> {
    /// The number of rows of a sample, which are independent of each other; by default 1.
    #[must_use]
    pub fn rows(self, rows: usize) -> Self {
        StepperBuilder { rows, ..self }
    }

    /// A static input, or anything else that does not vary over steps, `[B, n]`; or an initial state, `[d, B, n]` for its d
    /// slots, by default zeros. An initial state that is learned or computed is replaced in a stepper of
    /// [`Cell::carrying`]; [`Stepper::set_state`] sets the state itself.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<T>) -> Self {
        self.arrays.retain(|(n, _)| n != name);
        self.arrays.push((name.to_owned(), values));
        self
    }

    /// Draws new masks for each sample, as for training (Monte Carlo dropout: Gal & Ghahramani 2016). One of each row is
    /// drawn at the start and by [`Stepper::reset`] and [`Stepper::reset_row`]; one of all rows at the start and by
    /// `reset`. A clone draws the same numbers from there on.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let cell = Cell::define("dropped", |c| {
    ///     let x = c.input("x", 4) * c.mask("drop", 4, 0.5);
    ///     c.output("y", x);
    /// })?;
    /// let mut stepper = cell.stepper(&[] as &[f32]).draw_masks(1).build()?;
    /// let (first, second) = (stepper.step(&[&[1.0; 4]])?.to_vec(), stepper.step(&[&[1.0; 4]])?.to_vec());
    /// assert!(first.iter().chain(&second).all(|&y| y == 0.0 || y == 2.0));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn draw_masks(self, seed: u64) -> Self {
        StepperBuilder {
            masks: MaskSource::Drawn(seed),
            ..self
        }
    }

    /// Takes masks with each sample, as inputs like any other: they are among [`Stepper::inputs`]. One that does not vary
    /// over steps is given by [`with`](Self::with), else it is ones.
    #[must_use]
    pub fn take_masks(self) -> Self {
        StepperBuilder {
            masks: MaskSource::Given,
            ..self
        }
    }

    /// Makes an output that is not finite an error of [`Stepper::step`], [`Error::NonFiniteOutput`]. It names the row, whose
    /// states are then to be [reset](Stepper::reset_row).
    ///
    /// ```
    /// use retrograd::{Cell, Error};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     c.output("y", c.next(h, h + x));
    /// })?;
    /// let mut stepper = cell.stepper(&[] as &[f32]).rows(2).finite_outputs().build()?;
    /// let error = stepper.step(&[&[1.0, f32::NAN]]);
    /// assert!(matches!(error, Err(Error::NonFiniteOutput { row: 1, .. })));
    /// stepper.reset_row(1)?;
    /// assert_eq!(stepper.step(&[&[1.0, 1.0]])?, [2.0, 1.0]);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn finite_outputs(self) -> Self {
        StepperBuilder {
            finite: true,
            ..self
        }
    }

    /// The precision of what products multiply; a trainer's own by [`Trainer::stepper`](crate::Trainer::stepper), else
    /// [`Precision::Full`]. Weights of [`Precision::Bf16`] are kept packed in half the bytes, and reading them is most of the
    /// work of a sample of few rows where they do not stay in the first cache: from some 64 units on.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        StepperBuilder { precision, ..self }
    }

    /// Compiles the cell, and nothing else: parameters may be those of a file, see [`Cell::load_parameters`].
    ///
    /// # Errors
    /// [`Error::Stepper`] for a cell that reads later samples (the message names the state or value) and for arrays of the wrong
    /// length; [`Error::MissingInput`], [`Error::NotFixed`], [`Error::ParameterCount`].
    #[inline(never)]
    pub fn build(self) -> Result<Stepper<T>, Error> {
        let StepperBuilder { cell, rows, .. } = self;
        cell.check_count("parameters", self.parameters)?;
        let fixed = |i: &&Input| i.role != InputRole::Param && i.ty.domain != Domain::Step;
        let taken = cell.tape().inputs().iter().filter(fixed);
        let known: Vec<String> = taken.map(|i| i.name.to_string()).collect();
        if let Some((name, _)) = self.arrays.iter().find(|(n, _)| !known.contains(n)) {
            return Err(Error::NotFixed {
                sampled: cell.tape().inputs().iter().any(|i| *i.name == **name),
                name: name.clone(),
                known,
            });
        }
        let given = |input: &Input| self.arrays.iter().find(|(n, _)| **n == *input.name);
        let mut fixed_masks = Vec::new();
        for (k, input) in cell.tape().inputs().iter().enumerate() {
            let mask = input.role == InputRole::Mask && fixed(&input) && given(input).is_none();
            if mask {
                fixed_masks.push((k, FilledMask::new(cell, input, rows, self.masks)?));
            }
        }
        let flags = self.flags()?;
        let mut inputs = listed(cell, self.parameters);
        for (k, input) in cell.tape().inputs().iter().enumerate() {
            let mask = fixed_masks.iter().find(|(at, _)| *at == k);
            let flag = flags.iter().find(|(at, _)| *at == k);
            match (given(input), mask, flag) {
                (Some((_, values)), ..) => inputs[k] = values,
                (None, Some((_, mask)), _) => inputs[k] = &mask.values,
                (None, None, Some((_, ones))) => inputs[k] = ones,
                (None, None, None) => {}
            }
        }
        let options = Options::default().with(|o| o.bf16 = self.precision.into());
        let run = retrograd_jit::Stepper::with_options(cell.tape(), &options, rows, &inputs)
            .map_err(|e| match e {
                StepperError::Run(RunError::Length { name, found: 0, .. })
                    if known.contains(&name) =>
                {
                    let input =
                        &cell.tape().inputs()[cell.tape().input(&name).expect("it is known")];
                    Error::MissingInput {
                        role: called(input.role),
                        expected: axes(
                            input.ty,
                            Arrangement::Rows,
                            Counts::full(Extent::steps(1).rows(rows)),
                        ),
                        name,
                    }
                }
                e => e.into(),
            })?;
        let is_filled = |i: &Input| i.role == InputRole::Mask && self.masks != MaskSource::Given;
        let mask = |i: &Input| {
            let mask = is_filled(i).then(|| FilledMask::new(cell, i, rows, self.masks));
            mask.transpose()
        };
        let sampled = run.inputs().iter().filter(|i| !is_filled(i));
        Ok(Stepper {
            inputs: sampled.map(|i| i.name.to_string()).collect(),
            masks: run.inputs().iter().map(mask).collect::<Result<_, _>>()?,
            fixed_masks,
            finite: self.finite,
            slices: Vec::with_capacity(run.inputs().len()),
            cell: cell.clone(),
            run,
        })
    }

    /// The inputs of a carrying cell that say which rows have a given start, where such a start is given and they are not,
    /// by position: ones.
    fn flags(&self) -> Result<Vec<(usize, Vec<T>)>, Error> {
        let inputs = self.cell.tape().inputs();
        let has = |k: usize| self.arrays.iter().any(|(n, _)| **n == *inputs[k].name);
        let states = self.cell.carried().unwrap_or_default().iter();
        let wanted = states.filter_map(|s| s.flag.filter(|&flag| has(s.input) && !has(flag)));
        let ones = |flag: usize| {
            let count = inputs[flag].ty.numbers(1, self.rows);
            let mut values = crate::numbers::zeros("the initial states", count)?;
            values.fill(T::ONE);
            Ok((flag, values))
        };
        wanted.map(ones).collect()
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
    /// a row of its table, in which case the sample has been processed, as after [`Error::NonFiniteOutput`].
    #[inline(never)]
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
            for mask in self.masks.iter_mut().flatten() {
                mask.draw(0..mask.values.len());
            }
            let mut slices: Vec<&[T]> = std::mem::take(&mut self.slices);
            let mut given = inputs.iter();
            slices.extend(self.masks.iter().filter_map(|mask| match mask {
                Some(mask) => Some(&mask.values[..]),
                None => given.next().copied(),
            }));
            let ran = self.run.step(&slices, &mut []);
            self.slices = emptied(slices);
            ran?;
        }
        if self.finite {
            self.check_outputs()?;
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

    /// Resets all states to their initial values, and draws masks of rows anew.
    pub fn reset(&mut self) {
        for (_, mask) in &mut self.fixed_masks {
            mask.draw(0..mask.values.len());
        }
        // An index computed of masks alone that is no row of its table is taken for the nearest.
        let _ = self.set_fixed_masks();
        // States may begin with what is computed of masks.
        self.run.reset();
    }

    /// Resets the states of one row to their initial values, and draws its masks anew; the other rows go on.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     c.output("y", c.next(h, h + x));
    /// })?;
    /// let mut stepper = cell.stepper(&[] as &[f32]).rows(2).build()?;
    /// stepper.step(&[&[1.0, 1.0]])?;
    /// stepper.reset_row(0)?; // as where an episode ends
    /// assert_eq!(stepper.step(&[&[1.0, 1.0]])?, [1.0, 2.0]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Run`] if there is no such row. Then nothing has changed.
    #[inline(never)]
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.run.reset_row(row)?;
        let inputs = self.cell.tape().inputs();
        for (k, mask) in &mut self.fixed_masks {
            if inputs[*k].ty.domain == Domain::Row {
                mask.draw(of_row(&inputs[*k], row));
            }
        }
        self.set_fixed_masks()?;
        // The state may begin with what is computed of masks.
        Ok(self.run.reset_row(row)?)
    }

    /// A stepper that goes on by itself from the same states: a clone. It shares code and parameters, and copies the states.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     c.output("y", c.next(h, h + x));
    /// })?;
    /// let mut stepper = cell.stepper(&[] as &[f32]).build()?;
    /// stepper.step(&[&[1.0]])?;
    /// let mut what_if = stepper.fork();
    /// assert_eq!(what_if.step(&[&[10.0]])?, [11.0]);
    /// assert_eq!(stepper.step(&[&[1.0]])?, [2.0]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    #[inline(never)]
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// Lets the program have the masks that were drawn.
    fn set_fixed_masks(&mut self) -> Result<(), Error> {
        let drawn = self.fixed_masks.iter().filter(|(_, m)| m.is_drawn());
        let mut inputs: Vec<&[T]> = Vec::new();
        for (k, mask) in drawn {
            inputs.resize(self.cell.tape().inputs().len(), &[]);
            inputs[*k] = &mask.values;
        }
        if !inputs.is_empty() {
            self.run.set_inputs(&inputs)?;
        }
        Ok(())
    }

    /// An error for an output that is not finite.
    fn check_outputs(&self) -> Result<(), Error> {
        for (k, output) in self.run.outputs().iter().enumerate() {
            let values = self.run.output(k);
            let finite = |v: &T| v.to_f64().is_finite();
            if let Some(at) = values.iter().position(|v| !finite(v)) {
                return Err(Error::NonFiniteOutput {
                    name: output.name.to_string(),
                    value: values[at].to_f64(),
                    row: at / (values.len() / self.run.rows()).max(1),
                });
            }
        }
        Ok(())
    }

    /// The current value of a state, `[d, B, n]` for its d slots, the oldest first.
    pub fn state(&mut self, name: &str) -> Option<&[T]> {
        self.run.state(name)
    }

    /// Sets a state, laid out as [`state`](Self::state) returns it.
    ///
    /// # Errors
    /// [`Error::Run`] if there is no state of this name, or the length is wrong.
    #[inline(never)]
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
            fixed_masks: self.fixed_masks.clone(),
            finite: self.finite,
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
