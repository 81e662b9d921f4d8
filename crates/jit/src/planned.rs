//! How a run goes: the layout that its memory allows, and its pieces.

use retrograd_graph::plan::{Item, Layout, Storage};

use crate::cell::{CellProgram, CompiledCell};
use crate::element::Element;
use crate::error::RunError;
use crate::exec::cut::Cut;
use crate::exec::points::Points;
use crate::exec::{IndexOutOfRange, MemoryNeed, PlanExecution, Workspace};

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) layout: Layout,
    /// Steps that a sum covers at a time.
    pub(crate) sum_steps: usize,
    pub(crate) cut: Cut,
}

/// Runs a program, or a part of it, in a workspace that is bound to the caller's arrays.
pub(crate) fn execute<T: Element, R: Send>(
    program: &CellProgram<T>,
    workspace: &mut Workspace<T>,
    (points, run): (Points<'_>, Planned),
    count: bool,
    how: impl FnOnce(PlanExecution<'_, T>) -> Result<R, IndexOutOfRange> + Send,
) -> Result<R, RunError> {
    let CellProgram {
        plan,
        code,
        efforts,
        access,
        ..
    } = program;
    // If no work is worth a second thread, no pool is asked for one.
    let sizes = (run.sum_steps, points.rows);
    let cut = match efforts.most(plan, sizes, size_of::<T>(), run.cut, |_| true) {
        1 => Cut::ONE,
        _ => run.cut,
    };
    let ran = how(PlanExecution::new(
        plan,
        code,
        (points, access),
        (cut, efforts),
        run.layout,
        workspace,
        count,
    ));
    ran.map_err(|IndexOutOfRange| RunError::ComputedIndex {
        program: plan.name.clone(),
    })
}

/// The memory of a run: the fastest layout within the budget, whatever the number of threads (because the length of
/// blocks changes bits), and scratch for as many threads as the rest has room for.
pub(crate) fn need<'a, T: Element>(
    cell: &'a CompiledCell<T>,
    budget: Option<usize>,
    points: Points<'a>,
    cut: Cut,
    given: &'a (dyn Fn(Storage) -> bool + Sync),
) -> Result<MemoryNeed<'a, T>, RunError> {
    let CellProgram {
        plan,
        code,
        efforts,
        access,
        ..
    } = cell.program();
    let Points {
        steps: t, rows: b, ..
    } = points;
    let mut need = MemoryNeed {
        plan,
        kernels: code.kernels,
        points,
        access,
        efforts,
        parts: 1,
        layout: Layout {
            block: t,
            replay: false,
        },
        given,
    };
    need.can_be_addressed()?;
    need.layout = need.choose(budget).map_err(|least| {
        let budget = budget.unwrap_or(usize::MAX);
        RunError::Budget {
            budget,
            least,
            t,
            b,
        }
    })?;
    let with_scratch = |item: &Item| matches!(item, Item::Outer { .. } | Item::Product { .. });
    let sizes = (need.sum_steps(), b);
    need.parts = efforts.most(plan, sizes, size_of::<T>(), cut, with_scratch);
    let budget = budget.unwrap_or(usize::MAX);
    while need.parts > 1 && need.bytes() > budget {
        need.parts -= 1;
    }
    Ok(need)
}
