//! The builder: inputs, states, parameters and outputs of a cell.

mod declare;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use retrograd_tape::{
    Domain, Init, Input, InputRole, LossReduction, Op, Recorder, Shape, Tape, Value, Var,
};

use declare::InitialState;
pub use declare::{IntoShape, StateSpec};

use crate::error::Error;
use crate::init::unmet_need;
use crate::regularise::Drop;
use crate::scope::Scope;
#[cfg(feature = "text")]
use crate::texts::Texts;

/// Records a cell; [`Cell::define`](crate::Cell::define) passes it to the user's closure. Its methods never fail: `define` returns
/// the first mistake, with the user's line.
///
/// ```
/// use retrograd::{Cell, Init, StateSpec};
///
/// let cell = Cell::define("attention over two earlier steps", |c| {
///     let x = c.input("x", 3);
///     let place = c.static_input("place", 2); // the same at all steps of an example
///     let h = c.state("h", 8);
///     let before = c.state_with("g", 8, StateSpec::delay(2).init_learned());
///     let scale = c.param_init("scale", 8, Init::Constant(1.0));
///     let h = c.next(h, scale * c.dense("h", 8, [x, place, h, before]).tanh());
///     c.next(before, h);
///     let kept = h * c.mask("dropout", 8, 0.9);
///     let logits = c.dense("class", 4, [kept]);
///     c.output("class", logits.softmax());
///     let right = c.target("right", 4); // one-hot
///     c.loss(-(right * logits.softmax().ln()).sum());
///     c.weight(c.weight_input("w")); // 0 where a step does not count
/// })?;
/// assert!(cell.parameter_specs().any(|p| p.name == "g.init"));
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Builder {
    pub(crate) tape: Recorder,
    pub(crate) scope: RefCell<Scope>,
    /// What the first use of each shared layer calls its operands.
    pub(crate) shared: RefCell<HashMap<String, Vec<String>>>,
    inits: RefCell<Vec<(String, Shape, Init)>>,
    pub(crate) keeps: RefCell<Vec<(String, f64)>>,
    pub(crate) drops: RefCell<Vec<Drop>>,
    error: RefCell<Option<Error>>,
    /// The texts of layers, and the number of the first of each in the places of nodes.
    #[cfg(feature = "text")]
    pub(crate) texts: RefCell<Texts>,
    /// Sums recorded by `dense`, each with the state whose next value it is, if any.
    pub(crate) sums: RefCell<Vec<(Value, Option<Arc<str>>)>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("parameters", &self.inits.borrow())
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            tape: Recorder::new(),
            scope: RefCell::default(),
            shared: RefCell::default(),
            inits: RefCell::default(),
            keeps: RefCell::default(),
            drops: RefCell::default(),
            error: RefCell::default(),
            #[cfg(feature = "text")]
            texts: RefCell::default(),
            sums: RefCell::default(),
        }
    }

    /// The tape and, in the order of its inputs, the initialisation of each parameter and the keep probability of each mask.
    #[track_caller]
    pub(crate) fn finish(self, name: &str) -> Result<(Tape, Vec<Init>, Vec<f64>), Error> {
        let missing = |d: &&Drop| self.tape.parameter(&d.name).is_none();
        if let Some(d) = self.drops.borrow().iter().find(missing) {
            let known = self.inits.borrow().iter().map(|p| p.0.clone()).collect();
            self.fail(Error::NoSuchParameter {
                name: d.name.clone(),
                known,
                at: d.at,
            });
        }
        if let Some(e) = self.error.into_inner() {
            return Err(e);
        }
        let tape = self.tape.finish(name)?;
        // What was recorded without the builder, on a value's tape, has the default initialisation and is always kept.
        let (inits, keeps) = (self.inits.into_inner(), self.keeps.into_inner());
        let named = |role| tape.inputs().iter().filter(move |i| i.role == role);
        let init = |i: &Input| inits.iter().find(|p| *p.0 == *i.name).map(|p| p.2.clone());
        let keep = |i: &Input| keeps.iter().find(|m| *m.0 == *i.name).map(|m| m.1);
        let inits = named(InputRole::Param).map(|i| init(i).unwrap_or(Init::FanIn));
        let keeps = named(InputRole::Mask).map(|i| keep(i).unwrap_or(1.0));
        let (inits, keeps) = (inits.collect(), keeps.collect());
        Ok((tape, inits, keeps))
    }
}

