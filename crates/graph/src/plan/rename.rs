//! Loops that differ only in the names of their arrays, and so can share one function.

use std::hash::Hash;

use cranelift_entity::EntityRef;

use crate::plan::{BufferId, Instr, Loop, LoopId, Plan, Stmt, View, WeightId};

/// A loop whose arrays and weights are renumbered in the order of their first use.
#[derive(Clone, Debug)]
pub struct Renamed {
    /// The arrays by their new names.
    pub buffers: Vec<BufferId>,
    /// The weights by their new names.
    pub weights: Vec<WeightId>,
    /// Everything else: equal for loops that do the same to their arrays, which agree in everything that an address
    /// depends on.
    pub form: String,
}

impl Plan {
    /// A loop of the plan, with its arrays renumbered.
    pub fn renamed(&self, l: &Loop) -> Renamed {
        let mut l = l.clone();
        l.number = LoopId::from_u32(0);
        let (mut buffers, mut weights) = (Numbering::new(), Numbering::new());
        for s in &mut l.body {
            s.views_mut(&mut |v| v.buffer = buffers.number(v.buffer));
            if let Stmt::Product(p) = s {
                p.weight = weights.number(p.weight);
            }
        }
        l.scratch = (l.scratch.iter()).map(|&u| buffers.number(u)).collect();
        l.scratch.sort_unstable();
        let alike = buffers.all.iter().map(|&u| {
            let x = &self.buffers[u];
            // Before the memory analysis, a plan has no rings.
            let ring = self.memory.keep.get(u).and_then(|_| self.ring(u));
            (x.domain, x.len, x.front, x.back, ring)
        });
        let form = format!("{l:?} {:?}", alike.collect::<Vec<_>>());
        Renamed {
            buffers: buffers.all,
            weights: weights.all,
            form,
        }
    }
}

/// Numbers keys in the order of their first use.
struct Numbering<K> {
    all: Vec<K>,
    known: rustc_hash::FxHashMap<K, K>,
}

impl<K: EntityRef + Hash> Numbering<K> {
    fn new() -> Self {
        Numbering {
            all: Vec::new(),
            known: Default::default(),
        }
    }

    fn number(&mut self, x: K) -> K {
        let next = K::new(self.all.len());
        let number = *self.known.entry(x).or_insert(next);
        if number == next {
            self.all.push(x);
        }
        number
    }
}

impl Stmt {
    /// Every view that the statement reads or writes.
    fn views_mut(&mut self, f: &mut dyn FnMut(&mut View)) {
        match self {
            Stmt::Region(r) => {
                for i in &mut r.instrs {
                    match i {
                        Instr::Load(v)
                        | Instr::Splat(v)
                        | Instr::SplatRows(v, _)
                        | Instr::LoadRow(v, _) => f(v),
                        Instr::Const(_) | Instr::Map(..) => {}
                    }
                }
                r.stores.iter_mut().for_each(|s| f(&mut s.1));
                r.folds.iter_mut().for_each(|x| f(&mut x.2));
            }
            Stmt::Product(p) => {
                f(&mut p.x);
                f(&mut p.y);
                p.bias.iter_mut().for_each(f);
            }
            Stmt::Activate { x, y, .. } => {
                f(x);
                f(y);
            }
            Stmt::MatVec { m, x, y, .. } => {
                f(m);
                f(x);
                f(y);
            }
            Stmt::OuterRow { a, b, y, .. } => {
                f(a);
                f(b);
                f(y);
            }
            Stmt::Gather { m, index, y, .. } => {
                f(m);
                f(index);
                f(y);
            }
            Stmt::Scatter { index, v, y, .. } => {
                f(index);
                f(v);
                f(y);
            }
            Stmt::Transpose { m, y, .. } => {
                f(m);
                f(y);
            }
            Stmt::CopyBlock { from, to, .. } => {
                f(&mut from.0);
                f(&mut to.0);
            }
        }
    }
}
