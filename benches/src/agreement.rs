//! Both engines compute the same gradients: what is fast must be right.
//!
//! The tolerance is measured, not guessed. The tape in f64 on the same numbers is right to about 2⁻²⁹ of what f32 can be, so its
//! distance from the tape in f32 is what rounding to f32 does to this cell at this length and batch (the steps, the
//! sums over T·B rows, and the cell's own amplification included). The compiled code rounds as often but elsewhere (sums
//! in another order, activations within 4 ulp where the tape's are within 1), so its distance is of the same size:
//! four times the tape's is allowed, over the whole gradient of a parameter (root mean square). A wrong term is an error
//! of the size of the gradient itself, 10⁴ times more.
//!
//! Where a cell's gradients explode, one run's rounding says little about another's: `lnlstm` over 200 steps amplifies half an ulp of
//! its inputs to several per cent of the gradient. There the size of rounding is taken from several runs, in f64 with all
//! inputs moved by up to half an ulp of f32; and as that makes a weak test of f32, the compiled code must also be right in
//! f64, to the same tolerance times 2⁻²⁹.

use anyhow::{Context, Result, ensure};
use retrograd::Cell;

use crate::engine::{Extent, Jit, Steps, Tape};
use crate::work::Work;

/// How much further from the exact gradient than rounding takes the tape compiled code may be: its activations' 4 ulp against
/// the tape's 1.
const ROUNDINGS: f64 = 4.0;

/// Runs with moved inputs.
const MOVES: u32 = 4;

/// f64's unit of rounding in units of f32's.
const F64: f64 = f64::EPSILON / f32::EPSILON as f64;

/// Gradients by their parameters' names.
type Gradients<T> = [(String, Vec<T>)];

/// Checks the gradients that compiled code and the tape in f32 left. `Some` if they are ill-conditioned: the distance, relative
/// to the gradient, that roundings in f32 can make in the worst parameter.
///
/// # Errors
/// Names the parameter whose gradients differ by more than rounding does.
pub fn check(
    cell: &Cell,
    work: &Work<f32>,
    jit: &dyn Steps<f32>,
    tape: &dyn Steps<f32>,
) -> Result<Option<f64>> {
    let (jit, tape) = (jit.gradients(), tape.gradients());
    let wide = work.widen();
    let mut exact_tape = Tape::<f64>::new(cell);
    exact_tape.step(&wide);
    let exact = exact_tape.gradients();
    let mut sizes = distances(&tape, &exact)?;
    let found = distances(&jit, &exact)?;
    let within = |found: &[f64], sizes: &[f64]| found.iter().zip(sizes).all(|(f, s)| f <= s);
    // One ulp besides: a gradient may come out exact by luck.
    let allowed = |sizes: &[f64], ulp: f64| -> Vec<f64> {
        let all = sizes.iter();
        all.map(|s| ROUNDINGS * ulp * (s + f64::from(f32::EPSILON)))
            .collect()
    };
    if within(&found, &allowed(&sizes, 1.0)) {
        return Ok(None);
    }
    for seed in 1..=MOVES {
        exact_tape.step(&wide.moved(seed));
        let moved = distances(&exact_tape.gradients(), &exact)?;
        for (size, moved) in sizes.iter_mut().zip(moved) {
            *size = size.max(moved);
        }
    }
    let mut wide_jit = Jit::<f64>::new(cell, Extent::Whole, 1)?;
    wide_jit.step(&wide);
    let found_wide = distances(&wide_jit.gradients(), &exact)?;
    for (what, found, ulp) in [("f32", &found, 1.0), ("f64", &found_wide, F64)] {
        let allowed = allowed(&sizes, ulp);
        for (((name, _), found), allowed) in exact.iter().zip(found).zip(allowed) {
            ensure!(
                *found <= allowed,
                "the gradients of `{name}` differ: compiled code in {what} is {found:.1e} from the exact one, and rounding explains {allowed:.1e}"
            );
        }
    }
    Ok(Some(sizes.into_iter().fold(0.0, f64::max)))
}

/// √(Σ (a − b)² ÷ Σ b²) of every gradient in `exact`.
fn distances<T: Copy + Into<f64>>(
    found: &Gradients<T>,
    exact: &Gradients<f64>,
) -> Result<Vec<f64>> {
    let distance = |(name, b): &(String, Vec<f64>)| {
        let found = found.iter().find(|(n, _)| n == name);
        let (_, a) = found.with_context(|| format!("no gradient of `{name}`"))?;
        ensure!(a.len() == b.len(), "{} numbers, not {}", a.len(), b.len());
        let square = |x: f64| x * x;
        let off: f64 = a.iter().zip(b).map(|(&a, b)| square(a.into() - b)).sum();
        let size: f64 = b.iter().map(|&b| square(b)).sum();
        Ok(if off == 0.0 { 0.0 } else { (off / size).sqrt() })
    };
    exact.iter().map(distance).collect()
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
    fn more_than_rounding_is_found_where_gradients_explode() {
        let cell = cells::find("lnlstm", 24).unwrap();
        let work = Work::new(&cell, 40, 4);
        let mut jit = Jit::<f32>::new(&cell, Extent::Whole, 1).unwrap();
        // Inputs 64 ulp away.
        let mut far = work.clone();
        for x in far.inputs.iter_mut().flatten() {
            *x *= 1.0 + 64.0 * f32::EPSILON;
        }
        jit.step(&far);
        let mut tape = Tape::<f32>::new(&cell);
        tape.step(&work);
        assert!(check(&cell, &work, &jit, &tape).is_err());
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
