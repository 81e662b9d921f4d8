//! Emits the plan: drafts name values, the plan's statements name arrays.

use std::collections::{HashMap, HashSet};

use retrograd_tape::{Domain, Op, Value};
use smallvec::SmallVec;

use crate::passes::legalize::cut_into_outputs;
use crate::plan::build::{Facts, How};
use crate::plan::home::{Homes, Place};
use crate::plan::schedule::{Atom, Draft, DraftItem};
use crate::plan::{
    BlockAt, Fold, Inner, Instr, Item, Loop, Memory, Plan, Product, Region, Rhs, Stmt, View, Weight,
};

/// Turns drafts into a plan.
pub(crate) struct Emit<'f, 'g> {
    f: &'f Facts<'g>,
    homes: Homes<'f, 'g>,
    weights: Vec<Weight>,
    packed: HashSet<usize>,
}

impl<'f, 'g> Emit<'f, 'g> {
    pub(crate) fn new(f: &'f Facts<'g>, homes: Homes<'f, 'g>) -> Self {
        Emit {
            f,
            homes,
            weights: Vec::new(),
            packed: HashSet::new(),
        }
    }

    /// The plan.
    pub(crate) fn run(mut self, drafts: Vec<DraftItem>) -> Plan {
        let mut items = Vec::new();
        for draft in drafts {
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
                            number: 0,
                            domain,
                            kind,
                            inner: Inner::Lanes,
                            unroll: 1,
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
        Plan {
            name: self.f.g.name().into(),
            buffers: self.homes.buffers,
            weights: self.weights,
            items,
            memory: Memory::default(),
        }
    }

    fn pack(&mut self, weight: usize, items: &mut Vec<Item>) {
        if self.packed.insert(weight) {
            items.push(Item::Pack(weight));
        }
    }

    /// The array of a value that statements need as an array.
    fn at(&self, v: Value) -> View {
        match self.homes.place(v) {
            Place::At(view) => view,
            other => panic!("{} has no array: {other:?}", self.f.g.describe(v)),
        }
    }

    fn home(&self, v: Value) -> View {
        self.homes
            .get(v)
            .unwrap_or_else(|| panic!("{} has no array", self.f.g.describe(v)))
    }

    fn region(&self, lanes: usize, atoms: &[Atom]) -> Option<Region> {
        let f = self.f;
        let mut r = Builder {
            region: Region {
                lanes,
                ..Region::default()
            },
            known: HashMap::new(),
            loaded: Vec::new(),
        };
        for atom in atoms {
            match *atom {
                Atom::Value(v) => {
                    let xs: SmallVec<[usize; 3]> =
                        f.g.operands(v)
                            .iter()
                            .map(|&x| self.operand(&mut r, x))
                            .collect();
                    match *f.g.op_of(v) {
                        Op::Map(retrograd_tape::Map::StopGradient) => {
                            r.known.insert(v, xs[0]);
                        }
                        Op::Map(m) => {
                            let i = r.push(Instr::Map(m, xs));
                            r.known.insert(v, i);
                        }
                        Op::Reduce(kind) => {
                            let to = self.home(v);
                            r.region.folds.push((
                                Fold::Reduce(kind),
                                xs.iter().copied().collect(),
                                to,
                            ));
                        }
                        Op::Dot => {
                            let to = self.home(v);
                            r.region
                                .folds
                                .push((Fold::Dot, xs.iter().copied().collect(), to));
                        }
                        op => unreachable!("{op} is not element-wise"),
                    }
                    if f.how(v) == How::Lane
                        && let Some(to) = self.homes.get(v)
                    {
                        r.region.stores.push((r.known[&v], to));
                    }
                }
                Atom::Part(whole, i) => {
                    let xs = f.g.operands(whole);
                    let to = self
                        .home(whole)
                        .plus(xs.iter().take(i).map(|&x| f.len(x)).sum());
                    let lives_there =
                        f.how(xs[i]) != How::View && self.homes.get(xs[i]) == Some(to);
                    if !lives_there && !self.is_carried(xs[i], to) {
                        let x = self.operand(&mut r, xs[i]);
                        r.region.stores.push((x, to));
                    }
                }
                Atom::Fill(delay) => {
                    let x = self.operand(&mut r, f.g.operands(delay)[1]);
                    r.region.stores.push((x, self.homes.boundary(delay)));
                }
            }
        }
        let empty = r.region.stores.is_empty() && r.region.folds.is_empty();
        (!empty).then_some(r.region)
    }

    /// True if a part of a concatenation is what the step before stored in its place, an array of one step.
    fn is_carried(&self, part: Value, to: View) -> bool {
        let one_step = self.homes.buffers[to.buffer].domain == Domain::Row;
        let at = matches!(self.f.g.op_of(part), Op::Delay(_)).then(|| self.homes.place(part));
        one_step
            && matches!(at, Some(Place::At(v)) if (v.buffer, v.offset) == (to.buffer, to.offset))
    }

    fn operand(&self, r: &mut Builder, v: Value) -> usize {
        // A view that is the value itself, number for number.
        let s = self.f.source(v);
        if s.whole
            && let Some(&i) = r.known.get(&s.value)
        {
            return i;
        }
        let instr = match self.homes.place(v) {
            Place::At(view) => Instr::Load(view),
            Place::Splat(view) => Instr::Splat(view),
            Place::Const(c) => Instr::Const(c),
        };
        if let Some((_, i)) = r.loaded.iter().find(|(x, _)| *x == instr) {
            return *i;
        }
        let i = r.push(instr.clone());
        r.loaded.push((instr, i));
        i
    }

    fn product(&mut self, v: Value) -> Product {
        let f = self.f;
        let xs = f.g.operands(v);
        let Op::MatVec { transposed } = *f.g.op_of(v) else {
            unreachable!("products are matvecs")
        };
        let weight = self.weight(xs[0], transposed);
        let add = f.added_to(v).is_some();
        let bias = f.biases.get(&v).map(|&b| self.at(b));
        Product {
            weight,
            x: self.at(xs[1]),
            y: self.home(v),
            add,
            bias,
        }
    }

    fn weight(&mut self, m: Value, transposed: bool) -> usize {
        let (rows, cols) = self.f.g.node(m).ty.shape.as_matrix();
        let mut blocks = Vec::new();
        self.blocks(
            m,
            Rect {
                row: 0,
                col: 0,
                from_row: 0,
                from_col: 0,
                rows,
                cols,
            },
            &mut blocks,
        );
        let leaf = |v: Value| self.f.g.describe(v);
        let weight = Weight {
            name: leaf(m),
            rows,
            cols,
            transposed,
            blocks,
        };
        let same =
            |w: &Weight| w.blocks == weight.blocks && w.transposed == transposed && w.rows == rows;
        self.weights.iter().position(same).unwrap_or_else(|| {
            self.weights.push(weight);
            self.weights.len() - 1
        })
    }

    /// The stored parts of a rectangle of a matrix.
    fn blocks(&self, m: Value, r: Rect, out: &mut Vec<BlockAt>) {
        let f = self.f;
        match *f.g.op_of(m) {
            _ if f.how(m) != How::View => self.leaf(m, r, out),
            Op::Concat { axis } => {
                let mut at = 0;
                for x in f.g.operands(m) {
                    let n =
                        f.g.node(x)
                            .ty
                            .shape
                            .axis(axis)
                            .expect("parts have the axis");
                    let (from, len) = if axis == 0 {
                        (r.from_row, r.rows)
                    } else {
                        (r.from_col, r.cols)
                    };
                    let (lo, hi) = (from.max(at), (from + len).min(at + n));
                    if lo < hi {
                        let part = if axis == 0 {
                            Rect {
                                row: r.row + lo - from,
                                from_row: lo - at,
                                rows: hi - lo,
                                ..r
                            }
                        } else {
                            Rect {
                                col: r.col + lo - from,
                                from_col: lo - at,
                                cols: hi - lo,
                                ..r
                            }
                        };
                        self.blocks(x, part, out);
                    }
                    at += n;
                }
            }
            Op::Slice { axis: 0, start, .. } => {
                self.blocks(
                    f.g.operands(m)[0],
                    Rect {
                        from_row: r.from_row + start,
                        ..r
                    },
                    out,
                );
            }
            Op::Slice { start, .. } => {
                self.blocks(
                    f.g.operands(m)[0],
                    Rect {
                        from_col: r.from_col + start,
                        ..r
                    },
                    out,
                );
            }
            _ => self.leaf(m, r, out),
        }
    }

    /// A rectangle of a matrix that is stored as a whole.
    fn leaf(&self, m: Value, r: Rect, out: &mut Vec<BlockAt>) {
        let ld = self.f.g.node(m).ty.shape.as_matrix().1;
        let view = self.at(m).plus(r.from_row * ld + r.from_col);
        out.push(BlockAt {
            row: r.row,
            col: r.col,
            rows: r.rows,
            cols: r.cols,
            view,
            ld,
        });
    }

    fn node(&mut self, v: Value, out: &mut Vec<Stmt>) {
        let f = self.f;
        let xs = f.g.operands(v);
        let matrix = |v: Value| f.g.node(v).ty.shape.as_matrix();
        match *f.g.op_of(v) {
            Op::MatVec { .. } if f.how(v) == How::Product => {
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
                    y: self.home(v),
                });
            }
            Op::Outer { .. } => {
                let (rows, cols) = matrix(v);
                out.push(Stmt::OuterRow {
                    rows,
                    cols,
                    a: self.at(xs[0]),
                    b: self.at(xs[1]),
                    y: self.home(v),
                });
            }
            Op::Gather => {
                let (rows, cols) = matrix(xs[0]);
                out.push(Stmt::Gather {
                    rows,
                    cols,
                    m: self.at(xs[0]),
                    index: self.at(xs[1]),
                    y: self.home(v),
                });
            }
            Op::Scatter { rows, .. } => out.push(Stmt::Scatter {
                rows,
                cols: f.len(xs[1]),
                index: self.at(xs[0]),
                v: self.at(xs[1]),
                y: self.home(v),
            }),
            Op::Slice { start, len, .. } => {
                let (rows, ld) = matrix(xs[0]);
                let from = (self.at(xs[0]).plus(start), ld);
                out.push(Stmt::CopyBlock {
                    rows,
                    cols: len,
                    from,
                    to: (self.home(v), len),
                });
            }
            Op::Concat { .. } => {
                let (rows, ld) = matrix(v);
                let mut at = 0;
                for x in xs {
                    let cols = matrix(x).1;
                    let to = (self.home(v).plus(at), ld);
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

    /// Where the parts of a sum go: its own array, or the outputs it is cut into.
    fn parts(&self, v: Value) -> Vec<BlockAt> {
        let f = self.f;
        let (rows, cols) = f.g.node(v).ty.shape.as_matrix();
        if !cut_into_outputs(f.g, v) {
            return vec![BlockAt {
                row: 0,
                col: 0,
                rows,
                cols,
                view: self.home(v),
                ld: cols,
            }];
        }
        let matrix = f.g.node(v).ty.shape.rank() == 2;
        let mut parts: Vec<BlockAt> =
            f.g.outputs()
                .iter()
                .enumerate()
                .filter(|(_, o)| {
                    f.g.operands(o.value).first() == Some(&v)
                        && matches!(f.g.op_of(o.value), Op::Slice { .. })
                })
                .map(|(k, o)| {
                    let Op::Slice { start, len, .. } = *f.g.op_of(o.value) else {
                        unreachable!("filtered above")
                    };
                    let view = self.homes.output(k);
                    if matrix {
                        BlockAt {
                            row: start,
                            col: 0,
                            rows: len,
                            cols,
                            view,
                            ld: cols,
                        }
                    } else {
                        BlockAt {
                            row: 0,
                            col: start,
                            rows: 1,
                            cols: len,
                            view,
                            ld: len,
                        }
                    }
                })
                .collect();
        parts.sort_by_key(|p| (p.row, p.col));
        parts
    }

    fn global(&self, vs: &[Value]) -> Item {
        let f = self.f;
        let join = |v: Value| {
            let types: Vec<_> = f.g.operands(v).iter().map(|&x| f.g.node(x).ty).collect();
            f.g.op_of(v).work_domain(&types)
        };
        let first = *vs
            .iter()
            .find(|&&v| matches!(f.g.op_of(v), Op::Outer { .. }))
            .unwrap_or(&vs[0]);
        let xs = f.g.operands(first);
        let domain = join(first);
        match *f.g.op_of(first) {
            Op::Outer { to: Domain::Once } => {
                let outers = vs
                    .iter()
                    .filter(|&&v| matches!(f.g.op_of(v), Op::Outer { .. }));
                let rhs = outers
                    .map(|&v| {
                        let x = f.g.operands(v)[1];
                        Rhs {
                            x: self.at(x),
                            len: f.len(x),
                            to: self.parts(v),
                        }
                    })
                    .collect();
                let bias = vs
                    .iter()
                    .filter(|&&v| matches!(f.g.op_of(v), Op::SumTo(_)))
                    .flat_map(|&v| self.parts(v));
                Item::Outer {
                    domain,
                    delta: self.at(xs[0]),
                    len: f.len(xs[0]),
                    rhs,
                    bias: bias.collect(),
                }
            }
            Op::Outer { to } => Item::OuterTo {
                domain,
                to,
                a: (self.at(xs[0]), f.len(xs[0])),
                b: (self.at(xs[1]), f.len(xs[1])),
                y: self.home(first),
            },
            Op::SumTo(to) => {
                let len = f.len(first);
                // Whatever its shape, a sum treats its numbers as one row, but for parts of matrices.
                let parts = self
                    .parts(first)
                    .into_iter()
                    .map(|p| BlockAt {
                        row: 0,
                        col: p.row * p.cols + p.col,
                        rows: 1,
                        cols: p.rows * p.cols,
                        view: p.view,
                        ld: p.rows * p.cols,
                    })
                    .collect();
                Item::SumTo {
                    domain,
                    to,
                    x: self.at(xs[0]),
                    len,
                    parts,
                }
            }
            Op::Scatter { rows, to } => Item::Scatter {
                domain,
                to,
                rows,
                cols: f.len(xs[1]),
                index: self.at(xs[0]),
                v: self.at(xs[1]),
                y: self.home(first),
            },
            op => unreachable!("{op} sums nothing"),
        }
    }
}

#[derive(Clone, Copy)]
struct Rect {
    row: usize,
    col: usize,
    from_row: usize,
    from_col: usize,
    rows: usize,
    cols: usize,
}

struct Builder {
    region: Region,
    known: HashMap<Value, usize>,
    loaded: Vec<(Instr, usize)>,
}

impl Builder {
    fn push(&mut self, i: Instr) -> usize {
        self.region.instrs.push(i);
        self.region.instrs.len() - 1
    }
}
