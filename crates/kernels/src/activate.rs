//! Activations over blocks of rows: y[r, j] = f(x[r, j]), optionally in place, and other functions of [`maths`] alike.
//!
//! For the gates of a cell, where gates that share an activation are adjacent in every row.
//!
//! One register at a time: a function is a chain of some 15 operations of 3 to 4 cycles, and the next registers' chains start
//! while it runs. Unrolling by 2, 3 or 4 was no faster on Zen 4 (`examples/rates.rs`: 0.8 cycles per element of f32 with
//! AVX-512); nor would division by reciprocal and Newton steps be, as the divider works in parallel with the multipliers.
//!
//! Invariant: an element of y depends on its element of x alone, bit for bit, regardless of its position; memory
//! between the rows is neither read nor written.

use crate::ActivateFn;
use crate::maths::{self, Function, Math, Vectors};
use crate::simd::{Elementwise, SimdOp};
use std::marker::PhantomData;

/// A function of one number, applied element-wise. NaN gives NaN; ±∞, ±0 and subnormals behave as in `std`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// tanh x.
    Tanh,
    /// 1 ÷ (1 + e⁻ˣ), as accurate in its lower tail as elsewhere.
    Sigmoid,
    /// eˣ.
    Exp,
    /// ln(1 + eˣ).
    Softplus,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 4] = [
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Exp,
        Activation::Softplus,
    ];
    /// The largest error of any of them, in units of the last place of the correctly rounded result, on every instruction set.
    pub const ULP: f64 = 4.0;
}

/// The kernel of an activation.
pub(crate) fn kernel<S: Elementwise>(f: Activation) -> ActivateFn<S::T> {
    match f {
        Activation::Tanh => activate::<S, Tanh>,
        Activation::Sigmoid => activate::<S, Sigmoid>,
        Activation::Exp => activate::<S, Exp>,
        Activation::Softplus => activate::<S, Softplus>,
    }
}

/// A function of [`Math`] as one of its own.
macro_rules! function {
    ($($name:ident $method:ident),*) => {
        $(
            struct $name;
            impl Function for $name {
                #[inline(always)]
                fn of<E: Vectors>(math: &mut Math<'_, E>, x: E::V) -> E::V {
                    math.$method(x)
                }
            }
        )*
    };
}
function!(Tanh tanh, Sigmoid sigmoid, Exp exp, Softplus softplus);

/// See [`ActivateFn`].
///
/// # Safety
/// See [`ActivateFn`].
pub(crate) unsafe extern "C" fn activate<S: Elementwise, F: Function>(
    rows: usize,
    n: usize,
    x: *const S::T,
    ldx: usize,
    y: *mut S::T,
    ldy: usize,
) {
    // Rows without gaps are one row, with one remainder.
    let (rows, n) = if ldx == n && ldy == n {
        (1, rows * n)
    } else {
        (rows, n)
    };
    let op = Activate::<S, F> {
        rows,
        n,
        x,
        ldx,
        y,
        ldy,
        set: PhantomData,
    };
    // SAFETY: the caller guarantees the memory and the instruction set.
    unsafe { S::vectorize(op) }
}

struct Activate<S: Elementwise, F> {
    rows: usize,
    n: usize,
    x: *const S::T,
    ldx: usize,
    y: *mut S::T,
    ldy: usize,
    set: PhantomData<(S, F)>,
}

impl<S: Elementwise, F: Function> SimdOp for Activate<S, F> {
    #[inline(always)]
    unsafe fn run(self) {
        let n = self.n;
        for r in 0..self.rows {
            // SAFETY: row r of x and of y has n elements; parts cover the last n − j of them. A register is loaded before
            // its place is stored to, so y may be x.
            unsafe {
                let (x, y) = (self.x.add(r * self.ldx), self.y.add(r * self.ldy));
                let mut j = 0;
                while n - j >= S::LANES {
                    S::store(y.add(j), maths::of::<S, F>(S::load(x.add(j))));
                    j += S::LANES;
                }
                if j < n {
                    let last = S::load_part(x.add(j), n - j);
                    S::store_part(y.add(j), n - j, maths::of::<S, F>(last));
                }
            }
        }
    }
}
