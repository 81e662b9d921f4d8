//! Checks that both engines compute the same gradients.
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
//!
//! Where gradients leave f32's range altogether (`lnlstm` over 10,000 steps), both engines must have lost them, and f64 alone can be
//! compared. Distances in f32 have saturated then and say nothing about f64's: they are measured, with all inputs moved by an
//! ulp of f64. Steps that amplify that to the size of the gradient leave nothing to compare but a shorter sequence.

use anyhow::{Context, Result, ensure};
use retrograd::Cell;

use crate::engine::{JitEngine, Portion, Steps, TapeEngine};
use crate::work::StepArrays;

/// How much further from the exact gradient than rounding takes the tape compiled code may be: its activations' 4 ulp against
/// the tape's 1.
const ROUNDINGS: f64 = 4.0;

/// Runs with moved inputs.
const MOVES: u32 = 4;

/// f64's unit of rounding in units of f32's.
const F64: f64 = f64::EPSILON / f32::EPSILON as f64;

/// Gradients by their parameters' names.
type Gradients<T> = [(String, Vec<T>)];

/// What two engines' gradients are to each other, where they do not differ by more than roundings explain.
#[derive(Clone, Debug, PartialEq)]
pub enum Agreement {
    /// As near to the exact ones as one run's rounding says.
    Close,
    /// The gradients explode: roundings in f32 can make this distance, relative to the gradient, in the worst parameter.
    IllConditioned(f64),
    /// The gradients of these parameters are beyond f32, or numbers on the way to them are: neither engine has them. What f64
    /// has of them is the same on both engines, or, where not even f64 has a digit that rounding leaves, what a sequence
    /// has that is shorter by half, and by half again.
    Overflow(Vec<String>),
}

/// Checks the gradients that compiled code and the tape left, both with bfloat16 operands of products. Both round the same
/// operands, but an operand that they have a rounding apart may lie on two sides of a tie; so they may be as far apart as the
/// roundings take them from the exact gradients, and usually are not.
///
/// # Errors
/// Names the parameter whose gradients differ by more than the roundings do.
pub fn check_bf16(
    cell: &Cell,
    work: &StepArrays<f32>,
    jit: &dyn Steps<f32>,
    tape: &dyn Steps<f32>,
) -> Result<()> {
    let mut exact = TapeEngine::<f64>::new(cell);
    exact.step(&work.widen());
    let exact = exact.gradients();
    let (jit, tape) = (jit.gradients(), tape.gradients());
    let wide = |of: &Gradients<f32>| -> Vec<(String, Vec<f64>)> {
        let widened = of
            .iter()
            .map(|(n, v)| (n.clone(), v.iter().map(|&x| f64::from(x)).collect()));
        widened.collect()
    };
    let (apart, moved) = (distances(&jit, &wide(&tape))?, distances(&tape, &exact)?);
    for (((name, _), apart), moved) in exact.iter().zip(apart).zip(moved) {
        ensure!(
            apart <= moved + ROUNDINGS * f64::from(f32::EPSILON),
            "the gradients of `{name}` differ by {apart:.1e} between engines, and by {moved:.1e} from those without rounding"
        );
    }
    Ok(())
}