/// Inputs, which a batch provides.
impl Builder {
    /// An input that varies over steps; a batch has `[T, B, shape]`.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl IntoShape) -> Var<'_> {
        self.tape
            .input(name, InputRole::Sequence, shape.into_shape())
    }

    /// An input that is the same at all steps of an example; a batch has `[B, shape]`.
    #[track_caller]
    pub fn static_input(&self, name: &str, shape: impl IntoShape) -> Var<'_> {
        self.tape.input(name, InputRole::Static, shape.into_shape())
    }

    /// A target, with which the loss compares an output at every step; a batch has `[T, B, shape]`.
    #[track_caller]
    pub fn target(&self, name: &str, shape: impl IntoShape) -> Var<'_> {
        self.tape.input(name, InputRole::Target, shape.into_shape())
    }

    /// A scalar weight of the loss at every step, for [`Builder::weight`]; a batch has `[T, B]`, or leaves it out for ones.
    #[track_caller]
    pub fn weight_input(&self, name: &str) -> Var<'_> {
        self.tape.input(name, InputRole::Weight, Shape::Scalar)
    }

    /// An input of any role and what it varies over. A target or a weight over [`Domain::Row`] has one value per example, `[B, shape]`:
    /// the label of a sequence, say. See [`Recorder::input_over`](retrograd_tape::Recorder::input_over) for what a role may have.
    ///
    /// ```
    /// use retrograd::{Cell, Domain, InputRole, zoo};
    ///
    /// let gru = zoo::find("gru").unwrap();
    /// let cell = Cell::define("classifier", |c| {
    ///     let h = gru.layer(c, "gru", c.input("x", 2), 8);
    ///     let logits = c.dense("logits", 3, [h.mean_to(Domain::Row), h.last()]);
    ///     c.output("logits", logits);
    ///     let label = c.input_over("label", InputRole::Target, 3, Domain::Row); // one-hot
    ///     c.loss(-(label * logits.softmax().ln()).sum()); // the mean over rows
    /// })?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn input_over(
        &self,
        name: &str,
        role: InputRole,
        shape: impl IntoShape,
        domain: Domain,
    ) -> Var<'_> {
        self.tape.input_over(name, role, shape.into_shape(), domain)
    }

    /// A dropout mask. In training, each element of each example and step is drawn as 1/keep with probability `keep`, else 0
    /// (inverted dropout: its mean is 1); otherwise it is 1. `keep` times the mask is 0 or 1 in training and its mean afterwards,
    /// as zoneout requires.
    #[track_caller]
    pub fn mask(&self, name: &str, shape: impl IntoShape, keep: f64) -> Var<'_> {
        self.mask_over(name, shape, keep, Domain::Step)
    }

    /// [`mask`](Self::mask) that varies over less than the steps: over [`Domain::Row`] each example drops the same elements at all its
    /// steps (variational dropout, Gal & Ghahramani 2016), over [`Domain::Once`] all examples do.
    #[track_caller]
    pub fn mask_over(
        &self,
        name: &str,
        shape: impl IntoShape,
        keep: f64,
        domain: Domain,
    ) -> Var<'_> {
        let name = self.scope.borrow().value(name);
        if !(keep > 0.0 && keep <= 1.0) {
            self.fail(Error::KeepProbability {
                name: name.clone(),
                keep,
                at: *Location::caller(),
            });
        }
        self.keeps.borrow_mut().push((name.clone(), keep));
        let shape = shape.into_shape();
        self.tape.input_over(&name, InputRole::Mask, shape, domain)
    }
}

