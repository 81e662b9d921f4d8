//! One program on each engine: its outputs, including gradients, by name.

use retrograd_graph::passes::{self, Refused};
use retrograd_graph::plan::{Blocking, Plan, plan};
use retrograd_graph::{Graph, Options, Target};
use retrograd_jit::{
    CompileError, CompiledCell, Element, Executor, Purpose, Stepper, StepperError,
};
use retrograd_tape::generate::{cotangents, inputs};
use retrograd_tape::{
    Domain, Extent, Input, InputRole, Interpreter, Output, OutputRole, Real, Tape,
};

/// Numbers on either side of each output that must stay as they are.
const GUARD: usize = 64;

/// An array and its name.
pub(crate) type Named<T> = (String, Vec<T>);

/// Arrays by name, in order.
pub(crate) type Arrays<T> = Vec<Named<T>>;

/// All outputs and gradients of the tape.
pub(crate) fn by_tape<T: Real>(
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    by_tape_on(tape, &inputs(tape, t, b, seed), t, b, seed)
}

/// As [`by_tape`], on these inputs.
pub(crate) fn by_tape_on<T: Real>(
    tape: &Tape,
    inputs: &[Vec<f64>],
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let inputs = cast::<T>(inputs);
    let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<T>::new(tape);
    run.forward(Extent { steps: t, rows: b }, &slices)
        .map_err(|e| e.to_string())?;
    let cots = cast::<T>(&cotangents(tape, t, b, seed));
    let cots: Vec<Option<&[T]>> = cots.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cots).map_err(|e| e.to_string())?;
    let mut out: Arrays<T> = (tape.outputs().iter().enumerate())
        .map(|(i, o)| (o.name.to_string(), run.output(i).to_vec()))
        .collect();
    for (i, input) in tape.inputs().iter().enumerate() {
        let gradient = run.gradient(i).map(<[T]>::to_vec).unwrap_or_default();
        out.push((format!("grad({})", input.name), gradient));
    }
    Ok(out)
}

/// An array among numbers that must stay as they are. It begins as NaN: what is not written must not pass for right.
struct Guarded<T> {
    all: Vec<T>,
    front: usize,
}

impl<T: Real> Guarded<T> {
    fn new(front: usize, len: usize) -> Self {
        Guarded::holding(front, &vec![T::from_f64(f64::NAN); len])
    }

    fn holding(front: usize, values: &[T]) -> Self {
        let mut all = vec![Self::guard(); front];
        all.extend(values);
        all.resize(all.len() + GUARD, Self::guard());
        Guarded { all, front }
    }

    fn guard() -> T {
        T::from_f64(12345.0)
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.front..self.all.len() - GUARD
    }

    fn inner(&self) -> &[T] {
        &self.all[self.range()]
    }

    fn inner_mut(&mut self) -> &mut [T] {
        let range = self.range();
        &mut self.all[range]
    }

    /// What was written, if nothing beside it was.
    fn written(&self, name: &str) -> Result<Vec<T>, String> {
        let range = self.range();
        let mut beside = self.all[..range.start].iter().chain(&self.all[range.end..]);
        match beside.all(|x| *x == Self::guard()) {
            true => Ok(self.inner().to_vec()),
            false => Err(format!("numbers beside `{name}` were overwritten")),
        }
    }
}

/// All outputs of a compiled cell, gradients among them.
pub(crate) fn by_cell<T: Element + Real>(
    executor: &mut Executor<T>,
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(tape, cell.inputs(), t, b, seed)?;
    // An array begins anywhere: nothing is aligned to more than a number.
    let front = GUARD + (seed % 5) as usize;
    let given: Vec<Guarded<T>> = given.iter().map(|x| Guarded::holding(front, x)).collect();
    let slices: Vec<&[T]> = given.iter().map(Guarded::inner).collect();
    let extent = Extent { steps: t, rows: b };
    let mut out: Vec<Guarded<T>> = (0..cell.outputs().len())
        .map(|k| Guarded::new(front, cell.output_len(k, extent)))
        .collect();
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
    executor
        .run(extent, &slices, &mut outs)
        .map_err(|e| e.to_string())?;
    (out.iter().zip(cell.outputs()))
        .map(|(array, output)| Ok((output.name.to_string(), array.written(&output.name)?)))
        .collect()
}

