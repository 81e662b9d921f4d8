//! Reuse of arrays: a gate's activation takes the place of its pre-activation, δ takes that of the gate, and a value
//! that only the next step reads has an array of one step.
//!
//! All of it rests on one property of a region: for each vector of lanes, all loads come before all stores. So a value
//! may be stored where another is read in the same lane loop at the same lanes, if the other has no later reader.

use retrograd_tape::{Domain, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::passes::components::Class;
use crate::plan::assignment::{Assignment, Placement, ProgramOrder};
use crate::plan::build::{Classified, LoweringKind};
use crate::plan::schedule::Atom;
use crate::work::Allowance;

/// One read of a value, or of a part of it.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// The atom that reads it.
    atom: Atom,
    /// Offset and length of the part.
    part: (usize, usize),
    /// Lane i of the lane loop reads number i of the part.
    aligned: bool,
    /// Whether it is read at another step.
    elsewhere: bool,
}

/// All reads of a value.
fn reads(f: &Classified<'_>, v: Value) -> Vec<Read> {
    let mut out = Vec::new();
    let mut work = vec![(v, (0, f.len(v)), true, false)];
    while let Some((x, part, aligned, elsewhere)) = work.pop() {
        for u in f.g.users(x) {
            if f.lowering(u) == LoweringKind::View {
                match *f.g.op_of(u) {
                    Op::Slice {
                        axis: 0,
                        start,
                        len,
                    } => {
                        let (_, after) = f.g.node(x).ty.shape.around(0);
                        let part = (part.0 + start * after, len * after);
                        work.push((u, part, aligned, elsewhere));
                    }
                    Op::Reshape(_) | Op::Spread(_) | Op::Map(_) => {
                        work.push((u, part, aligned, elsewhere))
                    }
                    Op::Delay(_) | Op::Boundary(_) => {
                        work.push((u, part, aligned && f.g.operands(u)[0] == x, true))
                    }
                    _ => work.push((u, part, false, elsewhere)),
                }
                continue;
            }
            if f.lowering(u) == LoweringKind::Accumulated {
                // The sum is stored in the same place; its readers are those of the root.
                continue;
            }
            let aligned = aligned
                && matches!(
                    f.lowering(u),
                    LoweringKind::Lane | LoweringKind::Fold | LoweringKind::Concat
                );
            if f.lowering(u) == LoweringKind::Concat {
                for (i, _) in f.g.operands(u).iter().enumerate().filter(|(_, y)| **y == x) {
                    out.push(Read {
                        atom: Atom::Part(u, i),
                        part,
                        aligned,
                        elsewhere,
                    });
                }
            } else {
                out.push(Read {
                    atom: Atom::Value(u),
                    part,
                    aligned,
                    elsewhere,
                });
            }
        }
    }
    out
}

impl Assignment<'_, '_> {
    /// True if an array of one step is enough for a delayed value: only the next step reads it, before it is
    /// recomputed. After the loop, the array holds the value that leaves at the sequence's end.
    pub(crate) fn is_slot(&self, v: Value, when: &ProgramOrder) -> bool {
        let f = self.f;
        let Class::Recurrent(k) = f.class(v) else {
            return false;
        };
        let one_step = if f.components.reverse[k] { -1 } else { 1 };
        // The initial value is written before the loop, and to this array only.
        let begins = when.at.get(&Atom::Value(f.first(v)));
        let fits = |u: Value| match *f.g.op_of(u) {
            Op::Delay(d) | Op::Boundary(d) => {
                let fill = when.at.get(&Atom::Fill(u));
                d == one_step && fill.is_none_or(|at| begins.is_some_and(|b| at < b))
            }
            _ => true,
        };
        let mut delays = f.g.users(v).filter(|&u| f.g.operands(u)[0] == v);
        if f.domain(v) != Domain::Step || !delays.all(fits) || f.lowering(v) == LoweringKind::Concat
        {
            return false;
        }
        if f.parts(v).iter().any(|&p| f.class(p) != f.class(v)) {
            return false;
        }
        // A sum is complete after its last product, and its first product overwrites it.
        let (first, written) = (Atom::Value(f.first(v)), Atom::Value(f.last(v)));
        reads(f, v).iter().all(|r| {
            let reader = match r.atom {
                Atom::Value(u) | Atom::Part(u, _) | Atom::Fill(u) => u,
            };
            let same_loop =
                f.class(reader) == f.class(v) && f.lowering(reader) != LoweringKind::Global;
            if !r.elsewhere {
                return same_loop;
            }
            if !same_loop {
                // After the loop, only the value leaving it may be read.
                return only_leaving(f, v, reader);
            }
            let (w, u) = (when.at(first), when.at(r.atom));
            u < w
                || (r.aligned
                    && when.lane_loop(r.atom).is_some()
                    && when.lane_loop(r.atom) == when.lane_loop(written))
        })
    }
}

