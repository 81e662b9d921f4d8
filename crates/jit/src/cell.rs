//! [`CompiledCell`]: a program as machine code, behind an interface that checks every length.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cranelift::prelude::FunctionBuilderContext;
use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::plan::{Item, Layout, Plan, Renamed, Storage, plan};
use retrograd_graph::{Graph, Options};
use retrograd_tape::{Domain, Input, Observe, Op, Output, Role, Shape, Tape, Type};

use crate::element::Element;
use crate::error::{CompileError, RunError, StepperError};
use crate::exec::code::{Code, host};
use crate::exec::{Calls, Need, Run, Workspace};
use crate::lower::{Names, Target, lower};
use crate::purpose::Purpose;
use crate::stepper::Stepper;

/// A row-number input: position, and rows of the table it indexes.
pub(crate) type IndexInput = (usize, usize);

/// What a run takes, known before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes beyond the caller's arrays: arrays of the program's own, packed weights, scratch, addresses.
    pub bytes: usize,
    /// Steps that go through time together.
    pub block: usize,
    /// The backward step runs the forward step again, block by block, instead of having its values kept.
    pub replays: bool,
}

impl Memory {
    /// How the run goes through time.
    pub fn layout(&self) -> Layout {
        Layout {
            block: self.block,
            replay: self.replays,
        }
    }
}

/// A compiled program. It is reused for any number of steps and rows; its workspace grows to what a run needs and stays.
pub struct CompiledCell<T: Element> {
    /// The program as it was recorded, and the passes that were wanted: what a stepper is made from.
    recorded: Graph,
    options: Options,
    graph: Graph,
    plan: Plan,
    code: Code,
    workspace: Workspace<T>,
    indices: Vec<IndexInput>,
    threads: usize,
    budget: Option<usize>,
    pool: Option<rayon::ThreadPool>,
    compile_time: Duration,
}

impl<T: Element> std::fmt::Debug for CompiledCell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledCell")
            .field("program", &self.plan.name)
            .field("code_bytes", &self.code.bytes)
            .field("compile_time", &self.compile_time)
            .finish_non_exhaustive()
    }
}

