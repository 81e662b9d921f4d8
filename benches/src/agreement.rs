//! Both engines compute the same gradients: what is fast must be right.
//!
//! The tolerance is measured, not guessed. The tape in f64 on the same numbers is right to about 10⁻¹⁰ of a gradient's
//! size, so its distance from the tape in f32, e, is what rounding to f32 does to this cell at this length and batch
//! (the steps, the sums over T·B rows, and the cell's own amplification included). The compiled code rounds as often but
//! elsewhere (sums in another order, activations within 4 ulp where the tape's are within 1), so its distance is of
//! the same size: `ROUNDINGS` · e is allowed, e measured over the whole gradient of a parameter (root mean square). A wrong
//! term is an error of the size of the gradient itself, 10⁴ times more.

use anyhow::{Context, Result, ensure};
use retrograd::Cell;

use crate::engine::{Steps, Tape};
use crate::work::Work;

/// How much further from the exact gradient than the tape compiled code may be: its activations' 4 ulp against the tape's 1.
const ROUNDINGS: f64 = 4.0;

/// A gradient's name, and how far from the tape in f64 it is: root mean squares relative to the gradient's.
#[derive(Clone, Debug)]
pub struct Distance {
    /// The parameter.
    pub name: String,
    /// Of the compiled code in f32.
    pub jit: f64,
    /// Of the tape in f32.
    pub tape: f64,
}

/// Checks the gradients that compiled code and the tape in f32 left.
///
/// # Errors
/// Names the parameter whose gradients differ by more than rounding does.
pub fn check(
    cell: &Cell,
    work: &Work<f32>,
    jit: &dyn Steps<f32>,
    tape: &dyn Steps<f32>,
) -> Result<Vec<Distance>> {
    let mut exact = Tape::<f64>::new(cell);
    exact.step(&work.widen());
    let (jit, tape) = (jit.gradients(), tape.gradients());
    let mut distances = Vec::new();
    for (name, exact) in exact.gradients() {
        let find = |all: &[(String, Vec<f32>)]| {
            let found = all.iter().find(|(n, _)| *n == name);
            let found = found.with_context(|| format!("no gradient of `{name}`"))?;
            distance(&found.1, &exact)
        };
        let (jit, tape) = (find(&jit)?, find(&tape)?);
        // One ulp besides: a gradient may come out exact by luck.
        let allowed = ROUNDINGS * (tape + f64::from(f32::EPSILON));
        ensure!(
            jit <= allowed,
            "the gradients of `{name}` differ: compiled code is {jit:.1e} from the exact one, the tape {tape:.1e}"
        );
        distances.push(Distance { name, jit, tape });
    }
    Ok(distances)
}

/// √(Σ (a − b)² ÷ Σ b²).
fn distance(a: &[f32], b: &[f64]) -> Result<f64> {
    ensure!(a.len() == b.len(), "{} numbers, not {}", a.len(), b.len());
    let square = |x: f64| x * x;
    let off: f64 = a
        .iter()
        .zip(b)
        .map(|(&a, b)| square(f64::from(a) - b))
        .sum();
    let size: f64 = b.iter().map(|&b| square(b)).sum();
    Ok(if off == 0.0 { 0.0 } else { (off / size).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;
    use crate::engine::{Extent, Jit};

    #[test]
    fn both_engines_agree_on_every_cell() {
        for name in cells::NAMES {
            let cell = cells::find(name, 20).unwrap();
            let work = Work::new(&cell, 9, 3);
            let mut jit = Jit::<f32>::new(&cell, Extent::Whole, 1).unwrap();
            let mut tape = Tape::<f32>::new(&cell);
            jit.step(&work);
            tape.step(&work);
            check(&cell, &work, &jit, &tape).unwrap();
        }
    }

    #[test]
    fn a_wrong_gradient_is_found() {
        struct Off(Vec<(String, Vec<f32>)>);
        impl Steps<f32> for Off {
            fn step(&mut self, _: &Work<f32>) {}
            fn gradients(&self) -> Vec<(String, Vec<f32>)> {
                self.0.clone()
            }
            fn workspace_bytes(&self) -> usize {
                0
            }
            fn compile_ms(&self) -> f64 {
                0.0
            }
        }
        let cell = cells::find("lstm", 12).unwrap();
        let work = Work::new(&cell, 5, 2);
        let mut tape = Tape::<f32>::new(&cell);
        tape.step(&work);
        let mut gradients = tape.gradients();
        gradients[1].1[7] *= 1.01;
        let error = check(&cell, &work, &Off(gradients), &tape).unwrap_err();
        assert!(error.to_string().contains("`b`"), "{error}");
    }
}
