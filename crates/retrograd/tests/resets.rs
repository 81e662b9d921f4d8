//! Random programs over batches whose rows have lengths of their own and are reset within: values and all gradients are those of
//! each segment alone by the tape, on both engines, cut into any number of pieces, within less memory, with NaN in the padding.

use retrograd::{Batch, Cell, Cotangents, Engine, Error, Extent, RunError, Session};
use retrograd_check::{Numerics, Random, Sample, Target, rows_are_independent};
use retrograd_tape::generate::{Choices, generate, inputs};
use retrograd_tape::{Domain, InputRole, Lengths, Op, OutputRole, Tape, Type};

/// How an array lies in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Once,
    Steps,
    Rows,
    Segments,
    /// Slots where states begin; from the end of a row if true.
    Start(bool),
    /// Slots where they end.
    End(bool),
}

/// An array: its name, type and place.
#[derive(Clone, Debug)]
struct Array {
    name: String,
    ty: Type,
    place: Place,
}

impl Array {
    fn of_input(tape: &Tape, k: usize) -> Array {
        let input = &tape.inputs()[k];
        let from_end = |v| {
            let mut nodes = tape.nodes().iter();
            nodes.any(|n| matches!(n.op, Op::Delay(..0)) && n.operands[1] == v)
        };
        let place = match (input.role, input.ty.domain) {
            (_, Domain::Once) => Place::Once,
            (_, Domain::Step) => Place::Steps,
            (InputRole::Initial, _) => Place::Start(from_end(input.value)),
            (InputRole::Static, _) => Place::Rows,
            _ => Place::Segments,
        };
        Array {
            name: input.name.to_string(),
            ty: input.ty,
            place,
        }
    }

    fn of_output(tape: &Tape, k: usize) -> Array {
        let output = &tape.outputs()[k];
        let node = tape.node(output.value);
        let place = match (&node.op, node.ty.domain) {
            (Op::Boundary(d), Domain::BoundarySlots(_)) => Place::End(*d < 0),
            (_, Domain::Step) => Place::Steps,
            (_, Domain::Row) => Place::Segments,
            // What all rows have together is no segment's alone.
            _ => Place::Once,
        };
        Array {
            name: output.name.to_string(),
            ty: node.ty,
            place,
        }
    }

    fn slots(&self) -> usize {
        match self.ty.domain {
            Domain::BoundarySlots(k) => k,
            _ => 1,
        }
    }

    fn width(&self) -> usize {
        self.ty.shape.len()
    }
}

/// The rows of a batch, their ends, and where they are reset.
#[derive(Clone, Debug)]
struct Rows {
    steps: usize,
    lengths: Vec<usize>,
    resets: Vec<bool>,
}

impl Rows {
    fn drawn(random: &mut Random) -> Rows {
        let mut below = |n: usize| (random.bits() % n as u64) as usize;
        let (steps, rows) = (1 + below(8), 1 + below(4));
        let mut lengths: Vec<usize> = (0..rows)
            .map(|_| steps - below(steps + 1).min(below(steps + 1)))
            .collect();
        lengths[below(rows)] = steps;
        Rows {
            steps,
            lengths,
            resets: (0..steps * rows).map(|_| below(4) == 0).collect(),
        }
    }

    fn segments(&self) -> Vec<(usize, std::ops::Range<usize>)> {
        let b = self.lengths.len();
        let mut all = Vec::new();
        for (row, &length) in self.lengths.iter().enumerate() {
            let cuts = (1..length).filter(|t| self.resets[t * b + row]);
            let cuts: Vec<usize> = [0].into_iter().chain(cuts).chain([length]).collect();
            all.extend(cuts.windows(2).map(|w| (row, w[0]..w[1])));
        }
        all
    }

    fn count(&self, array: &Array) -> usize {
        let b = self.lengths.len();
        match array.place {
            Place::Once => 1,
            Place::Steps => self.steps * b,
            Place::Rows => b,
            Place::Segments => self.segments().len(),
            Place::Start(_) | Place::End(_) => array.slots() * b,
        }
    }

