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

/// The numbers of the first half, each followed by that of the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(halves: __m512i) -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: these are 64 bytes.
    let order = unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, halves)
}

/// The first `n` lanes, or all.
#[inline]
fn mask(n: usize) -> __mmask16 {
    if n >= 16 { u16::MAX } else { (1 << n) - 1 }
}

/// The first `n` numbers, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_up_to(p: *const f32, n: usize) -> __m512 {
    // SAFETY: the caller guarantees min(n, 16) numbers; masked-off lanes are not accessed.
    unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
}

impl Unit for Dot {
    type S = Avx512<f32>;
    type B = __m512i;
    type Lanes = __mmask16;
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
                _mm512_mask_storeu_epi32(to.add(p).cast(), mask(pairs - p), both);
                p += 16;
            }
        }
    }
    #[inline]
    fn first(n: usize) -> __mmask16 {
        mask(n)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,avx512bf16,avx512bw")]
    unsafe fn pairs(
        [first, second]: [*const f32; 2],
        [n1, n2]: [__mmask16; 2],
        to: *mut u32,
        _: usize,
    ) {
        // SAFETY: the caller guarantees these lanes of both terms, and a register's words.
        unsafe {
            let first = _mm512_maskz_loadu_ps(n1, first);
            let both = rounded(first, _mm512_maskz_loadu_ps(n2, second));
            _mm512_storeu_si512(to.cast(), interleaved(both));
        }
    }
}
