//! The accesses of a plan's items: which items may be reordered, and which may run over time together.

use retrograd_tape::Domain;

use crate::plan::{BufferId, BufferMap, Item, Product, Stmt, View, WeightMap};
use crate::work;

/// One range that an item reads or writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Which numbers, relative to the item's own steps.
    pub(crate) view: View,
    /// Whether it is written.
    pub(crate) write: bool,
}

fn read(view: View) -> Access {
    Access { view, write: false }
}

fn written(view: View) -> Access {
    Access { view, write: true }
}

fn product(p: &Product, weights: &WeightMap, out: &mut Vec<Access>) {
    out.extend([p.x].into_iter().chain(p.bias).map(read));
    out.extend(p.add.then_some(read(p.y)));
    out.extend(weights[p.weight].blocks.iter().map(|b| read(b.view)));
    out.push(written(p.y));
}

impl Item {
    /// Every access of the item, those of its parts in order.
    pub(crate) fn accesses(&self, weights: &WeightMap) -> Vec<Access> {
        let mut out = Vec::new();
        match self {
            Item::Pack(w) => out.extend(weights[*w].blocks.iter().map(|b| read(b.view))),
            Item::Product { product: p, .. } => product(p, weights, &mut out),
            Item::Loop(l) => {
                for s in &l.body {
                    match s {
                        Stmt::Product(p) => product(p, weights, &mut out),
                        s => {
                            out.extend(s.loads().into_iter().map(read));
                            out.extend(s.stores().into_iter().map(written));
                        }
                    }
                }
            }
            Item::Outer {
                delta, rhs, bias, ..
            } => {
                out.push(read(*delta));
                out.extend(rhs.iter().map(|r| read(r.x)));
                let to = rhs.iter().flat_map(|r| &r.to).chain(bias);
                out.extend(to.map(|b| written(b.view)));
            }
            Item::SumTo { x, parts, .. } => {
                out.push(read(*x));
                out.extend(parts.iter().map(|b| written(b.view)));
            }
            Item::OuterTo { a, b, y, .. } => out.extend([read(a.0), read(b.0), written(*y)]),
            Item::Scatter { index, v, y, .. } => {
                out.extend([read(*index), read(*v), written(*y)]);
            }
            Item::TimeTile { items, .. } | Item::Sweep { items, .. } => {
                out.extend(items.iter().flat_map(|i| i.accesses(weights)));
            }
        }
        out
    }
}

impl Item {
    /// The same accesses, sorted by array and without duplicates: offsets within a point do not matter for reordering.
    pub(crate) fn touched(&self, weights: &WeightMap) -> Vec<Access> {
        let mut all = self.accesses(weights);
        work::note(all.len());
        all.iter_mut().for_each(|a| a.view.offset = 0);
        all.sort_unstable_by_key(|a| (a.view, a.write));
        all.dedup_by_key(|a| (a.view, a.write));
        all
    }
}

/// The accesses to one array, from a sorted list.
pub(crate) fn of_array(all: &[Access], buffer: BufferId) -> &[Access] {
    let from = all.partition_point(|a| a.view.buffer < buffer);
    let rest = &all[from..];
    &rest[..rest.partition_point(|a| a.view.buffer == buffer)]
}

/// True if `holds` is true of all pairs of accesses to one array of which at least one is a write. Both lists are
/// sorted.
fn meetings(
    first: &[Access],
    second: &[Access],
    mut holds: impl FnMut(Access, Access) -> bool,
) -> bool {
    // Look the shorter list up in the longer one.
    let few = if first.len() <= second.len() {
        first
    } else {
        second
    };
    work::note(few.len());
    few.chunk_by(|a, b| a.view.buffer == b.view.buffer)
        .all(|own| {
            let u = own[0].view.buffer;
            of_array(first, u).iter().all(|&a| {
                let mut others = of_array(second, u).iter();
                others.all(|&b| !(a.write || b.write) || holds(a, b))
            })
        })
}

/// True if the two, given by sorted lists, may not be reordered.
pub(crate) fn conflict(first: &[Access], second: &[Access]) -> bool {
    !meetings(first, second, |_, _| false)
}

/// True if `second` may do each block of steps right after `first` has, blocks going from last to first if `reverse`:
/// it needs nothing that later blocks of `first` compute, and destroys nothing that they need. Both lists are sorted.
pub(crate) fn goes_along(
    first: &[Access],
    second: &[Access],
    buffers: &BufferMap,
    reverse: bool,
) -> bool {
    // Steps ahead, in the direction of the blocks.
    let ahead = |v: View| if reverse { -v.shift } else { v.shift };
    meetings(first, second, |a, b| {
        if buffers[a.view.buffer].domain != Domain::Step || a.view.from_end || b.view.from_end {
            return false;
        }
        let (x, y) = (ahead(a.view), ahead(b.view));
        match (a.write, b.write) {
            (true, true) => x == y,
            (true, false) => y <= x,
            _ => x >= y,
        }
    })
}

/// True if two parts of a point's value, each given by the offset of its view and its length, overlap.
pub(crate) fn overlap((a, n): (View, usize), (b, m): (View, usize)) -> bool {
    a.offset < b.offset + m && b.offset < a.offset + n
}
