//! Central differences of a run, in f64: the reference for gradients, tangents and products with Hessians.

use crate::Extent;
use crate::algebra::Value;
use crate::error::TapeError;
use crate::interpreter::Interpreter;
use crate::lengths::Lengths;
use crate::op::{Op, Reduction};
use crate::real::Real;
use crate::tape::Tape;

/// A program at a point, from which its inputs can be moved.
///
/// With D(h) = (f(x + h·u) - f(x - h·u)) ÷ 2h, the error of D(2h) is four times that of D(h), so the error of D(h) is a
/// third of |D(2h) - D(h)|, up to terms of higher order. The result of `stop_gradient` is frozen at its value in x, as
/// derivatives assume, and that of `with_gradient(y, z)` at its value in x plus the change of z. Gradients are those without
/// the limits of `clip_gradient`, of which no difference has anything.
#[derive(Debug)]
pub struct CentralDifferences<'a> {
    tape: &'a Tape,
    run: Interpreter<f64>,
    point: Vec<Vec<f64>>,
    /// Distances to kinks at the point, of all nodes that have kinks.
    kinks: Vec<f64>,
}

/// The differences of some numbers along one direction.
#[derive(Clone, Debug)]
pub struct DifferenceQuotients {
    /// D(h) of each number: its difference quotient.
    pub quotients: Vec<f64>,
    /// |D(2h) - D(h)| of each number: the tolerance for truncation.
    pub truncation: Vec<f64>,
    /// At some point of an op in the run, the distance to a kink or jump is at most twice the point's own change: the
    /// slopes may come from both sides of it. Or a number leaves the [range](crate::Input::range) of its input.
    pub near_kink: bool,
}

impl<'a> CentralDifferences<'a> {
    /// The step width h: for values and derivatives of about 1, truncation and rounding together are then about 1e-8.
    pub const H: f64 = 1.0 / 16384.0;

    /// A program at `t` steps, `b` examples and these `inputs` (as [`Interpreter::forward`] takes them).
    ///
    /// # Errors
    /// Those of a run.
    pub fn new(
        tape: &'a Tape,
        t: usize,
        b: usize,
        inputs: &[&[f64]],
    ) -> Result<CentralDifferences<'a>, TapeError> {
        let mut run = Interpreter::without_limits(tape);
        run.forward(Extent { steps: t, rows: b }, inputs)?;
        Ok(CentralDifferences::at(tape, run, inputs))
    }

    /// A program over rows of these lengths and these `inputs` (as [`Interpreter::forward_ragged`] takes them).
    ///
    /// # Errors
    /// Those of a run.
    pub fn ragged(
        tape: &'a Tape,
        lengths: &Lengths,
        inputs: &[&[f64]],
    ) -> Result<CentralDifferences<'a>, TapeError> {
        let mut run = Interpreter::without_limits(tape);
        run.forward_ragged(lengths, inputs)?;
        Ok(CentralDifferences::at(tape, run, inputs))
    }

    /// At the point of a run.
    fn at(tape: &'a Tape, run: Interpreter<f64>, inputs: &[&[f64]]) -> CentralDifferences<'a> {
        // An empty slice stands for zeros, which can be moved, too.
        let point = (inputs.iter().enumerate())
            .map(|(i, x)| match x.is_empty() {
                true => vec![0.0; run.input_length(i)],
                false => x.to_vec(),
            })
            .collect();
        let kinks = kinks(&run, tape);
        CentralDifferences {
            tape,
            run,
            point,
            kinks,
        }
    }

    /// The run: at the point, until differences are computed.
    pub fn run(&mut self) -> &mut Interpreter<f64> {
        &mut self.run
    }

    /// The point: all inputs, none of them empty.
    pub fn point(&self) -> &[Vec<f64>] {
        &self.point
    }

    /// True if a number that was in its input's range is not any more.
    fn leaves_a_range(&self, moved: &[Vec<f64>]) -> bool {
        let inputs = self.tape.inputs().iter().zip(&self.point).zip(moved);
        inputs
            .filter_map(|((input, at), moved)| Some((input.range.as_ref()?, at, moved)))
            .any(|(range, at, moved)| {
                let mut both = at.iter().zip(moved);
                both.any(|(at, moved)| range.contains(at) && !range.contains(moved))
            })
    }

    /// True if input `i` can be moved: row numbers of a table cannot.
    pub fn moves(&self, i: usize) -> bool {
        !self.run.is_index(i)
    }

    /// Differences along `u` (one array per input, of the input's length) of the `numbers` read off a run.
    ///
    /// # Errors
    /// A direction whose length differs from the point's; those of a run, and those of `numbers`.
    pub fn along(
        &mut self,
        u: &[Vec<f64>],
        mut numbers: impl FnMut(&mut Interpreter<f64>) -> Result<Vec<f64>, TapeError>,
    ) -> Result<DifferenceQuotients, TapeError> {
        const H: f64 = CentralDifferences::H;
        if u.len() != self.point.len() {
            return Err(TapeError::Count {
                what: "inputs",
                expected: self.point.len(),
                found: u.len(),
            });
        }
        for ((u, x), input) in u.iter().zip(&self.point).zip(self.tape.inputs()) {
            if u.len() != x.len() {
                return Err(TapeError::Length {
                    what: "the direction of",
                    name: input.name.to_string(),
                    layout: "as many as the input".into(),
                    expected: x.len(),
                    found: u.len(),
                });
            }
        }
        let mut near_kink = false;
        let mut at = Vec::with_capacity(4);
        for by in [H, -H, 2.0 * H, -2.0 * H] {
            let moved: Vec<Vec<f64>> = (self.point.iter().zip(u))
                .map(|(x, u)| x.iter().zip(u).map(|(x, u)| x + by * u).collect())
                .collect();
            near_kink |= self.leaves_a_range(&moved);
            let moved: Vec<&[f64]> = moved.iter().map(Vec::as_slice).collect();
            self.run.forward_frozen(&moved)?;
            near_kink |=
                (self.kinks.iter().zip(kinks(&self.run, self.tape))).any(|(&at, moved)| {
                    let change = (moved - at).abs();
                    change > 0.0 && at <= 2.0 * change
                });
            at.push(numbers(&mut self.run)?);
        }
        let quotients: Vec<f64> = (at[0].iter().zip(&at[1]))
            .map(|(up, down)| (up - down) / (2.0 * H))
            .collect();
        let truncation = (quotients.iter().zip(at[2].iter().zip(&at[3])))
            .map(|(slope, (up, down))| (slope - (up - down) / (4.0 * H)).abs())
            .collect();
        Ok(DifferenceQuotients {
            quotients,
            truncation,
            near_kink,
        })
    }
}

