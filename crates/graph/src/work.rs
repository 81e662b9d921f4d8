//! Counts the work of passes and plan stages, in operations and never in time, so that a program is compiled the same
//! way on every machine and every day.
//!
//! A stage whose work may grow faster than the program has an `Allowance` in proportion to the program's size. When it
//! is used up, the stage leaves the rest as it was: unsplit, unfused, unjoined. No hand-written program has been seen
//! to reach that limit.

use std::cell::Cell;

thread_local! {
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// Operations that passes and plan stages have done on this thread: nodes visited, edges followed, pairs compared. For
/// tests of how work grows with a program.
pub fn done() -> u64 {
    DONE.get()
}

/// Adds to the count of operations.
pub(crate) fn note(operations: usize) {
    DONE.set(DONE.get() + operations as u64);
}

/// How many operations a stage may still do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: u64,
}

impl Allowance {
    /// An allowance of this many operations.
    pub(crate) fn of(operations: usize) -> Allowance {
        Allowance {
            left: operations as u64,
        }
    }

    /// Spends operations; false once the allowance is exceeded, on which the caller leaves its work undone.
    pub(crate) fn spend(&mut self, operations: usize) -> bool {
        let done = self.left.min(operations as u64);
        note(done as usize);
        self.left -= done;
        self.left > 0
    }

    /// True if nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }
}