/// States, which carry values across steps.
impl Builder {
    /// A state: the value passed to [`Builder::next`] one step earlier; at the first step zeros, or the array `[B, shape]` that the
    /// batch has under its name.
    #[track_caller]
    pub fn state(&self, name: &str, shape: impl IntoShape) -> Var<'_> {
        self.state_with(name, shape, StateSpec::delay(1))
    }

    /// A state with another delay or initial value. A learned initial value is a parameter called `<name>.init`, itself initialised
    /// with zeros.
    #[track_caller]
    pub fn state_with<'t>(
        &'t self,
        name: &str,
        shape: impl IntoShape,
        state: StateSpec<'t>,
    ) -> Var<'t> {
        let shape = shape.into_shape();
        let name = self.scope.borrow().value(name);
        let init = match state.init {
            InitialState::Given => None,
            InitialState::Learned => {
                Some(self.declare_param(&format!("{name}.init"), shape, Init::Zeros))
            }
            InitialState::Value(v) => Some(v),
        };
        let delay = match self.scope.borrow().reversed {
            true => state.delay.saturating_neg(),
            false => state.delay,
        };
        self.tape.state(&name, shape, delay, init)
    }

    /// Sets the next value of a state, and returns it for further use in this step. Messages call it by the state's name with a
    /// prime, unless it has a name of its own; a [`Builder::dense`] of it names its matrix after the state.
    #[track_caller]
    pub fn next<'t>(&'t self, state: Var<'t>, value: Var<'t>) -> Var<'t> {
        let next = self.tape.next(state, value);
        let (Some(name), Some(value)) = (state.name(), next.value()) else {
            return next;
        };
        for sum in self.sums.borrow_mut().iter_mut().filter(|s| s.0 == value) {
            sum.1.get_or_insert_with(|| name.clone());
        }
        next.named(&format!("{name}'"))
    }
}

/// Parameters.
impl Builder {
    /// A learned parameter, initialised with [`Init::FanIn`].
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl IntoShape) -> Var<'_> {
        self.param_init(name, shape, Init::FanIn)
    }

    /// A learned parameter with its initialisation.
    #[track_caller]
    pub fn param_init(&self, name: &str, shape: impl IntoShape, init: Init) -> Var<'_> {
        let shape = shape.into_shape();
        let name = self.scope.borrow().parameter(name);
        let init = self.in_scope(init);
        if self.scope.borrow_mut().first_use(&name)
            && let Some(shared) = self.tape.parameter(&name)
        {
            if shared.shape() == Some(shape) {
                return self.dropped(&name, shared);
            }
            self.fail(Error::SharedShape {
                name: name.clone(),
                shape: shared.shape().map_or(String::new(), |s| s.to_string()),
                found: shape.to_string(),
                at: *Location::caller(),
            });
            return self.tape.nothing();
        }
        let parameter = self.declare_param(&name, shape, init);
        self.dropped(&name, parameter)
    }

    /// Declares a parameter under its full name.
    #[track_caller]
    fn declare_param(&self, name: &str, shape: Shape, init: Init) -> Var<'_> {
        self.check_init(name, shape, &init);
        self.inits.borrow_mut().push((name.to_owned(), shape, init));
        self.tape.param(name, shape)
    }

    /// Changes the initialisation of a parameter declared earlier, gate by gate:
    ///
    /// ```
    /// use retrograd::{Cell, Init, zoo};
    ///
    /// let cell = Cell::define("long", |c| {
    ///     let h = zoo::find("lstm").unwrap().layer(c, "l", c.input("x", 2), 8);
    ///     c.init("l.forget.h", Init::Orthogonal(0.5));
    ///     c.init("l.forget.bias", Init::chrono(784.0));
    ///     c.init("l.input.bias", Init::chrono(784.0).negative().like("l.forget.bias"));
    ///     c.output("y", h);
    /// })?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn init(&self, name: &str, init: Init) {
        let name = &self.scope.borrow().parameter(name);
        let init = self.in_scope(init);
        let found = self.inits.borrow_mut().iter_mut().find_map(|p| {
            (p.0 == *name).then(|| {
                p.2 = init.clone();
                p.1
            })
        });
        match found {
            Some(shape) => self.check_init(name, shape, &init),
            None => self.no_such_parameter(name),
        }
    }

    /// The same with the full name of the parameter whose random numbers it has.
    #[track_caller]
    fn in_scope(&self, init: Init) -> Init {
        let Init::Like(other, init) = init else {
            return init;
        };
        let full = self.scope.borrow().parameter(&other);
        if self.inits.borrow().iter().all(|p| p.0 != full) {
            self.no_such_parameter(&full);
        }
        Init::Like(full, init)
    }

    #[track_caller]
    fn no_such_parameter(&self, name: &str) {
        let known = self.inits.borrow().iter().map(|p| p.0.clone()).collect();
        self.fail(Error::NoSuchParameter {
            name: name.to_owned(),
            known,
            at: *Location::caller(),
        });
    }

    /// The parameter of this name, if one has been declared: to weigh a layer's matrix in the loss, or to use one matrix twice.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let cell = Cell::define("penalised", |c| {
    ///     let x = c.input("x", 3);
    ///     let y = c.dense("y", 3, [x]);
    ///     let weights = c.parameter("y.x").expect("the layer has made it");
    ///     c.loss((y - x).square().mean() + 1e-4 * weights.square().sum());
    ///     c.output("y", y);
    /// })?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    pub fn parameter(&self, name: &str) -> Option<Var<'_>> {
        self.tape.parameter(&self.scope.borrow().parameter(name))
    }

    #[track_caller]
    fn check_init(&self, name: &str, shape: Shape, init: &Init) {
        if let Some(needs) = unmet_need(init, shape) {
            self.fail(Error::BadInit {
                name: name.to_owned(),
                shape: shape.to_string(),
                init: init.clone(),
                needs,
                at: *Location::caller(),
            });
        }
    }

    /// Records a mistake, unless there was one before.
    pub(crate) fn fail(&self, e: Error) {
        if !self.tape.has_failed() {
            self.error.borrow_mut().get_or_insert(e);
        }
    }
}

