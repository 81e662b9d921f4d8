//! Emits the plan: drafts refer to values, the plan's statements to arrays.

mod sums;
mod weights;

use retrograd_tape::{Domain, Op, Operands, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use smallvec::SmallVec;

use crate::Options;
use crate::plan::assignment::{Assignment, OperandPlace};
use crate::plan::build::{Classified, LoweringKind};
use crate::plan::schedule::{Atom, Draft, DraftItem};
use crate::plan::{
    BlockAt, Fold, Innermost, Instr, Item, Loop, LoopId, Memory, Plan, Region, Stmt, View,
    WeightId, WeightMap,
};

/// What distinguishes weights: their blocks, whether they are transposed and of bfloat16, and what they are packed with.
type WeightKey = (Vec<BlockAt>, (bool, bool), usize);

/// Turns drafts into a plan.
pub(crate) struct Emit<'f, 'g> {
    f: &'f Classified<'g>,
    assignment: Assignment<'f, 'g>,
    weights: WeightMap,
    /// Numbers of weights, keyed by what distinguishes them.
    numbers: HashMap<WeightKey, WeightId>,
    packed: HashSet<WeightId>,
}

impl<'f, 'g> Emit<'f, 'g> {
    pub(crate) fn new(f: &'f Classified<'g>, assignment: Assignment<'f, 'g>) -> Self {
        Emit {
            f,
            assignment,
            weights: WeightMap::new(),
            numbers: HashMap::default(),
            packed: HashSet::default(),
        }
    }

    /// Emits the plan for a target; the first `early` drafts are its forward half.
    pub(crate) fn run(mut self, drafts: Vec<DraftItem>, early: usize, options: &Options) -> Plan {
        let mut items = Vec::new();
        let (mut border, drafts_are_early) = (0, early == drafts.len());
        for (k, draft) in drafts.into_iter().enumerate() {
            if k == early {
                border = items.len();
            }
            match draft {
                DraftItem::Loop(domain, kind, body) => {
                    let mut stmts = Vec::new();
                    for d in body {
                        match d {
                            Draft::Region(lanes, atoms) => {
                                stmts.extend(self.region(lanes, &atoms).map(Stmt::Region))
                            }
                            Draft::Node(v) => self.node(v, &mut stmts),
                        }
                    }
                    for s in &stmts {
                        if let Stmt::Product(p) = s {
                            self.pack(p.weight, &mut items);
                        }
                    }
                    if !stmts.is_empty() {
                        items.push(Item::Loop(Loop {
                            number: LoopId::from_u32(0),
                            domain,
                            kind,
                            inner: Innermost::Lanes,
                            unroll: 1,
                            scratch: Vec::new(),
                            body: stmts,
                        }));
                    }
                }
                DraftItem::Product(v) => {
                    let product = self.product(v);
                    self.pack(product.weight, &mut items);
                    items.push(Item::Product {
                        domain: self.f.domain(v),
                        product,
                    });
                }
                DraftItem::Global(vs) => {
                    let item = self.global(&vs);
                    items.push(item);
                }
            }
        }
        if !self.f.halves.are_two() || drafts_are_early {
            border = items.len();
        }
        Plan {
            name: self.f.g.name().into(),
            target: options.target,
            wide_loops: options.are_loops_wide(),
            buffers: self.assignment.buffers,
            weights: self.weights,
            items,
            border,
            memory: Memory::default(),
        }
    }

    fn pack(&mut self, weight: WeightId, items: &mut Vec<Item>) {
        if self.packed.insert(weight) {
            items.push(Item::Pack(weight));
        }
    }

    /// The array of a value, for statements that need an array.
    fn at(&self, v: Value) -> View {
        match self.assignment.place(v) {
            OperandPlace::At(view) => view,
            other => panic!("{} has no array: {other:?}", self.f.g.describe(v)),
        }
    }

    fn place_of(&self, v: Value) -> View {
        self.assignment
            .get(v)
            .unwrap_or_else(|| panic!("{} has no array", self.f.g.describe(v)))
    }

    fn region(&self, lanes: usize, atoms: &[Atom]) -> Option<Region> {
        let f = self.f;
        let mut r = RegionBuilder {
            region: Region {
                lanes,
                ..Region::default()
            },
            known: HashMap::default(),
            loaded: HashMap::default(),
        };
        // Offsets of the parts of each concatenation.
        let mut parts: HashMap<Value, (Operands, Vec<usize>)> = HashMap::default();
        for atom in atoms {
            match *atom {
                Atom::Value(v) => {
                    let xs: SmallVec<[usize; 3]> =
                        f.g.operands(v)
                            .iter()
                            .map(|&x| self.operand(&mut r, x))
                            .collect();
                    match *f.g.op_of(v) {
                        Op::Map(retrograd_tape::Map::Copy) => {
                            r.known.insert(v, xs[0]);
                        }
                        Op::Map(m) => {
                            let i = r.push(Instr::Map(m, xs));
                            r.known.insert(v, i);
                        }
                        Op::Reduce(kind) => {
                            let to = self.place_of(v);
                            r.region.folds.push((
                                Fold::Reduce(kind),
                                xs.iter().copied().collect(),
                                to,
                            ));
                        }
                        Op::Dot => {
                            let to = self.place_of(v);
                            r.region
                                .folds
                                .push((Fold::Dot, xs.iter().copied().collect(), to));
                        }
                        op => unreachable!("{op} is not element-wise"),
                    }
                    if f.lowering(v) == LoweringKind::Lane
                        && let Some(to) = self.assignment.get(v)
                    {
                        r.region.stores.push((r.known[&v], to));
                    }
                }
                Atom::Part(whole, i) => {
                    let (xs, starts) = parts.entry(whole).or_insert_with(|| self.starts(whole));
                    let to = self.place_of(whole).plus(starts[i]);
                    let lives_there = f.lowering(xs[i]) != LoweringKind::View
                        && self.assignment.get(xs[i]) == Some(to);
                    if !lives_there && !self.is_carried(xs[i], to) {
                        let x = self.operand(&mut r, xs[i]);
                        r.region.stores.push((x, to));
                    }
                }
                Atom::Fill(delay) => {
                    let x = self.operand(&mut r, f.g.operands(delay)[1]);
                    r.region.stores.push((x, self.assignment.boundary(delay)));
                }
            }
        }
        let empty = r.region.stores.is_empty() && r.region.folds.is_empty();
        (!empty).then_some(r.region)
    }

    /// The parts of a concatenation, and their offsets.
    fn starts(&self, whole: Value) -> (Operands, Vec<usize>) {
        let xs = self.f.g.operands(whole);
        let lens = xs.iter().map(|&x| self.f.len(x));
        let starts = lens.scan(0, |at, len| Some(std::mem::replace(at, *at + len)));
        let starts = starts.collect();
        (xs, starts)
    }

    /// True if a part of a concatenation is already in place: the previous step stored it there, in an array of one
    /// step.
    fn is_carried(&self, part: Value, to: View) -> bool {
        let one_step = self.assignment.buffers[to.buffer].domain == Domain::Row;
        let at = matches!(self.f.g.op_of(part), Op::Delay(_)).then(|| self.assignment.place(part));
        one_step
            && matches!(at, Some(OperandPlace::At(v)) if (v.buffer, v.offset) == (to.buffer, to.offset))
    }

    fn operand(&self, r: &mut RegionBuilder, v: Value) -> usize {
        // A view that equals the value, number for number.
        let s = self.f.source(v);
        if s.whole
            && let Some(&i) = r.known.get(&s.value)
        {
            return i;
        }
        let instr = match self.assignment.place(v) {
            OperandPlace::At(view) => Instr::Load(view),
            OperandPlace::Splat(view) => Instr::Splat(view),
            OperandPlace::SplatRows(view, columns) => Instr::SplatRows(view, columns),
            OperandPlace::Row(view, columns) => Instr::LoadRow(view, columns),
            OperandPlace::Const(c) => Instr::Const(c),
        };
        let key = match instr {
            Instr::Splat(view) => (Some(view), 1, 0),
            Instr::SplatRows(view, columns) => (Some(view), 2, columns as u64),
            Instr::LoadRow(view, columns) => (Some(view), 3, columns as u64),
            Instr::Const(c) => (None, 0, c.to_bits()),
            Instr::Load(view) => (Some(view), 0, 0),
            Instr::Map(..) => unreachable!("operands have places"),
        };
        if let Some(&i) = r.loaded.get(&key) {
            return i;
        }
        let i = r.push(instr);
        r.loaded.insert(key, i);
        i
    }

    fn node(&mut self, v: Value, out: &mut Vec<Stmt>) {
        let f = self.f;
        let xs = f.g.operands(v);
        let matrix = |v: Value| f.g.node(v).ty.shape.as_matrix();
        match *f.g.op_of(v) {
            Op::MatVec { .. } if f.lowering(v) == LoweringKind::Product => {
                let p = self.product(v);
                out.push(Stmt::Product(p));
            }
            Op::MatVec { transposed } => {
                let (rows, cols) = matrix(xs[0]);
                out.push(Stmt::MatVec {
                    rows,
                    cols,
                    transposed,
                    m: self.at(xs[0]),
                    x: self.at(xs[1]),
                    y: self.place_of(v),
                });
            }
            Op::Outer { .. } => {
                let (rows, cols) = matrix(v);
                out.push(Stmt::OuterRow {
                    rows,
                    cols,
                    a: self.at(xs[0]),
                    b: self.at(xs[1]),
                    y: self.place_of(v),
                });
            }
            Op::Gather => {
                let (rows, cols) = matrix(xs[0]);
                out.push(Stmt::Gather {
                    rows,
                    cols,
                    m: self.at(xs[0]),
                    index: self.at(xs[1]),
                    y: self.place_of(v),
                });
            }
            Op::Scatter { rows, .. } => out.push(Stmt::Scatter {
                rows,
                cols: f.len(xs[1]),
                index: self.at(xs[0]),
                v: self.at(xs[1]),
                y: self.place_of(v),
            }),
            Op::Transpose(_) => {
                let (rows, cols) = matrix(xs[0]);
                out.push(Stmt::Transpose {
                    rows,
                    cols,
                    m: self.at(xs[0]),
                    y: self.place_of(v),
                });
            }
            Op::Slice { start, len, .. } => {
                let (rows, ld) = matrix(xs[0]);
                let from = (self.at(xs[0]).plus(start), ld);
                out.push(Stmt::CopyBlock {
                    rows,
                    cols: len,
                    from,
                    to: (self.place_of(v), len),
                });
            }
            Op::Concat { .. } => {
                let (rows, ld) = matrix(v);
                let mut at = 0;
                for x in xs {
                    let cols = matrix(x).1;
                    let to = (self.place_of(v).plus(at), ld);
                    out.push(Stmt::CopyBlock {
                        rows,
                        cols,
                        from: (self.at(x), cols),
                        to,
                    });
                    at += cols;
                }
            }
            op => unreachable!("{op} has no statement of its own"),
        }
    }
}

struct RegionBuilder {
    region: Region,
    known: HashMap<Value, usize>,
    /// Views and constants that have been loaded: the view, how its numbers are repeated among the lanes, and the lanes
    /// of a row or a constant's bits.
    loaded: HashMap<(Option<View>, u8, u64), usize>,
}

impl RegionBuilder {
    fn push(&mut self, i: Instr) -> usize {
        self.region.instrs.push(i);
        self.region.instrs.len() - 1
    }
}
