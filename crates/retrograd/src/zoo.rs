//! Ready-made cells. [`ENTRIES`] has those of the question *what is the intuition behind LSTM networks?*, S1–S7, as functions that use
//! the public builder alone, as a cell of your own does; `WRITTEN` has others as cell files.
//!
//! In the equations, x is the input `[n]`, h the hidden state `[H]`, c the memory `[H]`, a prime marks the new value, ∘ is
//! the product component by component, σ the logistic sigmoid, and `name[x; h]` stands for W x + U h + b with W `[H, n]`,
//! U `[H, H]`, b `[H]`, the parameters `name.x`, `name.h` and `name.bias` (an input called otherwise gives its own name). States begin as zeros.

mod recurrences;

use retrograd_tape::Var;

use crate::builder::Builder;
use crate::cell::Cell;
use crate::error::Error;

pub use recurrences::{
    gru, gru_after, irnn, keepwrite, lstm, one_hidden, one_hidden_deep, one_memory,
    one_memory_deep, rnn,
};

/// The recurrent part of a cell: a function of the input and the number of hidden units that returns the new hidden state `[H]`.
///
/// ```
/// use retrograd::{Builder, Cell, Var, zoo};
///
/// fn leaky<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
///     let h = c.state("h", hidden);
///     c.next(h, 0.9 * h + c.dense("new", hidden, [x]).tanh())
/// }
/// let recurrences: [zoo::Recurrence; 2] = [leaky, zoo::gru];
/// for recurrence in recurrences {
///     let cell = Cell::define("either", |c| c.output("y", recurrence(c, c.input("x", 2), 4)))?;
///     assert_eq!(cell.new_states(), ["h'"]);
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
pub type Recurrence = for<'t> fn(&'t Builder, Var<'t>, usize) -> Var<'t>;

/// A cell of the question, with its name and origin.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let gru = zoo::find("gru").unwrap();
/// assert_eq!((gru.number, gru.description), ("S6", "gated recurrent unit, reset before the product"));
/// let cell = Cell::define(gru.name, |c| c.output("y", (gru.recurrence)(c, c.input("x", 2), 4)))?;
/// assert_eq!(cell.name(), "gru");
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its number in the question, S1–S7.
    pub number: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// Where it comes from.
    pub reference: &'static str,
    /// Its equations.
    pub recurrence: Recurrence,
}

const QUESTION: &str = "\"What is the intuition behind LSTM networks?\"";

/// A table of cells: name and function, number, description, reference.
macro_rules! entries {
    ($($cell:ident $number:literal $description:literal, $reference:expr;)*) => {
        &[$(Entry {
            name: stringify!($cell),
            number: $number,
            description: $description,
            reference: $reference,
            recurrence: $cell,
        }),*]
    };
}

/// The question's cells, in its order.
///
/// ```
/// use retrograd::zoo::ENTRIES;
///
/// let grus: Vec<&str> = ENTRIES.iter().filter(|e| e.number == "S6").map(|e| e.name).collect();
/// assert_eq!(grus, ["gru", "gru_after"]);
/// ```
pub static ENTRIES: &[Entry] = entries! {
    rnn "S1" "plain recurrent network, one tanh layer",
        "Elman, \"Finding structure in time\", Cognitive Science 14 (1990)";
    keepwrite "S2" "the question's LSTM: keep and write gates, read through a sigmoid",
        QUESTION;
    one_memory "S3" "one layer makes the new memory of input, hidden state and memory",
        QUESTION;
    one_memory_deep "S3" "the same with a hidden tanh layer inside",
        QUESTION;
    one_hidden "S4" "one layer makes the new hidden state of input, hidden state and memory",
        QUESTION;
    one_hidden_deep "S4" "the same with a hidden tanh layer inside",
        QUESTION;
    irnn "S5" "rectified recurrent network whose recurrence starts as the identity",
        "Le, Jaitly & Hinton, arXiv:1504.00941 (2015)";
    gru "S6" "gated recurrent unit, reset before the product",
        "Cho et al., arXiv:1406.1078 (2014), equations 5-8";
    gru_after "S6" "gated recurrent unit, reset after the product, as PyTorch and cuDNN have it",
        "Cho et al., arXiv:1406.1078v1 (2014); torch.nn.GRU";
    lstm "S7" "standard LSTM with input, forget and output gates, forget bias 1",
        "Gers, Schmidhuber & Cummins, Neural Computation 12 (2000); forget bias: Jozefowicz et al., ICML 2015";
};

