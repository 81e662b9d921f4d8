//! Sharing work with the threads of a pool: the caller's rayon pool if a run starts inside one, else rayon's global pool,
//! which the first run with work for more than one thread starts.
//!
//! Parts of work are claimed by an atomic ticket. The caller does whatever nobody else has taken, and waits only for what
//! others are at work on: a pool that is busy, or a thread that does not start, never stalls it. Threads that have helped
//! look for more for a while before they go back to their pool, since runs share work again and again.
//!
//! Invariant: no run creates threads of its own, however many executors there are; a part is done once; nobody touches what
//! a caller lent after its [`Crew::share`] has returned.

use std::cell::UnsafeCell;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How often a thread that has helped looks for more, at some 50 ns each, before it goes back to its pool: about a
/// millisecond, the time of a run with little to share. Waking a thread again takes 10 to 50 µs.
const LOOKS: usize = 20_000;

/// How often a caller looks whether the others are done before it lets other threads have its core in between.
const SPINS: usize = 2000;

/// Parts that tickets are for, at most.
const PARTS: usize = 1 << 15;

/// Number of threads that the machine runs at once; queried once, because the query allocates.
pub(crate) fn parallelism() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Whether there is a pool: starts the global one if it is not running yet.
fn pool() -> bool {
    static STARTED: OnceLock<bool> = OnceLock::new();
    rayon::current_thread_index().is_some()
        || *STARTED.get_or_init(|| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(parallelism());
            match builder.build_global() {
                Ok(()) => true,
                // An error without a source means that the pool is already running.
                Err(e) => e.source().is_none(),
            }
        })
}

/// The parts of a piece of work that nobody has claimed: those from `from` to `to`. `number` tells one piece of work from
/// another.
#[derive(Clone, Copy)]
struct Tickets {
    number: u32,
    from: u16,
    to: u16,
}

impl Tickets {
    fn bits(self) -> u64 {
        u64::from(self.number) << 32 | u64::from(self.from) << 16 | u64::from(self.to)
    }

    fn of(bits: u64) -> Tickets {
        Tickets {
            number: (bits >> 32) as u32,
            from: (bits >> 16) as u16,
            to: bits as u16,
        }
    }

    fn left(self) -> usize {
        usize::from(self.to - self.from)
    }
}

/// What a caller lends: a function of a part's number, and what it is called with.
#[derive(Clone, Copy)]
struct Lent {
    call: unsafe fn(*const (), usize),
    with: *const (),
}

/// The place where a run meets the threads that help it, one piece of work at a time.
pub(crate) struct Crew {
    tickets: AtomicU64,
    /// Parts of this piece of work that are done.
    done: AtomicUsize,
    /// Written while there are no tickets, read by those that hold one.
    lent: UnsafeCell<Lent>,
    /// Threads that help, or have been asked to.
    helpers: AtomicUsize,
    /// A part that another thread did has panicked.
    panicked: AtomicBool,
    /// A piece of work is shared.
    busy: AtomicBool,
}

// SAFETY: `lent` is written by the one caller while nobody has a ticket, and read only with one; what it refers to is
// `Sync`, by the bound of `share`.
unsafe impl Send for Crew {}
// SAFETY: as above.
unsafe impl Sync for Crew {}

impl Crew {
    pub(crate) fn new() -> Arc<Crew> {
        let nothing = Lent {
            call: |_, _| (),
            with: std::ptr::null(),
        };
        Arc::new(Crew {
            tickets: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            lent: UnsafeCell::new(nothing),
            helpers: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        })
    }

