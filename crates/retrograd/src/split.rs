//! Forward now, backward later: [`Forward`] is what the first half of a run leaves, [`Cotangents`] is what the second
//! half waits for, [`Gradients`] is what it returns.

mod cotangents;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use retrograd_jit::Purpose;
use retrograd_tape::{Extent, InputRole, OutputRole, Type};

pub use cotangents::Cotangents;

use crate::batch::{Arrangement, Batch, Counts, Fed, Feed, Packing, RunMode, Unpacked, axes};
use crate::cell::Cell;
use crate::engine::{Engine, Kept, Settings, Spare, SplitRunner, weighed};
use crate::error::Error;
use crate::numbers::{Float, reserve, reserved, zeros};
use crate::program::no_such_value;

/// What the forward half of a run leaves: outputs, loss and final states, to be read, and what their gradients need.
/// [`backward`](Self::backward) takes cotangents and returns the gradients. [`Trainer::forward`](crate::Trainer::forward)
/// and [`Session::forward`](crate::Session::forward) make one.
///
/// Both halves together are one run, cut in two: the same plan, and bit by bit the results of that program in one piece.
/// ([`Trainer::step`](crate::Trainer::step) is another program, which nobody gives cotangents; its sums may differ by
/// roundings.) It borrows its batch, and owns or borrows all else, so any number may be alive, with other runs and steps of training in between: gradients
/// are those at the parameters of its own run.
///
/// ```
/// use retrograd::{Batch, Cell, Cotangents, Extent};
///
/// let cell = Cell::define("leaky", |c| {
///     let (x, h) = (c.input("x", 1), c.state("h", 1));
///     let h = c.next(h, 0.5 * h + x);
///     c.output("y", h);
/// })?; // no loss
/// let program = cell.program().gradients(["x", "h"]).cotangents(["y", "h"]).build()?;
/// let batch = Batch::new(Extent::steps(2)).with("x", vec![1.0, 1.0]).with("h", vec![0.0]);
/// let mut session = program.session();
/// let forward = session.forward(&[], &batch)?;
/// assert_eq!(forward.output("y"), Some(&[1.0, 1.5][..]));
/// assert_eq!(forward.output("h"), Some(&[1.5][..]), "the final state");
/// // … anything that turns outputs into cotangents: a loss outside, another framework …
/// let cotangents = Cotangents::new().with("y", vec![0.0, 1.0]).with("h", vec![1.0]);
/// let gradients = forward.backward(&cotangents)?;
/// assert_eq!(gradients.of("x"), Some(&[1.0, 2.0][..]));
/// assert_eq!(gradients.of("h"), Some(&[0.5][..]), "the given state");
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Forward<'a, T: Float = f32> {
    shared: Arc<Split>,
    parameters: Parameters<'a, T>,
    batch: &'a Batch<T>,
    /// For each of the tape's inputs, what the run reads in place of the batch's array: masks, weights and targets that the
    /// batch leaves out, packed arrays.
    filled: Vec<Option<Vec<T>>>,
    kept: Kept<T>,
    packing: Option<Arc<Packing>>,
    /// The outputs in the caller's arrangement, if the run has another.
    unpacked: Unpacked<T>,
    spare: Spare<Vec<T>>,
}

/// The parameters of a run.
pub(crate) enum Parameters<'a, T> {
    Borrowed(&'a [T]),
    /// A trainer copies them before it changes them, if a run still needs them.
    Shared(Arc<Vec<T>>),
}

/// What all runs of a program share.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) cell: Cell,
    /// The outputs that may be given a cotangent, by position.
    pub(crate) given: Vec<usize>,
    /// The inputs whose gradients are computed, by position: parameters first, in the cell's order.
    pub(crate) wanted: Vec<usize>,
}

/// A program that runs in two halves, with what its runs need.
pub(crate) struct Splitter<T: Float> {
    pub(crate) shared: Arc<Split>,
    pub(crate) runner: SplitRunner<T>,
    pub(crate) spare: Spare<Vec<T>>,
}

/// The gradients that [`Forward::backward`] returns, for [`Trainer::apply`](crate::Trainer::apply) or for the caller.
///
/// ```
/// use retrograd::{Batch, Cotangents, Extent, Sgd, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]).with("next", vec![0.2, 0.3]);
/// let gradients = trainer.forward(&batch)?.backward(&Cotangents::new().with_loss(1.0))?;
/// assert_eq!(gradients.parameters().map(<[f32]>::len), Some(trainer.parameters().len()));
/// assert_eq!(gradients.of("forecast.bias").map(<[f32]>::len), Some(1));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Gradients<T: Float = f32> {
    shared: Arc<Split>,
    counts: Counts,
    /// One after another, in the order of `shared.wanted`.
    values: Vec<T>,
    spare: Spare<Vec<T>>,
}

