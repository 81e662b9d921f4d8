//! Computes the polynomials of `retrograd_kernels::maths::polynomials` anew and compares: `cargo run --release -p retrograd-kernels
//! --example minimax`. For another function add a row to [`fits`]: its interval, how many coefficients, the function and the
//! weight of its error.
//!
//! A fit is a polynomial q whose greatest weighted error |w|·|q − g| on an interval is least, found by Remez' exchange: where n
//! coefficients are free, the error of the best q takes its greatest magnitude at n + 1 points with alternating signs. In
//! double-double arithmetic, 106 bits, for fits that are good to 58.

use retrograd_kernels::maths::polynomials as p;

pub(crate) fn main() {
    for fit in fits() {
        let sampled = Sampled::new(&fit);
        let (found, least) = sampled.minimax();
        let committed: Vec<Dd> = fit.committed.iter().map(|&c| c.into()).collect();
        let error = greatest(&sampled.error(&committed));
        let (name, rounding) = (fit.name, sampled.rounding());
        println!(
            "{name}: least error 2^{:.2}, as committed 2^{:.2}, rounding of coefficients 2^{:.2}",
            least.log2(),
            error.log2(),
            rounding.log2()
        );
        // Rounded twice: to the digits of the table, and to the precision.
        assert!(
            error <= least + 2.0 * rounding,
            "{name} is not the best fit"
        );
        for c in found {
            println!("    {c:?},");
        }
    }
}

/// A function to fit, and the committed fit.
struct Fit {
    name: &'static str,
    interval: (f64, f64),
    /// g.
    function: fn(Dd) -> Dd,
    /// What an error of q means for the whole, relative to it.
    weight: fn(Dd) -> Dd,
    /// Its free coefficients.
    committed: &'static [f64],
    /// Bits of a coefficient.
    bits: i32,
}

/// Everything that is committed. The first coefficients of exponentials are 1, and not fitted.
fn fits() -> Vec<Fit> {
    let half = std::f64::consts::LN_2 / 2.0;
    let exp = |name, reach: f64, committed, bits| Fit {
        name,
        interval: (-reach, reach),
        function: |r| series(r, |k| factorial(k + 2).recip()),
        weight: |r| r * r * series(r, |k| factorial(k).recip()).recip(),
        committed,
        bits,
    };
    let expm1 = |name, committed, bits| Fit {
        name,
        interval: (-half, half),
        function: |r| series(r, |k| factorial(k + 2).recip()),
        weight: |r| r * series(r, |k| factorial(k + 1).recip()).recip(),
        committed,
        bits,
    };
    let artanh = |name, committed, bits| Fit {
        name,
        interval: (0.0, 1.0 / 9.0),
        function: |u| series(u, |k| Dd::from(2 * k + 3).recip()),
        weight: |u| u * series(u, |k| Dd::from(2 * k + 1).recip()).recip(),
        committed,
        bits,
    };
    let erf = |name, committed, bits| Fit {
        name,
        interval: (0.0, 1.0),
        function: |z| erf_ratio(z) - Dd::from(1),
        weight: |z| erf_ratio(z).recip(),
        committed,
        bits,
    };
    vec![
        exp("EXP_F32", 2.0 * half, &p::EXP_F32[2..], 24),
        exp("EXP_F64", 2.0 * half, &p::EXP_F64[2..], 53),
        exp("EXP_HALF_F32", half, &p::EXP_HALF_F32[2..], 24),
        exp("EXP_HALF_F64", half, &p::EXP_HALF_F64[2..], 53),
        expm1("EXPM1_F32", &p::EXPM1_F32[1..], 24),
        expm1("EXPM1_F64", &p::EXPM1_F64[1..], 53),
        artanh("ARTANH_F32", &p::ARTANH_F32, 24),
        artanh("ARTANH_F64", &p::ARTANH_F64, 53),
        erf("ERF_F32", &p::ERF_F32, 24),
        erf("ERF_F64", &p::ERF_F64, 53),
        Fit {
            name: "SCALED_ERFC_F32",
            interval: (-1.0, 2.0),
            function: |y| scaled_erfc(y + Dd::from(2)),
            weight: |y| gaussian(y + Dd::from(2)),
            committed: &p::SCALED_ERFC_F32,
            bits: 24,
        },
        Fit {
            name: "SCALED_ERFC_F64",
            interval: (1.0 / 9.0 - 0.2, 0.05),
            function: |t| scaled_erfc(from_reciprocal(t)),
            weight: |t| gaussian(from_reciprocal(t)),
            committed: &p::SCALED_ERFC_F64,
            bits: 53,
        },
    ]
}

