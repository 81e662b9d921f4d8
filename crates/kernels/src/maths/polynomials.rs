//! Polynomials and constants of eˣ, of functions built on it, and of erf.
//!
//! The polynomials are minimax fits to the relative error, lowest power first; each states its error before rounding to
//! the precision. `cargo run --release -p retrograd-kernels --example minimax` recomputes and compares them.

/// ln 2 in two parts, both positive (FreeBSD's `e_expf.c` and `e_exp.c`), for f32: products of the first with integers of 9
/// bits are exact.
pub const LN_2_F32: [f64; 2] = [0.693_145_751_953_125, 1.428_606_765_330_187e-6];

/// The same for f64: products with integers of 20 bits are exact.
pub const LN_2_F64: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];

/// eʳ for |r| ≤ ln 2, for f32. Relative error 2⁻²⁶·¹.
pub const EXP_F32: [f64; 8] = [
    1.0,
    1.0,
    0.500_000_36,
    0.166_666_14,
    0.041_661_27,
    0.008_336_104,
    0.001_410_446_9,
    0.000_196_116,
];

/// eʳ for |r| ≤ ln 2, for f64. Relative error 2⁻⁵⁶·⁵.
pub const EXP_F64: [f64; 14] = [
    1.0,
    1.0,
    0.499_999_999_999_999_3,
    0.166_666_666_666_669_38,
    0.041_666_666_666_702_185,
    0.008_333_333_333_269_74,
    0.001_388_888_888_356_426_2,
    0.000_198_412_698_928_923_47,
    2.480_159_083_652_075_3e-5,
    2.755_730_062_068_281_6e-6,
    2.755_615_657_149_180_7e-7,
    2.505_503_650_021_797e-8,
    2.106_245_060_194_533e-9,
    1.593_553_028_336_054_2e-10,
];

/// eʳ for |r| ≤ ½·ln 2, for f32. Relative error 2⁻²³·².
pub const EXP_HALF_F32: [f64; 6] = [
    1.0,
    1.0,
    0.499_992_31,
    0.166_671_16,
    0.041_890_33,
    0.008_312_501,
];

/// eʳ for |r| ≤ ½·ln 2, for f64. Relative error 2⁻⁵⁷·⁹.
pub const EXP_HALF_F64: [f64; 12] = [
    1.0,
    1.0,
    0.500_000_000_000_001_1,
    0.166_666_666_666_664_1,
    0.041_666_666_666_529_73,
    0.008_333_333_333_494_98,
    0.001_388_888_894_375_989_3,
    0.000_198_412_695_057_660_4,
    2.480_149_294_966_484e-5,
    2.755_758_681_128_234_7e-6,
    2.763_030_624_796_187_4e-7,
    2.500_001_637_788_809e-8,
];

/// (eʳ − 1)/r for |r| ≤ ½·ln 2, for f32. Relative error 2⁻²⁶·².
pub const EXPM1_F32: [f64; 6] = [
    1.0,
    0.499_999_97,
    0.166_665_43,
    0.041_667_2,
    0.008_366_58,
    0.001_388_251_1,
];

/// (eʳ − 1)/r for |r| ≤ ½·ln 2, for f64. Relative error 2⁻⁵⁵·⁶.
pub const EXPM1_F64: [f64; 11] = [
    1.0,
    0.500_000_000_000_000_6,
    0.166_666_666_666_665_88,
    0.041_666_666_666_576_466,
    0.008_333_333_333_389_736,
    0.001_388_888_893_166_718_6,
    0.000_198_412_697_187_031_74,
    2.480_150_514_265_217_3e-5,
    2.755_740_769_460_470_5e-6,
    2.762_609_283_796_581_6e-7,
    2.505_377_254_870_313_3e-8,
];

/// (2·artanh(s/2) − s)/(s·s²/4) in powers of (s/2)², for 0 ≤ s ≤ 2/3, for f32. Relative error 2⁻²⁷·⁷ of 2·artanh(s/2).
pub const ARTANH_F32: [f64; 4] = [0.333_332_1, 0.200_107_63, 0.140_009_03, 0.140_059_95];

