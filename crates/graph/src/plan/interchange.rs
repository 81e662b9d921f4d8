//! Loop interchange: an element-wise recurrence runs over lanes outside and over time innermost.
//!
//! If every number of a state depends on the same number of earlier states alone, as in minGRU, IndRNN, SRU and in
//! their adjoints, lanes are independent recurrences: all dependences run along time, within a lane, so that the two
//! loops may be interchanged (Allen & Kennedy, *Optimizing Compilers for Modern Architectures*, section 5.2). A few
//! lanes then run through many steps with their states in registers: nothing is stored for the next step to load, and a
//! state that only the next step reads is not stored at all, except that of the last step.

use crate::plan::access::overlap;
use crate::plan::{
    BufferId, BufferMap, Carried, Innermost, Instr, Item, Loop, LoopKind, Plan, Region, Stmt, View,
};
use crate::work;
use retrograd_tape::Domain;
use rustc_hash::FxHashMap as HashMap;

/// Maximal number of views that a loop with time innermost reads and writes: each has an address that advances from
/// step to step beside the states, and there are 16 registers.
const MOST: usize = 256;

/// Moves time innermost, in all recurrences that allow it.
pub(crate) fn interchange(plan: &mut Plan) {
    for item in &mut plan.items {
        if let Item::Loop(l) = item
            && let Some(carried) = carried(l, &plan.buffers)
        {
            l.inner = Innermost::Time(carried);
        }
    }
}

/// The values carried from step to step in registers, if each lane depends on its own past alone.
fn carried(l: &Loop, buffers: &BufferMap) -> Option<Vec<Carried>> {
    let LoopKind::Recurrence { reverse } = l.kind else {
        return None;
    };
    let [Stmt::Region(r)] = l.body.as_slice() else {
        return None;
    };
    let loads = r.instrs.iter();
    let loads = loads.filter(|i| matches!(i, Instr::Load(_) | Instr::Splat(_)));
    // A tile of lanes has one address for each load, and rows that are repeated need more.
    let rows = |i: &Instr| matches!(i, Instr::SplatRows(..) | Instr::LoadRow(..));
    if r.instrs.iter().any(rows) {
        return None;
    }
    if !r.folds.is_empty() || loads.count() + r.stores.len() > MOST || !stores_are_apart(r) {
        return None;
    }
    let before = if reverse { 1 } else { -1 };
    let mut stores: HashMap<BufferId, Vec<(usize, View)>> = HashMap::default();
    for &(from, to) in &r.stores {
        stores.entry(to.buffer).or_default().push((from, to));
    }
    work::note(r.instrs.len() + r.stores.len());
    let mut carried = Vec::new();
    for (load, instr) in r.instrs.iter().enumerate() {
        let Some((view, lanes)) = instr.reads(r.lanes) else {
            continue;
        };
        for &(from, to) in stores.get(&view.buffer).into_iter().flatten() {
            if !overlap((view, lanes), (to, r.lanes)) {
                continue;
            }
            let aligned = matches!(instr, Instr::Load(_)) && view.offset == to.offset;
            if !aligned || view.from_end || to.from_end {
                return None;
            }
            // Arrays without steps hold the previous step's values. Reads further back are loads: the lane's own stores
            // came before them.
            let steps = buffers[view.buffer].domain == Domain::Step;
            if !steps || view.shift - to.shift == before {
                carried.push(Carried { load, from });
            }
        }
    }
    Some(carried)
}

/// True if no two stores overlap, at whatever steps.
fn stores_are_apart(r: &Region) -> bool {
    let mut places: Vec<(BufferId, usize)> = (r.stores.iter())
        .map(|s| (s.1.buffer, s.1.offset))
        .collect();
    places.sort_unstable();
    // All have the same length, so that if any two overlap, two neighbours do.
    let apart = |a: &(BufferId, usize), b: &(BufferId, usize)| a.0 != b.0 || a.1 + r.lanes <= b.1;
    places.windows(2).all(|w| apart(&w[0], &w[1]))
}