    /// Where segment `k` has its values in the batch's array, in values of its width; none where it begins with zeros.
    fn positions(&self, k: usize, array: &Array) -> Option<Vec<usize>> {
        let (segments, b) = (self.segments(), self.lengths.len());
        let (row, steps) = segments[k].clone();
        let first = k == 0 || segments[k - 1].0 != row;
        let last = segments.get(k + 1).is_none_or(|s| s.0 != row);
        let reset = !steps.is_empty() && self.resets[row];
        let slots = || Some((0..array.slots()).map(|s| s * b + row).collect());
        match array.place {
            Place::Once => Some(vec![0]),
            Place::Steps => Some(steps.map(|t| t * b + row).collect()),
            Place::Rows => Some(vec![row]),
            Place::Segments => Some(vec![k]),
            Place::Start(false) if first && !reset => slots(),
            Place::Start(true) if last => slots(),
            Place::End(false) if last => slots(),
            Place::End(true) if first => slots(),
            Place::Start(_) | Place::End(_) => None,
        }
    }

    /// Puts NaN where no row has a step.
    fn without_padding(&self, array: &Array, values: &mut [f64]) {
        let (b, n) = (self.lengths.len(), array.width());
        if array.place == Place::Steps {
            for (p, value) in values.chunks_mut(n).enumerate() {
                if p / b >= self.lengths[p % b] {
                    value.fill(f64::NAN);
                }
            }
        }
    }
}

/// Outputs, gradients of all inputs but parameters, and those of the parameters, one after another.
type Results = Vec<Vec<f64>>;

/// One comparison.
struct Comparison<'a> {
    cell: &'a Cell,
    rows: &'a Rows,
    inputs: Vec<Array>,
    outputs: Vec<Array>,
    parameters: Vec<f64>,
    given: Vec<Vec<f64>>,
    cotangents: Vec<Vec<f64>>,
}

