//! [`CompiledCell`]: a program as machine code, which any number of users can share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::plan::{Plan, plan};
use retrograd_graph::{Graph, Options, Target};
use retrograd_tape::{Extent, Input, Lengths, Observe, Output, Tape, Type};

use crate::arguments::{IndexInput, index_inputs};
use crate::element::{Element, of_width};
use crate::error::CompileError;
use crate::exec::code::{Code, generate};
use crate::exec::cut::Efforts;
use crate::exec::points::StepAccess;
use crate::purpose::Purpose;
use crate::split::kept_outputs;

/// A compiled program: immutable, cheap to clone (clones share plan and machine code), and usable from many threads at
/// once. Each user runs it with an [`Executor`](crate::Executor) of their own, which keeps its workspace between runs.
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

/// The data shared by all clones of a cell.
pub(crate) struct CellProgram<T: Element> {
    /// The program as recorded, and the requested passes: a stepper is made from these.
    pub(crate) recorded: Graph,
    pub(crate) options: Options,
    pub(crate) graph: Graph,
    pub(crate) plan: Plan,
    pub(crate) code: Code<T>,
    pub(crate) indices: Vec<IndexInput>,
    /// For each output, whether the forward half of a run needs its array.
    pub(crate) kept: Vec<bool>,
    // Both keyed by the addresses of the plan's items, which do not move.
    pub(crate) efforts: Efforts,
    pub(crate) access: StepAccess,
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
    /// Compiles a program for the host.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(tape: &Tape, purpose: &Purpose) -> Result<Self, CompileError> {
        Self::compile_with(tape, purpose, &Options::default())
    }

    /// Compiles a program with the passes and plan stages that `options` enable, for their target.
    ///
    /// # Errors
    /// See [`CompileError`]; one of them is a target that the host does not run.
    #[inline(never)]
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
        let graph = passes::run(&recorded, &derivations, options)?;
        let plan = plan(&graph, options);
        let code = generate::<T>(&plan, options.verify)?;
        let indices = index_inputs(&graph);
        let kept = kept_outputs(&graph, &plan);
        let program = CellProgram {
            recorded,
            options: options.clone(),
            graph,
            code,
            indices,
            kept,
            efforts: Efforts::of(&plan),
            access: StepAccess::of(&plan),
            plan,
            compile_time: start.elapsed(),
        };
        Ok(CompiledCell {
            program: Arc::new(program),
        })
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

    /// Shape and domain of output `k`.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn output_type(&self, k: usize) -> Type {
        self.program.graph.node(self.outputs()[k].value).ty
    }

    /// Number of elements of output `k` in a run; `usize::MAX` if that overflows.
    pub fn output_len(&self, k: usize, extent: Extent) -> usize {
        self.output_type(k).numbers(extent.steps, extent.rows)
    }

    /// As [`output_len`](Self::output_len), for rows of different lengths.
    pub fn output_len_ragged(&self, k: usize, lengths: &Lengths) -> usize {
        lengths.numbers(self.program.graph.node(self.outputs()[k].value).ty)
    }

    /// The target that it was compiled for.
    pub fn target(&self) -> Target {
        self.plan().target
    }

    /// The plan that the code was generated from.
    pub fn plan(&self) -> &Plan {
        &self.program.plan
    }

    /// Compile time of all stages together.
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
