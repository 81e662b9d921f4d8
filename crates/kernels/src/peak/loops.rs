//! Loops that do one thing as fast as the machine can: multiply-adds in registers, and loads.

use crate::Isa;

/// Independent chains of multiply-adds: at least latency (4 to 5 cycles) times units (2), but few enough for 16 registers.
const CHAINS: usize = 12;

/// Numbers of f32 in a vector.
fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Portable => 4,
    }
}

/// FLOPs per iteration of [`multiply_add`].
pub(super) fn flops_per_iteration(isa: Isa) -> f64 {
    (2 * CHAINS * lanes(isa)) as f64
}

/// `iterations` multiply-adds in each of 12 registers.
pub(super) fn multiply_add(isa: Isa, iterations: usize) -> f32 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine supports it.
        Isa::Avx512 if isa.available() => unsafe { x86::multiply_add_512(iterations) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 if isa.available() => unsafe { x86::multiply_add_256(iterations) },
        _ => multiply_add_portable(iterations),
    }
}

/// A chain of 4·`iterations` one-cycle operations, each dependent on the previous.
#[cfg(target_arch = "x86_64")]
pub(super) fn cycles(iterations: u64) {
    // Operands are registers: some cores add constants while they rename registers, without a cycle.
    // SAFETY: counts in a register, and changes nothing else but the flags.
    unsafe {
        std::arch::asm!(
            "2:",
            "add {n}, {one}",
            "sub {n}, {one}",
            "add {n}, {one}",
            "sub {n}, {two}",
            "jg 2b",
            n = inout(reg) iterations => _,
            one = in(reg) 1u64,
            two = in(reg) 2u64,
            options(nomem, nostack),
        );
    }
}

/// Σ x, in the fastest order.
pub(super) fn sum(isa: Isa, x: &[f32]) -> f32 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `multiply_add`.
        Isa::Avx512 if isa.available() => unsafe { x86::sum_512(x) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `multiply_add`.
        Isa::Avx2 if isa.available() => unsafe { x86::sum_256(x) },
        _ => sum_portable(x),
    }
}

fn multiply_add_portable(iterations: usize) -> f32 {
    let mut chains = [[1e-9f32; 4]; CHAINS];
    for _ in 0..iterations {
        for x in chains.as_flattened_mut() {
            *x = *x * 0.5 + 1e-9;
        }
    }
    chains.as_flattened().iter().sum()
}

/// Σ x in 32 sums.
fn sum_portable(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<32>();
    let mut sums = [0.0f32; 32];
    for block in blocks {
        for k in 0..32 {
            sums[k] += block[k];
        }
    }
    sums.iter().chain(rest).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::CHAINS;
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps,
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
        _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn multiply_add_512(iterations: usize) -> f32 {
        let (a, b) = (_mm512_set1_ps(0.5), _mm512_set1_ps(1e-9));
        let mut chains = [b; CHAINS];
        for _ in 0..iterations {
            for x in &mut chains {
                *x = _mm512_fmadd_ps(a, *x, b);
            }
        }
        chains.into_iter().map(|x| _mm512_reduce_add_ps(x)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply_add_256(iterations: usize) -> f32 {
        let (a, b) = (_mm256_set1_ps(0.5), _mm256_set1_ps(1e-9));
        let mut chains = [b; CHAINS];
        for _ in 0..iterations {
            for x in &mut chains {
                *x = _mm256_fmadd_ps(a, *x, b);
            }
        }
        chains.into_iter().map(lanes_sum).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn sum_512(x: &[f32]) -> f32 {
        let (blocks, rest) = x.as_chunks::<{ 8 * 16 }>();
        let mut sums = [_mm512_setzero_ps(); 8];
        for block in blocks {
            for (k, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the block has 16 elements for each of the 8 sums.
                let v = unsafe { _mm512_loadu_ps(block.as_ptr().add(16 * k)) };
                *sum = _mm512_add_ps(*sum, v);
            }
        }
        let sums = sums.into_iter().map(|x| _mm512_reduce_add_ps(x));
        sums.sum::<f32>() + rest.iter().sum::<f32>()
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sum_256(x: &[f32]) -> f32 {
        let (blocks, rest) = x.as_chunks::<{ 8 * 8 }>();
        let mut sums = [_mm256_setzero_ps(); 8];
        for block in blocks {
            for (k, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the block has 8 elements for each of the 8 sums.
                let v = unsafe { _mm256_loadu_ps(block.as_ptr().add(8 * k)) };
                *sum = _mm256_add_ps(*sum, v);
            }
        }
        sums.into_iter().map(lanes_sum).sum::<f32>() + rest.iter().sum::<f32>()
    }

    fn lanes_sum(x: __m256) -> f32 {
        // SAFETY: both are 32 bytes of which every pattern is a value.
        let lanes: [f32; 8] = unsafe { std::mem::transmute(x) };
        lanes.into_iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_summed_once() {
        let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        // Whole numbers below 2²⁴: exact in any order.
        for n in [0, 1, 15, 16, 17, 127, 128, 129, 1000] {
            let expected = (n * n.max(1) - n) as f32 / 2.0;
            assert_eq!(sum(Isa::widest(), &x[..n]), expected);
            assert_eq!(sum_portable(&x[..n]), expected);
        }
    }
}
