//! Machine code as an engine.

use std::ops::Range;
use std::time::Duration;

use retrograd_graph::{Options, Unroll};
use retrograd_jit::{CompiledCell, Executor, Purpose};

use super::execute;
use crate::batch::Points;
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, emptied, reserve};
use crate::precision::Precision;

/// How code is compiled and run. Of it, the interpreted tape uses the precision alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The greatest number of threads.
    pub(crate) threads: usize,
    /// Steps of an unrolled iteration of a recurrence's loop.
    pub(crate) unroll: Unroll,
    /// Whether what delays carry is flushed, in single precision.
    pub(crate) flush: bool,
    /// What products multiply.
    pub(crate) precision: Precision,
    /// The greatest number of bytes beyond the caller's arrays.
    pub(crate) memory_budget: Option<usize>,
}

impl Settings {
    /// Compiles a cell, to be run with these settings.
    pub(crate) fn compile<T: Float>(
        self,
        cell: &Cell,
        purpose: &Purpose,
    ) -> Result<Executor<T>, Error> {
        let options = Options::default().with(|o| {
            o.unroll = self.unroll;
            o.flush = self.flush;
            o.bf16 = self.precision.into();
        });
        let compiled = CompiledCell::compile_with(cell.tape(), purpose, &options)?;
        let mut executor = compiled.executor();
        executor.set_threads(self.threads);
        executor.set_budget(self.memory_budget);
        Ok(executor)
    }
}

/// [`Engine::Jit`]. The program that also computes gradients is compiled immediately if it is known to be needed, the one for
/// outputs alone when it first is.
pub(crate) struct OnJit<T: Float> {
    cell: Cell,
    settings: Settings,
    /// What the training program computes.
    training: Purpose,
    train: Option<CompiledProgram<T>>,
    forward: Option<CompiledProgram<T>>,
    /// The outputs of the last run, in the order of the tape's outputs; both programs write here.
    values: Vec<Vec<T>>,
    /// The allocation of the last run's list of slices, reused by the next; always empty.
    slices: Vec<&'static mut [T]>,
}

/// A compiled program and the destinations of its outputs.
struct CompiledProgram<T: Float> {
    executor: Executor<T>,
    /// For each output that is a gradient, its range in the flat vector of parameters. The tape's own outputs come before them.
    gradients: Vec<Range<usize>>,
    /// The ranges of parameters that the loss does not depend on, or that are not trained.
    zeros: Vec<Range<usize>>,
}

impl<T: Float> OnJit<T> {
    pub(crate) fn new(
        cell: &Cell,
        settings: Settings,
        trained: &[bool],
        now: bool,
    ) -> Result<OnJit<T>, Error> {
        let parameters = cell.parameter_specs().zip(trained);
        let training = match trained.contains(&false) {
            false => Purpose::Train,
            true => Purpose::Gradients {
                given: Vec::new(),
                loss: true,
                wrt: parameters
                    .filter(|(_, trained)| **trained)
                    .map(|(p, _)| p.name.to_owned())
                    .collect(),
            },
        };
        let compile = || CompiledProgram::compile(cell, &training, settings);
        Ok(OnJit {
            train: now.then(compile).transpose()?,
            training,
            forward: None,
            values: cell.tape().outputs().iter().map(|_| Vec::new()).collect(),
            slices: Vec::new(),
            cell: cell.clone(),
            settings,
        })
    }
}

impl<T: Float> CompiledProgram<T> {
    fn compile(
        cell: &Cell,
        purpose: &Purpose,
        settings: Settings,
    ) -> Result<CompiledProgram<T>, Error> {
        let executor = settings.compile(cell, purpose)?;
        let compiled = executor.cell();
        let places = cell.parameter_specs().zip(cell.parameter_ranges());
        let places = places.map(|(p, range)| (format!("grad({})", p.name), range));
        let mut zeros: Vec<(String, Range<usize>)> = places.collect();
        let outputs = compiled.outputs().iter();
        let outputs = outputs.skip(cell.tape().outputs().len());
        let gradients = outputs.map(|o| {
            let at = zeros.iter().position(|(name, _)| *name == *o.name);
            zeros.remove(at.expect("a gradient of a parameter")).1
        });
        let gradients: Vec<Range<usize>> = gradients.collect();
        assert!(
            gradients.is_sorted_by_key(|range| range.start),
            "gradients come in the order of the tape's inputs"
        );
        let zeros = zeros.into_iter().map(|(_, range)| range).collect();
        Ok(CompiledProgram {
            executor,
            gradients,
            zeros,
        })
    }
}

