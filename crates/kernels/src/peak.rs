//! What the machine can do at most: fused multiply-adds in registers, and reading memory. Shares of it are comparable
//! between machines where times are not.

mod loops;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::Isa;

/// Multiply-add iterations of a burst: about a quarter of a millisecond.
const ITERATIONS: usize = 64 * 1024;

/// The widest instructions that the machine has: `avx512`, `avx2` or `portable`.
pub fn isa() -> &'static str {
    match Isa::widest() {
        Isa::Avx512 => "avx512",
        Isa::Avx2 => "avx2",
        Isa::Portable => "portable",
    }
}

/// The machine's rate of fused multiply-adds in f32, GFLOP/s, all threads at once.
pub fn peak_gflops(threads: usize, during: Duration) -> f64 {
    peak_gflops_of(Isa::widest(), threads, during)
}

/// The same with the instructions of one set, or of the architecture's base if the machine does not have it.
pub fn peak_gflops_of(isa: Isa, threads: usize, during: Duration) -> f64 {
    let flops = loops::flops_per_iteration(isa) * ITERATIONS as f64;
    let burst = move || {
        black_box(loops::multiply_add(isa, black_box(ITERATIONS)));
    };
    together(threads, during, || burst) * flops / 1e9
}

/// The core's clock, GHz, at its best: a time stamp counter or a clock on the wall knows nothing of it. None where there is
/// no such measurement (only x86-64 has one).
pub fn core_ghz(during: Duration) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        const CHAIN: u64 = 50_000;
        // Four operations per iteration, each a cycle after the one before.
        let a_second = together(1, during, || || loops::cycles(black_box(CHAIN)));
        Some(a_second * 4.0 * CHAIN as f64 / 1e9)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = during;
        None
    }
}

/// The rate of reading an array of `bytes` a thread again and again, GB/s, all threads at once.
pub fn read_gbs(threads: usize, bytes: usize, during: Duration) -> f64 {
    let isa = Isa::widest();
    // Small arrays are read several times a burst, so that the clock does not count.
    let again = (4_usize << 20).div_ceil(bytes);
    let reader = || {
        // Not zeros: pages of zeros may all be one.
        let array = vec![1.0f32; bytes / 4];
        move || {
            for _ in 0..again {
                black_box(loops::sum(isa, black_box(&array)));
            }
        }
    };
    together(threads, during, reader) * (again * bytes) as f64 / 1e9
}

/// Calls per second of what `make` makes for each thread, summed over threads that run at the same time; the best call of
/// each counts, for the machine may be shared.
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