/// Checks the gradients that compiled code and the tape in f32 left.
///
/// # Errors
/// Names the parameter whose gradients differ by more than rounding does.
pub fn check(
    cell: &Cell,
    work: &StepArrays<f32>,
    jit: &dyn Steps<f32>,
    tape: &dyn Steps<f32>,
) -> Result<Agreement> {
    let (jit, tape) = (jit.gradients(), tape.gradients());
    let wide = work.widen();
    let mut exact_tape = TapeEngine::<f64>::new(cell);
    exact_tape.step(&wide);
    let exact = exact_tape.gradients();
    let beyond = overflows(&jit, &tape, &exact)?;
    let mut sizes = distances(&tape, &exact)?;
    let found = distances(&jit, &exact)?;
    // One ulp besides: a gradient may come out exact by luck.
    let within =
        |(&found, &size): (&f64, &f64)| found <= ROUNDINGS * (size + f64::from(f32::EPSILON));
    if found.iter().zip(&sizes).all(within) {
        return Ok(Agreement::Close);
    }
    for seed in 1..=MOVES {
        exact_tape.step(&wide.moved(seed));
        let moved = distances(&exact_tape.gradients(), &exact)?;
        for (size, moved) in sizes.iter_mut().zip(moved) {
            // What one of them has no number for says nothing.
            *size = size.max(moved);
        }
    }
    let mut wide_jit = JitEngine::<f64>::new(cell, Portion::Whole, 1)?;
    wide_jit.step(&wide);
    let wide_jit = wide_jit.gradients();
    let found_wide = distances(&wide_jit, &exact)?;
    let mut sizes_wide: Vec<f64> = sizes.iter().map(|s| s * F64).collect();
    if !beyond.is_empty() {
        for seed in 1..=MOVES {
            exact_tape.step(&wide.moved_by(f64::EPSILON, seed));
            let moved = distances(&exact_tape.gradients(), &exact)?;
            for (size, moved) in sizes_wide.iter_mut().zip(moved) {
                *size = size.max(moved);
            }
        }
    }
    // Not a digit that roundings leave.
    let lost = |k: usize| ROUNDINGS * sizes_wide[k] >= 1.0;
    for (k, (name, right)) in exact.iter().enumerate() {
        let close = |what: &str, found: f64, size: f64, ulp: f64| {
            let allowed = ROUNDINGS * (size + ulp * f64::from(f32::EPSILON));
            ensure!(
                found <= allowed,
                "the gradients of `{name}` differ: compiled code in {what} is {found:.1e} from the exact one, and rounding explains {allowed:.1e}"
            );
            Ok(())
        };
        if !beyond.contains(name) {
            close("f32", found[k], sizes[k], 1.0)?;
        }
        if finite(right) {
            if !lost(k) {
                close("f64", found_wide[k], sizes_wide[k], F64)?;
            }
        } else {
            ensure!(
                !finite(&of(&wide_jit, name)?),
                "the gradients of `{name}` differ: they are beyond f64 on the tape and are not in compiled code"
            );
        }
    }
    let nothing = (0..exact.len()).any(|k| lost(k) || !finite(&exact[k].1));
    if nothing && work.extent.steps > 1 {
        let shorter = StepArrays::new(cell, work.extent.steps / 2, work.extent.rows);
        let mut jit = JitEngine::<f32>::new(cell, Portion::Whole, 1)?;
        let mut tape = TapeEngine::<f32>::new(cell);
        jit.step(&shorter);
        tape.step(&shorter);
        let found = check(cell, &shorter, &jit, &tape);
        found.with_context(|| format!("with {} steps", shorter.extent.steps))?;
    }
    Ok(match beyond.is_empty() {
        true => Agreement::IllConditioned(sizes.into_iter().fold(0.0, f64::max)),
        false => Agreement::Overflow(beyond),
    })
}

/// The parameters whose gradients f32 has no numbers for: those that are beyond its range, for which both engines must have
/// something that is no finite number, and those for which both have, as something on the way was.
fn overflows(
    jit: &Gradients<f32>,
    tape: &Gradients<f32>,
    exact: &Gradients<f64>,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, right) in exact {
        let beyond = !right.iter().all(|x| x.abs() <= f64::from(f32::MAX));
        let found = [finite(&of(jit, name)?), finite(&of(tape, name)?)];
        ensure!(
            !(beyond && found != [false, false]),
            "the gradients of `{name}` are beyond f32, and {} has finite numbers",
            if found[0] {
                "compiled code"
            } else {
                "the tape"
            }
        );
        if found == [false, false] {
            names.push(name.clone());
        }
    }
    Ok(names)
}

fn of<T: Copy>(all: &Gradients<T>, name: &str) -> Result<Vec<T>> {
    let found = all.iter().find(|(n, _)| n == name);
    let (_, values) = found.with_context(|| format!("no gradient of `{name}`"))?;
    Ok(values.clone())
}

fn finite<T: Copy + Into<f64>>(values: &[T]) -> bool {
    values.iter().all(|&x| x.into().is_finite())
}

