//! Memory that begins a cache line, in large pages where there is much of it.
//!
//! For [`AlignedBuffer`](crate::AlignedBuffer) and for whoever has large vectors ([`try_reserve_total`]).
//! A walk through many megabytes misses the processor's table of pages at every 4 KiB, and its prefetchers stop there.
//! And a loop that walks through twenty arrays at once needs a place in the caches for the same line of each: if all began
//! at the same distance from a page, these would be twenty lines of one set, of which a cache holds eight. So they begin at
//! different ones.
//!
//! Invariant: a failed allocation is reported, and advice to the system changes no value and no error.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::TryReserveError;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a cache line, which a load of a whole vector should not cross.
pub const CACHE_LINE: usize = 64;

/// Bytes of a large page: of x86-64, and of ARM with pages of 4 KiB.
const LARGE_PAGE: usize = 2 << 20;

/// Bytes from which on memory begins at another line of a page than the one before it: allocators mostly give whole pages
/// for as much.
const APART_FROM: usize = 128 << 10;

/// The distance between two such beginnings: odd, so that they are lines of different sets of a first cache, and so many that
/// lines fetched ahead fit in between.
const APART: usize = 5 * CACHE_LINE;

/// The beginnings.
const BEGINNINGS: usize = 32;

/// Bytes that are allocated for so many.
pub(crate) const fn allocated(bytes: usize) -> usize {
    match bytes < APART_FROM {
        true => bytes,
        false => bytes.saturating_add(APART * (BEGINNINGS - 1)),
    }
}

/// Zeroed memory that begins a cache line; in large pages if it fills one.
pub(crate) struct Memory {
    start: NonNull<u8>,
    bytes: usize,
    /// Bytes before the start.
    skipped: usize,
}

/// Which beginning is next.
static TURN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it owns its memory, like a vector of bytes.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `bytes` zeros, or `None` if the allocator has no room for them.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let layout = layout(bytes)?;
        if bytes == 0 {
            return Some(Self {
                start: layout.dangling_ptr(),
                bytes,
                skipped: 0,
            });
        }
        // SAFETY: the layout is not empty.
        let first = NonNull::new(unsafe { alloc(layout) })?;
        // The advice must come before the first write, which chooses the page.
        advise(first.as_ptr(), layout.size());
        let skipped = match bytes < APART_FROM {
            true => 0,
            false => TURN.fetch_add(1, Ordering::Relaxed) % BEGINNINGS * APART,
        };
        // SAFETY: the layout has room for this many bytes behind the last beginning.
        let start = unsafe {
            let start = first.add(skipped);
            start.write_bytes(0, bytes);
            start
        };
        Some(Self {
            start,
            bytes,
            skipped,
        })
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let layout = layout(self.bytes).expect("it was allocated with it");
            // SAFETY: allocated with this layout, so many bytes before the start.
            unsafe { dealloc(self.start.sub(self.skipped).as_ptr(), layout) }
        }
    }
}

/// Where the allocation for so many bytes begins. An allocator may reserve as much address space again to align them, but
/// touches none of it.
fn alignment(bytes: usize) -> usize {
    match bytes >= LARGE_PAGE && cfg!(target_os = "linux") {
        true => LARGE_PAGE,
        false => CACHE_LINE,
    }
}

/// How `bytes` are allocated, unless there can't be as many.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(allocated(bytes), alignment(bytes)).ok()
}

/// Makes room for `len` elements in all; if memory is allocated for that, it is in large pages where there is much of it and
/// the system has them. The system remembers these addresses, also after they are freed and used again.
///
/// # Errors
/// The allocator has no room.
///
/// ```
/// let mut x = Vec::new();
/// retrograd_kernels::try_reserve_total(&mut x, 4 << 20)?;
/// x.resize(4 << 20, 0.0_f32);
/// # Ok::<(), std::collections::TryReserveError>(())
/// ```
pub fn try_reserve_total<T>(x: &mut Vec<T>, len: usize) -> Result<(), TryReserveError> {
    if x.capacity() < len {
        x.try_reserve_exact(len - x.len())?;
        let room = x.spare_capacity_mut();
        advise(room.as_mut_ptr().cast(), size_of_val(room));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    const PAGE: usize = 4096;
    let skip = start.align_offset(PAGE);
    if bytes < LARGE_PAGE || skip >= bytes {
        return;
    }
    // SAFETY: whole pages of memory that the caller owns; the advice leaves their contents alone. An error means that
    // the system has no such pages.
    unsafe {
        libc::madvise(
            start.add(skip).cast(),
            (bytes - skip) / PAGE * PAGE,
            libc::MADV_HUGEPAGE,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_begins_a_line_or_a_large_page() {
        for bytes in [
            0,
            CACHE_LINE,
            LARGE_PAGE - CACHE_LINE,
            LARGE_PAGE,
            5 * LARGE_PAGE + CACHE_LINE,
        ] {
            let memory = Memory::zeroed(bytes).expect("there is room");
            let at = memory.start().addr().get();
            assert!(at.is_multiple_of(CACHE_LINE), "{bytes}");
            let first = at - memory.skipped;
            assert!(first.is_multiple_of(alignment(bytes)), "{bytes}");
            // SAFETY: it has this many bytes.
            let all = unsafe { std::slice::from_raw_parts(memory.start().as_ptr(), bytes) };
            assert!(all.iter().all(|x| *x == 0), "{bytes}");
        }
    }

    #[test]
    fn large_memory_begins_at_different_lines_of_a_page() {
        let all: Vec<Memory> = (0..BEGINNINGS)
            .map(|_| Memory::zeroed(APART_FROM).expect("there is room"))
            .collect();
        let mut lines: Vec<usize> = (all.iter())
            .map(|m| m.start().addr().get() % 4096 / CACHE_LINE)
            .collect();
        lines.sort_unstable();
        lines.dedup();
        // Other tests may take a turn in between.
        assert!(lines.len() > BEGINNINGS / 2, "{lines:?}");
    }

    #[test]
    fn too_much_is_refused() {
        for bytes in [usize::MAX, isize::MAX as usize - LARGE_PAGE, 1 << 60] {
            assert!(Memory::zeroed(bytes).is_none(), "{bytes}");
        }
    }

    #[test]
    fn advice_for_any_part_of_memory_changes_nothing() {
        let mut x = vec![7_u8; 3 * LARGE_PAGE];
        for (from, to) in [(0, 0), (1, 2), (3, LARGE_PAGE + 5), (4097, 3 * LARGE_PAGE)] {
            let part = &mut x[from..to];
            advise(part.as_mut_ptr(), part.len());
        }
        assert!(x.iter().all(|x| *x == 7));
    }
}
