//! Kernels that count their calls, for tests and for `explain`.

use std::cell::Cell;

use retrograd_graph::plan::WideActivation;
use retrograd_kernels::{
    ActivateFn, Isa, Kernels, ProductFn, ProductFromFn, SimdElement, Weights, kernels_for,
};

use super::activation;

/// Number of kernel calls in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Products over many steps, or a whole domain, at once.
    pub hoisted_products: usize,
    /// Products inside recurrences: one per slice of rows.
    pub step_products: usize,
    /// Activations of a block of numbers by a wide kernel: one per slice of rows.
    pub activations: usize,
    /// Weights packed.
    pub packs: usize,
    /// Weight gradients (one for all right-hand sides of a left operand) and other sums: one per block of steps.
    pub sums: usize,
}

thread_local! {
    static PRODUCTS: Cell<usize> = const { Cell::new(0) };
    static ACTIVATIONS: Cell<usize> = const { Cell::new(0) };
    static FUNCTIONS: Cell<usize> = const { Cell::new(0) };
}

/// The number of functions compiled on this thread so far, for tests of what is compiled when.
///
/// ```
/// use retrograd_jit::{CompiledCell, Purpose, functions_compiled};
/// use retrograd_tape::{Recorder, InputRole, Shape};
///
/// let r = Recorder::new();
/// r.output("y", r.input("x", InputRole::Sequence, Shape::Vector(3)).tanh());
/// let tape = r.finish("squash")?;
/// let before = functions_compiled();
/// let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward)?;
/// assert!(functions_compiled() > before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn functions_compiled() -> usize {
    FUNCTIONS.with(Cell::get)
}

/// Counts the functions of a program.
pub(super) fn compiled(functions: usize) {
    FUNCTIONS.with(|n| n.set(n.get() + functions));
}

/// Products and activations counted on this thread so far.
pub(super) fn counted() -> (usize, usize) {
    (PRODUCTS.with(Cell::get), ACTIVATIONS.with(Cell::get))
}

/// The table of an instruction set, by its number in [`Isa::ALL`]. Kernels have no context argument, so the table that
/// one around a kernel forwards to is in the function's type.
pub(super) fn kernels_of<T: SimdElement, const ISA: usize>() -> &'static Kernels<T> {
    kernels_for(Isa::ALL[ISA]).expect("whoever wraps kernels is asked for what the machine has")
}

/// Counts, then multiplies.
unsafe extern "C" fn product<T: SimdElement, const ISA: usize>(
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
    unsafe { (kernels_of::<T, ISA>().product)(w, m, a, lda, c, ldc, how) }
}

/// Counts, then multiplies.
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
    PRODUCTS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe { (kernels_of::<T, ISA>().product_from)(w, m, a, lda, bias, c, ldc, how) }
}

/// Counts, then applies the activation of this number in [`WideActivation::ALL`].
unsafe extern "C" fn one<T: SimdElement, const ISA: usize, const K: usize>(
    rows: usize,
    n: usize,
    x: *const T,
    ldx: usize,
    y: *mut T,
    ldy: usize,
) {
    ACTIVATIONS.with(|n| n.set(n.get() + 1));
    // SAFETY: passed on from the caller.
    unsafe {
        (kernels_of::<T, ISA>().activation(activation(WideActivation::ALL[K])))(
            rows, n, x, ldx, y, ldy,
        )
    }
}

/// The kernels that emitted code calls, in counting versions.
type Counting<T> = (
    ProductFn<T>,
    ProductFromFn<T>,
    [ActivateFn<T>; WideActivation::ALL.len()],
);

fn table<T: SimdElement, const ISA: usize>() -> Counting<T> {
    (
        product::<T, ISA>,
        product_from::<T, ISA>,
        [
            one::<T, ISA, 0>,
            one::<T, ISA, 1>,
            one::<T, ISA, 2>,
            one::<T, ISA, 3>,
        ],
    )
}

/// Counting versions of the kernels of an instruction set that emitted code calls.
pub(super) fn counting<T: SimdElement>(isa: Isa) -> Counting<T> {
    match isa {
        Isa::Avx512 => table::<T, { position(Isa::Avx512) }>(),
        Isa::Avx2 => table::<T, { position(Isa::Avx2) }>(),
        Isa::Portable => table::<T, { position(Isa::Portable) }>(),
    }
}

/// The position of an instruction set in [`Isa::ALL`].
pub(super) const fn position(isa: Isa) -> usize {
    let mut i = 0;
    while Isa::ALL[i] as u8 != isa as u8 {
        i += 1;
    }
    i
}
