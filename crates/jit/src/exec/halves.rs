//! Products whose columns are divided among threads: for one row, or a few, whose products are mostly the reading of their
//! weights. Each core then reads its own part of them, at every step the same.
//!
//! Emitted code calls products without a context, so where the threads meet is noted for the thread that runs a loop, while
//! it runs it.
//!
//! Invariant: an element of a product depends on its own column of weights alone, so the division changes no bit.

use std::cell::Cell;
use std::sync::Arc;

use retrograd_graph::plan::Weight;
use retrograd_kernels::{ADD, Block, Isa, Kernels, ProductFn, ProductFromFn, SimdElement, Weights};

use super::SendPtr;
use super::counting::{kernels_of, position};
use super::pool::Crew;

/// Blocks of a weight that is divided, at most.
const BLOCKS: usize = 16;

/// Bytes of columns that are never divided.
const LINE: usize = 64;

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

/// Whether the columns of products with this weight are divided at all: packed bfloat16 weights have an order of their own, and
/// there is no room for the parts of many blocks.
pub(super) fn can_be_divided(weight: &Weight) -> bool {
    !weight.bf16 && weight.blocks.len() <= BLOCKS
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
        let packed = !weights.packed.is_null();
        let line = LINE / size_of::<T>();
        let unit = match packed {
            true => kernels.panel.next_multiple_of(line),
            false => line,
        };
        let parts = self.parts.min(n / unit);
        let effort = m.saturating_mul(weights.rows * weights.cols) / 4;
        debug_assert!(weights.unit.is_none() && weights.n_blocks <= BLOCKS);
        if parts <= 1 || effort < self.least {
            return run(&weights, 0);
        }
        let border = |i: usize| match i == parts {
            true => n,
            false => n * i / parts / unit * unit,
        };
        let shared = SendPtr(&run);
        self.crew.share(parts, parts, |i| {
            let run = { &shared }.0;
            let columns = (border(i), border(i + 1));
            match packed {
                true => run(&panels(&weights, columns), columns.0),
                false => with_blocks(&weights, columns, |w| run(w, 0)),
            }
        });
    }
}

/// The part of packed weights that has these columns of the product: they begin a panel, and end one unless they are the last.
fn panels<T>(w: &Weights<T>, (from, to): (usize, usize)) -> Weights<T> {
    let packed = w.packed.wrapping_add(from * w.inner());
    let (rows, cols) = match w.transposed {
        true => (w.rows, to - from),
        false => (to - from, w.cols),
    };
    Weights {
        rows,
        cols,
        packed,
        ..*w
    }
}

/// Calls `f` with the blocks of weights, at most [`BLOCKS`], cut to these columns of the product.
fn with_blocks<T: Copy>(w: &Weights<T>, (from, to): (usize, usize), f: impl FnOnce(&Weights<T>)) {
    let nothing = Block {
        ptr: std::ptr::null(),
        ld: 0,
        row: 0,
        col: 0,
        rows: 0,
        cols: 0,
    };
    let (mut blocks, mut n) = ([nothing; BLOCKS], 0);
    for k in 0..w.n_blocks {
        // SAFETY: whoever describes weights guarantees their list.
        let mut b = unsafe { *w.blocks.add(k) };
        let (first, len) = match w.transposed {
            true => (b.col, b.cols),
            false => (b.row, b.rows),
        };
        let (begin, end) = (first.max(from), (first + len).min(to));
        if begin >= end {
            continue;
        }
        let (skipped, len) = (begin - first, end - begin);
        if w.transposed {
            (b.ptr, b.col, b.cols) = (b.ptr.wrapping_add(skipped), begin, len);
        } else {
            (b.ptr, b.row, b.rows) = (b.ptr.wrapping_add(skipped * b.ld), begin, len);
        }
        (blocks[n], n) = (b, n + 1);
    }
    f(&Weights {
        blocks: blocks.as_ptr(),
        n_blocks: n,
        ..*w
    });
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
