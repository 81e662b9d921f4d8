//! Sequences in chunks, for random programs: states that are carried give the numbers of one run (compiled code bit by bit; the
//! interpreter's products add in an order that depends on how many steps they have), and chained cotangents give its
//! gradients. Rows have lengths of their own, and some end in an earlier chunk.

use std::ops::Range;

use retrograd_graph::Options;
use retrograd_jit::{CompiledCell, Element, Executor, Purpose};
use retrograd_tape::generate::{Case, Choices, cotangents_ragged, generate};
use retrograd_tape::{
    CarriedState, Domain, Interpreter, Lengths, OutputRole, Real, Tape, TapeError, Type,
};

/// Programs that are drawn. A fifth of them can be carried.
const CASES: u32 = 1800;

/// Of numbers in f64, relative to one and the greatest: see `retrograd_check::Sample::EXACT`.
const ROUNDINGS: f64 = 1e-10;

/// Checks the greatest difference.
fn near<T: Real>(right: &[T], found: &[T], most: f64, what: &str) {
    assert_eq!(right.len(), found.len(), "{what}");
    let right = right.iter().map(|x| Real::to_f64(*x));
    let size = right.clone().fold(0.0_f64, |m, x| m.max(x.abs()));
    let found = found.iter().map(|x| Real::to_f64(*x));
    for (i, (a, b)) in right.zip(found).enumerate() {
        let off = (a - b).abs();
        // Infinities that are equal are no difference, and a NaN is one.
        assert!(
            a == b || off <= most * (1.0 + size),
            "{what}: number {i} is {b} and should be {a}"
        );
    }
}

/// One of many programs.
fn case(seed: u32) -> Case {
    let byte = |i: u32| {
        let mixed = (seed ^ i.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
        ((mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35) >> 24) as u8
    };
    let bytes: Vec<u8> = (0..200).map(byte).collect();
    // A limit of a gradient is not linear, and would limit that of each chunk.
    generate(&mut Choices::new(&bytes)).without_limits()
}

/// A program with carried states, and the numbers that its runs need.
struct Carrying<'a> {
    case: &'a Case,
    tape: Tape,
    states: Vec<CarriedState>,
}

/// The part of an array that belongs to some steps.
fn part<T: Copy>(ty: Type, all: &[T], steps: &Range<usize>, lengths: &Lengths) -> Vec<T> {
    let n = ty.shape.len();
    let at = |t: usize| lengths.offset(t) * n;
    match ty.domain {
        Domain::Step if !all.is_empty() => all[at(steps.start)..at(steps.end)].to_vec(),
        _ => all.to_vec(),
    }
}

/// What rows have of some steps: none, if they end before.
fn lengths_of(steps: &Range<usize>, lengths: &Lengths) -> Lengths {
    let rows = lengths.of_rows().iter();
    let rows = rows.map(|n| (*n).clamp(steps.start, steps.end) - steps.start);
    Lengths::new(rows.collect()).expect("the longest row has all steps")
}

fn cast<T: Real>(arrays: &[Vec<f64>]) -> Vec<Vec<T>> {
    let cast = |a: &Vec<f64>| a.iter().map(|&x| T::from_f64(x)).collect();
    arrays.iter().map(cast).collect()
}

