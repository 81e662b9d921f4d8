//! [`CompiledCell`]: a program as machine code, shared by all who run it.

use retrograd_tape::Extent;
use rustc_hash::FxHashSet as HashSet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cranelift::prelude::FunctionBuilderContext;
use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::plan::{Plan, plan};
use retrograd_graph::{Graph, Options, Target};
use retrograd_tape::{Domain, Input, Map, Observe, Op, Output, Shape, Tape, Type, Value};

use crate::element::Element;
use crate::error::{CompileError, RunError, StepperError};
use crate::exec::code::{Code, generator};
use crate::exec::cut::Efforts;
use crate::executor::{Executor, RunMemory};
use crate::lower::{Backend, share};
use crate::purpose::Purpose;
use crate::stepper::Stepper;
use crate::vmath::Lane;

/// An input of row numbers of a table.
#[derive(Clone, Debug)]
pub(crate) struct IndexInput {
    /// The input.
    pub(crate) input: usize,
    /// How many rows the table has.
    pub(crate) rows: usize,
    /// Inputs, one number a step, whose 0 covers it: what a weight of 0 covers is not read. None if what covers it is computed in
    /// another way than by multiplying such inputs: then it is not known beforehand which are read.
    pub(crate) weights: Option<Vec<usize>>,
}

/// A compiled program: immutable, cheap to clone (clones share plan and machine code), and free to be used from many threads
/// at once. Whoever runs it has an [`Executor`] of their own, whose workspace stays from run to run.
///
/// ```
/// use retrograd_jit::{CompiledCell, Purpose};
/// use retrograd_tape::{Extent, Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
/// let a = r.param("a", Shape::Scalar);
/// let h = r.state("h", Shape::Scalar, 1, None);
/// let h = r.next(h, a * h + x);
/// r.output("y", h);
/// let tape = r.finish("leaky")?;
///
/// let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward)?;
/// std::thread::scope(|s| {
///     for a in [0.5, 0.25] {
///         let mut executor = cell.executor();
///         s.spawn(move || {
///             let mut y = [0.0; 2];
///             executor.run(Extent::steps(2), &[&[1.0, 1.0], &[a], &[]], &mut [&mut y, &mut []])?;
///             assert_eq!(y, [1.0, 1.0 + a]);
///             Ok::<(), retrograd_jit::RunError>(())
///         });
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CompiledCell<T: Element> {
    program: Arc<CellProgram<T>>,
}

/// What all clones of a cell share.
pub(crate) struct CellProgram<T: Element> {
    /// The program as it was recorded, and the passes that were wanted: what a stepper is made from.
    recorded: Graph,
    options: Options,
    pub(crate) graph: Graph,
    pub(crate) plan: Plan,
    pub(crate) code: Code<T>,
    pub(crate) indices: Vec<IndexInput>,
    /// By the addresses of the plan's items, which stay where they are.
    pub(crate) efforts: Efforts,
    compile_time: Duration,
}

impl<T: Element> Clone for CompiledCell<T> {
    fn clone(&self) -> Self {
        CompiledCell {
            program: Arc::clone(&self.program),
        }
    }
}

impl<T: Element> std::fmt::Debug for CompiledCell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledCell")
            .field("program", &self.plan().name)
            .field("code_bytes", &self.code_bytes())
            .field("compile_time", &self.compile_time())
            .finish_non_exhaustive()
    }
}

