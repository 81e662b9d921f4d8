//! Packed matrix products, reductions over whole sequences and wide activations: the bulk of a recurrent cell's run time.
//!
//! The code that `retrograd-jit` compiles calls these kernels through function pointers; Rust callers may use them,
//! too. A kernel computes a product, a sum or one function, never a cell's expression.
//!
//! | kernel | computes | for |
//! | --- | --- | --- |
//! | [`product`](Kernels::product) | C[m, n] (+)= A[m, k] · Wᵀ or · W | gates forward, adjoints backward |
//! | [`product_from`](Kernels::product_from) | C[m, n] = bias + A[m, k] · Wᵀ or · W | products with a bias, in no pass of its own |
//! | [`pack`](Kernels::pack) | panels of W | once a training step, if A has more than a row or two |
//! | [`outer`](Kernels::outer) | Σ δ rᵀ over steps and rows, and Σ δ | weight and bias gradients, all steps at once |
//! | [`matvec`](Kernels::matvec) | M x or Mᵀ x | products with a row's own matrix |
//! | [`row_outer`](Kernels::row_outer) | Σ a bᵀ over steps, for each row by itself | a row's own matrices |
//! | [`sum_rows`](Kernels::sum_rows) | Σ of vectors over steps and rows | other sums over time and batch |
//! | [`activation`](Kernels::activation) | y = f(x), element by element | gates that share an activation |
//!
//! Products and outer products of f32 can round their operands to bfloat16, if the arguments name a [`Bf16Unit`].
//!
//! Each exists for f32 and f64 and for every [`Isa`]: [`kernels_for`] returns the table of one instruction set, which
//! the caller keeps. This crate never chooses a set.
//!
//! ```
//! use retrograd_kernels::{Isa, Packed, BlockSlice, kernels_for};
//! let kernels = kernels_for(Isa::widest()).unwrap();
//! let w = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2, 3]
//! let packed = Packed::new(kernels, 2, 3, false, &[BlockSlice::whole(&w, 2, 3)]);
//! let mut y = [0.0; 2];
//! packed.product(1, &[1.0, 0.0, 1.0], &mut y, false);
//! assert_eq!(y, [4.0, 10.0]);
//! ```
//!
//! Invariants: no kernel allocates, unwinds, or accesses memory beyond the matrices described to it; an element of a
//! packed product, of an outer product or of an activation has the same bits regardless of the rows computed together
//! with it, so work may be split over threads in any way. No state is kept between calls, and the environment is not
//! read.
//!
//! One file per instruction set (`avx512`, `avx2`, `portable`) implements a small trait; blocking and packing are
//! written once over it (`product`, `row`, `extra`, `unpacked`, `matvec`, `dots`, `pack`, `outer`, `narrow`, `terms`, `rows`,
//! `sum`, on the tiles of `micro`, which prefetch as `ahead` says), and so are the activations (`activate`), of functions
//! that [`maths`] writes once for kernels and emitted code.

mod activate;
mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bf16;
mod buffer;
mod destinations;
mod dots;
mod extra;
pub mod maths;
mod matvec;
mod memory;
mod micro;
mod narrow;
mod outer;
mod pack;
pub mod peak;
mod portable;
mod product;
mod row;
mod rows;
mod simd;
mod sum;
mod terms;
mod types;
mod unpacked;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use activate::Activation;
pub use bf16::Bf16Unit;
pub use buffer::{
    AlignedBuffer, BlockSlice, Packed, TooMany, activate, apply, product_unpacked, sum_rows,
};
pub use extra::whole;
pub use memory::{CACHE_LINE, try_reserve_total};
pub use outer::outer_terms;
pub use types::{
    ADD, BACKWARD, Block, BlockMut, IN_ORDER, OuterArgs, OuterRhs, PieceMut, RowOuterArgs,
    StridedBlock, Weights,
};

use maths::Function;
use std::fmt;

/// The kernels for T of one instruction set, if the machine supports it.
pub fn kernels_for<T: SimdElement>(isa: Isa) -> Option<&'static Kernels<T>> {
    T::kernels_for(isa)
}

/// The kernels for elements T of one instruction set. They exist only for instruction sets that the machine supports,
/// so a kernel's preconditions concern memory alone.
#[derive(Debug)]
pub struct Kernels<T: SimdElement> {
    /// The instruction set.
    pub isa: Isa,
    /// Columns of a panel.
    pub panel: usize,
    /// Rows of the largest micro-kernel. Row counts just above a multiple of it are the least efficient.
    pub tile_rows: usize,
    /// C[m, n] (+)= A[m, k] · B.
    pub product: ProductFn<T>,
    /// C[m, n] = bias + A[m, k] · B.
    pub product_from: ProductFromFn<T>,
    /// Packs weights for `product` and `product_from`.
    pub pack: PackFn<T>,
    /// Σ δ rᵀ and Σ δ.
    pub outer: OuterFn<T>,
    /// M x and Mᵀ x.
    pub matvec: [MatVecFn<T>; 2],
    /// Σ a bᵀ for each row by itself.
    pub row_outer: RowOuterFn<T>,
    /// Σ of vectors.
    pub sum_rows: SumRowsFn<T>,
    activate: fn(Activation) -> ActivateFn<T>,
    outer_scratch_len: fn(usize, usize, usize) -> usize,
}

