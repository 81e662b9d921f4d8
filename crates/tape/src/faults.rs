//! Deliberate faults, one at a time, for tests of what finds them (`retrograd-check`, feature `faults`).
//!
//! A fault is a line of the compiler that does the wrong thing while the fault is injected. Without the feature none of
//! these lines exists.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be made wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// The derivative rule of tanh is 1 − y instead of 1 − y², on every engine.
    DerivativeRule = 1,
    /// *simplify* takes the sum of two products for the first of them.
    DroppedTerm,
    /// Kernels of activations leave out the last number of a row that is no whole number of vectors.
    LastLane,
    /// *adjoint* forgets the cotangents of final states that are two steps long.
    BoundaryOfTwo,
    /// The boundary steps behind a row that ends before the longest are not put there.
    ReverseRow,
    /// A block that is replayed within a memory budget begins with the states of whatever ran before.
    Replay,
    /// A stepper's rings lose a step where they wrap around.
    Ring,
    /// Of a sum that several threads share, each thread but the last loses its last row to the next one.
    Race,
    /// The sine of f32 is off by a thousandth.
    Single,
    /// *tangent* takes the matrix of a product for a constant.
    Tangent,
}

static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// True while this fault is injected.
pub fn active(fault: Fault) -> bool {
    ACTIVE.load(Ordering::Relaxed) == fault as usize
}

/// A fault that is there until this is dropped.
#[derive(Debug)]
pub struct Injected {
    _alone: MutexGuard<'static, ()>,
}

/// Makes the compiler wrong, in the whole process; waits until no other fault is.
pub fn inject(fault: Fault) -> Injected {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    ACTIVE.store(fault as usize, Ordering::Relaxed);
    Injected { _alone: alone }
}

/// Waits until no fault is, and lets none be until what it returns is dropped.
pub fn none() -> Injected {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Injected { _alone: alone }
}

impl Drop for Injected {
    fn drop(&mut self) {
        ACTIVE.store(0, Ordering::Relaxed);
    }
}
