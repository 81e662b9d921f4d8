//! Batches: T steps of B examples, each array under the name that the cell knows it by.

mod segments;

use std::sync::Arc;

use rand::Rng;
use retrograd_tape::limits::MAX_POINTS;
use retrograd_tape::{Domain, Extent, Input, InputRole, Tape, TapeError, Type};

pub use segments::Segment;
pub(crate) use segments::{Arrangement, Counts, Packing, Points};

use crate::cell::Cell;
use crate::data;
use crate::error::Error;
use crate::numbers::{Float, reserve};
use crate::random::{philox, stream};

/// T steps of B examples. Arrays are time-major and row-major: element k of example b at step t of an input of n elements is at `(t
/// * B + b) * n + k`; static inputs are `[B, n]`; the initial value of a state is `[d, B, n]` for its |d| slots. Lengths cannot
/// tell time-major from example-major data: transpose `[B, T, n]` first.
///
/// ```
/// use retrograd::{Batch, Extent};
///
/// // Two steps of three examples with two numbers each.
/// let x = vec![
///     0.1, 0.2, /* step 0, example 0 */ 1.1, 1.2, /* example 1 */ 2.1, 2.2, // example 2
///     0.3, 0.4, /* step 1, example 0 */ 1.3, 1.4, /* example 1 */ 2.3, 2.4, // example 2
/// ];
/// let batch = Batch::new(Extent::steps(2).rows(3)).with("x", x).with("next", vec![0.5; 6]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<T = f32> {
    /// T, the number of steps, and B, the number of examples.
    pub extent: Extent,
    /// Shared, so that a clone may replace some of them.
    arrays: Vec<(String, Arc<Vec<T>>)>,
    lengths: Option<Vec<usize>>,
    resets: Option<Vec<bool>>,
}

impl<T> Batch<T> {
    /// A batch without arrays.
    pub fn new(extent: Extent) -> Batch<T> {
        Batch {
            extent,
            arrays: Vec::new(),
            lengths: None,
            resets: None,
        }
    }

    /// The batch with rows of these lengths, at most T each; a row may be empty, but not all of them. What lies beyond a
    /// row's end is neither computed nor read: outputs and gradients of inputs are zeros there. What is read from the end
    /// begins at the row's own end, final states are those after its own last step, and a mean over steps is one over the
    /// steps that there are.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     let h = c.next(h, h + x);
    ///     c.output("y", h);
    /// })?;
    /// let x = vec![1.0, 10.0, /* step 1 */ 2.0, f32::NAN, /* step 2 */ 3.0, f32::NAN];
    /// let batch = Batch::new(Extent::steps(3).rows(2)).with_lengths(&[3, 1]).with("x", x);
    /// let mut session = cell.program().build()?.session();
    /// let results = session.run(&[], &batch)?;
    /// assert_eq!(results.output("y"), Some(&[1.0, 10.0, 3.0, 0.0, 6.0, 0.0][..]));
    /// assert_eq!(results.output("h"), Some(&[6.0, 10.0][..]), "the final states");
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn with_lengths(mut self, lengths: &[usize]) -> Batch<T> {
        self.lengths = Some(lengths.to_vec());
        self
    }

