//! Building blocks of the functions: constants, masks, clamps, polynomials.

use super::{Compare, Math, Vectors};

impl<E: Vectors> Math<'_, E> {
    /// `bits` in every element.
    #[inline(always)]
    pub(super) fn bits(&mut self, bits: u64) -> E::V {
        self.e.bits(self.lane, bits)
    }

    /// Where the comparison holds.
    #[inline(always)]
    pub(super) fn compare(&mut self, how: Compare, x: E::V, y: E::V) -> E::M {
        self.e.compare(self.lane, how, x, y)
    }

    /// x where the mask holds, else y.
    #[inline(always)]
    pub(super) fn blend(&mut self, mask: E::M, x: E::V, y: E::V) -> E::V {
        self.e.blend(self.lane, mask, x, y)
    }

    /// x where the mask holds, else 0.
    #[inline(always)]
    pub(super) fn masked(&mut self, mask: E::M, x: E::V) -> E::V {
        self.e.masked(self.lane, mask, x)
    }

    /// x, or a NaN where the mask holds.
    #[inline(always)]
    pub(super) fn undefined(&mut self, mask: E::M, x: E::V) -> E::V {
        let nan = self.bits(u64::MAX);
        self.blend(mask, nan, x)
    }

    #[inline(always)]
    pub(super) fn truth(&mut self, how: Compare, x: E::V, y: E::V) -> E::V {
        let mask = self.compare(how, x, y);
        let one = self.constant(1.0);
        self.masked(mask, one)
    }

    /// The lesser, or y where an operand is NaN.
    #[inline(always)]
    pub(super) fn min_or_second(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.min(self.lane, x, y)
    }

    /// The greater, or y where an operand is NaN.
    #[inline(always)]
    pub(super) fn max_or_second(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.max(self.lane, x, y)
    }

    /// x where x is NaN, else y.
    #[inline(always)]
    pub(super) fn nan_of(&mut self, x: E::V, y: E::V) -> E::V {
        let nan = self.compare(Compare::Unordered, x, x);
        self.blend(nan, x, y)
    }

    /// x limited to [low, high]; NaN stays.
    #[inline(always)]
    pub(super) fn clamp(&mut self, x: E::V, low: f64, high: f64) -> E::V {
        let high = self.constant(high);
        let x = self.min_or_second(high, x);
        let low = self.constant(low);
        self.max_or_second(low, x)
    }

    /// The sign bit of x, every other bit 0.
    #[inline(always)]
    pub(super) fn sign_of(&mut self, x: E::V) -> E::V {
        let sign = self.bits(self.lane.sign_bit());
        self.e.and(self.lane, x, sign)
    }

    /// The non-negative x with the sign of y.
    #[inline(always)]
    pub(super) fn copy_sign(&mut self, x: E::V, y: E::V) -> E::V {
        let sign = self.sign_of(y);
        self.e.or(self.lane, x, sign)
    }

    /// c₀ + c₁·x + c₂·x² + … by Horner's rule.
    #[inline(always)]
    pub(super) fn polynomial(&mut self, x: E::V, coefficients: &[f64]) -> E::V {
        let (&last, rest) = coefficients
            .split_last()
            .expect("a polynomial has a coefficient");
        let mut sum = self.constant(last);
        for &coefficient in rest.iter().rev() {
            let coefficient = self.constant(coefficient);
            sum = self.fma(sum, x, coefficient);
        }
        sum
    }
}
