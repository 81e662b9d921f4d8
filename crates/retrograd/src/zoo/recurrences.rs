//! The question's cells as functions: each declares its states and parameters, and returns the new hidden state.

use retrograd_tape::{Shape, Var};

use crate::builder::Builder;
use crate::init::Init;

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

/// h' of S2 and S3, which reads the new memory through a sigmoid.
fn read<'t>(c: &'t Builder, x: Var<'t>, h: Var<'t>, memory: Var<'t>, hidden: usize) -> Var<'t> {
    let candidate = c.dense("h_int", hidden, [x, h]).tanh().named("h_int");
    candidate * memory.sigmoid().named("read")
}

/// σ(name[x; h]), observable under the name of the layer.
fn gate<'t>(c: &'t Builder, name: &str, x: Var<'t>, h: Var<'t>, hidden: usize) -> Var<'t> {
    c.dense(name, hidden, [x, h]).sigmoid().named(name)
}
