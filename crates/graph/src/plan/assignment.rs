//! Assigns arrays to values: which values need one, and where each is stored.

use retrograd_tape::{Domain, Op, Value};
use rustc_hash::FxHashMap as HashMap;

use crate::passes::components::Class;
use crate::passes::legalize::cut_into_outputs;
use crate::plan::build::{Classified, LoweringKind};
use crate::plan::schedule::{Atom, Draft, DraftItem};
use crate::plan::{Buffer, BufferId, BufferMap, Storage, View};

/// Where an operand is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OperandPlace {
    /// Its numbers, one after another.
    At(View),
    /// One number, repeated for all lanes.
    Splat(View),
    /// One number for each row of so many lanes, repeated along it.
    SplatRows(View, usize),
    /// A row of so many lanes, the same for every row.
    Row(View, usize),
    /// A constant.
    Const(f64),
}

/// Where a stored value lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Placement {
    /// In an array of its own.
    Own,
    /// In an array of its own with one step only: each step overwrites the value once the next step has read it.
    Slot,
    /// In an output's array.
    Output(usize),
    /// In the array of another value, from this offset on.
    In(Value, usize),
}

/// The arrays, and the placement of values in them.
pub(crate) struct Assignment<'f, 'g> {
    pub(crate) f: &'f Classified<'g>,
    pub(crate) buffers: BufferMap,
    pub(crate) placements: HashMap<Value, Placement>,
    /// Buffers of the values that have an array of their own.
    own: HashMap<Value, BufferId>,
    /// The buffer of each output.
    outputs: Vec<BufferId>,
    /// The first output that each value is.
    output_of: HashMap<Value, usize>,
    /// Whether arrays may be reused, from step to step or by other values.
    reuse: bool,
}

impl<'f, 'g> Assignment<'f, 'g> {
    /// Determines which values must be stored, and where.
    pub(crate) fn new(
        f: &'f Classified<'g>,
        order: &ProgramOrder,
        reuse: bool,
    ) -> Assignment<'f, 'g> {
        let mut h = Assignment {
            f,
            buffers: BufferMap::new(),
            placements: HashMap::default(),
            own: HashMap::default(),
            outputs: Vec::new(),
            output_of: HashMap::default(),
            reuse,
        };
        for (id, input) in f.g.inputs().iter().enumerate() {
            let (domain, len) = (input.ty.domain, input.ty.shape.len());
            h.buffer(&input.name, domain, len, Storage::Input(id));
        }
        for (id, output) in f.g.outputs().iter().enumerate() {
            let ty = f.g.node(output.value).ty;
            let b = h.buffer(&output.name, ty.domain, ty.shape.len(), Storage::Output(id));
            h.outputs.push(b);
            h.output_of.entry(output.value).or_insert(id);
        }
        let stored = |h: &Self, v: Value| {
            f.lowering(v) != LoweringKind::View
                && f.root(v) == v
                && !h.placements.contains_key(&v)
                && h.is_stored(v, order)
        };
        // Users come after what they use, so that a part is placed after its whole.
        for &v in f.order.iter().rev() {
            if stored(&h, v) {
                let placement = h.settle(v, order);
                h.placements.insert(v, placement);
            }
        }
        h
    }

    /// Allocates the arrays of all values that have one of their own.
    pub(crate) fn allocate_all(&mut self) {
        for &v in &self.f.order {
            self.allocate(v);
        }
    }

    fn allocate(&mut self, v: Value) {
        let f = self.f;
        let placement = self.placements.get(&v).copied();
        let Some(placement @ (Placement::Own | Placement::Slot)) = placement else {
            return;
        };
        let name = f.g.node(v).name.as_deref();
        let name = name.map_or_else(|| f.g.op_of(v).name().to_string(), str::to_string);
        let one_step = placement == Placement::Slot || self.is_local(v);
        let domain = if one_step { Domain::Row } else { f.domain(v) };
        let b = self.buffer(&name, domain, f.len(v), Storage::Workspace);
        if placement == Placement::Own {
            (self.buffers[b].front, self.buffers[b].back) = self.boundary_steps(v);
        }
        self.own.insert(v, b);
    }

    /// Steps that delays read before the first and after the last.
    pub(crate) fn boundary_steps(&self, v: Value) -> (usize, usize) {
        let (mut front, mut back) = (0, 0);
        for u in self.f.g.users(v) {
            if let &(Op::Delay(d) | Op::Boundary(d)) = self.f.g.op_of(u)
                && self.f.g.operands(u)[0] == v
            {
                let n = d.unsigned_abs() as usize;
                if d > 0 {
                    front = front.max(n);
                } else {
                    back = back.max(n);
                }
            }
        }
        (front, back)
    }

