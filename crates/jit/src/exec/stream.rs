//! Sample-by-sample execution: work that depends on no sample is done once, a sample is one call of compiled code.

use std::sync::Arc;

use cranelift::codegen::entity::PrimaryMap;
use retrograd_graph::plan::{
    BufferId, Item, Layout, Loop, LoopKind, Plan, SliceWork, Slices, Storage, WeightId,
};
use retrograd_kernels::{AlignedBuffer, Kernels};
use retrograd_tape::{Domain, Extent};

use super::code::{Code, LoopCode};
use super::cut::{Cut, Efforts};
use super::points::StepAccess;
use super::{MemoryNeed, PlanExecution, StepRange, Workspace};
use crate::element::Element;
use crate::error::RunError;
use crate::frame::Frame;

/// When an item of a streaming plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamPart {
    /// When parameters or static inputs are set.
    Bind,
    /// When states are set.
    Begin,
    /// For every sample.
    Step,
    /// When the states are read.
    States,
}

/// The data of a streaming plan. Every array except those of the current sample is in its own workspace, or shared with
/// its forks: parameters and what is computed from them.
pub(crate) struct StreamExecution<T: Element> {
    /// Arrays that samples and states are written to; empty for arrays that are among the bound ones.
    workspace: Workspace<T>,
    bound: Arc<BoundArrays<T>>,
    frame: Frame<T>,
    kernels: &'static Kernels<T>,
    step: LoopCode<T>,
    parts: Vec<StreamPart>,
    /// The arrays passed with each sample.
    inputs: Vec<SampleArray>,
    outputs: Vec<SampleArray>,
    /// Samples since the states were set.
    t: usize,
    b: usize,
    /// Rows that are done at a time.
    slice: usize,
    /// A part other than a sample's had an index that is no row of its table.
    outside: bool,
}

/// An array that is passed with each sample: its number in the plan, and how many numbers it has.
#[derive(Clone, Copy)]
struct SampleArray {
    array: BufferId,
    numbers: usize,
}

/// The array of a sample, by its number there, that has another length than its type requires: expected and found.
pub(crate) enum Misfit {
    Input(usize, [usize; 2]),
    Output(usize, [usize; 2]),
}

/// Data that parts other than [`StreamPart::Bind`] only read. It is changed only while unshared: see
/// [`StreamExecution::own`].
#[derive(Clone)]
struct BoundArrays<T: Element> {
    /// By array; empty for arrays that are in a workspace.
    arrays: PrimaryMap<BufferId, AlignedBuffer<T>>,
    packed: PrimaryMap<WeightId, AlignedBuffer<T>>,
}

// SAFETY: its addresses point into its own workspace, into arrays that it and its forks only read while they share
// them, and, only while `step` runs, into what the caller has lent.
unsafe impl<T: Element> Send for StreamExecution<T> {}
// SAFETY: through a shared reference its own arrays are read, and nothing is written.
unsafe impl<T: Element> Sync for StreamExecution<T> {}

const LAYOUT: Layout = Layout {
    block: 1,
    replay: false,
};

/// A streaming plan keeps rings of steps, which are addressed by the number of the sample alone.
static NO_ENDS: StepAccess = StepAccess::none();

/// One thread does all of it.
static NO_EFFORTS: Efforts = Efforts::none();

/// The loop with all the work of a step; none if there is no such work.
pub(crate) fn step_loop(plan: &Plan) -> Option<&Loop> {
    let mut steps = plan.loops().into_iter();
    let found = steps.find(|l| l.domain == Domain::Step);
    debug_assert!(
        steps.all(|l| l.domain != Domain::Step),
        "a streaming plan has one loop over steps"
    );
    found
}

fn parts(plan: &Plan) -> Vec<StreamPart> {
    let mut stepped = false;
    let part = |item: &Item| match item {
        Item::Loop(l) => match (l.domain, l.kind) {
            (Domain::Step, kind) => {
                assert_eq!(kind, LoopKind::Recurrence { reverse: false });
                stepped = true;
                StreamPart::Step
            }
            (Domain::BoundarySlots(_), _) if stepped => StreamPart::States,
            (Domain::BoundarySlots(_), _) => StreamPart::Begin,
            (Domain::Once | Domain::Row, _) => StreamPart::Bind,
        },
        Item::TimeTile { .. } | Item::Sweep { .. } => unreachable!("not in a streaming plan"),
        _ => StreamPart::Bind,
    };
    plan.items.iter().map(part).collect()
}

