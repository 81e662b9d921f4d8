//! The loops of the interpreter: each computes one op for all rows of one tick. Element-wise loops run over plain slices,
//! so that LLVM vectorises them.

use std::ops::Range;

use crate::gemm::{StridedMatrix, gemm};
use crate::map::Map;
use crate::op::Reduction;
use crate::real::Real;
use crate::sums::{self, CompensatedSum, sum};

/// An operand at one tick.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a, T> {
    /// A value for each row, contiguous.
    Full(&'a [T]),
    /// One value for all rows.
    Row(&'a [T]),
    /// One value for all rows, with all elements equal to this number.
    Splat(T, &'a [T]),
}

impl<'a, T: Copy> Operand<'a, T> {
    /// The value of row `r`; a value has `n` elements.
    pub(crate) fn row(self, r: usize, n: usize) -> &'a [T] {
        match self {
            Operand::Full(s) => &s[r * n..][..n],
            Operand::Row(s) | Operand::Splat(_, s) => s,
        }
    }

    /// All rows as a matrix of `n` columns.
    fn matrix(self, n: usize) -> StridedMatrix<'a, T> {
        let (data, row_stride) = match self {
            Operand::Full(s) => (s, n),
            Operand::Row(s) | Operand::Splat(_, s) => (s, 0),
        };
        StridedMatrix {
            data,
            row_stride,
            column_stride: 1,
        }
    }
}

#[inline(always)]
fn put<T: Real, const ADD: bool>(to: &mut T, x: T) {
    if ADD {
        *to += x;
    } else {
        *to = x;
    }
}

fn map1<T: Real, const ADD: bool>(out: &mut [T], n: usize, x: Operand<'_, T>, f: impl Fn(T) -> T) {
    match x {
        Operand::Splat(x, _) => {
            let y = f(x);
            out.iter_mut().for_each(|o| put::<T, ADD>(o, y));
        }
        Operand::Full(x) => {
            for (o, &x) in out.iter_mut().zip(x) {
                put::<T, ADD>(o, f(x));
            }
        }
        Operand::Row(x) => {
            for row in out.chunks_exact_mut(n) {
                for (o, &x) in row.iter_mut().zip(x) {
                    put::<T, ADD>(o, f(x));
                }
            }
        }
    }
}

fn map2<T: Real, const ADD: bool>(
    out: &mut [T],
    n: usize,
    x: Operand<'_, T>,
    y: Operand<'_, T>,
    f: impl Fn(T, T) -> T,
) {
    match (x, y) {
        (Operand::Full(_), Operand::Splat(y, _)) => map1::<T, ADD>(out, n, x, |x| f(x, y)),
        (Operand::Splat(x, _), Operand::Full(_)) => map1::<T, ADD>(out, n, y, |y| f(x, y)),
        (Operand::Full(x), Operand::Full(y)) => {
            for ((o, &x), &y) in out.iter_mut().zip(x).zip(y) {
                put::<T, ADD>(o, f(x, y));
            }
        }
        _ => {
            for (r, row) in out.chunks_exact_mut(n).enumerate() {
                for ((o, &x), &y) in row.iter_mut().zip(x.row(r, n)).zip(y.row(r, n)) {
                    put::<T, ADD>(o, f(x, y));
                }
            }
        }
    }
}