/// `product(w, m, a, lda, c, ldc, how)`: C[m, rows] = A[m, cols] · Wᵀ, or C[m, cols] = A[m, rows] · W if `w.transposed`;
/// `how` is 0 or a combination of [`ADD`], [`BACKWARD`] and [`IN_ORDER`]. Strides `lda`, `ldc` in elements from row to row.
///
/// # Safety
/// `w` must be readable, with its blocks (if `packed` is null) or its packing, made by `pack` of the same `Kernels`.
/// `a` must have m readable rows, `c` m writable rows that overlap nothing else.
pub type ProductFn<T> = unsafe extern "C" fn(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    c: *mut T,
    ldc: usize,
    how: u32,
);

/// `product_from(w, m, a, lda, bias, c, ldc, how)`: as [`ProductFn`], but C[i, :] = bias + A[i, :] · B for each of the
/// m rows: the sums start from the bias instead of 0, which saves another pass over C; `how` may be [`BACKWARD`] and
/// [`IN_ORDER`].
///
/// # Safety
/// As for [`ProductFn`]; `bias` must have as many readable elements as C has columns, and `c` must not overlap it.
pub type ProductFromFn<T> = unsafe extern "C" fn(
    w: *const Weights<T>,
    m: usize,
    a: *const T,
    lda: usize,
    bias: *const T,
    c: *mut T,
    ldc: usize,
    how: u32,
);

/// `pack(w, out)`: packs the blocks of `w` for products in its direction (`w.packed` is not read).
///
/// # Safety
/// `w` and its blocks must be readable; `out` must have [`Kernels::packed_len`] writable elements that overlap nothing else.
pub type PackFn<T> = unsafe extern "C" fn(w: *const Weights<T>, out: *mut T);

/// `outer(args, i0, i1, scratch)`: rows i0..i1 of all results of `args`; other rows are not touched. A row's bits do
/// not depend on the range.
///
/// # Safety
/// `args` must be readable with everything it refers to; rows i0..i1 of the destinations must be writable and overlap
/// nothing else; `scratch` must have [`Kernels::outer_scratch_len`] writable elements, one scratch per thread.
pub type OuterFn<T> =
    unsafe extern "C" fn(args: *const OuterArgs<T>, i0: usize, i1: usize, scratch: *mut T);

/// `matvec(rows, cols, m, x, y)`: y = M x, or Mᵀ x, for a matrix [rows, cols] of contiguous rows.
///
/// # Safety
/// `m` must have rows · cols readable elements, `x` as many as each sum has terms; as many of `y` as there are sums must be
/// writable and overlap nothing else. Neither size may be 0.
pub type MatVecFn<T> =
    unsafe extern "C" fn(rows: usize, cols: usize, m: *const T, x: *const T, y: *mut T);

/// `row_outer(args, b0, b1)`: the matrices of rows b0..b1 of `args`. A matrix has the same bits on every instruction set.
///
/// # Safety
/// `args` must be readable with everything it refers to; these rows' matrices must be writable and overlap nothing else.
pub type RowOuterFn<T> = unsafe extern "C" fn(args: *const RowOuterArgs<T>, b0: usize, b1: usize);

/// `sum_rows(src, step_stride, row_stride, steps, rows, n, dst, add)`: dst = Σ over t < steps, b < rows of the n elements
/// at `src + t·step_stride + b·row_stride` (elements); added to dst if `add` is not 0.
///
/// # Safety
/// The vectors must be readable, `dst` must have n writable elements that overlap nothing else.
pub type SumRowsFn<T> = unsafe extern "C" fn(
    src: *const T,
    step_stride: usize,
    row_stride: usize,
    steps: usize,
    rows: usize,
    n: usize,
    dst: *mut T,
    add: u32,
);

/// `activate(rows, n, x, ldx, y, ldy)`: y[r, j] = f(x[r, j]) for `rows` rows of n elements, `ldx` and `ldy` elements apart.
/// An element has the same bits regardless of its position in a row.
///
/// # Safety
/// The rows of `x` must be readable, those of `y` writable; `y` may be `x` with the same stride, or overlap nothing else.
pub type ActivateFn<T> =
    unsafe extern "C" fn(rows: usize, n: usize, x: *const T, ldx: usize, y: *mut T, ldy: usize);

impl<T: SimdElement> Kernels<T> {
    const fn of<S: simd::Elementwise<T = T>>() -> Self {
        Self {
            isa: S::ISA,
            panel: S::NR,
            tile_rows: S::MR,
            product: product::product::<S>,
            product_from: product::product_from::<S>,
            pack: pack::pack::<S>,
            outer: outer::outer::<S>,
            matvec: [matvec::matvec::<S>, matvec::matvec_transposed::<S>],
            row_outer: rows::row_outer::<S>,
            sum_rows: sum::sum_rows::<S>,
            activate: activate::kernel::<S>,
            outer_scratch_len: outer::scratch_len::<S>,
        }
    }

