//! The machine's peak rates: fused multiply-adds in registers, and reading memory. Shares of them can be compared
//! between machines; times cannot.

mod loops;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::Isa;

/// Multiply-add iterations per burst: about a quarter of a millisecond.
const ITERATIONS: usize = 64 * 1024;

/// The widest instructions that the machine supports: `avx512`, `avx2` or `portable`.
pub fn isa() -> &'static str {
    match Isa::widest() {
        Isa::Avx512 => "avx512",
        Isa::Avx2 => "avx2",
        Isa::Portable => "portable",
    }
}

/// The machine's peak rate of fused multiply-adds in f32, GFLOP/s, with all threads running at once.
pub fn peak_gflops(threads: usize, during: Duration) -> f64 {
    peak_gflops_of(Isa::widest(), threads, during)
}

/// The same with one instruction set, or with the architecture's baseline if the machine does not support it.
pub fn peak_gflops_of(isa: Isa, threads: usize, during: Duration) -> f64 {
    let flops = loops::flops_per_iteration(isa) * ITERATIONS as f64;
    let burst = move || {
        black_box(loops::multiply_add(isa, black_box(ITERATIONS)));
    };
    together(threads, during, || burst) * flops / 1e9
}

/// The core's clock at its best, GHz, which neither a time stamp counter nor a wall clock reveals. None where it cannot
/// be measured (only x86-64 supports it).
pub fn core_ghz(during: Duration) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        const CHAIN: u64 = 50_000;
        // Four operations per iteration, each one cycle after the previous.
        let a_second = together(1, during, || || loops::cycles(black_box(CHAIN)));
        Some(a_second * 4.0 * CHAIN as f64 / 1e9)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = during;
        None
    }
}

/// The rate of repeatedly reading an array of `bytes` per thread, GB/s, with all threads running at once.
pub fn read_gbs(threads: usize, bytes: usize, during: Duration) -> f64 {
    let isa = Isa::widest();
    // Small arrays are read several times per burst, so that the clock's overhead does not matter.
    let again = (4_usize << 20).div_ceil(bytes);
    let reader = || {
        // Not zeros: all pages of zeros may be the same page.
        let array = vec![1.0f32; bytes / 4];
        move || {
            for _ in 0..again {
                black_box(loops::sum(isa, black_box(&array)));
            }
        }
    };
    together(threads, during, reader) * (again * bytes) as f64 / 1e9
}

/// Calls per second of the functions that `make` returns, one per thread, summed over threads that run at the same
/// time; each thread's best call counts, because the machine may be shared.
fn together<F: FnMut()>(threads: usize, during: Duration, make: impl Fn() -> F + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let one = || {
        let mut f = make();
        f();
        barrier.wait();
        let (start, mut best) = (Instant::now(), f64::INFINITY);
        while start.elapsed() < during {
            let call = Instant::now();
            f();
            best = best.min(call.elapsed().as_secs_f64());
        }
        1.0 / best
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let rates = all.into_iter().map(|t| t.join().expect("it measures only"));
        rates.sum()
    })
}