fn map3<T: Real, const ADD: bool>(
    out: &mut [T],
    n: usize,
    args: &[Operand<'_, T>],
    f: impl Fn(T, T, T) -> T,
) {
    let n = if args.iter().all(|a| matches!(a, Operand::Full(_))) {
        out.len()
    } else {
        n
    };
    let (x, y, z) = (args[0], args[1], args[2]);
    for (r, row) in out.chunks_exact_mut(n).enumerate() {
        let operands = x.row(r, n).iter().zip(y.row(r, n)).zip(z.row(r, n));
        for (o, ((&x, &y), &z)) in row.iter_mut().zip(operands) {
            put::<T, ADD>(o, f(x, y, z));
        }
    }
}

fn is<T: Real>(yes: bool) -> T {
    if yes { T::ONE } else { T::ZERO }
}

pub(crate) fn max<T: Real>(a: T, b: T) -> T {
    if a.is_nan() || b.is_nan() {
        T::NAN
    } else {
        a.max(b)
    }
}

fn sigmoid<T: Real>(x: T) -> T {
    // As in the op's row: e⁻ˡˣˡ never overflows, and the lower tail keeps its relative accuracy.
    let e = (-x.abs()).exp();
    let top = if x < T::ZERO { e } else { T::ONE };
    top / (T::ONE + e)
}

/// An element-wise op as its row defines it ([`crate::MapRow::eval`]).
pub(crate) fn map<T: Real, const ADD: bool>(m: Map, out: &mut [T], n: usize, a: &[Operand<'_, T>]) {
    let (zero, one) = (T::ZERO, T::ONE);
    match m {
        Map::Neg => map1::<T, ADD>(out, n, a[0], |x| -x),
        Map::Recip => map1::<T, ADD>(out, n, a[0], |x| one / x),
        Map::Exp => map1::<T, ADD>(out, n, a[0], T::exp),
        Map::Expm1 => map1::<T, ADD>(out, n, a[0], T::exp_m1),
        Map::Ln => map1::<T, ADD>(out, n, a[0], T::ln),
        Map::Log1p => map1::<T, ADD>(out, n, a[0], T::ln_1p),
        Map::Sqrt => map1::<T, ADD>(out, n, a[0], T::sqrt),
        Map::Abs => map1::<T, ADD>(out, n, a[0], T::abs),
        Map::Sign => map1::<T, ADD>(out, n, a[0], |x| if x == zero { zero } else { x.signum() }),
        Map::Floor => map1::<T, ADD>(out, n, a[0], T::floor),
        Map::Ceil => map1::<T, ADD>(out, n, a[0], T::ceil),
        Map::Round => map1::<T, ADD>(out, n, a[0], T::round),
        Map::RoundBf16 => map1::<T, ADD>(out, n, a[0], T::round_bf16),
        Map::Sin => map1::<T, ADD>(out, n, a[0], T::sin),
        Map::Cos => map1::<T, ADD>(out, n, a[0], T::cos),
        Map::Tanh => map1::<T, ADD>(out, n, a[0], T::tanh),
        Map::Sigmoid => map1::<T, ADD>(out, n, a[0], sigmoid),
        Map::Erf => map1::<T, ADD>(out, n, a[0], T::erf),
        Map::Relu => map1::<T, ADD>(out, n, a[0], |x| if x <= zero { zero } else { x }),
        Map::Softplus => map1::<T, ADD>(out, n, a[0], |x| x.max(zero) + (-x.abs()).exp().ln_1p()),
        Map::Softsign => map1::<T, ADD>(out, n, a[0], |x| x / (one + x.abs())),
        Map::Flush => {
            let least = T::from_f64(f64::from(f32::MIN_POSITIVE));
            map1::<T, ADD>(out, n, a[0], |x| if x.abs() < least { T::ZERO } else { x })
        }
        Map::Copy | Map::StopGradient => map1::<T, ADD>(out, n, a[0], |x| x),
        Map::WithGradient | Map::ClipGradient => map2::<T, ADD>(out, n, a[0], a[1], |y, _| y),
        Map::Add => map2::<T, ADD>(out, n, a[0], a[1], |x, y| x + y),
        Map::Sub => map2::<T, ADD>(out, n, a[0], a[1], |x, y| x - y),
        Map::Mul => map2::<T, ADD>(out, n, a[0], a[1], |x, y| x * y),
        Map::Div => map2::<T, ADD>(out, n, a[0], a[1], |x, y| x / y),
        Map::Pow => map2::<T, ADD>(out, n, a[0], a[1], T::powf),
        Map::Max => map2::<T, ADD>(out, n, a[0], a[1], max),
        Map::Min => map2::<T, ADD>(out, n, a[0], a[1], |x, y| -max(-x, -y)),
        Map::Lt => map2::<T, ADD>(out, n, a[0], a[1], |x, y| is(x < y)),
        Map::Le => map2::<T, ADD>(out, n, a[0], a[1], |x, y| is(x <= y)),
        Map::Eq => map2::<T, ADD>(out, n, a[0], a[1], |x, y| is(x == y)),
        Map::Select => map3::<T, ADD>(out, n, a, |c, x, y| if c != zero { x } else { y }),
    }
}

impl<'a, T: Copy> Operand<'a, T> {
    /// The rows `rows` of it.
    pub(crate) fn part(self, rows: Range<usize>, n: usize) -> Operand<'a, T> {
        match self {
            Operand::Full(s) => Operand::Full(&s[rows.start * n..rows.end * n]),
            Operand::Row(_) | Operand::Splat(..) => self,
        }
    }
}

/// A buffer in which the terms of many points are accumulated.
pub(crate) struct Total<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) sum: &'a mut CompensatedSum<T>,
}

