//! [`Program`]: a cell compiled for what a caller requests: gradients of any input, values and adjoints inside the step, products
//! with the Hessian.

use std::sync::Arc;

use retrograd_graph::{Options, Unroll};
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{InputRole, Observe, OutputRole, Tape, Value};

use crate::cell::Cell;
use crate::engine::Engine;
use crate::error::Error;
use crate::numbers::Float;
use crate::precision::Precision;
use crate::split::Split;

/// A cell compiled for the results that a [`ProgramBuilder`] requests. It is immutable, cheap to clone, and serves any number of
/// threads at once, each with a [`Session`](crate::Session) of its own.
///
/// ```
/// use retrograd::{Batch, Cell, Extent, Observe};
///
/// let cell = Cell::define("leaky", |c| {
///     let x = c.input("x", ());
///     let h = c.state("h", ());
///     let gate = c.dense("gate", 1, [x, h]).sigmoid().sum().named("gate");
///     let h = c.next(h, gate * h + x);
///     c.loss(h.square());
/// })?;
/// let program = cell
///     .program()
///     .gradients(["x", "gate.x"])
///     .observe(Observe::value("gate"))
///     .hessian_products()
///     .double()
///     .build()?;
///
/// let parameters: Vec<f64> = cell.initial_parameters(1)?;
/// let batch = Batch::new(Extent::steps(3)).with("x", vec![1.0, 0.5, -0.5]);
/// let mut session = program.session();
/// let results = session.run(&parameters, &batch)?;
/// assert_eq!(results.gradient("x").unwrap().len(), 3);
/// assert!(results.observed(&Observe::value("gate")).unwrap().iter().all(|g| (0.0..1.0).contains(g)));
/// let direction = vec![1.0; parameters.len()];
/// let product = session.hessian_product(&parameters, &batch, &direction)?;
/// assert_eq!(product.len(), parameters.len());
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// A trained cell, from four threads:
///
/// ```
/// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 1, 8)?;
/// let trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// // … training …
/// let (program, parameters) = (trainer.cell().program().gradients(["x"]).build()?, trainer.parameters());
/// std::thread::scope(|s| {
///     for k in 0..4 {
///         let mut session = program.session(); // a workspace of its own
///         s.spawn(move || {
///             let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1 * k as f32; 2]).with("next", vec![0.2; 2]);
///             session.run(parameters, &batch).map(|results| results.gradient("x").map(<[f32]>::to_vec))
///         });
///     }
/// });
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone)]
pub struct Program<T: Float = f32> {
    pub(crate) shared: Arc<ProgramData<T>>,
}

pub(crate) struct ProgramData<T: Float> {
    pub(crate) cell: Cell,
    pub(crate) request: Request,
    pub(crate) code: ProgramCode<T>,
}

/// The engine.
pub(crate) enum ProgramCode<T: Float> {
    Jit {
        first: CompiledCell<T>,
        /// For products with the Hessian.
        second: Option<CompiledCell<T>>,
    },
    Tape(Precision),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) gradients: Vec<String>,
    pub(crate) observe: Vec<Observe>,
    hessian: bool,
    /// The outputs whose cotangents the caller gives, if runs are in two halves.
    pub(crate) cotangents: Option<Vec<String>>,
}

impl Request {
    /// Whether the request needs derivatives of the loss.
    pub(crate) fn differentiates(&self) -> bool {
        let adjoint = |o: &Observe| matches!(o, Observe::Adjoint(_));
        !self.gradients.is_empty() || self.observe.iter().any(adjoint)
    }

    fn purpose(&self) -> Purpose {
        match (&self.cotangents, self.differentiates()) {
            (Some(given), _) => Purpose::Gradients {
                given: given.clone(),
                loss: false,
                wrt: self.gradients.clone(),
            },
            (None, false) => Purpose::Forward,
            (None, true) => Purpose::Gradients {
                given: Vec::new(),
                loss: true,
                wrt: self.gradients.clone(),
            },
        }
    }
}

/// The results that a [`Program`] computes besides outputs, loss and final states; [`Cell::program`] makes one.
///
/// ```
/// use retrograd::{Engine, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 2, 8)?;
/// let program = cell.program().parameter_gradients().engine(Engine::Tape).build()?;
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProgramBuilder<'a, T: Float = f32> {
    cell: &'a Cell,
    request: Request,
    engine: Engine,
    unroll: Unroll,
    flush: bool,
    precision: Precision,
    of: std::marker::PhantomData<T>,
}