    fn buffer(&mut self, name: &str, domain: Domain, len: usize, storage: Storage) -> BufferId {
        self.buffers.push(Buffer {
            name: name.into(),
            domain,
            len,
            front: 0,
            back: 0,
            storage,
        })
    }

    /// A value is stored if something outside its lane loop reads it.
    fn is_stored(&self, v: Value, when: &ProgramOrder) -> bool {
        let f = self.f;
        if f.lowering(v) != LoweringKind::Lane || f.g.is_output(v) {
            return !cut_into_outputs(f.g, v);
        }
        let own = when.lane_loop(Atom::Value(v));
        let elsewhere = |u: Value| matches!(f.g.op_of(u), Op::Delay(_) | Op::Boundary(_));
        let mut work = vec![v];
        while let Some(x) = work.pop() {
            for u in f.g.users(x) {
                let same_lane_loop = match f.lowering(u) {
                    LoweringKind::View if elsewhere(u) => false,
                    LoweringKind::View => {
                        if matches!(f.g.op_of(u), Op::Reshape(_) | Op::Spread(_)) {
                            work.push(u);
                            true
                        } else {
                            f.readers(u).is_empty() && !f.g.is_output(u)
                        }
                    }
                    LoweringKind::Lane | LoweringKind::Fold => {
                        when.lane_loop(Atom::Value(u)) == own
                    }
                    LoweringKind::Concat => {
                        f.g.operands(u)
                            .iter()
                            .enumerate()
                            .filter(|(_, y)| **y == x)
                            .all(|(i, _)| when.lane_loop(Atom::Part(u, i)) == own)
                    }
                    _ => false,
                };
                if !same_lane_loop {
                    return true;
                }
            }
        }
        false
    }

    /// Chooses the placement of a value.
    fn settle(&self, v: Value, when: &ProgramOrder) -> Placement {
        let f = self.f;
        if let Some(&k) = self.output_of.get(&v) {
            return Placement::Output(k);
        }
        if self.boundary_steps(v) != (0, 0) {
            return if self.reuse && self.is_slot(v, when) {
                Placement::Slot
            } else {
                Placement::Own
            };
        }
        // A part of a concatenation that is computed alongside it is stored in it.
        let local = self.is_local(v);
        for u in f.g.users(v) {
            if f.lowering(u) == LoweringKind::Concat
                && f.class(u) == f.class(v)
                && f.domain(u) == f.domain(v)
                && self.placements.contains_key(&u)
                && self.is_local(u) == local
            {
                let parts = f.g.operands(u);
                let before = parts.iter().take_while(|&&x| x != v);
                return Placement::In(u, before.map(|&x| f.len(x)).sum());
            }
        }
        Placement::Own
    }

    /// True if a value is read only within the step of the recurrence that computes it: an array of one step is enough.
    pub(crate) fn is_local(&self, v: Value) -> bool {
        let f = self.f;
        let class = f.class(v);
        let in_loop =
            |u: Value| f.class(u) == class && !matches!(f.lowering(u), LoweringKind::Global);
        // Values accumulated in one place must be local as a whole.
        let parts = f.parts(v).iter().all(|&p| f.class(p) == class);
        self.reuse
            && matches!(class, Class::Recurrent(_))
            && f.domain(v) == Domain::Step
            && parts
            && !f.g.is_output(v)
            && f.readers(v)
                .iter()
                .all(|&(u, elsewhere)| in_loop(u) && !elsewhere)
            && !f
                .g
                .users(v)
                .any(|u| matches!(f.g.op_of(u), Op::Delay(_) | Op::Boundary(_)) || f.g.is_output(u))
    }

    /// Where a value is stored, if it is.
    pub(crate) fn get(&self, v: Value) -> Option<View> {
        let v = self.f.root(v);
        match self.placements.get(&v)? {
            Placement::Own | Placement::Slot => Some(View::of(self.own[&v])),
            Placement::Output(k) => Some(View::of(self.outputs[*k])),
            Placement::In(whole, at) => Some(self.get(*whole)?.plus(*at)),
        }
    }

    /// The buffer of an output.
    pub(crate) fn output(&self, k: usize) -> View {
        View::of(self.outputs[k])
    }

