//! What can go wrong while a tape is recorded. Every error is the user's mistake and names the line it was made on.

use std::panic::Location;

/// A mistake in a recorded program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapeError {
    /// Operands whose shapes or domains do not go together.
    #[error("{at}: `{op}` does not fit: {operands}; {expected}")]
    Misfit {
        /// The op.
        op: String,
        /// Names and shapes of all operands.
        operands: String,
        /// Which operand would have to be what.
        expected: String,
        /// The user's line.
        at: Location<'static>,
    },
    /// A state that was declared but never given its next value.
    #[error("{at}: state `{name}` has no next value: call `next` for it")]
    NoNext {
        /// The state.
        name: String,
        /// Where it was declared.
        at: Location<'static>,
    },
    /// A state that was given two next values.
    #[error("{at}: state `{name}` already has a next value")]
    NextTwice {
        /// The state.
        name: String,
        /// Where it was set the second time.
        at: Location<'static>,
    },
    /// `next` of something that is no state.
    #[error("{at}: `next` needs a state, and {what} is none")]
    NotAState {
        /// What was given.
        what: String,
        /// Where.
        at: Location<'static>,
    },
    /// A state's next or initial value of another shape than the state.
    #[error("{at}: state `{name}` is {expected}, but its {which} value {what} is {found}")]
    StateShape {
        /// The state.
        name: String,
        /// `next` or `initial`.
        which: &'static str,
        /// The value that was given.
        what: String,
        /// The state's shape.
        expected: String,
        /// The value's shape.
        found: String,
        /// Where.
        at: Location<'static>,
    },
    /// Two inputs, states or outputs of one name.
    #[error("{at}: there already is {kind} `{name}`")]
    NameTaken {
        /// `an input`, `an output`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where it was used again.
        at: Location<'static>,
    },
    /// A shape without elements, or a delay of 0.
    #[error("{at}: `{name}` needs {needs}")]
    Empty {
        /// The value.
        name: String,
        /// What it needs.
        needs: &'static str,
        /// Where.
        at: Location<'static>,
    },
    /// A loss or a weight that is not one number per example and step.
    #[error(
        "{at}: the {which} must be a scalar per example and step, and {what} is {found}; use .mean() or .sum()"
    )]
    NotScalar {
        /// `loss` or `weight`.
        which: &'static str,
        /// The value.
        what: String,
        /// Its type.
        found: String,
        /// Where.
        at: Location<'static>,
    },
    /// A value of another tape.
    #[error("{at}: `{op}` mixes values of two tapes")]
    TwoTapes {
        /// The op.
        op: String,
        /// Where.
        at: Location<'static>,
    },
    /// A recurrence that needs earlier and later steps at once.
    #[error(
        "the states {states} feed each other both forward and backward in time; no order of the steps can compute them"
    )]
    BothWays {
        /// Names of the states.
        states: String,
    },
    /// A value that is used by the steps but is only known after all of them.
    #[error("`{what}` is known only after the last step, but the steps use it")]
    AfterTheSteps {
        /// The value.
        what: String,
    },
}
