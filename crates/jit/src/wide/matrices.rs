//! Statements on matrices of one point: products, outer products, copies of rectangles.

use iced_x86::Register;
use retrograd_graph::plan::View;

use super::block::Index;
use super::pointers::Pointers;
use super::rows::{At, Function};
use crate::frame::offset;
use retrograd_kernels::maths::Vectors;

/// Vectors of a matrix that is unrolled, at most.
pub(super) const UNROLLED_MATRIX: usize = 64;

impl Function<'_> {
    /// y = m[rows, cols] · x, or mᵀ · x if `transposed`, by a kernel.
    pub(super) fn call_matvec(
        &mut self,
        (rows, cols): (usize, usize),
        transposed: bool,
        [m, x, y]: [View; 3],
    ) -> Option<()> {
        self.flush()?;
        for (r, n) in [(Register::RDI, rows), (Register::RSI, cols)] {
            self.code.set(r, i32::try_from(n).ok()?);
        }
        let views = [(Register::RDX, m), (Register::RCX, x), (Register::R8, y)];
        for (r, v) in views {
            let place = self.place(v, 0, Index::None)?;
            self.code.pointer(r, place.pointer, place.distance);
        }
        self.code
            .call(offset::MATVEC + offset::ADDRESS * i32::from(transposed));
        self.pointers = Pointers::none();
        Some(())
    }

    /// Copies a rectangle from one matrix to another; each is a view and its numbers from row to row.
    pub(super) fn copy_block(
        &mut self,
        (rows, cols): (usize, usize),
        from: (View, usize),
        to: (View, usize),
    ) -> Option<()> {
        let bytes = self.bytes();
        for i in 0..rows {
            for at in self.vectors(cols) {
                let v = self.load(from.0, i * from.1 * bytes + at.lanes, at)?;
                self.store(to.0, i * to.1 * bytes + at.lanes, at, v)?;
            }
        }
        Some(())
    }

    /// y[rows] = m[rows, cols] · x[cols]
    pub(super) fn dots(
        &mut self,
        (rows, cols): (usize, usize),
        m: View,
        x: View,
        y: View,
    ) -> Option<()> {
        let (lane, bytes) = (self.lane, self.bytes());
        for i in 0..rows {
            let mut sums = vec![self.block.bits(lane, 0); self.set.parts()];
            for at in self.vectors(cols) {
                let a = self.load(m, i * cols * bytes + at.lanes, at)?;
                let b = self.load(x, at.lanes, at)?;
                let sum = &mut sums[self.part_of(at)];
                let next = self.of_part(at, |block| block.fma(lane, a, b, *sum));
                *sum = self.in_part(at, next, *sum);
            }
            let total = self.across(&sums, false);
            self.store_number(y, i * bytes, total)?;
        }
        Some(())
    }

    /// y[cols] = m[rows, cols]ᵀ · x[rows]
    pub(super) fn sums(
        &mut self,
        (rows, cols): (usize, usize),
        m: View,
        x: View,
        y: View,
    ) -> Option<()> {
        let (lane, bytes) = (self.lane, self.bytes());
        for at in self.vectors(cols) {
            let mut sum = self.block.bits(lane, 0);
            for i in 0..rows {
                let a = self.load(m, i * cols * bytes + at.lanes, at)?;
                let b = self.splat(x, i * bytes, Index::None)?;
                sum = self.of_part(at, |block| block.fma(lane, a, b, sum));
            }
            self.store(y, at.lanes, at, sum)?;
        }
        Some(())
    }

    /// y[rows, cols] = a[rows] · b[cols]ᵀ
    pub(super) fn outer(
        &mut self,
        (rows, cols): (usize, usize),
        a: View,
        b: View,
        y: View,
    ) -> Option<()> {
        let (lane, bytes) = (self.lane, self.bytes());
        let vectors = self.vectors(cols);
        if rows * vectors.len() <= UNROLLED_MATRIX {
            for i in 0..rows {
                for &at in &vectors {
                    let left = self.splat(a, i * bytes, Index::None)?;
                    let right = self.load(b, at.lanes, at)?;
                    let v = self.of_part(at, |block| block.mul(lane, left, right));
                    self.store(y, i * cols * bytes + at.lanes, at, v)?;
                }
            }
            return Some(());
        }
        self.flush()?;
        self.loop_over((rows, cols * bytes, bytes), 0, &mut |f| {
            let left = f.splat(a, 0, Index::Numbers)?;
            for &at in &vectors {
                let right = f.load(b, at.lanes, at)?;
                let v = f.of_part(at, |block| block.mul(lane, left, right));
                let inside = At {
                    in_loop: true,
                    ..at
                };
                f.store(y, at.lanes, inside, v)?;
            }
            Some(())
        })
    }
}
