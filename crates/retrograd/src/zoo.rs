//! The cells of the question *what is the intuition behind LSTM networks?*, S1–S7: what to compare the question's memory with. Each is written with the public
//! builder and nothing else; a cell of your own is written the same way.
//!
//! In the equations, x is the input `[n]`, h the hidden state `[H]`, c the memory `[H]`, a prime marks the new value, ∘ is
//! the product component by component, σ the logistic sigmoid, and `name[x; h]` stands for W x + U h + b with W `[H, n]`,
//! U `[H, H]`, b `[H]`, the parameters `name.x`, `name.h` and `name.bias` (an input called otherwise gives its own name). States begin as zeros.

use retrograd_tape::{Shape, Var};

use crate::builder::Builder;
use crate::cell::Cell;
use crate::error::Error;
use crate::init::Init;

/// A recurrent part: takes the input and the number of hidden units, returns the new hidden state `[H]`.
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

/// A cell that can be asked for by name.
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

/// All cells, in the question's order.
///
/// ```
/// use retrograd::zoo::ENTRIES;
///
/// let grus: Vec<&str> = ENTRIES.iter().filter(|e| e.number == "S6").map(|e| e.name).collect();
/// assert_eq!(grus, ["gru", "gru_after"]);
/// ```
pub static ENTRIES: &[Entry] = &[
    Entry {
        name: "rnn",
        number: "S1",
        description: "plain recurrent network, one tanh layer",
        reference: "Elman, \"Finding structure in time\", Cognitive Science 14 (1990)",
        recurrence: rnn,
    },
    Entry {
        name: "keepwrite",
        number: "S2",
        description: "the question's LSTM: keep and write gates, read through a sigmoid",
        reference: QUESTION,
        recurrence: keepwrite,
    },
    Entry {
        name: "one_memory",
        number: "S3",
        description: "one layer makes the new memory of input, hidden state and memory",
        reference: QUESTION,
        recurrence: one_memory,
    },
    Entry {
        name: "one_memory_deep",
        number: "S3",
        description: "the same with a hidden tanh layer inside",
        reference: QUESTION,
        recurrence: one_memory_deep,
    },
    Entry {
        name: "one_hidden",
        number: "S4",
        description: "one layer makes the new hidden state of input, hidden state and memory",
        reference: QUESTION,
        recurrence: one_hidden,
    },
    Entry {
        name: "one_hidden_deep",
        number: "S4",
        description: "the same with a hidden tanh layer inside",
        reference: QUESTION,
        recurrence: one_hidden_deep,
    },
    Entry {
        name: "irnn",
        number: "S5",
        description: "rectified recurrent network whose recurrence starts as the identity",
        reference: "Le, Jaitly & Hinton, arXiv:1504.00941 (2015)",
        recurrence: irnn,
    },
    Entry {
        name: "gru",
        number: "S6",
        description: "gated recurrent unit, reset before the product",
        reference: "Cho et al., arXiv:1406.1078 (2014), equations 5-8",
        recurrence: gru,
    },
    Entry {
        name: "gru_after",
        number: "S6",
        description: "gated recurrent unit, reset after the product, as PyTorch and cuDNN have it",
        reference: "Cho et al., arXiv:1406.1078v1 (2014); torch.nn.GRU",
        recurrence: gru_after,
    },
    Entry {
        name: "lstm",
        number: "S7",
        description: "standard LSTM with input, forget and output gates, forget bias 1",
        reference: "Gers, Schmidhuber & Cummins, Neural Computation 12 (2000); forget bias: Jozefowicz et al., ICML 2015",
        recurrence: lstm,
    },
];

/// A cell that the program carries as a cell file, dimensions I (inputs) and, but for mLSTM, H (hidden units).
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

/// Cells beside the question's, as cell files.
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
pub static WRITTEN: &[Written] = &[
    Written {
        name: "peephole",
        description: "LSTM whose gates see the memory",
        text: include_str!("../cells/peephole.cell"),
    },
    Written {
        name: "lstmp",
        description: "LSTM whose hidden state is a projection of its memory",
        text: include_str!("../cells/lstmp.cell"),
    },
    Written {
        name: "lnlstm",
        description: "LSTM with layer normalisation",
        text: include_str!("../cells/lnlstm.cell"),
    },
    Written {
        name: "mingru",
        description: "minimal gated recurrence, element-wise in time",
        text: include_str!("../cells/mingru.cell"),
    },
    Written {
        name: "indrnn",
        description: "units that see their own past alone, element-wise in time",
        text: include_str!("../cells/indrnn.cell"),
    },
    Written {
        name: "sru",
        description: "simple recurrent unit: gates see their own unit's memory, element-wise in time",
        text: include_str!("../cells/sru.cell"),
    },
    Written {
        name: "mlstm",
        description: "matrix memory with exponential gates; dimension D",
        text: include_str!("../cells/mlstm.cell"),
    },
    Written {
        name: "lstm4",
        description: "four LSTM layers",
        text: include_str!("../cells/lstm4.cell"),
    },
];

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