impl Carrying<'_> {
    /// The case's inputs at some steps; states begin as declared.
    fn inputs<T: Real>(&self, steps: &Range<usize>) -> Vec<Vec<T>> {
        let given = cast::<T>(&self.case.inputs);
        let inputs = self.tape.inputs().iter().zip(&given);
        let mut parts: Vec<Vec<T>> = inputs
            .map(|(i, all)| part(i.ty, all, steps, &self.case.lengths))
            .collect();
        parts.resize(self.tape.inputs().len(), Vec::new());
        parts
    }

    /// Lets the states of a run begin as another one, with these outputs, left them.
    fn carry<T: Real>(&self, inputs: &mut [Vec<T>], outputs: &[Vec<T>]) {
        for state in &self.states {
            inputs[state.input] = outputs[state.output].clone();
            if let Some(flag) = state.flag {
                let count = self.tape.inputs()[flag].ty.numbers(0, self.case.b);
                inputs[flag] = vec![T::ONE; count];
            }
        }
    }

    fn chunks(&self, ends: &[usize]) -> Vec<Range<usize>> {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, &end)| start..end).collect()
    }

    /// All outputs of the program over chunks, those over steps joined.
    fn over<T: Real>(
        &self,
        chunks: &[Range<usize>],
        mut run: impl FnMut(&Lengths, &[&[T]]) -> Vec<Vec<T>>,
    ) -> Vec<Vec<T>> {
        let mut all: Vec<Vec<T>> = Vec::new();
        for steps in chunks {
            let mut inputs = self.inputs(steps);
            if !all.is_empty() {
                self.carry(&mut inputs, &all);
            }
            let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
            let mut found = run(&lengths_of(steps, &self.case.lengths), &slices);
            // Gradients follow.
            found.truncate(self.tape.outputs().len());
            all.resize(found.len(), Vec::new());
            for (k, found) in found.into_iter().enumerate() {
                let o = &self.tape.outputs()[k];
                match self.tape.node(o.value).ty.domain {
                    Domain::Step => all[k].extend(found),
                    _ => all[k] = found,
                }
            }
        }
        all
    }

    /// Values, except those of the loss, which is one of each chunk.
    fn same<T: Real>(&self, whole: &[Vec<T>], found: &[Vec<T>], most: f64, what: &str) {
        for (k, o) in self.tape.outputs().iter().enumerate() {
            if o.role != OutputRole::Loss {
                let what = format!("{}\n`{}`, {what}", self.case, o.name);
                near(&whole[k], &found[k], most, &what);
            }
        }
    }

    fn interpreted(&self, ends: &[usize]) {
        let mut run = Interpreter::<f64>::new(&self.tape);
        let mut outputs = |lengths: &Lengths, inputs: &[&[f64]]| -> Vec<Vec<f64>> {
            let ran = run.forward_ragged(lengths, inputs);
            ran.unwrap_or_else(|e| panic!("{}\n{e}", self.case));
            let outputs = 0..self.tape.outputs().len();
            outputs.map(|k| run.output(k).to_vec()).collect()
        };
        let whole = self.over(&self.chunks(&[self.case.t]), &mut outputs);
        let found = self.over(&self.chunks(ends), &mut outputs);
        self.same(&whole, &found, ROUNDINGS, "interpreted");
        // Without what was carried, it is the recorded program.
        let mut recorded = Interpreter::<f64>::new(&self.case.tape);
        let ran = recorded.forward_ragged(&self.case.lengths, &self.case.slices());
        ran.expect("it ran");
        let own = whole.iter().take(self.case.tape.outputs().len());
        for (k, whole) in own.enumerate() {
            assert_eq!(recorded.output(k), whole, "{}", self.case);
        }
    }

    fn compiled<T: Element + Real>(&self, purpose: &Purpose, ends: &[usize]) {
        let options = Options::default();
        let cell = CompiledCell::<T>::compile_with(&self.tape, purpose, &options);
        let cell = cell.unwrap_or_else(|e| panic!("{}\n{e}", self.case));
        for threads in [1, 3] {
            let mut executor = cell.executor();
            executor.set_threads(threads);
            let mut run = |lengths: &Lengths, inputs: &[&[T]]| ran(&mut executor, lengths, inputs);
            let whole = self.over(&self.chunks(&[self.case.t]), &mut run);
            let found = self.over(&self.chunks(ends), &mut run);
            let what = format!("{purpose:?}, {threads} threads, chunks to {ends:?}");
            self.same(&whole, &found, 0.0, &what);
        }
    }

    /// The gradients of one run by two, the second of which hands the cotangents of its states to the first.
    fn chained(&self, middle: usize) {
        let (t, lengths) = (self.case.t, &self.case.lengths);
        let outputs = self.tape.outputs();
        let wrt: Vec<String> = (self.tape.inputs().iter())
            .map(|i| i.name.to_string())
            .collect();
        let given = outputs.iter().filter(|o| o.role != OutputRole::Loss);
        let purpose = Purpose::Gradients {
            given: given.map(|o| o.name.to_string()).collect(),
            loss: false,
            wrt,
        };
        let cell = CompiledCell::<f64>::compile(&self.tape, &purpose).expect("it compiles");
        let mut executor = cell.executor();
        let cots = cotangents_ragged(&self.tape, lengths, self.case.seed);
        let mut run = |steps: &Range<usize>, inputs: &[Vec<f64>], finals: &[Vec<f64>]| {
            let mut slices: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
            slices.extend(finals.iter().map(Vec::as_slice));
            ran(&mut executor, &lengths_of(steps, lengths), &slices)
        };
        let cots_of = |steps: &Range<usize>, states: Option<&[Vec<f64>]>| -> Vec<Vec<f64>> {
            let given = outputs
                .iter()
                .enumerate()
                .filter(|(_, o)| o.role != OutputRole::Loss);
            let one = |(k, o): (usize, &retrograd_tape::Output)| {
                let ty = self.tape.node(o.value).ty;
                match (ty.domain, states) {
                    (Domain::Step, _) | (_, None) => part(ty, &cots[k], steps, lengths),
                    // Later chunks count what does not vary over steps, and hand on what reaches their states.
                    (_, Some(states)) => {
                        let first = self.states.iter().position(|s| s.output == k);
                        let mine = first.filter(|&i| {
                            let earlier = &self.states[..i];
                            earlier.iter().all(|s| s.input != self.states[i].input)
                        });
                        mine.map_or(Vec::new(), |i| states[i].clone())
                    }
                }
            };
            given.map(one).collect()
        };
        // Nothing flows to an input without a gradient.
        let gradient = |arrays: &[Vec<f64>], i: usize| {
            let name = format!("grad({})", self.tape.inputs()[i].name);
            cell.output(&name).map_or(Vec::new(), |k| arrays[k].clone())
        };
        let (all, first, second) = (0..t, 0..middle, middle..t);
        let whole = run(&all, &self.inputs(&all), &cots_of(&all, None));
        let start = self.inputs(&first);
        let none = vec![Vec::new(); self.states.len()];
        let before = run(&first, &start, &cots_of(&first, Some(&none)));
        let mut later = self.inputs(&second);
        self.carry(&mut later, &before);
        let after = run(&second, &later, &cots_of(&second, None));
        let reached: Vec<Vec<f64>> = (self.states.iter())
            .map(|s| gradient(&after, s.input))
            .collect();
        let before = run(&first, &start, &cots_of(&first, Some(&reached)));
        for (i, input) in self.tape.inputs().iter().enumerate() {
            let carried = self
                .states
                .iter()
                .any(|s| s.input == i || s.flag == Some(i));
            let (whole, mut found) = (gradient(&whole, i), gradient(&before, i));
            let after = gradient(&after, i);
            match input.ty.domain {
                Domain::Step => found.extend(&after),
                _ if carried => {}
                _ => (found.iter_mut().zip(&after)).for_each(|(sum, x)| *sum += x),
            }
            let what = format!("{}\ngrad({})", self.case, input.name);
            near(&whole, &found, ROUNDINGS, &what);
        }
    }
}

