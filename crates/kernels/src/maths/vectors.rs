//! The operations on vectors that [`Math`](super::Math) is made of.

use super::Lane;

/// A comparison of floats. Where an operand is NaN, only the last three hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// x = y
    Equal,
    /// x < y
    Less,
    /// x ≤ y
    LessOrEqual,
    /// x ≠ y
    NotEqual,
    /// x ≥ y, or an operand is NaN.
    NotLess,
    /// An operand is NaN.
    Unordered,
}

/// How to round to an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Down.
    Floor,
    /// Up.
    Ceil,
    /// To the nearest, ½ to even.
    Nearest,
}

/// Operations on whole vectors: of registers, which are computed at once; and of the two back ends, which emit them: by
/// Cranelift, whose vectors have 128 bits, or as machine code of the target's width.
///
/// A vector is bits; each operation says how wide its elements are, and whether they are integers. An implementation may
/// know elements of one width only. Results are those of IEEE 754 in every implementation, so that all of them agree bit
/// for bit.
pub trait Vectors {
    /// A vector.
    type V: Copy;
    /// A choice for each element.
    type M: Copy;

    /// The same bits in each element.
    fn bits(&mut self, lane: Lane, bits: u64) -> Self::V;
    /// x + y
    fn add(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x − y
    fn sub(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x·y
    fn mul(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x ÷ y
    fn div(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x·y + z, rounded once; only where [`Math::fma`](super::Math) says that there is such an instruction.
    fn fma(&mut self, lane: Lane, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// x·y − z, as [`Vectors::fma`].
    fn fms(&mut self, lane: Lane, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// z − x·y, as [`Vectors::fma`].
    fn fnma(&mut self, lane: Lane, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// √x
    fn sqrt(&mut self, lane: Lane, x: Self::V) -> Self::V;
    /// The lesser, or y where an operand is NaN or both are zeros.
    fn min(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// The greater, or y where an operand is NaN or both are zeros.
    fn max(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x rounded to an integer; only where there is [`Vectors::fma`].
    fn round(&mut self, lane: Lane, how: Rounding, x: Self::V) -> Self::V;

    /// x and y
    fn and(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x or y
    fn or(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x exclusive or y
    fn xor(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x + y as integers.
    fn iadd(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// x − y as integers.
    fn isub(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::V;
    /// Integers shifted left.
    fn shl(&mut self, lane: Lane, x: Self::V, by: u32) -> Self::V;
    /// Integers shifted right, zeros coming in.
    fn shr(&mut self, lane: Lane, x: Self::V, by: u32) -> Self::V;

    /// Where the comparison holds.
    fn compare(&mut self, lane: Lane, how: Compare, x: Self::V, y: Self::V) -> Self::M;
    /// Where integers are equal.
    fn iequal(&mut self, lane: Lane, x: Self::V, y: Self::V) -> Self::M;
    /// Where both hold.
    fn both(&mut self, lane: Lane, x: Self::M, y: Self::M) -> Self::M;
    /// Where either holds.
    fn either(&mut self, lane: Lane, x: Self::M, y: Self::M) -> Self::M;
    /// Where x holds and y does not.
    fn without(&mut self, lane: Lane, x: Self::M, y: Self::M) -> Self::M;
    /// x where the mask holds, else y.
    fn blend(&mut self, lane: Lane, mask: Self::M, x: Self::V, y: Self::V) -> Self::V;
    /// x where the mask holds, else 0.
    fn masked(&mut self, lane: Lane, mask: Self::M, x: Self::V) -> Self::V;
    /// x where the mask does not hold, else 0.
    fn unmasked(&mut self, lane: Lane, mask: Self::M, x: Self::V) -> Self::V;
}

/// What emitted code can do, too: the functions that need it, sine, cosine and powers, have no kernel.
pub trait Emitter: Vectors {
    /// The lower and the upper half of a vector of `f32`, as `f64`.
    fn widen(&mut self, x: Self::V) -> [Self::V; 2];
    /// The inverse of [`Emitter::widen`], rounding.
    fn narrow(&mut self, halves: [Self::V; 2]) -> Self::V;
    /// The function of those elements of x for which the mask holds, else `fast`: no element depends on its neighbours.
    fn call_if_any(
        &mut self,
        lane: Lane,
        mask: Self::M,
        function: Called,
        x: Self::V,
        fast: Self::V,
    ) -> Self::V;
}

/// A function that emitted code calls where its own does not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Called {
    /// sin x
    Sin,
    /// cos x
    Cos,
}
