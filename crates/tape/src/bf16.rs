//! Rounding to bfloat16: the sign, the eight exponent bits and the first seven mantissa bits of single precision.
//!
//! The same for both widths, as the processors' conversion does it (VCVTNEPS2BF16): to nearest, ties to even; numbers
//! below the least normal one become 0 of their sign; what rounds to 2¹²⁸ is infinite; NaN stays NaN.

/// Mantissa bits of single precision that bfloat16 lacks.
const LOST_F32: u32 = 16;
/// Mantissa bits of double precision that bfloat16 lacks.
const LOST_F64: u32 = 45;

/// The nearest bfloat16 number.
pub(crate) fn round_f32(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let bits = x.to_bits();
    if x.abs() < f32::MIN_POSITIVE {
        return f32::from_bits(bits & (1 << 31));
    }
    let even = (bits >> LOST_F32) & 1;
    // A carry out of the mantissa enters the exponent, and from the greatest exponent on makes infinity.
    let up = bits + ((1 << (LOST_F32 - 1)) - 1) + even;
    f32::from_bits(up & !((1 << LOST_F32) - 1))
}

/// The nearest bfloat16 number.
pub(crate) fn round_f64(x: f64) -> f64 {
    /// 2¹²⁸, from which on nothing is finite.
    const BEYOND: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
    if x.is_nan() || x.is_infinite() {
        return x;
    }
    let bits = x.to_bits();
    if x.abs() < f64::from(f32::MIN_POSITIVE) {
        return f64::from_bits(bits & (1 << 63));
    }
    let even = (bits >> LOST_F64) & 1;
    let up = bits + ((1 << (LOST_F64 - 1)) - 1) + even;
    let near = f64::from_bits(up & !((1 << LOST_F64) - 1));
    match near.abs() < BEYOND {
        true => near,
        false => f64::INFINITY.copysign(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition: of the two neighbours, the nearer one, or the one whose last bit is 0.
    fn by_neighbours(x: f32) -> f32 {
        let below = f32::from_bits(x.to_bits() & 0xffff_0000);
        // The next one is infinite beyond the greatest finite number, whose distance counts as that of 2¹²⁸.
        let above = f32::from_bits((x.to_bits() & 0xffff_0000).wrapping_add(0x1_0000));
        let wide = |y: f32, of: f64| match y.is_infinite() {
            true => f64::powi(2.0, 128).copysign(of),
            false => f64::from(y),
        };
        let x = f64::from(x);
        let (down, up) = ((x - wide(below, x)).abs(), (wide(above, x) - x).abs());
        match down.total_cmp(&up) {
            std::cmp::Ordering::Less => below,
            std::cmp::Ordering::Greater => above,
            std::cmp::Ordering::Equal if (below.to_bits() >> 16).is_multiple_of(2) => below,
            std::cmp::Ordering::Equal => above,
        }
    }

    #[test]
    fn every_pattern_of_the_upper_bits_is_rounded_to_the_nearer_neighbour() {
        for upper in 0..=u32::from(u16::MAX) {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(upper << 16 | lower);
                let (single, double) = (round_f32(x), round_f64(f64::from(x)));
                if x.is_nan() {
                    assert!(single.is_nan() && double.is_nan());
                    continue;
                }
                let right = match x {
                    _ if x.is_infinite() => x,
                    _ if x.abs() < f32::MIN_POSITIVE => 0.0_f32.copysign(x),
                    _ => by_neighbours(x),
                };
                assert_eq!(single.to_bits(), right.to_bits(), "{x:e}");
                assert_eq!(double.to_bits(), f64::from(right).to_bits(), "{x:e}");
            }
        }
    }

    #[test]
    fn double_precision_is_rounded_once() {
        // Just above a tie: by way of single precision it would become the tie, and go to the even neighbour.
        let tie = 1.0 + f64::powi(2.0, -8);
        assert_eq!(round_f64(tie), 1.0);
        assert_eq!(round_f64(tie + f64::EPSILON), 1.0 + f64::powi(2.0, -7));
        assert_eq!(round_f64(1e300), f64::INFINITY);
        assert_eq!(round_f64(-1e-300).to_bits(), (-0.0_f64).to_bits());
    }
}