impl Cell {
    /// Starts a request for a program. By default it computes outputs, loss and final states, compiled, in f32.
    pub fn program(&self) -> ProgramBuilder<'_> {
        ProgramBuilder {
            cell: self,
            request: Request::default(),
            engine: Engine::default(),
            unroll: Unroll::AUTO,
            flush: true,
            precision: Precision::Full,
            of: std::marker::PhantomData,
        }
    }
}

impl<'a, T: Float> ProgramBuilder<'a, T> {
    /// Requests gradients of the loss with respect to these parameters, inputs, static inputs, targets, or initial states: by the
    /// state's name, or `<state>.init` if the initial state is learned. Gradients of values inside the step are adjoints; see
    /// [`observe`](Self::observe).
    #[must_use]
    pub fn gradients<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for name in names {
            if !self.request.gradients.iter().any(|known| known == name) {
                self.request.gradients.push(name.to_owned());
            }
        }
        self
    }

    /// Requests gradients of the loss with respect to all parameters.
    #[must_use]
    pub fn parameter_gradients(self) -> Self {
        let cell = self.cell;
        self.gradients(cell.parameter_specs().map(|p| p.name))
    }

    /// Lets runs stop between forward and backward half and wait for cotangents of these outputs, of final states, by
    /// the states' names, or of the loss, which is called `loss`: [`Session::forward`](crate::Session::forward). The
    /// cell needs no loss. [`Session::run`](crate::Session::run) still runs both halves, with 1 for the loss and zeros
    /// for the others.
    #[must_use]
    pub fn cotangents<'n>(mut self, outputs: impl IntoIterator<Item = &'n str>) -> Self {
        let all = self.request.cotangents.get_or_insert_default();
        for name in outputs {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        self
    }

    /// [`cotangents`](Self::cotangents) of all outputs and final states, and of the loss if there is one.
    #[must_use]
    pub fn all_cotangents(self) -> Self {
        let cell = self.cell;
        self.cotangents(cell.tape().outputs().iter().map(|o| &*o.name))
    }

    /// Requests a value inside the step, or its adjoint, by the name that [`Var::named`](crate::Var::named) gave it.
    #[must_use]
    pub fn observe(mut self, observe: Observe) -> Self {
        if !self.request.observe.contains(&observe) {
            self.request.observe.push(observe);
        }
        self
    }

    /// Requests products of the Hessian of the loss, with respect to all parameters, with vectors:
    /// [`Session::hessian_product`](crate::Session::hessian_product).
    #[must_use]
    pub fn hessian_products(mut self) -> Self {
        self.request.hessian = true;
        self
    }

    /// The engine.
    #[must_use]
    pub fn engine(self, engine: Engine) -> Self {
        ProgramBuilder { engine, ..self }
    }

    /// The number of steps in an unrolled iteration of a recurrence's compiled loop; results are bitwise the same for any factor.
    #[must_use]
    pub fn unroll(self, unroll: Unroll) -> Self {
        ProgramBuilder { unroll, ..self }
    }

    /// Whether compiled code in f32 flushes states; see [`TrainerBuilder::flush`](crate::TrainerBuilder::flush).
    #[must_use]
    pub fn flush(self, flush: bool) -> Self {
        ProgramBuilder { flush, ..self }
    }

    /// The precision of what products with weights multiply; see [`Precision`]. By default nothing is rounded.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        ProgramBuilder { precision, ..self }
    }

    /// Runs in f64.
    #[must_use]
    pub fn double(self) -> ProgramBuilder<'a, f64> {
        ProgramBuilder {
            cell: self.cell,
            request: self.request,
            engine: self.engine,
            unroll: self.unroll,
            flush: self.flush,
            precision: self.precision,
            of: std::marker::PhantomData,
        }
    }

    /// Compiles it.
    ///
    /// # Errors
    /// [`Error::NoLoss`] if the request needs one, [`Error::NoSuchValue`] for a name that the cell does not have,
    /// [`Error::Compile`], and [`Error::NoHessian`] for [`hessian_products`](Self::hessian_products) of the interpreted tape;
    /// [`Error::UnknownOutput`] for cotangents of what is no output, and [`Error::Setting`] for cotangents together with
    /// [`observe`](Self::observe).
    #[inline(never)]
    pub fn build(self) -> Result<Program<T>, Error> {
        let (cell, mut request) = (self.cell, self.request);
        let tape = cell.tape();
        for name in request.cotangents.iter().flatten() {
            if tape.output(name).is_none() {
                return Err(Error::UnknownOutput {
                    cell: cell.name().to_owned(),
                    name: name.clone(),
                    known: tape.outputs().iter().map(|o| o.name.to_string()).collect(),
                });
            }
        }
        if request.cotangents.is_some() && !request.observe.is_empty() {
            return Err(Error::Setting {
                what: "a program with cotangents",
                found: "one that observes values of the step".to_owned(),
                expected: "one or the other".to_owned(),
            });
        }
        let has_loss = tape.outputs().iter().any(|o| o.role == OutputRole::Loss);
        let of_loss = request.differentiates() && request.cotangents.is_none();
        if (of_loss || request.hessian) && !has_loss {
            return Err(Error::NoLoss {
                cell: cell.name().to_owned(),
            });
        }
        for name in &request.gradients {
            if tape.inputs().iter().all(|i| *i.name != **name) {
                let known = tape.inputs().iter().map(|i| i.name.to_string());
                return Err(no_such_value(tape, "input", name, known.collect()));
            }
        }
        find(tape, &request.observe)?;
        if request.cotangents.is_some() {
            // Parameters first, in the cell's order: their gradients are then one vector.
            let place = |name: &String| {
                let input = tape.input(name).expect("it was just found");
                (tape.inputs()[input].role != InputRole::Param, input)
            };
            request.gradients.sort_by_key(place);
        }
        let code = match self.engine {
            Engine::Jit => {
                let options = Options::default().with(|o| {
                    o.observe = request.observe.clone();
                    o.unroll = self.unroll;
                    o.flush = self.flush;
                    o.bf16 = self.precision.into();
                });
                let first = CompiledCell::compile_with(tape, &request.purpose(), &options)?;
                let options = options.with(|o| o.observe = Vec::new());
                let second = request.hessian.then(|| {
                    CompiledCell::compile_with(tape, &Purpose::hessian_vector(tape), &options)
                });
                ProgramCode::Jit {
                    first,
                    second: second.transpose()?,
                }
            }
            Engine::Tape if request.hessian => return Err(Error::NoHessian),
            Engine::Tape => ProgramCode::Tape(self.precision),
        };
        Ok(Program {
            shared: Arc::new(ProgramData {
                cell: cell.clone(),
                request,
                code,
            }),
        })
    }
}

