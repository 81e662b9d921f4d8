//! [`Program`]: a cell compiled for what is asked of it: gradients of anything, values and adjoints of the step, products
//! with the Hessian.

use retrograd_tape::Extent;
use std::sync::Arc;

use retrograd_graph::{Options, Unroll};
use retrograd_jit::{CompiledCell, Executor, Purpose, RunError};
use retrograd_tape::{Domain, Interpreter, Observe, Role, Tape, Value, Yield};

use crate::batch::{Batch, Feed, Purpose as Fed};
use crate::cell::Cell;
use crate::engine::{Engine, Float, at_least_one_thread, weighed, zeros};
use crate::error::Error;
use crate::stepper::counted;

/// A cell made ready for what a [`ProgramBuilder`] asks for. It is immutable and cheap to clone, and serves any number of
/// threads at once: whoever runs it has a [`Session`] of their own.
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
    shared: Arc<Shared<T>>,
}

struct Shared<T: Float> {
    cell: Cell,
    request: Request,
    code: Code<T>,
}

/// What runs it.
enum Code<T: Float> {
    Jit {
        first: CompiledCell<T>,
        /// For products with the Hessian.
        second: Option<CompiledCell<T>>,
    },
    Tape,
}

#[derive(Clone, Debug, Default)]
struct Request {
    gradients: Vec<String>,
    observe: Vec<Observe>,
    hessian: bool,
}

impl Request {
    /// Whether the loss is differentiated.
    fn differentiates(&self) -> bool {
        let adjoint = |o: &Observe| matches!(o, Observe::Adjoint(_));
        !self.gradients.is_empty() || self.observe.iter().any(adjoint)
    }

    fn purpose(&self) -> Purpose {
        match self.differentiates() {
            false => Purpose::Forward,
            true => Purpose::Gradients {
                given: Vec::new(),
                loss: true,
                wrt: self.gradients.clone(),
            },
        }
    }
}

/// What a [`Program`] is to give besides outputs, loss and final states; [`Cell::program`] makes one.
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
    of: std::marker::PhantomData<T>,
}

impl Cell {
    /// What is to be compiled of this cell: nothing but outputs, loss and final states, by machine code in f32, until more is
    /// asked for.
    pub fn program(&self) -> ProgramBuilder<'_> {
        ProgramBuilder {
            cell: self,
            request: Request::default(),
            engine: Engine::default(),
            unroll: Unroll::AUTO,
            flush: true,
            of: std::marker::PhantomData,
        }
    }
}

impl<'a, T: Float> ProgramBuilder<'a, T> {
    /// Gradients of the loss with respect to these parameters, inputs, static inputs, targets, or beginnings of states: by the
    /// state's name, or `<state>.init` if its beginning is learned. Gradients of values of the step are their adjoints, see
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

    /// Gradients of the loss with respect to all parameters.
    #[must_use]
    pub fn parameter_gradients(self) -> Self {
        let cell = self.cell;
        self.gradients(cell.parameters().map(|p| p.name))
    }

    /// A value of the step, or its adjoint, by the name that [`Var::named`](crate::Var::named) gave it.
    #[must_use]
    pub fn observe(mut self, observe: Observe) -> Self {
        if !self.request.observe.contains(&observe) {
            self.request.observe.push(observe);
        }
        self
    }

    /// Products of the Hessian of the loss, in all parameters, with vectors: [`Session::hessian_product`].
    #[must_use]
    pub fn hessian_products(mut self) -> Self {
        self.request.hessian = true;
        self
    }

    /// What runs it.
    #[must_use]
    pub fn engine(self, engine: Engine) -> Self {
        ProgramBuilder { engine, ..self }
    }

    /// How many steps an unrolled iteration of a recurrence's compiled loop does; results are bitwise the same for any factor.
    #[must_use]
    pub fn unroll(self, unroll: Unroll) -> Self {
        ProgramBuilder { unroll, ..self }
    }