impl<T: Real> Total<'_, T> {
    /// Adds the value of each of these rows, which are all of `x`, to its row, or sums them all if the total has only one
    /// row.
    pub(crate) fn rows(&mut self, n: usize, rows: Range<usize>, x: Operand<'_, T>) {
        let single = self.data.len() == n;
        match x {
            Operand::Full(x) if !single => self.sum.add(self.data, rows.start * n, x),
            _ => {
                for (r, row) in rows.enumerate() {
                    let at = if single { 0 } else { row * n };
                    self.sum.add(self.data, at, x.row(r, n));
                }
            }
        }
    }

    /// Adds v to row i of the `m`×`n` matrix of each row of the batch, or of the single shared matrix.
    pub(crate) fn scatter(
        &mut self,
        (m, n): (usize, usize),
        rows: usize,
        index: Operand<'_, T>,
        v: Operand<'_, T>,
    ) {
        let single = self.data.len() == m * n;
        for r in 0..rows {
            let i = row_of(index.row(r, 1)[0]) * n;
            let at = if single { i } else { r * m * n + i };
            self.sum.add(self.data, at, v.row(r, n));
        }
    }

    /// Adds a bᵀ of each row, or their sum over all rows if there is a single shared matrix.
    pub(crate) fn outer(
        &mut self,
        (m, n): (usize, usize),
        rows: usize,
        a: Operand<'_, T>,
        b: Operand<'_, T>,
    ) {
        if self.data.len() != m * n {
            let part = &mut self.sum.part[..rows * m * n];
            outer(part, (m, n), rows, a, b, true);
            return self.sum.added(self.data, 1);
        }
        let mut from = 0;
        while from < rows {
            let to = rows.min(from + self.sum.room());
            let (a, b) = (a.part(from..to, m), b.part(from..to, n));
            outer(&mut self.sum.part, (m, n), to - from, a, b, true);
            self.sum.added(self.data, to - from);
            from = to;
        }
    }
}

/// Copies or adds one slice to another.
fn copy<T: Real>(out: &mut [T], x: &[T], add: bool) {
    if add {
        for (o, &x) in out.iter_mut().zip(x) {
            *o += x;
        }
    } else {
        out.copy_from_slice(x);
    }
}

/// The value of each row to its row of `out`; their sum if `out` has only one row.
pub(crate) fn copy_rows<T: Real>(
    out: &mut [T],
    n: usize,
    rows: usize,
    x: Operand<'_, T>,
    add: bool,
) {
    let single = out.len() == n;
    match x {
        Operand::Full(x) if x.len() == out.len() => copy(out, x, add),
        _ => {
            for r in 0..rows {
                let at = if single { 0 } else { r * n };
                copy(&mut out[at..][..n], x.row(r, n), add);
            }
        }
    }
}

pub(crate) fn put_if<T: Real>(to: &mut T, x: T, add: bool) {
    if add {
        *to += x;
    } else {
        *to = x;
    }
}

/// Reduces all `n` elements of each row to one.
pub(crate) fn reduce<T: Real>(r: Reduction, out: &mut [T], n: usize, x: Operand<'_, T>, add: bool) {
    for (k, o) in out.iter_mut().enumerate() {
        let x = x.row(k, n);
        let y = match r {
            Reduction::Sum => sum(n, |i| x[i]),
            Reduction::Mean => sum(n, |i| x[i]) / T::from_f64(n as f64),
            Reduction::Max => x[1..].iter().fold(x[0], |a, &b| max(a, b)),
        };
        put_if(o, y, add);
    }
}

/// Σ xᵢ·yᵢ of each row.
pub(crate) fn dot<T: Real>(
    out: &mut [T],
    n: usize,
    x: Operand<'_, T>,
    y: Operand<'_, T>,
    add: bool,
) {
    for (r, o) in out.iter_mut().enumerate() {
        put_if(o, sums::dot(x.row(r, n), y.row(r, n)), add);
    }
}

/// Blocks of `width` elements, of each of `count` in a value, to offset `to` of blocks of `to_width`, from offset `from`
/// of blocks of `from_width`: what concat and slice do.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) count: usize,
    pub(crate) width: usize,
    pub(crate) to: usize,
    pub(crate) to_width: usize,
    pub(crate) from: usize,
    pub(crate) from_width: usize,
}

pub(crate) fn blocks<T: Real>(out: &mut [T], rows: usize, x: Operand<'_, T>, b: Blocks, add: bool) {
    for r in 0..rows {
        let x = x.row(r, b.count * b.from_width);
        for k in 0..b.count {
            let to = (r * b.count + k) * b.to_width + b.to;
            let x = &x[k * b.from_width + b.from..][..b.width];
            copy(&mut out[to..][..b.width], x, add);
        }
    }
}