/// The same, its run cut in two, with another run and the forward half of one in between.
pub(crate) fn by_halves<T: Element + Real>(
    executor: &mut Executor<T>,
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(tape, cell.inputs(), t, b, seed)?;
    let front = GUARD + (seed % 5) as usize;
    let given: Vec<Guarded<T>> = given.iter().map(|x| Guarded::holding(front, x)).collect();
    let slices: Vec<&[T]> = given.iter().map(Guarded::inner).collect();
    let extent = Extent { steps: t, rows: b };
    let own = tape.inputs().len();
    let kept = executor.forward(extent, &slices[..own]);
    let kept = kept.map_err(|e| e.to_string())?;
    let other = arguments::<T>(tape, cell.inputs(), t + 1, b, seed ^ 1)?;
    let others: Vec<&[T]> = other[..own].iter().map(Vec::as_slice).collect();
    let after = executor.forward(
        Extent {
            steps: t + 1,
            rows: b,
        },
        &others,
    );
    by_cell(executor, tape, t, b, seed ^ 1)?;
    let early = |o: &&Output| o.role != OutputRole::Gradient;
    let first = cell.outputs().iter().enumerate().filter(|(_, o)| early(o));
    let mut all: Arrays<T> = first
        .map(|(k, o)| (o.name.to_string(), kept.output(k).to_vec()))
        .collect();
    let late: Vec<usize> = (0..cell.outputs().len())
        .filter(|&k| !early(&&cell.outputs()[k]))
        .collect();
    let mut out: Vec<Guarded<T>> = (late.iter())
        .map(|&k| Guarded::new(front, cell.output_len(k, extent)))
        .collect();
    // Elsewhere in memory.
    let moved: Vec<Vec<T>> = slices.iter().map(|x| x.to_vec()).collect();
    let moved: Vec<&[T]> = moved.iter().map(Vec::as_slice).collect();
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
    kept.backward(&moved, &mut outs)
        .map_err(|e| e.to_string())?;
    drop(after);
    for (array, k) in out.iter().zip(late) {
        let name = &cell.outputs()[k].name;
        all.push((name.to_string(), array.written(name)?));
    }
    Ok(all)
}

/// The program's inputs, but with initial states of another seed's, and numbers for all of them. None if a state begins with
/// anything but an input of its name: then no run begins where a stepper can be told to go on.
pub(crate) fn started_elsewhere(
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Option<Vec<Vec<f64>>> {
    let mut given = inputs(tape, t, b, seed);
    let mut initial =
        (tape.inputs().iter().enumerate()).filter(|(_, i)| i.role == InputRole::Initial);
    let states = tape
        .outputs()
        .iter()
        .filter(|o| o.role == OutputRole::Final);
    let named = |o: &Output| tape.input(&o.name).map(|k| tape.inputs()[k].role);
    if !states.clone().all(|o| named(o) == Some(InputRole::Initial)) || states.count() == 0 {
        return None;
    }
    initial.try_for_each(|(k, input)| {
        let Domain::BoundarySlots(slots) = input.ty.domain else {
            return None;
        };
        let number = |i: usize| f64::from((0.9 * (seed as f64 + (5 * k + i) as f64).sin()) as f32);
        given[k] = (0..slots * b * input.ty.shape.len()).map(number).collect();
        Some(())
    })?;
    Some(given)
}

/// A stepper and the sequence that it is given.
struct Sampled<'a, T: Element> {
    stepper: Stepper<T>,
    tape: &'a Tape,
    given: &'a [Vec<T>],
    /// Its inputs' numbers in the program.
    read: Vec<usize>,
    b: usize,
}

