//! The arguments of compiled loops, and the offsets of their fields.

use std::sync::atomic::AtomicU64;

use retrograd_graph::plan::WideActivation;
use retrograd_kernels::{ActivateFn, SimdElement, Weights};

/// The argument block of compiled loops. Compiled code reads its fields at [`offset`].
#[repr(C)]
pub(crate) struct Frame<T: SimdElement> {
    /// For arrays over steps, where the entry 0 of the table `before` leads to; for other arrays, their first number.
    pub(crate) bases: *const *mut T,
    /// For arrays over steps, the boundary steps after the last step of each row, and before them the last steps.
    pub(crate) ends: *const *mut T,
    /// Points before each step; this is the entry of step 0.
    pub(crate) before: *const i64,
    pub(crate) weights: *const Weights<T>,
    pub(crate) product: retrograd_kernels::ProductFn<T>,
    pub(crate) product_from: retrograd_kernels::ProductFromFn<T>,
    /// With a row's own matrix, and with its transpose.
    pub(crate) matvec: [retrograd_kernels::MatVecFn<T>; 2],
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    /// Non-zero once an index was no row of its table: loops on any thread write 1, and the caller checks it after they
    /// finish.
    pub(crate) outside: AtomicU64,
    pub(crate) activations: [ActivateFn<T>; WideActivation::ALL.len()],
}

impl<T: SimdElement> Frame<T> {
    /// Whether an index was no row of its table since the last call.
    pub(crate) fn was_outside(&mut self) -> bool {
        std::mem::take(self.outside.get_mut()) != 0
    }
}

// SAFETY: while loops run the frame is read only, except for a mark that all of them set to the same value; the arrays
// it points to are divided among the threads by rows.
unsafe impl<T: SimdElement> Sync for Frame<T> {}

/// Byte offsets of a frame's fields, the same for both precisions: every field is an address or a word.
pub(crate) mod offset {
    use std::mem::{offset_of, size_of};

    use super::{Frame, Weights, WideActivation};

    macro_rules! offsets {
        ($($name:ident $field:ident),*) => {$(
            pub(crate) const $name: i32 = offset_of!(Frame<f32>, $field) as i32;
            const _: () = assert!(offset_of!(Frame<f64>, $field) as i32 == $name);
        )*};
    }

    offsets!(BASES bases, ENDS ends, BEFORE before, WEIGHTS weights, PRODUCT product, PRODUCT_FROM product_from, MATVEC matvec, STEPS steps);
    offsets!(ROWS rows, OUTSIDE outside, ACTIVATIONS activations);

    /// Size of an address, such as that of an activation.
    pub(crate) const ADDRESS: i32 = size_of::<*const ()>() as i32;
    /// Size of one weight's description.
    pub(crate) const WEIGHT_BYTES: i64 = size_of::<Weights<f32>>() as i64;

    const _: () = assert!(size_of::<Weights<f64>>() as i64 == WEIGHT_BYTES);
    const _: () = assert!(
        size_of::<Frame<f32>>() as i32 == ACTIVATIONS + ADDRESS * WideActivation::ALL.len() as i32
    );
    // Emitted code loads words of 8 bytes.
    const _: () = assert!(ADDRESS == 8);
}
