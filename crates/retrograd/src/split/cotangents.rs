//! [`Cotangents`]: what the second half of a run waits for.

use crate::numbers::Float;

/// The derivatives of what the caller computes from a run, with respect to the run's outputs; those left out are zeros.
///
/// ```
/// use retrograd::Cotangents;
///
/// // Of two steps of an output of one number, and of a loss that counts twice.
/// let cotangents = Cotangents::new().with("y", vec![0.5, -0.5]).with_loss(2.0);
/// assert_eq!(cotangents.array("y"), Some(&[0.5, -0.5][..]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cotangents<T = f32> {
    pub(super) arrays: Vec<(String, Vec<T>)>,
    pub(super) loss: Option<[T; 1]>,
}

impl<T: Float> Default for Cotangents<T> {
    fn default() -> Self {
        Cotangents::new()
    }
}

impl<T: Float> Cotangents<T> {
    /// None yet.
    pub fn new() -> Cotangents<T> {
        Cotangents {
            arrays: Vec::new(),
            loss: None,
        }
    }

    /// Also the cotangent of an output, `[T, B, shape]`, or under a state's name that of its final value, `[|d|, B,
    /// shape]`: in the layout in which [`Forward::output`](super::Forward::output) returns it. One of the same name is replaced.
    #[must_use]
    pub fn with(mut self, output: &str, values: Vec<T>) -> Cotangents<T> {
        self.arrays.retain(|(name, _)| name != output);
        self.arrays.push((output.to_owned(), values));
        self
    }

    /// Also that of the cell's own loss: 1 for its gradient.
    #[must_use]
    pub fn with_loss(mut self, cotangent: f64) -> Cotangents<T> {
        self.loss = Some([T::from_f64(cotangent)]);
        self
    }

    /// The cotangent of an output.
    pub fn array(&self, output: &str) -> Option<&[T]> {
        let found = self.arrays.iter().find(|(name, _)| name == output);
        found.map(|(_, values)| &values[..])
    }
}