/// √(Σ (a − b)² ÷ Σ b²) of every gradient in `exact`; NaN where a number is not finite.
fn distances<T: Copy + Into<f64>>(
    found: &Gradients<T>,
    exact: &Gradients<f64>,
) -> Result<Vec<f64>> {
    let distance = |(name, b): &(String, Vec<f64>)| {
        let a = of(found, name)?;
        ensure!(a.len() == b.len(), "{} numbers, not {}", a.len(), b.len());
        // In units of the greatest, whose square may be beyond f64.
        let unit = b.iter().fold(0.0, |m: f64, b| m.max(b.abs()));
        let unit = if unit == 0.0 { 1.0 } else { unit };
        let square = |x: f64| (x / unit) * (x / unit);
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
    use crate::engine::{JitEngine, Portion};

    /// An engine that has these gradients.
    struct Off(Vec<(String, Vec<f32>)>);

    impl Steps<f32> for Off {
        fn step(&mut self, _: &StepArrays<f32>) {}
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

    #[test]
    fn both_engines_agree_on_every_cell() {
        for name in cells::NAMES {
            let cell = cells::find(name, 20).unwrap();
            let work = StepArrays::new(&cell, 9, 3);
            let mut jit = JitEngine::<f32>::new(&cell, Portion::Whole, 1).unwrap();
            let mut tape = TapeEngine::<f32>::new(&cell);
            jit.step(&work);
            tape.step(&work);
            check(&cell, &work, &jit, &tape).unwrap();
        }
    }

    #[test]
    fn more_than_rounding_is_found_where_gradients_explode() {
        let cell = cells::find("lnlstm", 24).unwrap();
        let work = StepArrays::new(&cell, 40, 4);
        let mut jit = JitEngine::<f32>::new(&cell, Portion::Whole, 1).unwrap();
        // Inputs 64 ulp away.
        let mut far = work.clone();
        for x in far.inputs.iter_mut().flatten() {
            *x *= 1.0 + 64.0 * f32::EPSILON;
        }
        jit.step(&far);
        let mut tape = TapeEngine::<f32>::new(&cell);
        tape.step(&work);
        assert!(check(&cell, &work, &jit, &tape).is_err());
    }

    /// Cotangents that grow tenfold a step are beyond f32 after 39 steps and beyond f64 after 309.
    #[test]
    fn overflow_is_no_disagreement() {
        let cell = Cell::define("exploding", |c| {
            let x = c.input("x", 3);
            let h = c.state("h", 3);
            let h = c.next(h, 10.0 * h + c.param("w", 3) * x);
            c.output("y", h);
        })
        .unwrap();
        for steps in [60, 400] {
            let work = StepArrays::new(&cell, steps, 2);
            let mut jit = JitEngine::<f32>::new(&cell, Portion::Whole, 1).unwrap();
            let mut tape = TapeEngine::<f32>::new(&cell);
            jit.step(&work);
            tape.step(&work);
            let found = check(&cell, &work, &jit, &tape).unwrap();
            assert_eq!(found, Agreement::Overflow(vec!["w".into()]), "{steps}");
            // An engine that has numbers there is wrong.
            let small = Off(vec![("w".into(), vec![1.0; 3])]);
            let error = check(&cell, &work, &small, &tape).unwrap_err();
            assert!(error.to_string().contains("`w` are beyond f32"), "{error}");
        }
        // And so is one that has none where there are some.
        let work = StepArrays::new(&cell, 5, 2);
        let mut tape = TapeEngine::<f32>::new(&cell);
        tape.step(&work);
        let none = Off(vec![("w".into(), vec![f32::INFINITY; 3])]);
        assert!(check(&cell, &work, &none, &tape).is_err());
    }

    #[test]
    fn a_wrong_gradient_is_found() {
        let cell = cells::find("lstm", 12).unwrap();
        let work = StepArrays::new(&cell, 5, 2);
        let mut tape = TapeEngine::<f32>::new(&cell);
        tape.step(&work);
        let mut gradients = tape.gradients();
        gradients[1].1[7] *= 1.01;
        let error = check(&cell, &work, &Off(gradients), &tape).unwrap_err();
        assert!(error.to_string().contains("`b`"), "{error}");
    }
}
