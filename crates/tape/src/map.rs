//! The element-wise ops: one row of [`Map::row`]'s table defines one op wholly: name, arity, accuracy, where it is
//! defined, where its slope jumps, its value and its derivative. Printer, parser, generators and tolerances read the row.
//! Two matches elsewhere must name every op (the interpreter's loops and the lowering); the compiler lists them for
//! whoever adds one.

use std::fmt;

use crate::algebra::{Algebra, Value};

/// An element-wise op on operands of one shape. Comparisons give 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each op is documented by its row in the table below"
)]
pub enum Map {
    Neg,
    Recip,
    Exp,
    Ln,
    Sqrt,
    Abs,
    Sign,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Relu,
    Softplus,
    Softsign,
    Copy,
    Flush,
    StopGradient,
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

/// The product of a tangent or cotangent `t` with ∂y/∂x_i. An element-wise op's Jacobian is diagonal, so one rule serves
/// forward and reverse mode. `None` stands for a derivative that is zero everywhere.
pub type DerivativeRule =
    fn(&mut dyn Algebra, xs: &[Value], y: Value, i: usize, t: Value) -> Option<Value>;

/// The definition of one element-wise op.
pub struct MapRow {
    /// Name in the text form.
    pub name: &'static str,
    /// Number of operands.
    pub arity: usize,
    /// What it computes, for the op table.
    pub doc: &'static str,
    /// Error of a compiled or interpreted result against the exact one, at most, in ulp of the result.
    pub ulp: f64,
    /// Where value and derivative are defined and finite.
    pub defined: fn(&[f64]) -> bool,
    /// Distance of a point to the nearest kink or jump; infinite for a smooth op.
    pub kink: fn(&[f64]) -> f64,
    /// The value at a point.
    pub eval: fn(&[f64]) -> f64,
    /// The derivative rule.
    pub derivative: DerivativeRule,
}

impl fmt::Debug for MapRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MapRow");
        shown.field("name", &self.name).field("arity", &self.arity);
        shown.field("ulp", &self.ulp).finish_non_exhaustive()
    }
}

fn everywhere(_: &[f64]) -> bool {
    true
}
fn smooth(_: &[f64]) -> f64 {
    f64::INFINITY
}
fn at_zero(x: &[f64]) -> f64 {
    x[0].abs()
}
fn where_equal(x: &[f64]) -> f64 {
    (x[0] - x[1]).abs()
}
fn flat(_: &mut dyn Algebra, _: &[Value], _: Value, _: usize, _: Value) -> Option<Value> {
    None
}

/// 1 / (1 + e^-x) without overflow on either side.
pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// -1, 0 or 1; NaN stays NaN (unlike `f64::signum`, zero has sign zero).
pub(crate) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// The greater of two; NaN if either is.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

