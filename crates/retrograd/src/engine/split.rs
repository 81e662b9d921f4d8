//! Runs in two halves, on either engine.

use std::sync::{Arc, Mutex, PoisonError};

use retrograd_jit::{Executor, Residuals};
use retrograd_tape::{Interpreter, Tape};

use super::{interpret, named, prepared};
use crate::batch::Points;
use crate::error::Error;
use crate::numbers::Float;
use crate::precision::Precision;

/// What one run no longer needs, for the next: clones share the list.
#[derive(Debug)]
pub(crate) struct Spare<A>(Arc<Mutex<Vec<A>>>);

impl<A> Default for Spare<A> {
    fn default() -> Spare<A> {
        Spare(Arc::default())
    }
}

impl<A> Clone for Spare<A> {
    fn clone(&self) -> Spare<A> {
        Spare(Arc::clone(&self.0))
    }
}

impl<A> Spare<A> {
    pub(crate) fn take(&self) -> Option<A> {
        self.list().pop()
    }

    pub(crate) fn give_back(&self, one: A) {
        self.list().push(one);
    }

    /// Nothing panics while the lock is held.
    fn list(&self) -> std::sync::MutexGuard<'_, Vec<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program whose cotangents are inputs, ready to run in two halves.
pub(crate) enum SplitRunner<T: Float> {
    Jit(Box<Executor<T>>),
    /// An interpreter that has not run yet, and those that have.
    Tape(Box<Interpreter<T>>, Spare<Interpreter<T>>),
}

/// What a forward half leaves.
pub(crate) enum Kept<T: Float> {
    Jit(Residuals<T>),
    Tape(Ran<T>),
}

/// An interpreter that has run. Where no backward half follows, it is simply dropped.
pub(crate) struct Ran<T: Float> {
    run: Interpreter<T>,
    spare: Spare<Interpreter<T>>,
}

impl<T: Float> SplitRunner<T> {
    pub(crate) fn tape(tape: &Tape, precision: Precision, wanted: &[usize]) -> SplitRunner<T> {
        let wanted = |i: &retrograd_tape::Input| {
            let mut names = wanted.iter().map(|&k| &tape.inputs()[k].name);
            names.any(|name| *name == i.name)
        };
        let run = prepared(tape, precision, wanted, &[]).expect("nothing is observed");
        SplitRunner::Tape(Box::new(run), Spare::default())
    }

    /// Runs the forward half on inputs in the order of the tape's.
    pub(crate) fn forward(
        &mut self,
        tape: &Tape,
        points: Points<'_>,
        inputs: &[&[T]],
    ) -> Result<Kept<T>, Error> {
        match self {
            SplitRunner::Jit(executor) => {
                let ran = match points {
                    Points::Full(extent) => executor.forward(extent, inputs),
                    Points::Ragged(lengths) => executor.forward_ragged(lengths, inputs),
                };
                named(ran, tape, points, inputs).map(Kept::Jit)
            }
            SplitRunner::Tape(new, spare) => {
                let mut run = spare.take().unwrap_or_else(|| (**new).clone());
                interpret(&mut run, points, inputs)?;
                let spare = spare.clone();
                Ok(Kept::Tape(Ran { run, spare }))
            }
        }
    }
}

impl<T: Float> Kept<T> {
    /// Output `k` of the tape.
    pub(crate) fn output(&self, k: usize) -> &[T] {
        match self {
            Kept::Jit(kept) => kept.output(k),
            Kept::Tape(ran) => ran.run.output(k),
        }
    }

    /// Runs the backward half: `inputs` as before; a cotangent for each of the tape's outputs, of which those `given`
    /// are inputs of the program; and the gradients of the `wanted` inputs.
    pub(crate) fn backward(
        self,
        inputs: &[&[T]],
        (given, cotangents): (&[usize], &[Option<&[T]>]),
        (wanted, gradients): (&[usize], &mut [&mut [T]]),
    ) -> Result<(), Error> {
        let kept = match self {
            Kept::Jit(kept) => kept,
            Kept::Tape(Ran { mut run, spare }) => {
                let ran = run.backward(cotangents);
                for (&k, to) in wanted.iter().zip(gradients) {
                    match run.gradient(k) {
                        Some(values) => to.copy_from_slice(values),
                        None => to.fill(T::ZERO),
                    }
                }
                spare.give_back(run);
                return Ok(ran?);
            }
        };
        let mut all = Vec::with_capacity(inputs.len() + given.len());
        all.extend_from_slice(inputs);
        // They are the compiled cell's last inputs, in this order.
        all.extend(given.iter().map(|&k| cotangents[k].unwrap_or_default()));
        Ok(kept.backward(&all, gradients)?)
    }
}