/// True if `reader` reads `v` through boundaries only.
fn only_leaving(f: &Classified<'_>, v: Value, reader: Value) -> bool {
    let through_delay =
        f.g.users(v)
            .filter(|&u| matches!(f.g.op_of(u), Op::Delay(_)))
            .any(|u| {
                let is_first = f.g.operands(u)[0] == v;
                !is_first || f.readers(u).iter().any(|&(x, _)| x == reader)
            });
    !through_delay
}

/// Changes placements to reuse arrays; nothing is allocated yet. A replay's inputs are determined per array, so if
/// there will be sweeps, no array may be carried from step to step in part.
pub(crate) fn reuse(h: &mut Assignment<'_, '_>, order: &ProgramOrder, sweeps: bool) {
    if !sweeps {
        carry_in_place(h, order);
    }
    take_places(h, order);
}

/// A one-step value that the next step concatenates with others, to multiply them together, is stored directly in the
/// concatenation, so that it need not be copied. Nothing reads the place in between.
fn carry_in_place(h: &mut Assignment<'_, '_>, when: &ProgramOrder) {
    let f = h.f;
    for &v in &f.order {
        if h.placements.get(&v) != Some(&Placement::Slot) {
            continue;
        }
        let delays =
            f.g.users(v)
                .filter(|&d| matches!(f.g.op_of(d), Op::Delay(_)) && f.g.operands(d)[0] == v);
        let wholes = delays.flat_map(|d| f.g.users(d).map(move |c| (d, c)));
        let written = when.at(Atom::Value(f.first(v)));
        let place = wholes.into_iter().find(|&(_, c)| {
            let before = |&(u, _): &(Value, bool)| {
                f.lowering(u) == LoweringKind::Product && when.at(Atom::Value(u)) < written
            };
            f.lowering(c) == LoweringKind::Concat
                && f.class(c) == f.class(v)
                && h.placements.get(&c) == Some(&Placement::Own)
                && h.is_local(c)
                && f.readers(c).iter().all(before)
        });
        if let Some((d, c)) = place {
            let parts = f.g.operands(c);
            let before = parts.iter().take_while(|&&x| x != d);
            let at = before.map(|&x| f.len(x)).sum();
            h.placements.insert(v, Placement::In(c, at));
        }
    }
}

/// Operations allowed for finding places to reuse, for any program and per value.
const SMALL: usize = 1 << 18;
const EACH: usize = 32;

/// A part of a value's place, as offset and length, and the value that has taken it.
type Taken = ((usize, usize), Value);

/// Moves values into places that are free when they are stored. If the search takes too long, the rest keep arrays of
/// their own.
fn take_places(h: &mut Assignment<'_, '_>, when: &ProgramOrder) {
    let f = h.f;
    let mut left = Allowance::of(SMALL + EACH * f.order.len());
    // By host: the parts that are taken, and by which value.
    let mut taken: HashMap<Value, Vec<Taken>> = HashMap::default();
    let mut parts: HashSet<(Value, (usize, usize))> = HashSet::default();
    let reading = reading_hosts(h, when);
    for &v in &f.order {
        let lane_loop = when.lane_loop(Atom::Value(v));
        if lane_loop.is_some_and(|s| reading.contains(&s))
            && let Some((host, part)) = pre_activation(h, v, when, &mut left)
            && parts.insert((host, part))
        {
            taken.entry(host).or_default().push((part, v));
            h.placements.insert(v, Placement::In(host, part.0));
        }
    }
    // By length. The parts that a concatenation takes do not change which other values are hosts.
    let mut hosts: HashMap<usize, Vec<Value>> = HashMap::default();
    for &r in f.order.iter().filter(|&&r| is_host(h, r)) {
        hosts.entry(f.len(r)).or_default().push(r);
    }
    let mut used: HashSet<Value> = HashSet::default();
    for &v in f
        .order
        .iter()
        .filter(|&&v| f.lowering(v) == LoweringKind::Concat)
    {
        if h.placements.get(&v) != Some(&Placement::Own)
            || f.domain(v) != Domain::Step
            || h.is_local(v)
        {
            continue;
        }
        // A host has no boundary steps beside it.
        if h.boundary_steps(v) != (0, 0) {
            continue;
        }
        let hosts = hosts.get(&f.len(v)).into_iter().flatten().copied();
        let free = hosts.filter(|r| !used.contains(r)).find(|&r| {
            let tenants = taken.get(&r).into_iter().flatten();
            let tenants = tenants.map(|&(part, v)| (v, part.0));
            std::iter::once((r, 0))
                .chain(tenants)
                .all(|(o, at)| left.spend(1) && dead_after(h, o, at, v, when, &mut left))
        });
        if let Some(r) = free {
            used.insert(r);
            h.placements.insert(v, Placement::In(r, 0));
        }
    }
}