impl<T: Float> std::fmt::Debug for Program<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("cell", &self.cell().name())
            .field("request", &self.shared.request)
            .finish_non_exhaustive()
    }
}

/// The observed values in the tape.
pub(crate) fn find(tape: &Tape, observe: &[Observe]) -> Result<Vec<Value>, Error> {
    let find = |o: &Observe| {
        let names = || tape.names().into_iter().map(str::to_owned).collect();
        let found = tape.find(o.name());
        found.ok_or_else(|| no_such_value(tape, "value", o.name(), names()))
    };
    observe.iter().map(find).collect()
}

pub(crate) fn no_such_value(
    tape: &Tape,
    what: &'static str,
    name: &str,
    known: Vec<String>,
) -> Error {
    Error::NoSuchValue {
        cell: tape.name().to_owned(),
        what,
        is_value: tape.find(name).is_some(),
        name: name.to_owned(),
        known,
    }
}

impl Request {
    /// What runs in two halves have in common, if they were requested.
    pub(crate) fn split(&self, cell: &Cell) -> Option<Split> {
        let given = self.cotangents.as_ref()?;
        let tape = cell.tape();
        let found = "the builder found it";
        let position = |name: &String| tape.output(name).expect(found);
        let given = given.iter().map(position).collect();
        let position = |name: &String| tape.input(name).expect(found);
        Some(Split {
            cell: cell.clone(),
            given,
            wanted: self.gradients.iter().map(position).collect(),
        })
    }
}

impl<T: Float> Program<T> {
    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.shared.cell
    }
}

impl Cell {
    /// The names of the new values of its states, for [`Observe`]: `h'`, `c'`.
    pub fn new_states(&self) -> Vec<String> {
        let inputs = self.tape().inputs().iter();
        let states = inputs.filter(|i| i.role == InputRole::Initial);
        states.map(|i| format!("{}'", i.name)).collect()
    }
}