impl<'a> Comparison<'a> {
    fn new(cell: &'a Cell, rows: &'a Rows, seed: u64) -> Comparison<'a> {
        let tape = cell.tape();
        let (t, b, segments) = (rows.steps, rows.lengths.len(), rows.segments());
        let (of_rows, of_segments) = (
            inputs(tape, t, b, seed),
            inputs(tape, t, segments.len(), seed),
        );
        let mut parameters = Vec::new();
        let (mut arrays, mut given) = (Vec::new(), Vec::new());
        for (k, input) in tape.inputs().iter().enumerate() {
            if input.role == InputRole::Param {
                parameters.extend_from_slice(&of_rows[k]);
                continue;
            }
            let array = Array::of_input(tape, k);
            let mut values = match array.place {
                Place::Segments => of_segments[k].clone(),
                _ => of_rows[k].clone(),
            };
            values.resize(rows.count(&array) * array.width(), 0.0);
            rows.without_padding(&array, &mut values);
            arrays.push(array);
            given.push(values);
        }
        let own = (0..tape.outputs().len()).filter(|&k| tape.outputs()[k].role != OutputRole::Loss);
        let outputs: Vec<Array> = own.map(|k| Array::of_output(tape, k)).collect();
        let outputs: Vec<Array> = outputs
            .into_iter()
            .filter(|o| o.place != Place::Once)
            .collect();
        let mut random = Random::new(seed ^ 0xc07);
        let cotangents = outputs.iter().map(|array| {
            let n = array.width();
            let mut values: Vec<f64> = (0..rows.count(array) * n).map(|_| random.next()).collect();
            // An empty row has values that no run of it alone can tell.
            for (k, (row, steps)) in segments.iter().enumerate().filter(|(_, s)| s.1.is_empty()) {
                assert!(steps.is_empty());
                let at: Vec<usize> = match array.place {
                    Place::Segments => vec![k],
                    Place::End(_) => (0..array.slots()).map(|s| s * b + row).collect(),
                    _ => vec![],
                };
                at.into_iter().for_each(|p| values[p * n..][..n].fill(0.0));
            }
            rows.without_padding(array, &mut values);
            values
        });
        Comparison {
            cotangents: cotangents.collect(),
            cell,
            rows,
            inputs: arrays,
            outputs,
            parameters,
            given,
        }
    }

    fn session(&self, engine: Engine) -> Option<Session<f64>> {
        let program = self
            .cell
            .program()
            .double()
            .engine(engine)
            .parameter_gradients();
        let program = program.gradients(self.inputs.iter().map(|a| &*a.name));
        let program = program.cotangents(self.outputs.iter().map(|a| &*a.name));
        Some(program.build().ok()?.session())
    }

    fn run(
        &self,
        session: &mut Session<f64>,
        batch: &Batch<f64>,
        cotangents: &Cotangents<f64>,
    ) -> Result<Results, Error> {
        let forward = session.forward(&self.parameters, batch)?;
        let output = |a: &Array| forward.output(&a.name).expect("an output").to_vec();
        let mut all: Results = self.outputs.iter().map(output).collect();
        let gradients = forward.backward(cotangents)?;
        let of = |a: &Array| gradients.of(&a.name).expect("requested").to_vec();
        all.extend(self.inputs.iter().map(of));
        all.push(gradients.parameters().expect("all of them").to_vec());
        Ok(all)
    }

    fn together(&self, session: &mut Session<f64>) -> Result<Results, Error> {
        let extent = Extent::steps(self.rows.steps).rows(self.rows.lengths.len());
        let mut batch = Batch::new(extent)
            .with_lengths(&self.rows.lengths)
            .with_resets(&self.rows.resets);
        for (array, values) in self.inputs.iter().zip(&self.given) {
            batch = batch.with(&array.name, values.clone());
        }
        let mut seeds = Cotangents::new();
        for (array, values) in self.outputs.iter().zip(&self.cotangents) {
            seeds = seeds.with(&array.name, values.clone());
        }
        self.run(session, &batch, &seeds)
    }

    /// Each segment alone, by the tape, put together.
    fn alone(&self) -> Option<Results> {
        let arrays = || self.outputs.iter().chain(&self.inputs);
        let zeros = |a: &Array| vec![0.0; self.rows.count(a) * a.width()];
        let mut all: Results = arrays().map(zeros).collect();
        all.push(vec![0.0; self.parameters.len()]);
        let mut session = self.session(Engine::Tape)?;
        for (k, (_, steps)) in self.rows.segments().into_iter().enumerate() {
            if steps.is_empty() {
                continue;
            }
            let pick = |array: &Array, from: &[f64]| {
                let n = array.width();
                let all = self.rows.positions(k, array);
                let of =
                    |all: Vec<usize>| all.into_iter().flat_map(|p| from[p * n..][..n].to_vec());
                all.map_or_else(|| vec![0.0; array.slots() * n], |all| of(all).collect())
            };
            let mut batch = Batch::new(Extent::steps(steps.len()));
            for (array, values) in self.inputs.iter().zip(&self.given) {
                batch = batch.with(&array.name, pick(array, values));
            }
            let mut seeds = Cotangents::new();
            for (array, values) in self.outputs.iter().zip(&self.cotangents) {
                seeds = seeds.with(&array.name, pick(array, values));
            }
            let results = self.run(&mut session, &batch, &seeds).ok()?;
            for ((array, to), from) in arrays().zip(&mut all).zip(&results) {
                let n = array.width();
                let at = self.rows.positions(k, array).unwrap_or_default();
                for (i, p) in at.into_iter().enumerate() {
                    let from = &from[i * n..][..n];
                    (to[p * n..][..n].iter_mut().zip(from)).for_each(|(to, x)| *to += x);
                }
            }
            let (to, from) = (all.last_mut()?, results.last()?);
            to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
        }
        Some(all)
    }

    /// The first number that is not what it should be, within `exact` of 1 + the greatest number of its array.
    fn difference(&self, found: &Results, right: &Results, exact: f64) -> Option<String> {
        let b = self.rows.lengths.len();
        let empty: Vec<usize> = self
            .rows
            .segments()
            .iter()
            .enumerate()
            .filter(|(_, s)| s.1.is_empty())
            .map(|(k, _)| k)
            .collect();
        let untold = |array: &Array, p: usize| match array.place {
            Place::Segments => empty.contains(&p),
            Place::End(_) => self.rows.lengths[p % b] == 0,
            _ => false,
        };
        let arrays = self.outputs.iter().map(|a| (Some(a), true));
        let arrays = arrays
            .chain(self.inputs.iter().map(|a| (Some(a), false)))
            .chain([(None, false)]);
        for ((array, output), (f, r)) in arrays.zip(found.iter().zip(right)) {
            let size = r.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            let terms = self.rows.segments().len() as f64;
            for (i, (f, r)) in f.iter().zip(r).enumerate() {
                let at = i / array.map_or(1, Array::width);
                if output && array.is_some_and(|a| untold(a, at)) {
                    continue;
                }
                let near = (f - r).abs() <= exact * terms * (1.0 + size) || f == r;
                if !near {
                    let name = array.map_or("parameters", |a| &a.name);
                    return Some(format!("{name}[{i}], output {output}: {f}, alone {r}"));
                }
            }
        }
        None
    }
}

