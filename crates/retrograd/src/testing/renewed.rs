//! The property of resets: a row with states that are reset is its segments, each alone; outputs and all gradients.

use std::ops::Range;

use retrograd_check::{Numerics, Outcome, Random, Sample, Skip, Target, rows_are_independent};
use retrograd_tape::{Domain, Extent, InputRole, Lengths, OutputRole, Tape};

use super::frame::CellProperty;
use crate::batch::{Batch, Segment};
use crate::cell::Cell;
use crate::error::Error;
use crate::session::Session;
use crate::split::Cotangents;

/// Steps and rows of each draw.
const EXTENT: Extent = Extent { steps: 7, rows: 2 };

pub(super) const RENEWED: CellProperty = CellProperty {
    name: "resets",
    about: "rows whose states are reset are what their segments are alone",
    cases: 4,
    lengths: &[EXTENT.steps; EXTENT.rows],
    run: compare,
};

/// An array of a cell: an output, or an input whose gradient is compared.
struct Array {
    name: String,
    domain: Domain,
    /// Numbers of a value.
    width: usize,
}

impl Array {
    /// Where the batch has what a segment has, in values.
    fn places(&self, segment: &Segment) -> Vec<usize> {
        match self.domain {
            Domain::Step => {
                let steps = segment.steps.clone();
                steps.map(|t| t * EXTENT.rows + segment.row).collect()
            }
            Domain::Row => vec![segment.row],
            Domain::Once | Domain::BoundarySlots(_) => vec![0],
        }
    }
}

/// What is compared of a cell: outputs of each step, and the gradients of their products with given numbers.
struct Comparison<'c> {
    sample: Sample<'c>,
    parameters: Vec<f64>,
    outputs: Vec<Array>,
    inputs: Vec<Array>,
    /// One of each output, `[T, B, width]`.
    cotangents: Vec<Vec<f64>>,
}

/// Outputs, gradients of inputs, and those of the parameters, one after another.
type Results = Vec<Vec<f64>>;

/// The greatest error as a share of what is allowed.
fn compare(cell: &Cell, seed: u64) -> Result<Outcome, Error> {
    let tape = cell.tape();
    let one_a_segment = tape.inputs().iter().any(|i| {
        let stated = matches!(
            i.role,
            InputRole::Target | InputRole::Weight | InputRole::Mask
        );
        stated && i.ty.domain != Domain::Step
    });
    if one_a_segment || !rows_are_independent(tape) || !has_states(tape) {
        return Ok(Outcome::Skipped(Skip::DoesNotApply));
    }
    let parameters: Vec<f64> = cell.initial_parameters(seed)?;
    let Some(mut sample) = sample(cell, &parameters, seed) else {
        return Ok(Outcome::Skipped(Skip::DoesNotApply));
    };
    match Numerics::of(&mut sample).map(|n| n.comparable(&sample)) {
        Ok(None) => {}
        Ok(Some(skip)) => return Ok(Outcome::Skipped(skip)),
        Err(_) => return Ok(Outcome::Skipped(Skip::DoesNotApply)),
    }
    let mut random = Random::new(seed);
    let resets: Vec<bool> = (0..EXTENT.steps * EXTENT.rows)
        .map(|_| random.next() < -0.4)
        .collect();
    let comparison = Comparison::new(sample, parameters, &mut random);
    if comparison.outputs.is_empty() {
        return Ok(Outcome::Skipped(Skip::DoesNotApply));
    }
    let program = (cell.program().double())
        .parameter_gradients()
        .gradients(comparison.inputs.iter().map(|a| &*a.name))
        .cotangents(comparison.outputs.iter().map(|a| &*a.name))
        .build()?;
    let mut session = program.session();
    let whole = comparison.batch(0..EXTENT.steps, None).with_resets(&resets);
    let segments = whole.segments()?;
    let found = comparison.run(&mut session, &whole, None)?;
    let mut right: Results = found.iter().map(|a| vec![0.0; a.len()]).collect();
    for segment in &segments {
        let alone = comparison.batch(segment.steps.clone(), Some(segment.row));
        let one = comparison.run(&mut session, &alone, Some(segment))?;
        comparison.add(&mut right, &one, segment);
    }
    Ok(comparison.outcome(&found, &right, segments.len()))
}

