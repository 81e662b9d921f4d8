//! Where the points of a run lie in arrays over steps.
//!
//! Rows have lengths of their own, longest first, so `live` rows have a step, the first ones, and a row keeps its
//! position from step to step. One table, `before(t)`, has the number of points before each step; equal lengths make it
//! `t · B`. In an array with `front` boundary steps before the sequence and `back` after it, row r of step t is value
//! number `(front + back) · B + before(t − back) + r`: as if each row were `back` steps longer, so that the boundary steps
//! after a row follow its own last step. Hence a view that is `shift` steps ahead reads the table at `t − lag`, where
//! `lag = back − shift`; steps before the first one have all rows.

use std::ops::Range;

use cranelift::codegen::entity::EntityRef;
use retrograd_graph::plan::cost::{WeightUse, weight_uses};
use retrograd_graph::plan::{Buffer, BufferId, Item, LoopId, Plan, View, WeightId, walk};
use retrograd_tape::{Domain, Extent, Lengths, Type};

use crate::error::RunError;

/// The points of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points<'a> {
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    /// Lengths of the rows, unless all have all steps.
    lengths: Option<&'a Lengths>,
}

impl From<Extent> for Points<'static> {
    fn from(Extent { steps, rows }: Extent) -> Self {
        Points {
            steps,
            rows,
            lengths: None,
        }
    }
}

impl<'a> From<&'a Lengths> for Points<'a> {
    fn from(lengths: &'a Lengths) -> Self {
        let (steps, rows) = (lengths.steps(), lengths.rows());
        let full = lengths.points() == steps * rows;
        Points {
            steps,
            rows,
            lengths: (!full).then_some(lengths),
        }
    }
}

impl<'a> Points<'a> {
    /// Those of a run over rows of these lengths, if there are any, else of all steps.
    pub(crate) fn of(extent: Extent, lengths: Option<&'a Lengths>) -> Points<'a> {
        lengths.map_or(extent.into(), Points::from)
    }

    /// # Errors
    /// [`RunError::Empty`].
    pub(crate) fn exist(&self) -> Result<(), RunError> {
        let (t, b) = (self.steps, self.rows);
        match t == 0 || b == 0 {
            true => Err(RunError::Empty { t, b }),
            false => Ok(()),
        }
    }

    /// True if rows differ in length.
    pub(crate) fn ragged(&self) -> bool {
        self.lengths.is_some()
    }

    /// Points before step `t`.
    pub(crate) fn before(&self, t: usize) -> usize {
        self.lengths
            .map_or(t.saturating_mul(self.rows), |l| l.offset(t))
    }

    /// The first step with at least this many points before it; T if there is none.
    pub(crate) fn after(&self, points: usize) -> usize {
        match self.lengths {
            Some(lengths) => lengths.step_after(points),
            None => points.div_ceil(self.rows.max(1)).min(self.steps),
        }
    }

    /// Rows that have step `t`.
    pub(crate) fn live(&self, t: usize) -> usize {
        self.lengths.map_or(self.rows, |l| l.live(t))
    }

    /// Numbers of an array of the caller's; `usize::MAX` if that overflows.
    pub(crate) fn numbers(&self, ty: Type) -> usize {
        match (ty.domain, self.lengths) {
            (Domain::Step, Some(l)) => l.points().saturating_mul(ty.shape.len()),
            _ => ty.numbers(self.steps, self.rows),
        }
    }

    /// The steps of row `r`.
    pub(crate) fn length(&self, r: usize) -> usize {
        self.lengths.map_or(self.steps, |l| l.of_rows()[r])
    }
}

/// The number of steps by which a view's entries of the table lag behind its step.
pub(crate) fn lag(buffer: &Buffer, v: View) -> i64 {
    buffer.back as i64 - v.shift
}

/// `before(t)` for the steps of a run, and for as many steps before the first as views lag behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepTable {
    before: Vec<i64>,
    reach: usize,
}

