//! [`OptimizerState`]: an optimiser with what it remembers.

use std::fmt::Debug;

use super::{Objective, Optimizer, Part, Step, StepError, check_learning_rate};
use crate::error::Error;
use crate::numbers::{Float, zeros};

/// An optimiser together with its memory for `n` parameters and the number of steps so far. A [`Trainer`](crate::Trainer) has one;
/// use it directly to train anything else.
///
/// ```
/// use retrograd::Adam;
/// use retrograd::optim::OptimizerState;
///
/// let mut adam = OptimizerState::<_, f64>::new(Adam::new(0.1), 1)?;
/// let mut x = [1.0];
/// for _ in 0..200 {
///     let gradient = [2.0 * x[0]]; // of x²
///     adam.step(&mut x, &gradient, 1.0).expect("it is finite");
/// }
/// assert!(x[0].abs() < 0.01);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OptimizerState<O, T> {
    optimizer: O,
    memory: OptimizerMemory<T>,
    parts: Vec<Part>,
    n: usize,
}

/// What an optimiser remembers between steps: with it, a run goes on bitwise as if it had never stopped.
///
/// ```
/// use retrograd::Adam;
/// use retrograd::optim::OptimizerState;
///
/// let mut adam = OptimizerState::<_, f64>::new(Adam::new(0.1), 2)?;
/// adam.step(&mut [1.0, 1.0], &[0.5, -0.5], 1.0).expect("it is finite");
/// let names: Vec<&str> = adam.memory().vectors.iter().map(|(name, _)| *name).collect();
/// assert_eq!(names, ["mean gradient", "mean squared gradient"]);
///
/// let mut again = OptimizerState::<_, f64>::new(Adam::new(0.1), 2)?;
/// again.set_memory(adam.memory().clone())?;
/// assert_eq!(again.memory().steps, 1);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OptimizerMemory<T> {
    /// The number of steps so far.
    pub steps: u64,
    /// The vectors that [`Optimizer::memory`] names.
    pub vectors: Vec<(&'static str, Vec<T>)>,
    /// The numbers that [`Optimizer::scalars`] names.
    pub scalars: Vec<(&'static str, f64)>,
}

impl<O: Optimizer, T: Float> OptimizerState<O, T> {
    /// An optimiser before its first step.
    ///
    /// # Errors
    /// [`Error::Setting`] if a setting makes no sense; [`Error::NoMemory`].
    pub fn new(optimizer: O, n: usize) -> Result<Self, Error> {
        Self::with_parts(optimizer, n, vec![Part::all(n)])
    }

    /// The same for parameters of which some are frozen or have settings of their own.
    pub(crate) fn with_parts(optimizer: O, n: usize, parts: Vec<Part>) -> Result<Self, Error> {
        check_learning_rate::<T>(optimizer.learning_rate())?;
        optimizer.check()?;
        let vectors = optimizer.memory().iter();
        let vectors = vectors.map(|name| Ok((*name, zeros("the optimiser's memories", n)?)));
        let scalars = optimizer.scalars().iter();
        Ok(OptimizerState {
            memory: OptimizerMemory {
                steps: 0,
                vectors: vectors.collect::<Result<_, Error>>()?,
                scalars: scalars.map(|name| (*name, 0.0)).collect(),
            },
            parts,
            optimizer,
            n,
        })
    }

    /// One step along `scale` times the gradient (see [`clip_scale`](super::clip_scale)), for optimisers that need no more.
    ///
    /// # Errors
    /// [`StepError`]; then nothing has changed.
    ///
    /// # Panics
    /// If the slices are not as long as said to [`new`](Self::new).
    pub fn step(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        scale: f64,
    ) -> Result<(), StepError> {
        self.take(parameters, gradient, scale, f64::NAN, None)
    }

    /// The same, given the loss, and the [`Objective`] for other points.
    ///
    /// # Errors
    /// [`StepError`]; then nothing has changed.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_with(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        scale: f64,
        loss: f64,
        objective: &mut dyn Objective<T>,
    ) -> Result<(), StepError> {
        self.take(parameters, gradient, scale, loss, Some(objective))
    }

    /// What it remembers.
    pub fn memory(&self) -> &OptimizerMemory<T> {
        &self.memory
    }

    /// Goes on from what was remembered.
    ///
    /// # Errors
    /// [`Error::Setting`] if this optimiser remembers other things, or of other parameters.
    pub fn set_memory(&mut self, memory: OptimizerMemory<T>) -> Result<(), Error> {
        let named = |m: &OptimizerMemory<T>| -> Vec<&'static str> {
            let vectors = m.vectors.iter().map(|(name, _)| *name);
            vectors
                .chain(m.scalars.iter().map(|(name, _)| *name))
                .collect()
        };
        let expected = named(&self.memory);
        let found = named(&memory);
        let what = "what the optimiser remembers";
        if found != expected {
            return Err(Error::Setting {
                what,
                found: format!("{found:?}"),
                expected: format!("{expected:?}"),
            });
        }
        let n = self.n.max(1);
        if let Some((name, v)) = memory.vectors.iter().find(|(_, v)| v.len() % n != 0) {
            return Err(Error::Setting {
                what,
                found: format!("{} numbers of {name}", v.len()),
                expected: format!("a multiple of {n}"),
            });
        }
        self.memory = memory;
        Ok(())
    }

    fn take(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        scale: f64,
        loss: f64,
        objective: Option<&mut dyn Objective<T>>,
    ) -> Result<(), StepError> {
        assert_eq!(parameters.len(), self.n, "as many as said at first");
        assert_eq!(parameters.len(), gradient.len(), "a number a parameter");
        let OptimizerMemory {
            steps,
            vectors,
            scalars,
        } = &mut self.memory;
        // Moved out for the call: the names stay.
        let mut memory: Vec<Vec<T>> = (vectors.iter_mut())
            .map(|(_, v)| std::mem::take(v))
            .collect();
        let mut numbers: Vec<f64> = scalars.iter().map(|(_, x)| *x).collect();
        let moved = self.optimizer.step(Step {
            number: *steps + 1,
            parameters,
            gradient,
            scale,
            memory: &mut memory,
            scalars: &mut numbers,
            parts: &self.parts,
            loss,
            objective: match objective {
                Some(objective) => Some(objective),
                None => None,
            },
        });
        for ((_, place), v) in vectors.iter_mut().zip(memory) {
            *place = v;
        }
        moved?;
        for ((_, place), x) in scalars.iter_mut().zip(numbers) {
            *place = x;
        }
        *steps += 1;
        Ok(())
    }
}

