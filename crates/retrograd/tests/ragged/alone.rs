//! Runs of a batch, and of each of its segments alone by the tape.

use std::ops::Range;

use proptest::prelude::*;
use retrograd::{
    Batch, Cell, Cotangents, Domain, Engine, Extent, InputRole, Segment, StateSpec, zoo,
};
/// Numbers without a pattern, of the order of 1.
pub(crate) fn numbers(n: usize, seed: usize) -> Vec<f64> {
    let number = |i: usize| (0.7 * (i + 13 * seed) as f64 + 0.3).sin();
    (0..n).map(number).collect()
}

/// A cell with all that depends on where a row begins and ends: delays of both signs and of more than one step, given,
/// learned and computed starts, values of the row, inputs over rows, and masks.
pub(crate) fn everything() -> Cell {
    Cell::define("everything", |c| {
        let (x, who) = (c.input("x", 2), c.static_input("who", 2));
        let (drop, keep) = (
            c.mask("drop", 3, 0.5),
            c.mask_over("keep", 3, 0.5, Domain::Row),
        );
        let h = c.state("h", 3);
        let far = c.state_with("far", 3, StateSpec::delay(3).init_learned());
        let back = c.state_with("back", 2, StateSpec::delay(-1));
        let further = c.state_with(
            "further",
            2,
            StateSpec::delay(-2).init(c.dense("begin", 2, [who])),
        );
        let back = c.next(back, (0.5 * back + x).tanh());
        let further = c.next(further, c.dense("deep", 2, [further, back]).sin());
        let h = c.next(h, c.dense("in", 3, [h, far, x, further, who]).tanh() * drop);
        c.next(far, h * keep);
        let centred = h - h.mean_to(Domain::Row);
        c.output("y", c.dense("read", 2, [centred, back]));
        c.output(
            "summary",
            c.dense("sum", 2, [h.last(), further.sum_to(Domain::Row)]),
        );
        let label = c.input_over("label", InputRole::Target, 3, Domain::Row);
        c.loss((h.mean_to(Domain::Row) - label).square().sum());
    })
    .expect("the equations fit together")
}

pub(crate) fn cells() -> Vec<(&'static str, Cell)> {
    let mut cells = vec![("everything", everything())];
    for name in ["lstm", "mingru", "sru", "lnlstm"] {
        let entry = zoo::find(name).expect("it is in the zoo");
        cells.push((name, zoo::forecaster(entry, 2, 5).expect("it is a cell")));
    }
    cells
}

/// The rows of a batch, and where their states are renewed.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) steps: usize,
    pub(crate) lengths: Option<Vec<usize>>,
    pub(crate) resets: Option<Vec<bool>>,
}

impl Rows {
    fn rows(&self) -> usize {
        let rows = self.resets.as_ref().map(|r| r.len() / self.steps);
        let lengths = self.lengths.as_ref().map(Vec::len);
        lengths.or(rows).expect("one of them is there")
    }

    fn of<T>(&self, mut batch: Batch<T>) -> Batch<T> {
        if let Some(lengths) = &self.lengths {
            batch = batch.with_lengths(lengths);
        }
        if let Some(resets) = &self.resets {
            batch = batch.with_resets(resets);
        }
        batch
    }

    /// What is said of segments, said again.
    fn segments(&self) -> Vec<(usize, Range<usize>)> {
        let b = self.rows();
        let mut all = Vec::new();
        for row in 0..b {
            let length = self.lengths.as_ref().map_or(self.steps, |l| l[row]);
            let cuts = (1..length).filter(|t| self.resets.as_ref().is_some_and(|r| r[t * b + row]));
            let cuts: Vec<usize> = [0].into_iter().chain(cuts).chain([length]).collect();
            all.extend(cuts.windows(2).map(|w| (row, w[0]..w[1])));
        }
        all
    }
}

pub(crate) fn rows() -> impl Strategy<Value = Rows> {
    (1..9_usize, 1..5_usize).prop_flat_map(|(steps, rows)| {
        let lengths = prop::collection::vec(0..=steps, rows);
        let lengths = lengths.prop_filter("some row has a step", |l| l.iter().any(|&n| n > 0));
        let resets = prop::collection::vec(prop::bool::weighted(0.25), steps * rows);
        let both = (prop::option::of(lengths), prop::option::of(resets));
        both.prop_filter_map("one of them", move |(lengths, resets)| {
            (lengths.is_some() || resets.is_some()).then_some(Rows {
                steps,
                lengths,
                resets,
            })
        })
    })
}

