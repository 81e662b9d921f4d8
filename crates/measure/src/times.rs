//! Timing as in `peers.py`, and the memory of the process.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

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

/// How times spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The least, without interference by other work.
    pub min_ms: f64,
    /// A quarter of them are below it.
    pub q1_ms: f64,
    /// The median.
    pub median_ms: f64,
    /// A quarter of them are above it.
    pub q3_ms: f64,
}

impl Spread {
    /// Of some times in milliseconds; zeros for none.
    pub fn of(mut times: Vec<f64>) -> Spread {
        times.sort_by(f64::total_cmp);
        // Linear between neighbours, as NumPy's quantile.
        let at = |share: f64| {
            let place = share * times.len().saturating_sub(1) as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            let time = |k: usize| times.get(k).copied().unwrap_or(0.0);
            time(below) + (time(above) - time(below)) * place.fract()
        };
        Spread {
            min_ms: at(0.0),
            q1_ms: at(0.25),
            median_ms: at(0.5),
            q3_ms: at(0.75),
        }
    }
}

/// Milliseconds of each call of `f` for about `secs` seconds, and at least one.
pub fn calls(secs: f64, mut f: impl FnMut()) -> Vec<f64> {
    const MOST: usize = 5000;
    let (start, mut all) = (Instant::now(), Vec::new());
    while all.is_empty() || (start.elapsed().as_secs_f64() < secs && all.len() < MOST) {
        let call = Instant::now();
        f();
        all.push(call.elapsed().as_secs_f64() * 1e3);
    }
    all
}

/// The peak memory of the process so far in MiB; `None` if the system does not report it (`/proc`).
pub fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        let expected = Spread {
            min_ms: 1.0,
            q1_ms: 1.75,
            median_ms: 2.5,
            q3_ms: 3.25,
        };
        assert_eq!(spread, expected);
        assert_eq!(Spread::of(vec![7.0]).q3_ms, 7.0);
    }
}
