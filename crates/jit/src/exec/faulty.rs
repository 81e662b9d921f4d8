//! A kernel that misses the last number of a row: one of the deliberate [faults](retrograd_tape::faults).

use retrograd_graph::plan::WideActivation;
use retrograd_kernels::{ActivateFn, Isa, SimdElement, kernels_for};

use super::activation;

/// Applies the activation of this number in [`WideActivation::ALL`], but not to a row's last number, unless rows are whole
/// vectors.
unsafe extern "C" fn one<T: SimdElement, const ISA: usize, const K: usize>(
    rows: usize,
    n: usize,
    x: *const T,
    ldx: usize,
    y: *mut T,
    ldy: usize,
) {
    let kernels = kernels_for::<T>(Isa::ALL[ISA]).expect("the machine has it");
    let apply = kernels.activation(activation(WideActivation::ALL[K]));
    let n = if n.is_multiple_of(16) { n } else { n - 1 };
    for row in 0..rows {
        // SAFETY: fewer numbers of the same rows.
        unsafe { apply(1, n, x.add(row * ldx), ldx, y.add(row * ldy), ldy) }
    }
}

fn table<T: SimdElement, const ISA: usize>() -> [ActivateFn<T>; WideActivation::ALL.len()] {
    [
        one::<T, ISA, 0>,
        one::<T, ISA, 1>,
        one::<T, ISA, 2>,
        one::<T, ISA, 3>,
    ]
}

/// The kernels of an instruction set.
pub(super) fn activations<T: SimdElement>(isa: Isa) -> [ActivateFn<T>; WideActivation::ALL.len()] {
    match Isa::ALL.iter().position(|i| *i as u8 == isa as u8) {
        Some(0) => table::<T, 0>(),
        Some(1) => table::<T, 1>(),
        _ => table::<T, 2>(),
    }
}