    /// The batch with resets, `[T, B]`: where one is true, all states of that row are renewed before that step, as at the
    /// start of an episode or between recordings that lie one after another. The stretches between resets, which
    /// [`segments`](Batch::segments) returns, are sequences of their own: nothing flows from one to another, in neither
    /// direction.
    ///
    /// A renewed state begins as declared, and where initial states are given, with zeros; so only a row's first segment
    /// has a given initial state (unless the row's first step is a reset), and only its last has the row's final state. A
    /// state that runs from the end begins with the last segment. Targets, weights, masks and outputs over rows are one a
    /// segment, `[segments, n]`, in order of row, then time; a segment has the static inputs of its row.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     let h = c.next(h, h + x);
    ///     c.output("y", h);
    /// })?;
    /// let batch = Batch::new(Extent::steps(4))
    ///     .with("x", vec![1.0, 2.0, 3.0, 4.0])
    ///     .with("h", vec![10.0])
    ///     .with_resets(&[false, false, true, false]);
    /// let mut session = cell.program().build()?.session();
    /// assert_eq!(session.run(&[], &batch)?.output("y"), Some(&[11.0, 13.0, 3.0, 7.0][..]));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn with_resets(mut self, resets: &[bool]) -> Batch<T> {
        self.resets = Some(resets.to_vec());
        self
    }

    /// The lengths of the rows, if they were given.
    pub fn lengths(&self) -> Option<&[usize]> {
        self.lengths.as_deref()
    }

    /// The resets, if they were given.
    pub fn resets(&self) -> Option<&[bool]> {
        self.resets.as_deref()
    }

    /// The batch with an array; one of the same name is replaced. Lengths are checked against the cell when the batch is used.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<T>) -> Batch<T> {
        self.arrays.retain(|(n, _)| n != name);
        self.arrays.push((name.to_owned(), Arc::new(values)));
        self
    }

    /// Cuts lengths and resets to some of the steps.
    pub(crate) fn cut(&mut self, steps: &std::ops::Range<usize>) {
        let rows = self.extent.rows;
        for length in self.lengths.iter_mut().flatten() {
            *length = (*length).clamp(steps.start, steps.end) - steps.start;
        }
        if let Some(resets) = &mut self.resets
            && let Some(part) = resets.get(steps.start * rows..steps.end * rows)
        {
            *resets = part.to_vec();
        }
    }

    /// Whether a point of a domain is one of the batch's, not padding.
    fn has(&self, domain: Domain, point: usize) -> bool {
        let rows = self.extent.rows;
        match (&self.lengths, domain) {
            (Some(lengths), Domain::Step) => point / rows < lengths[point % rows],
            _ => true,
        }
    }

    /// The array of that name.
    pub fn array(&self, name: &str) -> Option<&[T]> {
        let found = self.arrays.iter().find(|(n, _)| n == name);
        found.map(|(_, values)| &values[..])
    }
}

/// Windows of a series, under the names of [`crate::zoo::forecaster`]: "x" and "next".
impl<T> From<data::WindowBatch<T>> for Batch<T> {
    fn from(windows: data::WindowBatch<T>) -> Batch<T> {
        Batch::new(Extent {
            steps: windows.steps,
            rows: windows.batch,
        })
        .with("x", windows.input)
        .with("next", windows.target)
    }
}

/// The mode of a run, which decides what masks are and whether targets may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunMode {
    /// Masks are those of a draw, the first being 1.
    Train {
        /// The draw.
        draw: u64,
    },
    /// Masks are ones.
    Evaluate,
    /// Masks are ones; a missing target is zeros.
    Predict,
}

/// Adds to a batch what it leaves out: masks drawn from a seed, and ones and zeros.
#[derive(Debug)]
pub(crate) struct Feed<T> {
    masks: Vec<Mask<T>>,
    ones: Vec<T>,
    zeros: Vec<T>,
    packing: Option<Packing>,
    /// For each input, its packed array.
    packed: Vec<Vec<T>>,
}

/// The points that a batch makes a run over, and how its arrays are packed for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fed<'a> {
    pub(crate) points: Points<'a>,
    pub(crate) counts: Counts,
    /// None if the caller's arrays are those of the run.
    pub(crate) packing: Option<&'a Packing>,
}

impl<'a> Fed<'a> {
    pub(crate) fn of<T>(batch: &Batch<T>, packing: Option<&'a Packing>) -> Fed<'a> {
        Fed {
            points: packing.map_or(Points::Full(batch.extent), Packing::points),
            counts: packing.map_or(Counts::full(batch.extent), Packing::counts),
            packing,
        }
    }

    /// An array that a run has written, in the caller's arrangement.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn unpacked<T: Float>(
        self,
        how: Arrangement,
        ty: Type,
        values: Vec<T>,
    ) -> Result<Vec<T>, Error> {
        match self.packing {
            Some(packing) if how != Arrangement::Once && !values.is_empty() => {
                let mut all = Vec::new();
                packing.unpack(how, ty, &values, &mut all)?;
                Ok(all)
            }
            _ => Ok(values),
        }
    }

