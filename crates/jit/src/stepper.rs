//! [`Stepper`]: runs a program sample by sample and keeps its states.

mod states;

use std::sync::Arc;
use std::time::{Duration, Instant};

use retrograd_graph::passes::stream::{self, StreamState};
use retrograd_graph::plan::{BufferId, Plan};
use retrograd_graph::{Graph, Options, passes, plan};
use retrograd_tape::{Domain, Extent, Input, InputRole, Output, OutputRole, Tape};

use crate::arguments::{IndexInput, are_rows, fits, index_inputs, mismatch};
use crate::cell::CompiledCell;
use crate::element::{Element, of_width};
use crate::error::{CompileError, RunError, StepperError};
use crate::exec::code::{Code, generate};
use crate::exec::stream::{Misfit, StreamExecution, step_loop};

/// A program that takes one sample of `b` rows at a time and continues from the states that the previous one left.
/// Values that depend on no sample (packed weights, exp A, a normalised weight) are computed when parameters are set; a
/// sample is one call of compiled code, which allocates nothing and takes no lock.
///
/// Its results are those of a run over the whole sequence, up to rounding: products add in another order. There is no
/// loss: targets, weights and states that only the loss reads are left out, and a static input that only they read need not
/// be given.
///
/// ```
/// use retrograd_jit::{CompiledCell, Purpose, Stepper};
/// use retrograd_tape::{Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
/// let a = r.param("a", Shape::Scalar);
/// let h = r.state("h", Shape::Scalar, 1, None);
/// let h = r.next(h, a * h + x);
/// r.output("y", h);
/// let tape = r.finish("leaky")?;
///
/// let mut leaky = Stepper::<f32>::new(&tape, 1, &[&[], &[0.5], &[]])?;
/// let mut y = [0.0];
/// for right in [1.0, 1.5, 1.75] {
///     leaky.step(&[&[1.0]], &mut [&mut y])?;
///     assert_eq!(y, [right]);
/// }
/// leaky.set_state("h", &[4.0])?;
/// leaky.step(&[&[0.0]], &mut [])?;
/// assert_eq!(leaky.output(0), [2.0]);
/// assert_eq!(leaky.state("h"), Some(&[2.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A clone continues independently from the same states: these are copied, while machine code, parameters and the
/// values computed from them are shared, until one of the two sets other parameters.
pub struct Stepper<T: Element> {
    program: Arc<StepperProgram<T>>,
    stream: StreamExecution<T>,
    /// The initial value of each state, if the caller sets it.
    beginnings: Vec<Option<Vec<T>>>,
}

/// The data shared by all clones of a stepper, beside parameters.
struct StepperProgram<T: Element> {
    graph: Graph,
    plan: Plan,
    code: Code<T>,
    /// Number of inputs of the recorded program.
    recorded: usize,
    states: Vec<StreamState>,
    /// The inputs and outputs of each sample.
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    /// Inputs that are row numbers, with the number of rows: among the inputs of a sample, and among those of the
    /// program.
    sample_indices: Vec<(usize, usize)>,
    indices: Vec<(usize, usize)>,
    compile_time: Duration,
}

impl<T: Element> Clone for Stepper<T> {
    fn clone(&self) -> Self {
        Stepper {
            stream: self.stream.fork(&self.program.plan),
            program: Arc::clone(&self.program),
            beginnings: self.beginnings.clone(),
        }
    }
}

impl<T: Element> std::fmt::Debug for Stepper<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper")
            .field("program", &self.program.plan.name)
            .field("rows", &self.stream.rows())
            .field("compile_time", &self.program.compile_time)
            .finish_non_exhaustive()
    }
}

impl<T: Element> Stepper<T> {
    /// Compiles a program for samples of `b` rows; see [`CompiledCell::stepper`](crate::CompiledCell::stepper).
    ///
    /// # Errors
    /// As there.
    pub fn new(tape: &Tape, b: usize, inputs: &[&[T]]) -> Result<Self, StepperError> {
        Self::with_options(tape, &Options::default(), b, inputs)
    }

    /// The same with the passes and plan stages that `options` enable, for their target.
    ///
    /// # Errors
    /// As there.
    pub fn with_options(
        tape: &Tape,
        options: &Options,
        b: usize,
        inputs: &[&[T]],
    ) -> Result<Self, StepperError> {
        Self::of(&Graph::from_tape(tape), options, b, inputs)
    }

