//! One sample after another: what depends on no sample is done once, a sample is one call of compiled code.

use retrograd_graph::plan::{Item, Kind, Layout, Loop, Plan, Storage};
use retrograd_tape::Domain;

use super::code::{Code, LoopCode};
use super::{Frame, Need, Run, SLICES, Span, Workspace};
use crate::element::Element;

/// When an item of a streaming plan is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// When parameters or static inputs are set.
    Bind,
    /// When states are set.
    Begin,
    /// For every sample.
    Step,
    /// When somebody asks for the states.
    States,
}

/// What a streaming plan runs on. Every array but those of the sample at hand is its own, or the workspace's.
pub(crate) struct Stream<T: Element> {
    workspace: Workspace<T>,
    frame: Frame<T>,
    step: LoopCode<T>,
    parts: Vec<Part>,
    /// The arrays that come with a sample.
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    /// Samples since the states were set.
    t: usize,
    b: usize,
    /// Rows that are done at a time.
    slice: usize,
}

// SAFETY: its addresses lead to its own workspace and, only while `step` runs, to what the caller has borrowed.
unsafe impl<T: Element> Send for Stream<T> {}
// SAFETY: through a shared reference no address is followed.
unsafe impl<T: Element> Sync for Stream<T> {}

const LAYOUT: Layout = Layout {
    block: 1,
    replay: false,
};

/// The loop of all the work of a step; none if there is no such work.
pub(crate) fn step_loop(plan: &Plan) -> Option<&Loop> {
    let mut steps = plan.loops().into_iter();
    let found = steps.find(|l| l.domain == Domain::Step);
    debug_assert!(
        steps.all(|l| l.domain != Domain::Step),
        "a streaming plan has one loop over steps"
    );
    found
}

fn parts(plan: &Plan) -> Vec<Part> {
    let mut stepped = false;
    let part = |item: &Item| match item {
        Item::Loop(l) => match (l.domain, l.kind) {
            (Domain::Step, kind) => {
                assert_eq!(kind, Kind::Recurrence { reverse: false });
                stepped = true;
                Part::Step
            }
            (Domain::Edge(_), _) if stepped => Part::States,
            (Domain::Edge(_), _) => Part::Begin,
            (Domain::Once | Domain::Row, _) => Part::Bind,
        },
        Item::Nest { .. } | Item::Phase { .. } => unreachable!("not in a streaming plan"),
        _ => Part::Bind,
    };
    plan.items.iter().map(part).collect()
}

impl<T: Element> Stream<T> {
    /// Room for `b` rows. `inputs` and `outputs` are the arrays that come with a sample, by their numbers in the plan; all
    /// others are zeros. None if there is nothing to do for a sample.
    pub(crate) fn new(
        plan: &Plan,
        code: &Code,
        b: usize,
        inputs: &[usize],
        outputs: &[usize],
    ) -> Option<Self> {
        let step = code.of_loop::<T>(step_loop(plan)?.number);
        // Outputs that the caller does not want have an array here.
        let read: Vec<Storage> = inputs.iter().map(|&u| plan.buffers[u].storage).collect();
        let given = |s| read.contains(&s);
        let mut workspace = Workspace::new();
        workspace.fit(&Need {
            plan,
            t: 1,
            b,
            threads: 1,
            layout: LAYOUT,
            given: &given,
        });
        let count = |is: fn(&Storage) -> bool| {
            let storages = plan.buffers.iter().map(|x| &x.storage);
            storages.filter(|s| is(s)).count()
        };
        let n = count(|s| matches!(s, Storage::Input(_)));
        let m = count(|s| matches!(s, Storage::Output(_)));
        let mut none: Vec<&mut [T]> = (0..m).map(|_| &mut [][..]).collect();
        workspace.bind(plan, &vec![&[][..]; n], &mut none);
        Some(Stream {
            frame: Frame::new(&workspace, (0, b), false),
            slice: SLICES.rows(plan, &plan.items, size_of::<T>(), b, 1),
            workspace,
            step,
            parts: parts(plan),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            t: 0,
            b,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.b
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.workspace.bytes()
    }

    /// An array that is not the caller's, by its number in the plan.
    pub(crate) fn read(&self, u: usize) -> &[T] {
        let (at, len) = (self.workspace.arrays[u], self.workspace.own[u].len());
        // SAFETY: as for `array`.
        unsafe { std::slice::from_raw_parts(at, len) }
    }

    /// As `read`, to be changed.
    pub(crate) fn array(&mut self, u: usize) -> &mut [T] {
        let (at, len) = (self.workspace.arrays[u], self.workspace.own[u].len());
        // SAFETY: the address of the workspace's own array, whose numbers nobody else can touch while `self` is borrowed. (By
        // way of the address that compiled code has, so that it stays valid.)
        unsafe { std::slice::from_raw_parts_mut(at, len) }
    }

    /// Copies one such array to another of the same length.
    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let own = &self.workspace.own;
        assert!(from != to && own[from].len() == own[to].len());
        let (len, arrays) = (own[from].len(), &self.workspace.arrays);
        // SAFETY: two arrays of the workspace's own, both of this length.
        unsafe { std::ptr::copy_nonoverlapping(arrays[from], arrays[to], len) }
    }

    /// Does what depends on parameters and static inputs alone.
    pub(crate) fn bind(&mut self, plan: &Plan, code: &Code) {
        self.run(plan, code, Part::Bind);
    }

    /// The states become what the arrays of their beginnings hold.
    pub(crate) fn begin(&mut self, plan: &Plan, code: &Code) {
        self.t = 0;
        self.run(plan, code, Part::Begin);
    }

    /// Fills the arrays of the outputs that say what the states are.
    pub(crate) fn states(&mut self, plan: &Plan, code: &Code) {
        self.run(plan, code, Part::States);
    }

    fn run(&mut self, plan: &Plan, code: &Code, part: Part) {
        let items = plan.items.iter().zip(&self.parts);
        let sizes = (self.t, self.b);
        let mut run = Run::new(plan, code, sizes, 1, LAYOUT, &mut self.workspace, false);
        for (item, _) in items.filter(|(_, p)| **p == part) {
            let span = Span {
                t0: 0,
                t1: 0,
                first: true,
            };
            run.item(item, span);
        }
    }

    /// One sample. An output that is not given, or has no numbers, stays here.
    /// `code` must be that of `new`, and the slices those of the arrays named there, of one step's length each.
    #[inline]
    pub(crate) fn step(&mut self, _code: &Code, inputs: &[&[T]], outputs: &mut [&mut [T]]) {
        let Workspace { bases, arrays, .. } = &mut self.workspace;
        for (&u, x) in self.inputs.iter().zip(inputs) {
            // Only read: no statement of a plan stores to an input.
            bases[u] = x.as_ptr().cast_mut();
        }
        let mut given = outputs.iter_mut();
        for &u in &self.outputs {
            bases[u] = match given.next() {
                Some(y) if !y.is_empty() => y.as_mut_ptr(),
                _ => arrays[u],
            };
        }
        self.frame.bases = bases.as_ptr();
        let t = self.t;
        let mut b0 = 0;
        while b0 < self.b {
            let b1 = self.b.min(b0 + self.slice);
            // SAFETY: the caller's arrays have a step's numbers, all others those that the plan says; the code is that of
            // the plan, still mapped.
            unsafe { self.step.run(&self.frame, (t, t + 1), (b0, b1)) }
            b0 = b1;
        }
        // Rings have places modulo powers of two: going past the greatest number is no break.
        self.t = t.wrapping_add(1);
    }
}