/// A function and its weight at many points of the interval.
struct Sampled<'f> {
    fit: &'f Fit,
    points: Vec<f64>,
    values: Vec<(Dd, Dd)>,
}

impl<'f> Sampled<'f> {
    fn new(fit: &'f Fit) -> Self {
        let points = (0..=20_000).map(|i| fit.at(f64::from(i) / 10_000.0 - 1.0));
        let points: Vec<f64> = points.collect();
        let value = |&x: &f64| ((fit.function)(x.into()), magnitude((fit.weight)(x.into())));
        Sampled {
            values: points.iter().map(value).collect(),
            points,
            fit,
        }
    }

    /// The weighted error of a polynomial.
    fn error(&self, c: &[Dd]) -> Vec<f64> {
        let points = self.points.iter().zip(&self.values);
        points
            .map(|(&x, &(g, w))| (w * (polynomial(c, x.into()) - g)).0)
            .collect()
    }

    /// What rounding every coefficient by half a unit in its last place does at most.
    fn rounding(&self) -> f64 {
        let half_ulp = |c: f64| f64::from(c.abs().log2().floor() as i32 - self.fit.bits).exp2();
        let points = self.points.iter().zip(&self.values);
        let at = points.map(|(x, (_, w))| {
            let powers = (0..).map(|k| x.abs().powi(k));
            let parts = self.fit.committed.iter().zip(powers);
            w.0 * parts.map(|(&c, power)| half_ulp(c) * power).sum::<f64>()
        });
        at.fold(0.0, f64::max)
    }

    /// The coefficients of the best fit, and its error.
    fn minimax(&self) -> (Vec<f64>, f64) {
        let n = self.fit.committed.len();
        // Chebyshev's points, none of them in the middle, where a weight may be 0.
        let angle = |i: usize| (2 * i + 1) as f64 / (2 * n + 2) as f64 * std::f64::consts::PI;
        let points = (0..=n).map(|i| self.fit.at(0.001 - 0.999 * angle(i).cos()));
        let mut points: Vec<f64> = points.collect();
        let mut best = (Vec::new(), f64::INFINITY);
        loop {
            let c = leveled(self.fit, &points);
            let error = self.error(&c);
            if greatest(&error) >= best.1 * (1.0 - 1e-9) {
                return best;
            }
            best = (c.iter().map(|c| c.0 + c.1).collect(), greatest(&error));
            points = alternating(&self.points, &error, n + 1);
        }
    }
}

fn greatest(error: &[f64]) -> f64 {
    error.iter().fold(0.0, |m, e| m.max(e.abs()))
}

impl Fit {
    /// A point of the interval, which −1 to 1 stands for.
    fn at(&self, x: f64) -> f64 {
        let (a, b) = self.interval;
        a + (b - a) * (x + 1.0) / 2.0
    }
}

/// The polynomial whose weighted error is as large at all points, with alternating signs.
fn leveled(fit: &Fit, points: &[f64]) -> Vec<Dd> {
    let n = points.len();
    let row = |(i, &x): (usize, &f64)| {
        let x = Dd::from(x);
        let w = magnitude((fit.weight)(x));
        let mut power = w;
        let mut row: Vec<Dd> = (1..n)
            .map(|_| {
                let now = power;
                power = power * x;
                now
            })
            .collect();
        row.push(Dd::from(if i % 2 == 0 { 1 } else { -1 }));
        row.push(w * (fit.function)(x));
        row
    };
    let mut m: Vec<Vec<Dd>> = points.iter().enumerate().map(row).collect();
    // Gauss and Jordan, with partial pivoting.
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| m[i][k].0.abs().total_cmp(&m[j][k].0.abs()));
        m.swap(k, pivot.expect("a row"));
        let scale = m[k][k].recip();
        m[k].iter_mut().for_each(|x| *x = *x * scale);
        let own = m[k].clone();
        for (_, row) in m.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = row[k];
            for (x, y) in row.iter_mut().zip(&own) {
                *x = *x - factor * *y;
            }
        }
    }
    m.iter().take(n - 1).map(|row| row[n]).collect()
}

