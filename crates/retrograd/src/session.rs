//! [`Session`] runs a program in a workspace of its own; [`Results`] are the results of a run.

use std::sync::Arc;

use retrograd_jit::Executor;
use retrograd_tape::{Interpreter, Observe, OutputRole, Tape, Type};

use crate::batch::{Arrangement, Batch, Feed, Points, RunMode};
use crate::engine::{
    Spare, SplitRunner, at_least_one_thread, execute, interpret, numbers, prepared, weighed,
};
use crate::error::Error;
use crate::numbers::{Float, zeros};
use crate::optim::first_non_finite;
use crate::program::{Program, ProgramCode, Request, find};
use crate::split::{Forward, Parameters, Splitter};

/// Runs a [`Program`], any number of times, in a workspace of its own. A program may have many sessions at the same time.
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
    work: SessionEngine<T>,
    feed: Feed<T>,
    /// The results of the last run, by name.
    arrays: Vec<(String, Vec<T>)>,
    /// The last product with the Hessian.
    product: Vec<T>,
    /// For runs in two halves.
    splitter: Option<Splitter<T>>,
}

enum SessionEngine<T: Float> {
    Jit {
        first: Box<Executor<T>>,
        second: Option<Box<Executor<T>>>,
    },
    Tape(Box<Interpreter<T>>),
}

impl<T: Float> Program<T> {
    /// Opens a session: a workspace that is reused from run to run, and settings.
    pub fn session(&self) -> Session<T> {
        let (tape, request) = (self.cell().tape(), &self.shared.request);
        let work = match &self.shared.code {
            ProgramCode::Jit { first, second } => SessionEngine::Jit {
                first: Box::new(first.executor()),
                second: second.as_ref().map(|cell| Box::new(cell.executor())),
            },
            ProgramCode::Tape(precision) => {
                let values = find(tape, &request.observe).expect("the builder found them");
                let wanted =
                    |i: &retrograd_tape::Input| request.gradients.iter().any(|n| **n == *i.name);
                let run = prepared(tape, *precision, wanted, &values);
                SessionEngine::Tape(Box::new(run.expect("the builder found its values")))
            }
        };
        let splitter = request.split(self.cell()).map(|split| Splitter {
            runner: match &self.shared.code {
                ProgramCode::Jit { first, .. } => SplitRunner::Jit(Box::new(first.executor())),
                ProgramCode::Tape(precision) => SplitRunner::tape(tape, *precision, &split.wanted),
            },
            shared: Arc::new(split),
            spare: Spare::default(),
        });
        Session {
            splitter,
            work,
            feed: Feed::new(self.cell(), 0),
            arrays: Vec::new(),
            product: Vec::new(),
            program: self.clone(),
        }
    }
}

