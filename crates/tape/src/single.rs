//! exp and tanh in f32 without branches or calls, so that loops over them vectorise. The standard library's are scalar
//! calls, which would make the interpreter several times slower than an eager framework in small cells.
//!
//! Formulas and coefficients: Cephes `expf.c` and `tanhf.c` (Moshier 1989). At most 2 ulp off over the whole range, NaN
//! and infinities as the standard library has them (tested below).

/// eˣ = 2ⁿ·eʳ with n the nearest integer to x·log₂e and |r| ≤ ½ ln 2.
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these the result is infinite, or 0. NaN passes both comparisons.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.5 { -104.5 } else { x };
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let bits = shifted.to_bits().wrapping_sub(MAGIC.to_bits()) as i32;
    // ln 2 in two parts; the product with the first is exact.
    let r = x - n * (355.0 / 512.0) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // 2ⁿ in two factors: n reaches from -151 to 128, beyond the exponents of normal numbers on both sides.
    let half = bits >> 1;
    let power = |k: i32| f32::from_bits((k.wrapping_add(127) as u32).wrapping_shl(23));
    y * power(half) * power(bits.wrapping_sub(half))
}

/// tanh x = 1 - 2 ÷ (e²ˣ + 1) for |x| ≥ 0.625, an odd polynomial below.
#[inline]
pub(crate) fn tanh(x: f32) -> f32 {
    let z = x.abs();
    let large = 1.0 - 2.0 / (exp(2.0 * z) + 1.0);
    let s = x * x;
    let mut p = -5.704_988_7e-3;
    p = p * s + 2.063_909e-2;
    p = p * s - 5.373_971_6e-2;
    p = p * s + 1.333_144_2e-1;
    p = p * s - 3.333_328e-1;
    let small = p * s * z + z;
    // Odd, down to the sign of 0.
    (if z >= 0.625 { large } else { small }).copysign(x)
}

#[cfg(test)]
mod tests {
    /// Error in units of the last place of the exact result.
    fn ulp(found: f32, exact: f64) -> f64 {
        let nearest = exact as f32;
        if found == nearest || (found.is_nan() && nearest.is_nan()) {
            return 0.0;
        }
        let exponent = exact.abs().log2().floor().max(-126.0);
        (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
    }

    #[test]
    fn exp_and_tanh_are_within_two_ulp_over_the_whole_range() {
        let mut worst = [0.0f64; 2];
        // Every 997th bit pattern, a prime, so that all exponents and low bits occur.
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.625];
        let patterns = (0..=u32::MAX).step_by(997).map(f32::from_bits);
        for x in patterns.chain(special) {
            let errors = [
                ulp(super::exp(x), f64::from(x).exp()),
                ulp(super::tanh(x), f64::from(x).tanh()),
            ];
            for (w, e) in worst.iter_mut().zip(errors) {
                assert!(e <= 2.0, "{x}: {errors:?} ulp");
                *w = w.max(e);
            }
        }
        println!("exp, tanh: {worst:?} ulp");
        assert_eq!(super::tanh(-0.0).to_bits(), (-0.0f32).to_bits());
    }
}
