//! Moves activations over contiguous blocks out of their regions: precompiled kernels with the machine's widest vectors
//! compute them for all rows of a step at once, whereas emitted code has 128-bit vectors.
//!
//! It pays where the operand is in memory anyway, as a pre-activation computed by a product is; gates of one activation
//! lie side by side, so that one call serves several. A result that nothing stores gets an array of one step for it.

use retrograd_tape::{Domain, Map};

use crate::plan::access;
use crate::plan::item::each_loop;
use crate::plan::{
    Buffer, BufferMap, Innermost, Instr, LoopKind, Plan, Region, Stmt, Storage, View,
    WideActivation,
};
use crate::work::Allowance;

/// With fewer numbers per row than this, the region computes them: a call costs about as much as 32 numbers there (8 ns
/// against 0.25 ns per number, f32, Zen 4; docs/PERFORMANCE.md).
const FEWEST: usize = 16;

/// Operations allowed for finding activations, for any region and per instruction.
const SMALL: usize = 1 << 20;
const EACH: usize = 64;

/// True if a kernel computes `map` for `len` numbers per row faster than emitted code.
pub(crate) fn is_wide(map: Map, len: usize) -> bool {
    WideActivation::of(map).is_some() && len >= FEWEST
}

/// Moves activations out of regions.
pub(crate) fn widen(plan: &mut Plan) {
    let buffers = &mut plan.buffers;
    each_loop(&mut plan.items, &mut |l| {
        if l.inner != Innermost::Lanes {
            return;
        }
        let mut body = Vec::with_capacity(l.body.len());
        for stmt in std::mem::take(&mut l.body) {
            match stmt {
                Stmt::Region(mut r) if r.lanes >= FEWEST => {
                    // The preceding statements must be done for all rows: a call does all rows at once.
                    body.extend(take_out(&mut r, l.kind, buffers));
                    if !r.stores.is_empty() || !r.folds.is_empty() {
                        body.push(Stmt::Region(r));
                    }
                }
                other => body.push(other),
            }
        }
        l.body = body;
    });
}

/// A call of a wide kernel: the activation, its operands, and its results.
#[derive(Clone, Copy)]
struct WideCall {
    map: WideActivation,
    x: View,
    y: View,
    len: usize,
}

/// True if parts of `lanes` numbers of two views overlap. Different steps count as overlapping: boundaries make them
/// hard to tell apart, and it does not happen for pre-activations.
fn meet(a: View, b: View, lanes: usize) -> bool {
    a.buffer == b.buffer && access::overlap((a, lanes), (b, lanes))
}

/// Moves activations of loaded values out of a region, which loads the results instead.
fn take_out(r: &mut Region, kind: LoopKind, buffers: &mut BufferMap) -> Vec<Stmt> {
    let mut extra = Vec::new();
    let mut calls: Vec<WideCall> = Vec::new();
    let all = r.instrs.len() + r.stores.len();
    let mut left = Allowance::of(SMALL + EACH * all);
    for i in 0..r.instrs.len() {
        let Instr::Map(map, xs) = &r.instrs[i] else {
            continue;
        };
        let (Some(map), x) = (WideActivation::of(*map), xs[0]) else {
            continue;
        };
        // When time is up, the rest stays where it is.
        if !left.spend(all + calls.len() + extra.len()) {
            break;
        }
        let Instr::Load(from) = r.instrs[x] else {
            continue;
        };
        match r.stores.iter().position(|s| s.0 == i) {
            Some(k) => {
                let call = WideCall {
                    map,
                    x: from,
                    y: r.stores[k].1,
                    len: r.lanes,
                };
                if r.can_do_without(x, k, call) && calls.iter().all(|&c| are_apart(c, call)) {
                    r.instrs[i] = Instr::Load(call.y);
                    r.instrs[x] = Instr::Const(0.0);
                    r.stores.remove(k);
                    calls.push(call);
                }
            }
            None => {
                // A parallel loop may do rows of several steps at once: one step's array is not enough there.
                let recurs = matches!(kind, LoopKind::Recurrence { .. });
                let changed = |s: &(usize, View)| meet(s.1, from, r.lanes) && s.1 != from;
                if recurs && !r.stores.iter().any(changed) {
                    extra.push((map, from, i));
                }
            }
        }
    }
    // No call may read what another writes.
    extra.retain(|&(_, from, _)| !calls.iter().any(|c| meet(c.y, from, r.lanes)));
    store_results(r, extra, buffers, &mut calls);
    r.prune();
    merged(calls)
}

