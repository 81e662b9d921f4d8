//! Errors of compiling and running.

use retrograd_graph::Target;
use retrograd_graph::passes::Refused;
use retrograd_tape::Tape;

/// A program that cannot be compiled.
///
/// ```
/// use retrograd_jit::{CompileError, CompiledCell, Observe, Options, Purpose};
/// use retrograd_tape::{Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// r.output("y", r.input("x", InputRole::Sequence, Shape::Scalar).tanh());
/// let tape = r.finish("squash")?;
/// let options = Options::default().with(|o| o.observe = vec![Observe::value("gate")]);
/// let error = CompiledCell::<f32>::compile_with(&tape, &Purpose::Forward, &options).unwrap_err();
/// assert!(matches!(error, CompileError::Observe(_)));
/// assert_eq!(error.to_string(), "cannot observe: `squash` has no value `gate`; it has `x`");
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A recurrence runs both ways in time, the name of a derivative is taken, or a program that is to run sample by
    /// sample needs later samples.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A program that is to run sample by sample has no work for a sample.
    #[error("`{program}` has nothing to do for a sample: no output over steps and no state")]
    Idle {
        /// The program's name.
        program: String,
    },
    /// The host does not run the requested target.
    #[error("this machine does not run code for the target `{target}`; its best is `{host}`")]
    Target {
        /// The requested target.
        target: Target,
        /// The best target that the host runs.
        host: Target,
    },
    /// There is no code generator for the host.
    #[error("no code can be generated for this machine: {what}: {source}")]
    Host {
        /// The property of the host that is at fault.
        what: String,
        /// The code generator's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An input or output that the differentiation names does not exist or cannot be used so.
    #[error("cannot differentiate: {0}")]
    Differentiate(String),
    /// A value that is to be observed does not exist, or its adjoint is not computed.
    #[error("cannot observe: {0}")]
    Observe(String),
    /// The code generator failed: a bug in this crate.
    #[error("the code generator failed on `{program}`: {why}")]
    Codegen {
        /// The program's name.
        program: String,
        /// The code generator's full message.
        why: String,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CompileError {
    pub(crate) fn host(
        what: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> CompileError {
        CompileError::Host {
            what: what.into(),
            source: source.into(),
        }
    }

    pub(crate) fn no_such_value(tape: &Tape, name: &str) -> CompileError {
        let (cell, names) = (tape.name(), tape.names().join("`, `"));
        CompileError::Observe(format!("`{cell}` has no value `{name}`; it has `{names}`"))
    }
}

/// A stepper that cannot be created.
///
/// ```
/// use retrograd_jit::{Stepper, StepperError};
/// use retrograd_tape::{Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
/// let h = r.state("h", Shape::Scalar, -1, None); // from the end of the sequence, which a stepper never sees
/// r.output("y", r.next(h, 0.5 * h + x));
/// let tape = r.finish("backward")?;
/// let error = Stepper::<f32>::new(&tape, 1, &[&[], &[]]).unwrap_err();
/// assert!(matches!(error, StepperError::Compile(_)));
/// assert!(error.to_string().starts_with("`backward` cannot be run sample by sample"));
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StepperError {
    /// The program cannot be compiled for a stepper.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Parameters, static inputs or initial states that do not fit.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A run that was rejected, or failed.
///
/// ```
/// use retrograd_jit::{CompiledCell, Purpose, RunError};
/// use retrograd_tape::{Extent, Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// r.output("y", r.input("x", InputRole::Sequence, Shape::Scalar).tanh());
/// let cell = CompiledCell::<f32>::compile(&r.finish("squash")?, &Purpose::Forward)?;
/// let error = cell.run(Extent::steps(2), &[&[0.0; 3]], &mut [&mut [0.0; 2]]).unwrap_err();
/// assert!(matches!(error, RunError::Length { expected: 2, found: 3, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// No steps or no rows.
    #[error("there must be at least one step and one row, and there are {t} steps and {b} rows")]
    Empty {
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// The budget is too small for every layout.
    #[error(
        "{t} steps of {b} rows need at least {least} bytes beyond the caller's arrays, and the budget is {budget} bytes"
    )]
    Budget {
        /// Bytes allowed.
        budget: usize,
        /// The fewest bytes that would suffice.
        least: usize,
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// More memory than is available or allowed: see [`Executor::set_memory_limit`](crate::Executor::set_memory_limit).
    #[error("{t} steps of {b} rows need {} beyond the caller's arrays, {}", gib(*needed), beyond(*limit))]
    Memory {
        /// Bytes needed.
        needed: usize,
        /// Bytes allowed; none if the allocation itself failed.
        limit: Option<usize>,
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// So many steps and rows that the addresses of their numbers would overflow.
    #[error("{t} steps of {b} rows are more numbers than can be addressed")]
    Extent {
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// The wrong number of arrays.
    #[error("the program has {expected} {what}, and {found} were given")]
    Count {
        /// `inputs` or `outputs`.
        what: &'static str,
        /// How many the program has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An array of the wrong length.
    #[error(
        "{what} `{name}` {layout} needs {expected} numbers for {t} steps and {b} rows, and has {found}"
    )]
    Length {
        /// `input` or `output`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its layout, in words.
        layout: String,
        /// Numbers needed.
        expected: usize,
        /// Numbers given.
        found: usize,
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// A run in two halves of a program that was compiled without cotangents as inputs.
    #[error(
        "`{program}` was compiled without cotangents, so its run has no second half to wait for them"
    )]
    NoCotangents {
        /// The program.
        program: String,
    },
    /// An input that one half of a run was given and the other was not.
    #[error("input `{name}` was given to one half of the run and not to the other")]
    OtherInputs {
        /// The input.
        name: String,
    },
    /// A state that the program does not have.
    #[error("there is no state `{name}`; the program has {}", list(known))]
    NoState {
        /// The name that was given.
        name: String,
        /// The program's states.
        known: Vec<String>,
    },
    /// A row that a stepper's samples do not have.
    #[error("there is no row {row}: a sample has {rows}")]
    NoRow {
        /// The row that was given, from 0.
        row: usize,
        /// Rows of a sample.
        rows: usize,
    },
    /// An index that the program computes is not, rounded, a row of its table. Compiled code does not record which one:
    /// `Tape::check_indices` finds its example and step.
    #[error("`{program}` computes an index that is no row of its table")]
    ComputedIndex {
        /// The program.
        program: String,
    },
    /// A row number (of an embedding) that is not an integer below the number of rows.
    #[error("input `{name}` holds row numbers below {rows}, but number {at} of it is {found}")]
    Index {
        /// The input.
        name: String,
        /// Rows of the table.
        rows: usize,
        /// Position of the number in the input.
        at: usize,
        /// Its value.
        found: String,
    },
}

/// A number of bytes for a message.
fn gib(bytes: usize) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn beyond(limit: Option<usize>) -> String {
    match limit {
        Some(limit) => format!("and there may be {}", gib(limit)),
        None => "for which the allocator has no room".into(),
    }
}

/// A list of names for a message.
fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => format!("`{}`", names.join("`, `")),
    }
}