/// A cell that forecasts the next row of a series: input "x" `[inputs]`, output "y" = V h' + d `[inputs]` with the
/// parameters `forecast.h` and `forecast.bias`, target "next" `[inputs]`, and as loss the mean squared error.
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

/// [`forecaster`] with dropout (Srivastava et al. 2014) of what the forecast is read from: in training, each element of h'
/// counts as 0 with probability `dropout` there, not in the recurrence (Zaremba et al., arXiv:1409.2329). 0 is none.
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

/// S1, the plain recurrent network (Elman 1990): h' = tanh(h[x; h]).
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("rnn", |c| c.output("y", zoo::rnn(c, c.input("x", 2), 4)))?;
/// assert_eq!(cell.parameter_count(), 4 * (2 + 4 + 1)); // W, U and b
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn rnn<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    c.next(h, c.dense("h", hidden, [x, h]).tanh())
}

/// S2, the question's LSTM, with gates for keeping and writing and a memory that is read through a sigmoid:
///
/// ```text
/// c' = σ(keep[x; h]) ∘ c + σ(write[x; h]) ∘ tanh(c_int[x; h])
/// h' = tanh(h_int[x; h]) ∘ σ(c')
/// ```
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("keepwrite", |c| c.output("y", zoo::keepwrite(c, c.input("x", 2), 4)))?;
/// assert_eq!(cell.new_states(), ["h'", "c'"]);
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn keepwrite<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let memory = gated_memory(c, x, h, hidden);
    c.next(h, read(c, x, h, memory, hidden))
}

/// S3, question 1: why not one network for the memory? `memory.c` is `[H, H]`.
///
/// ```text
/// c' = tanh(memory[x; h; c])
/// h' = tanh(h_int[x; h]) ∘ σ(c')
/// ```
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("one_memory", |c| c.output("y", zoo::one_memory(c, c.input("x", 2), 4)))?;
/// assert_eq!(cell.parameter_count(), 4 * (2 + 4 + 4 + 1) + 4 * (2 + 4 + 1)); // memory, h_int
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn one_memory<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let memory = c.state("c", hidden);
    let memory = c.next(memory, c.dense("memory", hidden, [x, h, memory]).tanh());
    c.next(h, read(c, x, h, memory, hidden))
}

/// S3 with one hidden layer of H units inside:
///
/// ```text
/// m  = tanh(memory_hidden[x; h; c])
/// c' = tanh(memory[m])
/// h' = tanh(h_int[x; h]) ∘ σ(c')
/// ```
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("one_memory_deep", |c| c.output("y", zoo::one_memory_deep(c, c.input("x", 2), 4)))?;
/// assert!(cell.parameter_specs().any(|p| p.name == "memory_hidden.c"));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn one_memory_deep<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let memory = c.state("c", hidden);
    let inner = c.dense("memory_hidden", hidden, [x, h, memory]).tanh();
    let inner = inner.named("memory_hidden");
    let memory = c.next(memory, c.dense("memory", hidden, [inner]).tanh());
    c.next(h, read(c, x, h, memory, hidden))
}

/// S4, question 2: why not one network for the hidden state? `hidden.c` is `[H, H]`.
///
/// ```text
/// c' = σ(keep[x; h]) ∘ c + σ(write[x; h]) ∘ tanh(c_int[x; h])
/// h' = tanh(hidden[x; h; c'])
/// ```
///
/// ```
/// use retrograd::{Cell, Shape, zoo};
///
/// let cell = Cell::define("one_hidden", |c| c.output("y", zoo::one_hidden(c, c.input("x", 2), 4)))?;
/// assert!(cell.parameter_specs().any(|p| p.name == "hidden.c" && p.shape == Shape::Matrix(4, 4)));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn one_hidden<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let memory = gated_memory(c, x, h, hidden);
    c.next(h, c.dense("hidden", hidden, [x, h, memory]).tanh())
}

/// S4 with one hidden layer of H units inside:
///
/// ```text
/// c' = σ(keep[x; h]) ∘ c + σ(write[x; h]) ∘ tanh(c_int[x; h])
/// g  = tanh(hidden_hidden[x; h; c'])
/// h' = tanh(hidden[g])
/// ```
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("one_hidden_deep", |c| c.output("y", zoo::one_hidden_deep(c, c.input("x", 2), 4)))?;
/// assert!(cell.parameter_specs().any(|p| p.name == "hidden_hidden.c"));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn one_hidden_deep<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let memory = gated_memory(c, x, h, hidden);
    let inner = c.dense("hidden_hidden", hidden, [x, h, memory]).tanh();
    let inner = inner.named("hidden_hidden");
    c.next(h, c.dense("hidden", hidden, [inner]).tanh())
}