impl StepTable {
    /// Bytes for this many steps.
    pub(crate) fn bytes(reach: usize, steps: usize) -> usize {
        (reach + steps + 1).saturating_mul(size_of::<i64>())
    }

    /// An empty table with room for this many steps.
    pub(crate) fn with_capacity(reach: usize, steps: usize) -> StepTable {
        StepTable {
            before: Vec::with_capacity(reach + steps + 1),
            reach,
        }
    }

    /// Bytes allocated.
    pub(crate) fn allocated(&self) -> usize {
        self.before.capacity() * size_of::<i64>()
    }

    /// True if there is room for this many steps and no more.
    pub(crate) fn fits(&self, reach: usize, steps: usize) -> bool {
        self.reach == reach && self.before.capacity() == reach + steps + 1
    }

    /// Fills the table.
    pub(crate) fn fill(&mut self, points: Points<'_>) {
        let rows = points.rows as i64;
        let first = -(self.reach as i64) * rows;
        self.before.clear();
        self.before
            .extend((0..self.reach as i64).map(|k| first + k * rows));
        self.before
            .extend((0..=points.steps).map(|t| points.before(t) as i64));
    }

    /// T
    pub(crate) fn steps(&self) -> usize {
        self.before.len() - self.reach - 1
    }

    /// The entry of step `t`, which may be up to `reach` steps before the first one.
    pub(crate) fn before(&self, t: i64) -> i64 {
        self.before[(t + self.reach as i64) as usize]
    }

    /// The address of the entry of step 0.
    pub(crate) fn step_0(&self) -> *const i64 {
        self.before.as_ptr().wrapping_add(self.reach)
    }

    /// Rows that have step `t`; all rows at steps before the first.
    pub(crate) fn live(&self, t: i64) -> usize {
        (self.before(t + 1) - self.before(t)) as usize
    }

    /// Points in steps t0 .. t1.
    pub(crate) fn points(&self, t0: usize, t1: usize) -> usize {
        (self.before(t1 as i64) - self.before(t0 as i64)) as usize
    }

    /// True if the points of steps t0 .. t1 are contiguous in an array whose entries lag behind.
    pub(crate) fn contiguous(&self, lag: i64, t0: usize, t1: usize) -> bool {
        let (t0, t1) = (t0 as i64, t1 as i64);
        self.before(t1 - lag) - self.before(t0 - lag) == self.before(t1) - self.before(t0)
    }

    /// The first step of steps t0 .. t1 with at least this many points before it, counted from t0; t1 if there is none.
    pub(crate) fn after(&self, points: usize, t0: usize, t1: usize) -> usize {
        let entries = &self.before[self.reach + t0..self.reach + t1];
        let first = self.before(t0 as i64);
        t0 + entries.partition_point(|&x| ((x - first) as usize) < points)
    }

    /// Cuts steps t0 .. t1 into runs in which all steps have the same rows, at the same distance from step to step in all
    /// arrays whose entries lag behind by at most `lag`, and calls `f` with each and its number of rows: from the last to
    /// the first if `reverse`.
    pub(crate) fn each_run(
        &self,
        (t0, t1): (usize, usize),
        lag: usize,
        reverse: bool,
        mut f: impl FnMut(usize, usize, usize),
    ) {
        // Rows only end, so steps have the same rows if the first and the last of them do.
        let live = |t: usize| self.live(t as i64);
        let lagging = |t: usize| self.live(t as i64 - lag as i64);
        let (mut from, mut to) = (t0, t1);
        while from < to {
            if reverse {
                let rows = live(to - 1);
                let at = first(from..to - 1, |t| lagging(t) == rows);
                f(at, to, rows);
                to = at;
            } else {
                let rows = live(from);
                let at = match lagging(from) == rows {
                    true => first(from + 1..to, |t| live(t) != rows),
                    false => from + 1,
                };
                f(from, at, rows);
                from = at;
            }
        }
    }
}

