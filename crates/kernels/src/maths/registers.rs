//! Maths on registers: the operations of [`Vectors`] computed at once, for the kernels.

use std::marker::PhantomData;

use super::{Compare, Lane, Math, Rounding, Vectors};
use crate::simd::{Elementwise, Scalar};

/// A function of one number, written for any vectors, whose kernel [`Kernels::function`](crate::Kernels::function) is.
///
/// ```
/// use retrograd_kernels::maths::{Function, Math, Vectors};
/// use retrograd_kernels::{Isa, apply, kernels_for};
///
/// struct Swish;
/// impl Function for Swish {
///     #[inline(always)]
///     fn of<E: Vectors>(math: &mut Math<'_, E>, x: E::V) -> E::V {
///         let gate = math.sigmoid(x);
///         math.mul(x, gate)
///     }
/// }
///
/// let kernels = kernels_for::<f32>(Isa::widest()).unwrap();
/// let mut y = [0.0; 2];
/// apply::<f32, Swish>(kernels, &[0.0, 40.0], &mut y);
/// assert_eq!(y, [0.0, 40.0]);
/// ```
pub trait Function: 'static {
    /// The function of each element. `#[inline(always)]`: else it is not compiled for the instruction set, and slow.
    fn of<E: Vectors>(math: &mut Math<'_, E>, x: E::V) -> E::V;
}

/// The function of each element of a register.
///
/// # Safety
/// As for the methods of [`Simd`](crate::simd::Simd): call it below `vectorize` only.
#[inline(always)]
pub(crate) unsafe fn of<S: Elementwise, F: Function>(x: S::V) -> S::V {
    let mut registers = Registers::<S>(PhantomData);
    F::of(&mut Math::new(&mut registers, S::T::LANE, S::FUSED), x)
}

/// Computes on registers of an instruction set, with elements of its width.
///
/// Invariant: one exists only within [`of`], so below `vectorize` of the instruction set.
struct Registers<S>(PhantomData<S>);

/// Methods that are one of the instruction set's.
macro_rules! computed {
    ($($name:ident($($x:ident: $t:ty),*) -> $result:ty;)*) => {
        $(
            #[inline(always)]
            fn $name(&mut self, _: Lane, $($x: $t),*) -> $result {
                // SAFETY: the invariant of the type.
                unsafe { S::$name($($x),*) }
            }
        )*
    };
}

impl<S: Elementwise> Vectors for Registers<S> {
    type V = S::V;
    type M = S::M;

    #[inline(always)]
    fn bits(&mut self, _: Lane, bits: u64) -> S::V {
        // SAFETY: the invariant of the type.
        unsafe { S::splat(S::T::of_bits(bits)) }
    }

    computed! {
        add(x: S::V, y: S::V) -> S::V;
        sub(x: S::V, y: S::V) -> S::V;
        mul(x: S::V, y: S::V) -> S::V;
        div(x: S::V, y: S::V) -> S::V;
        fma(x: S::V, y: S::V, z: S::V) -> S::V;
        fms(x: S::V, y: S::V, z: S::V) -> S::V;
        fnma(x: S::V, y: S::V, z: S::V) -> S::V;
        sqrt(x: S::V) -> S::V;
        min(x: S::V, y: S::V) -> S::V;
        max(x: S::V, y: S::V) -> S::V;
        round(how: Rounding, x: S::V) -> S::V;
        and(x: S::V, y: S::V) -> S::V;
        or(x: S::V, y: S::V) -> S::V;
        xor(x: S::V, y: S::V) -> S::V;
        iadd(x: S::V, y: S::V) -> S::V;
        isub(x: S::V, y: S::V) -> S::V;
        shl(x: S::V, by: u32) -> S::V;
        shr(x: S::V, by: u32) -> S::V;
        compare(how: Compare, x: S::V, y: S::V) -> S::M;
        iequal(x: S::V, y: S::V) -> S::M;
        both(x: S::M, y: S::M) -> S::M;
        either(x: S::M, y: S::M) -> S::M;
        without(x: S::M, y: S::M) -> S::M;
        blend(mask: S::M, x: S::V, y: S::V) -> S::V;
        masked(mask: S::M, x: S::V) -> S::V;
        unmasked(mask: S::M, x: S::V) -> S::V;
    }
}
