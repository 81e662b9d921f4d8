//! The property of resets: a row with states that are renewed is its segments, each alone.

use retrograd_check::{
    CheckError, Failure, Numerics, PropertyReport, Random, Sample, Skip, Target,
    rows_are_independent,
};
use retrograd_tape::{Domain, Extent, InputRole, Lengths, OutputRole, Tape};

use super::saved::Restored;
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::Error;

/// Draws of resets and numbers.
const CASES: u64 = 4;
/// Steps and rows of each.
const EXTENT: Extent = Extent { steps: 7, rows: 2 };

/// The report on the property; none for what takes no batches.
pub(super) fn renewed(
    subject: &dyn Restored,
    seed: u64,
) -> Result<Option<PropertyReport>, CheckError> {
    let Some(cell) = subject.restored() else {
        return Ok(None);
    };
    let cell = cell.map_err(|e| CheckError::Program {
        name: "cell".into(),
        why: e.to_string(),
    })?;
    let mut report = PropertyReport::new(
        "resets",
        "rows whose states are renewed are what their segments are alone",
    );
    for seed in seed..seed + CASES {
        match compare(&cell, seed) {
            Ok(Ok(share)) => {
                report.cases += 1;
                report.worst = report.worst.max(share);
            }
            Ok(Err(Told::Skip(skip))) => *report.skipped.entry(skip).or_default() += 1,
            Ok(Err(Told::Wrong(message))) => {
                report.cases += 1;
                report.failure = Some(failure(seed, message));
                break;
            }
            Err(e) => {
                report.cases += 1;
                report.failure = Some(failure(seed, e.to_string()));
                break;
            }
        }
    }
    Ok(Some(report))
}

fn failure(seed: u64, message: String) -> Failure {
    Failure::new(seed, vec![EXTENT.steps; EXTENT.rows], message)
}

enum Told {
    Skip(Skip),
    Wrong(String),
}

/// The greatest error as a share of what is allowed.
fn compare(cell: &Cell, seed: u64) -> Result<Result<f64, Told>, Error> {
    let tape = cell.tape();
    let one_a_segment = tape.inputs().iter().any(|i| {
        let stated = matches!(
            i.role,
            InputRole::Target | InputRole::Weight | InputRole::Mask
        );
        stated && i.ty.domain != Domain::Step
    });
    if one_a_segment || !rows_are_independent(tape) || !has_states(tape) {
        return Ok(Err(Told::Skip(Skip::DoesNotApply)));
    }
    let parameters: Vec<f64> = cell.initial_parameters(seed)?;
    let Some(mut sample) = sample(cell, &parameters, seed) else {
        return Ok(Err(Told::Skip(Skip::DoesNotApply)));
    };
    match Numerics::of(&mut sample).map(|n| n.comparable(&sample)) {
        Ok(None) => {}
        Ok(Some(skip)) => return Ok(Err(Told::Skip(skip))),
        Err(_) => return Ok(Err(Told::Skip(Skip::DoesNotApply))),
    }
    let mut random = Random::new(seed);
    let resets: Vec<bool> = (0..EXTENT.steps * EXTENT.rows)
        .map(|_| random.next() < -0.4)
        .collect();
    let program = cell.program().double().build()?;
    let mut session = program.session();
    let whole = batch(&sample, 0..EXTENT.steps, None).with_resets(&resets);
    let segments = whole.segments()?;
    let of_steps = |(k, o): (usize, &retrograd_tape::Output)| {
        let ty = sample.output_type(k);
        let own = o.role == OutputRole::Output && ty.domain == Domain::Step;
        own.then(|| (o.name.to_string(), ty.shape.len()))
    };
    let outputs: Vec<(String, usize)> = tape
        .outputs()
        .iter()
        .enumerate()
        .filter_map(of_steps)
        .collect();
    let results = session.run(&parameters, &whole)?;
    let together: Vec<Vec<f64>> = (outputs.iter())
        .map(|(name, _)| results.output(name).unwrap_or_default().to_vec())
        .collect();
    let mut worst: f64 = 0.0;
    for segment in segments {
        let alone = batch(&sample, segment.steps.clone(), Some(segment.row));
        let results = session.run(&parameters, &alone)?;
        for ((name, n), all) in outputs.iter().zip(&together) {
            let right = results.output(name).unwrap_or_default();
            let size = right.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            for (t, step) in segment.steps.clone().enumerate() {
                for i in 0..*n {
                    let found = all[(step * EXTENT.rows + segment.row) * n + i];
                    let share = (found - right[t * n + i]).abs() / (sample.exact * (1.0 + size));
                    if share.is_nan() || share > 1.0 {
                        let row = segment.row;
                        let what = format!("`{name}` number {i} at step {step} of row {row}");
                        let alone = right[t * n + i];
                        let message = format!("{what} is {found} and in its segment alone {alone}");
                        return Ok(Err(Told::Wrong(message)));
                    }
                    worst = worst.max(share);
                }
            }
        }
    }
    Ok(Ok(worst))
}

fn has_states(tape: &Tape) -> bool {
    tape.outputs().iter().any(|o| o.role == OutputRole::Final)
}

/// The rows without resets, with the cell's own parameters.
fn sample<'c>(cell: &'c Cell, parameters: &[f64], seed: u64) -> Option<Sample<'c>> {
    let lengths = Lengths::new(vec![EXTENT.steps; EXTENT.rows]).ok()?;
    let mut sample = Sample::over(cell.tape(), lengths, seed, Target::host());
    let mut ranges = cell.parameter_ranges();
    for (k, input) in cell.tape().inputs().iter().enumerate() {
        match input.role {
            InputRole::Param => sample.inputs[k] = parameters[ranges.next()?].to_vec(),
            // Renewed states begin as declared, and where nothing is given, as zeros.
            InputRole::Initial => sample.inputs[k].clear(),
            InputRole::Mask => sample.inputs[k].fill(1.0),
            _ => {}
        }
    }
    Some(sample)
}

/// These steps of one row, or of all.
fn batch(sample: &Sample<'_>, steps: std::ops::Range<usize>, row: Option<usize>) -> Batch<f64> {
    let rows = row.map_or(0..EXTENT.rows, |r| r..r + 1);
    let mut batch = Batch::new(Extent::steps(steps.len()).rows(rows.len()));
    for (input, numbers) in sample.tape.inputs().iter().zip(&sample.inputs) {
        let n = input.ty.shape.len();
        let point = |p: usize| numbers[p * n..(p + 1) * n].to_vec();
        let own: Vec<f64> = match (input.role, input.ty.domain) {
            (InputRole::Param | InputRole::Initial | InputRole::Mask, _) => continue,
            (_, Domain::Step) => steps
                .clone()
                .flat_map(|t| rows.clone().map(move |r| t * EXTENT.rows + r))
                .flat_map(point)
                .collect(),
            (_, Domain::Row) => rows.clone().flat_map(point).collect(),
            (_, Domain::Once | Domain::BoundarySlots(_)) => numbers.clone(),
        };
        batch = batch.with(&input.name, own);
    }
    batch
}