impl<T: Element> CompiledCell<T> {
    /// Compiles a program for this machine.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(tape: &Tape, purpose: &Purpose) -> Result<Self, CompileError> {
        Self::compile_with(tape, purpose, &Options::default())
    }

    /// Compiles a program with the passes and plan stages that `options` want, for their target.
    ///
    /// # Errors
    /// See [`CompileError`]; among them a target that this machine does not run.
    pub fn compile_with(
        tape: &Tape,
        purpose: &Purpose,
        options: &Options,
    ) -> Result<Self, CompileError> {
        let start = Instant::now();
        let options = &of_width::<T>(options);
        let recorded = Graph::observing(tape, &options.observe)
            .map_err(|name| CompileError::no_such_value(tape, name))?;
        let of_that_name = |o: &&Observe| tape.output(&o.to_string()).is_some();
        if let Some(o) = options.observe.iter().find(of_that_name) {
            let why = format!("`{}` already has an output `{o}`", tape.name());
            return Err(CompileError::Observe(why));
        }
        let derivations = purpose.derivations(&recorded)?;
        let mut adjoint = options
            .observe
            .iter()
            .filter(|o| matches!(o, Observe::Adjoint(_)));
        if let Some(o) = adjoint.next()
            && !derivations
                .iter()
                .any(|d| matches!(d, Derivation::Adjoint(_)))
        {
            let why = format!("`{o}` needs a program that is differentiated");
            return Err(CompileError::Observe(why));
        }
        let (_, graph) = passes::run(&recorded, &derivations, options)?
            .pop()
            .expect("there is at least the record");
        let plan = plan(&graph, options);
        let code = generate::<T>(&plan, options.verify)?;
        let indices = index_inputs(&graph);
        let program = CellProgram {
            recorded,
            options: options.clone(),
            graph,
            code,
            indices,
            efforts: Efforts::of(&plan),
            plan,
            compile_time: start.elapsed(),
        };
        Ok(CompiledCell {
            program: Arc::new(program),
        })
    }

    /// Compiles the program for one sample of `b` rows after another, whatever this cell's purpose is. `inputs` are those of the
    /// recorded program, laid out as for [`Executor::run`]: parameters and static inputs as they are, for initial states
    /// perhaps an empty slice, which stands for zeros, and empty slices for inputs over steps, which come with the samples.
    ///
    /// # Errors
    /// [`CompileError::Refused`] for a layer that reads the sequence from its end, or other needs of later samples;
    /// [`CompileError::Idle`]; inputs that do not fit.
    pub fn stepper(&self, b: usize, inputs: &[&[T]]) -> Result<Stepper<T>, StepperError> {
        Stepper::of(&self.program.recorded, &self.program.options, b, inputs)
    }

    /// What runs this cell again and again: a workspace and settings, on one thread and without a budget at first.
    pub fn executor(&self) -> Executor<T> {
        Executor::new(self.clone())
    }

    /// Runs the program once, in a workspace that is made for this run and given back after it; see [`Executor::run`]. Whoever
    /// runs a cell more than once keeps an [`executor`](Self::executor).
    ///
    /// # Errors
    /// As `Executor::run`.
    pub fn run(
        &self,
        extent: Extent,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), RunError> {
        self.executor().run(extent, inputs, outputs)
    }

    /// What a run of a new executor takes; see [`Executor::memory`].
    ///
    /// # Errors
    /// As `Executor::memory`.
    pub fn memory(
        &self,
        extent: Extent,
        left_out: (&[usize], &[usize]),
    ) -> Result<RunMemory, RunError> {
        self.executor().memory(extent, left_out)
    }

    /// The arrays that a run reads, in order: the program's inputs, then cotangents, then tangents.
    pub fn inputs(&self) -> &[Input] {
        self.program.graph.inputs()
    }

    /// The arrays that a run writes, in order: the program's outputs, then gradients, then tangents.
    pub fn outputs(&self) -> &[Output] {
        self.program.graph.outputs()
    }

    /// Position of the input called `name`.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs().iter().position(|i| &*i.name == name)
    }

    /// Position of the output called `name`.
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs().iter().position(|o| &*o.name == name)
    }

    /// Numbers that output `k` has in a run; `usize::MAX` if they are more than can be counted.
    pub fn output_len(&self, k: usize, extent: Extent) -> usize {
        let ty = self.program.graph.node(self.outputs()[k].value).ty;
        count(ty.domain, ty.shape, extent.steps, extent.rows)
    }

    /// The machine that it was compiled for.
    pub fn target(&self) -> Target {
        self.plan().target
    }

    /// The plan that the code was made from.
    pub fn plan(&self) -> &Plan {
        &self.program.plan
    }

    /// Time that compiling took, all stages.
    pub fn compile_time(&self) -> Duration {
        self.program.compile_time
    }

    /// Bytes of machine code.
    pub fn code_bytes(&self) -> usize {
        self.program.code.bytes
    }

    pub(crate) fn program(&self) -> &CellProgram<T> {
        &self.program
    }
}

/// An array has the numbers that its type says. Inlined, for a stepper asks for each sample.
#[inline(always)]
pub(crate) fn fits(
    what: &'static str,
    name: &str,
    ty: Type,
    found: usize,
    t: usize,
    b: usize,
) -> Result<(), RunError> {
    let expected = count(ty.domain, ty.shape, t, b);
    if expected == found {
        return Ok(());
    }
    Err(misfit(what, name, ty, expected, found, (t, b)))
}

#[cold]
fn misfit(
    what: &'static str,
    name: &str,
    ty: Type,
    expected: usize,
    found: usize,
    (t, b): (usize, usize),
) -> RunError {
    RunError::Length {
        what,
        name: name.into(),
        layout: layout(ty.domain, ty.shape),
        expected,
        found,
        t,
        b,
    }
}

