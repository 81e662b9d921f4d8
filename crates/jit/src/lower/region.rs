//! Element-wise regions: the ops of a region on one vector after another.

use cranelift::prelude::*;
use retrograd_graph::plan::{Fold, Instr, Region};
use retrograd_kernels::maths::{Emitter, Math};
use retrograd_tape::{Map, Reduction};

use super::Code;
use super::points::{CarriedValues, RowAddresses};

impl Code<'_, '_, '_> {
    /// One region for one row.
    pub(crate) fn region(&mut self, r: &Region, row: &RowAddresses) {
        // Loop-invariant values of the row are computed once.
        let fixed: Vec<Option<Value>> = r
            .instrs
            .iter()
            .map(|i| match i {
                Instr::Splat(v) => Some(self.splat(row.address(*v))),
                Instr::Const(c) => Some(self.math().constant(*c)),
                Instr::Load(_) | Instr::SplatRows(..) | Instr::LoadRow(..) | Instr::Map(..) => None,
            })
            .collect();
        let carried: Vec<CarriedValues> = r
            .folds
            .iter()
            .map(|(fold, ..)| {
                let maximum = matches!(fold, Fold::Reduce(Reduction::Max));
                let neutral = if maximum { f64::NEG_INFINITY } else { 0.0 };
                let start = self.math().constant(neutral);
                CarriedValues { start, maximum }
            })
            .collect();
        let ops = r.instrs.iter().filter_map(|i| match i {
            Instr::Map(m, _) => Some(*m),
            _ => None,
        });
        let load = |i: &&Instr| match i {
            Instr::Load(_) | Instr::SplatRows(..) | Instr::LoadRow(..) => true,
            Instr::Splat(_) | Instr::Const(_) | Instr::Map(..) => false,
        };
        let loads = r.instrs.iter().filter(load).count();
        // A dot product also multiplies.
        let dots = r.folds.iter().filter(|f| f.0 == Fold::Dot).count();
        let iteration = vectors_per_iteration(ops, loads + r.stores.len() + r.folds.len() + dots);
        let totals = self.lane_loop(
            r.lanes,
            iteration,
            &carried,
            &mut |code, at, width, sums| {
                let mut values: Vec<Value> = Vec::with_capacity(r.instrs.len());
                for (i, instr) in r.instrs.iter().enumerate() {
                    let v = match (fixed[i], instr) {
                        (Some(v), _) => v,
                        (None, Instr::Load(view)) => code.load(row.address(*view), at, width),
                        (None, Instr::SplatRows(view, columns)) => {
                            code.number_of_row(row.address(*view), at, (r.lanes, *columns))
                        }
                        (None, Instr::LoadRow(view, columns)) => {
                            code.same_row(row.address(*view), at, (r.lanes, *columns), width)
                        }
                        (None, Instr::Map(m, xs)) => {
                            let xs: Vec<Value> = xs.iter().map(|&x| values[x]).collect();
                            map(&mut code.math(), *m, &xs)
                        }
                        (None, Instr::Splat(_) | Instr::Const(_)) => unreachable!("fixed above"),
                    };
                    values.push(v);
                }
                for (i, view) in &r.stores {
                    code.store(values[*i], row.address(*view), at, width);
                }
                r.folds
                    .iter()
                    .zip(sums)
                    .map(|((fold, xs, _), &sum)| {
                        let mut math = code.math();
                        match fold {
                            Fold::Reduce(Reduction::Sum | Reduction::Mean) => {
                                math.add(sum, values[xs[0]])
                            }
                            Fold::Reduce(Reduction::Max) => math.max(sum, values[xs[0]]),
                            Fold::Dot => math.fma(values[xs[0]], values[xs[1]], sum),
                        }
                    })
                    .collect()
            },
        );
        for (k, (fold, _, view)) in r.folds.iter().enumerate() {
            let mut total = self.across(totals[k], carried[k].maximum);
            if let Fold::Reduce(Reduction::Mean) = fold {
                let mut math = self.math();
                let share = math.constant(1.0 / r.lanes as f64);
                total = math.mul(total, share);
            }
            self.store_first(total, row.address(*view));
        }
    }
}

/// Number of vectors per iteration of a lane loop with these ops, and this many loads, stores and folds. Loop overhead,
/// and a sum's latency, matter where there is little work; elsewhere more vectors only grow the code.
pub(crate) fn vectors_per_iteration(
    mut ops: impl Iterator<Item = Map> + Clone,
    moves: usize,
) -> usize {
    let simple = ops.clone().count();
    let long = ops.any(|m| {
        matches!(
            m,
            Map::Exp
                | Map::Expm1
                | Map::Ln
                | Map::Log1p
                | Map::Sin
                | Map::Cos
                | Map::Tanh
                | Map::Sigmoid
                | Map::Erf
                | Map::Softplus
                | Map::Pow
        )
    });
    match simple + moves {
        _ if long => 1,
        ..=8 => 4,
        9..=16 => 2,
        _ => 1,
    }
}

/// One element-wise op.
pub(crate) fn map<E: Emitter>(m: &mut Math<'_, E>, op: Map, x: &[E::V]) -> E::V {
    match op {
        Map::Neg => m.neg(x[0]),
        Map::Recip => m.recip(x[0]),
        Map::Exp => m.exp(x[0]),
        Map::Expm1 => m.expm1(x[0]),
        Map::Ln => m.ln(x[0]),
        Map::Log1p => m.log1p(x[0]),
        Map::Sqrt => m.sqrt(x[0]),
        Map::Abs => m.abs(x[0]),
        Map::Sign => m.sign(x[0]),
        Map::Floor => m.floor(x[0]),
        Map::Ceil => m.ceil(x[0]),
        Map::Round => m.round(x[0]),
        Map::RoundBf16 => m.round_bf16(x[0]),
        #[cfg(feature = "faults")]
        Map::Sin
            if m.lane == retrograd_kernels::maths::Lane::F32
                && retrograd_tape::faults::active(retrograd_tape::faults::Fault::Single) =>
        {
            let (y, off) = (m.sin(x[0]), m.constant(1.001));
            m.mul(y, off)
        }
        Map::Sin => m.sin(x[0]),
        Map::Cos => m.cos(x[0]),
        Map::Tanh => m.tanh(x[0]),
        Map::Sigmoid => m.sigmoid(x[0]),
        Map::Erf => m.erf(x[0]),
        Map::Relu => m.relu(x[0]),
        Map::Softplus => m.softplus(x[0]),
        Map::Softsign => m.softsign(x[0]),
        Map::Flush => m.flush(x[0]),
        Map::Copy | Map::StopGradient | Map::WithGradient | Map::ClipGradient => x[0],
        Map::Add => m.add(x[0], x[1]),
        Map::Sub => m.sub(x[0], x[1]),
        Map::Mul => m.mul(x[0], x[1]),
        Map::Div => m.div(x[0], x[1]),
        Map::Pow => m.pow(x[0], x[1]),
        Map::Max => m.max(x[0], x[1]),
        Map::Min => m.min(x[0], x[1]),
        Map::Lt => m.lt(x[0], x[1]),
        Map::Le => m.le(x[0], x[1]),
        Map::Eq => m.eq(x[0], x[1]),
        Map::Select => m.select(x[0], x[1], x[2]),
    }
}