    /// Whether compiled code in f32 flushes states; see [`TrainerBuilder::flush`](crate::TrainerBuilder::flush).
    #[must_use]
    pub fn flush(self, flush: bool) -> Self {
        ProgramBuilder { flush, ..self }
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
            of: std::marker::PhantomData,
        }
    }

    /// Compiles it.
    ///
    /// # Errors
    /// [`Error::NoLoss`] if what is asked for needs one, [`Error::NoSuchValue`] for a name that the cell does not have,
    /// [`Error::Compile`], and [`Error::NoHessian`] for [`hessian_products`](Self::hessian_products) of the interpreted tape.
    pub fn build(self) -> Result<Program<T>, Error> {
        let (cell, request) = (self.cell, self.request);
        let tape = cell.tape();
        let has_loss = tape.outputs().iter().any(|o| o.role == Yield::Loss);
        if (request.differentiates() || request.hessian) && !has_loss {
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
        let code = match self.engine {
            Engine::Jit => {
                let options = Options::default().with(|o| {
                    o.observe = request.observe.clone();
                    o.unroll = self.unroll;
                    o.flush = self.flush;
                });
                let first = CompiledCell::compile_with(tape, &request.purpose(), &options)?;
                let options = options.with(|o| o.observe = Vec::new());
                let second = request.hessian.then(|| {
                    CompiledCell::compile_with(tape, &Purpose::hessian_vector(tape), &options)
                });
                Code::Jit {
                    first,
                    second: second.transpose()?,
                }
            }
            Engine::Tape if request.hessian => return Err(Error::NoHessian),
            Engine::Tape => Code::Tape,
        };
        Ok(Program {
            shared: Arc::new(Shared {
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
fn find(tape: &Tape, observe: &[Observe]) -> Result<Vec<Value>, Error> {
    let find = |o: &Observe| {
        let names = || tape.names().into_iter().map(str::to_owned).collect();
        let found = tape.find(o.name());
        found.ok_or_else(|| no_such_value(tape, "value", o.name(), names()))
    };
    observe.iter().map(find).collect()
}

fn no_such_value(tape: &Tape, what: &'static str, name: &str, known: Vec<String>) -> Error {
    Error::NoSuchValue {
        cell: tape.name().to_owned(),
        what,
        is_value: tape.find(name).is_some(),
        name: name.to_owned(),
        known,
    }
}

impl<T: Float> Program<T> {
    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.shared.cell
    }

    /// What runs the program: a workspace that stays from run to run, and settings.
    pub fn session(&self) -> Session<T> {
        let (tape, request) = (self.cell().tape(), &self.shared.request);
        let work = match &self.shared.code {
            Code::Jit { first, second } => Work::Jit {
                first: Box::new(first.executor()),
                second: second.as_ref().map(|cell| Box::new(cell.executor())),
            },
            Code::Tape => {
                let values = find(tape, &request.observe).expect("the builder found them");
                let wanted =
                    |i: &retrograd_tape::Input| request.gradients.iter().any(|n| **n == *i.name);
                let run = Interpreter::observing(tape, wanted, &values);
                Work::Tape(Box::new(run.expect("the builder found its values")))
            }
        };
        Session {
            work,
            feed: Feed::new(self.cell(), 0),
            arrays: Vec::new(),
            product: Vec::new(),
            program: self.clone(),
        }
    }
}

/// Runs a [`Program`] again and again, in a workspace of its own. A clone of its program may have another at the same time.
///
/// ```
/// use retrograd::{Batch, Extent, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 1, 8)?;
/// let parameters = cell.initial_parameters(1)?;
/// let mut session = cell.program().build()?.session();
/// for x in [[0.1, 0.2], [0.3, 0.4]] {
///     let batch = Batch::new(Extent::steps(2)).with("x", x.to_vec());
///     let results = session.run(&parameters, &batch)?; // in the same workspace each time
///     assert_eq!(results.output("y").map(<[f32]>::len), Some(2));
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Session<T: Float = f32> {
    program: Program<T>,
    work: Work<T>,
    feed: Feed<T>,
    /// What the last run gave, by name.
    arrays: Vec<(String, Vec<T>)>,
    /// The last product with the Hessian.
    product: Vec<T>,
}

enum Work<T: Float> {
    Jit {
        first: Box<Executor<T>>,
        second: Option<Box<Executor<T>>>,
    },
    Tape(Box<Interpreter<T>>),
}

impl<T: Float> Session<T> {
    /// Lets compiled code use so many threads, at least 1; results are bitwise the same for any number.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn set_threads(&mut self, threads: usize) -> Result<(), Error> {
        at_least_one_thread(threads)?;
        self.executors(|executor| executor.set_threads(threads));
        Ok(())
    }

    /// Lets runs of compiled code take no more than this many bytes beyond parameters, batch and results; see
    /// [`TrainerBuilder::memory_budget`](crate::TrainerBuilder::memory_budget).
    pub fn set_memory_budget(&mut self, bytes: Option<usize>) {
        self.executors(|executor| executor.set_budget(bytes));
    }

    fn executors(&mut self, mut set: impl FnMut(&mut Executor<T>)) {
        if let Work::Jit { first, second } = &mut self.work {
            set(first);
            second.as_deref_mut().map(set);
        }
    }

    /// Runs the program on a batch with these parameters, all in one vector in the cell's order. Masks that the batch does not
    /// bring are ones. Targets may be missing where nothing is differentiated: they count as zeros, and the loss means
    /// nothing then.
    ///
    /// # Errors
    /// [`Error::ParameterCount`], those of [`Trainer::step`](crate::Trainer::step) for batches, and [`Error::Run`].
    pub fn run(&mut self, parameters: &[T], batch: &Batch<T>) -> Result<Results<'_, T>, Error> {
        let shared = &*self.program.shared;
        let cell = &shared.cell;
        counted(cell, "parameters", parameters)?;
        let fed = match shared.request.differentiates() {
            true => Fed::Evaluate,
            false => Fed::Predict,
        };
        let mut inputs: Vec<&[T]> = Vec::new();
        self.feed
            .inputs(cell, parameters, batch, fed, &mut inputs)?;
        let extent = batch.extent;
        let ran = match &mut self.work {
            Work::Jit { first, .. } => compiled(first, extent, &inputs),
            Work::Tape(interpreter) => {
                interpreted(interpreter, cell.tape(), &shared.request, extent, &inputs)
            }
        };
        if let Err(Error::Run(RunError::ComputedIndex { .. } | RunError::Index { .. })) = ran {
            // Compiled code only knows that an index is outside; the tape names it, its example and its step.
            cell.tape().check_indices(extent, &inputs)?;
        }
        self.arrays = ran?;
        let results = Results {
            tape: cell.tape(),
            arrays: &self.arrays,
        };
        if fed == Fed::Evaluate && results.loss().is_some_and(|l| !l.is_finite()) {
            weighed(cell, extent, &inputs)?;
        }
        // Nothing flows to an input that the loss does not depend on.
        for name in &shared.request.gradients {
            let key = format!("grad({name})");
            if self.arrays.iter().all(|(known, _)| *known != key) {
                let input = cell.tape().inputs().iter().position(|i| *i.name == **name);
                let input = input.expect("the builder found it");
                let len = match inputs[input].len() {
                    0 => beginning(&cell.tape().inputs()[input], extent.rows),
                    len => len,
                };
                self.arrays.push((key, vec![T::ZERO; len]));
            }
        }
        Ok(Results {
            tape: cell.tape(),
            arrays: &self.arrays,
        })
    }

    /// The product of the loss's Hessian in all parameters with a `direction`, both one vector in the cell's order: how the
    /// gradient changes, per unit, where the parameters move along it.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::NoHessian`] if the program was built without [`ProgramBuilder::hessian_products`].
    pub fn hessian_product(
        &mut self,
        parameters: &[T],
        batch: &Batch<T>,
        direction: &[T],
    ) -> Result<&[T], Error> {
        let cell = &self.program.shared.cell;
        counted(cell, "parameters", parameters)?;
        counted(cell, "elements of the direction", direction)?;
        let Work::Jit {
            second: Some(executor),
            ..
        } = &mut self.work
        else {
            return Err(Error::NoHessian);
        };
        let mut inputs: Vec<&[T]> = Vec::new();
        let fed = Fed::Evaluate;
        self.feed
            .inputs(cell, parameters, batch, fed, &mut inputs)?;
        let mut rest = direction;
        for p in cell.parameters() {
            let (this, after) = rest.split_at(p.shape.len());
            inputs.push(this);
            rest = after;
        }
        let arrays = compiled(executor, batch.extent, &inputs)?;
        let infinite =
            |(_, values): &(String, Vec<T>)| values.iter().any(|v| !v.to_f64().is_finite());
        if arrays.iter().any(infinite) {
            weighed(cell, batch.extent, &inputs[..cell.tape().inputs().len()])?;
        }
        self.product.clear();
        for p in cell.parameters() {
            let key = format!("tan(grad({}))", p.name);
            match arrays.iter().find(|(name, _)| *name == key) {
                Some((_, values)) => self.product.extend_from_slice(values),
                None => self
                    .product
                    .resize(self.product.len() + p.shape.len(), T::ZERO),
            }
        }
        Ok(&self.product)
    }
}

impl<T: Float> std::fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("cell", &self.program.cell().name())
            .field("request", &self.program.shared.request)
            .finish_non_exhaustive()
    }
}

/// Numbers of what a state begins with.
fn beginning(input: &retrograd_tape::Input, b: usize) -> usize {
    let points = match input.ty.domain {
        Domain::Edge(k) => k * b,
        Domain::Once | Domain::Row | Domain::Step => b,
    };
    points * input.ty.shape.len()
}

/// All outputs of a run, by name.
fn compiled<T: Float>(
    executor: &mut Executor<T>,
    extent: Extent,
    inputs: &[&[T]],
) -> Result<Vec<(String, Vec<T>)>, Error> {
    let cell = executor.cell();
    let outputs = cell.outputs().iter().enumerate();
    let array = |(k, o): (usize, &retrograd_tape::Output)| {
        let values = zeros("the outputs", cell.output_len(k, extent))?;
        Ok((o.name.to_string(), values))
    };
    let mut arrays: Vec<(String, Vec<T>)> = outputs.map(array).collect::<Result<_, Error>>()?;
    let mut outputs: Vec<&mut [T]> = arrays
        .iter_mut()
        .map(|(_, values)| &mut values[..])
        .collect();
    executor.run(extent, inputs, &mut outputs)?;
    Ok(arrays)
}

/// The same by the tape.
fn interpreted<T: Float>(
    run: &mut Interpreter<T>,
    tape: &Tape,
    request: &Request,
    extent: Extent,
    inputs: &[&[T]],
) -> Result<Vec<(String, Vec<T>)>, Error> {
    run.forward(extent, inputs)?;
    if request.differentiates() {
        let one = [T::ONE];
        let outputs = tape.outputs().iter();
        let seeds = outputs.map(|o| (o.role == Yield::Loss).then_some(&one[..]));
        run.backward(&seeds.collect::<Vec<_>>())?;
    }
    let outputs = tape.outputs().iter().enumerate();
    let outputs = outputs.map(|(k, o)| (o.name.to_string(), run.output(k).to_vec()));
    let inputs = tape.inputs().iter().enumerate();
    let gradients = inputs.filter_map(|(i, input)| {
        let wanted = request.gradients.iter().any(|n| **n == *input.name);
        let values = wanted.then(|| run.gradient(i)).flatten()?;
        Some((format!("grad({})", input.name), values.to_vec()))
    });
    let mut arrays: Vec<(String, Vec<T>)> = outputs.chain(gradients).collect();
    for (o, v) in request.observe.iter().zip(find(tape, &request.observe)?) {
        let values = match o {
            Observe::Value(_) => run.value(v)?,
            Observe::Adjoint(_) => run.adjoint(v)?.map(<[T]>::to_vec).unwrap_or_default(),
        };
        arrays.push((o.to_string(), values));
    }
    Ok(arrays)
}

/// What a run of a [`Session`] gave.
///
/// ```
/// use retrograd::{Batch, Cell, Extent, Observe};
///
/// let cell = Cell::define("sum", |c| {
///     let (x, h) = (c.input("x", ()), c.state("h", ()));
///     let h = c.next(h, h + x);
///     c.output("y", 2.0 * h);
///     c.loss(h.square());
/// })?;
/// let new_state = Observe::value("h'");
/// let program = cell.program().gradients(["x"]).observe(new_state.clone()).build()?;
/// let mut session = program.session();
/// let results = session.run(&[], &Batch::new(Extent::steps(2)).with("x", vec![1.0, 2.0]))?;
/// assert_eq!(results.loss(), Some(5.0), "the mean of 1 and 9");
/// assert_eq!(results.output("y"), Some(&[2.0, 6.0][..]));
/// assert_eq!(results.output("h"), Some(&[3.0][..]), "the final state");
/// assert_eq!(results.gradient("x"), Some(&[4.0, 3.0][..]));
/// assert_eq!(results.observed(&new_state), Some(&[1.0, 3.0][..]));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Results<'a, T> {
    tape: &'a Tape,
    arrays: &'a [(String, Vec<T>)],
}