    #[inline(never)]
    pub(crate) fn of(
        recorded: &Graph,
        options: &Options,
        b: usize,
        given: &[&[T]],
    ) -> Result<Self, StepperError> {
        if b == 0 {
            return Err(RunError::Empty { t: 1, b }.into());
        }
        let start = Instant::now();
        let stream::Stream { graph, states } =
            passes::streamed(recorded, options).map_err(CompileError::from)?;
        let options = of_width::<T>(options).streaming();
        let graph = passes::run(&graph, &[], &options).map_err(CompileError::from)?;
        let plan = plan::stream(&graph, &options);
        let code = generate::<T>(&plan, options.verify)?;
        let read = sampled(&graph, &plan);
        let outputs: Vec<usize> = (0..graph.outputs().len())
            .filter(|&k| is_of_step(&graph, &graph.outputs()[k]))
            .collect();
        let idle = || CompileError::Idle {
            program: plan.name.clone(),
        };
        let written: Vec<BufferId> = (outputs.iter())
            .map(|&k| array_of_output(&graph, k))
            .collect();
        let arrays: Vec<BufferId> = read.iter().map(|&k| BufferId::of_input(k)).collect();
        let stream = StreamExecution::new(&plan, &code, b, &arrays, &written)?.ok_or_else(idle)?;
        let mut indices = index_inputs(&graph);
        // A masked index belongs to a loss, which a stepper does not have.
        indices.retain(|i| i.weights.as_ref().is_some_and(Vec::is_empty));
        let of_sample = |i: &IndexInput| Some((read.iter().position(|&k| k == i.input)?, i.rows));
        let program = StepperProgram {
            sample_indices: indices.iter().filter_map(of_sample).collect(),
            indices: indices.iter().map(|i| (i.input, i.rows)).collect(),
            inputs: read.iter().map(|&k| graph.inputs()[k].clone()).collect(),
            outputs: (outputs.iter().map(|&k| graph.outputs()[k].clone())).collect(),
            states,
            recorded: recorded.inputs().len(),
            graph,
            plan,
            code,
            compile_time: start.elapsed(),
        };
        let mut stepper = Stepper {
            beginnings: vec![None; program.states.len()],
            stream,
            program: Arc::new(program),
        };
        stepper.bind(given, false)?;
        stepper.reset();
        stepper.inside()?;
        Ok(stepper)
    }

    /// Checks that all indices computed since the last call were rows of their tables.
    #[inline]
    fn inside(&mut self) -> Result<(), RunError> {
        match self.stream.was_outside() {
            false => Ok(()),
            true => Err(RunError::ComputedIndex {
                program: self.program.plan.name.clone(),
            }),
        }
    }

    /// The inputs of a sample, in order: the program's inputs over steps that outputs or states need.
    pub fn inputs(&self) -> &[Input] {
        &self.program.inputs
    }

    /// The outputs of a sample, in order: the program's outputs over steps.
    pub fn outputs(&self) -> &[Output] {
        &self.program.outputs
    }

    /// Names of the states, in order.
    pub fn states(&self) -> impl Iterator<Item = &str> {
        self.program.states.iter().map(|s| &*s.name)
    }

    /// Rows of a sample.
    pub fn rows(&self) -> usize {
        self.stream.rows()
    }

    /// The plan that the code was generated from.
    pub fn plan(&self) -> &Plan {
        &self.program.plan
    }

    /// Compile time of all stages together.
    pub fn compile_time(&self) -> Duration {
        self.program.compile_time
    }

    /// Bytes of all arrays, including packed weights.
    pub fn bytes(&self) -> usize {
        self.stream.bytes()
    }

    /// Takes a sample: `inputs` are arrays `[B, shape]` in the order of [`inputs`](Self::inputs), `outputs` such arrays
    /// in the order of [`outputs`](Self::outputs). An empty output, or all if none is given, is kept in the stepper.
    ///
    /// # Errors
    /// Arrays whose number or lengths do not fit, numbers that are not rows of their table. Then nothing has run.
    /// [`RunError::ComputedIndex`], if the program computes such a number, for this sample or for the initial states:
    /// then the sample has been taken, outputs and states are as if the number were that of the nearest row, and the
    /// next sample (or [`set_state`](Self::set_state), or [`reset`](Self::reset)) continues from there.
    #[inline(never)]
    pub fn step(&mut self, inputs: &[&[T]], outputs: &mut [&mut [T]]) -> Result<(), RunError> {
        same("inputs", self.program.inputs.len(), inputs.len())?;
        if !outputs.is_empty() {
            same("outputs", self.program.outputs.len(), outputs.len())?;
        }
        for &(k, rows) in &self.program.sample_indices {
            are_rows(&self.program.inputs[k].name, inputs[k], rows, &[])?;
        }
        let taken = self.stream.step(&self.program.code, inputs, outputs);
        taken.map_err(|misfit| self.of_length(misfit))?;
        self.inside()
    }

    /// The error of an array that does not fit.
    #[cold]
    fn of_length(&self, misfit: Misfit) -> RunError {
        let program = &self.program;
        let (what, name, ty, [expected, found]) = match misfit {
            Misfit::Input(k, lengths) => {
                let i = &program.inputs[k];
                ("input", &i.name, i.ty, lengths)
            }
            Misfit::Output(k, lengths) => {
                let o = &program.outputs[k];
                ("output", &o.name, program.graph.node(o.value).ty, lengths)
            }
        };
        let sample = Extent::steps(1).rows(self.stream.rows()).into();
        mismatch(what, name, ty, expected, found, sample)
    }

