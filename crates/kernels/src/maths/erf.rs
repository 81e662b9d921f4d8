//! The error function.

use super::{Compare, Lane, Math, Vectors, polynomials};

/// Largest error of [`Math::erf`], in ulp. Measured: 1.00 (every `f32`), 1.07 (4·10⁶ `f64`); without fused
/// multiply-add 1.36 (5·10⁵ `f64`).
pub const ERF_ULP: f64 = 1.5;

impl<E: Vectors> Math<'_, E> {
    /// erf x, never beyond ±1; ±0 come out as they went in.
    ///
    /// Within [`ERF_ULP`]. Up to 1 it is x + x·P(x²). Beyond, it is 1 − e^(−x²)·G with G near e^(x²)·(1 − erf x): as
    /// e^(−x²)·G is at most 0.16, its rounding counts little. Both are computed, and the size of x chooses. An x whose
    /// result rounds to ±1 anyway is limited to where G is fitted.
    #[inline(always)]
    pub fn erf(&mut self, x: E::V) -> E::V {
        let (small_fit, large_fit, limit): (&[f64], &[f64], f64) = match self.lane {
            Lane::F32 => (&polynomials::ERF_F32, &polynomials::SCALED_ERFC_F32, 4.0),
            Lane::F64 => (&polynomials::ERF_F64, &polynomials::SCALED_ERFC_F64, 6.0),
        };
        let size = self.abs(x);
        let limit = self.constant(limit);
        let size = self.min_or_second(limit, size);
        let square = self.mul(size, size);
        let ratio = self.polynomial(square, small_fit);
        let small = self.fma(x, ratio, x);

        let minus_square = self.neg(square);
        let gaussian = self.exp_clamped(minus_square, None);
        let variable = match self.lane {
            Lane::F32 => {
                let centre = self.constant(2.0);
                self.sub(size, centre)
            }
            Lane::F64 => {
                let three = self.constant(3.0);
                let sum = self.add(size, three);
                let reciprocal = self.recip(sum);
                let centre = self.constant(0.2);
                self.sub(reciprocal, centre)
            }
        };
        let scaled = self.polynomial(variable, large_fit);
        let one = self.constant(1.0);
        let large = self.fnma(gaussian, scaled, one);
        let large = self.copy_sign(large, x);
        let is_large = self.compare(Compare::Less, one, size);
        self.blend(is_large, large, small)
    }
}
