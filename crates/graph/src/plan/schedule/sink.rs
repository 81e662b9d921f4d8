//! Lane loops of a body, or values of them, move down to later ones.
//!
//! A body's lane loops do all that they can as early as they can: a state is scaled beside others, stored, and loaded again
//! once the product that is added to it is there. If what a value is computed from is stored anyway, the first lane loop that
//! reads it computes it. And if nothing in between needs what a lane loop computes, it and the next one of its length,
//! and family if it is long, are one.

use retrograd_tape::{Domain, Op, Value};
use rustc_hash::FxHashMap as HashMap;

use super::family::Families;
use super::{Atom, Draft, MANY};
use crate::plan::build::{Classified, LoweringKind};
use crate::work;

/// Most values, one read by the next, that move together.
const DEEP: usize = 8;
/// Most atoms of a lane loop that takes some in.
const MOST_ATOMS: usize = 256;

struct Sink<'f, 'g> {
    f: &'f Classified<'g>,
    /// The statement that computes each value of the body.
    at: HashMap<Value, usize>,
    /// The one that stores each part of a concatenation.
    parts: HashMap<(Value, usize), usize>,
}

/// Who reads a value.
struct Readers {
    /// Statements of the body that read it at their own step, and whether they read it number for number.
    here: Vec<(usize, bool)>,
    /// Whether there are others.
    elsewhere: bool,
}

/// Moves what should, and drops lane loops that nothing is left in.
pub(super) fn sink(f: &Classified<'_>, families: &Families, drafts: &mut Vec<Draft>) {
    let mut s = Sink {
        f,
        at: HashMap::default(),
        parts: HashMap::default(),
    };
    for (i, draft) in drafts.iter().enumerate() {
        match draft {
            Draft::Region(_, atoms) => {
                atoms.iter().for_each(|atom| s.is_in(atom, i));
            }
            &Draft::Node(v) => {
                s.at.insert(v, i);
            }
        }
    }
    // The next lane loop of each length and family.
    let mut next: HashMap<(usize, Option<usize>), usize> = HashMap::default();
    for i in (0..drafts.len()).rev() {
        let Draft::Region(lanes, atoms) = &drafts[i] else {
            continue;
        };
        let (lanes, atoms) = (*lanes, atoms.clone());
        let family = atoms.iter().find_map(|a| families.find(f, lanes, a));
        if let Some(&to) = next.get(&(lanes, family))
            && s.goes_as_a_whole(&atoms, (i, to))
            && take_in(&mut drafts[to], &atoms)
        {
            if let Draft::Region(_, atoms) = &mut drafts[i] {
                atoms.clear();
            }
            atoms.iter().for_each(|atom| s.is_in(atom, to));
            continue;
        }
        next.insert((lanes, family), i);
        for v in atoms.iter().rev().filter_map(value) {
            // What reads all of `v` is of its family.
            let as_long = |&to: &usize| matches!(&drafts[to], Draft::Region(n, _) if *n == lanes);
            let Some(to) = s.first_reader(v, i).filter(as_long) else {
                continue;
            };
            let Some(moved) = s.moved(v, (i, to)) else {
                continue;
            };
            let atoms: Vec<Atom> = moved.iter().map(|&v| Atom::Value(v)).collect();
            if !take_in(&mut drafts[to], &atoms) {
                continue;
            }
            if let Draft::Region(_, atoms) = &mut drafts[i] {
                atoms.retain(|a| !value(a).is_some_and(|v| moved.contains(&v)));
            }
            s.at.extend(moved.into_iter().map(|v| (v, to)));
        }
    }
    drafts.retain(|d| !matches!(d, Draft::Region(_, atoms) if atoms.is_empty()));
}

/// Puts atoms in front of a lane loop's, unless these would be too many.
fn take_in(to: &mut Draft, more: &[Atom]) -> bool {
    let Draft::Region(_, atoms) = to else {
        return false;
    };
    let fits = atoms.len() + more.len() <= MOST_ATOMS;
    if fits {
        atoms.splice(0..0, more.iter().cloned());
    }
    fits
}

fn value(atom: &Atom) -> Option<Value> {
    match *atom {
        Atom::Value(v) => Some(v),
        Atom::Part(..) | Atom::Fill(_) => None,
    }
}

impl Sink<'_, '_> {
    /// Notes the statement of an atom.
    fn is_in(&mut self, atom: &Atom, i: usize) {
        match *atom {
            Atom::Value(v) => {
                self.at.insert(v, i);
            }
            Atom::Part(whole, k) => {
                self.parts.insert((whole, k), i);
            }
            Atom::Fill(_) => {}
        }
    }

