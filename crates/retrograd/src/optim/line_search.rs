//! A step length that meets the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6).

use super::StepError;

/// A step length, and what the loss is there.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    pub(super) at: f64,
    pub(super) loss: f64,
    /// The derivative of the loss by the step length.
    pub(super) slope: f64,
}

/// The share of the slope by which the loss must fall, at least; section 3.1.
const DECREASE: f64 = 1e-4;
/// The share of the slope that may be left; section 3.1, for quasi-Newton directions.
const CURVATURE: f64 = 0.9;
/// How far the search goes beyond the last length, at most.
const FURTHER: f64 = 10.0;

/// Searches from `start`, at length 0, whose slope is negative, with `first` as the first length, by at most `most` evaluations. If
/// no length meets the conditions by then, it is the best that lowers the loss enough, or `None` if there is none. A loss that is
/// not finite counts as too great.
pub(super) fn strong_wolfe(
    start: Trial,
    first: f64,
    most: usize,
    mut evaluate: impl FnMut(f64) -> Result<Trial, StepError>,
) -> Result<Option<Trial>, StepError> {
    let (loss, slope) = (start.loss, start.slope);
    let high = |t: &Trial| t.loss.is_nan() || t.loss > loss + DECREASE * t.at * slope;
    let flat = |t: &Trial| t.slope.abs() <= -CURVATURE * slope;
    let mut before = start;
    let mut at = first;
    let mut left = most;
    // An interval with lengths that meet the conditions: at its lower end the loss is lower.
    let (mut low, mut far) = loop {
        if left == 0 {
            return Ok((before.at > 0.0).then_some(before));
        }
        left -= 1;
        let this = evaluate(at)?;
        if high(&this) || (before.at > 0.0 && this.loss >= before.loss) {
            break (before, (this.at, this.loss, this.slope));
        }
        if flat(&this) {
            return Ok(Some(this));
        }
        if this.slope >= 0.0 {
            let end = (before.at, before.loss, before.slope);
            break (this, end);
        }
        let end = (before.at, before.loss, before.slope);
        let guess = cubic_minimum((this.at, this.loss, this.slope), end);
        let least = this.at + 0.01 * (this.at - before.at);
        at = match guess {
            Some(x) if x > this.at => x.clamp(least, FURTHER * this.at),
            _ => 2.0 * this.at,
        };
        before = this;
    };
    while left > 0 && low.at != far.0 {
        left -= 1;
        let (a, b) = (low.at.min(far.0), low.at.max(far.0));
        let margin = 0.1 * (b - a);
        let guess = cubic_minimum((low.at, low.loss, low.slope), far);
        let middle = 0.5 * (a + b);
        let at = guess.map_or(middle, |x| x.clamp(a + margin, b - margin));
        if at <= a || at >= b {
            break;
        }
        let this = evaluate(at)?;
        if high(&this) || this.loss >= low.loss {
            far = (this.at, this.loss, this.slope);
            continue;
        }
        if flat(&this) {
            return Ok(Some(this));
        }
        if this.slope * (far.0 - low.at) >= 0.0 {
            far = (low.at, low.loss, low.slope);
        }
        low = this;
    }
    Ok((low.at > 0.0).then_some(low))
}

/// The minimum of the cubic polynomial with these values and slopes at two points, equation 3.59; none if it has none or a number is
/// not finite.
fn cubic_minimum(a: (f64, f64, f64), b: (f64, f64, f64)) -> Option<f64> {
    let ((x1, f1, s1), (x2, f2, s2)) = if a.0 <= b.0 { (a, b) } else { (b, a) };
    let d1 = s1 + s2 - 3.0 * (f1 - f2) / (x1 - x2);
    let square = d1 * d1 - s1 * s2;
    let d2 = square.sqrt();
    let x = x2 - (x2 - x1) * (s2 + d2 - d1) / (s2 - s1 + 2.0 * d2);
    x.is_finite().then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, f: impl Fn(f64) -> (f64, f64)) -> Option<(f64, f64, f64)> {
        let trial = |at: f64| {
            let (loss, slope) = f(at);
            Trial { at, loss, slope }
        };
        let found = strong_wolfe(trial(0.0), first, 25, |at| Ok(trial(at)));
        found
            .expect("nothing fails")
            .map(|t| (t.at, t.loss, t.slope))
    }

    #[test]
    fn the_conditions_are_met_from_lengths_far_too_small_and_too_great() {
        // The first function of Moré & Thuente 1994, with β = 2; a quartic; one that is infinite beyond 3.
        let more = |x: f64| (-x / (x * x + 2.0), (x * x - 2.0) / (x * x + 2.0).powi(2));
        let quartic = |x: f64| ((x - 2.0).powi(4), 4.0 * (x - 2.0).powi(3));
        let wall = |x: f64| match x < 3.0 {
            true => (
                -(3.0 - x).sqrt() * x,
                -(3.0 - x).sqrt() + 0.5 * x / (3.0 - x).sqrt(),
            ),
            false => (f64::NAN, f64::NAN),
        };
        let functions: [&dyn Fn(f64) -> (f64, f64); 3] = [&more, &quartic, &wall];
        for (k, f) in functions.iter().enumerate() {
            for first in [1e-3, 0.1, 1.0, 10.0, 1e3] {
                let (at, loss, slope) = search(first, f).expect("there is one");
                let (loss0, slope0) = f(0.0);
                assert!(loss <= loss0 + DECREASE * at * slope0, "{k} from {first}");
                assert!(slope.abs() <= CURVATURE * slope0.abs(), "{k} from {first}");
            }
        }
    }

    #[test]
    fn where_nothing_is_lower_there_is_no_length() {
        assert!(search(1.0, |x| (x, -1.0)).is_none(), "a slope that lies");
        assert!(search(1.0, |x| (if x > 0.0 { f64::NAN } else { 0.0 }, -1.0)).is_none());
    }
}
