//! Memory for packings and scratch, and kernels with checked lengths.
//!
//! For Rust callers and tests; compiled code uses the raw function pointers.
//!
//! Invariant: nothing in this module's public API can access memory out of bounds: a wrong length panics.

use crate::maths::Function;
use crate::memory::{CACHE_LINE, Memory, allocated};
use crate::types::{Block, Weights};
use crate::{ActivateFn, Activation, Kernels, SimdElement};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Elements aligned to 64 bytes, initially zero; from 2 MiB on in large pages, if the system has them. Derefs to a slice.
pub struct AlignedBuffer<T> {
    memory: Memory,
    len: usize,
    element: PhantomData<T>,
}

impl<T: SimdElement> AlignedBuffer<T> {
    /// `len` zeros.
    ///
    /// # Panics
    /// If the allocator has no room for them.
    pub fn new(len: usize) -> Self {
        Self::try_new(len).unwrap_or_else(|e| panic!("{e} for {len} numbers"))
    }

    /// `len` zeros, if the allocator has room for them.
    ///
    /// # Errors
    /// The allocator has no room, or the size exceeds the address space.
    pub fn try_new(len: usize) -> Result<Self, TooMany> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(TooMany)?;
        let bytes = bytes.checked_next_multiple_of(CACHE_LINE).ok_or(TooMany)?;
        Ok(Self {
            memory: Memory::zeroed(bytes).ok_or(TooMany)?,
            len,
            element: PhantomData,
        })
    }
}

impl<T: SimdElement> Clone for AlignedBuffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

/// The allocator has no room for a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is not enough memory")
    }
}

impl std::error::Error for TooMany {}

impl<T> AlignedBuffer<T> {
    /// Bytes that a buffer of `len` elements takes.
    pub const fn bytes_of(len: usize) -> usize {
        allocated((len * size_of::<T>()).div_ceil(CACHE_LINE) * CACHE_LINE)
    }
}

impl<T: SimdElement> Default for AlignedBuffer<T> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<T: SimdElement> Deref for AlignedBuffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the memory holds at least `len` elements, is aligned more strictly than an element, and every bit
        // pattern is a valid f32 and f64 (`SimdElement` is sealed).
        unsafe { std::slice::from_raw_parts(self.memory.start().as_ptr().cast(), self.len) }
    }
}

impl<T: SimdElement> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start().as_ptr().cast(), self.len) }
    }
}

impl<T: SimdElement> fmt::Debug for AlignedBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One row-major block of a larger matrix, as a slice.
#[derive(Clone, Copy, Debug)]
pub struct BlockSlice<'a, T> {
    /// Its rows, `ld` elements apart; the slice may end with the block's last row.
    pub data: &'a [T],
    /// Elements from one row to the next, at least `cols`.
    pub ld: usize,
    /// The position of its first row in the larger matrix.
    pub row: usize,
    /// The position of its first column in the larger matrix.
    pub col: usize,
    /// Rows of the block.
    pub rows: usize,
    /// Columns of the block.
    pub cols: usize,
}

impl<'a, T: SimdElement> BlockSlice<'a, T> {
    /// A whole matrix [rows, cols].
    pub fn whole(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self {
            data,
            ld: cols,
            row: 0,
            col: 0,
            rows,
            cols,
        }
    }

    fn block(&self, rows: usize, cols: usize) -> Block<T> {
        let &BlockSlice {
            data,
            ld,
            row,
            col,
            rows: r,
            cols: c,
        } = self;
        assert!(
            row + r <= rows && col + c <= cols,
            "the block {r}×{c} at ({row}, {col}) lies outside {rows}×{cols}"
        );
        assert!(
            extent(r, c, ld) <= data.len(),
            "the block {r}×{c} with rows {ld} apart needs more than {}",
            data.len()
        );
        Block {
            ptr: data.as_ptr(),
            ld,
            row,
            col,
            rows: r,
            cols: c,
        }
    }
}

/// Elements spanned by `rows` rows of `cols`, `ld` apart.
fn extent(rows: usize, cols: usize, ld: usize) -> usize {
    assert!(
        ld >= cols || rows <= 1,
        "rows of {cols} elements can't be {ld} apart"
    );
    if rows == 0 || cols == 0 {
        0
    } else {
        (rows - 1) * ld + cols
    }
}

/// A packed matrix W [rows, cols] with the kernels that packed it.
#[derive(Clone)]
pub struct Packed<T: SimdElement> {
    kernels: &'static Kernels<T>,
    rows: usize,
    cols: usize,
    transposed: bool,
    data: AlignedBuffer<T>,
}