impl<T: Float> Session<T> {
    /// Sets the number of threads of compiled code, at least 1; results are bitwise the same for any number.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn set_threads(&mut self, threads: usize) -> Result<(), Error> {
        at_least_one_thread(threads)?;
        self.executors(|executor| executor.set_threads(threads));
        Ok(())
    }

    /// Limits the memory of compiled code to this many bytes beyond parameters, batch and results; see
    /// [`TrainerBuilder::memory_budget`](crate::TrainerBuilder::memory_budget).
    pub fn set_memory_budget(&mut self, bytes: Option<usize>) {
        self.executors(|executor| executor.set_budget(bytes));
    }

    /// Cuts work into this many concurrent pieces even where that does not pay: for tests of results that must not depend on it.
    #[doc(hidden)]
    pub fn cut_into(&mut self, pieces: usize) {
        self.executors(|executor| executor.cut_into(pieces));
    }

    fn executors(&mut self, mut set: impl FnMut(&mut Executor<T>)) {
        if let SessionEngine::Jit { first, second } = &mut self.work {
            set(first);
            second.as_deref_mut().map(&mut set);
        }
        if let Some(Splitter {
            runner: SplitRunner::Jit(executor),
            ..
        }) = &mut self.splitter
        {
            set(executor);
        }
    }

    /// Runs the forward half of the program, and keeps what the backward half needs; see [`Forward`]. Masks that the batch
    /// does not have are ones.
    ///
    /// # Errors
    /// [`Error::NoCotangents`] if the program was built without [`ProgramBuilder::cotangents`](crate::ProgramBuilder::cotangents);
    /// else as [`Session::run`].
    #[inline(never)]
    pub fn forward<'a>(
        &mut self,
        parameters: &'a [T],
        batch: &'a Batch<T>,
    ) -> Result<Forward<'a, T>, Error> {
        let splitter = self.splitter.as_mut().ok_or(Error::NoCotangents)?;
        splitter.shared.cell.check_count("parameters", parameters)?;
        let parameters = Parameters::Borrowed(parameters);
        splitter.forward(&mut self.feed, parameters, batch, RunMode::Evaluate)
    }

    /// Runs the program on a batch with a flat vector of parameters in the cell's order. Masks that the batch does not have are
    /// ones. If nothing is differentiated, targets may be missing: they count as zeros, and the loss is then meaningless.
    ///
    /// # Errors
    /// [`Error::ParameterCount`], those of [`Trainer::step`](crate::Trainer::step) for batches, and [`Error::Run`].
    #[inline(never)]
    pub fn run(&mut self, parameters: &[T], batch: &Batch<T>) -> Result<Results<'_, T>, Error> {
        let shared = &*self.program.shared;
        let cell = &shared.cell;
        cell.check_count("parameters", parameters)?;
        let mode = match shared.request.differentiates() {
            true => RunMode::Evaluate,
            false => RunMode::Predict,
        };
        let mut inputs: Vec<&[T]> = Vec::new();
        let fed = self
            .feed
            .inputs(cell, parameters, batch, mode, &mut inputs)?;
        // The cotangents of a program that takes them: 1 for the loss.
        let one = [T::ONE];
        let outputs = shared.request.cotangents.iter().flatten();
        let seeds = outputs.map(|name| match cell.tape().output(name) {
            Some(k) if cell.tape().outputs()[k].role == OutputRole::Loss => &one[..],
            _ => &[],
        });
        let given = inputs.len();
        inputs.extend(seeds);
        let ran = match &mut self.work {
            SessionEngine::Jit { first, .. } => compiled(first, cell.tape(), fed.points, &inputs),
            SessionEngine::Tape(interpreter) => {
                let inputs = &inputs[..given];
                interpreted(
                    interpreter,
                    cell.tape(),
                    &shared.request,
                    fed.points,
                    inputs,
                )
            }
        };
        inputs.truncate(given);
        let ran = ran.map_err(|e| fed.located(e))?;
        let arrays = ran.into_iter().enumerate().map(|(k, (name, values))| {
            let (how, ty) = arrangement(cell.tape(), &shared.request, k, &name)?;
            Ok((name, fed.unpacked(how, ty, values)?))
        });
        self.arrays = arrays.collect::<Result<_, Error>>()?;
        let results = Results {
            tape: cell.tape(),
            arrays: &self.arrays,
        };
        if mode == RunMode::Evaluate && results.loss().is_some_and(|l| !l.is_finite()) {
            weighed(cell, fed.points, &inputs)?;
        }
        // Nothing flows to an input that the loss does not depend on.
        for name in &shared.request.gradients {
            let key = format!("grad({name})");
            if self.arrays.iter().all(|(known, _)| *known != key) {
                let input = cell.tape().input(name).expect("the builder found it");
                let how = Arrangement::of_input(cell.tape(), input);
                let len = how.numbers(cell.tape().inputs()[input].ty, fed.counts);
                self.arrays.push((key, zeros("the gradients", len)?));
            }
        }
        Ok(Results {
            tape: cell.tape(),
            arrays: &self.arrays,
        })
    }

    /// The product of the Hessian of the loss, with respect to all parameters, with a `direction`: the derivative of the gradient
    /// along it. Parameters and direction are flat vectors in the cell's order.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::NoHessian`] if the program was built without [`ProgramBuilder::hessian_products`](crate::ProgramBuilder::hessian_products).
    #[inline(never)]
    pub fn hessian_product(
        &mut self,
        parameters: &[T],
        batch: &Batch<T>,
        direction: &[T],
    ) -> Result<&[T], Error> {
        let cell = &self.program.shared.cell;
        cell.check_count("parameters", parameters)?;
        cell.check_count("elements of the direction", direction)?;
        let SessionEngine::Jit {
            second: Some(executor),
            ..
        } = &mut self.work
        else {
            return Err(Error::NoHessian);
        };
        let mut inputs: Vec<&[T]> = Vec::new();
        let mode = RunMode::Evaluate;
        let fed = self
            .feed
            .inputs(cell, parameters, batch, mode, &mut inputs)?;
        let mut rest = direction;
        for p in cell.parameter_specs() {
            let (this, after) = rest.split_at(p.shape.len());
            inputs.push(this);
            rest = after;
        }
        let arrays = compiled(executor, cell.tape(), fed.points, &inputs);
        let arrays = arrays.map_err(|e| fed.located(e))?;
        let infinite = |(_, values): &(String, Vec<T>)| first_non_finite(values).is_some();
        if arrays.iter().any(infinite) {
            weighed(cell, fed.points, &inputs[..cell.tape().inputs().len()])?;
        }
        self.product.clear();
        for p in cell.parameter_specs() {
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

/// All outputs of a run, by name.
fn compiled<T: Float>(
    executor: &mut Executor<T>,
    tape: &Tape,
    points: Points<'_>,
    inputs: &[&[T]],
) -> Result<Vec<(String, Vec<T>)>, Error> {
    let cell = executor.cell();
    let outputs = cell.outputs().iter().enumerate();
    let array = |(k, o): (usize, &retrograd_tape::Output)| {
        let values = zeros("the outputs", numbers(cell, k, points))?;
        Ok((o.name.to_string(), values))
    };
    let mut arrays: Vec<(String, Vec<T>)> = outputs.map(array).collect::<Result<_, Error>>()?;
    let mut outputs: Vec<&mut [T]> = arrays
        .iter_mut()
        .map(|(_, values)| &mut values[..])
        .collect();
    execute(executor, tape, points, inputs, &mut outputs)?;
    Ok(arrays)
}

/// The same, computed by the tape.
fn interpreted<T: Float>(
    run: &mut Interpreter<T>,
    tape: &Tape,
    request: &Request,
    points: Points<'_>,
    inputs: &[&[T]],
) -> Result<Vec<(String, Vec<T>)>, Error> {
    interpret(run, points, inputs)?;
    if request.differentiates() {
        let one = [T::ONE];
        let outputs = tape.outputs().iter();
        let seeds = outputs.map(|o| (o.role == OutputRole::Loss).then_some(&one[..]));
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

/// How array `k` of a run's results is arranged, called `name`: the tape's outputs, then gradients and observed values.
fn arrangement(
    tape: &Tape,
    request: &Request,
    k: usize,
    name: &str,
) -> Result<(Arrangement, Type), Error> {
    if let Some(output) = tape.outputs().get(k) {
        let ty = tape.node(output.value).ty;
        return Ok((Arrangement::of_output(tape, k), ty));
    }
    let of = |input: &String| (format!("grad({input})") == name).then(|| tape.input(input))?;
    if let Some(input) = request.gradients.iter().find_map(of) {
        let ty = tape.inputs()[input].ty;
        return Ok((Arrangement::of_input(tape, input), ty));
    }
    let observed = request.observe.iter().zip(find(tape, &request.observe)?);
    let value = observed.into_iter().find(|(o, _)| o.to_string() == name);
    let (_, value) = value.expect("all results are outputs, gradients or observed");
    let ty = tape.node(value).ty;
    Ok((Arrangement::of_value(ty), ty))
}

/// The results of a run of a [`Session`].
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
        let loss = self
            .tape
            .outputs()
            .iter()
            .find(|o| o.role == OutputRole::Loss)?;
        Some(self.array(&loss.name)?[0].to_f64())
    }

    /// An output, `[T, B, shape]`, or under a state's name its final value, `[|d|, B, shape]`, from which a later batch can
    /// continue.
    pub fn output(&self, name: &str) -> Option<&'a [T]> {
        self.array(name)
    }

    /// The gradient of the loss with respect to a parameter, an input or an initial state, with the same layout; present if
    /// [`ProgramBuilder::gradients`](crate::ProgramBuilder::gradients) requested it.
    pub fn gradient(&self, name: &str) -> Option<&'a [T]> {
        self.derived(&format!("grad({name})"))
    }

    /// An observed value or adjoint, `[T, B, shape]` if it varies over steps.
    pub fn observed(&self, observe: &Observe) -> Option<&'a [T]> {
        self.derived(&observe.to_string())
    }

    /// An array after the cell's own outputs, one of which may have the same name.
    fn derived(&self, name: &str) -> Option<&'a [T]> {
        let found = self.arrays.iter().rfind(|(known, _)| known == name);
        found.map(|(_, values)| &values[..])
    }

    fn array(&self, name: &str) -> Option<&'a [T]> {
        let found = self.arrays.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| &values[..])
    }
}
