//! pow, the one function of two operands that rounds.

use retrograd_kernels::maths::{self, Lane};

use crate::kernel::{Emit, Kernel, Target};
use crate::measure::{Worst, ulps_f32};
use crate::reference::{self, pseudo_random};

const POW: Emit = |m, x, y| m.pow(x, y);

/// Pairs for pow: edges with edges, then bases about 1, of every exponent, and integers as exponents.
fn pairs(count: usize) -> (Vec<f64>, Vec<f64>) {
    let mut edges = vec![
        0.0,
        0.5,
        1.0,
        2.0,
        3.0,
        1.5,
        0.25,
        1e-30,
        1e30,
        1e-310,
        1e-42,
        f64::INFINITY,
        f64::NAN,
        4503599627370497.0,
    ];
    edges.extend([9007199254740993.0, 8388609.0, 16777216.0, 1e308]);
    edges.extend(edges.clone().iter().map(|v| -v));
    let mut pairs: Vec<(f64, f64)> = edges
        .iter()
        .flat_map(|x| edges.iter().map(|y| (*x, *y)))
        .collect();
    let unit = |bits: u64| (bits >> 11) as f64 * f64::powi(2.0, -53);
    let mut random = pseudo_random(99);
    let mut next = || random.next().unwrap();
    pairs.extend((0..count).map(|i| {
        let (a, b) = (next(), next());
        match i % 4 {
            0 => (unit(a) * 4.0, unit(b) * 40.0 - 20.0),
            1 => (unit(a) * 0.02 + 0.99, unit(b) * 20_000.0 - 10_000.0),
            2 => (
                f64::from_bits(a & !(1 << 63) & !(0x400 << 52) | (0x200 << 52)),
                unit(b) * 4.0 - 2.0,
            ),
            _ => (unit(a) * 20.0 - 10.0, (unit(b) * 40.0 - 20.0).round()),
        }
    }));
    pairs.resize(pairs.len().next_multiple_of(4), (1.0, 1.0));
    pairs.into_iter().unzip()
}

fn check_pow(target: Target, count: usize) {
    let (x, y) = pairs(count);
    let mut worst = Worst::default();
    for ((&x, &y), got) in x
        .iter()
        .zip(&y)
        .zip(Kernel::new(Lane::F64, target, POW).f64(&x, &y))
    {
        let ulps = if x > 0.0 && x.is_finite() && y.is_finite() && y != 0.0 {
            reference::pow(x, y).ulps_from(got)
        } else if x < 0.0 && x.is_finite() && y.is_finite() && y != 0.0 && !x.powf(y).is_nan() {
            let sign = if (y / 2.0).fract() == 0.0 { 1.0 } else { -1.0 };
            reference::pow(-x, y).ulps_from(sign * got)
        } else {
            let want = x.powf(y);
            if got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan() {
                0.0
            } else {
                f64::INFINITY
            }
        };
        worst.see(ulps, (x, y), got);
    }
    println!(
        "f64 pow       {target:?}: {:.3} ulp at {:?} (got {:e})",
        worst.ulps, worst.at, worst.got
    );
    let narrow = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let (x, y) = (narrow(&x), narrow(&y));
    let mut worst_f32 = Worst::default();
    for ((&x, &y), got) in x
        .iter()
        .zip(&y)
        .zip(Kernel::new(Lane::F32, target, POW).f32(&x, &y))
    {
        worst_f32.see(
            ulps_f32(got, f64::from(x).powf(f64::from(y))),
            (x.into(), y.into()),
            got.into(),
        );
    }
    println!(
        "f32 pow       {target:?}: {:.3} ulp at {:?} (got {:e})",
        worst_f32.ulps, worst_f32.at, worst_f32.got
    );
    assert!(worst.ulps <= maths::POW_F64_ULP && worst_f32.ulps <= maths::POW_F32_ULP);
}

#[test]
fn pow_keeps_its_bounds() {
    check_pow(Target::Native, 200_000);
    check_pow(Target::Base, 50_000);
}

#[test]
#[ignore = "millions of pairs: a minute in release"]
fn pow_keeps_its_bounds_on_millions() {
    check_pow(Target::Native, 8_000_000);
}
