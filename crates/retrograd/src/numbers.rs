//! The numbers that cells run in, and vectors of them whose memory is requested fallibly or used again.

use retrograd_jit::{Element, machine_bytes, try_reserve_total};
use retrograd_tape::Real;

use crate::error::Error;

/// `f32` or `f64`: the numbers that cells are run in. Arithmetic and functions are those of [`Real`]: `+ - * /`, comparisons,
/// `T::from_f64`, `to_f64`, `T::ZERO`, `T::ONE`, `sqrt`, `exp`, `ln`, `abs` and others.
///
/// ```
/// use retrograd::Float;
///
/// fn mean<T: Float>(values: &[T]) -> f64 {
///     values.iter().map(|v| v.to_f64()).sum::<f64>() / values.len() as f64
/// }
/// assert_eq!(mean(&[1.0_f32, 2.0]), 1.5);
/// ```
pub trait Float: Element + Real {}

impl Float for f32 {}
impl Float for f64 {}

/// `len` zeros.
///
/// # Errors
/// [`Error::NoMemory`].
pub(crate) fn zeros<T: Float>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    let mut values = reserved(what, len)?;
    values.resize(len, T::ZERO);
    Ok(values)
}

/// An empty vector with room for `len` numbers.
///
/// # Errors
/// [`Error::NoMemory`].
pub(crate) fn reserved<T>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    reserve(&mut values, what, len)?;
    Ok(values)
}

/// Makes room for `len` numbers in all, in large pages if there are many, or fails if the machine lacks the memory: a user's
/// input may decide `len`.
///
/// # Errors
/// [`Error::NoMemory`].
pub(crate) fn reserve<T>(values: &mut Vec<T>, what: &'static str, len: usize) -> Result<(), Error> {
    let bytes = len.saturating_mul(size_of::<T>());
    match bytes <= machine_bytes() && try_reserve_total(values, len).is_ok() {
        true => Ok(()),
        false => Err(Error::NoMemory { what, bytes }),
    }
}

/// The vector's allocation, emptied, to be filled with borrows of another lifetime. Collecting a mapped vector into elements of the
/// same layout happens in place.
pub(crate) fn emptied<A, B>(mut vector: Vec<A>) -> Vec<B> {
    vector.clear();
    let none = vector.into_iter().map(|_| unreachable!("it is empty"));
    none.collect()
}

#[cfg(test)]
mod tests {
    use super::emptied;

    #[test]
    fn an_emptied_vector_keeps_its_allocation() {
        let (one, mut two) = ([1.0_f32], [2.0_f32]);
        let mut shared: Vec<&[f32]> = Vec::with_capacity(9);
        shared.push(&one);
        let at = shared.as_ptr().addr();
        let shared: Vec<&'static [f32]> = emptied(shared);
        assert_eq!((shared.as_ptr().addr(), shared.capacity()), (at, 9));
        let unique: Vec<&mut [f32]> = vec![&mut two];
        let at = unique.as_ptr().addr();
        let unique: Vec<&'static mut [f32]> = emptied(unique);
        assert_eq!((unique.as_ptr().addr(), unique.capacity()), (at, 1));
    }
}
