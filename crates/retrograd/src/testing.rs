//! Checks of a cell's gradients, for your own tests (feature `testing`).
//!
//! [`check`] runs a cell on random rows, lengths and values, and for a cell file on random sizes, through every engine there is:
//! the interpreted tape against central differences in f64, the plan interpreter and compiled code in f64 and f32 against the tape,
//! forward against reverse mode, products with the Hessian against differences of gradients, a stepper against the sequence,
//! several threads, runs in two halves and within less memory against plain ones, rows of different lengths and with resets against
//! each row and segment alone, and a saved and loaded cell against itself.
//!
//! ```
//! use retrograd::testing::{self, CheckOptions};
//! use retrograd::Cell;
//!
//! let cell = Cell::define("leaky", |c| {
//!     let (x, h) = (c.input("x", 3), c.state("h", 4));
//!     let keep = c.dense("keep", 4, [x, h]).sigmoid();
//!     let h = c.next(h, keep * h + (1.0 - keep) * c.dense("new", 4, [x]).tanh());
//!     c.output("y", c.dense("read", 1, [h]));
//! })?;
//! let report = testing::check_with(&cell, &CheckOptions::default().cases(2))?;
//! assert!(report.passed(), "{report}");
//! let exact = report.properties.iter().find(|p| p.name == "f64").unwrap();
//! assert!(exact.cases == 2 && exact.worst < 1.0, "in units of the tolerance");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a test, `testing::check(&cell).unwrap().assert()` is enough: it panics with the whole report. A failure there is a bug of this
//! library, which the report shows in the fewest ops that still have it, as Rust and as a cell file, with the stage and the value at
//! which the engines part.
//!
//! What is no fault is told apart from one, and counted in [`PropertyReport::skipped`]: kinks near which a rounding decides between
//! two slopes, numbers that overflow on every engine, and chaotic recurrences that enlarge roundings. [`Report::findings`] tells
//! what is right but bites: gradients that explode or vanish, parameters without influence, gates that begin saturated, outputs that
//! depend on later steps.
//!
//! # Properties of your own
//!
//! [`strategies`] are those of `proptest` for shapes, lengths of rows, batches and whole programs:
//!
//! ```
//! use proptest::test_runner::TestRunner;
//! use retrograd::testing::strategies;
//! use retrograd::{Cell, Program};
//!
//! let cell = Cell::define("decay", |c| {
//!     let (x, h) = (c.input("x", 2), c.state("h", 2));
//!     c.output("y", c.next(h, 0.5 * h + x.tanh()));
//! })?;
//! let program: Program = cell.program().build()?;
//! TestRunner::default().run(&strategies::batches(&cell, 8, 3), |batch| {
//!     let mut session = program.session();
//!     let y = session.run(&[], &batch).unwrap().output("y").unwrap().to_vec();
//!     assert!(y.iter().all(|y| y.abs() <= 2.0), "|h| ≤ 1 / (1 - 0.5)");
//!     Ok(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod frame;
mod renewed;
mod saved;
pub mod strategies;
mod subjects;

pub use frame::Restored;
pub use retrograd_check::{
    CheckError, CheckOptions, DrawParameters, Failure, Finding, GradientFlow, Least, Outcome,
    PROPERTIES, Place, Program, Property, PropertyReport, Random, Report, Sample, Skip, Subject,
    Target,
};
#[cfg(feature = "text")]
pub use subjects::Sizes;

/// Checks a [`Cell`](crate::Cell), a [`CellText`](crate::CellText) or a tape on thirty cases, within some twenty seconds.
///
/// ```
/// use retrograd::{CellText, testing};
///
/// let text = CellText::parse("decay.cell", "cell decay(x[I]; h[I]) where I=2\nh' = 0.5 * h + tanh(x)\noutput y = h'")?;
/// testing::check(&text)?.assert(); // for I = 2 and others
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A program that cannot be recorded or compiled. A property that fails is no error: see [`Report::passed`].
pub fn check(subject: &(impl Subject + Restored)) -> Result<Report, CheckError> {
    check_with(subject, &CheckOptions::default())
}

/// As [`check`], on so many cases, of this seed, within this time.
///
/// # Errors
/// As [`check`]; no cases.
pub fn check_with(
    subject: &(impl Subject + Restored),
    options: &CheckOptions,
) -> Result<Report, CheckError> {
    let mut report = retrograd_check::check(subject, options)?;
    if options.properties.is_empty() {
        let own = [
            renewed::RENEWED.report(subject, options.seed)?,
            saved::SAVED.report(subject, options.seed)?,
        ];
        report.properties.extend(own.into_iter().flatten());
    }
    Ok(report)
}