impl<T: Float> Splitter<T> {
    /// For cotangents of all outputs, and gradients of the parameters that are `trained`, of all initial states that can
    /// be given, and of these inputs.
    pub(crate) fn new(
        cell: &Cell,
        engine: Engine,
        settings: Settings,
        trained: &[bool],
        inputs: &[String],
    ) -> Result<Splitter<T>, Error> {
        let tape = cell.tape();
        let role = |role: InputRole| {
            let all = tape.inputs().iter().enumerate();
            all.filter(move |(_, i)| i.role == role).map(|(k, _)| k)
        };
        let parameters = role(InputRole::Param).zip(trained);
        let mut wanted: Vec<usize> = parameters.filter(|(_, t)| **t).map(|(k, _)| k).collect();
        wanted.extend(role(InputRole::Initial));
        for name in inputs {
            let k = tape.input(name).ok_or_else(|| {
                let known = tape.inputs().iter().map(|i| i.name.to_string());
                no_such_value(tape, "input", name, known.collect())
            })?;
            if !wanted.contains(&k) {
                wanted.push(k);
            }
        }
        let runner = match engine {
            Engine::Tape => SplitRunner::tape(tape, settings.precision, &wanted),
            Engine::Jit => {
                let wrt = wanted.iter().map(|&k| tape.inputs()[k].name.to_string());
                let purpose = Purpose::Gradients {
                    given: tape.outputs().iter().map(|o| o.name.to_string()).collect(),
                    loss: false,
                    wrt: wrt.collect(),
                };
                SplitRunner::Jit(Box::new(settings.compile(cell, &purpose)?))
            }
        };
        let shared = Split {
            cell: cell.clone(),
            given: (0..tape.outputs().len()).collect(),
            wanted,
        };
        Ok(Splitter {
            shared: Arc::new(shared),
            runner,
            spare: Spare::default(),
        })
    }

    /// Time spent compiling, if this engine does.
    pub(crate) fn compile_time(&self) -> Option<Duration> {
        match &self.runner {
            SplitRunner::Jit(executor) => Some(executor.cell().compile_time()),
            SplitRunner::Tape(..) => None,
        }
    }

    /// Runs the forward half.
    pub(crate) fn forward<'a>(
        &mut self,
        feed: &mut Feed<T>,
        parameters: Parameters<'a, T>,
        batch: &'a Batch<T>,
        mode: RunMode,
    ) -> Result<Forward<'a, T>, Error> {
        let cell = &self.shared.cell;
        let tape = cell.tape();
        let mut inputs: Vec<&[T]> = Vec::with_capacity(tape.inputs().len());
        let fed = feed.inputs(cell, parameters.values(), batch, mode, &mut inputs)?;
        let kept = self.runner.forward(tape, fed.points, &inputs);
        let kept = kept.map_err(|e| fed.located(e))?;
        let mut loss = tape.outputs().iter().map(|o| o.role);
        if let Some(k) = loss.position(|r| r == OutputRole::Loss)
            && !kept.output(k)[0].to_f64().is_finite()
        {
            weighed(cell, fed.points, &inputs)?;
        }
        let mut filled = Vec::with_capacity(inputs.len());
        for (k, (input, values)) in tape.inputs().iter().zip(inputs).enumerate() {
            let packed =
                fed.packing.is_some() && Arrangement::of_input(tape, k) != Arrangement::Once;
            let there = input.role == InputRole::Param || batch.array(&input.name).is_some();
            let mut copy = None;
            if (packed || !there) && !values.is_empty() {
                let mut all = reserved("masks, weights and targets of a run", values.len())?;
                all.extend_from_slice(values);
                copy = Some(all);
            }
            filled.push(copy);
        }
        let mut unpacked = Unpacked::default();
        unpacked.prepare(tape, fed.packing)?;
        let packing = fed.packing.cloned();
        Ok(Forward {
            shared: Arc::clone(&self.shared),
            parameters,
            packing,
            batch,
            filled,
            kept,
            unpacked,
            spare: self.spare.clone(),
        })
    }
}

impl<T> Parameters<'_, T> {
    fn values(&self) -> &[T] {
        match self {
            Parameters::Borrowed(values) => values,
            Parameters::Shared(values) => values,
        }
    }
}

