//! AVX2 with FMA: registers of 8 f32 or 4 f64, micro-kernels of 6 rows × 2 registers (12 of the 16 registers accumulate).
//!
//! Invariant: used only through `crate::kernels_for`, which checks the machine.

use crate::Isa;
use crate::maths::{Compare, Rounding};
use crate::simd::{Elementwise, Simd};
use crate::x86::{elementwise, one_instruction, own_vector};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// The instruction set with its element type.
pub(crate) struct Avx2<T>(PhantomData<T>);

/// A mask of n lanes is a window into this: lanes before the middle are set.
const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Simd for Avx2<f32> {
    type T = f32;
    type V = __m256;
    const ISA: Isa = Isa::Avx2;
    const LANES: usize = 8;
    const MR: usize = Isa::Avx2.tile_rows();
    const FUSED: bool = true;

    one_instruction!(
        "avx2,fma", f32, __m256;
        _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps;
        _mm256_fmadd_ps, _mm256_fmsub_ps;
        add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps, div _mm256_div_ps, min _mm256_min_ps, max _mm256_max_ps
    );

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_part(p: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller guarantees n < 8 elements, so the window lies in MASKS; masked-off lanes are not accessed.
        unsafe { _mm256_maskload_ps(p, _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast())) }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_part(p: *mut f32, n: usize, v: __m256) {
        // SAFETY: the caller guarantees n < 8 elements, so the window lies in MASKS; masked-off lanes are not accessed.
        unsafe { _mm256_maskstore_ps(p, _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()), v) }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn first_of(n: usize, v: __m256, rest: __m256) -> __m256 {
        // SAFETY: the caller guarantees n < 8, so the window lies in MASKS.
        let mask = unsafe { _mm256_loadu_ps(MASKS.as_ptr().add(8 - n).cast()) };
        _mm256_blendv_ps(rest, v, mask)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn any_tiny(v: __m256) -> bool {
        let zero = _mm256_setzero_ps();
        let size = _mm256_max_ps(v, _mm256_sub_ps(zero, v));
        let small = _mm256_cmp_ps::<_CMP_LE_OQ>(size, _mm256_set1_ps(f32::MIN_POSITIVE));
        let nonzero = _mm256_cmp_ps::<_CMP_NEQ_OQ>(v, zero);
        _mm256_movemask_ps(_mm256_and_ps(small, nonzero)) != 0
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sums(v: [__m256; 8]) -> [f32; 8] {
        sums_ps(v)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeat(p: *const f32) -> __m256 {
        // SAFETY: the caller guarantees 4 elements.
        unsafe { _mm256_broadcast_ps(&_mm_loadu_ps(p)) }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn splats(p: *const f32) -> [__m256; 4] {
        // SAFETY: the caller guarantees 4 elements.
        let all = own_vector!(ymm_reg, unsafe { Self::repeat(p) });
        [
            _mm256_permute_ps::<0b00_00_00_00>(all),
            _mm256_permute_ps::<0b01_01_01_01>(all),
            _mm256_permute_ps::<0b10_10_10_10>(all),
            _mm256_permute_ps::<0b11_11_11_11>(all),
        ]
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeat_part(p: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller guarantees n < 4 elements, so the window lies in MASKS; masked-off lanes are not accessed.
        unsafe {
            let mask = _mm_loadu_si128(MASKS.as_ptr().add(8 - n).cast());
            _mm256_broadcast_ps(&_mm_maskload_ps(p, mask))
        }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeated_sums(v: __m256) -> [f32; 4] {
        let pairs = _mm256_add_ps(v, _mm256_permute_ps::<0b10_11_00_01>(v));
        let all = _mm256_add_ps(pairs, _mm256_permute_ps::<0b01_00_11_10>(pairs));
        let high = _mm256_extractf128_ps::<1>(all);
        let low = _mm_cvtss_f32(_mm256_castps256_ps128(all));
        [low, _mm_cvtss_f32(high), 0.0, 0.0]
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn transpose(src: *const f32, ld: usize, dst: *mut f32, ldd: usize) {
        let (mut pair, mut quad) = ([_mm256_setzero_ps(); 8], [_mm256_setzero_pd(); 8]);
        for i in 0..4 {
            // SAFETY: the caller guarantees 8 rows of 8 elements.
            let (a, b) = unsafe {
                (
                    _mm256_loadu_ps(src.add(2 * i * ld)),
                    _mm256_loadu_ps(src.add((2 * i + 1) * ld)),
                )
            };
            pair[2 * i] = _mm256_unpacklo_ps(a, b);
            pair[2 * i + 1] = _mm256_unpackhi_ps(a, b);
        }
        // quad[4i + c], 128-bit lane L: column 4L + c of rows 4i .. 4i + 4.
        for i in 0..2 {
            for c in 0..2 {
                let (a, b) = (
                    _mm256_castps_pd(pair[4 * i + c]),
                    _mm256_castps_pd(pair[4 * i + 2 + c]),
                );
                quad[4 * i + 2 * c] = _mm256_unpacklo_pd(a, b);
                quad[4 * i + 2 * c + 1] = _mm256_unpackhi_pd(a, b);
            }
        }
        for c in 0..4 {
            let lanes = [
                _mm256_permute2f128_pd::<0x20>(quad[c], quad[4 + c]),
                _mm256_permute2f128_pd::<0x31>(quad[c], quad[4 + c]),
            ];
            for (l, v) in lanes.into_iter().enumerate() {
                // SAFETY: the caller guarantees 8 rows of 8 elements.
                unsafe { _mm256_storeu_ps(dst.add((4 * l + c) * ldd), _mm256_castpd_ps(v)) }
            }
        }
    }
}

impl Simd for Avx2<f64> {
    type T = f64;
    type V = __m256d;
    const ISA: Isa = Isa::Avx2;
    const LANES: usize = 4;
    const MR: usize = Isa::Avx2.tile_rows();
    const FUSED: bool = true;

    one_instruction!(
        "avx2,fma", f64, __m256d;
        _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd;
        _mm256_fmadd_pd, _mm256_fmsub_pd;
        add _mm256_add_pd, sub _mm256_sub_pd, mul _mm256_mul_pd, div _mm256_div_pd, min _mm256_min_pd, max _mm256_max_pd
    );

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_part(p: *const f64, n: usize) -> __m256d {
        // SAFETY: the caller guarantees n < 4 elements, so the window lies in MASKS; masked-off lanes are not accessed.
        unsafe { _mm256_maskload_pd(p, _mm256_loadu_si256(MASKS.as_ptr().add(8 - 2 * n).cast())) }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_part(p: *mut f64, n: usize, v: __m256d) {
        // SAFETY: the caller guarantees n < 4 elements, so the window lies in MASKS; masked-off lanes are not accessed.
        unsafe {
            _mm256_maskstore_pd(
                p,
                _mm256_loadu_si256(MASKS.as_ptr().add(8 - 2 * n).cast()),
                v,
            )
        }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn first_of(n: usize, v: __m256d, rest: __m256d) -> __m256d {
        // SAFETY: the caller guarantees n < 4, so the window lies in MASKS.
        let mask = unsafe { _mm256_loadu_pd(MASKS.as_ptr().add(8 - 2 * n).cast()) };
        _mm256_blendv_pd(rest, v, mask)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sums(v: [__m256d; 8]) -> [f64; 8] {
        sums_pd(v)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeat(p: *const f64) -> __m256d {
        // SAFETY: the caller guarantees 2 elements.
        unsafe { _mm256_broadcast_pd(&_mm_loadu_pd(p)) }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn splats(p: *const f64) -> [__m256d; 4] {
        // SAFETY: the caller guarantees 4 elements.
        let [a, b] = unsafe { [Self::repeat(p), Self::repeat(p.add(2))] };
        let (a, b) = (own_vector!(ymm_reg, a), own_vector!(ymm_reg, b));
        [
            _mm256_permute_pd::<0>(a),
            _mm256_permute_pd::<0b1111>(a),
            _mm256_permute_pd::<0>(b),
            _mm256_permute_pd::<0b1111>(b),
        ]
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeat_part(p: *const f64, n: usize) -> __m256d {
        // SAFETY: the caller guarantees n < 2 elements.
        unsafe {
            let part = if n > 0 {
                _mm_load_sd(p)
            } else {
                _mm_setzero_pd()
            };
            _mm256_broadcast_pd(&part)
        }
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeated_sums(v: __m256d) -> [f64; 4] {
        let pairs = _mm256_add_pd(v, _mm256_permute_pd::<0b0101>(v));
        let high = _mm256_extractf128_pd::<1>(pairs);
        let low = _mm_cvtsd_f64(_mm256_castpd256_pd128(pairs));
        [low, _mm_cvtsd_f64(high), 0.0, 0.0]
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn transpose(src: *const f64, ld: usize, dst: *mut f64, ldd: usize) {
        let mut pair = [_mm256_setzero_pd(); 4];
        // pair[2i + c], 128-bit lane L: column 2L + c of rows 2i, 2i + 1.
        for i in 0..2 {
            // SAFETY: the caller guarantees 4 rows of 4 elements.
            let (a, b) = unsafe {
                (
                    _mm256_loadu_pd(src.add(2 * i * ld)),
                    _mm256_loadu_pd(src.add((2 * i + 1) * ld)),
                )
            };
            pair[2 * i] = _mm256_unpacklo_pd(a, b);
            pair[2 * i + 1] = _mm256_unpackhi_pd(a, b);
        }
        for c in 0..2 {
            let lanes = [
                _mm256_permute2f128_pd::<0x20>(pair[c], pair[2 + c]),
                _mm256_permute2f128_pd::<0x31>(pair[c], pair[2 + c]),
            ];
            for (l, v) in lanes.into_iter().enumerate() {
                // SAFETY: the caller guarantees 4 rows of 4 elements.
                unsafe { _mm256_storeu_pd(dst.add((2 * l + c) * ldd), v) }
            }
        }
    }
}

/// The sums over the lanes of eight registers: a tree of pairwise additions, with three levels for all eight together.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn sums_ps(v: [__m256; 8]) -> [f32; 8] {
    // halves[i]: four sums of two numbers of v[i], then of v[i + 4].
    let mut halves = [_mm256_setzero_ps(); 4];
    for (i, halves) in halves.iter_mut().enumerate() {
        *halves = _mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(v[i], v[i + 4]),
            _mm256_permute2f128_ps::<0x31>(v[i], v[i + 4]),
        );
    }
    // Two sums of v[2i], two of v[2i + 1], then those of v[2i + 4] and v[2i + 5].
    let quarters = |a: __m256, b: __m256| {
        let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
        _mm256_add_ps(
            _mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)),
        )
    };
    let (low, high) = (
        quarters(halves[0], halves[1]),
        quarters(halves[2], halves[3]),
    );
    let sum = _mm256_add_ps(
        _mm256_shuffle_ps::<0b10_00_10_00>(low, high),
        _mm256_shuffle_ps::<0b11_01_11_01>(low, high),
    );
    let mut out = [0.0; 8];
    // SAFETY: `out` holds 8 elements.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), sum) };
    out
}

/// As [`sums_ps`].
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn sums_pd(v: [__m256d; 8]) -> [f64; 8] {
    let mut out = [0.0; 8];
    for i in 0..2 {
        // Two sums of a register, then of the fourth after it.
        let halves = |i: usize| {
            _mm256_add_pd(
                _mm256_permute2f128_pd::<0x20>(v[i], v[i + 4]),
                _mm256_permute2f128_pd::<0x31>(v[i], v[i + 4]),
            )
        };
        let (even, odd) = (halves(2 * i), halves(2 * i + 1));
        let sum = _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd));
        // SAFETY: `out` holds 8 elements; these are four of them.
        unsafe {
            _mm_storeu_pd(out.as_mut_ptr().add(2 * i), _mm256_castpd256_pd128(sum));
            _mm_storeu_pd(
                out.as_mut_ptr().add(2 * i + 4),
                _mm256_extractf128_pd::<1>(sum),
            );
        }
    }
    out
}

impl Elementwise for Avx2<f32> {
    /// All bits of an element, or none.
    type M = __m256;

    elementwise!(
        "avx2,fma", __m256; _mm256_fnmadd_ps, _mm256_sqrt_ps, _mm256_round_ps, _mm256_cmp_ps;
        and _mm256_and_ps, or _mm256_or_ps, xor _mm256_xor_ps;
        _mm256_castps_si256, _mm256_castsi256_ps; iadd _mm256_add_epi32, isub _mm256_sub_epi32;
        shl _mm256_sll_epi32, shr _mm256_srl_epi32;
        both _mm256_and_ps, either _mm256_or_ps
    );

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn iequal(a: __m256, b: __m256) -> __m256 {
        let equal = _mm256_cmpeq_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b));
        _mm256_castsi256_ps(equal)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn without(a: __m256, b: __m256) -> __m256 {
        _mm256_andnot_ps(b, a)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn blend(mask: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_blendv_ps(b, a, mask)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn masked(mask: __m256, v: __m256) -> __m256 {
        _mm256_and_ps(mask, v)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn unmasked(mask: __m256, v: __m256) -> __m256 {
        _mm256_andnot_ps(mask, v)
    }
}

impl Elementwise for Avx2<f64> {
    /// All bits of an element, or none.
    type M = __m256d;

    elementwise!(
        "avx2,fma", __m256d; _mm256_fnmadd_pd, _mm256_sqrt_pd, _mm256_round_pd, _mm256_cmp_pd;
        and _mm256_and_pd, or _mm256_or_pd, xor _mm256_xor_pd;
        _mm256_castpd_si256, _mm256_castsi256_pd; iadd _mm256_add_epi64, isub _mm256_sub_epi64;
        shl _mm256_sll_epi64, shr _mm256_srl_epi64;
        both _mm256_and_pd, either _mm256_or_pd
    );

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn iequal(a: __m256d, b: __m256d) -> __m256d {
        let equal = _mm256_cmpeq_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
        _mm256_castsi256_pd(equal)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn without(a: __m256d, b: __m256d) -> __m256d {
        _mm256_andnot_pd(b, a)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn blend(mask: __m256d, a: __m256d, b: __m256d) -> __m256d {
        _mm256_blendv_pd(b, a, mask)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn masked(mask: __m256d, v: __m256d) -> __m256d {
        _mm256_and_pd(mask, v)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn unmasked(mask: __m256d, v: __m256d) -> __m256d {
        _mm256_andnot_pd(mask, v)
    }
}