impl<T: Element + Real> Sampled<'_, T> {
    /// The outputs of the sample of this step.
    fn step(&mut self, step: usize) -> Result<Vec<Vec<T>>, String> {
        let (tape, b) = (self.tape, self.b);
        let part = |&k: &usize| {
            let n = b * tape.inputs()[k].ty.shape.len();
            &self.given[k][step * n..][..n]
        };
        let samples: Vec<&[T]> = self.read.iter().map(part).collect();
        let shape = |o: &Output| {
            let k = tape.output(&o.name).expect("an output");
            tape.nodes()[tape.outputs()[k].value.index()].ty.shape
        };
        let outputs = self.stepper.outputs().iter();
        let mut out: Vec<Guarded<T>> = outputs
            .map(|o| Guarded::new(GUARD, b * shape(o).len()))
            .collect();
        let mut slices: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
        let ran = self.stepper.step(&samples, &mut slices);
        ran.map_err(|e| e.to_string())?;
        (out.iter().zip(self.stepper.outputs()))
            .map(|(array, o)| array.written(&o.name))
            .collect()
    }

    /// Sets all states to what a run that begins with these inputs begins with.
    fn start(&mut self, states: &[String], start: &[Vec<f64>]) -> Result<(), String> {
        for name in states {
            let k = self
                .tape
                .input(name)
                .ok_or("a state begins with no input")?;
            let values = cast::<T>(&start[k..=k]).remove(0);
            let set = self.stepper.set_state(name, &values);
            set.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Sets parameters and all states to what they are, which must change nothing.
    fn set_to_what_is(&mut self, states: &[String], fixed: &[&[T]]) -> Result<(), String> {
        for name in states {
            let now = self.state(name);
            let set = self.stepper.set_state(name, &now);
            set.map_err(|e| e.to_string())?;
        }
        let parameters = (0..fixed.len()).map(|k| match self.tape.inputs()[k].ty.domain {
            Domain::Once | Domain::Row => fixed[k],
            _ => &[][..],
        });
        let parameters: Vec<&[T]> = parameters.collect();
        let set = self.stepper.set_inputs(&parameters);
        set.map_err(|e| e.to_string())
    }

    fn state(&mut self, name: &str) -> Vec<T> {
        self.stepper.state(name).expect("its own name").to_vec()
    }
}

/// The outputs over steps of a stepper that is given a sequence, then its states; none if the program needs later samples.
/// In the middle of the sequence parameters and all states are set to what they are, which must change nothing.
///
/// `start` are inputs whose initial states the stepper is set to after some samples, before the sequence begins: the numbers
/// are then those of a run that begins there, wherever its rings stand.
pub(crate) fn by_stepper<T: Element + Real>(
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
    target: Target,
    start: Option<&[Vec<f64>]>,
) -> Result<Option<Arrays<T>>, String> {
    let given = cast::<T>(&inputs(tape, t, b, seed));
    let over_steps = |k: usize| tape.inputs()[k].ty.domain == Domain::Step;
    let fixed = (0..given.len()).map(|k| if over_steps(k) { &[][..] } else { &given[k] });
    let fixed: Vec<&[T]> = fixed.collect();
    let stepper = match Stepper::with_options(tape, &of(target), b, &fixed) {
        Ok(stepper) => stepper,
        Err(StepperError::Compile(
            CompileError::Refused(Refused::Future(_)) | CompileError::Idle { .. },
        )) => {
            return Ok(None);
        }
        Err(e) => return Err(e.to_string()),
    };
    let position = |i: &Input| tape.inputs().iter().position(|j| j.name == i.name);
    let names = stepper.outputs().iter().map(|o| o.name.to_string());
    let mut out: Arrays<T> = names.map(|name| (name, Vec::new())).collect();
    let states: Vec<String> = stepper.states().map(str::to_string).collect();
    let mut sampled = Sampled {
        read: stepper.inputs().iter().filter_map(position).collect(),
        stepper,
        tape,
        given: &given,
        b,
    };
    if let Some(start) = start {
        for step in 0..1 + t / 2 {
            sampled.step(step)?;
        }
        sampled.start(&states, start)?;
    }
    let mut first = Vec::new();
    for step in 0..t {
        let got = sampled.step(step)?;
        for ((_, all), one) in out.iter_mut().zip(&got) {
            all.extend(one);
        }
        if step == 0 {
            first = got;
        }
        if step == t / 2 {
            sampled.set_to_what_is(&states, &fixed)?;
        }
    }
    for name in states {
        let last = sampled.state(&name);
        out.push((name, last));
    }
    if start.is_some() {
        return Ok(Some(out));
    }
    sampled.stepper.reset();
    let again = sampled.step(0)?;
    let bits = |x: &[Vec<T>]| -> Vec<u64> {
        (x.iter().flatten())
            .map(|x| Real::to_f64(*x).to_bits())
            .collect()
    };
    if bits(&first) != bits(&again) {
        return Err("after a reset the first sample gives other numbers".into());
    }
    Ok(Some(out))
}

/// The program's inputs, and the cotangents that a differentiated one has besides.
pub(crate) fn arguments<T: Real>(
    tape: &Tape,
    wanted: &[Input],
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Vec<Vec<T>>, String> {
    let mut given = cast::<T>(&inputs(tape, t, b, seed));
    let cots = cast::<T>(&cotangents(tape, t, b, seed));
    for input in &wanted[given.len()..] {
        let k = (tape.outputs().iter())
            .position(|o| format!("cot({})", o.name) == *input.name)
            .ok_or_else(|| format!("what is `{}`?", input.name))?;
        given.push(cots[k].clone());
    }
    Ok(given)
}

/// A program with all gradients, planned but not compiled.
pub(crate) struct Planned {
    graph: Graph,
    plan: Plan,
}

/// Plans for all gradients.
pub(crate) fn planned(tape: &Tape, options: &Options) -> Result<Planned, String> {
    let recorded = Graph::from_tape(tape);
    let what = Purpose::everything(tape).derivations(&recorded);
    let what = what.map_err(|e| e.to_string())?;
    let trace = passes::run(&recorded, &what, options).map_err(|e| e.to_string())?;
    let (_, graph) = trace.into_iter().last().expect("it starts with one");
    let plan = plan(&graph, options);
    Ok(Planned { graph, plan })
}

/// All outputs of a plan as it stands, gradients among them.
pub(crate) fn by_plan<T: Real>(
    planned: &Planned,
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let Planned { graph, plan } = planned;
    let given = arguments::<T>(tape, graph.inputs(), t, b, seed)?;
    let slices: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    // Sizes and orders that must not matter, another choice for each case.
    let cut = Blocking {
        steps: 1 + (seed % 4) as usize,
        lanes: 1 + (seed / 4 % 5) as usize,
        last_first: seed / 20 % 2 == 1,
        block: 1 + (seed / 40 % 5) as usize,
        replay: seed / 200 % 2 == 1,
    };
    let out = (plan.interpret(t, b, &slices, cut)).map_err(|e| e.to_string())?;
    let names = graph.outputs().iter().map(|o| o.name.to_string());
    Ok(names.zip(out).collect())
}

/// Everything on, for a target.
pub(crate) fn of(target: Target) -> Options {
    Options::default().with(|o| o.target = target)
}

/// The same, with all verifiers on.
pub(crate) fn verified(target: Target) -> Options {
    Options::verified().with(|o| o.target = target)
}

/// One of the targets that this machine runs, another for each seed.
pub(crate) fn drawn(seed: u64) -> Target {
    let all = Target::all_runnable();
    all[(seed / 11) as usize % all.len()]
}

/// Compiles for all gradients.
pub(crate) fn compiled<T: Element>(tape: &Tape, target: Target) -> Result<Executor<T>, String> {
    let purpose = Purpose::everything(tape);
    let cell = CompiledCell::compile_with(tape, &purpose, &of(target));
    Ok(cell.map_err(|e| e.to_string())?.executor())
}

pub(crate) fn cast<T: Real>(arrays: &[Vec<f64>]) -> Vec<Vec<T>> {
    (arrays.iter())
        .map(|a| a.iter().map(|&x| T::from_f64(x)).collect())
        .collect()
}