/// Distances to the nearest kink or jump, for all points of all nodes that have one, in a fixed order.
pub(crate) fn kinks<T: Real>(run: &Interpreter<T>, tape: &Tape) -> Vec<f64> {
    let mut found = Vec::new();
    for (i, node) in tape.nodes().iter().enumerate() {
        let visit = |f: &mut dyn FnMut(&[&[T]])| run.points(tape, Value(i as u32), f);
        // The distance of a computed index from the next row.
        let to_half = |i: f64| (i - i.floor() - 0.5).abs();
        match node.op {
            Op::Map(m) => visit(&mut |xs| {
                let mut x = [0.0; 3];
                for k in 0..xs[0].len() {
                    for (x, xs) in x.iter_mut().zip(xs) {
                        *x = xs[k].to_f64();
                    }
                    let distance = (m.row().kink)(&x[..xs.len()]);
                    if distance < f64::INFINITY {
                        found.push(distance);
                    }
                }
            }),
            Op::Reduce(Reduction::Max) => visit(&mut |xs| {
                found.extend(gaps(xs[0].iter().map(|x| x.to_f64())));
            }),
            Op::ReduceAxis {
                kind: Reduction::Max,
                axis,
            } => {
                let shape = tape.node(node.operands[0]).ty.shape;
                let ((before, after), n) = (shape.around(axis), shape.axis(axis).unwrap_or(1));
                visit(&mut |xs| {
                    for k in 0..before * after {
                        let from = k / after * n * after + k % after;
                        let along = (0..n).map(|i| xs[0][from + i * after].to_f64());
                        found.extend(gaps(along));
                    }
                });
            }
            Op::Gather => visit(&mut |xs| found.push(to_half(xs[1][0].to_f64()))),
            Op::Scatter { .. } => visit(&mut |xs| found.push(to_half(xs[0][0].to_f64()))),
            _ => {}
        }
    }
    found
}

/// The distances of a maximum from a kink: between the two greatest, and between the greatest and the next smaller
/// value, because where several are equal and move together, the next one may overtake them.
fn gaps(xs: impl ExactSizeIterator<Item = f64>) -> impl Iterator<Item = f64> {
    let several = xs.len() > 1;
    let (mut first, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let mut less = f64::NEG_INFINITY;
    for x in xs {
        if x > first {
            (first, second, less) = (x, first, first);
        } else {
            second = second.max(x);
            less = if x < first { less.max(x) } else { less };
        }
    }
    [first - second, first - less]
        .into_iter()
        .filter(move |_| several)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Recorder;
    use crate::ty::Shape;

    /// Several greatest elements that move together have no kink between them, but what comes next may overtake them.
    #[test]
    fn a_maximum_of_equal_elements_is_as_far_from_a_kink_as_the_next() {
        let r = Recorder::new();
        let x = r.param("x", Shape::Vector(2));
        r.output("y", crate::Var::concat(&[x, x]).amax());
        let tape = r.finish("tied").expect("it is a program");
        let mut run = Interpreter::<f64>::new(&tape);
        run.forward(Extent::steps(1), &[&[1.0, 0.75]])
            .expect("it runs");
        assert_eq!(kinks(&run, &tape), [0.0, 0.25]);
    }
}
