//! Gives values their arrays: which values need one, and where it is.

use std::collections::HashMap;

use retrograd_tape::{Domain, Op, Value};

use crate::passes::components::Class;
use crate::passes::legalize::cut_into_outputs;
use crate::plan::build::{Facts, How};
use crate::plan::schedule::{Atom, Draft, DraftItem};
use crate::plan::{Buffer, Storage, View};

/// Where an operand is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    /// Its numbers, one after another.
    At(View),
    /// One number for all of them.
    Splat(View),
    /// A constant.
    Const(f64),
}

/// The arrays and who lives where.
pub(crate) struct Homes<'f, 'g> {
    f: &'f Facts<'g>,
    pub(crate) buffers: Vec<Buffer>,
    home: HashMap<Value, View>,
    /// Buffer of each output.
    outputs: Vec<usize>,
}

impl<'f, 'g> Homes<'f, 'g> {
    /// Finds out which values must be stored, and where.
    pub(crate) fn new(f: &'f Facts<'g>, drafts: &[DraftItem]) -> Homes<'f, 'g> {
        let mut h = Homes {
            f,
            buffers: Vec::new(),
            home: HashMap::new(),
            outputs: Vec::new(),
        };
        for (id, input) in f.g.inputs().iter().enumerate() {
            h.buffer(
                &input.name,
                input.ty.domain,
                input.ty.shape.len(),
                Storage::Input(id),
            );
        }
        for (id, output) in f.g.outputs().iter().enumerate() {
            let ty = f.g.node(output.value).ty;
            let b = h.buffer(&output.name, ty.domain, ty.shape.len(), Storage::Output(id));
            h.outputs.push(b);
        }
        let sweep = sweeps(drafts);
        // Users come after what they use: a part asks for its place when the whole has one.
        for &v in f.order.iter().rev() {
            if f.how(v) != How::View
                && f.root(v) == v
                && !h.home.contains_key(&v)
                && h.is_stored(v, &sweep)
            {
                h.settle(v);
            }
        }
        h
    }

    fn buffer(&mut self, name: &str, domain: Domain, len: usize, storage: Storage) -> usize {
        self.buffers.push(Buffer {
            name: name.into(),
            domain,
            len,
            front: 0,
            back: 0,
            storage,
        });
        self.buffers.len() - 1
    }

    /// A value is stored if something reads it that is not in the same sweep.
    fn is_stored(&self, v: Value, sweep: &HashMap<Atom, usize>) -> bool {
        let f = self.f;
        if f.how(v) != How::Lane || f.g.is_output(v) {
            return !cut_into_outputs(f.g, v);
        }
        let own = sweep.get(&Atom::Value(v));
        let elsewhere = |u: Value| matches!(f.g.op_of(u), Op::Delay(_) | Op::Boundary(_));
        let mut work = vec![v];
        while let Some(x) = work.pop() {
            for u in f.g.users(x) {
                let same_sweep = match f.how(u) {
                    How::View if elsewhere(u) => false,
                    How::View => {
                        if matches!(f.g.op_of(u), Op::Reshape(_) | Op::Spread(_)) {
                            work.push(u);
                            true
                        } else {
                            f.readers(u).is_empty() && !f.g.is_output(u)
                        }
                    }
                    How::Lane | How::Fold => sweep.get(&Atom::Value(u)) == own,
                    How::Concat => {
                        f.g.operands(u)
                            .iter()
                            .enumerate()
                            .filter(|(_, y)| **y == x)
                            .all(|(i, _)| sweep.get(&Atom::Part(u, i)) == own)
                    }
                    _ => false,
                };
                if !same_sweep {
                    return true;
                }
            }
        }
        false
    }