impl<T: Float> Forward<'_, T> {
    /// Steps and rows of the run.
    pub fn extent(&self) -> Extent {
        self.batch.extent
    }

    /// The loss of the batch, if the cell has one.
    pub fn loss(&self) -> Option<f64> {
        let mut outputs = self.shared.cell.tape().outputs().iter();
        let k = outputs.position(|o| o.role == OutputRole::Loss)?;
        Some(self.kept.output(k)[0].to_f64())
    }

    /// An output, `[T, B, shape]`, or under a state's name its final value, `[|d|, B, shape]`, from which a later batch
    /// can continue.
    pub fn output(&self, name: &str) -> Option<&[T]> {
        let k = self.shared.cell.tape().output(name)?;
        let tape = self.shared.cell.tape();
        Some(self.unpacked.output(tape, k, self.kept.output(k)))
    }

    /// Runs the backward half: the gradients of Σ cotangent · output.
    ///
    /// # Errors
    /// [`Error::UnknownOutput`] for a cotangent of what is no output, or none that the program was built for;
    /// [`Error::InputLength`]; [`Error::NoMemory`].
    #[inline(never)]
    pub fn backward(self, cotangents: &Cotangents<T>) -> Result<Gradients<T>, Error> {
        let Forward {
            shared,
            parameters,
            batch,
            filled,
            kept,
            packing,
            spare,
            ..
        } = self;
        let tape = shared.cell.tape();
        let fed = Fed::of(batch, packing.as_ref());
        let given = shared.cotangents(cotangents, fed.counts)?;
        let mut packed = Vec::new();
        if let Some(packing) = &packing {
            for (k, values) in given.iter().enumerate() {
                let (how, ty) = shared.output(k);
                let mut all = Vec::new();
                if let Some(values) = values {
                    packing.pack(how, ty, values, &mut all)?;
                }
                packed.push(all);
            }
        }
        let given = given.iter().enumerate().map(|(k, values)| {
            let packed = packed.get(k).map(|all| &all[..]);
            values.map(|values| packed.unwrap_or(values))
        });
        let given: Vec<Option<&[T]>> = given.collect();
        let mut rest = parameters.values();
        let inputs = tape.inputs().iter().zip(&filled).map(|(input, filled)| {
            if input.role == InputRole::Param {
                let (this, after) = rest.split_at(input.ty.shape.len());
                rest = after;
                return this;
            }
            let there = filled.as_deref().or(batch.array(&input.name));
            there.unwrap_or_default()
        });
        let inputs: Vec<&[T]> = inputs.collect();
        let inner: Vec<usize> = shared
            .wanted
            .iter()
            .map(|&k| fed.points.numbers(tape.inputs()[k].ty))
            .collect();
        let count = inner.iter().sum();
        let mut gradients = Gradients {
            values: spare.take().unwrap_or_default(),
            shared: Arc::clone(&shared),
            counts: fed.counts,
            spare,
        };
        reserve(&mut gradients.values, "the gradients", count)?;
        gradients.values.resize(count, T::ZERO);
        let mut left = &mut gradients.values[..];
        let parts = inner.iter().map(|&count| {
            let part = left.split_off_mut(..count);
            part.expect("they are as long as all of them")
        });
        let mut parts: Vec<&mut [T]> = parts.collect();
        let cotangents = (&shared.given[..], &given[..]);
        kept.backward(&inputs, cotangents, (&shared.wanted, &mut parts))?;
        if let Some(packing) = &packing {
            let ranges = shared.ranges(fed.counts);
            let mut all = zeros("the gradients", ranges.last().map_or(0, |r| r.end))?;
            for ((&k, part), range) in shared.wanted.iter().zip(&parts).zip(ranges) {
                let (how, ty) = (Arrangement::of_input(tape, k), tape.inputs()[k].ty);
                match how {
                    Arrangement::Once => all[range].copy_from_slice(part),
                    _ => packing.unpack_into(how, ty, part, &mut all[range]),
                }
            }
            gradients.values = all;
        }
        Ok(gradients)
    }
}

impl Split {
    /// The parts of the gradients in their vector.
    fn ranges(&self, counts: Counts) -> Vec<Range<usize>> {
        let mut end = 0;
        let tape = self.cell.tape();
        let part = |&k: &usize| {
            let start = end;
            end += Arrangement::of_input(tape, k).numbers(tape.inputs()[k].ty, counts);
            start..end
        };
        self.wanted.iter().map(part).collect()
    }