/// A cell that is shipped as a cell file. Its dimensions are I (inputs) and H (hidden units), except for mLSTM, which has D.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let peephole = zoo::written("peephole").unwrap();
/// assert_eq!(peephole.description, "LSTM whose gates see the memory");
/// let cell = Cell::from_text(peephole.text, &[("I", 2), ("H", 8)])?;
/// assert_eq!(cell.new_states(), ["h'", "c'"]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[cfg(feature = "text")]
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Written {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// The cell file; its first lines say where the cell comes from.
    pub text: &'static str,
}

/// A table of cell files: name, which is the file's, and description.
#[cfg(feature = "text")]
macro_rules! written {
    ($($name:ident $description:literal;)*) => {
        &[$(Written {
            name: stringify!($name),
            description: $description,
            text: include_str!(concat!("../cells/", stringify!($name), ".cell")),
        }),*]
    };
}

/// Cells other than the question's, as cell files.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// for written in zoo::WRITTEN {
///     let cell = Cell::from_text(written.text, &[("I", 3)])?;
///     assert_eq!(cell.name(), written.name);
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
#[cfg(feature = "text")]
pub static WRITTEN: &[Written] = written! {
    peephole "LSTM whose gates see the memory";
    lstmp "LSTM whose hidden state is a projection of its memory";
    lnlstm "LSTM with layer normalisation";
    mingru "minimal gated recurrence, element-wise in time";
    indrnn "units that see their own past alone, element-wise in time";
    sru "simple recurrent unit: gates see their own unit's memory, element-wise in time";
    mlstm "matrix memory with exponential gates; dimension D";
    lstm4 "four LSTM layers";
};

/// The written cell of that name, if there is one.
///
/// ```
/// use retrograd::zoo;
///
/// assert!(zoo::written("lnlstm").is_some());
/// assert!(zoo::written("lstm").is_none(), "it is one of the question's: `find` has it");
/// ```
#[cfg(feature = "text")]
pub fn written(name: &str) -> Option<&'static Written> {
    WRITTEN.iter().find(|w| w.name == name)
}

/// The names of all cells, in the question's order.
///
/// ```
/// use retrograd::zoo;
///
/// assert!(zoo::names().all(|name| zoo::find(name).is_some()));
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|e| e.name)
}

/// The cell of that name, if there is one.
///
/// ```
/// use retrograd::zoo;
///
/// assert_eq!(zoo::find("lstm").unwrap().number, "S7");
/// assert!(zoo::find("peephole").is_none(), "it is a cell file: `written` has it");
/// ```
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|e| e.name == name)
}

/// A cell that forecasts the next row of a series, with input "x" `[inputs]`, output "y" = V h' + d `[inputs]` with the parameters
/// `forecast.h` and `forecast.bias`, target "next" `[inputs]`, and as loss the mean squared error.
///
/// ```
/// use retrograd::zoo;
///
/// let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 3, 8)?;
/// assert_eq!(cell.parameter_count(), 4 * 8 * (3 + 8 + 1) + 3 * (8 + 1));
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Cell`] if `inputs` or `hidden` is 0.
#[track_caller]
pub fn forecaster(entry: &Entry, inputs: usize, hidden: usize) -> Result<Cell, Error> {
    forecaster_with_dropout(entry, inputs, hidden, 0.0)
}

/// [`forecaster`] with dropout (Srivastava et al. 2014) between h' and the forecast, but not in the recurrence (Zaremba et al.,
/// arXiv:1409.2329): in training, the forecast reads each element of h' as 0 with probability `dropout`. 0 means no dropout.
///
/// ```
/// use retrograd::zoo;
///
/// let cell = zoo::forecaster_with_dropout(zoo::find("gru").unwrap(), 2, 8, 0.25)?;
/// assert_eq!(cell.keep_probabilities(), [0.75]);
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// # Errors
/// As [`forecaster`], and [`Error::KeepProbability`] unless `dropout` is at least 0 and less than 1.
#[track_caller]
pub fn forecaster_with_dropout(
    entry: &Entry,
    inputs: usize,
    hidden: usize,
    dropout: f64,
) -> Result<Cell, Error> {
    Cell::define(entry.name, |c| {
        let x = c.input("x", inputs);
        let h = (entry.recurrence)(c, x, hidden);
        let read = match dropout {
            0.0 => h,
            _ => (h * c.mask("dropout", hidden, 1.0 - dropout)).named("h"),
        };
        let y = c.dense("forecast", inputs, [read]);
        c.output("y", y);
        let next = c.target("next", inputs);
        c.loss((y - next).square().mean());
    })
}
