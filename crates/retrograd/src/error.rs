//! Errors from writing a cell to training it. Every variant is a mistake that the user can correct, and says what was expected and
//! what was found; a broken invariant of the library panics instead.

use std::panic::Location;
use std::path::PathBuf;

use retrograd_tape::TapeError;

use crate::files::size;
use retrograd_tape::Init;

/// A mistake in a cell, a batch, a setting or a file of parameters.
///
/// ```
/// use retrograd::{Adam, Batch, Error, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 2, 4)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// let batch = Batch::new(Extent::steps(1)).with("x", vec![0.0; 3]).with("next", vec![0.0; 2]);
/// match trainer.step(&batch) {
///     Err(Error::InputLength { name, count, found, .. }) => assert_eq!((&*name, count, found), ("x", 2, 3)),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Equations that do not fit together (the message names the values, their shapes and the user's line), or an index that is not
    /// a row of its table.
    #[error(transparent)]
    Cell(Box<TapeError>),
    /// A mistake in a cell file: the message shows the line, the place and what was expected.
    #[cfg(feature = "text")]
    #[error(transparent)]
    Text(Box<retrograd_text::TextError>),
    /// A dropout mask whose keep probability is out of range.
    #[error(
        "{at}: mask `{name}` keeps each element with probability {keep}; expected more than 0 and at most 1"
    )]
    KeepProbability {
        /// The mask.
        name: String,
        /// The probability that was given.
        keep: f64,
        /// The user's line.
        at: Location<'static>,
    },
    /// Weights that are to be dropped, of a layer that has already been used.
    #[error(
        "{at}: `{name}` has been used before it was to be dropped; `drop_connect` stands before the layer"
    )]
    DropAfter {
        /// The parameter.
        name: String,
        /// The user's line.
        at: Location<'static>,
    },
    /// An initialisation for a parameter that the cell does not have.
    #[error(
        "{at}: there is no parameter `{name}` to initialise; so far there are {}",
        list(known)
    )]
    NoSuchParameter {
        /// The name that was given.
        name: String,
        /// The parameters declared so far.
        known: Vec<String>,
        /// The user's line.
        at: Location<'static>,
    },
    /// A shared layer that uses a parameter in another shape than before.
    #[error(
        "{at}: the shared parameter `{name}` is {shape}; expected that shape again, found {found}"
    )]
    SharedShape {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: String,
        /// The shape that was asked for.
        found: String,
        /// The user's line.
        at: Location<'static>,
    },
    /// An initialisation that does not fit the parameter's shape, or whose number is out of range.
    #[error("{at}: parameter `{name}` {shape} cannot start as {init:?}: {needs}")]
    BadInit {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: String,
        /// The initialisation.
        init: Init,
        /// What it needs.
        needs: &'static str,
        /// The user's line.
        at: Location<'static>,
    },
    /// A cell without a loss, to be trained or differentiated.
    #[error("the cell `{cell}` has no loss to differentiate: say `c.loss(…)` in its definition")]
    NoLoss {
        /// The cell.
        cell: String,
    },
    /// A setting out of range.
    #[error("{what} is {found}; expected {expected}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// What was given.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A batch without steps or without examples.
    #[error("a batch needs at least one step and one example; found T = {t}, B = {b}")]
    EmptyBatch {
        /// Steps.
        t: usize,
        /// Examples.
        b: usize,
    },
    /// A batch that lacks an input of the cell.
    #[error("the batch has no array for the {role} `{name}`, expected {expected}")]
    MissingInput {
        /// The input.
        name: String,
        /// What the cell uses it for.
        role: &'static str,
        /// The array's axes and their lengths.
        expected: String,
    },
    /// A batch with an array that the cell does not know.
    #[error(
        "the batch has an array `{name}`, which the cell does not take; it takes {}",
        list(known)
    )]
    UnknownInput {
        /// The array.
        name: String,
        /// The arrays that the cell takes.
        known: Vec<String>,
    },
    /// An array given to a stepper's builder that is neither a static input nor an initial state.
    #[error(
        "`{name}` is {}; what can be given once and for all is {}",
        if *sampled { "no static input or beginning of a state: inputs come with each sample, to `step`" } else { "no input of the cell" },
        list(known)
    )]
    NotFixed {
        /// The array.
        name: String,
        /// Whether the cell has such an input, which comes with each sample.
        sampled: bool,
        /// The static inputs and initial states.
        known: Vec<String>,
    },
    /// An array of the wrong length.
    #[error("the {role} `{name}` has {found} elements; expected {count}, {expected}")]
    InputLength {
        /// The input.
        name: String,
        /// What the cell uses it for.
        role: &'static str,
        /// How many elements it should have.
        count: usize,
        /// The array's axes and their lengths.
        expected: String,
        /// How many it has.
        found: usize,
    },
    /// A parameter that the cell does not have.
    #[error("there is no parameter `{name}`; the cell has {}", list(known))]
    UnknownParameter {
        /// The name that was given.
        name: String,
        /// The cell's parameters.
        known: Vec<String>,
    },
    /// A parameter's values of the wrong number.
    #[error("parameter `{name}` is {shape}, {expected} values; found {found}")]
    ParameterLength {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: String,
        /// The number of its elements.
        expected: usize,
        /// The number of values given.
        found: usize,
    },
    /// A loss or gradient that is not finite. The parameters are those before that step.
    #[error(
        "the {what} became {value} at step {step}; the parameters are as they were before that step. \
         A smaller learning rate or gradient clipping may help"
    )]
    NonFinite {
        /// `loss` or `norm of the gradient`.
        what: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// The training step, the first being 1.
        step: u64,
    },
    /// A number in the optimiser's memory would not be finite. The parameters and the optimiser are those before that step.
    #[error(
        "{what} of parameter `{parameter}` would not be finite after step {step}: its gradient is too large to be squared or \
         summed; nothing has changed. Gradient clipping helps"
    )]
    Overflow {
        /// What the optimiser remembers.
        what: &'static str,
        /// The parameter.
        parameter: String,
        /// The training step, the first being 1.
        step: u64,
    },
    /// A parameter would not be finite after a step of the optimiser. The parameters are those before that step.
    #[error(
        "step {step} would make element {element} of parameter `{parameter}` {value}; the parameters are as they were before \
         that step. A smaller learning rate may help"
    )]
    Diverged {
        /// The parameter.
        parameter: String,
        /// Which element.
        element: usize,
        /// NaN or an infinity.
        value: f64,
        /// The training step, the first being 1.
        step: u64,
    },
    /// A batch with a number that is not finite, which makes the loss or its gradient so. The parameters have not changed.
    #[error(
        "the {role} `{name}` is {value} at step {t} of row {b}, and so is the loss or its gradient; nothing has changed. A weight \
         of 0 leaves steps out whose targets are missing"
    )]
    NonFiniteInput {
        /// The input.
        name: String,
        /// What the cell uses it for.
        role: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// The step, from 0; 0 for what does not vary over steps.
        t: usize,
        /// The row, from 0.
        b: usize,
    },
    /// An output of a sample that is not finite, from a stepper that was told to check. The sample has been processed.
    #[error(
        "the output `{name}` is {value} in row {row}, and so may its states be: `reset_row` resets them"
    )]
    NonFiniteOutput {
        /// The output.
        name: String,
        /// NaN or an infinity.
        value: f64,
        /// The row, from 0.
        row: usize,
    },
    /// Arrays that need more memory than there is.
    #[error("{what} need {}, which is more memory than there is", size(*bytes as u64))]
    NoMemory {
        /// Which arrays.
        what: &'static str,
        /// Bytes that they need.
        bytes: usize,
    },
    /// A flat vector of parameters of the wrong length.
    #[error("the {what} have {found} numbers; all parameters of the cell `{cell}` have {expected}")]
    ParameterCount {
        /// `parameters` or `elements of the direction`.
        what: &'static str,
        /// The cell.
        cell: String,
        /// The numbers in its parameters.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A batch whose weights of the loss sum to 0: the mean is 0 ÷ 0.
    #[error(
        "the weights of the loss sum to 0 in this batch: its mean loss is no number, and there is nothing to learn from it. \
         Leave it out"
    )]
    NoWeight,
    /// A parameter was set to a number that is not finite.
    #[error("parameter `{name}` cannot be {value}, as element {element} would be")]
    NonFiniteParameter {
        /// The parameter.
        name: String,
        /// Which element.
        element: usize,
        /// NaN or an infinity.
        value: f64,
    },
    /// A cotangent of what is no output of the cell, or none that the program was built for.
    #[error(
        "the cell `{cell}` takes no cotangent of `{name}`; it takes those of {}",
        list(known)
    )]
    UnknownOutput {
        /// The cell.
        cell: String,
        /// The name that was given.
        name: String,
        /// The outputs that may be given one.
        known: Vec<String>,
    },
    /// A run in two halves, requested from a program that was built without cotangents.
    #[error("no run in two halves here: say `cotangents(…)` when the program is built")]
    NoCotangents,
    /// A cell with a state whose declared start cannot be replaced by a carried value.
    #[error(
        "the state `{state}` of the cell `{cell}` begins as it declares; what takes its place is taken by `cell.carrying()`"
    )]
    NotCarrying {
        /// The cell.
        cell: String,
        /// The state.
        state: String,
    },
    /// A state that the cell does not have.
    #[error("there is no state `{name}` to carry; the states are {}", list(known))]
    NoSuchState {
        /// The name that was given.
        name: String,
        /// The states.
        known: Vec<String>,
    },
    /// Gradients that are not those of all parameters of the trained cell.
    #[error(
        "these gradients of the cell `{found}` are not those of all parameters of the cell `{cell}`"
    )]
    OtherGradients {
        /// The trained cell.
        cell: String,
        /// The cell of the gradients.
        found: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The path as given.
        path: PathBuf,
        /// The operating system's message.
        #[source]
        cause: std::io::Error,
    },
    /// A file that does not hold parameters.
    #[error("{}: not a file of parameters: {cause}", path.display())]
    NotParameters {
        /// The path as given.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file with another cell's parameters.
    #[error("{}: these parameters are not those of the cell `{cell}`: {difference}", path.display())]
    OtherParameters {
        /// The path as given.
        path: PathBuf,
        /// The cell that they were to be loaded into.
        cell: String,
        /// The first difference, expected and found.
        difference: String,
    },
    /// A checkpoint of another run.
    #[error("the saved run is another one: {difference}")]
    OtherTraining {
        /// The first difference, that of the file first.
        difference: String,
    },
    /// An error of compiled code, such as an index that is not a row of its table.
    #[error(transparent)]
    Run(#[from] retrograd_jit::RunError),
    /// A cell that cannot run sample by sample, such as one that reads the sequence from its end.
    #[error(transparent)]
    Stepper(#[from] retrograd_jit::StepperError),
    /// A cell that cannot be compiled.
    #[error("this cell cannot be compiled: {0}")]
    Compile(#[from] retrograd_jit::CompileError),
    /// A value to observe, or an input to differentiate with respect to, that the cell does not have.
    #[error("the cell `{cell}` has no {what} `{name}`; it has {}{}", list(known), hint(what, *is_value))]
    NoSuchValue {
        /// The cell.
        cell: String,
        /// `value` or `input`.
        what: &'static str,
        /// Whether an input was requested and there is a value of that name.
        is_value: bool,
        /// The name that was given.
        name: String,
        /// The names of the cell's values.
        known: Vec<String>,
    },
    /// A product with the Hessian, requested from a program that was not built for it or runs on the tape.
    #[error(
        "no products with the Hessian here: ask for them with `hessian_products()`, of compiled code"
    )]
    NoHessian,
    /// A name that no engine has.
    #[error("there is no engine `{name}`; the engines are `jit` and `tape`")]
    UnknownEngine {
        /// The name that was given.
        name: String,
    },
}

impl From<TapeError> for Error {
    fn from(e: TapeError) -> Error {
        Error::Cell(Box::new(e))
    }
}

fn hint(what: &str, is_value: bool) -> &'static str {
    match is_value && what == "input" {
        true => ". That is a value of the step: `observe(Observe::adjoint(…))` gives its gradient",
        false => "",
    }
}

/// Names for a message: "`a`, `b` and `c`", or "none".
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|n| format!("`{n}`")).collect();
            format!("{} and `{last}`", most.join(", "))
        }
    }
}
