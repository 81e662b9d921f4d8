//! References of about 100 bits: double-double arithmetic and functions built on it.

/// An unevaluated sum of two `f64`, the second below half an ulp of the first, times 2^`scale`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact {
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) scale: i32,
}

/// x·2^n without overflow on the way.
pub(super) fn scale_by(x: f64, n: i32) -> f64 {
    let step = n / 3;
    x * 2f64.powi(step) * 2f64.powi(step) * 2f64.powi(n - 2 * step)
}

impl Exact {
    pub(super) fn of(x: f64) -> Self {
        Exact {
            high: x,
            low: 0.0,
            scale: 0,
        }
    }

    /// The distance of `got` in ulps of the exact value rounded to `f64`.
    pub(super) fn ulps_from(self, got: f64) -> f64 {
        let rounded = scale_by(self.high, self.scale);
        if rounded.is_nan() || got.is_nan() {
            return if rounded.is_nan() && got.is_nan() {
                0.0
            } else {
                f64::INFINITY
            };
        }
        if rounded == 0.0 && self.high == 0.0 {
            let same = got == 0.0 && got.is_sign_negative() == rounded.is_sign_negative();
            return if same { 0.0 } else { f64::INFINITY };
        }
        if rounded.is_infinite() || got.is_infinite() {
            let near = f64::MAX * (1.0 - 4.0 * f64::EPSILON);
            let next = got == rounded
                || (rounded.abs() >= near && got.abs() >= near && got.signum() == rounded.signum());
            return if next {
                f64::from(got != rounded)
            } else {
                f64::INFINITY
            };
        }
        let exponent = ((rounded.abs().to_bits() >> 52) as i32).clamp(1, 2046) - 1023;
        // In units of 2^scale, where nothing is subnormal.
        let difference = (scale_by(got, -self.scale) - self.high) - self.low;
        scale_by(difference, self.scale - exponent + 52).abs()
    }
}

fn two_sum(x: f64, y: f64) -> (f64, f64) {
    let sum = x + y;
    let back = sum - x;
    (sum, (x - (sum - back)) + (y - back))
}

pub(super) type Dd = (f64, f64);

pub(super) fn add(x: Dd, y: Dd) -> Dd {
    let (sum, error) = two_sum(x.0, y.0);
    let (low, low_error) = two_sum(x.1, y.1);
    let (sum, error) = two_sum(sum, error + low);
    two_sum(sum, error + low_error)
}

pub(super) fn mul(x: Dd, y: Dd) -> Dd {
    let product = x.0 * y.0;
    let error = x.0.mul_add(y.0, -product) + (x.0 * y.1 + x.1 * y.0);
    two_sum(product, error)
}

pub(super) fn div(x: Dd, y: Dd) -> Dd {
    let first = x.0 / y.0;
    let rest = add(x, mul(y, (-first, 0.0)));
    let second = rest.0 / y.0;
    let rest = add(rest, mul(y, (-second, 0.0)));
    let third = rest.0 / y.0;
    let (high, low) = two_sum(first, second);
    two_sum(high, low + third)
}

const LN_2: Dd = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

/// e^x − 1 for |x| ≤ 0.35, by its series on x/16 and (1 + u)² − 1 = u·(u + 2) four times.
fn expm1_small(x: Dd) -> Dd {
    let x = (x.0 / 16.0, x.1 / 16.0);
    let mut sum = (0.0, 0.0);
    for n in (2..=15).rev() {
        sum = div(mul(x, add((1.0, 0.0), sum)), (f64::from(n), 0.0));
    }
    let mut u = mul(x, add((1.0, 0.0), sum));
    for _ in 0..4 {
        u = mul(u, add(u, (2.0, 0.0)));
    }
    u
}

/// (m, n) with e^x = (1 + m)·2^n, |m| < 0.42.
fn exp_parts(x: Dd) -> (Dd, i32) {
    let n = (x.0 / LN_2.0).round();
    (expm1_small(add(x, mul(LN_2, (-n, 0.0)))), n as i32)
}

