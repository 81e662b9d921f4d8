//! VDPBF16PS and the conversions of AVX-512 BF16.

use std::arch::x86_64::*;

use super::unit::Unit;
use crate::avx512::Avx512;
use crate::simd::SimdOp;

/// The unit; it needs AVX-512 BF16 and BW beyond [`Avx512`].
pub(crate) struct Dot;

/// Rounds two registers; the numbers of the first come first.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded(first: __m512, second: __m512) -> __m512i {
    // SAFETY: both are 64 bytes without invalid values.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) }
}

/// Rounds to the lower halves of words.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn low_halves(x: __m512) -> __m512i {
    // SAFETY: both are 32 bytes without invalid values.
    let halves: __m256i = unsafe { std::mem::transmute(_mm512_cvtneps_pbh(x)) };
    _mm512_cvtepu16_epi32(halves)
}

/// The first `n` numbers, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_up_to(p: *const f32, n: usize) -> __m512 {
    let mask = if n >= 16 { u16::MAX } else { (1 << n) - 1 };
    // SAFETY: the caller guarantees min(n, 16) numbers; masked-off lanes are not accessed.
    unsafe { _mm512_maskz_loadu_ps(mask, p) }
}

impl Unit for Dot {
    type S = Avx512<f32>;
    type B = __m512i;
    const WORDS: usize = 1;

    #[inline(always)]
    unsafe fn vectorize<O: SimdOp>(op: O) {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
        unsafe fn run<O: SimdOp>(op: O) {
            // SAFETY: this is `vectorize` of the unit; the caller guarantees the operation's memory.
            unsafe { op.run() }
        }
        // SAFETY: the caller guarantees the instruction set and the operation's memory.
        unsafe { run(op) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
    unsafe fn dot(c: __m512, a: *const u32, _: usize, b: __m512i) -> __m512 {
        // SAFETY: the caller guarantees the pair; all are 64 bytes without invalid values.
        unsafe {
            let a = _mm512_set1_epi32(*a as i32);
            let pairs = |x| std::mem::transmute::<__m512i, __m512bh>(x);
            _mm512_dpbf16_ps(c, pairs(a), pairs(b))
        }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
    unsafe fn flush(c: __m512) -> __m512 {
        // The instruction itself takes denormal numbers as 0.
        c
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
    unsafe fn load(b: *const u32, _: usize) -> __m512i {
        // SAFETY: the caller guarantees 16 words.
        unsafe { _mm512_loadu_si512(b.cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
    unsafe fn row(from: *const f32, n: usize, to: *mut u32, pairs: usize) {
        let mut p = 0;
        // SAFETY: the caller guarantees n numbers and that many words; loads stop at n, and stores at `pairs`.
        unsafe {
            while p < pairs {
                let (at, left) = (from.wrapping_add(2 * p), n.saturating_sub(2 * p));
                let first = load_up_to(at, left);
                let second = load_up_to(at.wrapping_add(16), left.saturating_sub(16));
                let both = rounded(first, second);
                let mask = if pairs - p >= 16 {
                    u16::MAX
                } else {
                    (1 << (pairs - p)) - 1
                };
                _mm512_mask_storeu_epi32(to.add(p).cast(), mask, both);
                p += 16;
            }
        }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
    unsafe fn line([first, second]: [*const f32; 2], n: usize, to: *mut u32) {
        // SAFETY: the caller guarantees n columns of terms that are not null, and whole registers of words.
        unsafe {
            for at in (0..n).step_by(16) {
                let low = low_halves(load_up_to(first.add(at), n - at));
                let both = match second.is_null() {
                    true => low,
                    false => {
                        let high = low_halves(load_up_to(second.add(at), n - at));
                        _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
                    }
                };
                _mm512_storeu_si512(to.add(at).cast(), both);
            }
        }
    }
}
