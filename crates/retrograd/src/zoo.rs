//! Ready-made cells, as cell files that hold the recurrence alone: [`ENTRIES`]. Those of the question *what is the intuition behind
//! LSTM networks?*, S1–S7, come first. A cell file uses them by `use lstm`, the builder by [`Entry::layer`].
//!
//! In the files, x is the input `[I]`, h the hidden state `[H]`, c the memory `[H]`, and a prime marks the new value.
//! `dense(x, h)` in an equation for `gate` stands for W x + U h + b with the parameters `gate.x` `[H, I]`, `gate.h` `[H, H]` and
//! `gate.bias` `[H]`. States begin as zeros.

mod forecaster;

use retrograd_tape::Var;

use crate::builder::Builder;
use crate::cellfile::CellText;
use crate::error::Error;

pub use forecaster::{ForecastLoss, Forecaster, forecaster, forecaster_with_dropout};

/// A cell of the zoo.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let gru = zoo::find("gru").unwrap();
/// assert_eq!((gru.number, gru.description), (Some("S6"), "gated recurrent unit, reset before the product"));
/// let cell = Cell::define(gru.name, |c| c.output("y", gru.layer(c, "", c.input("x", 2), 4)))?;
/// assert_eq!(cell.parameter_count(), 3 * 4 * (2 + 4 + 1)); // reset, update, new
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its number in the question, S1–S7, if it is one of the question's.
    pub number: Option<&'static str>,
    /// What it is, in one line.
    pub description: &'static str,
    /// Where it comes from.
    pub reference: &'static str,
    /// The cell file.
    pub text: &'static str,
}

/// A table of cells: name, which is the file's, number, description, reference.
macro_rules! entries {
    ($($cell:ident $($number:literal)? : $description:literal, $reference:expr;)*) => {
        &[$(Entry {
            name: stringify!($cell),
            number: [$(Some($number),)? None][0],
            description: $description,
            reference: $reference,
            text: include_str!(concat!("../cells/", stringify!($cell), ".cell")),
        }),*]
    };
}

const QUESTION: &str = "\"What is the intuition behind LSTM networks?\"";

/// All cells; the question's come first, in its order.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// for entry in zoo::ENTRIES {
///     let cell = Cell::from_text(entry.text, &[("I", 3)])?;
///     assert_eq!(cell.name(), entry.name);
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
pub static ENTRIES: &[Entry] = entries! {
    rnn "S1": "plain recurrent network, one tanh layer",
        "Elman, \"Finding structure in time\", Cognitive Science 14 (1990)";
    keepwrite "S2": "the question's LSTM: keep and write gates, read through a sigmoid",
        QUESTION;
    one_memory "S3": "one layer makes the new memory of input, hidden state and memory",
        QUESTION;
    one_memory_deep "S3": "the same with a hidden tanh layer inside",
        QUESTION;
    one_hidden "S4": "one layer makes the new hidden state of input, hidden state and memory",
        QUESTION;
    one_hidden_deep "S4": "the same with a hidden tanh layer inside",
        QUESTION;
    irnn "S5": "rectified recurrent network whose recurrence starts as the identity",
        "Le, Jaitly & Hinton, arXiv:1504.00941 (2015)";
    gru "S6": "gated recurrent unit, reset before the product",
        "Cho et al., arXiv:1406.1078 (2014), equations 5-8";
    gru_after "S6": "gated recurrent unit, reset after the product, as PyTorch and cuDNN have it",
        "Cho et al., arXiv:1406.1078v1 (2014); torch.nn.GRU";
    lstm "S7": "standard LSTM with input, forget and output gates, forget bias 1",
        "Gers, Schmidhuber & Cummins, Neural Computation 12 (2000); forget bias: Jozefowicz et al., ICML 2015";
    peephole: "LSTM whose gates see the memory",
        "Gers & Schmidhuber, \"Recurrent nets that time and count\", IJCNN 2000";
    lstmp: "LSTM whose hidden state is a projection of its memory",
        "Sak, Senior & Beaufays, Interspeech 2014";
    lnlstm: "LSTM with layer normalisation",
        "Ba, Kiros & Hinton, arXiv:1607.06450 (2016)";
    mingru: "minimal gated recurrence, element-wise in time",
        "Feng et al., arXiv:2410.01201 (2024), section 3.1";
    indrnn: "units that see their own past alone, element-wise in time",
        "Li et al., \"Independently recurrent neural network\", CVPR 2018";
    sru: "simple recurrent unit: gates see their own unit's memory, element-wise in time",
        "Lei et al., arXiv:1709.02755 (2018)";
    mlstm: "matrix memory with exponential gates; dimension D",
        "Beck et al., \"xLSTM\", arXiv:2405.04517 (2024), equations 19-27";
    lstm4: "four LSTM layers",
        "Graves, Mohamed & Hinton, ICASSP 2013";
};

/// The names of all cells.
///
/// ```
/// use retrograd::zoo;
///
/// assert!(zoo::names().all(|name| zoo::find(name).is_some()));
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|e| e.name)
}

/// The question's cells, in its order.
///
/// ```
/// use retrograd::zoo;
///
/// let grus: Vec<&str> = zoo::question().filter(|e| e.number == Some("S6")).map(|e| e.name).collect();
/// assert_eq!(grus, ["gru", "gru_after"]);
/// ```
pub fn question() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().filter(|e| e.number.is_some())
}

/// The cell of that name, if there is one.
///
/// ```
/// use retrograd::zoo;
///
/// assert_eq!(zoo::find("lstm").unwrap().number, Some("S7"));
/// assert!(zoo::find("LSTM").is_none());
/// ```
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|e| e.name == name)
}

impl Entry {
    /// The cell file, parsed.
    ///
    /// # Errors
    /// None: every file of the zoo is right.
    pub fn parsed(&self) -> Result<CellText, Error> {
        CellText::parse(&format!("{}.cell", self.name), self.text)
    }

    /// The dimension that counts its units: H, or D for a matrix memory.
    pub fn units(&self) -> &'static str {
        match self.name {
            "mlstm" => "D",
            _ => "H",
        }
    }

    /// The cell as a layer with so many units: the new hidden state for an input x. The names of its states and parameters begin
    /// with `name` and a dot, unless it is empty. See [`Builder::layer`].
    ///
    /// ```
    /// use retrograd::{Cell, zoo};
    ///
    /// let lstm = zoo::find("lstm").unwrap();
    /// let cell = Cell::define("two layers", |c| {
    ///     let below = lstm.layer(c, "l1", c.input("x", 2), 8);
    ///     c.output("y", lstm.layer(c, "l2", below, 4));
    /// })?;
    /// assert!(cell.parameter_specs().any(|p| p.name == "l2.forget.h"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn layer<'t>(&self, c: &'t Builder, name: &str, x: Var<'t>, units: usize) -> Var<'t> {
        match self.parsed() {
            Ok(text) => c.layer(name, &text, [x], &[(self.units(), units)]),
            Err(e) => c.poison(e),
        }
    }
}
