//! Programs without time, at one point.

use super::Interpreter;
use crate::Extent;
use crate::error::TapeError;
use crate::real::Real;
use crate::tape::Tape;

impl Tape {
    /// The value of the program's first output, a scalar, and its gradient in every input, for a program without time:
    /// one example, one step. The gradient is zeros where none can flow.
    ///
    /// # Errors
    /// As [`Interpreter::forward`]; also if the first output is not a scalar.
    pub fn value_and_gradient<T: Real>(
        &self,
        inputs: &[&[T]],
    ) -> Result<(T, Vec<Vec<T>>), TapeError> {
        let mut interpreter = Interpreter::new(self);
        interpreter.forward(Extent { steps: 1, rows: 1 }, inputs)?;
        let mut cotangents: Vec<Option<&[T]>> = vec![None; self.outputs().len()];
        let one = [T::ONE];
        if let Some(first) = cotangents.first_mut() {
            *first = Some(&one);
        }
        interpreter.backward(&cotangents)?;
        let Some(&value) = interpreter.output_places.first().and_then(|p| {
            let data: &Vec<T> = &interpreter.memory.data[p.buffer];
            data.first()
        }) else {
            return Err(TapeError::Count {
                what: "outputs",
                expected: 1,
                found: 0,
            });
        };
        let gradients = (self.inputs().iter().enumerate())
            .map(|(i, input)| match interpreter.gradient(i) {
                Some(g) => g.to_vec(),
                None => vec![T::ZERO; input.ty.numbers(1, 1)],
            })
            .collect();
        Ok((value, gradients))
    }
}