/// Numbers are row numbers of a table of so many rows, but for those that one of the weights covers: there it is 0.
pub(crate) fn are_rows<T: Element>(
    name: &str,
    given: &[T],
    rows: usize,
    weights: &[&[T]],
) -> Result<(), RunError> {
    let bad = |(at, x): (usize, &T)| {
        let x = x.to_f64();
        let none = x.fract() != 0.0 || !(0.0..rows as f64).contains(&x);
        none && weights.iter().all(|w| w[at].to_f64() != 0.0)
    };
    match given.iter().enumerate().position(bad) {
        None => Ok(()),
        Some(at) => Err(RunError::Index {
            name: name.into(),
            rows,
            at,
            found: format!("{:?}", given[at]),
        }),
    }
}

/// The options of a program in this precision: only in single precision is what delays carry flushed.
pub(crate) fn of_width<T: Element>(options: &Options) -> Options {
    options
        .clone()
        .with(|o| o.flush = options.flush && T::LANE == Lane::F32)
}

/// The native code of a plan, for its target, checked by Cranelift's verifier if `verify` wants it.
pub(crate) fn generate<T: Element>(plan: &Plan, verify: bool) -> Result<Code<T>, CompileError> {
    let isa = generator(plan.target, verify)?;
    let backend = Backend {
        isa: &*isa,
        lane: T::LANE,
    };
    let mut context = FunctionBuilderContext::new();
    let (functions, calls) = share(&backend, plan, &mut context);
    Code::new(plan, isa.clone(), functions, &calls)
}

/// Numbers of a value for `t` steps and `b` rows.
#[inline]
pub(crate) fn count(domain: Domain, shape: Shape, t: usize, b: usize) -> usize {
    // No slice has as many numbers as fit none: what overflows fits no array.
    shape.len().saturating_mul(match domain {
        Domain::Once => 1,
        Domain::Row => b,
        Domain::BoundarySlots(k) => k.saturating_mul(b),
        Domain::Step => t.saturating_mul(b),
    })
}

fn layout(domain: Domain, shape: Shape) -> String {
    let points = match domain {
        Domain::Once => return shape.to_string(),
        Domain::Row => "B".to_string(),
        Domain::BoundarySlots(k) => format!("{k},B"),
        Domain::Step => "T,B".to_string(),
    };
    match shape {
        Shape::Scalar => format!("[{points}]"),
        Shape::Vector(n) => format!("[{points},{n}]"),
        Shape::Matrix(m, n) => format!("[{points},{m},{n}]"),
    }
}

/// Inputs that are row numbers of a table, as they are or reshaped: they are checked before a run.
pub(crate) fn index_inputs(g: &Graph) -> Vec<IndexInput> {
    let mut found = Vec::new();
    for v in g.order() {
        let xs = g.operands(v);
        let (mut index, rows) = match *g.op_of(v) {
            Op::Gather => (xs[1], g.node(xs[0]).ty.shape.as_matrix().0),
            Op::Scatter { rows, .. } => (xs[0], rows),
            _ => continue,
        };
        let mut weights = Some(Vec::new());
        loop {
            match (g.op_of(index), &*g.operands(index)) {
                (Op::Reshape(_), &[x]) => index = x,
                // What a weight of 0 covers is row 0.
                (Op::Map(Map::Select), &[weight, x, zero]) if matches!(g.op_of(zero), Op::Constant { value, .. } if value.0 == 0.0) =>
                {
                    let more = factors(g, weight);
                    weights = weights.zip(more).map(|(a, b)| [a, b].concat());
                    index = x;
                }
                _ => break,
            }
        }
        if let Op::Input { id, .. } = *g.op_of(index) {
            found.push(IndexInput {
                input: id,
                rows,
                weights,
            });
        }
    }
    found
}

/// The inputs, one number a step, whose product a value is, each once.
fn factors(g: &Graph, v: Value) -> Option<Vec<usize>> {
    let mut inputs = Vec::new();
    let (mut seen, mut work) = (HashSet::from_iter([v]), vec![v]);
    while let Some(v) = work.pop() {
        match *g.op_of(v) {
            Op::Input { id, ty } if ty == Type::new(Shape::Scalar, Domain::Step) => inputs.push(id),
            Op::Map(Map::Mul) => {
                let operands = g.operands(v).into_iter();
                work.extend(operands.filter(|&x| seen.insert(x)));
            }
            _ => return None,
        }
    }
    Some(inputs)
}