/// The same for f64. Relative error 2⁻⁵⁴·² of the whole.
pub const ARTANH_F64: [f64; 9] = [
    0.333_333_333_333_388_5,
    0.199_999_999_980_248_48,
    0.142_857_145_289_988_47,
    0.111_110_964_523_164_5,
    0.090_914_070_364_589_29,
    0.076_821_477_610_839_21,
    0.067_931_571_144_609_06,
    0.049_514_106_670_827_916,
    0.088_698_787_927_540_46,
];

/// erf(x)/x − 1 in powers of x², for |x| ≤ 1, for f32. Relative error 2⁻²⁹·⁶ of erf x.
pub const ERF_F32: [f64; 7] = [
    0.128_379_17,
    -0.376_126_26,
    0.112_835_852,
    -0.026_853_812,
    0.005_188_327_8,
    -0.000_801_019_4,
    7.853_864e-5,
];

/// The same for f64. Relative error 2⁻⁵⁶·⁹ of erf x.
pub const ERF_F64: [f64; 12] = [
    0.128_379_167_095_512_56,
    -0.376_126_389_031_835_2,
    0.112_837_916_709_441_85,
    -0.026_866_170_643_111_51,
    0.005_223_977_606_118_77,
    -0.000_854_832_592_932_710_3,
    0.000_120_552_935_772_471_8,
    -1.492_471_230_824_094_8e-5,
    1.644_713_164_385_914_1e-6,
    -1.620_631_428_485_447e-7,
    1.371_098_255_434_323_6e-8,
    -7.779_472_296_035_115e-10,
];

/// e^(x²)·(1 − erf x) in powers of x − 2, for 1 ≤ x ≤ 4, for f32. Error 2⁻²⁸·⁶ of erf x.
pub const SCALED_ERFC_F32: [f64; 9] = [
    0.255_395_6,
    -0.106_797_787,
    0.041_801_568,
    -0.015_443_009_7,
    0.005_475_544,
    -0.001_857_404_4,
    0.000_503_501_9,
    -0.000_202_309_57,
    0.000_106_843_61,
];

/// e^(x²)·(1 − erf x) in powers of 1/(x + 3) − 0.2, in which it takes fewer, for 1 ≤ x ≤ 6, for f64. Error 2⁻⁵⁷·¹ of
/// erf x.
pub const SCALED_ERFC_F64: [f64; 12] = [
    0.255_395_676_310_506,
    2.669_911_546_337_143_4,
    12.777_162_645_515_007,
    47.053_049_955_118_2,
    127.466_600_134_380_77,
    222.780_902_046_678_1,
    121.403_228_374_523_24,
    -465.288_280_222_723_36,
    -929.426_399_227_064_2,
    968.087_455_324_561_3,
    4_202.678_118_140_09,
    -5_515.712_946_189_2,
];

/// e⁻ʳ in powers of r, for |r| ≤ ½·ln 2: [`EXP_HALF_F32`] with signs changed.
pub(super) const EXP_MINUS_F32: [f64; 6] = scaled(EXP_HALF_F32, 1.0, -1.0);

/// The same of [`EXP_HALF_F64`].
pub(super) const EXP_MINUS_F64: [f64; 12] = scaled(EXP_HALF_F64, 1.0, -1.0);

/// (e²ʳ − 1)/r in powers of r, for |r| ≤ ¼·ln 2: [`EXPM1_F32`] of twice the operand.
pub(super) const EXPM1_TWICE_F32: [f64; 6] = scaled(EXPM1_F32, 2.0, 2.0);

/// The same of [`EXPM1_F64`].
pub(super) const EXPM1_TWICE_F64: [f64; 11] = scaled(EXPM1_F64, 2.0, 2.0);

/// (2·artanh(s/2) − s)/s³ in powers of s², for 0 ≤ s ≤ 2/3: [`ARTANH_F32`], which is in powers of (s/2)².
pub(super) const ARTANH_WHOLE_F32: [f64; 4] = scaled(ARTANH_F32, 0.25, 0.25);

/// The same of [`ARTANH_F64`].
pub(super) const ARTANH_WHOLE_F64: [f64; 9] = scaled(ARTANH_F64, 0.25, 0.25);

/// Coefficient i times first·ratioⁱ, where both are powers of two or signs: nothing rounds.
const fn scaled<const N: usize>(mut c: [f64; N], first: f64, ratio: f64) -> [f64; N] {
    let (mut i, mut factor) = (0, first);
    while i < N {
        c[i] *= factor;
        factor *= ratio;
        i += 1;
    }
    c
}