    /// Gives a value its array.
    fn settle(&mut self, v: Value) {
        let f = self.f;
        if let Some(k) = f.g.outputs().iter().position(|o| o.value == v) {
            self.home.insert(v, View::of(self.outputs[k]));
            return;
        }
        let (mut front, mut back) = (0, 0);
        for u in f.g.users(v) {
            if let &(Op::Delay(d) | Op::Boundary(d)) = f.g.op_of(u)
                && f.g.operands(u)[0] == v
            {
                let n = d.unsigned_abs() as usize;
                if d > 0 {
                    front = front.max(n)
                } else {
                    back = back.max(n)
                }
            }
        }
        let local = self.is_local(v);
        // A part of a concatenation that is computed beside it lives in it.
        if front + back == 0 {
            for u in f.g.users(v) {
                if f.how(u) != How::Concat || f.class(u) != f.class(v) || f.domain(u) != f.domain(v)
                {
                    continue;
                }
                let Some(&whole) = self.home.get(&u) else {
                    continue;
                };
                if self.is_local(u) == local {
                    let before =
                        f.g.operands(u)
                            .iter()
                            .take_while(|&&x| x != v)
                            .map(|&x| f.len(x))
                            .sum();
                    self.home.insert(v, whole.plus(before));
                    return;
                }
            }
        }
        let name =
            f.g.node(v)
                .name
                .as_deref()
                .map_or_else(|| f.g.op_of(v).name().to_string(), str::to_string);
        let domain = if local { Domain::Row } else { f.domain(v) };
        let b = self.buffer(&name, domain, f.len(v), Storage::Workspace);
        (self.buffers[b].front, self.buffers[b].back) = (front, back);
        self.home.insert(v, View::of(b));
    }

    /// True if a value is only read within the step of the recurrence that computes it: one step's array is enough.
    fn is_local(&self, v: Value) -> bool {
        let f = self.f;
        let class = f.class(v);
        let in_loop = |u: Value| f.class(u) == class && !matches!(f.how(u), How::Global);
        // What is added up in one place must be local as a whole.
        let parts = f
            .alias
            .iter()
            .filter(|(_, sum)| f.root(**sum) == v)
            .all(|(p, _)| f.class(*p) == class);
        matches!(class, Class::Recurrent(_))
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

    /// The array that a value is stored in, if it is.
    pub(crate) fn get(&self, v: Value) -> Option<View> {
        self.home.get(&self.f.root(v)).copied()
    }

    /// The buffer of an output.
    pub(crate) fn output(&self, k: usize) -> View {
        View::of(self.outputs[k])
    }

    /// Where an operand is read.
    pub(crate) fn place(&self, v: Value) -> Place {
        let f = self.f;
        if f.how(v) != How::View {
            return Place::At(
                self.get(v)
                    .unwrap_or_else(|| panic!("{} is read but not stored", f.g.describe(v))),
            );
        }
        let xs = f.g.operands(v);
        match *f.g.op_of(v) {
            Op::Input { id, .. } => Place::At(View::of(id)),
            Op::Constant { value, .. } => Place::Const(value.0),
            Op::Broadcast(_) => match self.place(xs[0]) {
                Place::At(view) => Place::Splat(view),
                other => other,
            },
            Op::Reshape(_) | Op::Spread(_) => self.place(xs[0]),
            Op::Slice { start, .. } => {
                let (_, cols) = f.g.node(xs[0]).ty.shape.as_matrix();
                let matrix = f.g.node(xs[0]).ty.shape.rank() == 2;
                match self.place(xs[0]) {
                    Place::At(view) => Place::At(view.plus(start * if matrix { cols } else { 1 })),
                    other => other,
                }
            }
            Op::Delay(d) => self.moved(xs[0], -i64::from(d), false),
            Op::Boundary(d) if d > 0 => self.moved(xs[0], -i64::from(d), true),
            Op::Boundary(_) => self.moved(xs[0], 0, false),
            op => unreachable!("{op} is no view"),
        }
    }

    fn moved(&self, x: Value, shift: i64, from_end: bool) -> Place {
        match self.place(x) {
            Place::At(view) => Place::At(View {
                shift: view.shift + shift,
                from_end,
                ..view
            }),
            other => other,
        }
    }

    /// Where the boundary steps of a delayed value are, for a loop over their slots.
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

/// Which sweep each atom is in, numbered through all drafts.
fn sweeps(drafts: &[DraftItem]) -> HashMap<Atom, usize> {
    let mut sweep = HashMap::new();
    let mut n = 0;
    for item in drafts {
        let DraftItem::Loop(_, _, body) = item else {
            continue;
        };
        for draft in body {
            if let Draft::Region(_, atoms) = draft {
                n += 1;
                sweep.extend(atoms.iter().map(|a| (*a, n)));
            }
        }
    }
    sweep
}
