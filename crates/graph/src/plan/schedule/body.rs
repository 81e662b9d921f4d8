//! The statements of a loop's body: element-wise work of one length, and one family if it is long, in as few lane loops as
//! its order allows.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use retrograd_tape::Value;
use rustc_hash::{FxHashMap as HashMap, FxHasher};

use super::family::Families;
use super::{Atom, Draft};
use crate::plan::build::{Classified, LoweringKind, OperandSource};
use crate::work;

/// Maximal number of atoms in one lane loop. Beyond it, a lane loop's values are in memory rather than registers
/// anyway, and register allocation takes more than proportional time: 0.3 s for 16,000 ops in one lane loop.
const MOST: usize = 512;

struct Body<'f, 'g> {
    f: &'f Classified<'g>,
    families: &'f Families,
    atoms: Vec<Atom>,
    /// Indexed by atom, like all vectors here: its number of lanes.
    lanes: Vec<usize>,
    /// The number of things in the same loop that it waits for.
    pending: Vec<usize>,
    taken: Vec<bool>,
    /// By value: the atoms that wait for it, and whether the same lane loop could compute both.
    waited: HashMap<Value, Vec<(usize, bool)>>,
    /// Parts of a concatenation that are not stored yet.
    parts: HashMap<Value, usize>,
    /// Statements of their own that wait for nothing.
    ready: BTreeSet<usize>,
    /// Element-wise work that waits for nothing, and the same by what can be in one lane loop.
    lane_wise: BTreeSet<usize>,
    alike: HashMap<Alike, BTreeSet<usize>>,
}

/// The length of lane loops, and the family of those that are long.
type Alike = (usize, Option<usize>);

/// The body of a loop that computes a group of values, in their order, and fills boundary steps.
pub(super) fn body(
    f: &Classified<'_>,
    families: &Families,
    group: &[Value],
    fills: &[Value],
) -> Vec<Draft> {
    let mut b = Body::new(f, families, group, fills);
    let mut out = Vec::new();
    let mut left = b.atoms.len();
    while left > 0 {
        if let Some(i) = b.ready.pop_first() {
            let Atom::Value(v) = b.atoms[i] else {
                unreachable!("only values have statements of their own")
            };
            b.taken[i] = true;
            b.is_there(v);
            out.push(Draft::Node(v));
            left -= 1;
            continue;
        }
        let first = *b.lane_wise.first().expect("a step has no cycle");
        let lanes = b.lanes[first];
        let lane_loop = b.lane_loop(b.alike(first));
        left -= lane_loop.len();
        let lane_loop: Vec<Atom> = lane_loop.into_iter().map(|i| b.atoms[i]).collect();
        let pieces = pieces(f, &lane_loop).into_iter();
        out.extend(pieces.map(|piece| Draft::Region(lanes, piece.to_vec())));
    }
    out
}

/// Cuts a lane loop into pieces of no more than [`MOST`] atoms. The cuts depend on the surrounding ops: repeated work
/// is cut at the same place each time, and equal pieces then share one function.
fn pieces<'a>(f: &Classified<'_>, mut lane_loop: &'a [Atom]) -> Vec<&'a [Atom]> {
    /// Number of atoms before a cut that determine its place.
    const WINDOW: usize = 16;
    let hash = |atoms: &[Atom]| {
        let mut h = FxHasher::default();
        for a in atoms {
            match a {
                Atom::Value(v) => f.g.op_of(*v).hash(&mut h),
                Atom::Part(..) | Atom::Fill(_) => 0.hash(&mut h),
            }
        }
        h.finish()
    };
    let mut pieces = Vec::new();
    while lane_loop.len() > MOST {
        work::note(WINDOW * MOST);
        let cuts = MOST / 2..MOST;
        let cut = cuts.min_by_key(|&n| hash(&lane_loop[n - WINDOW..n]));
        let (piece, rest) = lane_loop.split_at(cut.expect("there are some"));
        pieces.push(piece);
        lane_loop = rest;
    }
    pieces.push(lane_loop);
    pieces
}

