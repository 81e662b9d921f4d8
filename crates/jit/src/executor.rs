//! [`Executor`]: runs a compiled cell, behind an interface that checks every length.

use std::time::Duration;

use retrograd_graph::plan::{Item, Layout, Storage};
use retrograd_tape::{Extent, InputRole, Lengths};

use crate::arguments::{are_rows, fits};
use crate::cell::{CellProgram, CompiledCell};
use crate::element::Element;
use crate::error::RunError;
use crate::exec::cut::Cut;
use crate::exec::points::Points;
use crate::exec::pool::parallelism;
use crate::exec::{Calls, IndexOutOfRange, Part, PlanExecution, Workspace};
use crate::planned::{Planned, execute, need};
use crate::split::{Residuals, Spare, own_inputs};

/// The memory of a run, known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunMemory {
    /// Bytes beyond the caller's arrays: arrays of the program's own, packed weights, scratch, addresses.
    pub bytes: usize,
    /// Steps per block that run over time together.
    pub block: usize,
    /// The backward step replays the forward step, block by block, instead of having its values kept.
    pub replays: bool,
}

impl RunMemory {
    /// How the run goes over time.
    pub fn layout(&self) -> Layout {
        Layout {
            block: self.block,
            replay: self.replays,
        }
    }
}

impl<T: Element> CompiledCell<T> {
    /// An executor for this cell: a workspace and settings, initially with one thread and no budget.
    pub fn executor(&self) -> Executor<T> {
        Executor::new(self.clone())
    }

    /// Runs the program once, in a workspace that is allocated for this run and freed after it; see [`Executor::run`].
    /// To run a cell more than once, keep an [`executor`](Self::executor).
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

    /// The memory that a run of a new executor takes; see [`Executor::memory`].
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
}

/// Runs a [`CompiledCell`] repeatedly: it has a workspace, which grows to what a run needs and is kept, and settings
/// for how runs use the machine. It serves one run at a time; the cell that it shares serves any number of them at
/// once. A clone has the same settings, and an empty workspace of its own.
pub struct Executor<T: Element> {
    cell: CompiledCell<T>,
    workspace: Workspace<T>,
    cut: Cut,
    budget: Option<usize>,
    limit: Option<usize>,
    /// Workspaces that split runs have given back.
    spare: Spare<T>,
}

impl<T: Element> Clone for Executor<T> {
    fn clone(&self) -> Self {
        Executor {
            cell: self.cell.clone(),
            workspace: Workspace::new(),
            spare: Spare::default(),
            ..*self
        }
    }
}

impl<T: Element> std::fmt::Debug for Executor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("cell", &self.cell)
            .field("threads", &self.cut.threads)
            .field("budget", &self.budget)
            .field("limit", &self.limit)
            .field("workspace_bytes", &self.workspace_bytes())
            .finish_non_exhaustive()
    }
}

impl<T: Element> Executor<T> {
    pub(crate) fn new(cell: CompiledCell<T>) -> Self {
        Executor {
            cell,
            workspace: Workspace::new(),
            cut: Cut::ONE,
            budget: None,
            limit: None,
            spare: Spare::default(),
        }
    }

    /// The cell that this runs.
    pub fn cell(&self) -> &CompiledCell<T> {
        &self.cell
    }

    /// Lets runs cut their work into as many as `threads` concurrent pieces, at most one for each thread that the
    /// machine runs at once ([`std::thread::available_parallelism`]). The caller does what nobody else has taken, and
    /// threads of the rayon pool that the run is called in help, else those of rayon's global pool: executors create no
    /// threads of their own. A thread that has helped looks for more for about a millisecond before the pool has it
    /// back. Work too small to be worth waking a thread stays on one. Results are the same, bit by bit, for any number.
    pub fn set_threads(&mut self, threads: usize) {
        self.cut = Cut::into(threads.clamp(1, parallelism()));
    }

    /// Cuts work into this many concurrent pieces, even where that does not pay, or the machine has fewer threads: for
    /// tests of results that must not depend on it.
    #[doc(hidden)]
    pub fn cut_into(&mut self, pieces: usize) {
        self.cut = Cut::always(pieces.max(1));
    }

    /// Limits runs to this many bytes beyond the caller's arrays; `None`, the default, lets them take what is fastest.
    /// With less memory, blocks of steps get shorter, and a backward step recomputes the values of the forward step
    /// that it needs instead of keeping them. Gradients are the same up to rounding.
    pub fn set_budget(&mut self, bytes: Option<usize>) {
        self.budget = bytes;
    }

    /// Rejects runs that would take more than this many bytes beyond the caller's arrays ([`RunError::Memory`]), before
    /// anything is allocated; `None`, the default, stands for the memory of the machine (or of its control group, on
    /// Linux). Unlike a [budget](Self::set_budget), a limit never changes how a run goes over time.
    pub fn set_memory_limit(&mut self, bytes: Option<usize>) {
        self.limit = bytes;
    }