/// Compares one random program, if it can be.
fn compare(number: u64) -> Option<()> {
    let mut random = Random::new(number ^ 0x7e5e7);
    let bytes: Vec<u8> = (0..40 + number % 300)
        .map(|_| (random.bits() >> 56) as u8)
        .collect();
    let case = generate(&mut Choices::new(&bytes));
    if !rows_are_independent(&case.tape) {
        return None;
    }
    let rows = Rows::drawn(&mut random);
    let cell = Cell::from_tape(case.tape.clone());
    let lengths = Lengths::new(vec![rows.steps; rows.lengths.len()]).ok()?;
    let mut sample = Sample::over(&case.tape, lengths, number, Target::host());
    let numerics = Numerics::of(&mut sample).ok()?;
    if numerics.comparable(&sample).is_some() {
        return None;
    }
    let comparison = Comparison::new(&cell, &rows, number);
    if comparison.outputs.is_empty() {
        return None;
    }
    let right = comparison.alone()?;
    if right.iter().flatten().any(|x| !x.is_finite()) {
        return None;
    }
    let check = |what: &str, found: &Results| {
        if let Some(difference) = comparison.difference(found, &right, sample.exact) {
            panic!("program {number}, {what}: {difference}\n{rows:?}\n{case}");
        }
    };
    let mut tape = comparison.session(Engine::Tape)?;
    check("tape", &comparison.together(&mut tape).expect("it runs"));
    let mut whole = comparison.session(Engine::Jit)?;
    let first = comparison.together(&mut whole).expect("it runs");
    check("compiled", &first);
    for pieces in 2..=4 {
        whole.cut_into(pieces);
        let found = comparison.together(&mut whole).expect("it runs");
        let bits = |r: &Results| -> Vec<u64> { r.iter().flatten().map(|x| x.to_bits()).collect() };
        assert_eq!(
            bits(&found),
            bits(&first),
            "program {number}, {pieces} pieces\n{case}"
        );
    }
    whole.set_memory_budget(Some(1));
    if let Err(Error::Run(RunError::Budget { least, .. })) = comparison.together(&mut whole) {
        whole.set_memory_budget(Some(least));
        check(
            "within the least memory",
            &comparison.together(&mut whole).expect("it fits"),
        );
    }
    Some(())
}

#[test]
fn random_programs_are_in_segments_what_they_are_alone() {
    // The last bounds the gradient of a parameter: of the sum over segments, which is not the sum of bounded ones.
    let compared = (0..400).chain([1267]).filter_map(compare).count();
    println!("{compared} of 401");
    assert!(compared >= 40, "{compared}");
}

#[test]
#[ignore = "twenty times the work of the normal run"]
fn many_more_random_programs_are_in_segments_what_they_are_alone() {
    assert!((400..8400).filter_map(compare).count() >= 800);
}
