//! The methods of [`Simd`](crate::simd::Simd) and [`Elementwise`](crate::simd::Elementwise) that are single instructions,
//! for every x86-64 instruction set and element.

/// Methods of an `impl Simd`: the set's features, element and register, then the intrinsics.
macro_rules! one_instruction {
    ($features:literal, $t:ty, $v:ty; $zero:ident, $splat:ident, $load:ident, $store:ident;
     $fma:ident, $fms:ident; $($name:ident $binary:ident),*) => {
        #[inline(always)]
        unsafe fn vectorize<O: $crate::simd::SimdOp>(op: O) {
            #[target_feature(enable = $features)]
            unsafe fn run<O: $crate::simd::SimdOp>(op: O) {
                // SAFETY: this is `vectorize` of the instruction set; the caller guarantees the operation's memory.
                unsafe { op.run() }
            }
            // SAFETY: the caller guarantees the instruction set and the operation's memory.
            unsafe { run(op) }
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn zero() -> $v {
            $zero()
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn splat(x: $t) -> $v {
            $splat(x)
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn load(p: *const $t) -> $v {
            // SAFETY: the caller guarantees `LANES` elements.
            unsafe { $load(p) }
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn store(p: *mut $t, v: $v) {
            // SAFETY: the caller guarantees `LANES` elements.
            unsafe { $store(p, v) }
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
            $fma(a, b, c)
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn fms(a: $v, b: $v, c: $v) -> $v {
            $fms(a, b, c)
        }
        $(
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn $name(a: $v, b: $v) -> $v {
                $binary(a, b)
            }
        )*
    };
}
pub(crate) use one_instruction;

/// Methods of an `impl Elementwise`: the set's features and register, then the intrinsics. Shifts have one count for all
/// elements, a constant after inlining.
macro_rules! elementwise {
    ($features:literal, $v:ty; $fnma:ident, $sqrt:ident, $round:ident, $compare:ident;
     $($name:ident $binary:ident),*;
     $to_integers:ident, $of_integers:ident; $($integers:ident $of_two:ident),*; $($shift:ident $by:ident),*;
     $($choice:ident $of_masks:ident),*) => {
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn fnma(a: $v, b: $v, c: $v) -> $v {
            $fnma(a, b, c)
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn sqrt(v: $v) -> $v {
            $sqrt(v)
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn round(how: Rounding, v: $v) -> $v {
            match how {
                Rounding::Floor => $round::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(v),
                Rounding::Ceil => $round::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(v),
                Rounding::Nearest => $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v),
            }
        }
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn compare(how: Compare, a: $v, b: $v) -> Self::M {
            match how {
                Compare::Equal => $compare::<_CMP_EQ_OQ>(a, b),
                Compare::Less => $compare::<_CMP_LT_OQ>(a, b),
                Compare::LessOrEqual => $compare::<_CMP_LE_OQ>(a, b),
                Compare::NotEqual => $compare::<_CMP_NEQ_UQ>(a, b),
                Compare::NotLess => $compare::<_CMP_NLT_UQ>(a, b),
                Compare::Unordered => $compare::<_CMP_UNORD_Q>(a, b),
            }
        }
        $(
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn $name(a: $v, b: $v) -> $v {
                $binary(a, b)
            }
        )*
        $(
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn $integers(a: $v, b: $v) -> $v {
                $of_integers($of_two($to_integers(a), $to_integers(b)))
            }
        )*
        $(
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn $shift(v: $v, by: u32) -> $v {
                $of_integers($by($to_integers(v), _mm_cvtsi32_si128(by as i32)))
            }
        )*
        $(
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn $choice(a: Self::M, b: Self::M) -> Self::M {
                $of_masks(a, b)
            }
        )*
    };
}
pub(crate) use elementwise;

/// The same vector, of which the compiler knows nothing, as `micro` has it of addresses. Otherwise it would turn each shuffle
/// of what was loaded into a load of its own.
macro_rules! own_vector {
    ($class:ident, $v:expr) => {{
        let mut v = $v;
        // SAFETY: there is no instruction, and the register is given back as it was.
        unsafe {
            std::arch::asm!("/* {0} */", inout($class) v, options(pure, nomem, nostack, preserves_flags));
        }
        v
    }};
}
pub(crate) use own_vector;
