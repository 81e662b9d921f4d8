//! Numbers, naive sums with their tolerance, and memory whose ends are guarded.

use proptest::prelude::*;
use retrograd_kernels::SimdElement;

/// An element with what the tests need beyond the crate.
pub(crate) trait Element: SimdElement {
    /// The distance from 1 to the next number.
    const EPS: f64;
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
}

impl Element for f32 {
    const EPS: f64 = f32::EPSILON as f64;
    fn of(x: f64) -> f32 {
        x as f32
    }
    fn wide(self) -> f64 {
        self.into()
    }
}

impl Element for f64 {
    const EPS: f64 = f64::EPSILON;
    fn of(x: f64) -> f64 {
        x
    }
    fn wide(self) -> f64 {
        self
    }
}

/// A generator good enough for test data: numbers in [-1, 1).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next<T: Element>(&mut self) -> T {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        T::of((self.0 >> 40) as f64 / (1u64 << 23) as f64 - 1.0)
    }

    pub(crate) fn vec<T: Element>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Sizes around the edges of registers, panels and tiles.
pub(crate) fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0usize),
        Just(1),
        Just(3),
        Just(7),
        Just(12),
        Just(13),
        Just(16),
        Just(31),
        Just(32),
        Just(33),
        1..70usize
    ]
}

/// A cut of `n` into at most three parts: where they start, and the end.
pub(crate) fn cuts(n: usize, at: [usize; 2]) -> Vec<usize> {
    let mut cuts = vec![0, at[0] % (n + 1), at[1] % (n + 1), n];
    cuts.sort_unstable();
    cuts
}

/// A sum of products in f64 and the sum of their absolute values.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) value: f64,
    pub(crate) weight: f64,
}

impl Sum {
    pub(crate) fn add<T: Element>(&mut self, a: T, b: T) {
        self.value += a.wide() * b.wide();
        self.weight += (a.wide() * b.wide()).abs();
    }

    /// The bound for a sum of `terms` products in any order (Higham, Accuracy and Stability, 3.1): γ(n) Σ|a||b|, with
    /// γ(n) = n u / (1 - n u), u = ε/2; two more roundings a term for the portable kernels' separate product and the
    /// old value. The reference's own error in f64 is as large at most: twice that.
    pub(crate) fn check<T: Element>(
        &self,
        got: T,
        terms: usize,
        what: &str,
    ) -> Result<(), TestCaseError> {
        let bound = 2.0 * (terms + 2) as f64 * T::EPS * self.weight + f64::MIN_POSITIVE;
        let error = (got.wide() - self.value).abs();
        prop_assert!(
            error <= bound,
            "{what}: {got:?} for {}, error {error:e} > {bound:e}",
            self.value
        );
        Ok(())
    }
}

/// Elements that end right before (or begin right after) a page that can't be accessed, with NaN on the other side.
pub(crate) struct Guarded<T> {
    base: *mut u8,
    bytes: usize,
    ptr: *mut T,
    len: usize,
}

const PAGE: usize = 4096;

#[cfg(target_os = "linux")]
unsafe extern "C" {
    fn mmap(addr: *mut u8, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut u8;
    fn mprotect(addr: *mut u8, len: usize, prot: i32) -> i32;
    fn munmap(addr: *mut u8, len: usize) -> i32;
}

impl<T: Element> Guarded<T> {
    #[cfg(target_os = "linux")]
    pub(crate) fn new(data: &[T], at_end: bool) -> Self {
        const { assert!(size_of::<T>() <= PAGE) };
        let used = size_of_val(data).next_multiple_of(PAGE).max(PAGE);
        let bytes = used + 2 * PAGE;
        // SAFETY: a fresh private anonymous mapping (read and write), its first and last page made inaccessible.
        let base = unsafe {
            let base = mmap(std::ptr::null_mut(), bytes, 3, 0x22, -1, 0);
            assert!(base as isize != -1, "no memory");
            assert_eq!(
                mprotect(base, PAGE, 0) | mprotect(base.add(bytes - PAGE), PAGE, 0),
                0
            );
            base
        };
        let slots = used / size_of::<T>();
        // SAFETY: `used` bytes from the second page on are readable and writable; the data fits at either end of them.
        let ptr = unsafe {
            let first = base.add(PAGE).cast::<T>();
            for i in 0..slots {
                first.add(i).write(T::of(f64::NAN));
            }
            let ptr = if at_end {
                first.add(slots - data.len())
            } else {
                first
            };
            ptr.copy_from_nonoverlapping(data.as_ptr(), data.len());
            ptr
        };
        Self {
            base,
            bytes,
            ptr,
            len: data.len(),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(data: &[T], _at_end: bool) -> Self {
        let mut v: Vec<T> = [T::of(f64::NAN); 64]
            .into_iter()
            .chain(data.iter().copied())
            .collect();
        v.extend([T::of(f64::NAN); 64]);
        let v = v.leak();
        Self {
            base: std::ptr::null_mut(),
            bytes: 0,
            ptr: v[64..].as_mut_ptr(),
            len: data.len(),
        }
    }

    pub(crate) fn ptr(&self) -> *const T {
        self.ptr
    }

    pub(crate) fn ptr_mut(&mut self) -> *mut T {
        self.ptr
    }

    pub(crate) fn get(&self) -> &[T] {
        // SAFETY: `len` elements were written there.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }

    /// The elements of the accessible page around the data are still NaN.
    pub(crate) fn untouched_around(&self) -> bool {
        if self.bytes == 0 {
            return true;
        }
        let first = self.base.wrapping_add(PAGE).cast::<T>();
        let slots = (self.bytes - 2 * PAGE) / size_of::<T>();
        (0..slots).all(|i| {
            let p = first.wrapping_add(i);
            // SAFETY: these slots were all initialised.
            (self.ptr as usize..self.ptr as usize + self.len * size_of::<T>())
                .contains(&(p as usize))
                || unsafe { *p }.wide().is_nan()
        })
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        // SAFETY: the mapping made in `new`.
        unsafe {
            munmap(self.base, self.bytes);
        }
    }
}
