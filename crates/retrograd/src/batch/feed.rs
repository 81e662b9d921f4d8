//! [`Feed`]: what a run reads, made of a batch, parameters, and all that the batch leaves out.

use std::sync::Arc;

use rand::Rng;
use retrograd_tape::limits::MAX_POINTS;
use retrograd_tape::{Domain, Input, InputRole, TapeError, Type};

use super::{Arrangement, Batch, Counts, Packing, Points};
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, reserve};
use crate::random::{philox, stream};

/// The mode of a run, which decides what masks are and whether targets may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunMode {
    /// Masks are those of a draw, the first being 1.
    Train {
        /// The draw.
        draw: u64,
    },
    /// Masks are those of a sample; a missing target is zeros.
    Sample {
        /// The sample.
        sample: u64,
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
    packing: Option<Arc<Packing>>,
    /// For each input, its packed array.
    packed: Vec<Vec<T>>,
}

/// The points that a batch makes a run over, and how its arrays are packed for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fed<'a> {
    pub(crate) points: Points<'a>,
    pub(crate) counts: Counts,
    /// None if the caller's arrays are those of the run.
    pub(crate) packing: Option<&'a Arc<Packing>>,
}

impl<'a> Fed<'a> {
    pub(crate) fn of<T>(batch: &Batch<T>, packing: Option<&'a Arc<Packing>>) -> Fed<'a> {
        Fed {
            points: packing.map_or(Points::Full(batch.extent), |p| p.points()),
            counts: packing.map_or(Counts::full(batch.extent), |p| p.counts()),
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
        self.packing = Packing::of(batch)?.map(Arc::new);
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
                        (None, RunMode::Train { .. } | RunMode::Sample { .. }) => &mask.values[..],
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
                    mask.draw(mask.key, input, count, batch, draw)?;
                }
                (Some(mask), RunMode::Sample { sample }, _) => {
                    mask.draw(!mask.key, input, count, batch, sample)?;
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

impl RunMode {
    /// Whether a batch has to have all targets, which a loss is computed from.
    pub(crate) fn needs_targets(self) -> bool {
        !matches!(self, RunMode::Predict | RunMode::Sample { .. })
    }
}

impl<T: Float> Mask<T> {
    /// Draws a mask, as [`philox`] says.
    fn draw(
        &mut self,
        key: u64,
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
        let key = key ^ (draw >> 32);
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

/// Rejects a batch without points, or with too many.
pub(super) fn exists<T>(batch: &Batch<T>) -> Result<(), Error> {
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
            InputRole::Target => !mode.needs_targets(),
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
    let counts = |domain: Domain, point: usize| {
        let weight = |(_, w): (_, &[T])| w.get(point).is_none_or(|w| w.to_f64() != 0.0);
        let mut weights = weights.clone().filter(|(i, _)| i.ty.domain == domain);
        weights.all(weight)
    };
    for (input, values) in given.clone() {
        let n = input.ty.shape.len().max(1);
        let bad = values.iter().enumerate().find(|(k, v)| {
            !v.to_f64().is_finite()
                && batch.has(input.ty.domain, k / n)
                && (input.role != InputRole::Target || counts(input.ty.domain, k / n))
        });
        if let Some((k, value)) = bad {
            let point = k / n;
            let (t, b) = match (input.ty.domain, input.role) {
                (Domain::Row, role) if role != InputRole::Static => {
                    let segment = batch.segments().ok()?.into_iter().nth(point)?;
                    (segment.steps.start, segment.row)
                }
                _ => (point / b, point % b),
            };
            return Some(Error::NonFiniteInput {
                name: input.name.to_string(),
                role: called(input.role),
                value: value.to_f64(),
                t,
                b,
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
