//! Kernels that count their calls, for tests and for `explain`.

use std::cell::Cell;

use retrograd_graph::plan::WIDE;
use retrograd_kernels::{ActivateFn, Real, Weights, kernels};

use super::activation;
use crate::element::Element;

/// How often kernels were called in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Products over many steps, or a whole domain, at once.
    pub hoisted_products: usize,
    /// Products inside recurrences: one for each slice of rows.
    pub step_products: usize,
    /// Activations of a block of numbers, by a wide kernel: one for each slice of rows.
    pub activations: usize,
    /// Weights packed.
    pub packs: usize,
    /// Weight gradients (each for all right-hand sides of one left operand) and other sums: one for each block of steps.
    pub sums: usize,
}

thread_local! {
    static PRODUCTS: Cell<usize> = const { Cell::new(0) };
    static ACTIVATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Products and activations counted on this thread so far.
pub(super) fn counted() -> (usize, usize) {
    (PRODUCTS.with(Cell::get), ACTIVATIONS.with(Cell::get))
}

/// Counts, then multiplies.
pub(super) unsafe extern "C" fn product<T: Real>(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    c: *mut T,
    ldc: usize,
    how: u32,
) {
    PRODUCTS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels::<T>().product)(w, m, a, lda, c, ldc, how) }
}

/// Counts, then multiplies.
pub(super) unsafe extern "C" fn product_from<T: Real>(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    bias: *const T,
    c: *mut T,
    ldc: usize,
    how: u32,
) {
    PRODUCTS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels::<T>().product_from)(w, m, a, lda, bias, c, ldc, how) }
}

/// Counts, then applies the activation of this number in [`WIDE`].
unsafe extern "C" fn one<T: Element, const K: usize>(
    rows: usize,
    n: usize,
    x: *const T,
    ldx: usize,
    y: *mut T,
    ldy: usize,
) {
    ACTIVATIONS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels::<T>().activation(activation(WIDE[K])))(rows, n, x, ldx, y, ldy) }
}

/// All activations, counting.
pub(super) fn activations<T: Element>() -> [ActivateFn<T>; WIDE.len()] {
    [one::<T, 0>, one::<T, 1>, one::<T, 2>, one::<T, 3>]
}
