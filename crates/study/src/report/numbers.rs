//! Statistics over seeds, and numbers as text.

/// The `share` quantile, interpolated between the two nearest values; infinite values are greater than all others. NaN
/// if there are none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = share * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    match low == high {
        true => low,
        false => low + (high - low) * at.fract(),
    }
}

/// The `share` quantile of positive numbers, interpolated between their logarithms; between a number and 0 or infinity
/// the nearer of both.
pub(crate) fn log_quantile(values: &[f64], share: f64) -> f64 {
    let logs: Vec<f64> = values.iter().map(|v| v.ln()).collect();
    if logs.iter().all(|l| l.is_finite()) {
        return quantile(&logs, share).exp();
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * sorted.len().saturating_sub(1) as f64;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

/// The middle value, of an even number of values the lower one in the middle: always one of them. NaN if there are none.
pub(crate) fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len().saturating_sub(1) / 2;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Whether one number of runs is more than another beyond what two runs or a tenth of all may turn round.
pub(crate) fn more_runs(solved: usize, than: usize, of: usize) -> bool {
    solved >= than + of.div_ceil(10).max(2)
}

/// How one positive number compares with another: greater or less only by a factor of ten or more.
pub(crate) fn relate(a: f64, b: f64) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    if a > 0.0 && a >= 10.0 * b {
        Ordering::Greater
    } else if b > 0.0 && b >= 10.0 * a {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}

/// "1 seed", "3 seeds".
pub(crate) fn seeds(n: impl Into<u64>) -> String {
    match n.into() {
        1 => "1 seed".to_owned(),
        n => format!("{n} seeds"),
    }
}

/// The median.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The arithmetic mean; NaN if there are none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Two digits, with a power of ten where the number is small or great: "0.031", "4.5 × 10⁻²⁴".
pub(crate) fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        size if size.is_nan() || size >= 1e300 => "not finite".to_owned(),
        100.0..1e4 => format!("{x:.0}"),
        10.0..100.0 => format!("{x:.0}"),
        1.0..10.0 => format!("{x:.1}"),
        0.1..1.0 => format!("{x:.2}"),
        0.01..0.1 => format!("{x:.3}"),
        0.001..0.01 => format!("{x:.4}"),
        _ => {
            let text = format!("{x:.1e}");
            let (digits, exponent) = text.split_once('e').expect("it was asked for");
            format!("{digits} × 10{}", superscript(exponent))
        }
    }
}

/// What a step keeps, to three decimals.
pub(crate) fn share(x: f64) -> String {
    match x.is_finite() {
        true => format!("{x:.3}"),
        false => "no number".to_owned(),
    }
}

/// A factor greater than 1: as a number, or from a hundred on as the nearest power of ten.
pub(crate) fn factor(x: f64) -> String {
    match x {
        _ if x.is_nan() || x >= 1e300 => "more than 10³⁰⁰".to_owned(),
        _ if x < 100.0 => short(x),
        _ => format!("about 10{}", superscript(&format!("{:.0}", x.log10()))),
    }
}

fn superscript(digits: &str) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let of = |c: char| match c.to_digit(10) {
        Some(d) => DIGITS[d as usize],
        None => '⁻',
    };
    digits.chars().map(of).collect()
}

/// A whole number with its thousands apart: "12,500".
pub(crate) fn whole(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (k, digit) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in per cent.
pub(crate) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        0.05..9.95 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// Seconds as "40 seconds" or "12 minutes".
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        ..100.0 => format!("{seconds:.0} seconds"),
        _ => format!("{:.0} minutes", seconds / 60.0),
    }
}

/// "a, b and c".
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let values = [4.0, 1.0, f64::INFINITY, 2.0, 3.0];
        assert_eq!(median(&values), 3.0);
        assert_eq!(quantile(&values[..2], 0.25), 1.75);
        assert_eq!(quantile(&values, 1.0), f64::INFINITY);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn logarithmic_quantiles_and_middles_are_no_numbers_that_no_run_is_near() {
        assert!((log_quantile(&[1e-4, 1e-8], 0.5) / 1e-6 - 1.0).abs() < 1e-12);
        assert_eq!(log_quantile(&[1.0, f64::INFINITY, 0.0], 0.5), 1.0);
        assert_eq!(log_quantile(&[1.0, f64::INFINITY], 0.25), 1.0);
        assert_eq!(middle(&[7e146, 0.49]), 0.49);
        assert_eq!(middle(&[3.0, 1.0, 2.0]), 2.0);
        assert!(middle(&[]).is_nan());
    }

    #[test]
    fn a_run_or_a_factor_of_less_than_ten_decides_nothing() {
        use std::cmp::Ordering;
        assert!(!more_runs(8, 7, 12) && more_runs(9, 7, 12));
        assert!(!more_runs(12, 9, 36) && more_runs(13, 9, 36));
        assert_eq!(relate(5.0, 1.0), Ordering::Equal);
        assert_eq!(relate(1e-3, 1.0), Ordering::Less);
        assert_eq!(relate(1.0, 0.0), Ordering::Greater);
        assert_eq!(relate(0.0, 0.0), Ordering::Equal);
    }

    #[test]
    fn numbers_are_told_shortly() {
        let told = [
            0.0, 4.512e-24, 0.00123, 0.0312, 0.5, 3.11159, 42.4, 731.2, 2.5e7,
        ]
        .map(short);
        let expected = [
            "0",
            "4.5 × 10⁻²⁴",
            "0.0012",
            "0.031",
            "0.50",
            "3.1",
            "42",
            "731",
            "2.5 × 10⁷",
        ];
        assert_eq!(told, expected);
        assert_eq!([3.0, 1e14].map(factor), ["3.0", "about 10¹⁴"]);
        assert_eq!([7, 1000, 1_234_567].map(whole), ["7", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.012, 0.5].map(percent), ["0 %", "1.2 %", "50 %"]);
    }
}
