//! The methods of [`Simd`](crate::simd::Simd) that are single instructions, for every x86-64 instruction set and element.

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
