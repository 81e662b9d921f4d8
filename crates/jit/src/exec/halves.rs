//! Products whose columns are divided among threads: for one row, or a few, whose products are mostly the reading of their
//! weights. Each core then reads its own part of them, at every step the same.
//!
//! Emitted code calls products without a context, so where the threads meet is noted for the thread that runs a loop, while
//! it runs it.
//!
//! The division changes no bit (`columns`).

use std::cell::Cell;
use std::sync::Arc;

use retrograd_kernels::{
    ADD, CACHE_LINE, Isa, Kernels, ProductFn, ProductFromFn, SimdElement, Weights,
};

use super::SendPtr;
use super::columns::{BLOCKS, border, unit, with_columns};
use super::counting::{kernels_of, position};
use super::pool::Crew;

/// Who divides products, into how many parts, and the least effort of a product that is divided.
#[derive(Clone, Copy)]
pub(super) struct Divided<'a> {
    pub(super) crew: &'a Arc<Crew>,
    pub(super) parts: usize,
    pub(super) least: usize,
}

thread_local! {
    static DIVIDED: Cell<Option<(*const Arc<Crew>, usize, usize)>> = const { Cell::new(None) };
}

impl Divided<'_> {
    /// Calls `f`, in which emitted code divides its products.
    pub(super) fn during<R>(self, f: impl FnOnce() -> R) -> R {
        struct Before(Option<(*const Arc<Crew>, usize, usize)>);
        impl Drop for Before {
            fn drop(&mut self) {
                DIVIDED.set(self.0);
            }
        }
        let now = (std::ptr::from_ref(self.crew), self.parts, self.least);
        let _before = Before(DIVIDED.replace(Some(now)));
        f()
    }

    /// The product of m rows: C from `c` on, and the bias, unless that is null.
    ///
    /// # Safety
    /// As [`ProductFromFn`], or, without a bias, [`ProductFn`].
    pub(super) unsafe fn product<T: SimdElement>(
        self,
        kernels: &Kernels<T>,
        (w, m): (*const Weights<T>, usize),
        (a, lda): (*const T, usize),
        bias: *const T,
        (c, ldc): (*mut T, usize),
        how: u32,
    ) {
        // SAFETY: the caller guarantees W.
        let weights = unsafe { *w };
        let run = |w: &Weights<T>, first: usize| {
            // SAFETY: passed on to the caller; this part of W has the columns from `first` on, of C and the bias too.
            unsafe {
                let c = c.add(first);
                match bias.is_null() {
                    true => (kernels.product)(w, m, a, lda, c, ldc, how),
                    false => {
                        let bias = bias.add(first);
                        (kernels.product_from)(w, m, a, lda, bias, c, ldc, how & !ADD);
                    }
                }
            }
        };
        let n = weights.outer();
        let unit = match weights.packed.is_null() {
            true => CACHE_LINE / size_of::<T>(),
            false => unit(kernels),
        };
        let parts = self.parts.min(n / unit);
        let effort = m.saturating_mul(weights.rows * weights.cols) / 4;
        debug_assert!(weights.unit.is_none() && weights.n_blocks <= BLOCKS);
        if parts <= 1 || effort < self.least {
            return run(&weights, 0);
        }
        let border = |i| border(n, unit, (i, parts));
        let shared = SendPtr(&run);
        self.crew.share(parts, parts, |i| {
            let run = { &shared }.0;
            let columns = (border(i), border(i + 1));
            with_columns(&weights, columns, |w| run(w, columns.0));
        });
    }
}

/// Divides the product if this thread is to.
unsafe extern "C" fn product<T: SimdElement, const ISA: usize>(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    c: *mut T,
    ldc: usize,
    how: u32,
) {
    let kernels = kernels_of::<T, ISA>();
    // SAFETY: passed on from the caller; `during` keeps the crew.
    unsafe {
        match divided() {
            None => (kernels.product)(w, m, a, lda, c, ldc, how),
            Some(d) => d.product(kernels, (w, m), (a, lda), std::ptr::null(), (c, ldc), how),
        }
    }
}

/// As [`product`].
unsafe extern "C" fn product_from<T: SimdElement, const ISA: usize>(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    bias: *const T,
    c: *mut T,
    ldc: usize,
    how: u32,
) {
    let kernels = kernels_of::<T, ISA>();
    // SAFETY: as above.
    unsafe {
        match divided() {
            None => (kernels.product_from)(w, m, a, lda, bias, c, ldc, how),
            Some(d) => d.product(kernels, (w, m), (a, lda), bias, (c, ldc), how),
        }
    }
}

/// What this thread does at present.
///
/// # Safety
/// Not to be kept beyond the call of the emitted code.
unsafe fn divided<'a>() -> Option<Divided<'a>> {
    DIVIDED.get().map(|(crew, parts, least)| Divided {
        // SAFETY: `during` borrows it for as long as this is set.
        crew: unsafe { &*crew },
        parts,
        least,
    })
}

/// The products that emitted code calls where some are divided.
pub(super) fn dividing<T: SimdElement>(isa: Isa) -> (ProductFn<T>, ProductFromFn<T>) {
    const AVX512: usize = position(Isa::Avx512);
    const AVX2: usize = position(Isa::Avx2);
    const PORTABLE: usize = position(Isa::Portable);
    match isa {
        Isa::Avx512 => (product::<T, AVX512>, product_from::<T, AVX512>),
        Isa::Avx2 => (product::<T, AVX2>, product_from::<T, AVX2>),
        Isa::Portable => (product::<T, PORTABLE>, product_from::<T, PORTABLE>),
    }
}