/// The first number of a range for which something is true from there on; its end if there is none.
fn first(Range { start, end }: Range<usize>, is: impl Fn(usize) -> bool) -> usize {
    // Mostly all of them or none: rows of equal lengths.
    if start >= end || is(start) {
        return start.min(end);
    }
    if !is(end - 1) {
        return end;
    }
    let (mut no, mut yes) = (start, end - 1);
    while yes - no > 1 {
        let middle = usize::midpoint(no, yes);
        match is(middle) {
            true => yes = middle,
            false => no = middle,
        }
    }
    yes
}

/// An array's first value, that of boundary step `-front`, comes this many rows before the entry 0 of the table.
pub(crate) fn rows_before(buffer: &Buffer, rows: usize) -> usize {
    match buffer.domain {
        Domain::Step => (buffer.front + buffer.back) * rows,
        Domain::Once | Domain::Row | Domain::BoundarySlots(_) => 0,
    }
}

/// How the items of a plan read arrays over steps, and weights.
#[derive(Debug)]
pub(crate) struct StepAccess {
    /// Boundary steps of an array, at most.
    pub(crate) reach: usize,
    /// The maximal lag of each loop.
    lags: Vec<usize>,
    /// The arrays that an item reads or writes counted from the end of each row, by the item's address, and whether it
    /// writes them.
    ends: Vec<(usize, BufferId, bool)>,
    /// Where products read each weight.
    uses: Vec<Vec<WeightUse>>,
}

impl StepAccess {
    /// That of a plan without arrays of all steps.
    pub(crate) const fn none() -> StepAccess {
        StepAccess {
            reach: 0,
            lags: Vec::new(),
            ends: Vec::new(),
            uses: Vec::new(),
        }
    }

    /// That of a plan's items; the plan must not move.
    pub(crate) fn of(plan: &Plan) -> StepAccess {
        let over_steps = |v: &View| plan.buffers[v.buffer].domain == Domain::Step;
        let reach = plan.buffers.values().map(|x| x.front + x.back).max();
        let lags = plan.loops().into_iter().map(|l| {
            let views = l.body.iter().flat_map(|s| [s.loads(), s.stores()].concat());
            let lags = views
                .filter(over_steps)
                .map(|v| lag(&plan.buffers[v.buffer], v));
            lags.max().unwrap_or(0) as usize
        });
        let mut ends = Vec::new();
        for item in walk(&plan.items).filter(|i| i.inner().is_empty()) {
            let address = std::ptr::from_ref(item).addr();
            let views = plan.accesses(item);
            let of_end = views
                .into_iter()
                .filter(|(v, _)| v.from_end && over_steps(v));
            ends.extend(of_end.map(|(v, write)| (address, v.buffer, write)));
        }
        ends.sort_unstable();
        ends.dedup();
        let uses = plan.weights.keys();
        let uses = uses.map(|w| weight_uses(&plan.items, w).collect());
        StepAccess {
            reach: reach.unwrap_or(0),
            lags: lags.collect(),
            ends,
            uses: uses.collect(),
        }
    }

    /// Where products read a weight; nothing of a plan without arrays of all steps.
    pub(crate) fn uses(&self, w: WeightId) -> &[WeightUse] {
        self.uses.get(w.index()).map_or(&[], Vec::as_slice)
    }

    /// The maximal lag of a loop.
    pub(crate) fn lag(&self, l: LoopId) -> usize {
        self.lags[l.index()]
    }

    /// The arrays that an item reads or writes counted from the rows' ends.
    pub(crate) fn at_ends(&self, item: &Item) -> impl Iterator<Item = (BufferId, bool)> + '_ {
        let address = std::ptr::from_ref(item).addr();
        let own = self.ends.partition_point(|x| x.0 < address);
        let own = self.ends[own..].iter().take_while(move |x| x.0 == address);
        own.map(|x| (x.1, x.2))
    }

    /// Whether some item reads or writes an array counted from the rows' ends.
    pub(crate) fn has_ends(&self, u: BufferId) -> bool {
        self.ends.iter().any(|x| x.1 == u)
    }
}