/// Where an error is greatest between its changes of sign, `n` points in a row with the greatest of the least among them.
fn alternating(grid: &[f64], error: &[f64], n: usize) -> Vec<f64> {
    let mut peaks: Vec<usize> = Vec::new();
    for i in (0..grid.len()).filter(|&i| error[i] != 0.0) {
        match peaks.last_mut() {
            Some(last) if error[*last].signum() == error[i].signum() => {
                if error[i].abs() > error[*last].abs() {
                    *last = i;
                }
            }
            _ => peaks.push(i),
        }
    }
    let least = |peaks: &&[usize]| {
        peaks
            .iter()
            .map(|&i| error[i].abs())
            .fold(f64::MAX, f64::min)
    };
    let best = peaks
        .windows(n)
        .max_by(|a, b| least(a).total_cmp(&least(b)));
    best.expect("as many changes of sign")
        .iter()
        .map(|&i| grid[i])
        .collect()
}

fn polynomial(c: &[Dd], x: Dd) -> Dd {
    c.iter().rev().fold(Dd::from(0), |sum, &c| sum * x + c)
}

fn series(x: Dd, c: fn(i64) -> Dd) -> Dd {
    (0..40).rev().fold(Dd::from(0), |sum, k| sum * x + c(k))
}

const TWO_PER_ROOT_PI: Dd = Dd(std::f64::consts::FRAC_2_SQRT_PI, 1.533_545_961_316_588e-17);

/// erf(√z)/√z.
fn erf_ratio(z: Dd) -> Dd {
    let sum = series(z, |k| {
        let sign = Dd::from(if k % 2 == 0 { 1 } else { -1 });
        sign * (factorial(k) * Dd::from(2 * k + 1)).recip()
    });
    TWO_PER_ROOT_PI * sum
}

/// e^(x²)·(1 − erf x), with an error of 2⁻¹⁰⁰·e^(x²), from the series of both terms, which are positive.
fn scaled_erfc(x: Dd) -> Dd {
    let z = x * x;
    let (mut power, mut all) = (Dd::from(1), Dd::from(1));
    let (mut odd, mut erf) = (x, x);
    for n in 1..200 {
        power = power * z * Dd::from(n).recip();
        all = all + power;
        odd = odd * (z + z) * Dd::from(2 * n + 1).recip();
        erf = erf + odd;
    }
    all - TWO_PER_ROOT_PI * erf
}

/// e^(−x²): what an error of [`scaled_erfc`] means for erf x.
fn gaussian(x: Dd) -> Dd {
    Dd::from((-x.0 * x.0).exp())
}

/// x from 1/(x + 3) − 0.2.
fn from_reciprocal(t: Dd) -> Dd {
    (t + Dd::from(0.2)).recip() - Dd::from(3)
}

fn factorial(k: i64) -> Dd {
    (1..=k).fold(Dd::from(1), |f, k| f * Dd::from(k))
}

fn magnitude(x: Dd) -> Dd {
    if x.0 < 0.0 { Dd::from(0) - x } else { x }
}

/// An unevaluated sum of two numbers, the second less than half an ulp of the first (Dekker 1971).
#[derive(Clone, Copy)]
struct Dd(f64, f64);

impl Dd {
    fn recip(self) -> Dd {
        // One step of Newton's from the quotient of the first parts.
        let y = Dd(1.0 / self.0, 0.0);
        y + y * (Dd::from(1) - self * y)
    }

    /// a + b as a sum of two.
    fn sum(a: f64, b: f64) -> Dd {
        let s = a + b;
        let t = s - a;
        Dd(s, (a - (s - t)) + (b - t))
    }
}

impl From<f64> for Dd {
    fn from(x: f64) -> Dd {
        Dd(x, 0.0)
    }
}

impl From<i64> for Dd {
    fn from(x: i64) -> Dd {
        Dd(x as f64, 0.0)
    }
}

impl std::ops::Add for Dd {
    type Output = Dd;
    fn add(self, b: Dd) -> Dd {
        let (high, low) = (Dd::sum(self.0, b.0), Dd::sum(self.1, b.1));
        let high = Dd::sum(high.0, high.1 + low.0);
        Dd::sum(high.0, high.1 + low.1)
    }
}

impl std::ops::Sub for Dd {
    type Output = Dd;
    fn sub(self, b: Dd) -> Dd {
        self + Dd(-b.0, -b.1)
    }
}

impl std::ops::Mul for Dd {
    type Output = Dd;
    fn mul(self, b: Dd) -> Dd {
        let high = self.0 * b.0;
        let low = self.0.mul_add(b.0, -high);
        Dd::sum(high, low + (self.0 * b.1 + self.1 * b.0))
    }
}