    /// Calls `f` for the parts `0..n`, at most `most` at a time. Any thread may do any part; the caller begins with the
    /// first, others with the last, so that the same work shared again finds its data in the same caches.
    pub(super) fn share<F: Fn(usize) + Sync>(self: &Arc<Self>, most: usize, n: usize, f: F) {
        struct Busy<'c>(&'c AtomicBool);
        impl Drop for Busy<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        // A part that shares work itself, as a product by parts may, does it alone.
        let alone = most.min(n) <= 1 || self.busy.swap(true, Ordering::Acquire);
        if alone {
            return (0..n).for_each(f);
        }
        let _busy = Busy(&self.busy);
        if !self.call(most.min(n) - 1) {
            return (0..n).for_each(f);
        }
        for from in (0..n).step_by(PARTS) {
            self.meet(PARTS.min(n - from), &|i| f(from + i));
        }
    }

    /// Asks for threads, so that so many help; false if there is no pool.
    fn call(self: &Arc<Self>, helpers: usize) -> bool {
        while self.helpers.load(Ordering::Relaxed) < helpers {
            if !pool() {
                return false;
            }
            self.helpers.fetch_add(1, Ordering::Relaxed);
            let crew = Arc::clone(self);
            rayon::spawn(move || crew.help());
        }
        true
    }

    /// What a thread does that helps.
    fn help(self: &Arc<Self>) {
        let mut looks = 0;
        // Each thread that was asked for holds one reference: if there are no more, no executor is left.
        let alone = || Arc::strong_count(self) <= self.helpers.load(Ordering::Relaxed);
        while looks < LOOKS && !(looks % 256 == 0 && alone()) {
            match self.claim(false) {
                Some(part) => {
                    looks = 0;
                    // SAFETY: this thread has the part's ticket.
                    let done = catch_unwind(AssertUnwindSafe(|| unsafe { self.run(part) }));
                    if done.is_err() {
                        self.panicked.store(true, Ordering::Relaxed);
                    }
                    self.done.fetch_add(1, Ordering::Release);
                }
                None => {
                    looks += 1;
                    std::hint::spin_loop();
                }
            }
        }
        self.helpers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a ticket: the first part or the last.
    fn claim(&self, first: bool) -> Option<usize> {
        let mut bits = self.tickets.load(Ordering::Acquire);
        loop {
            let t = Tickets::of(bits);
            if t.left() == 0 {
                return None;
            }
            let (part, rest) = match first {
                true => (
                    t.from,
                    Tickets {
                        from: t.from + 1,
                        ..t
                    },
                ),
                false => (t.to - 1, Tickets { to: t.to - 1, ..t }),
            };
            let taken = self.tickets.compare_exchange_weak(
                bits,
                rest.bits(),
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match taken {
                Ok(_) => return Some(usize::from(part)),
                Err(now) => bits = now,
            }
        }
    }

    /// Does a part.
    ///
    /// # Safety
    /// Its ticket must have been claimed, and not yet be counted as done.
    unsafe fn run(&self, part: usize) {
        // SAFETY: until all tickets are done, the caller writes nothing here and keeps what it lent.
        unsafe {
            let Lent { call, with } = *self.lent.get();
            call(with, part);
        }
    }

    /// One piece of work of `n` parts, at most [`PARTS`].
    fn meet<F: Fn(usize) + Sync>(&self, n: usize, f: &F) {
        unsafe fn call<F: Fn(usize)>(with: *const (), part: usize) {
            // SAFETY: `with` is the `f` of the `meet` whose ticket the thread has.
            unsafe { (*with.cast::<F>())(part) }
        }
        // SAFETY: the previous piece of work is over, so no ticket is held.
        unsafe {
            *self.lent.get() = Lent {
                call: call::<F>,
                with: std::ptr::from_ref(f).cast(),
            };
        }
        self.done.store(0, Ordering::Relaxed);
        // A piece of work that the caller left by a panic of its own may have left it set.
        self.panicked.store(false, Ordering::Relaxed);
        let before = Tickets::of(self.tickets.load(Ordering::Relaxed));
        let all = Tickets {
            number: before.number.wrapping_add(1),
            from: 0,
            to: n as u16,
        };
        self.tickets.store(all.bits(), Ordering::Release);
        let meeting = Meeting {
            crew: self,
            n,
            own: 0,
        };
        meeting.work(f);
        assert!(
            !self.panicked.swap(false, Ordering::Relaxed),
            "a part of the work panicked on another thread"
        );
    }
}

/// A piece of work that others may be at work on. When it ends, also by a panic, nobody is any more.
struct Meeting<'c> {
    crew: &'c Crew,
    n: usize,
    /// Parts that the caller has done itself.
    own: usize,
}

impl Meeting<'_> {
    /// Does parts while there are any.
    fn work(mut self, f: &impl Fn(usize)) {
        while let Some(part) = self.crew.claim(true) {
            // Counted first: if `f` panics, nobody else does this part.
            self.own += 1;
            f(part);
        }
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        // Those that are left, if there are any.
        let mut left = 0;
        while self.crew.claim(true).is_some() {
            left += 1;
        }
        let others = self.n - self.own - left;
        let mut looks = 0;
        while self.crew.done.load(Ordering::Acquire) < others {
            looks += 1;
            match looks < SPINS {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Crew, PARTS};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn each_part_is_done_once_however_many_there_are() {
        let crew = Crew::new();
        for n in [0, 1, 2, 3, 7, 64, PARTS, PARTS + 1, 3 * PARTS + 5] {
            for most in [1, 2, 3, 8] {
                let times: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                crew.share(most, n, |i| {
                    times[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    times.iter().all(|t| t.load(Ordering::Relaxed) == 1),
                    "{n} {most}"
                );
            }
        }
    }

    #[test]
    fn what_is_lent_is_not_touched_after_it_was_given_back() {
        let crew = Crew::new();
        for turn in 0..20_000usize {
            let mut sums = [0usize; 5];
            let places = sums.each_mut().map(std::sync::Mutex::new);
            crew.share(3, 5, |i| {
                **places[i].lock().expect("nobody panics") += turn + i
            });
            assert_eq!(sums, [0, 1, 2, 3, 4].map(|i| turn + i));
        }
    }

    /// All threads of the pool are busy until the caller, one of them, has done the work alone.
    #[test]
    fn a_busy_pool_does_not_stall_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let pool = pool.expect("threads begin");
        let (done, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.scope(|s| {
            s.spawn(|_| {
                busy.store(1, Ordering::Release);
                while done.load(Ordering::Acquire) < 10 {
                    std::thread::yield_now();
                }
            });
            while busy.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
            s.spawn(|_| {
                Crew::new().share(2, 10, |_| {
                    done.fetch_add(1, Ordering::AcqRel);
                });
            });
        });
        assert_eq!(done.into_inner(), 10);
    }

    #[test]
    fn a_part_that_panics_panics_at_the_caller_and_the_next_work_is_done() {
        let crew = Crew::new();
        for bad in [0, 7, 15] {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                crew.share(2, 16, |i| assert!(i != bad, "part {i}"));
            }));
            assert!(caught.is_err(), "{bad}");
            let done = AtomicUsize::new(0);
            crew.share(2, 16, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 16);
        }
    }

    #[test]
    fn parts_may_all_panic_or_share_work_themselves() {
        let crew = Crew::new();
        for _ in 0..100 {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                crew.share(2, 16, |i| panic!("part {i}"));
            }));
            assert!(caught.is_err());
            let done = AtomicUsize::new(0);
            crew.share(2, 4, |_| {
                crew.share(2, 5, |_| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
            });
            assert_eq!(done.into_inner(), 20);
        }
    }
}