/// For each array, whether it belongs to one stream alone: it belongs to the sample or the states, or parts that run
/// for these write to it.
fn written(plan: &Plan, parts: &[StreamPart]) -> PrimaryMap<BufferId, bool> {
    let own = |x: &retrograd_graph::plan::Buffer| match x.domain {
        Domain::BoundarySlots(_) | Domain::Step => true,
        Domain::Once | Domain::Row => false,
    };
    let mut written: PrimaryMap<BufferId, bool> = plan.buffers.values().map(own).collect();
    for (item, _) in plan
        .items
        .iter()
        .zip(parts)
        .filter(|(_, p)| **p != StreamPart::Bind)
    {
        let Item::Loop(l) = item else {
            unreachable!("only loops depend on samples")
        };
        for view in l.body.iter().flat_map(|s| s.stores()) {
            written[view.buffer] = true;
        }
    }
    written
}

impl<T: Element> StreamExecution<T> {
    /// Allocates for `b` rows. `inputs` and `outputs` are the arrays passed with a sample, by their numbers in the
    /// plan; all others start as zeros. None if a sample has no work.
    ///
    /// # Errors
    /// More memory than is available.
    pub(crate) fn new(
        plan: &Plan,
        code: &Code<T>,
        b: usize,
        inputs: &[BufferId],
        outputs: &[BufferId],
    ) -> Result<Option<Self>, RunError> {
        let Some(step) = step_loop(plan) else {
            return Ok(None);
        };
        let step = code.of_loop(step.number);
        // Outputs that the caller does not request have an array here.
        let read: Vec<Storage> = inputs.iter().map(|&u| plan.buffers[u].storage).collect();
        let given = |s| read.contains(&s);
        let mut workspace = Workspace::new();
        let need = MemoryNeed {
            plan,
            kernels: code.kernels,
            points: Extent::steps(1).rows(b).into(),
            access: &NO_ENDS,
            efforts: &NO_EFFORTS,
            parts: 1,
            layout: LAYOUT,
            given: &given,
        };
        need.can_be_addressed()?;
        workspace.fit(&need, None)?;
        let count = |is: fn(&Storage) -> bool| {
            let storages = plan.buffers.values().map(|x| &x.storage);
            storages.filter(|s| is(s)).count()
        };
        let n = count(|s| matches!(s, Storage::Input(_)));
        let m = count(|s| matches!(s, Storage::Output(_)));
        let mut none: Vec<&mut [T]> = (0..m).map(|_| &mut [][..]).collect();
        workspace.bind(plan, need.points, &vec![&[][..]; n], &mut none);
        let of_sample = |&array: &BufferId| SampleArray {
            array,
            numbers: plan.buffers[array].len * b,
        };
        let outputs: Vec<SampleArray> = outputs.iter().map(of_sample).collect();
        let kept = |o: &SampleArray| workspace.own[o.array].len() == o.numbers;
        assert!(
            outputs.iter().all(kept),
            "an output's own array has one step"
        );
        let parts = parts(plan);
        let written = written(plan, &parts);
        let arrays = workspace.own.values_mut().zip(written.values());
        let bound = BoundArrays {
            arrays: arrays
                .map(|(array, written)| match written {
                    true => AlignedBuffer::default(),
                    false => std::mem::take(array),
                })
                .collect(),
            packed: std::mem::take(&mut workspace.packed),
        };
        Ok(Some(StreamExecution {
            frame: Frame::new(&workspace, code.kernels, (0, b), (false, false)),
            kernels: code.kernels,
            slice: Slices::of(plan.target).rows(
                SliceWork::of(plan, &plan.items),
                size_of::<T>(),
                b,
                1,
            ),
            workspace,
            bound: Arc::new(bound),
            step,
            parts,
            inputs: inputs.iter().map(of_sample).collect(),
            outputs,
            t: 0,
            b,
            outside: false,
        }))
    }

