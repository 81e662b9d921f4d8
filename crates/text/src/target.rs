//! The target that a cell file is recorded on.

use crate::build::SourceMap;
use retrograd_tape::{Domain, Init, InputRole, LossReduction, Op, Place, Recorder, Shape, Var};

/// A state's value before the first step.
#[derive(Clone, Copy, Debug)]
pub enum Initial<'t> {
    /// Zeros unless given.
    Given,
    /// A parameter called `<state>.init`.
    Learned,
    /// A value.
    Value(Var<'t>),
}

/// The target that a cell file is recorded on: a bare tape, or a builder that also keeps how parameters start. The
/// methods do not fail; after a mistake they return poisoned values, and finishing the recording returns the error.
pub trait RecordTarget {
    /// Says which place of the text everything is recorded from until the next call; returns the place before.
    fn at_place(&self, place: Option<Place>) -> Option<Place>;
    /// The number of the first text of a layer, in the places that it is recorded at.
    fn first_text(&self) -> u32 {
        0
    }
    /// Keeps the texts of a layer, whose numbers begin there.
    fn keep(&self, _texts: SourceMap) {}
    /// An input of any role except `Param`, `Mask` and `Initial`.
    fn input(&self, name: &str, role: InputRole, shape: Shape, domain: Domain) -> Var<'_>;
    /// A dropout mask that keeps an element with probability `keep`.
    fn mask(&self, name: &str, shape: Shape, keep: f64, domain: Domain) -> Var<'_>;
    /// A learned parameter.
    fn param(&self, name: &str, shape: Shape, start: Init) -> Var<'_>;
    /// Replaces a parameter's start.
    fn init(&self, name: &str, start: Init);
    /// A state: a value `delay` steps earlier.
    fn state<'t>(&'t self, name: &str, shape: Shape, delay: i32, init: Initial<'t>) -> Var<'t>;
    /// A state's next value; if it has no name, it is named after the state, with a prime.
    fn next<'t>(&'t self, state: Var<'t>, value: Var<'t>) -> Var<'t>;
    /// A number.
    fn constant(&self, value: f64, shape: Shape) -> Var<'_>;
    /// Any op.
    fn apply<'t>(&'t self, op: Op, operands: &[Var<'t>]) -> Var<'t>;
    /// A parameter that was declared before, also by a layer.
    fn parameter(&self, name: &str) -> Option<Var<'_>>;
    /// The sum of one product per operand, with parameters `<name>.<operand>`, plus `<name>.bias` if it has one. Operands
    /// come with the names that their matrices get; these are unique. With heads, operands `[heads, k]` have a product for
    /// each, operands `[k]` one with each head's matrix, and the sum is `[heads, n]`.
    fn dense<'t>(
        &'t self,
        name: &str,
        heads: Option<usize>,
        n: usize,
        operands: &[(&str, Var<'t>)],
        bias: bool,
    ) -> Var<'t>;
    /// A row of a learned table `[rows, n]`.
    fn embedding<'t>(&'t self, name: &str, rows: usize, n: usize, index: Var<'t>) -> Var<'t>;
    /// Outputs a value.
    fn output(&self, name: &str, v: Var<'_>);
    /// Adds a term to the loss, perhaps with a weight of its own.
    fn loss(&self, v: Var<'_>, weight: Option<Var<'_>>);
    /// Weighs the loss.
    fn weight(&self, v: Var<'_>);
    /// Makes the loss a sum.
    fn sum_loss(&self);
}

/// A bare tape: it records neither how parameters start nor how likely a mask keeps an element.
impl RecordTarget for Recorder {
    fn at_place(&self, place: Option<Place>) -> Option<Place> {
        Recorder::at_place(self, place)
    }
    fn input(&self, name: &str, role: InputRole, shape: Shape, domain: Domain) -> Var<'_> {
        self.input_over(name, role, shape, domain)
    }
    fn mask(&self, name: &str, shape: Shape, _: f64, domain: Domain) -> Var<'_> {
        self.input_over(name, InputRole::Mask, shape, domain)
    }
    fn param(&self, name: &str, shape: Shape, _: Init) -> Var<'_> {
        Recorder::param(self, name, shape)
    }
    fn init(&self, _: &str, _: Init) {}
    fn state<'t>(&'t self, name: &str, shape: Shape, delay: i32, init: Initial<'t>) -> Var<'t> {
        let init = match init {
            Initial::Given => None,
            Initial::Learned => Some(Recorder::param(self, &format!("{name}.init"), shape)),
            Initial::Value(v) => Some(v),
        };
        Recorder::state(self, name, shape, delay, init)
    }
    fn next<'t>(&'t self, state: Var<'t>, value: Var<'t>) -> Var<'t> {
        let next = Recorder::next(self, state, value);
        match state.name() {
            Some(name) => next.named(&format!("{name}'")),
            None => next,
        }
    }
    fn constant(&self, value: f64, shape: Shape) -> Var<'_> {
        Recorder::constant(self, value, shape)
    }
    fn apply<'t>(&'t self, op: Op, operands: &[Var<'t>]) -> Var<'t> {
        Recorder::apply(self, op, operands)
    }
    fn parameter(&self, name: &str) -> Option<Var<'_>> {
        Recorder::parameter(self, name)
    }
    fn dense<'t>(
        &'t self,
        name: &str,
        heads: Option<usize>,
        n: usize,
        operands: &[(&str, Var<'t>)],
        bias: bool,
    ) -> Var<'t> {
        let product = |(own, x): &(&str, Var<'t>)| {
            let columns = x
                .shape()
                .map_or(1, |s| s.axis(s.rank().max(1) - 1).unwrap_or(1));
            let shape = dense_shape(heads, &[n, columns]);
            let weight = Recorder::param(self, &format!("{name}.{own}"), shape);
            product(weight, *x)
        };
        let sum = operands.iter().map(product).reduce(|a, b| a + b);
        let shape = dense_shape(heads, &[n]);
        let bias = bias.then(|| Recorder::param(self, &format!("{name}.bias"), shape));
        let sum = match (sum, bias) {
            (Some(sum), Some(bias)) => sum + bias,
            (Some(v), None) | (None, Some(v)) => v,
            (None, None) => Recorder::constant(self, 0.0, shape),
        };
        sum.named(name)
    }
    fn embedding<'t>(&'t self, name: &str, rows: usize, n: usize, index: Var<'t>) -> Var<'t> {
        Recorder::param(self, name, Shape::Matrix(rows, n)).gather(index)
    }
    fn output(&self, name: &str, v: Var<'_>) {
        Recorder::output(self, name, v);
    }
    fn loss(&self, v: Var<'_>, weight: Option<Var<'_>>) {
        match weight {
            Some(weight) => self.weighted_loss(v, weight),
            None => Recorder::loss(self, v),
        }
    }
    fn weight(&self, v: Var<'_>) {
        Recorder::weight(self, v);
    }
    fn sum_loss(&self) {
        self.reduce_loss(LossReduction::Sum);
    }
}