pub(super) fn exp_dd(x: Dd) -> Exact {
    if x.0.is_nan() || x.0.abs() > 2000.0 {
        return Exact::of(x.0.exp());
    }
    let (m, scale) = exp_parts(x);
    let (high, low) = add((1.0, 0.0), m);
    Exact { high, low, scale }
}

pub(super) fn exp(x: f64) -> Exact {
    exp_dd((x, 0.0))
}

pub(super) fn expm1(x: f64) -> Exact {
    // There eˣ − 1 is x to more than 106 bits, or eˣ, or -1.
    if !x.is_finite() || x.abs() < 1e-40 || x.abs() > 1000.0 {
        return Exact::of(x.exp_m1());
    }
    let (m, n) = exp_parts((x, 0.0));
    // (1 + m)·2ⁿ − 1 in units of 2ⁿ if that is large, so that nothing overflows.
    let scale = n.max(0);
    let (power, one) = (2f64.powi(n - scale), 2f64.powi(-scale));
    let (high, low) = add((power * m.0, power * m.1), add((power, 0.0), (-one, 0.0)));
    Exact { high, low, scale }
}

/// ln x for a normal x: a step of third order from `std`'s.
fn ln_dd(x: Dd) -> Dd {
    let exponent = ((x.0.to_bits() >> 52) as i32) - 1023;
    let x = (scale_by(x.0, -exponent), scale_by(x.1, -exponent));
    let (x, exponent) = if x.0 > 1.4 {
        ((x.0 / 2.0, x.1 / 2.0), exponent + 1)
    } else {
        (x, exponent)
    };
    let start = x.0.ln();
    // u = x·e^−start − 1 in parts that do not cancel beyond double-double.
    let u = add(mul(x, add((1.0, 0.0), expm1_wide(-start))), (-1.0, 0.0));
    let square = mul(u, u);
    let correction = add(u, (-0.5 * square.0, -0.5 * square.1));
    add(
        mul(LN_2, (f64::from(exponent), 0.0)),
        add((start, 0.0), correction),
    )
}

fn expm1_wide(x: f64) -> Dd {
    let half = expm1_small((x / 2.0, 0.0));
    mul(half, add(half, (2.0, 0.0)))
}

pub(super) fn ln(x: f64) -> Exact {
    if !x.is_finite() || x <= 0.0 || x == 1.0 {
        return Exact::of(x.ln());
    }
    if (x - 1.0).abs() < 1e-4 {
        return log1p_small(x - 1.0);
    }
    let (high, low) = ln_positive(x);
    Exact {
        high,
        low,
        scale: 0,
    }
}

/// ln(1 + x) for |x| < 10⁻⁴, by its series.
fn log1p_small(x: f64) -> Exact {
    let mut sum = (0.0, 0.0);
    for n in (1..=9).rev() {
        let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
        sum = mul((x, 0.0), add(div((sign, 0.0), (f64::from(n), 0.0)), sum));
    }
    Exact {
        high: sum.0,
        low: sum.1,
        scale: 0,
    }
}

pub(super) fn log1p(x: f64) -> Exact {
    if !x.is_finite() || x <= -1.0 || x.abs() < 1e-40 {
        return Exact::of(x.ln_1p());
    }
    if x.abs() < 1e-4 {
        return log1p_small(x);
    }
    let (high, low) = ln_dd(two_sum(1.0, x));
    Exact {
        high,
        low,
        scale: 0,
    }
}

fn ln_positive(x: f64) -> Dd {
    if x < f64::MIN_POSITIVE {
        return add(ln_dd((x * 2f64.powi(54), 0.0)), mul(LN_2, (-54.0, 0.0)));
    }
    ln_dd((x, 0.0))
}

