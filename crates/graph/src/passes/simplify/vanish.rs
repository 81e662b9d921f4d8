//! Where a derivative's zeros make zeros.

use retrograd_tape::{Map, Op, Value};

use crate::graph::{Graph, is_zero};

/// True if a derivative's zeros as operands make the result zeros, the op being linear in them.
pub(super) fn vanishes(g: &Graph, op: Op, xs: &[Value]) -> bool {
    let zero = |i: usize| is_zero(g, xs[i]);
    match op {
        Op::Map(m) => match m {
            Map::Neg
            | Map::Copy
            | Map::Flush
            | Map::RoundBf16
            | Map::StopGradient
            | Map::ClipGradient => zero(0),
            Map::Mul => zero(0) || zero(1),
            Map::Div => zero(0),
            Map::Add | Map::Sub | Map::WithGradient => zero(0) && zero(1),
            Map::Select => zero(1) && zero(2),
            Map::Recip
            | Map::Exp
            | Map::Expm1
            | Map::Ln
            | Map::Log1p
            | Map::Sqrt
            | Map::Abs
            | Map::Sign
            | Map::Floor
            | Map::Ceil
            | Map::Round
            | Map::Sin
            | Map::Cos
            | Map::Tanh
            | Map::Sigmoid
            | Map::Erf
            | Map::Relu
            | Map::Softplus
            | Map::Softsign
            | Map::Pow
            | Map::Max
            | Map::Min
            | Map::Lt
            | Map::Le
            | Map::Eq => false,
        },
        Op::Dot | Op::MatVec { .. } | Op::Outer { .. } => zero(0) || zero(1),
        Op::Reduce(_)
        | Op::ReduceAxis { .. }
        | Op::Broadcast(_)
        | Op::Slice { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Gather => zero(0),
        Op::Spread(_) | Op::SumTo(_) => zero(0),
        Op::Scatter { .. } => zero(1),
        Op::Concat { .. } => (0..xs.len()).all(zero),
        Op::Delay(_) | Op::Boundary(_) => zero(0) && zero(1),
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => false,
    }
}
