//! How large the machine's caches are, for whoever predicts or plans what stays in one.
//!
//! Invariant: the answer never changes while a program runs.

use std::sync::OnceLock;

/// Where nothing tells: the smallest L2 of the machines that are wide enough to matter (Zen 2 and 3; Intel's have more).
const L2_UNKNOWN: usize = 512 << 10;

/// Bytes of a core's L2.
pub fn l2_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| ask().unwrap_or(L2_UNKNOWN))
}

/// Leaf 8000_0006h, which AMD and Intel both have: ECX 31..16 is the size of L2 in KiB (AMD64 Architecture Programmer's
/// Manual, volume 3, appendix E.4.4; Intel SDM, volume 2A, CPUID).
#[cfg(target_arch = "x86_64")]
fn ask() -> Option<usize> {
    use std::arch::x86_64::__cpuid;
    const EXTENDED: u32 = 0x8000_0000;
    const CACHES: u32 = 0x8000_0006;
    if __cpuid(EXTENDED).eax < CACHES {
        return None;
    }
    let kib = (__cpuid(CACHES).ecx >> 16) as usize;
    (kib > 0).then_some(kib << 10)
}

#[cfg(not(target_arch = "x86_64"))]
fn ask() -> Option<usize> {
    None
}
