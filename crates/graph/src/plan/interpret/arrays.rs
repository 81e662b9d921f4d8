//! Arrays at the border of a run: the caller's are packed, those inside have room for all steps of all rows.

use std::ops::Range;

use cranelift_entity::PrimaryMap;
use retrograd_tape::{Domain, Real};

use super::InterpretError;
use crate::plan::{Buffer, BufferId, Plan, Storage};

/// All arrays as they are before a run: NaN, except for what the caller gives.
pub(super) fn arrays<T: Real>(
    plan: &Plan,
    lengths: &[usize],
    inputs: &[&[T]],
) -> Result<PrimaryMap<BufferId, Vec<T>>, InterpretError> {
    let is_input = |storage: &Storage| matches!(storage, Storage::Input(_));
    let expected = (plan.buffers.values()).filter(|x| is_input(&x.storage));
    let (expected, found) = (expected.count(), inputs.len());
    if expected != found {
        return Err(InterpretError::Count { expected, found });
    }
    let make = |buffer: &Buffer| {
        let mut array = vec![T::NAN; buffer.size(lengths[0], lengths.len())];
        let Storage::Input(k) = buffer.storage else {
            return Ok(array);
        };
        let (places, given) = (places(buffer, lengths), inputs[k]);
        let expected = places.len() * buffer.len;
        if !given.is_empty() && given.len() != expected {
            return Err(InterpretError::Length {
                name: buffer.name.clone(),
                expected,
                found: given.len(),
            });
        }
        for (i, place) in places.into_iter().enumerate() {
            for (k, x) in array[place].iter_mut().enumerate() {
                *x = given.get(i * buffer.len + k).copied().unwrap_or(T::ZERO);
            }
        }
        Ok(array)
    };
    plan.buffers.values().map(make).collect()
}

/// Where the points of a caller's array are among those of all rows and the steps of the longest, in the order in which
/// the caller has them.
fn places(buffer: &Buffer, lengths: &[usize]) -> Vec<Range<usize>> {
    let (t, b) = (lengths[0], lengths.len());
    let exists = |i: &usize| buffer.domain != Domain::Step || i / b < lengths[i % b];
    let points = (0..buffer.domain.points(t, b)).filter(exists);
    points
        .map(|i| i * buffer.len..(i + 1) * buffer.len)
        .collect()
}

/// A caller's array of the steps that rows have.
pub(super) fn packed<T: Real>(buffer: &Buffer, lengths: &[usize], array: &[T]) -> Vec<T> {
    let places = places(buffer, lengths).into_iter();
    places.flat_map(|place| array[place].to_vec()).collect()
}