    /// The memory that a run will take beyond the caller's arrays, and how it will go over time. The inputs and outputs
    /// at the positions `left_out` will be empty; each is replaced by an array of the program's own.
    ///
    /// # Errors
    /// If there are no steps or no rows, more bytes than the budget (the error names the fewest), or more than can be
    /// addressed.
    pub fn memory(
        &self,
        extent: Extent,
        left_out: (&[usize], &[usize]),
    ) -> Result<RunMemory, RunError> {
        self.memory_of(extent.into(), left_out)
    }

    /// As [`memory`](Self::memory), for rows of different lengths.
    ///
    /// # Errors
    /// As there.
    pub fn memory_ragged(
        &self,
        lengths: &Lengths,
        left_out: (&[usize], &[usize]),
    ) -> Result<RunMemory, RunError> {
        self.memory_of(lengths.into(), left_out)
    }

    #[inline(never)]
    pub(crate) fn memory_of(
        &self,
        points: Points<'_>,
        left_out: (&[usize], &[usize]),
    ) -> Result<RunMemory, RunError> {
        points.exist()?;
        let given = |s| match s {
            Storage::Input(k) => !left_out.0.contains(&k),
            Storage::Output(k) => !left_out.1.contains(&k),
            Storage::Workspace => false,
        };
        let need = need(&self.cell, self.budget, points, self.cut, &given)?;
        Ok(RunMemory {
            bytes: need.bytes(),
            block: need.layout.block,
            replays: need.layout.replay,
        })
    }

