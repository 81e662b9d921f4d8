//! Sine and cosine in double precision, to about an ulp for every operand.
//!
//! `std` has functions that are good for small operands and are not for all large ones: next to a multiple of π/2,
//! where the result is near 0, glibc 2.36 is wrong by 10⁵ ulp (cos 6.426511099577231e173). Beyond [`SMALL`], x is
//! reduced here, as by Payne & Hanek (1983): of x · 2/π, with x a whole number times a power of two, the bits that count
//! are whole multiples of 4, which change nothing, a quadrant, and a fraction. The fraction of no double is below
//! 2⁻⁶², and 201 bits of it are right.

/// Up to this size `std` is left to reduce.
const SMALL: f64 = 1_048_576.0;

/// 64 zeros in front of the point, and the first 1280 bits of 2/π behind it.
const TWO_PER_PI: [u64; 21] = [
    0,
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_6bab,
    0xf0cf_bc20_9af4_361d,
];

/// π/2, and what it lacks.
const HALF_PI: (f64, f64) = (std::f64::consts::FRAC_PI_2, 6.123233995736766e-17);

/// sin x
pub(crate) fn sin(x: f64) -> f64 {
    if !x.is_finite() || x.abs() <= SMALL {
        return x.sin();
    }
    let (quadrant, sin, cos) = reduced(x.abs());
    let y = [sin, cos, -sin, -cos][quadrant];
    if x < 0.0 { -y } else { y }
}

/// cos x
pub(crate) fn cos(x: f64) -> f64 {
    if !x.is_finite() || x.abs() <= SMALL {
        return x.cos();
    }
    let (quadrant, sin, cos) = reduced(x.abs());
    [cos, -sin, -cos, sin][quadrant]
}

/// With x = (n + f)·π/2 and |f| ≤ ½: n modulo 4, and sine and cosine of f·π/2.
fn reduced(x: f64) -> (usize, f64, f64) {
    let bits = x.to_bits();
    let whole = bits & ((1 << 52) - 1) | 1 << 52;
    // x is whole · 2ᵉ, with e of -32 at least.
    let e = (bits >> 52) as i64 - 1075;
    // The bit of 2/π that makes twos of it is the first that counts: of weight 2^(1 - e), so number e - 1.
    let first = (e - 1 + 63) as usize;
    let word = |k: usize| TWO_PER_PI.get(first / 64 + k).copied().unwrap_or(0);
    let by = first % 64;
    let window = |k: usize| match by {
        0 => word(k),
        _ => word(k) << by | word(k + 1) >> (64 - by),
    };
    // Their product modulo 4: two bits, and 254 behind the point.
    let mut product = [0; 4];
    let mut carry = 0;
    for k in (0..4).rev() {
        let sum = u128::from(whole) * u128::from(window(k)) + carry;
        product[k] = sum as u64;
        carry = sum >> 64;
    }
    let pair = |a: u64, b: u64| u128::from(a) << 64 | u128::from(b);
    let (high, low) = (pair(product[0], product[1]), pair(product[2], product[3]));
    let quadrant = (high >> 126) as usize;
    let (high, low) = (high << 2 | low >> 126, low << 2);
    // A fraction above ½ is one below 0.
    let above = high >> 127 == 1;
    let (high, low) = match above {
        true => (!high + u128::from(low == 0), low.wrapping_neg()),
        false => (high, low),
    };
    let zeros = high.leading_zeros();
    let top = match zeros {
        0 => high,
        _ => high << zeros | low.checked_shr(128 - zeros).unwrap_or(0),
    };
    let unit = f64::from_bits((1023 - 128 - u64::from(zeros)) << 52);
    let rest = top & ((1 << 75) - 1);
    let (f, f_rest) = ((top - rest) as f64 * unit, rest as f64 * unit);
    let r = f * HALF_PI.0;
    let r_rest = f.mul_add(HALF_PI.0, -r) + (f * HALF_PI.1 + f_rest * HALF_PI.0);
    let (sin, cos) = (r.sin(), r.cos());
    let (sin, cos) = (sin + r_rest * cos, cos - r_rest * sin);
    match above {
        true => ((quadrant + 1) % 4, -sin, cos),
        false => (quadrant, sin, cos),
    }
}
