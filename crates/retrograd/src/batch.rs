//! Batches: T steps of B examples, each array under the name that the cell knows it by.

use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use retrograd_tape::limits::MAX_POINTS;
use retrograd_tape::{Domain, Extent, Input, InputRole, TapeError, Type};

use crate::cell::Cell;
use crate::data;
use crate::error::Error;
use crate::numbers::{Float, reserve};
use crate::random::stream;

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
}

impl<T> Batch<T> {
    /// A batch without arrays.
    pub fn new(extent: Extent) -> Batch<T> {
        Batch {
            extent,
            arrays: Vec::new(),
        }
    }

    /// The batch with an array; one of the same name is replaced. Lengths are checked against the cell when the batch is used.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<T>) -> Batch<T> {
        self.arrays.retain(|(n, _)| n != name);
        self.arrays.push((name.to_owned(), Arc::new(values)));
        self
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
    /// Masks are drawn.
    Train,
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
}

#[derive(Debug)]
struct Mask<T> {
    keep: f64,
    rng: ChaCha8Rng,
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
                rng: stream(seed, "mask", &input.name),
                values: Vec::new(),
            });
        Feed {
            masks: masks.collect(),
            ones: Vec::new(),
            zeros: Vec::new(),
        }
    }

    /// Appends the slices to run the cell on, in the order of the tape's inputs. `parameters` is the flat vector. Nothing is drawn
    /// if the batch does not fit.
    pub(crate) fn inputs<'a>(
        &'a mut self,
        cell: &Cell,
        parameters: &'a [T],
        batch: &'a Batch<T>,
        mode: RunMode,
        slices: &mut Vec<&'a [T]>,
    ) -> Result<(), Error> {
        check(cell, batch, mode)?;
        self.draw(cell, batch, mode)?;
        let (mut parameters, mut masks) = (parameters, self.masks.iter());
        for input in cell.tape().inputs() {
            let count = input.ty.numbers(batch.extent.steps, batch.extent.rows);
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
                        (None, RunMode::Train) => &mask.values[..],
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
        Ok(())
    }

    fn draw(&mut self, cell: &Cell, batch: &Batch<T>, mode: RunMode) -> Result<(), Error> {
        let mut masks = self.masks.iter_mut();
        for input in cell.tape().inputs() {
            let count = input.ty.numbers(batch.extent.steps, batch.extent.rows);
            let mask = match input.role {
                InputRole::Mask => masks.next(),
                _ => None,
            };
            if batch.array(&input.name).is_some() {
                continue;
            }
            match (mask, input.role) {
                (Some(mask), _) if mode == RunMode::Train => {
                    let kept = T::from_f64(1.0 / mask.keep);
                    // In 2⁻³²: half the random bits of `random_bool`, which is what drawing takes its time for.
                    let kept_below = (mask.keep * 4_294_967_296.0) as u64;
                    mask.values.clear();
                    reserve(&mut mask.values, "the masks", count)?;
                    mask.values.extend((0..count).map(|_| {
                        match u64::from(mask.rng.next_u32()) < kept_below {
                            true => kept,
                            false => T::ZERO,
                        }
                    }));
                }
                (_, InputRole::Mask | InputRole::Weight) => grow(&mut self.ones, count, T::ONE)?,
                (_, InputRole::Target) => grow(&mut self.zeros, count, T::ZERO)?,
                (_, InputRole::Initial) if flags(cell, input, batch) => {
                    grow(&mut self.ones, count, T::ONE)?;
                }
                _ => {}
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
pub(crate) fn called(role: InputRole) -> &'static str {
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

/// Rejects a batch that the cell cannot run on.
fn check<T>(cell: &Cell, batch: &Batch<T>, mode: RunMode) -> Result<(), Error> {
    let (t, b) = (batch.extent.steps, batch.extent.rows);
    if t == 0 || b == 0 {
        return Err(Error::EmptyBatch { t, b });
    }
    if t.checked_mul(b).is_none_or(|points| points > MAX_POINTS) {
        return Err(Error::from(TapeError::TooManyPoints {
            steps: t,
            examples: b,
            limit: MAX_POINTS,
        }));
    }
    let taken = || {
        let inputs = cell.tape().inputs().iter();
        inputs.filter(|i| i.role != InputRole::Param)
    };
    for (name, _) in &batch.arrays {
        if !taken().any(|i| *i.name == **name) {
            return Err(Error::UnknownInput {
                name: name.clone(),
                known: taken().map(|i| i.name.to_string()).collect(),
            });
        }
    }
    for input in taken() {
        let role = called(input.role);
        let may_miss = match input.role {
            InputRole::Target => mode == RunMode::Predict,
            role => matches!(
                role,
                InputRole::Weight | InputRole::Mask | InputRole::Initial
            ),
        };
        let count = input.ty.numbers(t, b);
        match batch.array(&input.name) {
            Some(values) if values.len() == count => {}
            Some(values) => {
                return Err(Error::InputLength {
                    name: input.name.to_string(),
                    role,
                    count,
                    expected: axes(input.ty, t, b),
                    found: values.len(),
                });
            }
            None if may_miss => {}
            None => {
                return Err(Error::MissingInput {
                    name: input.name.to_string(),
                    role,
                    expected: axes(input.ty, t, b),
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
            !v.to_f64().is_finite() && (input.role != InputRole::Target || counts(k / n))
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

/// The axes of an array of this type: "[T = 5, B = 2, 4]".
pub(crate) fn axes(ty: Type, t: usize, b: usize) -> String {
    let mut axes = match ty.domain {
        Domain::Once => vec![],
        Domain::Row => vec![format!("B = {b}")],
        Domain::BoundarySlots(1) => vec![format!("B = {b}")],
        Domain::BoundarySlots(k) => vec![format!("{k} slots"), format!("B = {b}")],
        Domain::Step => vec![format!("T = {t}"), format!("B = {b}")],
    };
    axes.extend(ty.shape.axes().iter().map(ToString::to_string));
    format!("[{}]", axes.join(", "))
}