impl<'f, 'g> Body<'f, 'g> {
    fn new(
        f: &'f Classified<'g>,
        families: &'f Families,
        group: &[Value],
        fills: &[Value],
    ) -> Self {
        let mut b = Body {
            f,
            families,
            atoms: Vec::new(),
            lanes: Vec::new(),
            pending: Vec::new(),
            taken: Vec::new(),
            waited: group.iter().map(|&v| (v, Vec::new())).collect(),
            parts: HashMap::default(),
            ready: BTreeSet::new(),
            lane_wise: BTreeSet::new(),
            alike: HashMap::default(),
        };
        for &v in group {
            let xs = f.g.operands(v);
            match f.lowering(v) {
                LoweringKind::Concat => {
                    b.parts.insert(v, xs.len());
                    for (i, &x) in xs.iter().enumerate() {
                        let mut s = f.source(x);
                        s.value = f.last(s.value);
                        b.add(Atom::Part(v, i), f.len(x), &[s]);
                    }
                }
                LoweringKind::Fold => b.add(Atom::Value(v), f.len(xs[0]), &f.reads(v)),
                _ => b.add(Atom::Value(v), f.len(v), &f.reads(v)),
            }
        }
        for &d in fills {
            b.add(Atom::Fill(d), f.len(d), &[]);
        }
        for i in 0..b.atoms.len() {
            if b.pending[i] == 0 {
                b.is_ready(i);
            }
        }
        b
    }

    fn add(&mut self, atom: Atom, lanes: usize, reads: &[OperandSource]) {
        let i = self.atoms.len();
        let mut pending = 0;
        for s in reads.iter().filter(|s| !s.elsewhere) {
            if let Some(waiting) = self.waited.get_mut(&s.value) {
                waiting.push((i, s.whole));
                pending += 1;
            }
        }
        work::note(1 + reads.len());
        self.atoms.push(atom);
        self.lanes.push(lanes);
        self.pending.push(pending);
        self.taken.push(false);
    }

    /// Whether it is a statement of its own.
    fn is_own(&self, i: usize) -> bool {
        let own = |v: Value| {
            matches!(
                self.f.lowering(v),
                LoweringKind::Row | LoweringKind::Product
            )
        };
        matches!(self.atoms[i], Atom::Value(v) if own(v))
    }

    fn is_ready(&mut self, i: usize) {
        if self.is_own(i) {
            self.ready.insert(i);
        } else {
            self.lane_wise.insert(i);
            let alike = self.alike(i);
            self.alike.entry(alike).or_default().insert(i);
        }
    }

    fn alike(&self, i: usize) -> Alike {
        let lanes = self.lanes[i];
        let family = self.families.find(self.f, lanes, &self.atoms[i]);
        (lanes, family)
    }

    /// Marks a value as computed: nothing waits for it any more.
    fn is_there(&mut self, v: Value) {
        for (i, _) in self.waited.remove(&v).unwrap_or_default() {
            work::note(1);
            self.pending[i] -= 1;
            if self.pending[i] == 0 && !self.taken[i] {
                self.is_ready(i);
            }
        }
    }

    /// Everything that one lane loop can do now of what is alike, in order.
    fn lane_loop(&mut self, alike: Alike) -> Vec<usize> {
        let lanes = alike.0;
        let mut open = self.alike.remove(&alike).unwrap_or_default();
        open.iter().for_each(|i| {
            self.lane_wise.remove(i);
        });
        let mut lane_loop: Vec<usize> = Vec::new();
        // The number of an atom's dependences that the lane loop itself satisfies.
        let mut had: HashMap<usize, usize> = HashMap::default();
        while let Some(i) = open.pop_first() {
            self.taken[i] = true;
            lane_loop.push(i);
            let Atom::Value(v) = self.atoms[i] else {
                continue;
            };
            if self.f.lowering(v) != LoweringKind::Lane {
                continue;
            }
            for &(w, whole) in self.waited.get(&v).into_iter().flatten() {
                work::note(1);
                if whole && self.lanes[w] == lanes && !self.is_own(w) {
                    let had = had.entry(w).or_default();
                    *had += 1;
                    if *had == self.pending[w] {
                        open.insert(w);
                    }
                }
            }
        }
        for &i in &lane_loop {
            match self.atoms[i] {
                Atom::Value(v) => self.is_there(v),
                Atom::Part(v, _) => {
                    let left = self.parts.get_mut(&v).expect("its parts are counted");
                    *left -= 1;
                    if *left == 0 {
                        self.is_there(v);
                    }
                }
                Atom::Fill(_) => {}
            }
        }
        lane_loop
    }
}
