//! Peak rates of the machine: fused multiply-adds in registers, and reading memory. Shares of the peak are comparable between
//! machines; times are not.

use std::time::Duration;

use retrograd_kernels::peak::{isa, peak_gflops, read_gbs};
use serde::Serialize;

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
            isa: isa(),
            peak_gflops: peak_gflops(threads, Duration::from_millis(300)),
            read_l1_gbs: read(32 << 10),
            read_l2_gbs: read(512 << 10),
            read_l3_gbs: read(8 << 20),
            read_memory_gbs: read(256 << 20),
        }
    }
}
