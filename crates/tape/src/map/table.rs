//! The table: a row for each element-wise op.

use std::f64::consts::FRAC_2_SQRT_PI;

use super::{Map, MapRow};
use crate::bf16;
use crate::erf::erf;
use crate::term::Term;
use crate::trig;

/// The least normal number of single precision.
const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;

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
/// Distance to the nearest integer.
fn at_integers(x: &[f64]) -> f64 {
    (x[0] - x[0].round_ties_even()).abs()
}
/// Distance to the nearest number halfway between two integers.
fn at_halves(x: &[f64]) -> f64 {
    (x[0] - x[0].floor() - 0.5).abs()
}
fn flat<'a>(_: &[Term<'a>], _: Term<'a>, _: usize, _: Term<'a>) -> Option<Term<'a>> {
    None
}

/// 1 / (1 + e^-x) without overflow on either side.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// -1, 0 or 1; NaN stays NaN (unlike `f64::signum`, 0 gives 0).
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// The greater of two; NaN if either is.
fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

impl Map {
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
                derivative: |_, _, _, t| Some(-t),
            },
            Map::Recip => &MapRow {
                name: "recip",
                arity: 1,
                doc: "1 / x",
                ulp: 0.5,
                defined: |x| x[0] != 0.0,
                kink: smooth,
                eval: |x| 1.0 / x[0],
                derivative: |_, y, _, t| Some(-(t * (y * y))),
            },
            Map::Exp => &MapRow {
                name: "exp",
                arity: 1,
                doc: "eˣ",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].exp(),
                derivative: |_, y, _, t| Some(t * y),
            },
            Map::Expm1 => &MapRow {
                name: "expm1",
                arity: 1,
                doc: "eˣ - 1, accurate near 0",
                ulp: 3.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].exp_m1(),
                // From x: y + 1 is 0 where y rounds to -1.
                derivative: |x, _, _, t| Some(t * x[0].exp()),
            },
            Map::Ln => &MapRow {
                name: "ln",
                arity: 1,
                doc: "natural logarithm",
                ulp: 4.0,
                defined: |x| x[0] > 0.0,
                kink: smooth,
                eval: |x| x[0].ln(),
                derivative: |x, _, _, t| Some(t / x[0]),
            },
            Map::Log1p => &MapRow {
                name: "log1p",
                arity: 1,
                doc: "ln(1 + x), accurate near 0",
                ulp: 3.0,
                defined: |x| x[0] > -1.0,
                kink: smooth,
                eval: |x| x[0].ln_1p(),
                derivative: |x, _, _, t| Some(t / (x[0].one() + x[0])),
            },
            Map::Sqrt => &MapRow {
                name: "sqrt",
                arity: 1,
                doc: "square root",
                ulp: 0.5,
                defined: |x| x[0] > 0.0,
                kink: smooth,
                eval: |x| x[0].sqrt(),
                derivative: |_, y, _, t| Some(t * 0.5 / y),
            },
            Map::Abs => &MapRow {
                name: "abs",
                arity: 1,
                doc: "|x|, slope 0 at 0",
                ulp: 0.0,
                defined: everywhere,
                kink: at_zero,
                eval: |x| x[0].abs(),
                derivative: |x, _, _, t| Some(t * x[0].sign()),
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
            Map::Floor => &MapRow {
                name: "floor",
                arity: 1,
                doc: "the greatest integer ≤ x",
                ulp: 0.0,
                defined: everywhere,
                kink: at_integers,
                eval: |x| x[0].floor(),
                derivative: flat,
            },
            Map::Ceil => &MapRow {
                name: "ceil",
                arity: 1,
                doc: "the least integer ≥ x",
                ulp: 0.0,
                defined: everywhere,
                kink: at_integers,
                eval: |x| x[0].ceil(),
                derivative: flat,
            },
            Map::Round => &MapRow {
                name: "round",
                arity: 1,
                doc: "the nearest integer, ½ to even",
                ulp: 0.0,
                defined: everywhere,
                kink: at_halves,
                eval: |x| x[0].round_ties_even(),
                derivative: flat,
            },
            Map::RoundBf16 => &MapRow {
                name: "round_bf16",
                arity: 1,
                doc: "the nearest bfloat16 number, ties to even; 0 below 2⁻¹²⁶, ±∞ beyond the greatest; the derivative is 1",
                // The rounding is exact; an operand that two engines have one ulp apart may lie on two sides of a tie,
                // and then results are neighbours: 2⁻⁷ of their size, 2¹⁶ ulp of single precision.
                ulp: 65536.0,
                defined: everywhere,
                // It steps everywhere; its derivative is that of the operand.
                kink: smooth,
                eval: |x| bf16::round_f64(x[0]),
                derivative: |_, _, _, t| Some(t),
            },
            Map::Sin => &MapRow {
                name: "sin",
                arity: 1,
                doc: "sine of radians",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| trig::sin(x[0]),
                derivative: |x, _, _, t| Some(t * x[0].cos()),
            },
            Map::Cos => &MapRow {
                name: "cos",
                arity: 1,
                doc: "cosine of radians",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| trig::cos(x[0]),
                derivative: |x, _, _, t| Some(-(t * x[0].sin())),
            },
            Map::Tanh => &MapRow {
                name: "tanh",
                arity: 1,
                doc: "hyperbolic tangent",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0].tanh(),
                derivative: |_, y, _, t| Some(t * (y.one() - y * y)),
            },
            Map::Sigmoid => &MapRow {
                name: "sigmoid",
                arity: 1,
                doc: "1 / (1 + e⁻ˣ)",
                ulp: 4.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| sigmoid(x[0]),
                derivative: |_, y, _, t| Some(t * (y * (y.one() - y))),
            },
            Map::Erf => &MapRow {
                name: "erf",
                arity: 1,
                doc: "error function, 2/√π · ∫₀ˣ e^(-t²) dt",
                ulp: 3.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| erf(x[0]),
                derivative: |x, _, _, t| Some(t * ((-(x[0] * x[0])).exp() * FRAC_2_SQRT_PI)),
            },
            Map::Relu => &MapRow {
                name: "relu",
                arity: 1,
                doc: "max(x, 0), slope 0 at 0",
                ulp: 0.0,
                defined: everywhere,
                kink: at_zero,
                eval: |x| if x[0] <= 0.0 { 0.0 } else { x[0] },
                derivative: |x, y, _, t| {
                    let positive = x[0].constant(0.0).lt(x[0]);
                    Some(positive.select(t, x[0].zeros(y.shape())))
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
                derivative: |x, _, _, t| Some(t * x[0].sigmoid()),
            },
            Map::Softsign => &MapRow {
                name: "softsign",
                arity: 1,
                doc: "x / (1 + |x|)",
                // Half an ulp for the division, and one for the error of the sum.
                ulp: 1.5,
                defined: everywhere,
                // Value and slope are continuous there; the slope has a kink.
                kink: at_zero,
                eval: |x| x[0] / (1.0 + x[0].abs()),
                // From x: 1 - |y| would cancel where |x| is large.
                derivative: |x, _, _, t| {
                    let d = x[0].one() + x[0].abs();
                    Some(t / (d * d))
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
                derivative: |_, _, _, t| Some(t),
            },
            Map::Flush => &MapRow {
                name: "flush",
                arity: 1,
                doc: "x, but 0 where |x| < 2⁻¹²⁶, the least normal number of single precision; NaN stays",
                ulp: 0.0,
                defined: everywhere,
                // It jumps next to 0, by an amount that is negligible at any other number.
                kink: at_zero,
                eval: |x| if x[0].abs() < LEAST_NORMAL { 0.0 } else { x[0] },
                derivative: |_, _, _, t| Some(t),
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
            Map::WithGradient => &MapRow {
                name: "with_gradient",
                arity: 2,
                doc: "a, with the derivative of b: `with_gradient(a, of: b)`",
                ulp: 0.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0],
                derivative: |_, _, i, t| (i == 1).then_some(t),
            },
            Map::ClipGradient => &MapRow {
                name: "clip_gradient",
                arity: 2,
                doc: "a; its cotangent is limited to ±|b|, its tangent is not",
                ulp: 0.0,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0],
                // By comparisons, which pass NaN and keep the sign of zeros.
                derivative: |x, _, i, t| {
                    let most = (i == 0).then(|| x[1].abs())?;
                    let from_below = t.lt(-most).select(-most, t);
                    Some(most.lt(t).select(most, from_below))
                },
            },
            Map::Add => &MapRow {
                name: "add",
                arity: 2,
                doc: "a + b",
                ulp: 0.5,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0] + x[1],
                derivative: |_, _, _, t| Some(t),
            },
            Map::Sub => &MapRow {
                name: "sub",
                arity: 2,
                doc: "a - b",
                ulp: 0.5,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0] - x[1],
                derivative: |_, _, i, t| Some(if i == 0 { t } else { -t }),
            },
            Map::Mul => &MapRow {
                name: "mul",
                arity: 2,
                doc: "a · b",
                ulp: 0.5,
                defined: everywhere,
                kink: smooth,
                eval: |x| x[0] * x[1],
                derivative: |x, _, i, t| Some(t * x[1 - i]),
            },
            Map::Div => &MapRow {
                name: "div",
                arity: 2,
                doc: "a / b",
                ulp: 0.5,
                defined: |x| x[1] != 0.0,
                kink: smooth,
                eval: |x| x[0] / x[1],
                derivative: |x, y, i, t| Some(if i == 0 { t / x[1] } else { -(t / x[1] * y) }),
            },
            Map::Pow => &MapRow {
                name: "pow",
                arity: 2,
                doc: "aᵇ; differentiable for a > 0",
                ulp: 16.0,
                defined: |x| x[0] > 0.0,
                kink: smooth,
                eval: |x| x[0].powf(x[1]),
                derivative: |x, y, i, t| {
                    let (a, b, by_base) = (x[0], x[1], i == 0);
                    Some(
                        t * if by_base {
                            b * a.pow(b - 1.0)
                        } else {
                            y * a.ln()
                        },
                    )
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
                derivative: |x, _, i, t| Some(t * share(x[1 - i], x[i])),
            },
            Map::Min => &MapRow {
                name: "min",
                arity: 2,
                doc: "the lesser; at a tie each takes half the slope",
                ulp: 0.0,
                defined: everywhere,
                kink: where_equal,
                eval: |x| -max(-x[0], -x[1]),
                derivative: |x, _, i, t| Some(t * share(x[i], x[1 - i])),
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
                derivative: |x, y, i, t| match i {
                    0 => None,
                    1 => Some(x[0].select(t, y.zeros(y.shape()))),
                    _ => Some(x[0].select(y.zeros(y.shape()), t)),
                },
            },
        }
    }
}

/// 1 where `low < high`, ½ where they are equal, 0 elsewhere: how PyTorch breaks ties of max and min.
fn share<'a>(low: Term<'a>, high: Term<'a>) -> Term<'a> {
    let half = low.constant(0.5);
    low.lt(high) + half * low.equals(high)
}
