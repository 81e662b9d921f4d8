//! Activations over contiguous blocks leave their regions: precompiled kernels with the machine's widest vectors compute
//! them for all rows of a step at once, where the emitted code has 128-bit vectors.
//!
//! It pays where the operand lies in memory anyway, as a pre-activation does that a product made; gates of one activation
//! lie side by side, so that one call serves several. A result that nothing stores gets one step's array for it.

use retrograd_tape::{Domain, Map};

use crate::plan::access;
use crate::plan::item::each_loop;
use crate::plan::{Buffer, Innermost, Instr, LoopKind, Plan, Region, Stmt, Storage, View};
use crate::work::Allowance;

/// The activations that there are kernels for.
pub const WIDE: [Map; 4] = [Map::Tanh, Map::Sigmoid, Map::Exp, Map::Softplus];

/// Fewer numbers than this a row are computed in the region: a call costs about what 32 numbers cost there (8 ns against
/// 0.25 ns a number, f32, Zen 4; docs/PERFORMANCE.md).
const FEWEST: usize = 16;

/// Operations that looking for activations may take in any region, and for each of its instructions.
const SMALL: usize = 1 << 20;
const EACH: usize = 64;

/// True if a kernel computes `map` for `len` numbers a row faster than emitted code.
pub(crate) fn is_wide(map: Map, len: usize) -> bool {
    WIDE.contains(&map) && len >= FEWEST
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
                    // Rows of the statements before it must be done: a call does all rows at once.
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

/// Takes activations of loaded values out of a region; it loads the results instead.
fn take_out(r: &mut Region, kind: LoopKind, buffers: &mut Vec<Buffer>) -> Vec<Stmt> {
    // Different steps count as sharing: boundaries make them hard to tell apart, and it does not happen for pre-activations.
    let overlap = |a: View, b: View, lanes: usize| access::overlap((a, lanes), (b, lanes));
    let mut extra = Vec::new();
    let mut calls: Vec<(Map, View, View, usize)> = Vec::new();
    let all = r.instrs.len() + r.stores.len();
    let mut left = Allowance::of(SMALL + EACH * all);
    for i in 0..r.instrs.len() {
        let Instr::Map(m, xs) = &r.instrs[i] else {
            continue;
        };
        let (m, x) = (*m, xs[0]);
        if !WIDE.contains(&m) {
            continue;
        }
        // What there is no time to look at stays where it is.
        if !left.spend(all + calls.len() + extra.len()) {
            break;
        }
        let Instr::Load(from) = r.instrs[x] else {
            continue;
        };
        let stored = r.stores.iter().position(|s| s.0 == i);
        let Some(k) = stored else {
            // Rows of a parallel loop's steps may be done at once: one step's array is not enough there.
            let recurs = matches!(kind, LoopKind::Recurrence { .. });
            let stays = !r
                .stores
                .iter()
                .any(|s| s.1.buffer == from.buffer && overlap(s.1, from, r.lanes) && s.1 != from);
            if recurs && stays {
                extra.push((m, from, i));
            }
            continue;
        };
        let to = r.stores[k].1;
        let used_once = !r.stores.iter().any(|s| s.0 == x)
            && !r.folds.iter().any(|f| f.1.contains(&x))
            && r.instrs
                .iter()
                .filter(|o| matches!(o, Instr::Map(_, ys) if ys.contains(&x)))
                .count()
                == 1;
        if !used_once {
            continue;
        }
        // What the call overwrites nothing else in the region may want, and nothing else may overwrite.
        let free = |v: View| v.buffer != to.buffer || !overlap(v, to, r.lanes);
        let loads_free = r.instrs.iter().enumerate().all(|(j, o)| match o {
            Instr::Load(v) if j != x => free(*v),
            Instr::Splat(v) => v.buffer != to.buffer,
            _ => true,
        });
        let in_place = from == to || from.buffer != to.buffer;
        let folds_free = r
            .folds
            .iter()
            .all(|f| f.2.buffer != to.buffer && f.2.buffer != from.buffer);
        // The operand must be there before the region: not stored by it.
        let stored_here = r.stores.iter().enumerate().any(|(j, s)| {
            j != k && (s.1.buffer == from.buffer && overlap(s.1, from, r.lanes) || !free(s.1))
        });
        // Calls run in any order: none may read or write what another writes, be it the operand of this activation.
        let touch = |a: View, b: View| a.buffer == b.buffer && overlap(a, b, r.lanes);
        let apart =
            (calls.iter()).all(|&(_, x, y, _)| !touch(y, from) && !touch(x, to) && !touch(y, to));
        if loads_free && in_place && folds_free && !stored_here && apart {
            calls.push((m, from, to, r.lanes));
            r.instrs[i] = Instr::Load(to);
            r.instrs[x] = Instr::Const(0.0);
            r.stores.remove(k);
        }
    }
    // What one call writes no other may read.
    let written: Vec<View> = calls.iter().map(|c| c.2).collect();
    let touch = |a: View, b: View| a.buffer == b.buffer && overlap(a, b, r.lanes);
    extra.retain(|&(_, from, _)| !written.iter().any(|&to| touch(to, from)));
    // Neighbours in memory get neighbouring places.
    extra.sort_by_key(|e| (e.0, e.1));
    for (k, (m, from, i)) in extra.iter().enumerate() {
        if k == 0 {
            buffers.push(Buffer {
                name: m.row().name.into(),
                domain: Domain::Row,
                len: extra.len() * r.lanes,
                front: 0,
                back: 0,
                storage: Storage::Workspace,
            });
        }
        let to = View::of(buffers.len() - 1).plus(k * r.lanes);
        calls.push((*m, *from, to, r.lanes));
        r.instrs[*i] = Instr::Load(to);
    }
    r.prune();
    // Neighbours are one call.
    calls.sort_by_key(|c| (c.0, c.1, c.2));
    let mut merged: Vec<(Map, View, View, usize)> = Vec::new();
    for c in calls {
        match merged.last_mut() {
            Some(b) if b.0 == c.0 && b.1.plus(b.3) == c.1 && b.2.plus(b.3) == c.2 => b.3 += c.3,
            _ => merged.push(c),
        }
    }
    merged
        .into_iter()
        .map(|(map, x, y, len)| Stmt::Activate { map, x, y, len })
        .collect()
}

impl Region {
    /// Drops instructions that nothing uses.
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