    /// Who reads `v`; `None` if some reader's place is not known.
    fn readers(&self, v: Value) -> Option<Readers> {
        let f = self.f;
        let mut all = Readers {
            here: Vec::new(),
            elsewhere: f.g.is_output(v),
        };
        for (u, elsewhere) in f.readers(v) {
            work::note(1);
            if elsewhere || f.class(u) != f.class(v) {
                all.elsewhere = true;
            } else if f.lowering(u) == LoweringKind::Concat {
                for (k, &x) in f.g.operands(u).iter().enumerate() {
                    let s = f.source(x);
                    if f.last(s.value) == v {
                        all.here.push((*self.parts.get(&(u, k))?, s.whole));
                    }
                }
            } else {
                let at = *self.at.get(&u)?;
                let mut reads = f.reads(u);
                reads.retain(|s| s.value == v);
                all.here.extend(reads.iter().map(|s| (at, s.whole)));
            }
        }
        Some(all)
    }

    /// Whether lane loop `i`, which has these atoms, can be done with the next one of its length.
    fn goes_as_a_whole(&self, atoms: &[Atom], (i, to): (usize, usize)) -> bool {
        let f = self.f;
        let between = |x: Value| self.at.get(&x).is_some_and(|&at| i < at && at < to);
        atoms.iter().all(|atom| {
            let (v, lane_wise) = match *atom {
                Atom::Value(v) => (v, f.lowering(v) == LoweringKind::Lane),
                Atom::Part(whole, _) => (whole, false),
                Atom::Fill(_) => return false,
            };
            let Some(readers) = self.readers(v) else {
                return false;
            };
            let later =
                |&(at, whole): &(usize, bool)| at > to || at == i || at == to && whole && lane_wise;
            // A state is stored in its own place only after all have read it.
            let early = (f.reads(v).iter()).all(|s| !s.elsewhere || !between(s.value));
            readers.here.iter().all(later) && early && !f.parts(v).iter().any(|&p| p != v)
        })
    }

    /// The values that move from lane loop `i` to `to` with `v`, operands first, if that loads at most one other array instead
    /// of `v`, which need not be stored for `to`.
    fn moved(&self, v: Value, (i, to): (usize, usize)) -> Option<Vec<Value>> {
        let mut moved = Vec::new();
        let loads = self.loads(v, (i, to), DEEP, &mut moved)?;
        (loads <= 1).then_some(moved)
    }

    /// The first statement that reads `v` of lane loop `i`, if later ones of the same body do alone.
    fn first_reader(&self, v: Value, i: usize) -> Option<usize> {
        let f = self.f;
        if f.lowering(v) != LoweringKind::Lane || f.g.is_output(v) || self.at.get(&v) != Some(&i) {
            return None;
        }
        let readers = self.readers(v)?;
        let later = |&(at, whole): &(usize, bool)| at > i && whole;
        if readers.elsewhere || !readers.here.iter().all(later) {
            return None;
        }
        readers.here.iter().map(|r| r.0).min()
    }

    /// The arrays of all lanes that lane loop `to` would load in addition if it computed `v` of lane loop `from`; what moves
    /// with it is added to `moved`. `None` if something would have to be stored for it.
    fn loads(
        &self,
        v: Value,
        (from, to): (usize, usize),
        deep: usize,
        moved: &mut Vec<Value>,
    ) -> Option<usize> {
        let f = self.f;
        let mut loads = 0;
        for s in f.reads(v) {
            work::note(1);
            let x = s.value;
            if s.elsewhere && self.at.get(&x).is_some_and(|&at| from < at && at < to) {
                // A state is stored in its own place only after all have read it.
                return None;
            }
            let given = matches!(f.g.op_of(x), Op::Constant { .. } | Op::Zeros(_));
            if given || moved.contains(&x) || f.len(x) < f.len(v) {
                continue;
            }
            if !self.is_inside(x, from) || s.elsewhere || self.is_stored(x, from) {
                loads += usize::from(!self.is_loaded(x, to));
            } else if deep > 0 && f.readers(x).iter().all(|&(u, _)| u == v) {
                loads += self.loads(x, (from, to), deep - 1, moved)?;
            } else {
                return None;
            }
        }
        moved.push(v);
        Some(loads)
    }

    /// Whether lane loop `i` computes `x`, number by number.
    fn is_inside(&self, x: Value, i: usize) -> bool {
        self.at.get(&x) == Some(&i) && self.f.lowering(x) == LoweringKind::Lane
    }

    /// Whether `x` of lane loop `i` has an array anyway.
    fn is_stored(&self, x: Value, i: usize) -> bool {
        let f = self.f;
        let here = |&(u, elsewhere): &(Value, bool)| !elsewhere && self.at.get(&u) == Some(&i);
        f.g.is_output(x) || f.domain(x) != Domain::Step || !f.readers(x).iter().all(here)
    }

    /// Whether lane loop `i` reads `x` already.
    fn is_loaded(&self, x: Value, i: usize) -> bool {
        let here = |&(u, elsewhere): &(Value, bool)| !elsewhere && self.at.get(&u) == Some(&i);
        self.f.g.users(x).nth(MANY).is_none() && self.f.readers(x).iter().any(here)
    }
}