/// Calls run in any order: none may read or write what another writes.
fn are_apart(a: WideCall, b: WideCall) -> bool {
    !meet(a.y, b.x, b.len) && !meet(a.x, b.y, b.len) && !meet(a.y, b.y, b.len)
}

/// Gives these activations, whose results nothing stores, an array of one step.
fn store_results(
    r: &mut Region,
    mut extra: Vec<(WideActivation, View, usize)>,
    buffers: &mut BufferMap,
    calls: &mut Vec<WideCall>,
) {
    // Neighbours in memory get neighbouring destinations.
    extra.sort_by_key(|e| (e.0.map(), e.1));
    let Some((first, ..)) = extra.first() else {
        return;
    };
    let results = View::of(buffers.push(Buffer {
        name: first.map().row().name.into(),
        domain: Domain::Row,
        len: extra.len() * r.lanes,
        front: 0,
        back: 0,
        storage: Storage::Workspace,
    }));
    for (k, &(map, x, i)) in extra.iter().enumerate() {
        let y = results.plus(k * r.lanes);
        let len = r.lanes;
        calls.push(WideCall { map, x, y, len });
        r.instrs[i] = Instr::Load(y);
    }
}

/// Merges calls on adjacent ranges.
fn merged(mut calls: Vec<WideCall>) -> Vec<Stmt> {
    calls.sort_by_key(|c| (c.map.map(), c.x, c.y));
    let mut merged: Vec<WideCall> = Vec::new();
    for c in calls {
        match merged.last_mut() {
            Some(b) if b.map == c.map && b.x.plus(b.len) == c.x && b.y.plus(b.len) == c.y => {
                b.len += c.len;
            }
            _ => merged.push(c),
        }
    }
    let stmt = |WideCall { map, x, y, len }| Stmt::Activate { map, x, y, len };
    merged.into_iter().map(stmt).collect()
}

impl Region {
    /// True if a call before the region can do the activation of the value that instruction `x` loads, which is store
    /// `k`.
    fn can_do_without(&self, x: usize, k: usize, call: WideCall) -> bool {
        let (from, to) = (call.x, call.y);
        let reads_x = |o: &&Instr| matches!(o, Instr::Map(_, ys) if ys.contains(&x));
        let used_once = !self.stores.iter().any(|s| s.0 == x)
            && !self.folds.iter().any(|f| f.1.contains(&x))
            && self.instrs.iter().filter(reads_x).count() == 1;
        // Nothing else in the region may read what the call overwrites, and nothing else may overwrite it.
        let loads_free = self.instrs.iter().enumerate().all(|(j, o)| match o {
            Instr::Load(v) if j != x => !meet(*v, to, self.lanes),
            Instr::Splat(v) | Instr::SplatRows(v, _) | Instr::LoadRow(v, _) => {
                v.buffer != to.buffer
            }
            Instr::Load(_) | Instr::Const(_) | Instr::Map(..) => true,
        });
        let folded = |f: &(_, _, View)| [to.buffer, from.buffer].contains(&f.2.buffer);
        // The operand must be available before the region: not stored by it.
        let stored_here = self
            .stores
            .iter()
            .enumerate()
            .any(|(j, s)| j != k && (meet(s.1, from, self.lanes) || meet(s.1, to, self.lanes)));
        used_once
            && loads_free
            && (from == to || from.buffer != to.buffer)
            && !self.folds.iter().any(folded)
            && !stored_here
    }

    /// Drops unused instructions.
    fn prune(&mut self) {
        let mut used = vec![false; self.instrs.len()];
        for (i, _) in &self.stores {
            used[*i] = true;
        }
        for f in &self.folds {
            f.1.iter().for_each(|&i| used[i] = true);
        }
        for i in (0..self.instrs.len()).rev() {
            if let (true, Instr::Map(_, xs)) = (used[i], &self.instrs[i]) {
                xs.iter().for_each(|&x| used[x] = true);
            }
        }
        let mut place = Vec::with_capacity(used.len());
        let mut n = 0;
        for &u in &used {
            place.push(n);
            n += usize::from(u);
        }
        let mut keep = used.iter();
        self.instrs
            .retain(|_| *keep.next().expect("one flag an instruction"));
        for i in &mut self.instrs {
            if let Instr::Map(_, xs) = i {
                xs.iter_mut().for_each(|x| *x = place[*x]);
            }
        }
        self.stores.iter_mut().for_each(|s| s.0 = place[s.0]);
        self.folds
            .iter_mut()
            .for_each(|f| f.1.iter_mut().for_each(|x| *x = place[*x]));
    }
}