/// [`OptimizerState`] of any optimiser.
pub(crate) trait AnyOptimizer<T>: Debug + Send + Sync {
    /// The settings, for display.
    fn settings(&self) -> &dyn Debug;
    fn name(&self) -> &'static str;
    fn learning_rate(&self) -> f64;
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error>;
    fn memory(&self) -> &OptimizerMemory<T>;
    fn set_memory(&mut self, memory: OptimizerMemory<T>) -> Result<(), Error>;
    /// As [`OptimizerState::step_with`].
    fn step(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        scale: f64,
        loss: f64,
        objective: Option<&mut dyn Objective<T>>,
    ) -> Result<(), StepError>;
}

impl<O: Optimizer, T: Float> AnyOptimizer<T> for OptimizerState<O, T> {
    fn settings(&self) -> &dyn Debug {
        &self.optimizer
    }

    fn name(&self) -> &'static str {
        self.optimizer.name()
    }

    fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        check_learning_rate::<T>(learning_rate)?;
        self.optimizer.set_learning_rate(learning_rate);
        Ok(())
    }

    fn memory(&self) -> &OptimizerMemory<T> {
        self.memory()
    }

    fn set_memory(&mut self, memory: OptimizerMemory<T>) -> Result<(), Error> {
        self.set_memory(memory)
    }

    fn step(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        scale: f64,
        loss: f64,
        objective: Option<&mut dyn Objective<T>>,
    ) -> Result<(), StepError> {
        self.take(parameters, gradient, scale, loss, objective)
    }
}