/// All outputs of a run.
fn ran<T: Element + Real>(
    executor: &mut Executor<T>,
    lengths: &Lengths,
    inputs: &[&[T]],
) -> Vec<Vec<T>> {
    let cell = executor.cell().clone();
    // Cotangents that are not given are zeros.
    let mut inputs = inputs.to_vec();
    inputs.resize(cell.inputs().len(), &[]);
    let array = |k| vec![T::from_f64(f64::NAN); cell.output_len_ragged(k, lengths)];
    let mut outputs: Vec<Vec<T>> = (0..cell.outputs().len()).map(array).collect();
    let mut slices: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let ran = executor.run_ragged(lengths, &inputs, &mut slices);
    ran.unwrap_or_else(|e| panic!("{e}"));
    outputs
}

#[test]
fn random_programs_run_in_chunks_as_in_one_run() {
    let (mut carried, mut flagged, mut refused) = (0, 0, 0);
    for seed in 0..CASES {
        let case = &case(seed);
        let (tape, states) = match case.tape.carrying() {
            Ok(carrying) => carrying,
            Err(TapeError::NeedsLaterSteps { .. }) => {
                refused += 1;
                continue;
            }
            Err(e) => panic!("{case}\n{e}"),
        };
        if states.is_empty() || case.t == 1 {
            continue;
        }
        let with_start = states.iter().any(|s| s.flag.is_some());
        let run = Carrying { case, tape, states };
        let middle = 1 + seed as usize % (case.t - 1);
        let every: Vec<usize> = (1..=case.t).collect();
        run.interpreted(&every);
        run.interpreted(&[middle, case.t]);
        // Compiling takes its time.
        if carried % 4 == 0 || with_start && flagged % 2 == 0 {
            run.compiled::<f32>(&Purpose::Forward, &every);
            run.compiled::<f64>(&Purpose::everything(&run.tape), &[middle, case.t]);
            run.chained(middle);
        }
        carried += 1;
        flagged += usize::from(with_start);
    }
    let counts = (carried, flagged, refused);
    assert!(carried > 300 && flagged > 80 && refused > 100, "{counts:?}");
    println!("{counts:?}");
}