/// How an array lies in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Steps,
    Rows,
    Segments,
    /// Slots where states begin; the delay is negative.
    Start(bool),
    /// Slots where they end.
    End(bool),
}

/// An array: name, place, slots (1 but for states), numbers for each.
type Array = (String, Place, usize, usize);

/// The delay of a state.
fn delay(state: &str) -> i32 {
    match state {
        "far" => 3,
        "back" => -1,
        "further" => -2,
        _ => 1,
    }
}

fn inputs(cell: &Cell) -> Vec<Array> {
    let taken = cell.tape().inputs().iter();
    let taken = taken.filter(|i| i.role != InputRole::Param);
    let array = |i: &retrograd_tape::Input| {
        let d = delay(&i.name);
        let (place, slots) = match (i.role, i.ty.domain) {
            (InputRole::Initial, _) => (Place::Start(d < 0), d.unsigned_abs() as usize),
            (InputRole::Static, _) => (Place::Rows, 1),
            (_, Domain::Row) => (Place::Segments, 1),
            _ => (Place::Steps, 1),
        };
        (i.name.to_string(), place, slots, i.ty.shape.len())
    };
    taken.map(array).collect()
}

fn outputs(cell: &Cell) -> Vec<Array> {
    let all = cell.tape().outputs().iter();
    let all = all.filter(|o| o.role != retrograd_tape::OutputRole::Loss);
    let array = |o: &retrograd_tape::Output| {
        let ty = cell.tape().node(o.value).ty;
        let d = delay(&o.name);
        let (place, slots) = match (o.role, ty.domain) {
            (retrograd_tape::OutputRole::Final, _) => {
                (Place::End(d < 0), d.unsigned_abs() as usize)
            }
            (_, Domain::Row) => (Place::Segments, 1),
            _ => (Place::Steps, 1),
        };
        (o.name.to_string(), place, slots, ty.shape.len())
    };
    all.map(array).collect()
}

/// The positions in the batch's array, in numbers of its width, of one segment's numbers; none for slots that it begins with
/// zeros.
fn positions(rows: &Rows, k: usize, place: Place, slots: usize) -> Option<Vec<usize>> {
    let (segments, b) = (rows.segments(), rows.rows());
    let (row, steps) = segments[k].clone();
    let first = k == 0 || segments[k - 1].0 != row;
    let last = segments.get(k + 1).is_none_or(|s| s.0 != row);
    let reset = !steps.is_empty() && rows.resets.as_ref().is_some_and(|r| r[row]);
    let of_slots = || Some((0..slots).map(|s| s * b + row).collect());
    match place {
        Place::Steps => Some(steps.map(|t| t * b + row).collect()),
        Place::Rows => Some(vec![row]),
        Place::Segments => Some(vec![k]),
        Place::Start(false) if first && !reset => of_slots(),
        Place::Start(true) if last => of_slots(),
        Place::End(false) if last => of_slots(),
        Place::End(true) if first => of_slots(),
        Place::Start(_) | Place::End(_) => None,
    }
}

/// The number of values of an array of the batch's.
fn count(rows: &Rows, place: Place, slots: usize) -> usize {
    match place {
        Place::Steps => rows.steps * rows.rows(),
        Place::Rows => rows.rows(),
        Place::Segments => rows.segments().len(),
        Place::Start(_) | Place::End(_) => slots * rows.rows(),
    }
}

/// An array with NaN wherever no segment has a number.
fn filled(rows: &Rows, (_, place, slots, n): &Array, seed: usize) -> Vec<f64> {
    let mut values = numbers(count(rows, *place, *slots) * n, seed);
    if *place == Place::Steps {
        let mut live = vec![false; values.len() / n];
        for k in 0..rows.segments().len() {
            let all = positions(rows, k, *place, *slots).unwrap_or_default();
            all.into_iter().for_each(|p| live[p] = true);
        }
        for (value, k) in values.iter_mut().zip(0..) {
            if !live[k / n] {
                *value = f64::NAN;
            }
        }
    }
    values
}

