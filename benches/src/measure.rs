//! Timing as in `peers.py`, and the memory of the process.

use std::time::{Duration, Instant};

/// Milliseconds of calls that did the same.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The median.
    pub median_ms: f64,
    /// The minimum, without interference by other work.
    pub min_ms: f64,
}

/// Calls `f` once, then for `secs` seconds, but at least 5 and at most 5000 times.
pub fn times(secs: f64, mut f: impl FnMut()) -> Times {
    f();
    let (start, mut all) = (Instant::now(), Vec::new());
    while (all.len() < 5 || start.elapsed().as_secs_f64() < secs) && all.len() < 5000 {
        let call = Instant::now();
        f();
        all.push(call.elapsed());
    }
    all.sort();
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    Times {
        median_ms: ms(all[all.len() / 2]),
        min_ms: ms(all[0]),
    }
}

/// The peak memory of the process so far in MiB; `None` if the system does not report it (`/proc`).
pub fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
