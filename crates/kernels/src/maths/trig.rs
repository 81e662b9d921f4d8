//! Sine and cosine.
//!
//! sin x = ±sin r with r = x − n·π, n = round(x/π), and cos x = ±sin r with r = x − (n − ½)·π,
//! n = round(x/π + ½): one odd polynomial on |r| ≤ π/2 serves both (a minimax fit of our own), and the sign is the
//! parity of n.
//!
//! π is subtracted in parts (Cody & Waite 1980, ch. 8). With fused multiply-add, three parts of full length suffice:
//! until the difference is small it is exact, being a multiple of the first part's last place. Without it, the parts
//! are short enough for exact products; in `f32` the reduction then uses `f64`. Every part is rounded down, so that all
//! are positive and n = 0 preserves −0.
//!
//! Beyond [`SIN_COS_FAST_F32`] and [`SIN_COS_FAST_F64`] a cold block calls the function of the op table, which
//! reduces by Payne & Hanek's method, whose results are taken for these elements: one branch, taken only if an element is
//! that large or infinite.

use super::{Called, Compare, Emitter, Lane, Math};
use std::f64::consts::FRAC_1_PI;

/// Largest error of [`Math::sin`] and [`Math::cos`], in ulp, for every operand. Measured: 2.45 (every `f32`), 2.77
/// without fused multiply-add, 2.00 and the reference's 0.56 (4·10⁶ `f64`); large operands next to multiples of π/2 are tried by
/// `tests/vmath/trig.rs`.
pub const SIN_COS_ULP: f64 = 3.0;
/// Up to this |x| no call is made in `f32`.
pub const SIN_COS_FAST_F32: f64 = 65_536.0;
/// Up to this |x| no call is made in `f64`.
pub const SIN_COS_FAST_F64: f64 = 1_048_576.0;

impl<E: Emitter> Math<'_, E> {
    /// sin x, within [`SIN_COS_ULP`] for every x.
    pub fn sin(&mut self, x: E::V) -> E::V {
        self.trigonometric(x, Called::Sin)
    }

    /// cos x, within [`SIN_COS_ULP`] for every x.
    pub fn cos(&mut self, x: E::V) -> E::V {
        self.trigonometric(x, Called::Cos)
    }

    fn trigonometric(&mut self, x: E::V, function: Called) -> E::V {
        let (r, parity) = self.reduce_by_pi(x, function);
        // sin(r)/r in r², so that the sign of ±0 stays.
        let coefficients: &[f64] = match self.lane {
            // Relative error 2⁻²⁷·³.
            Lane::F32 => &[
                1.0,
                -0.166_666_6,
                0.008_333_061,
                -0.000_198_092_18,
                2.604_882_4e-6,
            ],
            // Relative error 2⁻⁶¹·⁶.
            Lane::F64 => &[
                1.0,
                -0.166_666_666_666_666_66,
                0.008_333_333_333_333_188,
                -0.000_198_412_698_412_069_66,
                2.755_731_921_074_160_5e-6,
                -2.505_210_683_573_751_4e-8,
                1.605_893_780_316_607_8e-10,
                -7.642_941_000_005_509e-13,
                2.720_633_647_920_025e-15,
            ],
        };
        let z = self.mul(r, r);
        let ratio = self.polynomial(z, coefficients);
        let sign = self.e.shl(self.lane, parity, 8 * self.lane.bytes() - 1);
        let r = self.e.xor(self.lane, r, sign);
        let fast = self.mul(r, ratio);

        let limit = match self.lane {
            Lane::F32 => SIN_COS_FAST_F32,
            Lane::F64 => SIN_COS_FAST_F64,
        };
        let limit = self.constant(limit);
        let magnitude = self.abs(x);
        let large = self.compare(Compare::Less, limit, magnitude);
        self.e.call_if_any(self.lane, large, function, x, fast)
    }

    /// (r, an integer whose lowest bit says whether to change the sign).
    fn reduce_by_pi(&mut self, x: E::V, function: Called) -> (E::V, E::V) {
        let rounder = self.constant(self.lane.magic());
        let per_pi = self.constant(FRAC_1_PI);
        let (sum, n) = match function {
            Called::Sin => {
                let sum = self.fma(x, per_pi, rounder);
                (sum, self.sub(sum, rounder))
            }
            Called::Cos => {
                let half = self.constant(0.5);
                let iterations = self.fma(x, per_pi, half);
                let sum = self.add(iterations, rounder);
                let n = self.sub(sum, rounder);
                (sum, self.sub(n, half))
            }
        };
        let parity = sum;
        let r = match (self.lane, self.fma) {
            (Lane::F32, true) => self.subtract_parts(
                x,
                n,
                &[
                    3.141_592_502_593_994,
                    1.509_957_883_172_319_3e-7,
                    1.078_060_505_991_553e-14,
                ],
            ),
            (Lane::F64, true) => self.subtract_parts(
                x,
                n,
                &[
                    std::f64::consts::PI,
                    1.224_646_799_147_353e-16,
                    2.165_713_347_843_827_8e-32,
                ],
            ),
            (Lane::F64, false) => self.subtract_parts(x, n, &PI_SHORT_PARTS),
            (Lane::F32, false) => {
                let [x_low, x_high] = self.e.widen(x);
                let [n_low, n_high] = self.e.widen(n);
                let mut wide = Math::new(self.e, Lane::F64, self.fma);
                let low = wide.subtract_parts(x_low, n_low, &PI_SHORT_PARTS[..3]);
                let high = wide.subtract_parts(x_high, n_high, &PI_SHORT_PARTS[..3]);
                self.e.narrow([low, high])
            }
        };
        (r, parity)
    }

    /// x − n·Σ parts, from the first part to the last.
    fn subtract_parts(&mut self, x: E::V, n: E::V, parts: &[f64]) -> E::V {
        parts.iter().fold(x, |r, part| {
            let part = self.constant(*part);
            self.fnma(n, part, r)
        })
    }
}

/// π in parts of 33 bits, the last of 53; the parts of fdlibm's `e_rem_pio2.c`, doubled.
const PI_SHORT_PARTS: [f64; 4] = [
    3.141_592_653_468_251_2,
    1.215_420_101_260_793_2e-10,
    4.044_532_497_422_333e-21,
    1.695_685_532_073_78e-31,
];
