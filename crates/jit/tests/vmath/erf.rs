//! A reference for the error function, and the one that the op table has against it.

use super::measure::{Worst, samples_f64};
use super::reference::{Dd, Exact, add, div, exp_dd, mul, scale_by};
use retrograd_tape::Map;

/// 2/√π
const FACTOR: Dd = (std::f64::consts::FRAC_2_SQRT_PI, 1.533_545_961_316_588e-17);

/// In double precision: exact enough for `f32`, as the test below says.
pub(super) fn of_the_table(x: f64) -> f64 {
    (Map::Erf.row().eval)(&[x])
}

/// 2/√π·e^(−x²)·Σ 2ⁿ·x²ⁿ⁺¹/(1·3·…·(2n + 1)), all of whose terms have one sign.
pub(super) fn exact(x: f64) -> Exact {
    if x.is_nan() || x == 0.0 {
        return Exact::of(x);
    }
    if x.abs() > 7.0 {
        // 1 − erf 7 is below 2⁻⁷⁴.
        return Exact::of(1f64.copysign(x));
    }
    if x.abs() < 1e-100 {
        let (high, low) = mul(FACTOR, (scale_by(x, 900), 0.0));
        return Exact {
            high,
            low,
            scale: -900,
        };
    }
    let square = mul((x, 0.0), (x, 0.0));
    let (mut term, mut sum) = ((x, 0.0), (x, 0.0));
    let mut n = 1.0;
    while term.0.abs() > 1e-34 * sum.0.abs() {
        term = div(
            mul(term, (2.0 * square.0, 2.0 * square.1)),
            (2.0 * n + 1.0, 0.0),
        );
        sum = add(sum, term);
        n += 1.0;
    }
    let power = exp_dd((-square.0, -square.1));
    let (high, low) = mul(mul(FACTOR, sum), (power.high, power.low));
    Exact {
        high,
        low,
        scale: power.scale,
    }
}

#[test]
fn the_table_has_it_within_an_ulp() {
    let knees = [0.0, 0.843_75, 1.25, 1.0 / 0.35, 6.0, 3e-308];
    let mut worst = Worst::default();
    for x in samples_f64(&knees, 40_000, 3) {
        let got = of_the_table(x);
        worst.see(exact(x).ulps_from(got), (x, 0.0), got);
    }
    println!("{worst:?}");
    assert!(worst.ulps <= 1.0, "{worst:?}");
}
