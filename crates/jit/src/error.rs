//! What can go wrong when a program is compiled or run.

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
    /// A recurrence runs both ways in time, a derivative's name is taken, or a program that is to run sample by sample needs
    /// later samples.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A program that is to run sample by sample has nothing to do for a sample.
    #[error("`{program}` has nothing to do for a sample: no output over steps and no state")]
    Idle {
        /// The program's name.
        program: String,
    },
    /// The machine does not run what it was to be compiled for.
    #[error("this machine does not run code for the target `{target}`; its best is `{host}`")]
    Target {
        /// What was asked for.
        target: Target,
        /// The best that this machine runs.
        host: Target,
    },
    /// There is no code generator for this machine.
    #[error("no code can be generated for this machine: {what}: {source}")]
    Host {
        /// What it is about.
        what: String,
        /// What the code generator said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An input or output that the differentiation names does not exist or cannot be used so.
    #[error("cannot differentiate: {0}")]
    Differentiate(String),
    /// A value that is to be observed does not exist, or its adjoint is not computed.
    #[error("cannot observe: {0}")]
    Observe(String),
    /// The code generator failed: a bug of this crate.
    #[error("the code generator failed on `{program}`: {why}")]
    Codegen {
        /// The program's name.
        program: String,
        /// All that it said.
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

/// A stepper that cannot be made.
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
    /// The program cannot be compiled for it.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Parameters, static inputs or initial states that do not fit.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A run that cannot be.
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
    /// The budget is too small for any way of running.
    #[error(
        "{t} steps of {b} rows need at least {least} bytes beyond the caller's arrays, and the budget is {budget} bytes"
    )]
    Budget {
        /// Bytes that there may be.
        budget: usize,
        /// The fewest bytes that would do.
        least: usize,
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// More memory than there is, or than the run may take: see [`Executor::set_memory_limit`](crate::Executor::set_memory_limit).
    #[error("{t} steps of {b} rows need {} beyond the caller's arrays, {}", gib(*needed), beyond(*limit))]
    Memory {
        /// Bytes needed.
        needed: usize,
        /// Bytes that there may be; none if the allocator had no room for fewer.
        limit: Option<usize>,
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// So many steps and rows that addresses cannot tell all their numbers apart.
    #[error("{t} steps of {b} rows are more numbers than can be addressed")]
    Extent {
        /// Steps.
        t: usize,
        /// Rows.
        b: usize,
    },
    /// More or fewer arrays than the program has.
    #[error("the program has {expected} {what}, and {found} were given")]
    Count {
        /// `inputs` or `outputs`.
        what: &'static str,
        /// How many it has.
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
    /// A state that the program does not have.
    #[error("there is no state `{name}`; the program has {}", list(known))]
    NoState {
        /// The name that was given.
        name: String,
        /// The program's states.
        known: Vec<String>,
    },
    /// An index that the program computes is, rounded, no row of its table. Compiled code does not know which one:
    /// `Tape::check_indices` finds its example and step.
    #[error("`{program}` computes an index that is no row of its table")]
    ComputedIndex {
        /// The program.
        program: String,
    },
    /// A row number (of an embedding) that is not a whole number below the number of rows.
    #[error("input `{name}` holds row numbers below {rows}, but number {at} of it is {found}")]
    Index {
        /// The input.
        name: String,
        /// Rows of the table.
        rows: usize,
        /// Which number.
        at: usize,
        /// What it is.
        found: String,
    },
}

/// Bytes for a message.
fn gib(bytes: usize) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn beyond(limit: Option<usize>) -> String {
    match limit {
        Some(limit) => format!("and there may be {}", gib(limit)),
        None => "for which the allocator has no room".into(),
    }
}

/// Names for a message.
fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => format!("`{}`", names.join("`, `")),
    }
}