/// What a batch gives: outputs by name, gradients by name (the parameters' under the empty name).
#[derive(Clone, Debug, PartialEq)]
struct Results {
    outputs: Vec<Vec<f64>>,
    gradients: Vec<Vec<f64>>,
    parameters: Vec<f64>,
}

fn program(cell: &Cell, engine: Engine) -> retrograd::Program<f64> {
    let names = inputs(cell);
    let program = cell.program().double().engine(engine);
    let program = program.parameter_gradients();
    let program = program.gradients(names.iter().map(|(name, ..)| &**name));
    program.all_cotangents().build().expect("it compiles")
}

fn run(
    cell: &Cell,
    session: &mut retrograd::Session<f64>,
    batch: &Batch<f64>,
    cotangents: &Cotangents<f64>,
) -> Results {
    let parameters = parameters(cell);
    let forward = session.forward(&parameters, batch).expect("it runs");
    let outputs = outputs(cell).into_iter();
    let outputs = outputs.map(|(name, ..)| forward.output(&name).expect("an output").to_vec());
    let outputs = outputs.collect();
    let gradients = forward.backward(cotangents).expect("it runs");
    let names = inputs(cell).into_iter();
    Results {
        outputs,
        gradients: names
            .map(|(name, ..)| gradients.of(&name).expect("a gradient").to_vec())
            .collect(),
        parameters: gradients.parameters().expect("all of them").to_vec(),
    }
}

fn parameters(cell: &Cell) -> Vec<f64> {
    numbers(cell.parameter_count(), 7)
        .iter()
        .map(|v| 0.4 * v)
        .collect()
}

/// Runs each segment alone, by the tape.
fn alone(cell: &Cell, rows: &Rows, given: &[Vec<f64>], cotangents: &[Vec<f64>]) -> Results {
    let (inputs, outputs) = (inputs(cell), outputs(cell));
    let zeros = |arrays: &[Array]| -> Vec<Vec<f64>> {
        let zeros = |(_, place, slots, n): &Array| vec![0.0; count(rows, *place, *slots) * n];
        arrays.iter().map(zeros).collect()
    };
    let mut all = Results {
        outputs: zeros(&outputs),
        gradients: zeros(&inputs),
        parameters: vec![0.0; cell.parameter_count()],
    };
    let mut session = program(cell, Engine::Tape).session();
    for (k, (row, steps)) in rows.segments().into_iter().enumerate() {
        let pick = |array: &Array, from: &[f64]| {
            let (_, place, slots, n) = array;
            let all = positions(rows, k, *place, *slots);
            let none = || vec![0.0; slots * n];
            all.map_or_else(none, |all| {
                all.into_iter()
                    .flat_map(|p| from[p * n..][..*n].to_vec())
                    .collect()
            })
        };
        if steps.is_empty() {
            // Without a step, a state ends where it begins; nothing else is checked of such a row.
            for (j, output) in outputs
                .iter()
                .enumerate()
                .filter(|(_, o)| matches!(o.1, Place::End(_)))
            {
                let Some(i) = inputs.iter().position(|i| i.0 == output.0) else {
                    continue;
                };
                let n = output.3;
                for p in (0..output.2).map(|s| s * rows.rows() + row) {
                    all.outputs[j][p * n..][..n].copy_from_slice(&given[i][p * n..][..n]);
                    all.gradients[i][p * n..][..n].copy_from_slice(&cotangents[j][p * n..][..n]);
                }
            }
            continue;
        }
        let mut batch = Batch::new(Extent::steps(steps.len()));
        for (array, values) in inputs.iter().zip(given) {
            batch = batch.with(&array.0, pick(array, values));
        }
        let mut seeds = Cotangents::new();
        for (array, values) in outputs.iter().zip(cotangents) {
            seeds = seeds.with(&array.0, pick(array, values));
        }
        let results = run(cell, &mut session, &batch, &seeds);
        let add = |to: &mut Vec<f64>, array: &Array, values: &[f64]| {
            let (_, place, slots, n) = array;
            for (i, p) in positions(rows, k, *place, *slots)
                .unwrap_or_default()
                .into_iter()
                .enumerate()
            {
                for (to, from) in to[p * n..][..*n].iter_mut().zip(&values[i * n..][..*n]) {
                    *to += from;
                }
            }
        };
        for ((to, array), from) in all.outputs.iter_mut().zip(&outputs).zip(&results.outputs) {
            add(to, array, from);
        }
        for ((to, array), from) in all
            .gradients
            .iter_mut()
            .zip(&inputs)
            .zip(&results.gradients)
        {
            add(to, array, from);
        }
        for (to, from) in all.parameters.iter_mut().zip(&results.parameters) {
            *to += from;
        }
    }
    all
}

