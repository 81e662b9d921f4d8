//! Which long lane-wise values belong together.
//!
//! A long lane loop gains nothing from work that shares no array with the rest of it, such as that of another head of a
//! matrix memory: each array is a stream through the first cache, and what the loop leaves there for the next statement
//! is pushed out by the others'.

use petgraph::unionfind::UnionFind;
use retrograd_tape::Op;

use super::Atom;
use crate::plan::build::{Classified, LoweringKind};
use crate::work;

/// Numbers from which on a lane loop is long: an array of them takes 2 KiB in single precision.
const LONG: usize = 512;

/// Sets of values that are connected by work that reads all of one, number for number.
pub(super) struct Families {
    /// By value; a sum in place has that of its last product.
    family: Vec<usize>,
}

impl Families {
    /// Those of all values.
    pub(super) fn of(f: &Classified<'_>) -> Self {
        let mut sets = UnionFind::new(f.g.bound());
        for &v in &f.order {
            let numbers = match f.lowering(v) {
                LoweringKind::Lane => f.len(v),
                LoweringKind::Fold => f.len(f.g.operands(v)[0]),
                _ => continue,
            };
            if numbers < LONG {
                continue;
            }
            for s in f.reads(v) {
                work::note(1);
                let given = matches!(f.g.op_of(s.value), Op::Constant { .. } | Op::Zeros(_));
                // A state of the step before is the same array, too.
                let all = s.whole || s.elsewhere && f.len(s.value) == numbers;
                if all && !given {
                    sets.union(f.last(v).index(), s.value.index());
                }
            }
        }
        Families {
            family: sets.into_labeling(),
        }
    }

    /// The family of an atom of a lane loop over so many numbers; `None` for all that are short, and what fills boundary steps.
    pub(super) fn find(&self, f: &Classified<'_>, lanes: usize, atom: &Atom) -> Option<usize> {
        let v = match *atom {
            _ if lanes < LONG => return None,
            Atom::Value(v) => v,
            Atom::Part(whole, k) => f.source(f.g.operands(whole)[k]).value,
            Atom::Fill(_) => return None,
        };
        Some(self.family[f.last(v).index()])
    }
}