impl<'c> Comparison<'c> {
    fn new(sample: Sample<'c>, parameters: Vec<f64>, random: &mut Random) -> Comparison<'c> {
        let tape = sample.tape;
        let of_steps = |(k, o): (usize, &retrograd_tape::Output)| {
            let ty = sample.output_type(k);
            let own = o.role == OutputRole::Output && ty.domain == Domain::Step;
            own.then(|| Array {
                name: o.name.to_string(),
                domain: ty.domain,
                width: ty.shape.len(),
            })
        };
        let outputs: Vec<Array> = (tape.outputs().iter().enumerate())
            .filter_map(of_steps)
            .collect();
        let moved = |i: &&retrograd_tape::Input| {
            !matches!(
                i.role,
                InputRole::Param | InputRole::Initial | InputRole::Mask
            )
        };
        let inputs = tape.inputs().iter().filter(moved).map(|i| Array {
            name: i.name.to_string(),
            domain: i.ty.domain,
            width: i.ty.shape.len(),
        });
        let points = EXTENT.steps * EXTENT.rows;
        let mut draw = |a: &Array| (0..points * a.width).map(|_| random.next()).collect();
        Comparison {
            cotangents: outputs.iter().map(&mut draw).collect(),
            inputs: inputs.collect(),
            outputs,
            parameters,
            sample,
        }
    }

    /// A run of the batch, or of a segment alone.
    fn run(
        &self,
        session: &mut Session<f64>,
        batch: &Batch<f64>,
        of: Option<&Segment>,
    ) -> Result<Results, Error> {
        let forward = session.forward(&self.parameters, batch)?;
        let output = |a: &Array| forward.output(&a.name).unwrap_or_default().to_vec();
        let mut all: Results = self.outputs.iter().map(output).collect();
        let mut cotangents = Cotangents::new();
        for (array, values) in self.outputs.iter().zip(&self.cotangents) {
            let values = match of {
                None => values.clone(),
                Some(segment) => picked(values, array, segment),
            };
            cotangents = cotangents.with(&array.name, values);
        }
        let gradients = forward.backward(&cotangents)?;
        let gradient = |a: &Array| gradients.of(&a.name).unwrap_or_default().to_vec();
        all.extend(self.inputs.iter().map(gradient));
        all.push(gradients.parameters().unwrap_or_default().to_vec());
        Ok(all)
    }

    fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.outputs.iter().chain(&self.inputs)
    }

    /// Adds what a segment has alone, where the batch has it.
    fn add(&self, all: &mut Results, one: &Results, segment: &Segment) {
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
        };
        for ((array, to), from) in self.arrays().zip(all.iter_mut()).zip(one) {
            let n = array.width;
            for (p, from) in array.places(segment).into_iter().zip(from.chunks(n)) {
                add(to.get_mut(p * n..(p + 1) * n).unwrap_or_default(), from);
            }
        }
        if let (Some(to), Some(from)) = (all.last_mut(), one.last()) {
            add(to, from);
        }
    }

    /// Whether the numbers are the same, but for the roundings of sums over so many segments.
    fn outcome(&self, found: &Results, right: &Results, segments: usize) -> Outcome {
        let names = self.outputs.iter().map(|a| format!("`{}`", a.name));
        let inputs = self.inputs.iter();
        let gradients = inputs.map(|a| format!("the gradient of `{}`", a.name));
        let names = names.chain(gradients);
        let names = names.chain(["the gradient of the parameters".to_owned()]);
        let mut worst: f64 = 0.0;
        for (k, (name, (found, right))) in names.zip(found.iter().zip(right)).enumerate() {
            let size = right.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            let terms = if k < self.outputs.len() { 1 } else { segments };
            let most = self.sample.exact * terms as f64 * (1.0 + size);
            for (i, (found, right)) in found.iter().zip(right).enumerate() {
                let share = (found - right).abs() / most;
                if share.is_nan() || share > 1.0 {
                    let message = format!(
                        "{name}, number {i}, is {found}, and of the segments alone {right}"
                    );
                    return Outcome::Fails(message);
                }
                worst = worst.max(share);
            }
        }
        Outcome::Holds(worst)
    }

    /// These steps of one row, or of all.
    fn batch(&self, steps: Range<usize>, row: Option<usize>) -> Batch<f64> {
        let rows = row.map_or(0..EXTENT.rows, |r| r..r + 1);
        let mut batch = Batch::new(Extent::steps(steps.len()).rows(rows.len()));
        for (input, numbers) in self.sample.tape.inputs().iter().zip(&self.sample.inputs) {
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
}

/// What a segment has of an array of the batch.
fn picked(values: &[f64], array: &Array, segment: &Segment) -> Vec<f64> {
    let n = array.width;
    let places = array.places(segment).into_iter();
    places
        .flat_map(|p| values[p * n..(p + 1) * n].to_vec())
        .collect()
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
            // Reset states begin as declared, and where nothing is given, as zeros.
            InputRole::Initial => sample.inputs[k].clear(),
            InputRole::Mask => sample.inputs[k].fill(1.0),
            _ => {}
        }
    }
    Some(sample)
}