/// The lane loops that read a sum of products: no other has a place to offer.
fn reading_hosts(h: &Assignment<'_, '_>, when: &ProgramOrder) -> HashSet<usize> {
    let f = h.f;
    let lanes = f
        .order
        .iter()
        .filter(|&&v| f.lowering(v) == LoweringKind::Lane);
    let reads = |v: &&Value| {
        let operands = f.g.operands(**v).into_iter();
        let mut stored = operands.filter(|&x| f.lowering(x) != LoweringKind::Lane);
        stored.any(|x| is_host(h, f.root(f.source(x).value)))
    };
    lanes
        .filter(reads)
        .filter_map(|&v| when.lane_loop(Atom::Value(v)))
        .collect()
}

/// A sum of products with an array of its own, for all steps.
fn is_host(h: &Assignment<'_, '_>, r: Value) -> bool {
    let f = h.f;
    matches!(
        f.lowering(r),
        LoweringKind::Product | LoweringKind::Accumulated
    ) && f.root(r) == r
        && h.placements.get(&r) == Some(&Placement::Own)
        && h.boundary_steps(r) == (0, 0)
        && f.domain(r) == Domain::Step
        && !h.is_local(r)
}

/// The part of a sum of products that an element-wise value is computed from, if that part has no later reader.
fn pre_activation(
    h: &Assignment<'_, '_>,
    v: Value,
    when: &ProgramOrder,
    left: &mut Allowance,
) -> Option<(Value, (usize, usize))> {
    let f = h.f;
    if f.lowering(v) != LoweringKind::Lane
        || h.placements.get(&v) != Some(&Placement::Own)
        || f.domain(v) != Domain::Step
    {
        return None;
    }
    if h.boundary_steps(v) != (0, 0) || h.is_local(v) {
        return None;
    }
    let lane_loop = when.lane_loop(Atom::Value(v));
    let mut work: Vec<Value> = f.g.operands(v).to_vec();
    let mut seen: HashSet<Value> = HashSet::default();
    while let Some(x) = work.pop() {
        if !left.spend(1) {
            return None;
        }
        if f.lowering(x) == LoweringKind::Lane {
            if seen.insert(x) && when.lane_loop(Atom::Value(x)) == lane_loop {
                work.extend(f.g.operands(x));
            }
            continue;
        }
        let r = f.root(f.source(x).value);
        if !is_host(h, r) || f.domain(x) != Domain::Step {
            continue;
        }
        let all = reads(f, r);
        left.spend(all.len());
        // The part that is x.
        let Some(part) = part_of(f, x, r) else {
            continue;
        };
        let overlaps = |p: (usize, usize)| p.0 < part.0 + part.1 && part.0 < p.0 + p.1;
        let only_here = all.iter().filter(|y| overlaps(y.part)).all(|y| {
            y.aligned && !y.elsewhere && y.part == part && when.lane_loop(y.atom) == lane_loop
        });
        if part.1 == f.len(v) && only_here {
            return Some((r, part));
        }
    }
    None
}

/// The range of `r` that a view of it covers.
fn part_of(f: &Classified<'_>, x: Value, r: Value) -> Option<(usize, usize)> {
    let (mut v, mut start) = (x, 0);
    while f.lowering(v) == LoweringKind::View {
        let from = f.g.operands(v)[0];
        match *f.g.op_of(v) {
            Op::Slice {
                axis: 0, start: s, ..
            } => start += s * f.g.node(from).ty.shape.around(0).1,
            Op::Reshape(_) | Op::Spread(_) | Op::Map(_) => {}
            _ => return None,
        }
        v = from;
    }
    (f.root(v) == r).then(|| (start, f.len(x)))
}

/// True if nothing reads `o`, which is stored from offset `at` on, once the concatenation `c` is stored in its place.
fn dead_after(
    h: &Assignment<'_, '_>,
    o: Value,
    at: usize,
    c: Value,
    when: &ProgramOrder,
    left: &mut Allowance,
) -> bool {
    let f = h.f;
    let parts = f.g.operands(c);
    let stored = when.at(Atom::Part(c, 0));
    left.spend(parts.len());
    let lane_loop = when.lane_loop(Atom::Part(c, 0));
    // A part that is placed in the concatenation is stored when it is computed.
    let together = parts.iter().enumerate().all(|(i, p)| {
        let lives_here =
            matches!(h.placements.get(p), Some(Placement::In(whole, _)) if *whole == c);
        when.lane_loop(Atom::Part(c, i)) == lane_loop
            && (!lives_here || when.lane_loop(Atom::Value(*p)) == lane_loop)
    });
    let spans = |start: usize, len: usize| {
        let mut from = 0;
        parts.iter().any(|&p| {
            from += f.len(p);
            from - f.len(p) == start && f.len(p) == len
        })
    };
    together
        && reads(f, o).iter().all(|r| {
            let before = when.at(r.atom).0 < stored.0 || when.at(r.atom) < stored;
            let beside = r.aligned
                && when.lane_loop(r.atom) == lane_loop
                && lane_loop.is_some()
                && spans(at + r.part.0, r.part.1);
            !r.elsewhere && (before || beside)
        })
        && when.at.get(&Atom::Value(o)).is_none_or(|w| w.0 <= stored.0)
}