    /// All outputs of a run in the caller's arrangement, if the run has another; else none.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn unpacked_outputs<'r, T: Float>(
        self,
        tape: &Tape,
        output: impl Fn(usize) -> &'r [T],
    ) -> Result<Vec<Vec<T>>, Error> {
        let Some(packing) = self.packing else {
            return Ok(Vec::new());
        };
        let all = tape.outputs().iter().enumerate().map(|(k, o)| {
            let (how, ty) = (Arrangement::of_output(tape, k), tape.node(o.value).ty);
            let mut values = Vec::new();
            packing.unpack(how, ty, output(k), &mut values)?;
            Ok(values)
        });
        all.collect()
    }

    /// The error of a run, with the caller's row and step.
    pub(crate) fn located(self, error: Error) -> Error {
        match (error, self.packing) {
            (Error::Cell(e), Some(packing)) => Error::Cell(Box::new(packing.located(*e))),
            (error, _) => error,
        }
    }
}

#[derive(Debug)]
struct Mask<T> {
    keep: f64,
    key: u64,
    values: Vec<T>,
}

impl<T: Float> Feed<T> {
    pub(crate) fn new(cell: &Cell, seed: u64) -> Feed<T> {
        let inputs = cell.tape().inputs().iter();
        let masks = inputs.filter(|i| i.role == InputRole::Mask);
        let masks = masks
            .zip(cell.keep_probabilities())
            .map(|(input, &keep)| Mask {
                keep,
                key: stream(seed, "mask", &input.name).next_u64(),
                values: Vec::new(),
            });
        Feed {
            masks: masks.collect(),
            ones: Vec::new(),
            zeros: Vec::new(),
            packing: None,
            packed: Vec::new(),
        }
    }