    pub(crate) fn rows(&self) -> usize {
        self.b
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        let bound = self.bound.arrays.values().chain(self.bound.packed.values());
        let numbers = bound.map(|b| AlignedBuffer::<T>::bytes_of(b.len()));
        self.workspace.bytes() + numbers.sum::<usize>()
    }

    /// Another stream that continues from the same states: these are copied, bound arrays are shared.
    pub(crate) fn fork(&self, plan: &Plan) -> Self {
        let mut workspace = Workspace::new();
        workspace.own = self.workspace.own.clone();
        workspace.by_parts = self.workspace.by_parts.clone();
        workspace.scratch = self.workspace.scratch.clone();
        workspace.arrays = self.workspace.arrays.clone();
        workspace.bases = self.workspace.bases.clone();
        workspace.origins = self.workspace.origins.clone();
        workspace.table = self.workspace.table.clone();
        workspace.ends = self.workspace.ends.clone();
        workspace.at_ends = self.workspace.at_ends.clone();
        let mut fork = StreamExecution {
            frame: Frame::new(&workspace, self.kernels, (0, self.b), (false, false)),
            kernels: self.kernels,
            workspace,
            bound: Arc::clone(&self.bound),
            step: self.step,
            parts: self.parts.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            t: self.t,
            b: self.b,
            slice: self.slice,
            outside: self.outside,
        };
        fork.address(plan);
        fork
    }

    /// Makes the bound arrays this stream's alone, so that they may be changed: copies them if a fork reads them too.
    pub(crate) fn own(&mut self, plan: &Plan) {
        Arc::make_mut(&mut self.bound);
        self.address(plan);
    }

    /// Recomputes all addresses.
    fn address(&mut self, plan: &Plan) {
        // Bound arrays may be written only while unshared, and then through addresses that permit it.
        let alone = Arc::get_mut(&mut self.bound).map(|b| {
            let arrays = b.arrays.values_mut();
            arrays
                .map(|a| a.as_mut_ptr())
                .collect::<PrimaryMap<BufferId, _>>()
        });
        let bound = |u: BufferId| match &alone {
            Some(addresses) => addresses[u],
            None => self.bound.arrays[u].as_ptr().cast_mut(),
        };
        let ws = &mut self.workspace;
        for (u, own) in &mut ws.own {
            ws.arrays[u] = match own.is_empty() {
                true => bound(u),
                false => own.as_mut_ptr(),
            };
            ws.bases[u] = ws.arrays[u];
        }
        ws.describe(plan, &self.bound.packed);
        self.frame = Frame::new(ws, self.kernels, (0, self.b), (false, false));
    }

    /// Length of an array that is not the caller's.
    fn len(&self, u: BufferId) -> usize {
        // One of the two is empty.
        self.workspace.own[u].len() + self.bound.arrays[u].len()
    }

    /// An array that is not the caller's, by its number in the plan; after [`own`](Self::own), if it is one of the bound arrays.
    pub(crate) fn array(&mut self, u: BufferId) -> &mut [T] {
        let ours = !self.workspace.own[u].is_empty() || Arc::get_mut(&mut self.bound).is_some();
        assert!(ours, "{u} is read by forks");
        // SAFETY: the address of an array that is this stream's alone, which nobody else can touch while `self` is
        // borrowed. (Through the address that compiled code has, so that it stays valid.)
        unsafe { std::slice::from_raw_parts_mut(self.workspace.arrays[u], self.len(u)) }
    }

    /// Copies an array to the `i`-th part, of the same length, of another, which is not one of the bound ones.
    pub(crate) fn copy(&mut self, from: BufferId, to: BufferId, i: usize) {
        let len = self.len(from);
        self.copy_part((from, 0), (to, i * len), len);
    }

    /// Copies `len` numbers of an array to a place in another, which is not one of the bound ones.
    pub(crate) fn copy_part(
        &mut self,
        (from, at): (BufferId, usize),
        (to, place): (BufferId, usize),
        len: usize,
    ) {
        let fits = |at: usize, all: usize| at.checked_add(len).is_some_and(|end| end <= all);
        assert!(
            from != to && fits(at, self.len(from)) && fits(place, self.workspace.own[to].len())
        );
        let arrays = &self.workspace.arrays;
        // SAFETY: two arrays, which hold these parts; the second one is the workspace's own.
        unsafe { std::ptr::copy_nonoverlapping(arrays[from].add(at), arrays[to].add(place), len) }
    }

