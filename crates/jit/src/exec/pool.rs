//! The threads that runs share: the caller's rayon pool if a run starts inside one, else rayon's global pool, which the
//! first run with work for more than one thread starts.
//!
//! Invariant: no run creates threads of its own, however many executors there are.

use std::error::Error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

/// Number of threads that the machine runs at once; queried once, because the query allocates.
pub(crate) fn parallelism() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Runs `f` on a thread of the pool, where work can be shared, and passes true. If no thread can be started, it passes
/// false and runs on the caller's thread, which then does all the work.
pub(crate) fn inside<R: Send>(f: impl FnOnce(bool) -> R + Send) -> R {
    if rayon::current_thread_index().is_some() {
        f(true)
    } else if process_pool() {
        rayon::scope(|_| f(true))
    } else {
        f(false)
    }
}

/// Starts the global pool if it is not running yet; false if that fails.
fn process_pool() -> bool {
    static STARTED: OnceLock<bool> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(parallelism());
        match builder.build_global() {
            Ok(()) => true,
            // An error without a source means that the pool is already running.
            Err(e) => e.source().is_none(),
        }
    })
}

/// Calls `f` for the parts `0..n`, at most `most` at a time. Any thread may do any part.
pub(super) fn share(most: usize, n: usize, f: impl Fn(usize) + Sync) {
    let lanes = most.min(n);
    if lanes <= 1 {
        (0..n).for_each(f);
        return;
    }
    let next = AtomicUsize::new(0);
    (0..lanes).into_par_iter().with_max_len(1).for_each(|_| {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= n {
                break;
            }
            f(part);
        }
    });
}
