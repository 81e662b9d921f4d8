//! [`Unpacked`]: the outputs of a packed run in the caller's arrangement, each unpacked when it is first read.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use retrograd_tape::Tape;

use super::{Arrangement, Packing};
use crate::error::Error;
use crate::numbers::{Float, reserve};

/// Empty for runs whose arrangement is the caller's.
#[derive(Debug, Default)]
pub(crate) struct Unpacked<T> {
    packing: Option<Arc<Packing>>,
    outputs: Vec<Output<T>>,
}

#[derive(Debug)]
struct Output<T> {
    values: OnceLock<Vec<T>>,
    /// An empty vector with room for them, so that reading cannot fail.
    room: Mutex<Vec<T>>,
}

impl<T: Float> Unpacked<T> {
    /// Gets ready for the outputs of a run.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn prepare(
        &mut self,
        tape: &Tape,
        packing: Option<&Arc<Packing>>,
    ) -> Result<(), Error> {
        self.packing = None;
        let Some(packing) = packing else {
            self.outputs.clear();
            return Ok(());
        };
        self.outputs.resize_with(tape.outputs().len(), || Output {
            values: OnceLock::new(),
            room: Mutex::default(),
        });
        for (k, output) in self.outputs.iter_mut().enumerate() {
            let room = output.room.get_mut();
            let room = room.unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = output.values.take() {
                *room = last;
                room.clear();
            }
            let ty = tape.node(tape.outputs()[k].value).ty;
            let count = Arrangement::of_output(tape, k).numbers(ty, packing.counts());
            reserve(room, "the outputs", count)?;
        }
        self.packing = Some(Arc::clone(packing));
        Ok(())
    }

    /// Output `k` of the tape, which the run left as `values`.
    pub(crate) fn output<'a>(&'a self, tape: &Tape, k: usize, values: &'a [T]) -> &'a [T] {
        let Some(packing) = &self.packing else {
            return values;
        };
        let output = &self.outputs[k];
        output.values.get_or_init(|| {
            let room = output.room.lock();
            let mut all = std::mem::take(&mut *room.unwrap_or_else(PoisonError::into_inner));
            let (how, ty) = (
                Arrangement::of_output(tape, k),
                tape.node(tape.outputs()[k].value).ty,
            );
            all.resize(how.numbers(ty, packing.counts()), T::ZERO);
            packing.unpack_into(how, ty, values, &mut all);
            all
        })
    }
}
