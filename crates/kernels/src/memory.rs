//! Memory that begins a cache line, in large pages where there is much of it.
//!
//! For [`AlignedBuffer`](crate::AlignedBuffer) and for whoever has large vectors ([`try_reserve_total`]).
//! A walk through many megabytes misses the processor's table of pages at every 4 KiB, and its prefetchers stop there.
//!
//! Invariant: a failed allocation is reported, and advice to the system changes no value and no error.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::TryReserveError;
use std::ptr::NonNull;

/// Bytes of a cache line, which a load of a whole vector should not cross.
pub const CACHE_LINE: usize = 64;

/// Bytes of a large page: of x86-64, and of ARM with pages of 4 KiB.
const LARGE_PAGE: usize = 2 << 20;

/// Zeroed memory that begins a cache line, or a large page if it fills one.
pub(crate) struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

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
            });
        }
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        // The advice must come before the first write, which chooses the page.
        advise(start.as_ptr(), bytes);
        // SAFETY: just allocated with this many bytes.
        unsafe { start.write_bytes(0, bytes) };
        Some(Self { start, bytes })
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
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

/// Where so many bytes begin. An allocator may reserve as much address space again to align them, but touches none of it.
fn alignment(bytes: usize) -> usize {
    match bytes >= LARGE_PAGE && cfg!(target_os = "linux") {
        true => LARGE_PAGE,
        false => CACHE_LINE,
    }
}

/// How `bytes` are allocated, unless there can't be as many.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, alignment(bytes)).ok()
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
            assert!(at.is_multiple_of(alignment(bytes)), "{bytes}");
            // SAFETY: it has this many bytes.
            let all = unsafe { std::slice::from_raw_parts(memory.start().as_ptr(), bytes) };
            assert!(all.iter().all(|x| *x == 0), "{bytes}");
        }
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
