//! What the machine can do at most: fused multiply-adds in registers, and reading memory. Shares of it are comparable
//! between machines where times are not.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::simd::{self, Isa};

/// Multiply-add turns of a burst: about a quarter of a millisecond.
const TURNS: usize = 64 * 1024;

/// Peak rates of a number of threads together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rates {
    /// Threads, each with work of its own.
    pub threads: usize,
    /// The widest instructions that the machine has.
    pub isa: &'static str,
    /// Fused multiply-adds in f32, GFLOP/s, a multiply-add counting two.
    pub peak_gflops: f64,
    /// Reading 32 KiB a thread over and over, GB/s (10⁹ bytes).
    pub read_l1_gbs: f64,
    /// Reading 512 KiB a thread over and over, GB/s.
    pub read_l2_gbs: f64,
    /// Reading 8 MiB a thread over and over, GB/s.
    pub read_l3_gbs: f64,
    /// Reading 256 MiB a thread over and over, GB/s.
    pub read_memory_gbs: f64,
}

impl Rates {
    /// Measures everything, for about two seconds.
    pub fn measure(threads: usize) -> Rates {
        let read = |bytes| read_gbs(threads, bytes, Duration::from_millis(300));
        Rates {
            threads,
            isa: Isa::widest().name(),
            peak_gflops: peak_gflops(threads, Duration::from_millis(300)),
            read_l1_gbs: read(32 << 10),
            read_l2_gbs: read(512 << 10),
            read_l3_gbs: read(8 << 20),
            read_memory_gbs: read(256 << 20),
        }
    }
}

/// The machine's rate of fused multiply-adds in f32, GFLOP/s, all threads at once.
pub fn peak_gflops(threads: usize, during: Duration) -> f64 {
    let isa = Isa::widest();
    let flops = simd::flops_a_turn(isa) * TURNS as f64;
    let burst = move || {
        black_box(simd::multiply_add(isa, black_box(TURNS)));
    };
    together(threads, during, || burst) * flops / 1e9
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
                black_box(simd::sum(isa, black_box(&array)));
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
