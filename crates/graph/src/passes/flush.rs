//! *flush*: a decaying state becomes 0 instead of a denormal number.
//!
//! A state that is multiplied by a factor in every step, and a cotangent on its way back through it, fade below the
//! least normal number of single precision and stay there, because rounding to nearest keeps h where h · 0.9 rounds to
//! h. Arithmetic on such numbers takes a processor many times as long. So a value that returns to a delay through
//! element-wise ops alone is flushed where an element-wise op computes it: three instructions in registers and no
//! array, and every reader reads the flushed value. A value that returns only through a product is not: products of
//! denormal numbers were measured to take no longer (`jit/tests/denormals.rs`), and a flush between a product and its
//! array would cost a store. The derivative of `flush` is 1, so this runs after all derivations.

use retrograd_tape::{Algebra, Domain, Map, Op, Value};
use rustc_hash::FxHashSet as HashSet;

use crate::graph::{Graph, rebuild};

/// Flushes decaying values that delays carry.
pub fn flush(g: &Graph) -> Graph {
    let mut made: HashSet<Value> = HashSet::default();
    for v in g.order() {
        if matches!(g.op_of(v), Op::Delay(_)) {
            let from = fades_with(g, v);
            carried(g, g.operands(v)[0], &from, &mut made);
        }
    }
    rebuild(g, |r, v| {
        made.contains(&v).then(|| {
            let xs = r.operands(v);
            let x = r.new.op(*g.op_of(v), &xs);
            r.new.map1(Map::Flush, x)
        })
    })
}

/// What an op does with the elements of a fading value.
enum EffectOnFading {
    /// Computes new elements from them, one by one.
    Computes(Map),
    /// Moves them unchanged.
    Moves,
    /// Anything else; fading ends here.
    Other,
}

fn kind(op: &Op) -> EffectOnFading {
    match *op {
        Op::Map(m) => EffectOnFading::Computes(m),
        Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Broadcast(_) => EffectOnFading::Moves,
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Zeros(_)
        | Op::Reduce(_)
        | Op::ReduceAxis { .. }
        | Op::Dot
        | Op::MatVec { .. }
        | Op::Outer { .. }
        | Op::Gather
        | Op::Scatter { .. }
        | Op::Delay(_)
        | Op::Boundary(_)
        | Op::Spread(_)
        | Op::SumTo(_) => EffectOnFading::Other,
    }
}

/// The values that fade with a delayed value in the same step: those computed from it by element-wise ops that map 0 to
/// 0.
fn fades_with(g: &Graph, delay: Value) -> HashSet<Value> {
    let mut found = HashSet::from_iter([delay]);
    let mut work = vec![delay];
    while let Some(v) = work.pop() {
        for u in g.users(v) {
            let fades = match kind(g.op_of(u)) {
                EffectOnFading::Computes(m) => m.row().arity > 1 || (m.row().eval)(&[0.0]) == 0.0,
                EffectOnFading::Moves => true,
                EffectOnFading::Other => false,
            };
            if fades && g.node(u).ty.domain == Domain::Step && found.insert(u) {
                work.push(u);
            }
        }
    }
    found
}

/// Collects the element-wise ops that compute a carried value, if their operands are in `from`, the values that fade
/// with the delay. Each value is visited once: a concatenation may contain a part many times.
fn carried(g: &Graph, x: Value, from: &HashSet<Value>, made: &mut HashSet<Value>) {
    let mut seen = HashSet::from_iter([x]);
    let mut work = vec![x];
    while let Some(v) = work.pop() {
        if !from.contains(&v) {
            continue;
        }
        match kind(g.op_of(v)) {
            EffectOnFading::Computes(_) => {
                made.insert(v);
            }
            EffectOnFading::Moves => {
                work.extend(g.operands(v).into_iter().filter(|&part| seen.insert(part)));
            }
            EffectOnFading::Other => {}
        }
    }
}
