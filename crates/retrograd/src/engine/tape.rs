//! The interpreted tape as an engine.

use retrograd_tape::{Input, InputRole, Interpreter, OutputRole};

use super::{interpret, prepared};
use crate::batch::Points;
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, emptied};
use crate::precision::Precision;

/// [`Engine::Tape`].
pub(crate) struct OnTape<T: Float> {
    interpreter: Interpreter<T>,
    /// The parameters' positions among the inputs.
    parameters: Vec<usize>,
    /// For each output, whether it is the loss.
    is_loss: Vec<bool>,
    /// The allocation of the last run's list of cotangents, reused by the next; always empty.
    cotangents: Vec<Option<&'static [T]>>,
}

impl<T: Float> OnTape<T> {
    pub(crate) fn new(cell: &Cell, precision: Precision, trained: &[bool]) -> OnTape<T> {
        let tape = cell.tape();
        let outputs = tape.outputs().iter();
        let names = cell.parameter_specs().zip(trained);
        let wanted: Vec<&str> = names.filter(|(_, t)| **t).map(|(p, _)| p.name).collect();
        let wanted = |i: &Input| i.role == InputRole::Param && wanted.contains(&&*i.name);
        OnTape {
            interpreter: prepared(tape, precision, wanted, &[]).expect("nothing is observed"),
            parameters: (0..tape.inputs().len())
                .filter(|&i| tape.inputs()[i].role == InputRole::Param)
                .collect(),
            is_loss: outputs.map(|o| o.role == OutputRole::Loss).collect(),
            cotangents: Vec::new(),
        }
    }
}

impl<T: Float> OnTape<T> {
    pub(crate) fn run(
        &mut self,
        points: Points<'_>,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        interpret(&mut self.interpreter, points, inputs)?;
        let Some(mut rest) = gradient else {
            return Ok(());
        };
        let one = [T::ONE];
        let mut cotangents: Vec<Option<&[T]>> = std::mem::take(&mut self.cotangents);
        cotangents.extend(self.is_loss.iter().map(|l| l.then_some(&one[..])));
        let ran = self.interpreter.backward(&cotangents);
        self.cotangents = emptied(cotangents);
        ran?;
        for &i in &self.parameters {
            let this = rest
                .split_off_mut(..inputs[i].len())
                .expect("it is as long as all parameters");
            match self.interpreter.gradient(i) {
                Some(values) => this.copy_from_slice(values),
                None => this.fill(T::ZERO),
            }
        }
        Ok(())
    }

    pub(crate) fn output(&self, i: usize) -> &[T] {
        self.interpreter.output(i)
    }
}