    /// Bytes of the last run's arrays, packed weights and scratch, without the caller's arrays.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.bytes()
    }

    /// Runs the program for T steps of B rows.
    ///
    /// Layouts: domain `once`: the shape; `row`: `[B, shape]`; `slots k`: `[k, B, shape]`; `step`: `[T, B, shape]`. An
    /// empty slice for an initial state, a cotangent or a tangent stands for zeros; an empty slice for an output says
    /// that it is not requested.
    ///
    /// # Errors
    /// Arrays whose number or lengths do not fit, row numbers that are not rows of their table, more memory than is
    /// allowed: then nothing has run. [`RunError::ComputedIndex`], if that happens during the run: then the contents of
    /// the outputs are unspecified, and the next run is not affected.
    #[inline(never)]
    pub fn run(
        &mut self,
        extent: Extent,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), RunError> {
        let whole = |run: PlanExecution<'_, T>| run.run(Part::Whole);
        self.run_with(extent.into(), inputs, outputs, false, whole)
            .map(|_| ())
    }

    /// Runs the program for rows of different lengths: only the steps that a row has are computed. Arrays over steps
    /// have the values of these points alone, one after another: layout `[points, shape]`, row r of step t at
    /// [`lengths.offset(t)`](Lengths::offset)` + r`. A row that is read from its end, and its final states, have its own
    /// end. The other layouts are those of [`run`](Self::run).
    ///
    /// ```
    /// use retrograd_jit::{CompiledCell, Purpose};
    /// use retrograd_tape::{InputRole, Lengths, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// let sum = r.state("sum", Shape::Scalar, 1, None);
    /// r.next(sum, sum + x);
    /// let tape = r.finish("sum")?;
    /// let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward)?;
    /// // Rows of three steps and of one: 1 + 3 + 4, and 2.
    /// let (lengths, mut last) = (Lengths::new(vec![3, 1])?, [0.0; 2]);
    /// cell.executor().run_ragged(&lengths, &[&[1.0, 2.0, 3.0, 4.0], &[]], &mut [&mut last])?;
    /// assert_eq!(last, [8.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As `run`.
    #[inline(never)]
    pub fn run_ragged(
        &mut self,
        lengths: &Lengths,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), RunError> {
        let whole = |run: PlanExecution<'_, T>| run.run(Part::Whole);
        self.run_with(lengths.into(), inputs, outputs, false, whole)
            .map(|_| ())
    }

    /// Runs the forward half of a program with cotangents; see [`Residuals`](crate::Residuals).
    ///
    /// `inputs` are the program's own, without the cotangents that the cell's inputs end with.
    ///
    /// # Errors
    /// [`RunError::NoCotangents`] for a program that was compiled without any; else as [`run`](Self::run), with nothing
    /// kept.
    #[inline(never)]
    pub fn forward(&mut self, extent: Extent, inputs: &[&[T]]) -> Result<Residuals<T>, RunError> {
        self.keep(extent, None, inputs)
    }

    /// As [`forward`](Self::forward), for rows of different lengths; see [`run_ragged`](Self::run_ragged).
    ///
    /// # Errors
    /// As there.
    #[inline(never)]
    pub fn forward_ragged(
        &mut self,
        lengths: &Lengths,
        inputs: &[&[T]],
    ) -> Result<Residuals<T>, RunError> {
        let extent = Extent::steps(lengths.steps()).rows(lengths.rows());
        self.keep(extent, Some(lengths.clone()), inputs)
    }

    fn keep(
        &mut self,
        extent: Extent,
        lengths: Option<Lengths>,
        inputs: &[&[T]],
    ) -> Result<Residuals<T>, RunError> {
        let points = Points::of(extent, lengths.as_ref());
        let program = self.cell.program();
        let own = own_inputs(program)?;
        counted("inputs", own, inputs.len())?;
        let mut all = inputs.to_vec();
        all.resize(program.graph.inputs().len(), &[]);
        program.check_inputs(points, &all)?;
        let given = |s: Storage| match s {
            Storage::Input(k) => !all[k].is_empty(),
            Storage::Output(k) => !program.kept[k],
            Storage::Workspace => false,
        };
        let need = need(&self.cell, self.budget, points, self.cut, &given)?;
        let run = Planned {
            layout: need.layout,
            sum_steps: need.sum_steps(),
            cut: self.cut,
        };
        let mut workspace = self.spare.take();
        workspace.fit(&need, self.limit)?;
        Residuals::keep(
            &self.cell,
            workspace,
            &self.spare,
            (extent, lengths),
            run,
            &all,
        )
    }

    /// Like [`run`](Self::run), on one thread, and returns how often kernels were called.
    ///
    /// # Errors
    /// As `run`.
    #[inline(never)]
    pub fn count_calls(
        &mut self,
        extent: Extent,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<Calls, RunError> {
        let whole = |run: PlanExecution<'_, T>| run.run(Part::Whole);
        self.run_with(extent.into(), inputs, outputs, true, whole)
    }

    /// Like [`run`](Self::run), and returns how long each of the plan's [`leaves`](retrograd_graph::plan::Plan::leaves)
    /// took.
    ///
    /// # Errors
    /// As `run`.
    #[inline(never)]
    pub fn time_items(
        &mut self,
        extent: Extent,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<Vec<Duration>, RunError> {
        let timed = |run: PlanExecution<'_, T>| run.run_timed();
        let times = self.run_with(extent.into(), inputs, outputs, false, timed)?;
        let of = |item| {
            let at = std::ptr::from_ref::<Item>(item).addr();
            let own = times.iter().filter(|(x, _)| *x == at);
            own.map(|(_, time)| *time).sum()
        };
        Ok(self
            .cell
            .plan()
            .leaves()
            .iter()
            .map(|leaf| of(leaf.item))
            .collect())
    }

    fn run_with<R: Send>(
        &mut self,
        points: Points<'_>,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
        count: bool,
        how: impl FnOnce(PlanExecution<'_, T>) -> Result<R, IndexOutOfRange> + Send,
    ) -> Result<R, RunError> {
        let program = self.cell.program();
        program.check_inputs(points, inputs)?;
        program.check_outputs(points, outputs)?;
        let cut = if count { Cut::ONE } else { self.cut };
        let given = |s: Storage| match s {
            Storage::Input(k) => !inputs[k].is_empty(),
            Storage::Output(k) => !outputs[k].is_empty(),
            Storage::Workspace => false,
        };
        let need = need(&self.cell, self.budget, points, cut, &given)?;
        let (layout, steps) = (need.layout, need.sum_steps());
        self.workspace.fit(&need, self.limit)?;
        let run = Planned {
            layout,
            sum_steps: steps,
            cut,
        };
        let program = self.cell.program();
        self.workspace.bind(&program.plan, points, inputs, outputs);
        execute(program, &mut self.workspace, (points, run), count, how)
    }
}

impl<T: Element> CellProgram<T> {
    /// Checks the number and lengths of a run's inputs, and that given row numbers are rows of their tables.
    pub(crate) fn check_inputs(&self, points: Points<'_>, inputs: &[&[T]]) -> Result<(), RunError> {
        points.exist()?;
        counted("inputs", self.graph.inputs().len(), inputs.len())?;
        for (i, given) in self.graph.inputs().iter().zip(inputs) {
            let zeros = matches!(
                i.role,
                InputRole::Initial | InputRole::Cotangent | InputRole::Tangent
            );
            if given.is_empty() && zeros {
                continue;
            }
            fits("input", &i.name, i.ty, given.len(), points)?;
        }
        for index in &self.indices {
            let k = index.input;
            if let Some(weights) = &index.weights {
                let weights: Vec<&[T]> = weights.iter().map(|&w| inputs[w]).collect();
                are_rows(
                    &self.graph.inputs()[k].name,
                    inputs[k],
                    index.rows,
                    &weights,
                )?;
            }
        }
        Ok(())
    }

    /// Checks the number and lengths of a run's outputs.
    fn check_outputs(&self, points: Points<'_>, outputs: &[&mut [T]]) -> Result<(), RunError> {
        counted("outputs", self.graph.outputs().len(), outputs.len())?;
        for (o, given) in self.graph.outputs().iter().zip(outputs) {
            let ty = self.graph.node(o.value).ty;
            if !given.is_empty() {
                fits("output", &o.name, ty, given.len(), points)?;
            }
        }
        Ok(())
    }
}

/// Checks a number of arrays.
pub(crate) fn counted(what: &'static str, expected: usize, found: usize) -> Result<(), RunError> {
    match expected == found {
        true => Ok(()),
        false => Err(RunError::Count {
            what,
            expected,
            found,
        }),
    }
}