    /// Runs the work that depends on parameters and static inputs alone; after [`own`](Self::own).
    pub(crate) fn bind(&mut self, plan: &Plan, code: &Code<T>) {
        assert!(
            Arc::get_mut(&mut self.bound).is_some(),
            "what forks read is not written"
        );
        self.run(plan, code, StreamPart::Bind);
    }

    /// Sets the states to the contents of the arrays of their initial values.
    pub(crate) fn begin(&mut self, plan: &Plan, code: &Code<T>) {
        self.t = 0;
        self.run(plan, code, StreamPart::Begin);
    }

    /// Fills the arrays of the outputs that hold the states.
    pub(crate) fn states(&mut self, plan: &Plan, code: &Code<T>) {
        self.run(plan, code, StreamPart::States);
    }

    fn run(&mut self, plan: &Plan, code: &Code<T>, part: StreamPart) {
        let items = plan.items.iter().zip(&self.parts);
        let sizes = (Extent::steps(self.t).rows(self.b).into(), &NO_ENDS);
        let alone = (Cut::ONE, &NO_EFFORTS);
        let mut run =
            PlanExecution::new(plan, code, sizes, alone, LAYOUT, &mut self.workspace, false);
        for (item, _) in items.filter(|(_, p)| **p == part) {
            let span = StepRange {
                t0: 0,
                t1: 0,
                first: true,
            };
            run.item(item, span);
        }
        let outside = run.frame.was_outside();
        // A bad index while reading states was reported with the sample that computed them.
        self.outside |= outside && part != StreamPart::States;
    }

    /// Whether an index was no row of its table, in a sample or before it, since the last call.
    #[inline]
    pub(crate) fn was_outside(&mut self) -> bool {
        self.frame.was_outside() | std::mem::take(&mut self.outside)
    }

    /// Output `k` of the last sample that was given no array for it.
    #[inline]
    pub(crate) fn output(&self, k: usize) -> &[T] {
        let SampleArray { array, numbers } = self.outputs[k];
        // SAFETY: an array of this stream, of this length.
        unsafe { std::slice::from_raw_parts(self.workspace.arrays[array], numbers) }
    }

    /// Takes one sample. An output that is not given, or is empty, is written to an array of the stream.
    /// `code` must be that of `new`.
    ///
    /// # Errors
    /// Arrays of other lengths. Then nothing has run.
    #[inline]
    pub(crate) fn step(
        &mut self,
        _code: &Code<T>,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), Misfit> {
        assert!(inputs.len() == self.inputs.len(), "all inputs are given");
        let Workspace { bases, arrays, .. } = &mut self.workspace;
        for (k, (to, x)) in self.inputs.iter().zip(inputs).enumerate() {
            if x.len() != to.numbers {
                return Err(Misfit::Input(k, [to.numbers, x.len()]));
            }
            // Only read: no statement of a plan stores to an input.
            bases[to.array] = x.as_ptr().cast_mut();
        }
        let mut given = outputs.iter_mut();
        for (k, &SampleArray { array, numbers }) in self.outputs.iter().enumerate() {
            bases[array] = match given.next() {
                Some(y) if y.len() == numbers => y.as_mut_ptr(),
                Some(y) if !y.is_empty() => return Err(Misfit::Output(k, [numbers, y.len()])),
                _ => arrays[array],
            };
        }
        self.frame.bases = bases.as_values_slice().as_ptr();
        let t = self.t;
        let mut b0 = 0;
        while b0 < self.b {
            let b1 = self.b.min(b0 + self.slice);
            // SAFETY: the caller's arrays have the length of a step, all others those that the plan says; the code is
            // that of the plan, and still mapped.
            unsafe { self.step.run(&self.frame, (t, t + 1), (b0, b1)) }
            b0 = b1;
        }
        // Rings are indexed modulo powers of two, so wrapping around is harmless.
        self.t = t.wrapping_add(1);
        #[cfg(feature = "faults")]
        if self.t.is_multiple_of(4)
            && retrograd_tape::faults::active(retrograd_tape::faults::Fault::Ring)
        {
            self.t += 1;
        }
        Ok(())
    }
}
