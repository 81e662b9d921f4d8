//! Rows of different lengths: each is what it is alone.

use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Domain, Lengths, Map, Op, Tape, Type};

use crate::agree::{agree, caught};
use crate::outcome::{Outcome, Skip};
use crate::runs::{Arrays, by_cell, by_tape, of};
use crate::sample::Sample;

/// What an array of a run over these rows has for row `r`; all of a value that rows share.
pub(crate) fn of_row(array: &[f64], ty: Type, lengths: &Lengths, r: usize) -> Vec<f64> {
    let n = ty.shape.len();
    let point = |p: usize| array[p * n..(p + 1) * n].to_vec();
    match ty.domain {
        // Nothing was given, or no gradient flows.
        _ if array.is_empty() => Vec::new(),
        Domain::Once => array.to_vec(),
        Domain::Row => point(r),
        Domain::BoundarySlots(k) => (0..k).flat_map(|j| point(j * lengths.rows() + r)).collect(),
        Domain::Step => (0..lengths.of_rows()[r])
            .flat_map(|t| point(lengths.offset(t) + r))
            .collect(),
    }
}

/// True if nothing that varies over rows is computed from what other rows are, and gradients of parameters are sums over
/// rows: each row is what it is alone.
///
/// A bound on the gradient of a value that rows share is one on their sum, which is not the sum of bounded ones.
pub fn rows_are_independent(tape: &Tape) -> bool {
    let mut mixed = vec![false; tape.nodes().len()];
    for (i, node) in tape.nodes().iter().enumerate() {
        let once = node.ty.domain == Domain::Once;
        if once && node.op == Op::Map(Map::ClipGradient) {
            return false;
        }
        // A state's next value comes later; it varies over rows.
        let before = node.operands.iter().filter(|v| v.index() < i);
        let of = before.clone().any(|v| mixed[v.index()]);
        let sums = once
            && before
                .clone()
                .any(|&v| tape.node(v).ty.domain != Domain::Once);
        if of && !once {
            return false;
        }
        mixed[i] = of || sums;
    }
    true
}

/// The sample of row `r` alone.
fn alone<'a>(sample: &Sample<'a>, r: usize) -> Option<Sample<'a>> {
    let tape = sample.tape;
    let lengths = Lengths::new(vec![sample.lengths.of_rows()[r]]).ok()?;
    let inputs = tape.inputs().iter().zip(&sample.inputs);
    let inputs = inputs.map(|(i, x)| of_row(x, i.ty, &sample.lengths, r));
    let cotangents = sample.cotangents.iter().enumerate();
    let cotangents = cotangents.map(|(k, c)| of_row(c, sample.output_type(k), &sample.lengths, r));
    Some(Sample {
        tape,
        inputs: inputs.collect(),
        cotangents: cotangents.collect(),
        lengths,
        ..sample.clone()
    })
}

/// A compiled run over rows of different lengths gives each row what the tape gives it alone, gradients too; those of
/// parameters add up.
pub(crate) fn rows(sample: &Sample<'_>) -> Outcome {
    if !sample.is_ragged() || !rows_are_independent(sample.tape) {
        return Outcome::Skipped(Skip::DoesNotApply);
    }
    let mut sample = sample.clone();
    for k in 0..sample.cotangents.len() {
        if sample.output_type(k).domain == Domain::Once {
            sample.cotangents[k].fill(0.0);
        }
    }
    caught("rows of different lengths", || compare(&sample)).into()
}

/// True if what all rows share is a number for these rows too: a mean weighted by the zeros of one row is none, and the
/// gradient that zero times its derivative gives is none either.
fn shared_are_finite(tape: &Tape, outputs: &Arrays<f64>) -> bool {
    let own = tape.outputs().iter().zip(outputs);
    let mut shared = own.filter(|(o, _)| tape.node(o.value).ty.domain == Domain::Once);
    shared.all(|(_, (_, x))| x.iter().all(|x| x.is_finite()))
}

fn compare(sample: &Sample<'_>) -> Result<f64, String> {
    let tape = sample.tape;
    // The loss's cotangent is given too: it has none here.
    let names = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect();
    let purpose = Purpose::Gradients {
        given: names(tape.outputs().iter().map(|o| &*o.name).collect()),
        loss: false,
        wrt: names(tape.inputs().iter().map(|i| &*i.name).collect()),
    };
    let cell = CompiledCell::<f64>::compile_with(tape, &purpose, &of(sample.target));
    let mut cell = cell.map_err(|e| e.to_string())?.executor();
    let whole = by_cell(&mut cell, sample)?;
    let types: Vec<Type> = (0..cell.cell().outputs().len())
        .map(|k| cell.cell().output_type(k))
        .collect();
    let shared = |k: usize| types[k].domain == Domain::Once;
    let mut sums: Arrays<f64> = whole.clone();
    sums.iter_mut().for_each(|(_, x)| x.fill(0.0));
    let allowed = |size: f64| sample.exact * (1.0 + size);
    let mut worst: f64 = 0.0;
    let rows = sample.lengths.of_rows();
    // A row without steps has a part in the gradients of what states begin with, and does not run alone.
    let mut all = rows.iter().all(|&n| n > 0);
    for r in (0..rows.len()).filter(|&r| rows[r] > 0) {
        let Some(alone) = alone(sample, r) else {
            continue;
        };
        let right = by_tape::<f64>(&alone).map_err(|e| e.to_string())?;
        if !shared_are_finite(tape, &right) {
            all = false;
            continue;
        }
        let mut own: Arrays<f64> = Vec::new();
        for (k, (name, array)) in whole.iter().enumerate() {
            let found = right.iter().find(|(n, _)| n == name);
            let found = found.map(|(_, x)| &x[..]).unwrap_or_default();
            match shared(k) {
                true => (sums[k].1.iter_mut().zip(found)).for_each(|(s, x)| *s += x),
                false => own.push((name.clone(), of_row(array, types[k], &sample.lengths, r))),
            }
        }
        let share = agree(&right, &own, allowed);
        worst = worst.max(share.map_err(|e| format!("row {r} of {rows:?}: {e}"))?);
    }
    if all {
        let gradients = |(k, array): (usize, &(String, Vec<f64>))| {
            (shared(k) && array.0.starts_with("grad(")).then(|| array.clone())
        };
        let found: Arrays<f64> = whole.iter().enumerate().filter_map(gradients).collect();
        let share = agree(&sums, &found, allowed);
        worst = worst.max(share.map_err(|e| format!("the sum over rows {rows:?}: {e}"))?);
    }
    Ok(worst)
}
