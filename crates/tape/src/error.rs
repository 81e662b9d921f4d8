//! Errors of recording and of running a tape. Every error is the user's mistake; an error of recording names the line
//! of the mistake.

use std::panic::Location;

use crate::cycles::BothWays;
use crate::op::Number;

/// A mistake in a recorded program or in the arguments of a run.
///
/// ```
/// use retrograd_tape::{Recorder, Shape, TapeError};
///
/// let r = Recorder::new();
/// let (a, b) = (r.param("a", Shape::Vector(2)), r.param("b", Shape::Vector(3)));
/// r.output("sum", a + b);
/// let error = r.finish("sum").unwrap_err();
/// assert!(matches!(&error, TapeError::TypeMismatch { op, .. } if op == "add"));
/// assert!(error.to_string().contains("`a` is [2], `b` is [3]"), "after this file's line");
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapeError {
    /// Lengths of rows that no run can have.
    #[error("lengths of rows: {0}")]
    Lengths(String),
    /// Operands whose shapes or domains do not match.
    #[error("{at}: `{op}` does not fit: {operands}; {expected}")]
    TypeMismatch {
        /// The op.
        op: String,
        /// Names and shapes of all operands.
        operands: String,
        /// Which operand does not fit, and the type that would.
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
    /// A program that is to run chunk after chunk but needs steps of later chunks.
    #[error("`{program}` cannot be carried from chunk to chunk: {value} {why}")]
    NeedsLaterSteps {
        /// The program.
        program: String,
        /// The state or value that needs them.
        value: String,
        /// Why.
        why: String,
    },
    /// An input that has the name of a state which would be carried.
    #[error(
        "`{program}` has an input `{name}`, and carrying its states would add another of that name"
    )]
    CarriedName {
        /// The program.
        program: String,
        /// The name.
        name: String,
    },
    /// `next` called with a value that is not a state.
    #[error("{at}: `next` needs a state, and {what} is none")]
    NotAState {
        /// The value.
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
        expected: Box<str>,
        /// The value's shape.
        found: Box<str>,
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
    #[error("{at}: `{op}` is given {value}, which another recorder has recorded")]
    TwoTapes {
        /// The op, or what was called: `output`, `next`.
        op: String,
        /// The value.
        value: String,
        /// Where.
        at: Location<'static>,
    },
    /// An op that only a declaration may record, recorded in another way.
    #[error("{at}: {what} cannot be recorded so: {instead}")]
    NotDeclared {
        /// The op.
        what: String,
        /// What to do instead.
        instead: &'static str,
        /// Where.
        at: Location<'static>,
    },
    /// A value with more numbers at one point than [`MAX_ELEMENTS`](crate::limits::MAX_ELEMENTS).
    #[error(
        "{at}: `{name}` would be {shape}, which is more than the {limit} numbers that one value can have"
    )]
    TooManyElements {
        /// The value, or the op that would give it.
        name: String,
        /// Its shape.
        shape: String,
        /// The limit.
        limit: usize,
        /// Where.
        at: Location<'static>,
    },
    /// A delay by more steps than [`MAX_DELAY`](crate::limits::MAX_DELAY).
    #[error("{at}: `{name}` would be delayed by {steps} steps; at most {limit} are possible")]
    DelayTooLong {
        /// The state, or the op.
        name: String,
        /// How many steps, either way.
        steps: usize,
        /// The limit.
        limit: usize,
        /// Where.
        at: Location<'static>,
    },
    /// A program of more ops than [`MAX_OPS`](crate::limits::MAX_OPS).
    #[error("{at}: the program has more than {limit} ops, which is as many as there can be")]
    TooManyOps {
        /// The limit.
        limit: usize,
        /// Where the first op beyond the limit was recorded.
        at: Location<'static>,
    },
    /// A run of more points than [`MAX_POINTS`](crate::limits::MAX_POINTS).
    #[error(
        "{steps} steps of {examples} examples are more than the {limit} points that a run can have"
    )]
    TooManyPoints {
        /// T
        steps: usize,
        /// B
        examples: usize,
        /// The limit.
        limit: usize,
    },
    /// A run that needs more memory than is available, or than its budget.
    #[error(
        "the run needs {:.1} GiB of memory, which cannot be had; fewer steps or examples need less",
        *bytes as f64 / (1u64 << 30) as f64
    )]
    Memory {
        /// Bytes that all its buffers take.
        bytes: u64,
    },
    /// A position that does not exist.
    #[error("there is no {what} {index}: the program has {count}")]
    NoSuch {
        /// `value`.
        what: &'static str,
        /// The position.
        index: usize,
        /// The number of positions.
        count: usize,
    },
    /// The adjoint of a value that is not observed.
    #[error("value {value} is not observed, so its adjoint is not kept: name it in `observing`")]
    NotObserved {
        /// The value's position on the tape.
        value: usize,
    },
    /// A recurrence whose delays point both ways in time.
    #[error(transparent)]
    BothWays(#[from] BothWays),
    /// An input over a domain that its role does not have.
    #[error("{at}: the input `{name}` cannot vary over {found}; it may vary over {may}")]
    InputDomain {
        /// The input.
        name: String,
        /// The domain that was asked for.
        found: String,
        /// Those that it may have.
        may: String,
        /// The user's line.
        at: Location<'static>,
    },
    /// An interval that an input's numbers cannot be drawn from, or one for a value that is no input.
    #[error(
        "{at}: {what} cannot be drawn from {}..{}: expected an input, and two finite numbers of which the second is greater",
        from.0, to.0
    )]
    InputRange {
        /// The value.
        what: String,
        /// The interval's beginning.
        from: Number,
        /// Its end.
        to: Number,
        /// The user's line.
        at: Location<'static>,
    },
    /// A value that the steps use but that is only known after all of them.
    #[error(
        "{what} is known only after the last step, but the steps of {states}, on which it depends, need it"
    )]
    AfterTheSteps {
        /// The value.
        what: String,
        /// The states on which it depends and that need it.
        states: String,
    },
    /// No steps or no examples.
    #[error("there is nothing to run: at least one {what} is needed")]
    NothingToRun {
        /// `step` or `example`.
        what: &'static str,
    },
    /// Too few or too many inputs or cotangents.
    #[error("the program has {expected} {what}, but {found} were given")]
    Count {
        /// `inputs` or `cotangents`.
        what: &'static str,
        /// The number that the program has.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A slice of the wrong length.
    #[error("{what} `{name}` needs {expected} numbers ({layout}), but {found} were given")]
    Length {
        /// `input` or `the cotangent of`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What the numbers are.
        layout: String,
        /// The expected length.
        expected: usize,
        /// The length given.
        found: usize,
    },
    /// An index that is not a row of its table, or an input that is used as an index and is not a whole number.
    #[error(
        "{index} is an index of the {rows} rows (0 to {}) of {table}, but{} it is {found}",
        rows.saturating_sub(1),
        place(*step, *row)
    )]
    Index {
        /// The input or value.
        index: String,
        /// The example, if the index varies over examples.
        row: Option<usize>,
        /// The step (counted from 0), if the index varies over steps.
        step: Option<usize>,
        /// The offending number.
        found: String,
        /// Rows of the table.
        rows: usize,
        /// The table.
        table: String,
    },
    /// `backward` or a frozen run before the first forward run.
    #[error("there are no values yet: run forward first")]
    NotRun,
    /// A gradient that differs from the central difference.
    #[error(
        "the gradient along {place} is {}, but the central difference is {} (tolerance {:e})",
        .analytic.0, .numeric.0, .tolerance.0
    )]
    Gradient {
        /// The input and the number within it, or the direction.
        place: String,
        /// The derivative from the backward run.
        analytic: Number,
        /// The derivative from differences of forward runs.
        numeric: Number,
        /// The tolerance.
        tolerance: Number,
    },
    /// No derivative could be compared with central differences.
    #[error("all {rejected} derivatives are too near a kink or too curved to be compared")]
    NearKink {
        /// The number of attempts.
        rejected: usize,
    },
}

/// ` at step 3 of row 1`: the place of a value.
fn place(step: Option<usize>, row: Option<usize>) -> String {
    match (step, row) {
        (Some(step), Some(row)) => format!(" at step {step} of row {row}"),
        (Some(step), None) => format!(" at step {step}"),
        (None, Some(row)) => format!(" in row {row}"),
        (None, None) => String::new(),
    }
}
