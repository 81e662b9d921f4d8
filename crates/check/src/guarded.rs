//! [`Guarded`]: an array that tells what was written beside it.

use retrograd_tape::Real;

/// Numbers on either side of each array that must stay as they are.
pub(crate) const GUARD: usize = 64;

/// An array among numbers that must stay as they are. It begins as NaN: what is not written must not pass for right.
pub(crate) struct Guarded<T> {
    all: Vec<T>,
    front: usize,
}

impl<T: Real> Guarded<T> {
    pub(crate) fn new(front: usize, len: usize) -> Self {
        Guarded::holding(front, &vec![T::from_f64(f64::NAN); len])
    }

    pub(crate) fn holding(front: usize, values: &[T]) -> Self {
        let mut all = vec![Self::guard(); front];
        all.extend(values);
        all.resize(all.len() + GUARD, Self::guard());
        Guarded { all, front }
    }

    pub(crate) fn guard() -> T {
        T::from_f64(12345.0)
    }

    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.front..self.all.len() - GUARD
    }

    pub(crate) fn inner(&self) -> &[T] {
        &self.all[self.range()]
    }

    pub(crate) fn inner_mut(&mut self) -> &mut [T] {
        let range = self.range();
        &mut self.all[range]
    }

    /// What was written, if nothing beside it was.
    pub(crate) fn written(&self, name: &str) -> Result<Vec<T>, String> {
        let range = self.range();
        let mut beside = self.all[..range.start].iter().chain(&self.all[range.end..]);
        match beside.all(|x| *x == Self::guard()) {
            true => Ok(self.inner().to_vec()),
            false => Err(format!("numbers beside `{name}` were overwritten")),
        }
    }
}