/// M·v, or Mᵀ·v, of each row; M is `m`×`n`.
pub(crate) fn matvec<T: Real>(
    out: &mut [T],
    (m, n): (usize, usize),
    transposed: bool,
    matrix: Operand<'_, T>,
    v: Operand<'_, T>,
    add: bool,
) {
    let (to, from) = if transposed { (n, m) } else { (m, n) };
    let rows = out.len() / to;
    let shared = match matrix {
        Operand::Full(_) if rows > 1 => None,
        Operand::Full(s) | Operand::Row(s) | Operand::Splat(_, s) => Some(s),
    };
    if let Some(data) = shared {
        // rows×to = rows×from · from×to
        let (row_stride, column_stride) = if transposed { (n, 1) } else { (1, n) };
        let right = StridedMatrix {
            data,
            row_stride,
            column_stride,
        };
        return gemm((rows, to, from), out, add, v.matrix(from), right);
    }
    for (r, out) in out.chunks_exact_mut(to).enumerate() {
        matvec_of_row(
            out,
            n,
            transposed,
            matrix.row(r, m * n),
            v.row(r, from),
            add,
        );
    }
}

/// M·v, or Mᵀ·v, of one row; M has `n` columns.
pub(crate) fn matvec_of_row<T: Real>(
    out: &mut [T],
    n: usize,
    transposed: bool,
    matrix: &[T],
    v: &[T],
    add: bool,
) {
    if !transposed {
        for (o, row) in out.iter_mut().zip(matrix.chunks_exact(n)) {
            put_if(o, sums::dot(row, v), add);
        }
        return;
    }
    if !add {
        out.fill(T::ZERO);
    }
    for (&v, row) in v.iter().zip(matrix.chunks_exact(n)) {
        for (o, &w) in out.iter_mut().zip(row) {
            *o += v * w;
        }
    }
}

/// Mᵀ; M is `m`×`n`. In tiles, so that neither side is read or written with a long stride for long.
pub(crate) fn transpose<T: Real>(out: &mut [T], (m, n): (usize, usize), matrix: &[T]) {
    const TILE: usize = 16;
    for i0 in (0..m).step_by(TILE) {
        for j0 in (0..n).step_by(TILE) {
            for j in j0..n.min(j0 + TILE) {
                for i in i0..m.min(i0 + TILE) {
                    out[j * m + i] = matrix[i * n + j];
                }
            }
        }
    }
}

/// a bᵀ of each row, or the sum of all rows if `out` has only one; a has `m` elements, b `n`.
pub(crate) fn outer<T: Real>(
    out: &mut [T],
    (m, n): (usize, usize),
    rows: usize,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    add: bool,
) {
    if out.len() == m * n {
        // m×n = m×rows · rows×n
        let a = a.matrix(m);
        let left = StridedMatrix {
            data: a.data,
            row_stride: a.column_stride,
            column_stride: a.row_stride,
        };
        return gemm((m, n, rows), out, add, left, b.matrix(n));
    }
    for (r, out) in out.chunks_exact_mut(m * n).enumerate() {
        let b = b.row(r, n);
        for (out, &a) in out.chunks_exact_mut(n).zip(a.row(r, m)) {
            for (o, &b) in out.iter_mut().zip(b) {
                put_if(o, a * b, add);
            }
        }
    }
}

/// The position of the first of these indices that is not one of `rows` rows; for each row of the batch.
pub(crate) fn outside<T: Real>(
    batch: usize,
    rows: usize,
    index: Operand<'_, T>,
) -> Option<(usize, T)> {
    let within = |i: f64| i >= 0.0 && i < rows as f64;
    (0..batch)
        .map(|r| (r, index.row(r, 1)[0]))
        .find(|(_, i)| !within(i.to_f64().round_ties_even()))
}

/// The row that an index denotes: rounded, ½ to even. The index has already been checked against the table.
fn row_of<T: Real>(index: T) -> usize {
    index.to_f64().round_ties_even() as usize
}

/// Row i of the `m`×`n` matrix, for each row of the batch.
pub(crate) fn gather<T: Real>(
    out: &mut [T],
    (m, n): (usize, usize),
    matrix: Operand<'_, T>,
    index: Operand<'_, T>,
    add: bool,
) {
    for (r, out) in out.chunks_exact_mut(n).enumerate() {
        let i = row_of(index.row(r, 1)[0]);
        copy(out, &matrix.row(r, m * n)[i * n..][..n], add);
    }
}

/// Writes v to row i of the `m`×`n` matrix of each row of the batch, or of the single matrix of `out`.
pub(crate) fn scatter<T: Real>(
    out: &mut [T],
    (m, n): (usize, usize),
    rows: usize,
    index: Operand<'_, T>,
    v: Operand<'_, T>,
    add: bool,
) {
    if !add {
        out.fill(T::ZERO);
    }
    let single = out.len() == m * n;
    for r in 0..rows {
        let i = row_of(index.row(r, 1)[0]) * n;
        let at = if single { i } else { r * m * n + i };
        copy(&mut out[at..][..n], v.row(r, n), true);
    }
}
