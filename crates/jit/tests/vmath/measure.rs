//! Errors in ulp, and the operands to measure them at.

use super::kernel::Kernel;
use super::reference::pseudo_random;

/// Distance of `got` from `want` in ulps of `want` rounded to `f32`.
pub(super) fn ulps_f32(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if rounded.is_nan() || got.is_nan() {
        return if rounded.is_nan() && got.is_nan() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    if got == rounded {
        if got == 0.0 && want == 0.0 && got.is_sign_negative() != want.is_sign_negative() {
            return f64::INFINITY;
        }
        if got.is_infinite() {
            return 0.0;
        }
    }
    let clip = |v: f64| v.clamp(-3.402_823_669_209_385e38, 3.402_823_669_209_385e38);
    let exponent = ((rounded.abs().to_bits() >> 23) as i32).clamp(1, 254) - 127;
    (clip(f64::from(got)) - clip(want)).abs() / f64::powi(2.0, exponent - 23)
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Worst {
    pub(super) ulps: f64,
    pub(super) at: (f64, f64),
    pub(super) got: f64,
}

impl Worst {
    pub(super) fn see(&mut self, ulps: f64, at: (f64, f64), got: f64) {
        if ulps > self.ulps {
            *self = Worst { ulps, at, got };
        }
    }
}

pub(super) fn worst_f32(kernel: &Kernel, x: &[f32], wide: fn(f64) -> f64) -> Worst {
    let mut worst = Worst::default();
    for (&x, got) in x.iter().zip(kernel.f32(x, x)) {
        worst.see(
            ulps_f32(got, wide(f64::from(x))),
            (x.into(), 0.0),
            got.into(),
        );
    }
    worst
}

/// ±0, ±∞, NaN of several payloads, subnormals, the ends of the normal range.
pub(super) const EDGES_F32: [u32; 20] = [
    0,
    1,
    2,
    0x7f_ffff,
    0x80_0000,
    0x80_0001,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7fc0_0000,
    0x7fc0_0001,
    0x7fff_ffff,
    0x3f80_0000,
    0x3f7f_ffff,
    0x3f80_0001,
    0x7f80_0001,
    0x0040_0000,
    0x4b00_0000,
    0x4b7f_ffff,
    0x7e80_0000,
    0x0100_0000,
];

pub(super) fn edges_f64() -> Vec<f64> {
    let bits = [
        0,
        1,
        2,
        0xf_ffff_ffff_ffff,
        1 << 52,
        0x7fef_ffff_ffff_ffff,
        0x7ff << 52,
        0x7ff8 << 48,
        (0x7ff8 << 48) + 1,
        0x7fff_ffff_ffff_ffff,
        0x3ff << 52,
        (0x3ff << 52) - 1,
        (0x3ff << 52) + 1,
        0x7fd << 52,
        2 << 52,
        1 << 51,
        0x433 << 52,
    ];
    bits.iter()
        .flat_map(|b| [f64::from_bits(*b), -f64::from_bits(*b)])
        .collect()
}

pub(super) fn samples_f32(knees: &[f64], stride: usize) -> Vec<f32> {
    let mut x: Vec<f32> = (0..=u32::MAX).step_by(stride).map(f32::from_bits).collect();
    x.extend(
        EDGES_F32
            .iter()
            .flat_map(|b| [f32::from_bits(*b), -f32::from_bits(*b)]),
    );
    for knee in knees {
        let middle = (*knee as f32).to_bits();
        x.extend((0..2000).map(|i| f32::from_bits(middle.wrapping_add(i).wrapping_sub(1000))));
    }
    // Where the work is done.
    x.extend((0..60_000).map(|i| (i as f32 - 30_000.0) * 0.004_1));
    x.resize(x.len().next_multiple_of(4), 0.0);
    x
}

pub(super) fn samples_f64(knees: &[f64], count: usize, seed: u64) -> Vec<f64> {
    let mut x = edges_f64();
    for knee in knees {
        let middle = knee.to_bits();
        x.extend((0..200).map(|i| f64::from_bits(middle.wrapping_add(i).wrapping_sub(100))));
    }
    x.extend(
        pseudo_random(seed)
            .take(count)
            .enumerate()
            .map(|(i, bits)| match i % 4 {
                // Every exponent; exponents about 0; and the ranges where the functions are neither 0 nor saturated.
                0 => f64::from_bits(bits),
                1 => f64::from_bits(bits & !(0x7ff << 52) | (1023 - 12 + bits % 24) << 52),
                2 => (bits >> 11) as f64 * f64::powi(2.0, -53) * 1500.0 - 750.0,
                _ => (bits >> 11) as f64 * f64::powi(2.0, -53) * 50.0 - 25.0,
            }),
    );
    x.resize(x.len().next_multiple_of(2), 0.0);
    x
}
