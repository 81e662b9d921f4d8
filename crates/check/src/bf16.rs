//! Products of bfloat16 operands, on all engines.

use retrograd_graph::{Bf16, Options};
use retrograd_jit::{CompiledCell, Element, Executor, Purpose};
use retrograd_tape::Real;

use crate::agree::{Verdict, agree, allowed_in_f32, caught, relative};
use crate::runs::{Arrays, by_cell, by_plan, by_tape, by_tape_of_bf16, of, planned, verified};
use crate::sample::Sample;

/// With bfloat16 operands of products, all engines give what the tape gives that rounds operands of products, too.
///
/// In f32, which is 10⁻⁷ apart between engines, an operand may lie on two sides of a tie, and one engine has the neighbour of
/// its rounded number, by at most twice what rounding itself moves it: beside what roundings of f32 make of the results, they
/// may be off by twice what the roundings to bfloat16 make of them ([`what_roundings_make`]). In f64 that hardly happens;
/// but passes may leave another product of what is the same at all points than the tape has, or none, so that one engine
/// rounds a sum where another rounds its terms: that moves results by no more. [`bf16_exactly`] is for programs without
/// such products.
///
/// # Errors
/// What went wrong.
pub fn bf16(sample: &Sample<'_>) -> Verdict {
    agreeing(sample, 2.0)
}

/// As [`bf16`], for programs whose weights are parameters and whose other operands vary: in f64, plans and compiled code round
/// what the tape rounds, and are as close to it as without rounding.
///
/// # Errors
/// What went wrong.
pub fn bf16_exactly(sample: &Sample<'_>) -> Verdict {
    agreeing(sample, 0.0)
}

/// In f64, results may be off by so many times what the roundings move them.
fn agreeing(sample: &Sample<'_>, share: f64) -> Verdict {
    caught("bf16", || {
        let right = by_tape_of_bf16::<f64>(sample).map_err(|e| e.to_string())?;
        let exact = by_tape::<f64>(sample).map_err(|e| e.to_string())?;
        let moved = what_roundings_make(sample, &exact, &right)?;
        if moved.is_nan() {
            return Ok(0.0);
        }
        let close = |found: &Arrays<f64>| {
            let most = share * moved;
            agree(&right, found, |size| {
                sample.exact * (1.0 + size) + most * size.max(1.0)
            })
        };
        let purpose = Purpose::everything(sample.tape);
        let mut worst: f64 = 0.0;
        for how in [Bf16::Ops, Bf16::Kernels] {
            let options = verified(sample.target).with(|o| o.bf16 = how);
            let plan = planned(sample.tape, &purpose, &options)?;
            let off = close(&by_plan(&plan, sample)?);
            worst = worst.max(off.map_err(|e| format!("plan interpreter, {how:?}: {e}"))?);
        }
        let found = by_cell(&mut compiled::<f64>(sample)?, sample)?;
        worst = worst.max(close(&found).map_err(|e| format!("f64: {e}"))?);
        let most = allowed_in_f32(&exact, sample)? + 2.0 * moved;
        let found = by_cell(&mut compiled::<f32>(sample)?, sample)?;
        let off = agree(&right, &found, |size| most * size.max(1.0));
        worst = worst.max(off.map_err(|e| format!("f32: {e}"))?);
        Ok(worst)
    })
}

/// The distance of the tape that rounds operands of products to bfloat16 from the one that does not: the greatest of the
/// sample's own and of four beside it, for one alone is small by chance where roundings cancel, or few numbers lie near
/// their rounded ones. What is moved by up to a 64th has other bits after the eight that bfloat16 has.
fn what_roundings_make(
    sample: &Sample<'_>,
    exact: &Arrays<f64>,
    rounded: &Arrays<f64>,
) -> Result<f64, String> {
    let own = relative(exact, rounded);
    (0..4).try_fold(own, |most, k| {
        let beside = sample.beside(f64::powi(2.0, -6), sample.seed ^ k);
        let exact = by_tape::<f64>(&beside).map_err(|e| e.to_string())?;
        let rounded = by_tape_of_bf16::<f64>(&beside).map_err(|e| e.to_string())?;
        let found = relative(&exact, &rounded);
        // A program that is not finite nearby says nothing.
        Ok(if found > most { found } else { most })
    })
}

pub(crate) fn compiled<T: Element + Real>(sample: &Sample<'_>) -> Result<Executor<T>, String> {
    let purpose = Purpose::everything(sample.tape);
    let options: Options = of(sample.target).with(|o| o.bf16 = Bf16::Kernels);
    let cell = CompiledCell::compile_with(sample.tape, &purpose, &options);
    Ok(cell.map_err(|e| e.to_string())?.executor())
}