/// The shape of a dense layer's matrix `[n, k]`, bias or sum `[n]`, with an axis for heads in front if it has any.
pub(crate) fn dense_shape(heads: Option<usize>, of: &[usize]) -> Shape {
    match (heads, of) {
        (None, &[n]) => Shape::Vector(n),
        (Some(h), &[n]) => Shape::Matrix(h, n),
        (None, &[n, k]) => Shape::Matrix(n, k),
        (Some(h), &[n, k]) => Shape::Tensor(h, n, k),
        _ => Shape::Scalar,
    }
}

/// A dense layer's product: a scalar counts as a vector of one, and all heads take the same vector.
pub(crate) fn product<'t>(weight: Var<'t>, x: Var<'t>) -> Var<'t> {
    let x = match x.shape() {
        Some(Shape::Scalar) => x.reshape(Shape::Vector(1)),
        _ => x,
    };
    match (weight.shape(), x.shape()) {
        (Some(Shape::Tensor(..)), Some(Shape::Vector(_))) => weight.einsum("hij,j->hi", x),
        _ => weight.matvec(x),
    }
}

/// The domain of a name in a cell file.
pub(crate) fn domain(name: &str) -> Option<Domain> {
    match name {
        "once" => Some(Domain::Once),
        "row" => Some(Domain::Row),
        "step" => Some(Domain::Step),
        _ => None,
    }
}