/// S5, the IRNN (Le, Jaitly & Hinton 2015, section 3): h' = relu(h[x; h]), where U starts as the identity, b as zeros and
/// W normal with a standard deviation of 0.001.
///
/// ```
/// use retrograd::{Cell, Init, zoo};
///
/// let cell = Cell::define("irnn", |c| c.output("y", zoo::irnn(c, c.input("x", 2), 4)))?;
/// assert!(cell.parameter_specs().any(|p| p.name == "h.h" && p.init == Init::Identity));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn irnn<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let inputs = x.shape().map_or(1, Shape::len);
    let from_x = c.param_init("h.x", (hidden, inputs), Init::Normal(0.001));
    let from_h = c.param_init("h.h", (hidden, hidden), Init::Identity);
    let bias = c.param_init("h.bias", hidden, Init::Zeros);
    let h = c.state("h", hidden);
    c.next(h, (from_x.matvec(x) + from_h.matvec(h) + bias).relu())
}

/// S6, the GRU with the reset before the product (Cho et al. 2014, equations 5–8):
///
/// ```text
/// r  = σ(reset[x; h])
/// z  = σ(update[x; h])
/// n  = tanh(W x + U (r ∘ h) + b),    W, U, b = new.x, new.h, new.bias
/// h' = (1 − z) ∘ n + z ∘ h
/// ```
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("gru", |c| c.output("y", zoo::gru(c, c.input("x", 2), 4)))?;
/// assert_eq!(cell.parameter_count(), 3 * 4 * (2 + 4 + 1)); // reset, update, new
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn gru<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let reset = gate(c, "reset", x, h, hidden);
    let update = gate(c, "update", x, h, hidden);
    let new = c.dense("new", hidden, [x, (reset * h).named("h")]).tanh();
    c.next(h, (1.0 - update) * new + update * h)
}

/// S6, the GRU with the reset after the product, as PyTorch and cuDNN have it. It has a bias on either side of the
/// reset:
///
/// ```text
/// r  = σ(reset[x; h])
/// z  = σ(update[x; h])
/// n  = tanh(W x + b + r ∘ (U h + d)),    W, b, U, d = new.x, new.bias, new.h, new.h_bias
/// h' = (1 − z) ∘ n + z ∘ h
/// ```
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let cell = Cell::define("gru_after", |c| c.output("y", zoo::gru_after(c, c.input("x", 2), 4)))?;
/// assert_eq!(cell.parameter_count(), 3 * 4 * (2 + 4 + 1) + 4); // one more bias
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn gru_after<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let reset = gate(c, "reset", x, h, hidden);
    let update = gate(c, "update", x, h, hidden);
    let from_x = c.dense("new", hidden, [x]);
    let from_h = c.param("new.h", (hidden, hidden)).matvec(h) + c.param("new.h_bias", hidden);
    let new = (from_x + reset * from_h).tanh();
    c.next(h, (1.0 - update) * new + update * h)
}

/// S7, the standard LSTM (Gers et al. 2000), whose `forget.bias` starts as ones (Jozefowicz et al. 2015):
///
/// ```text
/// c' = σ(forget[x; h]) ∘ c + σ(input[x; h]) ∘ tanh(cell[x; h])
/// h' = σ(output[x; h]) ∘ tanh(c')
/// ```
///
/// ```
/// use retrograd::{Cell, Init, zoo};
///
/// let cell = Cell::define("lstm", |c| c.output("y", zoo::lstm(c, c.input("x", 2), 4)))?;
/// assert!(cell.parameter_specs().any(|p| p.name == "forget.bias" && p.init == Init::Constant(1.0)));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn lstm<'t>(c: &'t Builder, x: Var<'t>, hidden: usize) -> Var<'t> {
    let h = c.state("h", hidden);
    let memory = c.state("c", hidden);
    let input = gate(c, "input", x, h, hidden);
    let forget = gate(c, "forget", x, h, hidden);
    let cell = c.dense("cell", hidden, [x, h]).tanh().named("cell");
    let output = gate(c, "output", x, h, hidden);
    c.init("forget.bias", Init::Constant(1.0));
    let memory = c.next(memory, forget * memory + input * cell);
    c.next(h, output * memory.tanh())
}

/// c' of S2 and S4.
fn gated_memory<'t>(c: &'t Builder, x: Var<'t>, h: Var<'t>, hidden: usize) -> Var<'t> {
    let memory = c.state("c", hidden);
    let keep = gate(c, "keep", x, h, hidden);
    let write = gate(c, "write", x, h, hidden);
    let candidate = c.dense("c_int", hidden, [x, h]).tanh().named("c_int");
    c.next(memory, keep * memory + write * candidate)
}

/// h' of S2 and S3: what the new memory lets through.
fn read<'t>(c: &'t Builder, x: Var<'t>, h: Var<'t>, memory: Var<'t>, hidden: usize) -> Var<'t> {
    let candidate = c.dense("h_int", hidden, [x, h]).tanh().named("h_int");
    candidate * memory.sigmoid().named("read")
}

/// σ(name[x; h]), which can be observed under the layer's name.
fn gate<'t>(c: &'t Builder, name: &str, x: Var<'t>, h: Var<'t>, hidden: usize) -> Var<'t> {
    c.dense(name, hidden, [x, h]).sigmoid().named(name)
}