    /// How an output is arranged, and its type.
    fn output(&self, k: usize) -> (Arrangement, Type) {
        let tape = self.cell.tape();
        let ty = tape.node(tape.outputs()[k].value).ty;
        (Arrangement::of_output(tape, k), ty)
    }

    /// A cotangent for each of the tape's outputs.
    fn cotangents<'c, T: Float>(
        &self,
        given: &'c Cotangents<T>,
        counts: Counts,
    ) -> Result<Vec<Option<&'c [T]>>, Error> {
        let tape = self.cell.tape();
        let known = || {
            let outputs = self
                .given
                .iter()
                .map(|&k| tape.outputs()[k].name.to_string());
            outputs.collect()
        };
        let unknown = |name: &str| Error::UnknownOutput {
            cell: self.cell.name().to_owned(),
            name: name.to_owned(),
            known: known(),
        };
        let mut all = vec![None; tape.outputs().len()];
        for (name, values) in &given.arrays {
            let k = tape.output(name).filter(|k| self.given.contains(k));
            let k = k.ok_or_else(|| unknown(name))?;
            let (how, ty) = self.output(k);
            let count = how.numbers(ty, counts);
            if values.len() != count {
                return Err(Error::InputLength {
                    name: name.clone(),
                    role: "cotangent",
                    count,
                    expected: axes(ty, how, counts),
                    found: values.len(),
                });
            }
            all[k] = Some(&values[..]);
        }
        if let Some(cotangent) = &given.loss {
            let loss = |&k: &usize| tape.outputs()[k].role == OutputRole::Loss;
            let k = self.given.iter().copied().find(loss);
            all[k.ok_or_else(|| unknown("loss"))?] = Some(&cotangent[..]);
        }
        Ok(all)
    }
}

impl<T: Float> Gradients<T> {
    /// The gradient with respect to a parameter, an input or, under a state's name, a given initial state, in the
    /// layout of that; if it was requested.
    pub fn of(&self, name: &str) -> Option<&[T]> {
        let inputs = self.shared.cell.tape().inputs();
        let wanted = self.shared.wanted.iter();
        let at = wanted.map(|&k| &inputs[k]).position(|i| *i.name == *name)?;
        Some(&self.values[self.shared.ranges(self.counts)[at].clone()])
    }

    /// The gradient with respect to all parameters, one after another in the cell's order; if all were requested.
    pub fn parameters(&self) -> Option<&[T]> {
        let inputs = self.shared.cell.tape().inputs().iter().enumerate();
        let parameters = inputs.filter(|(_, i)| i.role == InputRole::Param);
        let mut wanted = self.shared.wanted.iter();
        let mut each = parameters.map(|(k, _)| wanted.next() == Some(&k));
        (each.all(|requested| requested))
            .then(|| &self.values[..self.shared.cell.parameter_count()])
    }

    /// Exchanges the gradient with respect to all parameters for another vector of as many numbers, if all were requested.
    pub(crate) fn exchange(&mut self, other: &mut Vec<T>) -> bool {
        let all = self.parameters().map(<[T]>::len);
        if all.is_none_or(|count| count != other.len()) {
            return false;
        }
        self.values.truncate(other.len());
        std::mem::swap(&mut self.values, other);
        true
    }

    /// For each parameter, in the cell's order, its gradient, if it was requested.
    pub(crate) fn each_parameter(&self) -> impl Iterator<Item = Option<&[T]>> {
        let inputs = self.shared.cell.tape().inputs().iter().enumerate();
        let parameters = inputs.filter(|(_, i)| i.role == InputRole::Param);
        let ranges = self.shared.ranges(self.counts);
        let mut wanted = self.shared.wanted.iter().zip(ranges).peekable();
        parameters.map(move |(k, _)| {
            let (_, range) = wanted.next_if(|(w, _)| **w == k)?;
            Some(&self.values[range])
        })
    }

    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.shared.cell
    }
}

impl<T: Float> Drop for Gradients<T> {
    fn drop(&mut self) {
        self.spare.give_back(std::mem::take(&mut self.values));
    }
}

impl<T: Float> std::fmt::Debug for Forward<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("cell", &self.shared.cell.name())
            .field("extent", &self.batch.extent)
            .finish_non_exhaustive()
    }
}

impl<T: Float> std::fmt::Debug for Gradients<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inputs = self.shared.cell.tape().inputs();
        let of: Vec<&str> = self
            .shared
            .wanted
            .iter()
            .map(|&k| &*inputs[k].name)
            .collect();
        f.debug_struct("Gradients")
            .field("cell", &self.shared.cell.name())
            .field("of", &of)
            .finish_non_exhaustive()
    }
}
