//! Norms and limits of gradients, and the tests for numbers that are not finite.

use crate::numbers::Float;

/// √Σ g², accumulated in f64 whatever the gradient's type. It is finite whenever the norm is: where squares would overflow or
/// vanish, the numbers are scaled first.
///
/// ```
/// use retrograd::optim::global_norm;
///
/// assert_eq!(global_norm(&[3.0_f32, -4.0]), 5.0);
/// assert!(global_norm(&[3e200, -4e200]).is_finite());
/// ```
pub fn global_norm<T: Float>(gradient: &[T]) -> f64 {
    let squares = |unit: f64| -> f64 {
        let scaled = gradient.iter().map(|g| g.to_f64() / unit);
        scaled.map(|g| g * g).sum()
    };
    let sum = squares(1.0);
    if sum.is_finite() && sum >= f64::MIN_POSITIVE {
        return sum.sqrt();
    }
    let largest = gradient
        .iter()
        .fold(0.0, |m: f64, g| m.max(g.to_f64().abs()));
    match largest.is_normal() {
        true if sum.is_nan() => f64::NAN,
        true => squares(largest).sqrt() * largest,
        // All are 0 or denormal, one is infinite, or all are NaN.
        false => sum.sqrt(),
    }
}

/// The factor that scales a gradient of this norm to a norm of at most `limit` (Pascanu et al. 2013, algorithm 1).
///
/// ```
/// use retrograd::optim::{clip_scale, global_norm};
///
/// let gradient = [3.0, -4.0];
/// let scale = clip_scale(global_norm(&gradient), Some(2.5));
/// assert_eq!(gradient.map(|g| g * scale), [1.5, -2.0]);
/// assert_eq!(clip_scale(5.0, None), 1.0);
/// ```
pub fn clip_scale(norm: f64, limit: Option<f64>) -> f64 {
    match limit {
        Some(limit) if norm > limit => limit / norm,
        _ => 1.0,
    }
}

/// 0 instead of a denormal number of f32, whose arithmetic takes a hundred times as long on many processors. Means of
/// gradients decay through these numbers wherever a gradient stays 0. (f64 takes some hundred thousand steps to get there.)
pub(super) fn flushed<T: Float>(x: T) -> T {
    let least = T::from_f64(f64::from(f32::MIN_POSITIVE));
    match size_of::<T>() == size_of::<f32>() && x.abs() < least {
        true => T::ZERO,
        false => x,
    }
}

/// The first position at which `value` of memory and gradient is not finite. Chunks are tested without a branch, so that the
/// compiler vectorises the test.
pub(super) fn first_infinite<T: Float>(
    memory: &[T],
    gradient: &[T],
    value: impl Fn(T, T) -> T,
) -> Option<usize> {
    const CHUNK: usize = 64;
    let infinite = |(&m, &g): (&T, &T)| {
        let v = value(m, g);
        // ∞ · 0 and NaN · 0 are NaN, any other number times 0 is 0.
        v * T::ZERO != T::ZERO
    };
    let chunks = memory.chunks(CHUNK).zip(gradient.chunks(CHUNK));
    let (chunk, (m, g)) = chunks.enumerate().find(|(_, (m, g))| {
        let all = m.iter().zip(*g).map(infinite);
        all.fold(false, |found, this| found | this)
    })?;
    let within = m.iter().zip(g).position(infinite)?;
    Some(chunk * CHUNK + within)
}

/// The first number that is not finite.
pub(crate) fn first_non_finite<T: Float>(values: &[T]) -> Option<usize> {
    first_infinite(values, values, |v, _| v)
}