/// Values and results.
impl Builder {
    /// A constant, the same number in every element.
    #[track_caller]
    pub fn constant(&self, value: f64, shape: impl IntoShape) -> Var<'_> {
        self.tape.constant(value, shape.into_shape())
    }

    /// Applies any op of the table; the operators and methods of [`Var`] cover most of them.
    #[track_caller]
    pub fn apply<'t>(&'t self, op: Op, operands: &[Var<'t>]) -> Var<'t> {
        self.tape.apply(op, operands)
    }

    /// Declares an output, `[T, B, shape]`. The final value of a state already is an output, under the state's name, which no other
    /// output may have.
    #[track_caller]
    pub fn output(&self, name: &str, v: Var<'_>) {
        self.tape.output(name, v);
    }

    /// Adds a scalar to the loss. Over a batch, losses of each step are averaged over the steps of all examples, as
    /// [`Builder::weight`] weighs them; losses of each example (of what its steps sum up to, say) over examples; and a scalar of the
    /// parameters alone, a penalty, is added as it is.
    #[track_caller]
    pub fn loss(&self, v: Var<'_>) {
        self.tape.loss(v);
    }

    /// Adds a loss with a weight of its own: Σ weight·loss ÷ Σ weight over the steps, or examples, that the two vary over. What
    /// [`Builder::weight`] says holds for each such loss apart from the others.
    #[track_caller]
    pub fn weighted_loss(&self, v: Var<'_>, weight: Var<'_>) {
        self.tape.weighted_loss(v, weight);
    }

    /// Weights the loss of every example and step by a scalar of any sign: the loss of a batch is Σ weight·loss ÷ Σ weight over its
    /// steps and examples. A weight of 0 masks a step: its targets are not read and may be NaN, infinite, or no row of a table;
    /// they change neither the loss nor a gradient. A batch whose weights sum to 0 is an error,
    /// [`Error::NoWeight`](crate::Error::NoWeight).
    #[track_caller]
    pub fn weight(&self, v: Var<'_>) {
        self.tape.weight(v);
    }

    /// Sums instead of averaging: the loss of a batch is Σ weight·loss.
    pub fn sum_loss(&self) {
        self.tape.reduce_loss(LossReduction::Sum);
    }
}
