//! *flush*: what delays carry is 0 where it is below the least normal number of single precision.
//!
//! A state that decays, and a cotangent that vanishes on its way back, would end as a denormal number and stay one for many steps; arithmetic
//! on those takes a processor tens of cycles. So a value that a delay reads is flushed where an element-wise op makes it, which costs three
//! instructions in registers and no array, and everything reads what was flushed. What another op makes (a product, as the cotangent
//! Uᵀδ) is flushed by its element-wise readers on the other side of the delay. The derivative of `flush` is 1, so this comes after
//! all derivations.

use std::collections::HashSet;

use retrograd_tape::{Algebra, Domain, Map, Op, Value};

use crate::graph::{Graph, rebuild};

/// Flushes what delays carry.
pub fn flush(g: &Graph) -> Graph {
    let mut made: HashSet<Value> = HashSet::new();
    let mut read: HashSet<Value> = HashSet::new();
    for v in g.order() {
        if matches!(g.op_of(v), Op::Delay(_)) && !carried(g, g.operands(v)[0], &mut made) {
            read.insert(v);
        }
    }
    rebuild(g, |r, v| {
        let op = *g.op_of(v);
        let old = g.operands(v);
        let reads = old.iter().any(|x| read.contains(x));
        if !matches!(op, Op::Map(_)) || !(reads || made.contains(&v)) {
            return None;
        }
        let mut xs = r.operands(v);
        for (x, old) in xs.iter_mut().zip(old) {
            if read.contains(&old) {
                *x = r.new.map1(Map::Flush, *x);
            }
        }
        let y = r.new.op(op, &xs);
        Some(match made.contains(&v) {
            true => r.new.map1(Map::Flush, y),
            false => y,
        })
    })
}

/// Notes the element-wise ops that a carried value consists of. False if there is something else in it that can decay.
fn carried(g: &Graph, x: Value, made: &mut HashSet<Value>) -> bool {
    match *g.op_of(x) {
        // What is the same for all steps does not decay.
        _ if g.node(x).ty.domain != Domain::Step => true,
        Op::Map(_) => {
            made.insert(x);
            true
        }
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => true,
        Op::Delay(_) | Op::Spread(_) => true,
        Op::Concat { .. } | Op::Slice { .. } | Op::Reshape(_) | Op::Broadcast(_) => {
            // All of them, so no lazy `all`.
            let parts = g.operands(x).into_iter();
            parts.fold(true, |all, p| carried(g, p, made) && all)
        }
        Op::Reduce(_)
        | Op::Dot
        | Op::MatVec { .. }
        | Op::Outer { .. }
        | Op::Gather
        | Op::Scatter { .. }
        | Op::Boundary(_)
        | Op::SumTo(_) => false,
    }
}