    /// Output `k` of the last sample that kept it in the stepper, `[B, shape]`; zeros before the first.
    pub fn output(&self, k: usize) -> &[T] {
        self.stream.output(k)
    }

    /// Sets parameters and static inputs, and the initial states for [`reset`](Self::reset), as on creation; an empty
    /// slice keeps the current ones. Current states are unchanged.
    ///
    /// # Errors
    /// Arrays whose number or lengths do not fit, numbers that are not rows of their table: then nothing has changed.
    /// [`RunError::ComputedIndex`], if such a number is computed: then all are set, as if it were that of the nearest
    /// row.
    #[inline(never)]
    pub fn set_inputs(&mut self, inputs: &[&[T]]) -> Result<(), RunError> {
        self.bind(inputs, true)
    }

    fn bind(&mut self, given: &[&[T]], some: bool) -> Result<(), RunError> {
        let b = self.stream.rows();
        same("inputs", self.program.recorded, given.len())?;
        let over_steps = |i: &Input| i.ty.domain == Domain::Step;
        let recorded = self.program.graph.inputs().iter().zip(given);
        for (i, x) in recorded.clone() {
            let unread = self.program.graph.users(i.value).next().is_none();
            let may_be_empty = some || unread || i.role == InputRole::Initial;
            let expected = match i.ty.domain {
                // Passed with the samples.
                Domain::Step => 0,
                _ => i.ty.numbers(1, b),
            };
            if x.len() != expected && !(x.is_empty() && may_be_empty) {
                fits(
                    "input",
                    &i.name,
                    i.ty,
                    x.len(),
                    Extent::steps(0).rows(b).into(),
                )?;
            }
        }
        for &(k, rows) in self
            .program
            .indices
            .iter()
            .filter(|i| i.0 < self.program.recorded)
        {
            are_rows(&self.program.graph.inputs()[k].name, given[k], rows, &[])?;
        }
        let taken = recorded
            .enumerate()
            .filter(|(_, (i, x))| !x.is_empty() && !over_steps(i));
        let (program, stream) = (&*self.program, &mut self.stream);
        let mut bound = !some;
        for (k, (_, x)) in taken {
            match program.states.iter().position(|s| s.beginning == k) {
                Some(s) => self.beginnings[s] = Some(x.to_vec()),
                None => {
                    if !bound {
                        stream.own(&program.plan);
                    }
                    bound = true;
                    stream.array(BufferId::of_input(k)).copy_from_slice(x);
                }
            }
        }
        if bound {
            stream.bind(&program.plan, &program.code);
        }
        self.inside()
    }
}

/// The array of output `k` of a program; those of the inputs come first.
fn array_of_output(g: &Graph, k: usize) -> BufferId {
    BufferId::of_input(g.inputs().len() + k)
}

fn same(what: &'static str, expected: usize, found: usize) -> Result<(), RunError> {
    if expected == found {
        return Ok(());
    }
    Err(RunError::Count {
        what,
        expected,
        found,
    })
}

fn is_of_step(g: &Graph, o: &Output) -> bool {
    o.role == OutputRole::Output && g.node(o.value).ty.domain == Domain::Step
}

/// The inputs over steps that the step's loop reads.
fn sampled(g: &Graph, plan: &Plan) -> Vec<usize> {
    let body = step_loop(plan).map_or(&[][..], |l| &l.body);
    let read: Vec<BufferId> = (body.iter())
        .flat_map(|s| s.loads())
        .map(|v| v.buffer)
        .collect();
    let inputs = g.inputs().iter().enumerate();
    let over_steps = inputs.filter(|(_, i)| i.ty.domain == Domain::Step);
    (over_steps.map(|(k, _)| k))
        .filter(|&k| read.contains(&BufferId::of_input(k)))
        .collect()
}

impl<T: Element> CompiledCell<T> {
    /// Compiles the program to run sample by sample, with `b` rows each, whatever this cell's purpose is. `inputs` are
    /// those of the recorded program, laid out as for [`Executor::run`](crate::Executor::run): parameters and static
    /// inputs in full, initial states optionally as an empty slice, which stands for zeros, and empty slices for inputs
    /// over steps, which are passed with the samples.
    ///
    /// # Errors
    /// [`CompileError::Refused`] for a layer that reads the sequence from its end, or another use of later samples;
    /// [`CompileError::Idle`]; inputs that do not fit.
    pub fn stepper(&self, b: usize, inputs: &[&[T]]) -> Result<Stepper<T>, StepperError> {
        Stepper::of(&self.program().recorded, &self.program().options, b, inputs)
    }
}
