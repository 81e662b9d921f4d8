//! The element-wise ops. One row of [`Map::row`]'s table (`map/table.rs`) defines an op completely: its name, arity and
//! accuracy, where it is defined, where its derivative jumps, its value and its derivative. Printer, parser, generators
//! and tolerances read the row. The few matches elsewhere that name every op have no `_` arm, so the compiler lists
//! them when an op is added.

use std::fmt;

use crate::term::Term;

mod table;

/// An element-wise op on operands of one shape. Comparisons give 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each op is documented by its row in the table")]
pub enum Map {
    Neg,
    Recip,
    Exp,
    Expm1,
    Ln,
    Log1p,
    Sqrt,
    Abs,
    Sign,
    Floor,
    Ceil,
    Round,
    RoundBf16,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Erf,
    Relu,
    Softplus,
    Softsign,
    Copy,
    Flush,
    StopGradient,
    WithGradient,
    ClipGradient,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Lt,
    Le,
    Eq,
    Select,
}

/// The product of a tangent or cotangent `t` with ∂y/∂x_i, from (xs, y, i, t). An element-wise op's Jacobian is
/// diagonal, so one rule serves forward and reverse mode; [`Map::ClipGradient`]'s serves reverse mode alone. `None` stands for a derivative that is zero everywhere.
type DerivativeRule = for<'a> fn(&[Term<'a>], Term<'a>, usize, Term<'a>) -> Option<Term<'a>>;

/// The definition of one element-wise op.
pub struct MapRow {
    /// Name in the text form.
    pub name: &'static str,
    /// Number of operands.
    pub arity: usize,
    /// Its definition, for the op table.
    pub doc: &'static str,
    /// Maximum error of a compiled or interpreted result against the exact one, in ulp of the result.
    pub ulp: f64,
    /// Where value and derivative are defined and finite.
    pub defined: fn(&[f64]) -> bool,
    /// Distance of a point to the nearest kink or jump; infinite for a smooth op.
    pub kink: fn(&[f64]) -> f64,
    /// The value at a point.
    pub eval: fn(&[f64]) -> f64,
    /// The derivative rule.
    pub(crate) derivative: DerivativeRule,
}

impl fmt::Debug for MapRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MapRow");
        shown.field("name", &self.name).field("arity", &self.arity);
        shown.field("ulp", &self.ulp).finish_non_exhaustive()
    }
}

impl Map {
    /// Every element-wise op, in the order of the table.
    pub const ALL: [Map; 37] = {
        use Map::*;
        [
            Neg,
            Recip,
            Exp,
            Expm1,
            Ln,
            Log1p,
            Sqrt,
            Abs,
            Sign,
            Floor,
            Ceil,
            Round,
            RoundBf16,
            Sin,
            Cos,
            Tanh,
            Sigmoid,
            Erf,
            Relu,
            Softplus,
            Softsign,
            Copy,
            Flush,
            StopGradient,
            WithGradient,
            ClipGradient,
            Add,
            Sub,
            Mul,
            Div,
            Pow,
            Max,
            Min,
            Lt,
            Le,
            Eq,
            Select,
        ]
    };

    /// The op called `name` in the text form.
    pub fn by_name(name: &str) -> Option<Map> {
        Map::ALL.into_iter().find(|m| m.row().name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_is_listed_once_and_found_by_its_name() {
        for (i, m) in Map::ALL.into_iter().enumerate() {
            assert_eq!(m as usize, i);
            assert_eq!(Map::by_name(m.row().name), Some(m));
        }
    }

    #[test]
    fn nan_goes_through_max_min_and_relu() {
        for m in [Map::Max, Map::Min] {
            assert!((m.row().eval)(&[f64::NAN, 1.0]).is_nan());
            assert!((m.row().eval)(&[1.0, f64::NAN]).is_nan());
        }
        assert!((Map::Relu.row().eval)(&[f64::NAN]).is_nan());
    }
}
