//! [`Residuals`]: what a forward half of a run leaves for its backward half.

use std::sync::{Arc, Mutex, PoisonError};

use retrograd_graph::Graph;
use retrograd_graph::plan::{BufferId, Plan, Storage};
use retrograd_tape::{Extent, InputRole, Lengths, OutputRole};

use crate::arguments::fits;
use crate::cell::{CellProgram, CompiledCell};
use crate::element::Element;
use crate::error::RunError;
use crate::exec::points::Points;
use crate::exec::{Part, PlanExecution, Workspace};
use crate::executor::counted;
use crate::planned::{Planned, execute};

/// What [`Executor::forward`](crate::Executor::forward) keeps: outputs, loss and final states, and all that the
/// gradients need of the forward half. [`backward`](Self::backward) takes the cotangents and does the rest. Both halves
/// together are one [`run`](crate::Executor::run), cut where its plan goes from the first to the second: the results
/// are the same, bit by bit.
///
/// It owns its workspace, so any number of them may be alive, in any order, whatever the executor runs in between. A
/// dropped one gives the workspace back to the executor, which uses it for its next.
///
/// The program needs cotangents as inputs: [`Purpose::Gradients`](crate::Purpose::Gradients) with outputs `given`, the
/// loss among them if its cotangent shall be given too.
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
/// let tape = r.finish("leaky")?; // it has no loss
///
/// let purpose = Purpose::Gradients { given: vec!["y".into(), "h".into()], loss: false, wrt: vec!["a".into()] };
/// let mut executor = CompiledCell::<f32>::compile(&tape, &purpose)?.executor();
/// let (x, a) = ([1.0, 1.0], [0.5]);
/// let kept = executor.forward(Extent::steps(2), &[&x, &a, &[]])?;
/// assert_eq!(kept.output(0), [1.0, 1.5], "y");
/// let wanted = [2.0, 2.0];
/// let cotangents: Vec<f32> = kept.output(0).iter().zip(wanted).map(|(y, w)| y - w).collect();
/// let mut slope = [0.0];
/// kept.backward(&[&x, &a, &[], &cotangents, &[]], &mut [&mut slope])?;
/// assert_eq!(slope, [-0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Residuals<T: Element> {
    cell: CompiledCell<T>,
    /// There until it is given back.
    workspace: Option<Workspace<T>>,
    spare: Spare<T>,
    extent: Extent,
    /// The lengths of the rows, if they are not all of all steps.
    lengths: Option<Lengths>,
    run: Planned,
    /// Which inputs were given.
    given: Vec<bool>,
}

impl<T: Element> Residuals<T> {
    /// Runs the forward half in a sufficient workspace.
    pub(crate) fn keep(
        cell: &CompiledCell<T>,
        workspace: Workspace<T>,
        spare: &Spare<T>,
        (extent, lengths): (Extent, Option<Lengths>),
        run: Planned,
        inputs: &[&[T]],
    ) -> Result<Self, RunError> {
        let mut kept = Residuals {
            cell: cell.clone(),
            workspace: Some(workspace),
            spare: spare.clone(),
            extent,
            lengths,
            run,
            given: inputs.iter().map(|x| !x.is_empty()).collect(),
        };
        let program = cell.program();
        let mut none: Vec<&mut [T]> = Vec::new();
        none.resize_with(program.graph.outputs().len(), || &mut []);
        let workspace = kept.workspace.as_mut().expect("it is not given back yet");
        let points = Points::of(kept.extent, kept.lengths.as_ref());
        workspace.bind(&program.plan, points, inputs, &mut none);
        let forward = |run: PlanExecution<'_, T>| run.run(Part::Forward);
        execute(program, workspace, (points, run), false, forward)?;
        Ok(kept)
    }

    /// The cell that ran.
    pub fn cell(&self) -> &CompiledCell<T> {
        &self.cell
    }

    /// Steps and rows of the run.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The lengths of the rows, if they were given.
    pub fn lengths(&self) -> Option<&Lengths> {
        self.lengths.as_ref()
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        self.workspace.as_ref().map_or(0, |w| w.bytes())
    }

    /// Output `k`, in the order of the cell's outputs: an output, the loss or a final state.
    ///
    /// # Panics
    /// If there is no such output, or it is a gradient.
    pub fn output(&self, k: usize) -> &[T] {
        let role = self.cell.outputs()[k].role;
        assert_ne!(role, OutputRole::Gradient, "gradients come later");
        let workspace = self.workspace.as_ref().expect("it is not given back yet");
        workspace.own(array_of_output(self.cell.program(), k))
    }