    /// Appends the slices to run the cell on, in the order of the tape's inputs, and returns the points of the run.
    /// `parameters` is the flat vector. Nothing is drawn if the batch does not fit.
    pub(crate) fn inputs<'a>(
        &'a mut self,
        cell: &Cell,
        parameters: &'a [T],
        batch: &'a Batch<T>,
        mode: RunMode,
        slices: &mut Vec<&'a [T]>,
    ) -> Result<Fed<'a>, Error> {
        exists(batch)?;
        self.packing = Packing::of(batch)?;
        let counts = Fed::of(batch, self.packing.as_ref()).counts;
        check(cell, batch, counts, mode)?;
        self.draw(cell, batch, counts, mode)?;
        let (mut parameters, mut masks) = (parameters, self.masks.iter());
        let inputs = cell.tape().inputs();
        for (k, input) in inputs.iter().enumerate() {
            let count = Arrangement::of_input(cell.tape(), k).numbers(input.ty, counts);
            let given = batch.array(&input.name);
            slices.push(match input.role {
                InputRole::Param => {
                    let (this, rest) = parameters.split_at(count);
                    parameters = rest;
                    this
                }
                InputRole::Mask => {
                    let mask = masks.next().expect("one for each mask of the cell");
                    match (given, mode) {
                        (Some(values), _) => values,
                        (None, RunMode::Train { .. }) => &mask.values[..],
                        (None, RunMode::Evaluate | RunMode::Predict) => &self.ones[..count],
                    }
                }
                InputRole::Weight => given.unwrap_or_else(|| &self.ones[..count]),
                InputRole::Target => given.unwrap_or_else(|| &self.zeros[..count]),
                // What is given is carried, unless the batch says of which rows.
                InputRole::Initial if given.is_none() && flags(cell, input, batch) => {
                    &self.ones[..count]
                }
                InputRole::Initial => given.unwrap_or_default(),
                InputRole::Sequence
                | InputRole::Static
                | InputRole::Cotangent
                | InputRole::Tangent => given.expect("checked to be there"),
            });
        }
        if let Some(packing) = &self.packing {
            let own = slices.len() - inputs.len();
            self.packed.resize_with(inputs.len(), Vec::new);
            for (k, (slice, packed)) in slices[own..].iter_mut().zip(&mut self.packed).enumerate() {
                let how = Arrangement::of_input(cell.tape(), k);
                if how != Arrangement::Once && !slice.is_empty() {
                    packing.pack(how, inputs[k].ty, slice, packed)?;
                    *slice = packed;
                }
            }
        }
        Ok(Fed::of(batch, self.packing.as_ref()))
    }

    fn draw(
        &mut self,
        cell: &Cell,
        batch: &Batch<T>,
        counts: Counts,
        mode: RunMode,
    ) -> Result<(), Error> {
        let mut masks = self.masks.iter_mut();
        for (k, input) in cell.tape().inputs().iter().enumerate() {
            let count = Arrangement::of_input(cell.tape(), k).numbers(input.ty, counts);
            let mask = match input.role {
                InputRole::Mask => masks.next(),
                _ => None,
            };
            if batch.array(&input.name).is_some() {
                continue;
            }
            match (mask, mode, input.role) {
                (Some(mask), RunMode::Train { draw }, _) => {
                    mask.draw(input, count, batch, draw)?;
                }
                (_, _, InputRole::Mask | InputRole::Weight) => grow(&mut self.ones, count, T::ONE)?,
                (_, _, InputRole::Target) => grow(&mut self.zeros, count, T::ZERO)?,
                (_, _, InputRole::Initial) if flags(cell, input, batch) => {
                    grow(&mut self.ones, count, T::ONE)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<T: Float> Mask<T> {
    /// Draws a mask, as [`philox`] says.
    fn draw(
        &mut self,
        input: &Input,
        count: usize,
        batch: &Batch<T>,
        draw: u64,
    ) -> Result<(), Error> {
        const NONE: u32 = u32::MAX;
        let rows = batch.extent.rows;
        let n = input.ty.shape.len().max(1);
        let kept = T::from_f64(1.0 / self.keep);
        let kept_below = (self.keep * 4_294_967_296.0) as u64;
        let key = self.key ^ (draw >> 32);
        self.values.clear();
        reserve(&mut self.values, "the masks", count)?;
        self.values.resize(count, T::ZERO);
        // There are fewer points than 2³².
        for (point, values) in self.values.chunks_mut(n).enumerate() {
            let (time, row) = match input.ty.domain {
                Domain::Once => (NONE, NONE),
                Domain::Row => (NONE, point as u32),
                Domain::BoundarySlots(_) | Domain::Step => {
                    ((point / rows) as u32, (point % rows) as u32)
                }
            };
            if !batch.has(input.ty.domain, point) {
                continue;
            }
            for (four, values) in values.chunks_mut(4).enumerate() {
                let words = philox(key, [four as u32, time, row, draw as u32]);
                for (value, word) in values.iter_mut().zip(words) {
                    if u64::from(word) < kept_below {
                        *value = kept;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether the input says which rows of a state are carried, whose carried value the batch has.
fn flags<T>(cell: &Cell, input: &Input, batch: &Batch<T>) -> bool {
    let inputs = cell.tape().inputs();
    let mut states = cell.carried().unwrap_or_default().iter();
    states.any(|s| {
        let mine = s.flag.is_some_and(|f| inputs[f].name == input.name);
        mine && batch.array(&inputs[s.input].name).is_some()
    })
}

fn grow<T: Copy>(values: &mut Vec<T>, count: usize, value: T) -> Result<(), Error> {
    if values.len() < count {
        reserve(
            values,
            "masks, weights and targets that the batch leaves out",
            count,
        )?;
        values.resize(count, value);
    }
    Ok(())
}

/// What messages call an input of this role.
fn called(role: InputRole) -> &'static str {
    match role {
        InputRole::Sequence => "input",
        InputRole::Static => "static input",
        InputRole::Target => "target",
        InputRole::Weight => "weight",
        InputRole::Mask => "mask",
        InputRole::Initial => "initial state",
        InputRole::Cotangent => "cotangent",
        InputRole::Tangent => "tangent",
        InputRole::Param => "parameter",
    }
}

/// Rejects a batch without points, or with too many.
fn exists<T>(batch: &Batch<T>) -> Result<(), Error> {
    let (t, b) = (batch.extent.steps, batch.extent.rows);
    if t == 0 || b == 0 {
        return Err(Error::EmptyBatch { t, b });
    }
    match t.checked_mul(b) {
        Some(points) if points <= MAX_POINTS => Ok(()),
        _ => Err(Error::from(TapeError::TooManyPoints {
            steps: t,
            examples: b,
            limit: MAX_POINTS,
        })),
    }
}

/// Rejects a batch that the cell cannot run on.
fn check<T>(cell: &Cell, batch: &Batch<T>, counts: Counts, mode: RunMode) -> Result<(), Error> {
    let taken = || {
        let inputs = cell.tape().inputs().iter().enumerate();
        inputs.filter(|(_, i)| i.role != InputRole::Param)
    };
    for (name, _) in &batch.arrays {
        if !taken().any(|(_, i)| *i.name == **name) {
            return Err(Error::UnknownInput {
                name: name.clone(),
                known: taken().map(|(_, i)| i.name.to_string()).collect(),
            });
        }
    }
    for (k, input) in taken() {
        let role = called(input.role);
        let may_miss = match input.role {
            InputRole::Target => mode == RunMode::Predict,
            role => matches!(
                role,
                InputRole::Weight | InputRole::Mask | InputRole::Initial
            ),
        };
        let how = Arrangement::of_input(cell.tape(), k);
        let count = how.numbers(input.ty, counts);
        let expected = || axes(input.ty, how, counts);
        match batch.array(&input.name) {
            Some(values) if values.len() == count => {}
            Some(values) => {
                return Err(Error::InputLength {
                    name: input.name.to_string(),
                    role,
                    count,
                    expected: expected(),
                    found: values.len(),
                });
            }
            None if may_miss => {}
            None => {
                return Err(Error::MissingInput {
                    name: input.name.to_string(),
                    role,
                    expected: expected(),
                });
            }
        }
    }
    Ok(())
}

/// An error for the first number of a batch that is not finite, in an input, or in a target that no weight of 0 covers.
pub(crate) fn not_finite<T: Float>(cell: &Cell, batch: &Batch<T>) -> Option<Error> {
    let b = batch.extent.rows;
    let inputs = cell.tape().inputs().iter();
    let given = inputs.filter_map(|i| Some((i, batch.array(&i.name)?)));
    let weights = given.clone().filter(|(i, _)| i.role == InputRole::Weight);
    let counts = |point: usize| {
        let weight = |(_, w): (_, &[T])| w.get(point).is_none_or(|w| w.to_f64() != 0.0);
        weights.clone().all(weight)
    };
    for (input, values) in given.clone() {
        let n = input.ty.shape.len().max(1);
        let bad = values.iter().enumerate().find(|(k, v)| {
            !v.to_f64().is_finite()
                && batch.has(input.ty.domain, k / n)
                && (input.role != InputRole::Target || counts(k / n))
        });
        if let Some((k, value)) = bad {
            let point = k / n;
            return Some(Error::NonFiniteInput {
                name: input.name.to_string(),
                role: called(input.role),
                value: value.to_f64(),
                t: point / b,
                b: point % b,
            });
        }
    }
    None
}

/// The axes of an array of the caller's: "[T = 5, B = 2, 4]".
pub(crate) fn axes(ty: Type, how: Arrangement, counts: Counts) -> String {
    let Counts {
        steps: t,
        rows: b,
        segments,
    } = counts;
    let mut axes = match ty.domain {
        Domain::Once => vec![],
        Domain::Row if how == Arrangement::Segments && segments != b => {
            vec![format!("segments = {segments}")]
        }
        Domain::Row => vec![format!("B = {b}")],
        Domain::BoundarySlots(1) => vec![format!("B = {b}")],
        Domain::BoundarySlots(k) => vec![format!("{k} slots"), format!("B = {b}")],
        Domain::Step => vec![format!("T = {t}"), format!("B = {b}")],
    };
    axes.extend(ty.shape.axes().iter().map(ToString::to_string));
    format!("[{}]", axes.join(", "))
}