impl<T: SimdElement> Packed<T> {
    /// Packs the matrix [rows, cols] that `parts` tile.
    ///
    /// # Panics
    /// If a part lies outside the matrix or its slice is too short.
    pub fn new(
        kernels: &'static Kernels<T>,
        rows: usize,
        cols: usize,
        transposed: bool,
        parts: &[BlockSlice<'_, T>],
    ) -> Self {
        let mut data = AlignedBuffer::new(kernels.packed_len(rows, cols, transposed));
        let blocks: Vec<_> = parts.iter().map(|p| p.block(rows, cols)).collect();
        let w = Weights::unpacked(rows, cols, transposed, &blocks);
        // SAFETY: the blocks were checked against the matrix and their slices, the buffer has the packing's length, and
        // `Kernels` exist only for instruction sets that the machine has.
        unsafe { (kernels.pack)(&w, data.as_mut_ptr()) };
        Self {
            kernels,
            rows,
            cols,
            transposed,
            data,
        }
    }

    /// C[m, n] (+)= A[m, k] · Wᵀ (k = cols, n = rows), or · W if transposed (k = rows, n = cols). Rows of A and C without gaps.
    ///
    /// # Panics
    /// If the length of `a` is not m·k or that of `c` is not m·n.
    pub fn product(&self, m: usize, a: &[T], c: &mut [T], add: bool) {
        let Self {
            kernels,
            rows,
            cols,
            transposed,
            ref data,
        } = *self;
        let w = Weights {
            rows,
            cols,
            transposed,
            blocks: std::ptr::null(),
            n_blocks: 0,
            unit: None,
            packed: data.as_ptr(),
        };
        checked(kernels, &w, m, a, c, add);
    }

    /// The packing.
    pub fn data(&self) -> &[T] {
        &self.data
    }
}

impl<T: SimdElement> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernels,
            rows,
            cols,
            transposed,
            data,
        } = self;
        write!(
            f,
            "Packed {{ {rows}×{cols}, transposed: {transposed}, {} elements, {} }}",
            data.len(),
            kernels.isa
        )
    }
}

/// As [`Packed::product`], but directly from the parts that tile W [rows, cols]: for few rows of A.
///
/// # Panics
/// If a part lies outside the matrix or its slice is too short, or the length of `a` is not m·k or that of `c` is not m·n.
#[expect(clippy::too_many_arguments, reason = "three matrices")]
pub fn product_unpacked<T: SimdElement>(
    kernels: &'static Kernels<T>,
    (rows, cols): (usize, usize),
    transposed: bool,
    parts: &[BlockSlice<'_, T>],
    m: usize,
    a: &[T],
    c: &mut [T],
    add: bool,
) {
    let blocks: Vec<_> = parts.iter().map(|p| p.block(rows, cols)).collect();
    let w = Weights::unpacked(rows, cols, transposed, &blocks);
    checked(kernels, &w, m, a, c, add);
}

/// Checks everything except the weights, which are valid.
fn checked<T: SimdElement>(
    kernels: &Kernels<T>,
    w: &Weights<T>,
    m: usize,
    a: &[T],
    c: &mut [T],
    add: bool,
) {
    let (k, n) = (w.inner(), w.outer());
    assert_eq!(a.len(), m * k, "A is [{m}, {k}]");
    assert_eq!(c.len(), m * n, "C is [{m}, {n}]");
    // SAFETY: the caller checked W, the lengths are checked here, and `Kernels` exist only for sets that the machine has.
    unsafe { (kernels.product)(w, m, a.as_ptr(), k, c.as_mut_ptr(), n, add.into()) }
}

/// dst (+)= the sum of the rows of `src`, `[rows, dst.len()]`.
///
/// # Panics
/// If the length of `src` is not rows · dst.len().
pub fn sum_rows<T: SimdElement>(
    kernels: &'static Kernels<T>,
    src: &[T],
    rows: usize,
    dst: &mut [T],
    add: bool,
) {
    let n = dst.len();
    assert_eq!(src.len(), rows * n, "the vectors are [{rows}, {n}]");
    // SAFETY: the length was checked, and `Kernels` exist only for instruction sets that the machine has.
    unsafe { (kernels.sum_rows)(src.as_ptr(), 0, n, 1, rows, n, dst.as_mut_ptr(), add.into()) }
}

/// y = f(x), element by element.
///
/// # Panics
/// If `x` and `y` differ in length.
pub fn activate<T: SimdElement>(kernels: &'static Kernels<T>, f: Activation, x: &[T], y: &mut [T]) {
    // SAFETY: it is a kernel of an instruction set that the machine has.
    unsafe { one_row(kernels.activation(f), x, y) }
}

/// As [`activate`], with any function.
///
/// # Panics
/// If `x` and `y` differ in length.
pub fn apply<T: SimdElement, F: Function>(kernels: &'static Kernels<T>, x: &[T], y: &mut [T]) {
    // SAFETY: it is a kernel of an instruction set that the machine has.
    unsafe { one_row(kernels.function::<F>(), x, y) }
}

/// # Safety
/// `f` must be a kernel of an instruction set that the machine has.
unsafe fn one_row<T: SimdElement>(f: ActivateFn<T>, x: &[T], y: &mut [T]) {
    let n = x.len();
    assert_eq!(n, y.len(), "f goes from as many elements to as many");
    // SAFETY: the length was checked.
    unsafe { f(1, n, x.as_ptr(), n, y.as_mut_ptr(), n) }
}