fn close(what: &str, found: &[f64], expected: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len(), "{}", what);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        // Sums of at most a few hundred terms of the order of 1, in f64, each after a few dozen roundings.
        let near = (f - e).abs() <= 1e-11 * (1.0 + e.abs());
        prop_assert!(near, "{what}[{i}]: {f}, alone {e}");
    }
    Ok(())
}

/// Puts zeros where an array of an output has what an empty row computes without a step, or learns: no run of the row alone
/// says what that is.
fn without_empty_rows(rows: &Rows, inputs: &[Array], array: &Array, values: &mut [f64]) {
    let (name, place, slots, n) = array;
    let given = inputs.iter().any(|i| i.0 == *name);
    for (k, (row, steps)) in rows.segments().into_iter().enumerate() {
        let at: Vec<usize> = match place {
            Place::Segments => vec![k],
            Place::End(_) if !given => (0..*slots).map(|s| s * rows.rows() + row).collect(),
            _ => vec![],
        };
        if steps.is_empty() {
            at.into_iter().for_each(|p| values[p * n..][..*n].fill(0.0));
        }
    }
}

pub(crate) fn check(cell: &Cell, rows: &Rows) -> Result<(), TestCaseError> {
    let segments: Vec<Segment> = rows
        .segments()
        .into_iter()
        .map(|(row, steps)| Segment { row, steps })
        .collect();
    let extent = Extent::steps(rows.steps).rows(rows.rows());
    let mut batch = rows.of(Batch::new(extent));
    prop_assert_eq!(batch.segments().unwrap(), segments);
    let (inputs, outputs) = (inputs(cell), outputs(cell));
    let given: Vec<Vec<f64>> = inputs
        .iter()
        .zip(1..)
        .map(|(a, seed)| filled(rows, a, seed))
        .collect();
    for (array, values) in inputs.iter().zip(&given) {
        batch = batch.with(&array.0, values.clone());
    }
    let mut cotangents: Vec<Vec<f64>> = outputs
        .iter()
        .zip(20..)
        .map(|(a, seed)| filled(rows, a, seed))
        .collect();
    for (array, values) in outputs.iter().zip(&mut cotangents) {
        without_empty_rows(rows, &inputs, array, values);
    }
    let mut seeds = Cotangents::new();
    for (array, values) in outputs.iter().zip(&cotangents) {
        seeds = seeds.with(&array.0, values.clone());
    }
    let expected = alone(cell, rows, &given, &cotangents);
    for engine in [Engine::Tape, Engine::Jit] {
        let mut first = None;
        for threads in 1..=4 {
            if engine == Engine::Tape && threads > 1 {
                break;
            }
            let mut session = program(cell, engine).session();
            session.set_threads(threads).unwrap();
            let mut found = run(cell, &mut session, &batch, &seeds);
            for (array, values) in outputs.iter().zip(&mut found.outputs) {
                without_empty_rows(rows, &inputs, array, values);
            }
            let first = first.get_or_insert_with(|| found.clone());
            prop_assert_eq!(&*first, &found, "{} threads", threads);
            for ((array, f), e) in outputs.iter().zip(&found.outputs).zip(&expected.outputs) {
                close(&format!("{engine}: {}", array.0), f, e)?;
            }
            for ((array, f), e) in inputs.iter().zip(&found.gradients).zip(&expected.gradients) {
                close(&format!("{engine}: gradient of {}", array.0), f, e)?;
            }
            close(
                &format!("{engine}: parameters"),
                &found.parameters,
                &expected.parameters,
            )?;
        }
    }
    Ok(())
}