impl<T: Float> OnJit<T> {
    pub(crate) fn run(
        &mut self,
        points: Points<'_>,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        let (place, purpose) = match gradient {
            Some(_) => (&mut self.train, &self.training),
            None => (&mut self.forward, &Purpose::Forward),
        };
        let program = match place {
            Some(program) => program,
            none => none.insert(CompiledProgram::compile(
                &self.cell,
                purpose,
                self.settings,
            )?),
        };
        for (k, values) in self.values.iter_mut().enumerate() {
            let len = numbers(program.executor.cell(), k, points);
            reserve(values, "the outputs", len)?;
            values.resize(len, T::ZERO);
        }
        let mut outputs: Vec<&mut [T]> = std::mem::take(&mut self.slices);
        outputs.extend(self.values.iter_mut().map(Vec::as_mut_slice));
        if let Some(mut rest) = gradient {
            for range in &program.zeros {
                rest[range.clone()].fill(T::ZERO);
            }
            let mut at = 0;
            for range in &program.gradients {
                let (_, after) = rest.split_at_mut(range.start - at);
                let (this, after) = after.split_at_mut(range.len());
                outputs.push(this);
                (rest, at) = (after, range.end);
            }
        }
        let (executor, tape) = (&mut program.executor, self.cell.tape());
        let ran = execute(executor, tape, points, inputs, &mut outputs);
        self.slices = emptied(outputs);
        ran
    }

    pub(crate) fn output(&self, i: usize) -> &[T] {
        &self.values[i]
    }

    /// Time spent compiling so far.
    pub(crate) fn compile_time(&self) -> Duration {
        let programs = [self.train.as_ref(), self.forward.as_ref()];
        let times = programs
            .into_iter()
            .flatten()
            .map(|p| p.executor.cell().compile_time());
        times.sum()
    }
}

/// The number of elements of an output of compiled code.
pub(crate) fn numbers<T: Float>(cell: &CompiledCell<T>, k: usize, points: Points<'_>) -> usize {
    match points {
        Points::Full(extent) => cell.output_len(k, extent),
        Points::Ragged(lengths) => cell.output_len_ragged(k, lengths),
    }
}

#[cfg(test)]
mod tests {
    use retrograd_graph::plan::{Item, LoopKind};

    use super::*;
    use crate::zoo;

    /// The numbers of weight-gradient products and of backward recurrences of the training program.
    fn backward_work(trained: impl Fn(&str) -> bool) -> (usize, usize) {
        let (lstm, gru) = (zoo::find("lstm").unwrap(), zoo::find("gru").unwrap());
        let cell = Cell::define("stack", |c| {
            let below = gru.layer(c, "below", c.input("x", 3), 5);
            let above = lstm.layer(c, "above", below, 4);
            let y = c.dense("read", 2, [above]);
            c.output("y", y);
            c.loss((y - c.target("next", 2)).square().sum());
        })
        .unwrap();
        let settings = Settings {
            threads: 1,
            unroll: Unroll::AUTO,
            flush: true,
            precision: Precision::Full,
            memory_budget: None,
        };
        let trained: Vec<bool> = cell.parameter_specs().map(|p| trained(p.name)).collect();
        let runner = OnJit::<f32>::new(&cell, settings, &trained, true).unwrap();
        let plan = runner
            .train
            .as_ref()
            .unwrap()
            .executor
            .cell()
            .plan()
            .clone();
        fn count(items: &[Item], into: &mut (usize, usize)) {
            for item in items {
                match item {
                    Item::TimeTile { items, .. } | Item::Sweep { items, .. } => count(items, into),
                    Item::Outer { rhs, .. } => into.0 += rhs.len(),
                    Item::Loop(l) if l.kind == (LoopKind::Recurrence { reverse: true }) => {
                        into.1 += 1
                    }
                    _ => {}
                }
            }
        }
        let mut counts = (0, 0);
        count(&plan.items, &mut counts);
        counts
    }

    #[test]
    fn gradients_of_frozen_parameters_are_not_computed() {
        let (all, loops) = backward_work(|_| true);
        assert_eq!(loops, 2, "one backward recurrence a layer");
        // Frozen at the top: the adjoint passes through both layers, without the weight gradient of the readout.
        let (top, loops) = backward_work(|name| !name.starts_with("read."));
        assert!(top < all && loops == 2, "{top} of {all}, {loops}");
        // Frozen below: nothing runs back through the layer.
        let (below, loops) = backward_work(|name| !name.starts_with("below."));
        assert!(below < all && loops == 1, "{below} of {all}, {loops}");
        // Only the readout is left: no recurrence runs backward, and there is one weight gradient.
        assert_eq!(backward_work(|name| name.starts_with("read.")), (1, 0));
    }
}