impl Map {
    /// Every element-wise op, in the order of the table.
    pub const ALL: [Map; 28] = {
        use Map::*;
        [
            Neg,
            Recip,
            Exp,
            Ln,
            Sqrt,
            Abs,
            Sign,
            Sin,
            Cos,
            Tanh,
            Sigmoid,
            Relu,
            Softplus,
            Softsign,
            Copy,
            Flush,
            StopGradient,
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

    /// The row that defines this op.
    pub fn row(self) -> &'static MapRow {
        match self {
            Map::Neg => &MapRow {
                name: "neg",
                arity: 1,
                doc: "-x",
                ulp: 0.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| -x[0],
                derivative: |a, _, _, _, t| Some(a.map1(Map::Neg, t)),
            },
            Map::Recip => &MapRow {
                name: "recip",
                arity: 1,
                doc: "1 / x",
                ulp: 0.5,
                defined: |x| x[0] != 0.0,
                kink: smooth,
                eval: |x| 1.0 / x[0],
                derivative: |a, _, y, _, t| {
                    let y2 = a.mul(y, y);
                    let ty2 = a.mul(t, y2);
                    Some(a.map1(Map::Neg, ty2))
                },
            },
            Map::Exp => &MapRow {
                name: "exp",
                arity: 1,
                doc: "eˣ",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].exp(),
                derivative: |a, _, y, _, t| Some(a.mul(t, y)),
            },
            Map::Ln => &MapRow {
                name: "ln",
                arity: 1,
                doc: "natural logarithm",
                ulp: 4.0,
                defined: |x| x[0] > 0.0,
                kink: smooth,
                eval: |x| x[0].ln(),
                derivative: |a, x, _, _, t| Some(a.map2(Map::Div, t, x[0])),
            },
            Map::Sqrt => &MapRow {
                name: "sqrt",
                arity: 1,
                doc: "square root",
                ulp: 0.5,
                defined: |x| x[0] > 0.0,
                kink: smooth,
                eval: |x| x[0].sqrt(),
                derivative: |a, _, y, _, t| {
                    let half = a.constant_like(y, 0.5);
                    let ht = a.mul(t, half);
                    Some(a.map2(Map::Div, ht, y))
                },
            },
            Map::Abs => &MapRow {
                name: "abs",
                arity: 1,
                doc: "|x|, slope 0 at 0",
                ulp: 0.0,
                defined: everywhere,
                kink: at_zero,
                eval: |x| x[0].abs(),
                derivative: |a, x, _, _, t| {
                    let s = a.map1(Map::Sign, x[0]);
                    Some(a.mul(t, s))
                },
            },
            Map::Sign => &MapRow {
                name: "sign",
                arity: 1,
                doc: "-1, 0 or 1",
                ulp: 0.0,
                defined: everywhere,
                kink: at_zero,
                eval: |x| sign(x[0]),
                derivative: flat,
            },
            Map::Sin => &MapRow {
                name: "sin",
                arity: 1,
                doc: "sine of radians",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].sin(),
                derivative: |a, x, _, _, t| {
                    let c = a.map1(Map::Cos, x[0]);
                    Some(a.mul(t, c))
                },
            },
            Map::Cos => &MapRow {
                name: "cos",
                arity: 1,
                doc: "cosine of radians",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].cos(),
                derivative: |a, x, _, _, t| {
                    let s = a.map1(Map::Sin, x[0]);
                    let ts = a.mul(t, s);
                    Some(a.map1(Map::Neg, ts))
                },
            },
            Map::Tanh => &MapRow {
                name: "tanh",
                arity: 1,
                doc: "hyperbolic tangent",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].tanh(),
                derivative: |a, _, y, _, t| {
                    let one = a.constant_like(y, 1.0);
                    let y2 = a.mul(y, y);
                    let s = a.map2(Map::Sub, one, y2);
                    Some(a.mul(t, s))
                },
            },
            Map::Sigmoid => &MapRow {
                name: "sigmoid",
                arity: 1,
                doc: "1 / (1 + e⁻ˣ)",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| sigmoid(x[0]),
                derivative: |a, _, y, _, t| {
                    let one = a.constant_like(y, 1.0);
                    let r = a.map2(Map::Sub, one, y);
                    let s = a.mul(y, r);
                    Some(a.mul(t, s))
                },
            },
            Map::Relu => &MapRow {
                name: "relu",
                arity: 1,
                doc: "max(x, 0), slope 0 at 0",
                ulp: 0.0,
                defined: everywhere,
                kink: at_zero,
                eval: |x| if x[0] <= 0.0 { 0.0 } else { x[0] },
                derivative: |a, x, _, _, t| {
                    let zero = a.constant_like(x[0], 0.0);
                    let on = a.map2(Map::Lt, zero, x[0]);
                    let none = zeros_like(a, x[0]);
                    Some(a.op_map(Map::Select, &[on, t, none]))
                },
            },
            Map::Softplus => &MapRow {
                name: "softplus",
                arity: 1,
                doc: "ln(1 + eˣ)",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].max(0.0) + (-x[0].abs()).exp().ln_1p(),
                derivative: |a, x, _, _, t| {
                    let s = a.map1(Map::Sigmoid, x[0]);
                    Some(a.mul(t, s))
                },
            },
            Map::Softsign => &MapRow {
                name: "softsign",
                arity: 1,
                doc: "x / (1 + |x|)",
                // Half an ulp of the division, and one for what the sum is off by.
                ulp: 1.5,
                defined: everywhere,
                // Value and slope are continuous there; the slope has a kink.
                kink: at_zero,
                eval: |x| x[0] / (1.0 + x[0].abs()),
                // From x: 1 - |y| would cancel where |x| is large.
                derivative: |a, x, _, _, t| {
                    let one = a.constant_like(x[0], 1.0);
                    let size = a.map1(Map::Abs, x[0]);
                    let d = a.map2(Map::Add, one, size);
                    let d2 = a.mul(d, d);
                    Some(a.map2(Map::Div, t, d2))
                },
            },
            Map::Copy => &MapRow {
                name: "copy",
                arity: 1,
                doc: "x; *simplify* drops it, *legalize* gives values places of their own by it",
                ulp: 0.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0],
                derivative: |_, _, _, _, t| Some(t),
            },
            Map::Flush => &MapRow {
                name: "flush",
                arity: 1,
                doc: "x, but 0 where \\|x\\| < 2⁻¹²⁶, the least normal number of single precision; NaN stays",
                ulp: 0.0,
                defined: everywhere,
                // It jumps next to 0, by what is no difference at any other number.
                kink: at_zero,
                eval: |x| {
                    if x[0].abs() < f64::from(f32::MIN_POSITIVE) {
                        0.0
                    } else {
                        x[0]
                    }
                },
                derivative: |_, _, _, _, t| Some(t),
            },
            Map::StopGradient => &MapRow {
                name: "stop_gradient",
                arity: 1,
                doc: "x, with derivative 0",
                ulp: 0.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0],
                derivative: flat,
            },
            Map::Add => &MapRow {
                name: "add",
                arity: 2,
                doc: "a + b",
                ulp: 0.5,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0] + x[1],
                derivative: |_, _, _, _, t| Some(t),
            },
            Map::Sub => &MapRow {
                name: "sub",
                arity: 2,
                doc: "a - b",
                ulp: 0.5,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0] - x[1],
                derivative: |a, _, _, i, t| Some(if i == 0 { t } else { a.map1(Map::Neg, t) }),
            },
            Map::Mul => &MapRow {
                name: "mul",
                arity: 2,
                doc: "a · b",
                ulp: 0.5,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0] * x[1],
                derivative: |a, x, _, i, t| Some(a.mul(t, x[1 - i])),
            },
            Map::Div => &MapRow {
                name: "div",
                arity: 2,
                doc: "a / b",
                ulp: 0.5,
                defined: |x| x[1] != 0.0,
                kink: smooth,
                eval: |x| x[0] / x[1],
                derivative: |a, x, y, i, t| {
                    let tb = a.map2(Map::Div, t, x[1]);
                    if i == 0 {
                        return Some(tb);
                    }
                    let tby = a.mul(tb, y);
                    Some(a.map1(Map::Neg, tby))
                },
            },
            Map::Pow => &MapRow {
                name: "pow",
                arity: 2,
                doc: "aᵇ; differentiable for a > 0",
                ulp: 16.0,
                defined: |x| x[0] > 0.0,
                kink: smooth,
                eval: |x| x[0].powf(x[1]),
                derivative: |a, x, y, i, t| {
                    if i == 0 {
                        let one = a.constant_like(x[1], 1.0);
                        let b1 = a.map2(Map::Sub, x[1], one);
                        let p = a.map2(Map::Pow, x[0], b1);
                        let bp = a.mul(x[1], p);
                        return Some(a.mul(t, bp));
                    }
                    let l = a.map1(Map::Ln, x[0]);
                    let yl = a.mul(y, l);
                    Some(a.mul(t, yl))
                },
            },
            Map::Max => &MapRow {
                name: "max",
                arity: 2,
                doc: "the greater; at a tie each takes half the slope",
                ulp: 0.0,
                defined: everywhere,
                kink: where_equal,
                eval: |x| max(x[0], x[1]),
                derivative: |a, x, _, i, t| Some(won(a, x[1 - i], x[i], t)),
            },
            Map::Min => &MapRow {
                name: "min",
                arity: 2,
                doc: "the lesser; at a tie each takes half the slope",
                ulp: 0.0,
                defined: everywhere,
                kink: where_equal,
                eval: |x| -max(-x[0], -x[1]),
                derivative: |a, x, _, i, t| Some(won(a, x[i], x[1 - i], t)),
            },
            Map::Lt => &MapRow {
                name: "lt",
                arity: 2,
                doc: "1 if a < b, else 0",
                ulp: 0.0,
                defined: everywhere,
                kink: where_equal,
                eval: |x| f64::from(x[0] < x[1]),
                derivative: flat,
            },
            Map::Le => &MapRow {
                name: "le",
                arity: 2,
                doc: "1 if a ≤ b, else 0",
                ulp: 0.0,
                defined: everywhere,
                kink: where_equal,
                eval: |x| f64::from(x[0] <= x[1]),
                derivative: flat,
            },
            Map::Eq => &MapRow {
                name: "eq",
                arity: 2,
                doc: "1 if a = b, else 0",
                ulp: 0.0,
                defined: everywhere,
                kink: where_equal,
                eval: |x| f64::from(x[0] == x[1]),
                derivative: flat,
            },
            Map::Select => &MapRow {
                name: "select",
                arity: 3,
                doc: "a where c ≠ 0, else b (operands c, a, b)",
                ulp: 0.0,
                defined: everywhere,
                kink: at_zero,
                eval: |x| if x[0] != 0.0 { x[1] } else { x[2] },
                derivative: |a, x, y, i, t| {
                    let zero = zeros_like(a, y);
                    match i {
                        1 => Some(a.op_map(Map::Select, &[x[0], t, zero])),
                        2 => Some(a.op_map(Map::Select, &[x[0], zero, t])),
                        _ => None,
                    }
                },
            },
        }
    }
}

/// A derivative's zeros, of `v`'s shape.
fn zeros_like(a: &mut dyn Algebra, v: Value) -> Value {
    let shape = a.ty(v).shape;
    a.zeros(shape)
}

/// `t` where `low < high`, half of it where they are equal, 0 elsewhere: how PyTorch breaks ties of max and min.
fn won(a: &mut dyn Algebra, low: Value, high: Value, t: Value) -> Value {
    let half = a.constant_like(low, 0.5);
    let lt = a.map2(Map::Lt, low, high);
    let eq = a.map2(Map::Eq, low, high);
    let tie = a.mul(half, eq);
    let share = a.map2(Map::Add, lt, tie);
    a.mul(t, share)
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
