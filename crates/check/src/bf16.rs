//! Products of bfloat16 operands, on all engines.

use std::cell::OnceCell;

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
/// may be off by twice what the roundings to bfloat16 make of them. In f64 that hardly happens; but passes may leave another
/// product of what is the same at all points, or constant after all, than the tape has, or none, so that one engine rounds
/// a sum where another rounds its terms, or nothing: that moves results by no more. [`bf16_exactly`] is for programs without
/// such products.
///
/// What roundings make of the results is measured on the sample; where that is too little, on four others nearby,
/// too.
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
        let own = relative(&exact, &right);
        if !own.is_finite() {
            return Ok(0.0);
        }
        let nearby = OnceCell::new();
        // The first of the two distances that suffices.
        let within = |holds: &dyn Fn(f64) -> Verdict| {
            holds(own).or_else(|_| holds(*nearby.get_or_init(|| what_roundings_make(sample, own))))
        };
        let close = |found: &Arrays<f64>| {
            within(&|moved| {
                agree(&right, found, |size| {
                    sample.exact * (1.0 + size) + share * moved * size.max(1.0)
                })
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
        let single = allowed_in_f32(&exact, sample)?;
        let found = by_cell(&mut compiled::<f32>(sample)?, sample)?;
        let off = within(&|moved| {
            agree(&right, &found, |size| {
                (single + 2.0 * moved) * size.max(1.0)
            })
        });
        worst = worst.max(off.map_err(|e| format!("f32: {e}"))?);
        Ok(worst)
    })
}

/// The distance of the tape that rounds operands of products to bfloat16 from the one that does not: the greatest of the
/// sample's `own` and of four beside it. One alone is small by chance where roundings cancel, or few numbers lie near their
/// rounded ones. What is moved by up to a 64th has other bits after the eight that bfloat16 has.
fn what_roundings_make(sample: &Sample<'_>, own: f64) -> f64 {
    /// Where roundings of 2⁻⁹ make more of the results, they have probably crossed a jump, which says nothing about the
    /// sample itself.
    const MOST: f64 = 1.0 / 16.0;
    let beside = |k: u64| {
        let beside = sample.beside(f64::powi(2.0, -6), sample.seed ^ k);
        // It need not run: a computed row may be beyond its table.
        let exact = by_tape::<f64>(&beside).ok()?;
        let rounded = by_tape_of_bf16::<f64>(&beside).ok()?;
        Some(relative(&exact, &rounded)).filter(|found| *found < MOST)
    };
    (0..4).filter_map(beside).fold(own, f64::max)
}

pub(crate) fn compiled<T: Element + Real>(sample: &Sample<'_>) -> Result<Executor<T>, String> {
    let purpose = Purpose::everything(sample.tape);
    let options: Options = of(sample.target).with(|o| o.bf16 = Bf16::Kernels);
    let cell = CompiledCell::compile_with(sample.tape, &purpose, &options);
    Ok(cell.map_err(|e| e.to_string())?.executor())
}