impl<T: Element> CompiledCell<T> {
    /// Compiles a program.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(tape: &Tape, purpose: &Purpose) -> Result<Self, CompileError> {
        Self::compile_with(tape, purpose, &Options::default())
    }

    /// Compiles a program with the passes and plan stages that `options` want.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile_with(
        tape: &Tape,
        purpose: &Purpose,
        options: &Options,
    ) -> Result<Self, CompileError> {
        let start = Instant::now();
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
        let workspace = Workspace::new();
        let compile_time = start.elapsed();
        Ok(CompiledCell {
            recorded,
            options: options.clone(),
            graph,
            plan,
            code,
            workspace,
            indices,
            threads: 1,
            budget: None,
            pool: None,
            compile_time,
        })
    }

    /// Compiles the program for one sample of `b` rows after another, whatever this cell's purpose is. `inputs` are those of the
    /// recorded program, laid out as for [`run`](Self::run): parameters and static inputs as they are, for initial states
    /// perhaps an empty slice, which stands for zeros, and empty slices for inputs over steps, which come with the samples.
    ///
    /// # Errors
    /// [`CompileError::Refused`] for a layer that reads the sequence from its end, or other needs of later samples;
    /// [`CompileError::Idle`]; inputs that do not fit.
    pub fn stepper(&self, b: usize, inputs: &[&[T]]) -> Result<Stepper<T>, StepperError> {
        Stepper::of(&self.recorded, &self.options, b, inputs)
    }

    /// Lets runs use this many threads. Results are the same, bit by bit, for any number.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn set_threads(&mut self, threads: usize) -> Result<(), CompileError> {
        self.threads = threads.max(1);
        self.pool = match self.threads {
            1 => None,
            n => {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build();
                Some(pool.map_err(|e| CompileError::Host(format!("{n} threads: {e}")))?)
            }
        };
        Ok(())
    }

    /// The arrays that a run reads, in order: the program's inputs, then cotangents, then tangents.
    pub fn inputs(&self) -> &[Input] {
        self.graph.inputs()
    }

    /// The arrays that a run writes, in order: the program's outputs, then gradients, then tangents.
    pub fn outputs(&self) -> &[Output] {
        self.graph.outputs()
    }

    /// Position of the input called `name`.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs().iter().position(|i| &*i.name == name)
    }

    /// Position of the output called `name`.
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs().iter().position(|o| &*o.name == name)
    }

    /// Numbers that output `k` has for `t` steps and `b` rows.
    pub fn output_len(&self, k: usize, t: usize, b: usize) -> usize {
        let ty = self.graph.node(self.outputs()[k].value).ty;
        count(ty.domain, ty.shape, t, b)
    }

    /// The plan that the code was made from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Time that compiling took, all stages.
    pub fn compile_time(&self) -> Duration {
        self.compile_time
    }

    /// Bytes of machine code.
    pub fn code_bytes(&self) -> usize {
        self.code.bytes
    }

    /// Lets runs take no more than this many bytes beyond the caller's arrays; `None`, as at first, lets them take what they
    /// are fastest with. With less memory, blocks of steps get shorter, and a backward step makes what it needs of the
    /// forward step again instead of keeping it. Gradients are the same up to rounding.
    pub fn set_budget(&mut self, bytes: Option<usize>) {
        self.budget = bytes;
    }

    /// What a run for `t` steps of `b` rows will take beyond the caller's arrays, and how it will go through time. The
    /// inputs and outputs at the positions `left_out` will be empty; each has an array of the program's own in its place.
    ///
    /// # Errors
    /// No steps or no rows, or more bytes than the budget has; the error names the fewest.
    pub fn memory(
        &self,
        t: usize,
        b: usize,
        left_out: (&[usize], &[usize]),
    ) -> Result<Memory, RunError> {
        if t == 0 || b == 0 {
            return Err(RunError::Empty { t, b });
        }
        let given = |s| match s {
            Storage::Input(k) => !left_out.0.contains(&k),
            Storage::Output(k) => !left_out.1.contains(&k),
            Storage::Workspace => false,
        };
        let layout = self.layout(t, b, self.threads, &given)?;
        let need = Need {
            plan: &self.plan,
            t,
            b,
            threads: self.threads,
            layout,
            given: &given,
        };
        Ok(Memory {
            bytes: need.bytes::<T>(),
            block: layout.block,
            replays: layout.replay,
        })
    }

    /// Bytes that the last run's arrays, packed weights and scratch take; the caller's arrays not counted.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.bytes()
    }

    /// Runs the program for `t` steps of `b` rows.
    ///
    /// Layouts: domain `once`: the shape; `row`: `[B, shape]`; `edge k`: `[k, B, shape]`; `step`: `[T, B, shape]`. An empty
    /// slice for an initial state, a cotangent or a tangent stands for zeros; an empty slice for an output says it is not wanted.
    ///
    /// # Errors
    /// Arrays whose number or lengths do not fit. Then nothing has run.
    pub fn run(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), RunError> {
        self.run_with(t, b, inputs, outputs, false, |run| run.run())
            .map(|_| ())
    }

    /// Like [`run`](Self::run), on one thread, and tells how often kernels were called.
    ///
    /// # Errors
    /// As `run`.
    pub fn count_calls(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<Calls, RunError> {
        self.run_with(t, b, inputs, outputs, true, |run| run.run())
    }

    /// Like [`run`](Self::run), and tells how long each of the plan's [`leaves`](Plan::leaves) took.
    ///
    /// # Errors
    /// As `run`.
    pub fn time_items(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<Vec<Duration>, RunError> {
        let times = self.run_with(t, b, inputs, outputs, false, |run| run.run_timed())?;
        let of = |item| {
            let at = std::ptr::from_ref::<Item>(item).addr();
            let own = times.iter().filter(|(x, _)| *x == at);
            own.map(|(_, time)| *time).sum()
        };
        Ok(self
            .plan
            .leaves()
            .iter()
            .map(|leaf| of(leaf.item))
            .collect())
    }

    fn run_with<R: Send>(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
        count: bool,
        how: impl FnOnce(Run<'_, T>) -> R + Send,
    ) -> Result<R, RunError> {
        self.check(t, b, inputs, outputs)?;
        let threads = if count { 1 } else { self.threads };
        let given = |s: Storage| match s {
            Storage::Input(k) => !inputs[k].is_empty(),
            Storage::Output(k) => !outputs[k].is_empty(),
            Storage::Workspace => false,
        };
        let layout = self.layout(t, b, threads, &given)?;
        let CompiledCell {
            plan,
            code,
            workspace,
            pool,
            ..
        } = self;
        workspace.fit(&Need {
            plan,
            t,
            b,
            threads,
            layout,
            given: &given,
        });
        workspace.bind(plan, inputs, outputs);
        let run = || {
            how(Run::new(
                plan,
                code,
                (t, b),
                threads,
                layout,
                workspace,
                count,
            ))
        };
        Ok(match pool {
            Some(pool) if threads > 1 => pool.install(run),
            _ => run(),
        })
    }

    /// How a run goes through time, within the budget.
    fn layout(
        &self,
        t: usize,
        b: usize,
        threads: usize,
        given: &(dyn Fn(Storage) -> bool + Sync),
    ) -> Result<Layout, RunError> {
        let need = Need {
            plan: &self.plan,
            t,
            b,
            threads,
            layout: Layout {
                block: t,
                replay: false,
            },
            given,
        };
        need.choose::<T>(self.budget)
            .map_err(|least| RunError::Budget {
                budget: self.budget.unwrap_or(usize::MAX),
                least,
                t,
                b,
            })
    }

    fn check(
        &self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        outputs: &[&mut [T]],
    ) -> Result<(), RunError> {
        if t == 0 || b == 0 {
            return Err(RunError::Empty { t, b });
        }
        for (what, expected, found) in [
            ("inputs", self.inputs().len(), inputs.len()),
            ("outputs", self.outputs().len(), outputs.len()),
        ] {
            if expected != found {
                return Err(RunError::Count {
                    what,
                    expected,
                    found,
                });
            }
        }
        for (i, given) in self.inputs().iter().zip(inputs) {
            let zeros = matches!(i.role, Role::Initial | Role::Cotangent | Role::Tangent);
            if given.is_empty() && zeros {
                continue;
            }
            fits("input", &i.name, i.ty, given.len(), t, b)?;
        }
        for (o, given) in self.outputs().iter().zip(outputs) {
            let ty = self.graph.node(o.value).ty;
            if !given.is_empty() {
                fits("output", &o.name, ty, given.len(), t, b)?;
            }
        }
        for &(k, rows) in &self.indices {
            are_rows(&self.inputs()[k].name, inputs[k], rows)?;
        }
        Ok(())
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

/// Numbers are row numbers of a table of so many rows.
pub(crate) fn are_rows<T: Element>(name: &str, given: &[T], rows: usize) -> Result<(), RunError> {
    let bad = |x: &T| {
        let x = x.to_f64();
        x.fract() != 0.0 || x < 0.0 || x >= rows as f64
    };
    match given.iter().position(bad) {
        None => Ok(()),
        Some(at) => Err(RunError::Index {
            name: name.into(),
            rows,
            at,
            found: format!("{:?}", given[at]),
        }),
    }
}

/// The native code of a plan, checked by Cranelift's verifier if `verify` wants it.
pub(crate) fn generate<T: Element>(plan: &Plan, verify: bool) -> Result<Code, CompileError> {
    let isa = host(verify)?;
    let target = Target {
        isa: &*isa,
        lane: T::LANE,
    };
    let mut context = FunctionBuilderContext::new();
    // Loops that differ in their arrays' names only are one function, which is told the names.
    let loops = plan.loops();
    let mut renamed: Vec<Renamed> = loops.iter().map(|l| plan.renamed(l)).collect();
    let mut forms: HashMap<String, Vec<usize>> = HashMap::new();
    let mut order: Vec<usize> = Vec::new();
    for (i, r) in renamed.iter_mut().enumerate() {
        let alike = forms.entry(std::mem::take(&mut r.form)).or_default();
        if alike.is_empty() {
            order.push(i);
        }
        alike.push(i);
    }
    let mut alike: HashMap<usize, Vec<usize>> =
        forms.into_values().map(|all| (all[0], all)).collect();
    let mut functions = Vec::new();
    let mut calls: Vec<(usize, Names)> = vec![(0, Names::default()); loops.len()];
    for first in order {
        let all = alike.remove(&first).expect("it is the first of its kind");
        let names = (all.len() > 1).then(|| Names::of(&renamed[first]));
        for i in all {
            let own = names.as_ref().map(|_| Names::of(&renamed[i]));
            calls[i] = (functions.len(), own.unwrap_or_default());
        }
        functions.push(lower(
            &target,
            plan,
            loops[first],
            names.as_ref(),
            &mut context,
        ));
    }
    Code::new(&plan.name, isa.clone(), functions, calls)
}

/// Numbers of a value for `t` steps and `b` rows.
#[inline]
pub(crate) fn count(domain: Domain, shape: Shape, t: usize, b: usize) -> usize {
    shape.len()
        * match domain {
            Domain::Once => 1,
            Domain::Row => b,
            Domain::Edge(k) => k * b,
            Domain::Step => t * b,
        }
}

fn layout(domain: Domain, shape: Shape) -> String {
    let points = match domain {
        Domain::Once => return shape.to_string(),
        Domain::Row => "B".to_string(),
        Domain::Edge(k) => format!("{k},B"),
        Domain::Step => "T,B".to_string(),
    };
    match shape {
        Shape::Scalar => format!("[{points}]"),
        Shape::Vector(n) => format!("[{points},{n}]"),
        Shape::Matrix(m, n) => format!("[{points},{m},{n}]"),
    }
}

/// Inputs that are row numbers of a table.
pub(crate) fn index_inputs(g: &Graph) -> Vec<IndexInput> {
    let mut found = Vec::new();
    for v in g.order() {
        let xs = g.operands(v);
        let (index, rows) = match *g.op_of(v) {
            Op::Gather => (xs[1], g.node(xs[0]).ty.shape.as_matrix().0),
            Op::Scatter { rows, .. } => (xs[0], rows),
            _ => continue,
        };
        if let Op::Input { id, .. } = *g.op_of(index) {
            found.push((id, rows));
        }
    }
    found
}
