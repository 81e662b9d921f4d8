//! When two engines agree: differences of arrays, and what they may be.

use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_tape::generate::jittered;
use retrograd_tape::{Op, Real};

use crate::runs::{Arrays, by_tape};
use crate::sample::Sample;

/// The greatest difference as a share of what is allowed, or what went wrong: a greater one, or a panic.
pub type Verdict = Result<f64, String>;

/// Greatest magnitude, NaN if there is one.
fn greatest(xs: impl Iterator<Item = f64>) -> f64 {
    xs.fold(0.0, |a, x| {
        if x.is_nan() || a.is_nan() {
            f64::NAN
        } else {
            x.abs().max(a)
        }
    })
}

/// Of numbers that are not infinite: what a row without steps has as its greatest is less than any number.
pub(crate) fn size<T: Real>(a: &[T]) -> f64 {
    let numbers = a.iter().map(|x| Real::to_f64(*x));
    greatest(numbers.filter(|x| !x.is_infinite()))
}

fn distance<T: Real>(a: &[T], b: &[f64]) -> f64 {
    greatest(a.iter().zip(b).map(|(a, b)| apart(*a, *b)))
}

/// The difference; equal infinities are not apart.
fn apart<T: Real>(a: T, b: f64) -> f64 {
    match Real::to_f64(a) {
        a if a == b => 0.0,
        a => a - b,
    }
}

/// Every array of `found` agrees with the one of the same name in `right`; the gradient of an input that has none is zeros.
///
/// # Errors
/// The first number that is further off than `allowed` for the greatest number of its array.
pub fn agree<T: Real>(
    right: &Arrays<f64>,
    found: &Arrays<T>,
    allowed: impl Fn(f64) -> f64,
) -> Verdict {
    let mut worst: f64 = 0.0;
    for (name, a) in found {
        let Some((_, b)) = right.iter().find(|(n, _)| n == name) else {
            return Err(format!("what is `{name}`?"));
        };
        let zeros = vec![0.0; if b.is_empty() { a.len() } else { 0 }];
        let b = if b.is_empty() { &zeros } else { b };
        if a.len() != b.len() {
            return Err(format!("`{name}` has {} numbers, not {}", a.len(), b.len()));
        }
        let (off, most) = (distance(a, b), allowed(size(b)));
        if off.is_nan() || off > most {
            let at = (0..a.len()).find(|&i| {
                let d = apart(a[i], b[i]).abs();
                d.is_nan() || d > most
            });
            let at = at.unwrap_or(0);
            return Err(format!(
                "`{name}` number {at} is {} and should be {} (off by up to {off:e}, allowed {most:e})",
                a[at], b[at]
            ));
        }
        if off > 0.0 {
            worst = worst.max(off / most);
        }
    }
    Ok(worst)
}

/// Two arrays of the same name have the same bits; all NaN are one, whose sign and payload depend on the order of an
/// instruction's operands.
///
/// # Errors
/// The first number that has others.
pub fn same<T: Real + std::fmt::LowerExp>(a: &Arrays<T>, b: &Arrays<T>) -> Verdict {
    let differ = |a: T, b: T| {
        let [a, b] = [a, b].map(Real::to_f64);
        a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan())
    };
    for ((name, a), (_, b)) in a.iter().zip(b) {
        if a.len() != b.len() {
            return Err(format!(
                "`{name}` has {} numbers and had {}",
                b.len(),
                a.len()
            ));
        }
        if let Some(i) = (0..a.len()).find(|&i| differ(a[i], b[i])) {
            return Err(format!(
                "`{name}` number {i} is {:e} and was {:e}",
                b[i], a[i]
            ));
        }
    }
    Ok(0.0)
}

/// Runs a check; a panic is a failure like any other.
///
/// # Errors
/// Those of the check, after `what`.
pub fn caught(what: &str, check: impl FnOnce() -> Verdict) -> Verdict {
    let result = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|e| {
        let text = (e.downcast_ref::<String>().cloned())
            .or_else(|| e.downcast_ref::<&str>().map(|s| s.to_string()));
        let text = text.unwrap_or_else(|| "panic".into());
        Err(format!("panic: {}", text.lines().next().unwrap_or("")))
    });
    result.map_err(|e| format!("{what}: {e}"))
}

/// The greatest difference in any array, as a share of the array's greatest number or of 1.
pub(crate) fn relative<T: Real>(right: &Arrays<f64>, other: &Arrays<T>) -> f64 {
    let pairs = right.iter().zip(other);
    greatest(pairs.map(|((_, a), (_, b))| distance(b, a) / size(a).max(1.0)))
}

/// By how much the results change if each op is off by up to `unit` times the ulp of its row, see [`jittered`]: the
/// greatest of four draws.
pub(crate) fn sensitivity(
    sample: &Sample<'_>,
    right: &Arrays<f64>,
    unit: f64,
) -> Result<f64, String> {
    let mut most: f64 = 0.0;
    for k in 0..4 {
        let off = jittered(sample.tape, unit, k);
        let off = by_tape::<f64>(&sample.of(&off)).map_err(|e| e.to_string())?;
        let moved = relative(right, &off);
        most = if moved.is_nan() {
            moved
        } else {
            most.max(moved)
        };
    }
    Ok(most)
}

/// What the ops' tolerances make of the results at least: each op of the program off by the ulp of its row (½ for
/// others), `unit` each, at each of T steps.
pub(crate) fn ulps(sample: &Sample<'_>, unit: f64) -> f64 {
    let ulp = |op: &Op| match op {
        Op::Map(m) => m.row().ulp,
        _ => 0.5,
    };
    let ops: f64 = sample.tape.nodes().iter().map(|n| ulp(&n.op)).sum();
    ops * sample.t() as f64 * unit
}

/// How far numbers of f32 may be off: at most four times as far as those of the tape in f32, plus what the ops'
/// tolerances do to the results. That is measured (the tape in f64 with each op off by up to the ulp of its row), and for
/// the ops of the backward part, which are not jittered, bounded from below ([`ulps`]). Errors are relative to the
/// greatest number in an array, or to 1, the order of the values that a small one is the difference of; they are taken
/// over all arrays, for an array of few numbers is right by chance.
pub(crate) fn allowed_in_f32(right: &Arrays<f64>, sample: &Sample<'_>) -> Result<f64, String> {
    const EPS: f64 = f32::EPSILON as f64;
    let other = by_tape::<f32>(sample).map_err(|e| e.to_string())?;
    let tolerance = sensitivity(sample, right, EPS)?;
    Ok(4.0 * relative(right, &other) + tolerance + ulps(sample, EPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_nan_are_the_same_and_zeros_are_not() {
        let of = |x: f64| -> Arrays<f64> { vec![("y".into(), vec![1.0, x])] };
        assert!(same(&of(f64::NAN), &of(-f64::NAN)).is_ok());
        assert!(same(&of(f64::NAN), &of(1.0)).is_err());
        assert!(same(&of(1.0), &of(f64::NAN)).is_err());
        assert!(same(&of(0.0), &of(-0.0)).is_err());
    }
}