    /// Where an operand is read.
    pub(crate) fn place(&self, v: Value) -> OperandPlace {
        let f = self.f;
        if f.lowering(v) != LoweringKind::View {
            return OperandPlace::At(
                self.get(v)
                    .unwrap_or_else(|| panic!("{} is read but not stored", f.g.describe(v))),
            );
        }
        let xs = f.g.operands(v);
        match *f.g.op_of(v) {
            Op::Input { id, .. } => OperandPlace::At(View::of(BufferId::of_input(id))),
            Op::Constant { value, .. } => OperandPlace::Const(value.0),
            Op::Zeros(_) => OperandPlace::Const(0.0),
            Op::Broadcast(to) => {
                let from = f.g.node(xs[0]).ty.shape;
                match (self.place(xs[0]), from.axis(0) == to.axis(0)) {
                    (OperandPlace::At(view), _) if from.len() == 1 => OperandPlace::Splat(view),
                    (OperandPlace::At(view), true) => {
                        OperandPlace::SplatRows(view, to.as_matrix().1)
                    }
                    (OperandPlace::At(view), false) => OperandPlace::Row(view, from.len()),
                    (other, _) => other,
                }
            }
            // Products round what they read.
            Op::Reshape(_) | Op::Spread(_) | Op::Map(_) => self.place(xs[0]),
            Op::Slice { axis, start, .. } => {
                let (_, after) = f.g.node(xs[0]).ty.shape.around(axis);
                match self.place(xs[0]) {
                    OperandPlace::At(view) => OperandPlace::At(view.plus(start * after)),
                    other @ (OperandPlace::Splat(_) | OperandPlace::Const(_)) => other,
                    OperandPlace::SplatRows(..) | OperandPlace::Row(..) => {
                        unreachable!("legalize copies stretched values that are sliced")
                    }
                }
            }
            Op::Delay(d) => self.moved(xs[0], -i64::from(d), false),
            Op::Boundary(d) if d > 0 => self.moved(xs[0], -i64::from(d), true),
            Op::Boundary(_) => self.moved(xs[0], 0, false),
            op => unreachable!("{op} is no view"),
        }
    }

    fn moved(&self, x: Value, shift: i64, from_end: bool) -> OperandPlace {
        match self.place(x) {
            OperandPlace::At(view) => OperandPlace::At(View {
                shift: view.shift + shift,
                from_end,
                ..view
            }),
            other => other,
        }
    }

    /// The location of the boundary steps of a delayed value, for a loop over their slots.
    pub(crate) fn boundary(&self, delay: Value) -> View {
        let x = self.f.g.operands(delay)[0];
        let view = self.get(x).expect("delayed values are stored");
        match *self.f.g.op_of(delay) {
            Op::Delay(d) | Op::Boundary(d) if d > 0 => View {
                shift: -i64::from(d),
                ..view
            },
            _ => View {
                from_end: true,
                ..view
            },
        }
    }
}

/// The position in the program at which each atom is executed.
pub(crate) struct ProgramOrder {
    /// Item and statement of each atom.
    pub(crate) at: HashMap<Atom, (usize, usize)>,
    /// Atoms that share a lane loop.
    lane_loop: HashMap<Atom, usize>,
}

impl ProgramOrder {
    pub(crate) fn new(drafts: &[DraftItem]) -> ProgramOrder {
        let mut when = ProgramOrder {
            at: HashMap::default(),
            lane_loop: HashMap::default(),
        };
        let mut lane_loops = 0;
        for (i, item) in drafts.iter().enumerate() {
            match item {
                DraftItem::Loop(_, _, body) => {
                    for (k, draft) in body.iter().enumerate() {
                        match draft {
                            Draft::Region(_, atoms) => {
                                lane_loops += 1;
                                when.at.extend(atoms.iter().map(|a| (*a, (i, k))));
                                when.lane_loop
                                    .extend(atoms.iter().map(|a| (*a, lane_loops)));
                            }
                            Draft::Node(v) => {
                                when.at.insert(Atom::Value(*v), (i, k));
                            }
                        }
                    }
                }
                DraftItem::Product(v) => {
                    when.at.insert(Atom::Value(*v), (i, 0));
                }
                DraftItem::Global(vs) => {
                    when.at.extend(vs.iter().map(|v| (Atom::Value(*v), (i, 0))))
                }
            }
        }
        when
    }

    /// The lane loop that contains an atom; none for statements of their own.
    pub(crate) fn lane_loop(&self, a: Atom) -> Option<usize> {
        self.lane_loop.get(&a).copied()
    }

    /// Item and statement of an atom.
    pub(crate) fn at(&self, a: Atom) -> (usize, usize) {
        self.at[&a]
    }
}