    /// Runs the backward half. `inputs` are all inputs of the cell: those that the forward half was given, with the
    /// same numbers, then the cotangents, of which an empty one stands for zeros. `gradients` are the cell's outputs
    /// that are gradients, in order; all of them are written.
    ///
    /// If the inputs have other numbers than before, so have the gradients: they are then those of no function.
    ///
    /// # Errors
    /// Arrays whose number or lengths do not fit; [`RunError::OtherInputs`] for one that only one of the halves was
    /// given.
    #[inline(never)]
    pub fn backward(mut self, inputs: &[&[T]], gradients: &mut [&mut [T]]) -> Result<(), RunError> {
        let points = Points::of(self.extent, self.lengths.as_ref());
        let cell = self.cell.clone();
        let program = cell.program();
        program.check_inputs(points, inputs)?;
        for (i, input) in program.graph.inputs().iter().enumerate() {
            if input.role != InputRole::Cotangent && inputs[i].is_empty() == self.given[i] {
                let name = input.name.to_string();
                return Err(RunError::OtherInputs { name });
            }
        }
        let all = program.graph.outputs().iter().enumerate();
        let wanted: Vec<usize> = all
            .filter(|(_, o)| o.role == OutputRole::Gradient)
            .map(|(k, _)| k)
            .collect();
        counted("gradients", wanted.len(), gradients.len())?;
        for (&k, given) in wanted.iter().zip(&*gradients) {
            let output = &program.graph.outputs()[k];
            let ty = program.graph.node(output.value).ty;
            fits("output", &output.name, ty, given.len(), points)?;
        }
        let workspace = self.workspace.as_mut().expect("it is not given back yet");
        let mut outputs: Vec<&mut [T]> = Vec::new();
        outputs.resize_with(program.graph.outputs().len(), || &mut []);
        for (&k, gradient) in wanted.iter().zip(&mut *gradients) {
            outputs[k] = gradient;
        }
        workspace.bind_again(&program.plan, points.rows, inputs, &mut outputs);
        let backward = |run: PlanExecution<'_, T>| run.run(Part::Backward);
        execute(program, workspace, (points, self.run), false, backward)?;
        for (&k, gradient) in wanted.iter().zip(gradients) {
            // A gradient that the forward half shares a loop with has an array here.
            let own = workspace.own(array_of_output(program, k));
            if !own.is_empty() {
                gradient.copy_from_slice(own);
            }
        }
        Ok(())
    }
}

impl<T: Element> Drop for Residuals<T> {
    fn drop(&mut self) {
        if let Some(workspace) = self.workspace.take() {
            self.spare.give_back(workspace);
        }
    }
}

impl<T: Element> std::fmt::Debug for Residuals<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Residuals")
            .field("program", &self.cell.plan().name)
            .field("extent", &self.extent)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// Workspaces that no run needs any more.
#[derive(Clone, Default)]
pub(crate) struct Spare<T: Element>(Arc<Mutex<Vec<Workspace<T>>>>);

impl<T: Element> Spare<T> {
    /// The one that was given back last, else an empty one.
    pub(crate) fn take(&self) -> Workspace<T> {
        let last = self.list().pop();
        last.unwrap_or_else(Workspace::new)
    }

    fn give_back(&self, workspace: Workspace<T>) {
        self.list().push(workspace);
    }

    /// No code panics while it holds the lock.
    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Workspace<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of inputs of a program's own, which come before its cotangents.
///
/// # Errors
/// [`RunError::NoCotangents`].
pub(crate) fn own_inputs<T: Element>(program: &CellProgram<T>) -> Result<usize, RunError> {
    let inputs = program.graph.inputs();
    let first = inputs.iter().position(|i| i.role == InputRole::Cotangent);
    let tangents = inputs.iter().any(|i| i.role == InputRole::Tangent);
    first
        .filter(|_| !tangents)
        .ok_or_else(|| RunError::NoCotangents {
            program: program.plan.name.clone(),
        })
}

/// For each output, whether the forward half needs its array: all but most gradients.
pub(crate) fn kept_outputs(g: &Graph, plan: &Plan) -> Vec<bool> {
    let outputs = g.outputs().iter();
    let mut kept: Vec<bool> = outputs.map(|o| o.role != OutputRole::Gradient).collect();
    for u in plan.used_early() {
        if let Storage::Output(k) = plan.buffers[u].storage {
            kept[k] = true;
        }
    }
    kept
}

fn array_of_output<T: Element>(program: &CellProgram<T>, k: usize) -> BufferId {
    BufferId::of_input(program.graph.inputs().len() + k)
}
