//! eˣ and functions derived from it, on one register: the bodies of the activation kernels.
//!
//! For `activate`. Written once over [`Simd`]; the same operations, bit for bit with fused multiply-adds, as emitted code of `retrograd-jit`
//! (`vmath/exp.rs`): eˣ = 2ⁿ·eʳ with n an integer and r = x − n·ln 2, subtracted in two parts (Cody & Waite 1980, ch.
//! 6), eʳ by a polynomial, 2ⁿ from one multiply-add as an exponent field.
//!
//! Largest errors in ulp over every `f32`, with and without fused multiply-add: tanh 3.33 and 3.36, sigmoid 3.51 and 3.41,
//! eˣ 1.63 and 1.53, softplus 3.75 and 3.75 (`cargo test --release -p retrograd-kernels --test activate -- --ignored
//! --nocapture`).
//!
//! Invariants: no branches; NaN passes every clamp, because a clamp has its limit first and `min`, `max` return the
//! second operand on NaN; ±∞, ±0 and subnormals behave as in `std`.

use crate::coefficients::Coefficients;
use crate::simd::Simd;

/// A function of one number.
///
/// # Safety of the method
/// As for the methods of [`Simd`]: call it below `vectorize` only.
pub(crate) trait LaneFunction {
    unsafe fn of<S: Simd>(x: S::V) -> S::V;
}

pub(crate) struct Exp;
pub(crate) struct Sigmoid;
pub(crate) struct Tanh;
pub(crate) struct Softplus;

/// eˣ = e^r·2^(n/2)·2^(n/2) with n even: only the last product can leave the normal range, so subnormal results are
/// rounded once; twice the usual range of r (two more terms) avoids splitting an integer.
impl LaneFunction for Exp {
    #[inline(always)]
    unsafe fn of<S: Simd>(x: S::V) -> S::V {
        let [low, high] = S::T::EXP_RANGE;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let x = S::min(S::splat(high), x);
            exp_clamped::<S>(S::max(S::splat(low), x))
        }
    }
}

/// c ÷ (c + e⁻ˣ·c), with e⁻ˣ·c = eʳ·2^(n + s) and c = 2ˢ in the bias of n: the denominator stays finite down to the x
/// at which the result rounds to 0. So the lower tail is fully accurate (½ + ½·tanh(x/2) would cancel there).
impl LaneFunction for Sigmoid {
    #[inline(always)]
    unsafe fn of<S: Simd>(x: S::V) -> S::V {
        let [low, high] = S::T::SIGMOID_RANGE;
        let [shift, c] = S::T::SIGMOID_SCALE;
        let [high_part, low_part] = S::T::LN_2;
        let [zero, ..] = S::T::SMALL;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let x = S::min(S::splat(high), x);
            let x = S::max(S::splat(low), x);
            // n = −round(x·log₂ e), the same as rounding 0 − x·log₂ e: both are symmetric.
            let factor = S::sub(S::splat(zero), S::splat(S::T::LOG2_E[1]));
            let rounder = S::add(S::splat(S::T::ROUNDER), S::splat(shift));
            let (scale, n) = power_of_two::<S>(x, factor, rounder);
            // −r = x + n·ln 2.
            let minus_r = S::fma(n, S::splat(high_part), x);
            let minus_r = S::fma(n, S::splat(low_part), minus_r);
            let power = polynomial::<S>(minus_r, S::T::EXP_MINUS);
            let c = S::splat(c);
            S::div(c, S::fma(power, scale, c))
        }
    }
}

/// u ÷ (u + 2), u = e²ˣ − 1 = 2ⁿ·(e²ʳ − 1) − (1 − 2ⁿ), whose terms never cancel: for n = 0 the second vanishes (as 1 −
/// 1 = +0, which keeps the sign of u = −0). An x that rounds to ±1 anyway is clamped to where u is still finite.
impl LaneFunction for Tanh {
    #[inline(always)]
    unsafe fn of<S: Simd>(x: S::V) -> S::V {
        let limit = S::T::TANH_LIMIT;
        let [zero, one, two] = S::T::SMALL;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let limit = S::splat(limit);
            let x = S::min(limit, x);
            let x = S::max(S::sub(S::splat(zero), limit), x);
            let (scale, n) =
                power_of_two::<S>(x, S::splat(S::T::LOG2_E[2]), S::splat(S::T::ROUNDER));
            let r = match S::T::MINUS_HALF_LN_2_WHOLE {
                Some(whole) if S::FUSED => S::fma(n, S::splat(whole), x),
                _ => {
                    let [high, low] = S::T::MINUS_HALF_LN_2;
                    let r = S::fma(n, S::splat(high), x);
                    S::fma(n, S::splat(low), r)
                }
            };
            let quotient = polynomial::<S>(r, S::T::EXPM1);
            let rest = S::sub(S::splat(one), scale);
            let u = S::fms(S::mul(r, scale), quotient, rest);
            S::div(u, S::add(u, S::splat(two)))
        }
    }
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + t), t = e^−|x|, and ln(1 + t) = 2·artanh(t/(2 + t)), an odd series in s = 2t/(2 + t)
/// ≤ 2/3, which needs no extraction of an exponent.
impl LaneFunction for Softplus {
    #[inline(always)]
    unsafe fn of<S: Simd>(x: S::V) -> S::V {
        let [zero, _, two] = S::T::SMALL;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let zero = S::splat(zero);
            let down = S::min(S::sub(zero, x), x);
            let t = exp_clamped::<S>(S::max(S::splat(S::T::EXP_RANGE[0]), down));
            let s = S::div(S::add(t, t), S::add(t, S::splat(two)));
            let z = S::mul(s, s);
            let tail = S::mul(polynomial::<S>(z, S::T::ARTANH), z);
            S::add(S::max(zero, x), S::fma(s, tail, s))
        }
    }
}

/// eˣ for x in the range of `exp`.
#[inline(always)]
unsafe fn exp_clamped<S: Simd>(x: S::V) -> S::V {
    let [high, low] = S::T::MINUS_LN_4;
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (root, n) = power_of_two::<S>(x, S::splat(S::T::LOG2_E[0]), S::splat(S::T::ROUNDER));
        let r = S::fma(n, S::splat(high), x);
        let r = S::fma(n, S::splat(low), r);
        let q = polynomial::<S>(r, S::T::EXP_REST);
        let one = S::splat(S::T::SMALL[1]);
        let power = if S::FUSED {
            S::fma(S::fma(q, r, one), r, one)
        } else {
            // 1 + (r + r²·q) rounds less than Horner's rule to the end.
            S::add(S::fma(S::mul(r, r), q, r), one)
        };
        S::mul(S::mul(power, root), root)
    }
}

/// (2^(n + shift), n) for n = round(factor·x), where `rounder` is the element type's plus the shift.
#[inline(always)]
unsafe fn power_of_two<S: Simd>(x: S::V, factor: S::V, rounder: S::V) -> (S::V, S::V) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let sum = S::fma(x, factor, rounder);
        (S::low_bits_to_exponent(sum), S::sub(sum, rounder))
    }
}

/// Horner's rule; coefficients in ascending order of powers.
#[inline(always)]
unsafe fn polynomial<S: Simd>(x: S::V, coefficients: &'static [S::T]) -> S::V {
    let last = coefficients.len() - 1;
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut sum = S::splat(coefficients[last]);
        for &c in coefficients[..last].iter().rev() {
            sum = S::fma(sum, x, S::splat(c));
        }
        sum
    }
}