pub(super) fn tanh(x: f64) -> Exact {
    if !x.is_finite() || x.abs() > 50.0 || x.abs() < 1e-150 {
        return Exact::of(x.tanh());
    }
    let (m, n) = exp_parts((2.0 * x, 0.0));
    let power = 2f64.powi(n);
    let u = add((power * m.0, power * m.1), (power - 1.0, 0.0));
    let (high, low) = div(u, add(u, (2.0, 0.0)));
    Exact {
        high,
        low,
        scale: 0,
    }
}

pub(super) fn sigmoid(x: f64) -> Exact {
    if x.is_nan() || x.abs() > 2000.0 {
        return Exact::of(if x > 0.0 { 1.0 } else { x.exp() });
    }
    let power = exp_dd((-x.abs(), 0.0));
    let scaled = if power.scale > -200 {
        (
            scale_by(power.high, power.scale),
            scale_by(power.low, power.scale),
        )
    } else {
        (0.0, 0.0)
    };
    let denominator = add((1.0, 0.0), scaled);
    let numerator = if x < 0.0 {
        (power.high, power.low)
    } else {
        (1.0, 0.0)
    };
    let (high, low) = div(numerator, denominator);
    Exact {
        high,
        low,
        scale: if x < 0.0 { power.scale } else { 0 },
    }
}

pub(super) fn softplus(x: f64) -> Exact {
    if x.is_nan() || x.abs() > 2000.0 {
        return Exact::of(if x > 0.0 || x.is_nan() { x } else { 0.0 });
    }
    let t = exp_dd((-x.abs(), 0.0));
    if x < -40.0 {
        // ln(1 + t) = t − t²/2, and t³ is below 2⁻¹¹⁵·t.
        let t_value = if t.scale > -400 {
            scale_by(t.high, t.scale)
        } else {
            0.0
        };
        let (high, low) = mul((t.high, t.low), add((1.0, 0.0), (-0.5 * t_value, 0.0)));
        return Exact {
            high,
            low,
            scale: t.scale,
        };
    }
    let t_value = if t.scale > -400 {
        (scale_by(t.high, t.scale), scale_by(t.low, t.scale))
    } else {
        (0.0, 0.0)
    };
    let log = if t_value.0 < 1e-8 {
        let square = mul(t_value, t_value);
        let cube = mul(square, t_value);
        add(
            add(t_value, (-0.5 * square.0, -0.5 * square.1)),
            div(cube, (3.0, 0.0)),
        )
    } else {
        ln_dd(add((1.0, 0.0), t_value))
    };
    let (high, low) = add((x.max(0.0), 0.0), log);
    Exact {
        high,
        low,
        scale: 0,
    }
}

pub(super) fn softsign(x: f64) -> Exact {
    // Below, 1 + |x| is 1 in double-double, too.
    if !x.is_finite() || x.abs() < 1e-200 {
        return Exact::of(if x.is_finite() { x } else { f64::NAN });
    }
    let (high, low) = div((x, 0.0), add((1.0, 0.0), (x.abs(), 0.0)));
    Exact {
        high,
        low,
        scale: 0,
    }
}

/// `std`'s, whose error (glibc: below 0.56 ulp, but for large operands next to multiples of π/2: see `trig.rs`) is to be
/// added to what is measured.
pub(super) fn sin(x: f64) -> Exact {
    Exact::of(x.sin())
}

/// As [`sin`].
pub(super) fn cos(x: f64) -> Exact {
    Exact::of(x.cos())
}

/// x^y for x > 0 and finite y.
pub(super) fn pow(x: f64, y: f64) -> Exact {
    let ln = ln(x);
    let product = mul((ln.high, ln.low), (y, 0.0));
    if !product.0.is_finite() {
        return Exact::of(x.powf(y));
    }
    exp_dd(product)
}

/// SplitMix64 (Steele, Lea & Flood 2014).
pub(super) fn pseudo_random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