impl<'a, T: Float> Results<'a, T> {
    /// The loss of the batch, if the cell has one.
    pub fn loss(&self) -> Option<f64> {
        let loss = self.tape.outputs().iter().find(|o| o.role == Yield::Loss)?;
        Some(self.array(&loss.name)?[0].to_f64())
    }

    /// An output, `[T, B, shape]`, or under a state's name its final value, `[|d|, B, shape]`, to go on from.
    pub fn output(&self, name: &str) -> Option<&'a [T]> {
        self.array(name)
    }

    /// The gradient of the loss with respect to a parameter, an input or a state's beginning, laid out as it is; there is one
    /// if [`ProgramBuilder::gradients`] asked for it.
    pub fn gradient(&self, name: &str) -> Option<&'a [T]> {
        self.derived(&format!("grad({name})"))
    }

    /// What was observed, `[T, B, shape]` for what varies over the steps.
    pub fn observed(&self, observe: &Observe) -> Option<&'a [T]> {
        self.derived(&observe.to_string())
    }

    /// What comes behind the cell's own outputs, one of which may have such a name.
    fn derived(&self, name: &str) -> Option<&'a [T]> {
        let found = self.arrays.iter().rfind(|(known, _)| known == name);
        found.map(|(_, values)| &values[..])
    }

    fn array(&self, name: &str) -> Option<&'a [T]> {
        let found = self.arrays.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| &values[..])
    }
}

impl Cell {
    /// The names of its states, as a step makes them, for [`Observe`]: `h'`, `c'`.
    pub fn new_states(&self) -> Vec<String> {
        let inputs = self.tape().inputs().iter();
        let states = inputs.filter(|i| i.role == Role::Initial);
        states.map(|i| format!("{}'", i.name)).collect()
    }
}
