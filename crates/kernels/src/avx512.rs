//! AVX-512 (F, DQ, VL): registers of 16 f32 or 8 f64, micro-kernels of 12 rows × 2 registers (24 of the 32 registers
//! accumulate). With masks, a remainder costs as much as a whole register.
//!
//! Invariant: used only through `crate::kernels_for`, which checks the machine.

use crate::Isa;
use crate::avx2::{sums_pd, sums_ps};
use crate::maths::{Compare, Rounding};
use crate::simd::{Elementwise, Simd};
use crate::x86::{elementwise, one_instruction, own_vector};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// The instruction set with its element type.
pub(crate) struct Avx512<T>(PhantomData<T>);

impl Simd for Avx512<f32> {
    type T = f32;
    type V = __m512;
    const ISA: Isa = Isa::Avx512;
    const LANES: usize = 16;
    const MR: usize = Isa::Avx512.tile_rows();
    const FUSED: bool = true;

    one_instruction!(
        "avx512f,avx512dq,avx512vl,avx2,fma", f32, __m512;
        _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps;
        _mm512_fmadd_ps, _mm512_fmsub_ps;
        add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps, div _mm512_div_ps, min _mm512_min_ps, max _mm512_max_ps
    );

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn load_part(p: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller guarantees n < 16 elements; masked-off lanes are not accessed.
        unsafe { _mm512_maskz_loadu_ps((1u16 << n) - 1, p) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn store_part(p: *mut f32, n: usize, v: __m512) {
        // SAFETY: the caller guarantees n < 16 elements; masked-off lanes are not accessed.
        unsafe { _mm512_mask_storeu_ps(p, (1u16 << n) - 1, v) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn first_of(n: usize, v: __m512, rest: __m512) -> __m512 {
        _mm512_mask_mov_ps(rest, (1u16 << n) - 1, v)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn any_tiny(v: __m512) -> bool {
        let least = _mm512_set1_ps(f32::MIN_POSITIVE);
        let zero = _mm512_setzero_ps();
        let nonzero = _mm512_cmp_ps_mask::<_CMP_NEQ_OQ>(v, zero);
        _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(nonzero, _mm512_abs_ps(v), least) != 0
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn sums(v: [__m512; 8]) -> [f32; 8] {
        let mut half = [_mm256_setzero_ps(); 8];
        for i in 0..8 {
            half[i] = _mm256_add_ps(
                _mm512_castps512_ps256(v[i]),
                _mm512_extractf32x8_ps::<1>(v[i]),
            );
        }
        sums_ps(half)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn repeat(p: *const f32) -> __m512 {
        // SAFETY: the caller guarantees 4 elements.
        unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(p)) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn splats(p: *const f32) -> [__m512; 4] {
        // SAFETY: the caller guarantees 4 elements.
        let all = own_vector!(zmm_reg, unsafe { Self::repeat(p) });
        [
            _mm512_permute_ps::<0b00_00_00_00>(all),
            _mm512_permute_ps::<0b01_01_01_01>(all),
            _mm512_permute_ps::<0b10_10_10_10>(all),
            _mm512_permute_ps::<0b11_11_11_11>(all),
        ]
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn repeat_part(p: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller guarantees n < 4 elements; masked-off lanes are not accessed.
        unsafe { _mm512_broadcast_f32x4(_mm_maskz_loadu_ps((1u8 << n) - 1, p)) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn repeated_sums(v: __m512) -> [f32; 4] {
        let pairs = _mm512_add_ps(v, _mm512_permute_ps::<0b10_11_00_01>(v));
        let all = _mm512_add_ps(pairs, _mm512_permute_ps::<0b01_00_11_10>(pairs));
        let first = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, all));
        let mut out = [0.0; 4];
        // SAFETY: there is room for 4.
        unsafe { _mm_storeu_ps(out.as_mut_ptr(), first) };
        out
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn transpose(src: *const f32, ld: usize, dst: *mut f32, ldd: usize) {
        let zero = _mm512_setzero_ps();
        let (mut pair, mut quad) = ([zero; 16], [_mm512_setzero_pd(); 16]);
        // Interleave rows two by two: pair[2i], pair[2i + 1] hold columns (0 1), (2 3) of rows 2i, 2i + 1, per 128-bit lane.
        for i in 0..8 {
            // SAFETY: the caller guarantees 16 rows of 16 elements.
            let (a, b) = unsafe {
                (
                    _mm512_loadu_ps(src.add(2 * i * ld)),
                    _mm512_loadu_ps(src.add((2 * i + 1) * ld)),
                )
            };
            pair[2 * i] = _mm512_unpacklo_ps(a, b);
            pair[2 * i + 1] = _mm512_unpackhi_ps(a, b);
        }
        // quad[4i + c], 128-bit lane L: column 4L + c of rows 4i .. 4i + 4.
        for i in 0..4 {
            for c in 0..2 {
                let (a, b) = (
                    _mm512_castps_pd(pair[4 * i + c]),
                    _mm512_castps_pd(pair[4 * i + 2 + c]),
                );
                quad[4 * i + 2 * c] = _mm512_unpacklo_pd(a, b);
                quad[4 * i + 2 * c + 1] = _mm512_unpackhi_pd(a, b);
            }
        }
        for c in 0..4 {
            let lanes = transpose_lanes([quad[c], quad[4 + c], quad[8 + c], quad[12 + c]]);
            for (l, v) in lanes.into_iter().enumerate() {
                // SAFETY: the caller guarantees 16 rows of 16 elements.
                unsafe { _mm512_storeu_ps(dst.add((4 * l + c) * ldd), _mm512_castpd_ps(v)) }
            }
        }
    }
}

impl Simd for Avx512<f64> {
    type T = f64;
    type V = __m512d;
    const ISA: Isa = Isa::Avx512;
    const LANES: usize = 8;
    const MR: usize = Isa::Avx512.tile_rows();
    const FUSED: bool = true;

    one_instruction!(
        "avx512f,avx512dq,avx512vl,avx2,fma", f64, __m512d;
        _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd;
        _mm512_fmadd_pd, _mm512_fmsub_pd;
        add _mm512_add_pd, sub _mm512_sub_pd, mul _mm512_mul_pd, div _mm512_div_pd, min _mm512_min_pd, max _mm512_max_pd
    );

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn load_part(p: *const f64, n: usize) -> __m512d {
        // SAFETY: the caller guarantees n < 8 elements; masked-off lanes are not accessed.
        unsafe { _mm512_maskz_loadu_pd((1u8 << n) - 1, p) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn store_part(p: *mut f64, n: usize, v: __m512d) {
        // SAFETY: the caller guarantees n < 8 elements; masked-off lanes are not accessed.
        unsafe { _mm512_mask_storeu_pd(p, (1u8 << n) - 1, v) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn first_of(n: usize, v: __m512d, rest: __m512d) -> __m512d {
        _mm512_mask_mov_pd(rest, (1u8 << n) - 1, v)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn sums(v: [__m512d; 8]) -> [f64; 8] {
        let mut half = [_mm256_setzero_pd(); 8];
        for i in 0..8 {
            half[i] = _mm256_add_pd(
                _mm512_castpd512_pd256(v[i]),
                _mm512_extractf64x4_pd::<1>(v[i]),
            );
        }
        sums_pd(half)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn repeat(p: *const f64) -> __m512d {
        // SAFETY: the caller guarantees 2 elements.
        unsafe { _mm512_broadcast_f64x2(_mm_loadu_pd(p)) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn splats(p: *const f64) -> [__m512d; 4] {
        // SAFETY: the caller guarantees 4 elements.
        let [a, b] = unsafe { [Self::repeat(p), Self::repeat(p.add(2))] };
        let (a, b) = (own_vector!(zmm_reg, a), own_vector!(zmm_reg, b));
        [
            _mm512_permute_pd::<0>(a),
            _mm512_permute_pd::<0xff>(a),
            _mm512_permute_pd::<0>(b),
            _mm512_permute_pd::<0xff>(b),
        ]
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn repeat_part(p: *const f64, n: usize) -> __m512d {
        // SAFETY: the caller guarantees n < 2 elements; masked-off lanes are not accessed.
        unsafe { _mm512_broadcast_f64x2(_mm_maskz_loadu_pd((1u8 << n) - 1, p)) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn repeated_sums(v: __m512d) -> [f64; 4] {
        let pairs = _mm512_add_pd(v, _mm512_permute_pd::<0b0101_0101>(v));
        let first = _mm512_castpd512_pd256(_mm512_maskz_compress_pd(0x55, pairs));
        let mut out = [0.0; 4];
        // SAFETY: there is room for 4.
        unsafe { _mm256_storeu_pd(out.as_mut_ptr(), first) };
        out
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn transpose(src: *const f64, ld: usize, dst: *mut f64, ldd: usize) {
        let mut pair = [_mm512_setzero_pd(); 8];
        // pair[2i + c], 128-bit lane L: column 2L + c of rows 2i, 2i + 1.
        for i in 0..4 {
            // SAFETY: the caller guarantees 8 rows of 8 elements.
            let (a, b) = unsafe {
                (
                    _mm512_loadu_pd(src.add(2 * i * ld)),
                    _mm512_loadu_pd(src.add((2 * i + 1) * ld)),
                )
            };
            pair[2 * i] = _mm512_unpacklo_pd(a, b);
            pair[2 * i + 1] = _mm512_unpackhi_pd(a, b);
        }
        for c in 0..2 {
            let lanes = transpose_lanes([pair[c], pair[2 + c], pair[4 + c], pair[6 + c]]);
            for (l, v) in lanes.into_iter().enumerate() {
                // SAFETY: the caller guarantees 8 rows of 8 elements.
                unsafe { _mm512_storeu_pd(dst.add((2 * l + c) * ldd), v) }
            }
        }
    }
}

/// The 4 × 4 transpose of 128-bit lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_lanes([a, b, c, d]: [__m512d; 4]) -> [__m512d; 4] {
    const EVEN: i32 = 0b10_00_10_00; // lanes 0 and 2 of both
    const ODD: i32 = 0b11_01_11_01; // lanes 1 and 3 of both
    let (ab0, ab1) = (
        _mm512_shuffle_f64x2::<EVEN>(a, b),
        _mm512_shuffle_f64x2::<ODD>(a, b),
    );
    let (cd0, cd1) = (
        _mm512_shuffle_f64x2::<EVEN>(c, d),
        _mm512_shuffle_f64x2::<ODD>(c, d),
    );
    [
        _mm512_shuffle_f64x2::<EVEN>(ab0, cd0),
        _mm512_shuffle_f64x2::<EVEN>(ab1, cd1),
        _mm512_shuffle_f64x2::<ODD>(ab0, cd0),
        _mm512_shuffle_f64x2::<ODD>(ab1, cd1),
    ]
}

impl Elementwise for Avx512<f32> {
    type M = __mmask16;

    elementwise!(
        "avx512f,avx512dq,avx512vl,avx2,fma", __m512; _mm512_fnmadd_ps, _mm512_sqrt_ps, _mm512_roundscale_ps, _mm512_cmp_ps_mask;
        and _mm512_and_ps, or _mm512_or_ps, xor _mm512_xor_ps;
        _mm512_castps_si512, _mm512_castsi512_ps; iadd _mm512_add_epi32, isub _mm512_sub_epi32;
        shl _mm512_sll_epi32, shr _mm512_srl_epi32;
        both _kand_mask16, either _kor_mask16
    );

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn iequal(a: __m512, b: __m512) -> __mmask16 {
        _mm512_cmpeq_epi32_mask(_mm512_castps_si512(a), _mm512_castps_si512(b))
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn without(a: __mmask16, b: __mmask16) -> __mmask16 {
        a & !b
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn blend(mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        _mm512_mask_blend_ps(mask, b, a)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn masked(mask: __mmask16, v: __m512) -> __m512 {
        _mm512_maskz_mov_ps(mask, v)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn unmasked(mask: __mmask16, v: __m512) -> __m512 {
        _mm512_maskz_mov_ps(!mask, v)
    }
}

impl Elementwise for Avx512<f64> {
    type M = __mmask8;

    elementwise!(
        "avx512f,avx512dq,avx512vl,avx2,fma", __m512d; _mm512_fnmadd_pd, _mm512_sqrt_pd, _mm512_roundscale_pd, _mm512_cmp_pd_mask;
        and _mm512_and_pd, or _mm512_or_pd, xor _mm512_xor_pd;
        _mm512_castpd_si512, _mm512_castsi512_pd; iadd _mm512_add_epi64, isub _mm512_sub_epi64;
        shl _mm512_sll_epi64, shr _mm512_srl_epi64;
        both _kand_mask8, either _kor_mask8
    );

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn iequal(a: __m512d, b: __m512d) -> __mmask8 {
        _mm512_cmpeq_epi64_mask(_mm512_castpd_si512(a), _mm512_castpd_si512(b))
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn without(a: __mmask8, b: __mmask8) -> __mmask8 {
        a & !b
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn blend(mask: __mmask8, a: __m512d, b: __m512d) -> __m512d {
        _mm512_mask_blend_pd(mask, b, a)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn masked(mask: __mmask8, v: __m512d) -> __m512d {
        _mm512_maskz_mov_pd(mask, v)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    unsafe fn unmasked(mask: __mmask8, v: __m512d) -> __m512d {
        _mm512_maskz_mov_pd(!mask, v)
    }
}