    /// y = f(x), element by element, over rows.
    pub fn activation(&self, f: Activation) -> ActivateFn<T> {
        (self.activate)(f)
    }

    /// y = f(x), element by element, over rows, for any function.
    pub fn function<F: Function>(&self) -> ActivateFn<T> {
        T::function::<F>(self.isa)
    }

    /// Elements of the packing of a matrix [rows, cols]: the product's columns in whole panels, but for a few columns beyond
    /// whole registers, which are packed by themselves.
    pub fn packed_len(&self, rows: usize, cols: usize, transposed: bool) -> usize {
        pack::packed_len::<T>(self.panel, rows, cols, transposed)
    }

    /// Elements of the packing of such a matrix for a unit: see [`Weights::unit`].
    pub fn packed_len_of(
        &self,
        unit: Bf16Unit,
        rows: usize,
        cols: usize,
        transposed: bool,
    ) -> usize {
        let (k, n) = match transposed {
            true => (rows, cols),
            false => (cols, rows),
        };
        bf16::packed_len(self.isa, unit, k, n)
    }

    /// Elements of scratch that `outer` needs for a unit: see [`outer_scratch_len`](Self::outer_scratch_len).
    pub fn outer_scratch_len_of(&self, unit: Bf16Unit, k: usize, n: usize, runs: usize) -> usize {
        bf16::scratch_len(self.isa, unit, k, n, runs)
    }

    /// Elements of scratch that `outer` needs for `k` = steps · rows terms and right-hand sides of `n` elements, whose
    /// destinations have `runs` runs of columns, in total: usually one per right-hand side, more for adjacent blocks.
    pub fn outer_scratch_len(&self, k: usize, n: usize, runs: usize) -> usize {
        (self.outer_scratch_len)(k, n, runs)
    }
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512 F, DQ and VL, with AVX2 and FMA.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// The baseline of the architecture that this crate was compiled for.
    Portable,
}

impl Isa {
    /// All of them, the widest first.
    pub const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// The widest that the machine supports.
    pub fn widest() -> Isa {
        let mut all = Isa::ALL.into_iter();
        all.find(|isa| isa.available()).unwrap_or(Isa::Portable)
    }

    /// Rows of its largest micro-kernel, for elements of any type.
    pub const fn tile_rows(self) -> usize {
        match self {
            Isa::Avx512 => 12,
            Isa::Avx2 => 6,
            Isa::Portable => 4,
        }
    }

    /// Whether the machine supports it.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Isa::Avx2.available()
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Avx512 => "AVX-512",
            Isa::Avx2 => "AVX2+FMA",
            Isa::Portable => "portable",
        })
    }
}

/// An element: f32 or f64.
pub trait SimdElement:
    sealed::Tables
    + Copy
    + Default
    + PartialOrd
    + fmt::Debug
    + Send
    + Sync
    + std::ops::Add<Output = Self>
    + std::ops::Mul<Output = Self>
{
    /// self · a + b with a single rounding.
    fn mul_add(self, a: Self, b: Self) -> Self;
}

impl SimdElement for f32 {
    fn mul_add(self, a: f32, b: f32) -> f32 {
        f32::mul_add(self, a, b)
    }
}

impl SimdElement for f64 {
    fn mul_add(self, a: f64, b: f64) -> f64 {
        f64::mul_add(self, a, b)
    }
}

mod sealed {
    use super::{ActivateFn, Function, Isa, Kernels, SimdElement};
    use crate::activate::activate;
    use crate::portable::Portable;
    #[cfg(target_arch = "x86_64")]
    use crate::{avx2::Avx2, avx512::Avx512};

    /// The kernels that exist for an element.
    pub trait Tables: Sized + 'static {
        /// The kernels of an instruction set, if the machine supports it.
        fn kernels_for(isa: Isa) -> Option<&'static Kernels<Self>>
        where
            Self: SimdElement;

        /// The kernel of a function.
        fn function<F: Function>(isa: Isa) -> ActivateFn<Self>;
    }

    macro_rules! tables {
        ($t:ty, $lanes:literal) => {
            impl Tables for $t {
                fn kernels_for(isa: Isa) -> Option<&'static Kernels<$t>> {
                    let kernels: &'static Kernels<$t> = match isa {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 => const { &Kernels::of::<Avx512<$t>>() },
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => const { &Kernels::of::<Avx2<$t>>() },
                        #[cfg(not(target_arch = "x86_64"))]
                        Isa::Avx512 | Isa::Avx2 => return None,
                        Isa::Portable => const { &Kernels::of::<Portable<$t, $lanes>>() },
                    };
                    isa.available().then_some(kernels)
                }

                fn function<F: Function>(isa: Isa) -> ActivateFn<$t> {
                    match isa {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 => activate::<Avx512<$t>, F>,
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => activate::<Avx2<$t>, F>,
                        // Others have no kernels that could ask.
                        _ => activate::<Portable<$t, $lanes>, F>,
                    }
                }
            }
        };
    }
    tables!(f32, 4);
    tables!(f64, 2);
}
