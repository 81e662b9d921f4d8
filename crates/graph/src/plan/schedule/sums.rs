//! Sums over points that read the same vectors, and so are one item.

use std::collections::BTreeSet;

use retrograd_tape::{Domain, Op, Value};

use crate::plan::build::{Classified, LoweringKind};

/// The sums among `all`, by their positions, that are computed with the one at position `i`.
pub(super) fn together(f: &Classified<'_>, i: usize, all: &BTreeSet<usize>) -> Vec<usize> {
    let same = |x: &usize| *x == i || sums_the_same(f, f.order[i], f.order[*x]);
    let mut together: Vec<usize> = all.iter().copied().filter(same).collect();
    // A sum alone goes with any gradient; gradients go with their like.
    let outer = |&x: &usize| matches!(f.g.op_of(f.order[x]), Op::Outer { .. });
    if let Some(first) = together.iter().copied().find(outer) {
        together.retain(|&x| x == i || sums_the_same(f, f.order[first], f.order[x]));
    }
    together
}

/// True if both are weight gradients, or a bias gradient, of the same left operand.
fn sums_the_same(f: &Classified<'_>, v: Value, x: Value) -> bool {
    let left = |v: Value| match *f.g.op_of(v) {
        Op::Outer { to: Domain::Once } => {
            let xs = f.g.operands(v);
            let domain = f.domain(xs[0]).join(f.domain(xs[1]));
            let outer = Some(f.rounds(v));
            (f.lowering(v) == LoweringKind::Global).then_some((f.unrounded(xs[0]), domain, outer))
        }
        Op::SumTo(Domain::Once) => {
            Some((f.g.operands(v)[0], Some(f.domain(f.g.operands(v)[0])), None))
        }
        _ => None,
    };
    match (left(v), left(x)) {
        // Sums alone are not worth a shared pass over δ.
        (Some((a, d, outer)), Some((b, e, other))) => {
            // A gradient of rounded vectors, and one of vectors as they are, have kernels of their own.
            let one_kernel = outer.is_none() || other.is_none() || outer == other;
            a == b && d == e && one_kernel && (outer.is_some() || other.is_some())
        }
        _ => false,
    }
}
