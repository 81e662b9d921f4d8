//! One program on each engine: its outputs, including gradients, by name.

use retrograd_graph::passes;
use retrograd_graph::plan::{Blocking, Plan, plan};
use retrograd_graph::{Graph, Options, Target};
use retrograd_jit::{CompiledCell, Element, Executor, Purpose, Residuals, RunError, RunMemory};
use retrograd_tape::generate::{cotangents_ragged, inputs_ragged};
use retrograd_tape::{
    CentralDifferences, Extent, Input, Interpreter, Lengths, Output, OutputRole, Real, Tape,
};

/// Numbers on either side of each output that must stay as they are.
pub(crate) const GUARD: usize = 64;

/// An array and its name.
pub(crate) type Named<T> = (String, Vec<T>);

/// Arrays by name, in order.
pub(crate) type Arrays<T> = Vec<Named<T>>;

/// All outputs and gradients of the tape.
pub(crate) fn by_tape<T: Real>(
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
) -> Result<Arrays<T>, String> {
    by_tape_on(tape, &inputs_ragged(tape, lengths, seed), lengths, seed)
}

/// As [`by_tape`], on these inputs.
pub(crate) fn by_tape_on<T: Real>(
    tape: &Tape,
    inputs: &[Vec<f64>],
    lengths: &Lengths,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let inputs = cast::<T>(inputs);
    let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<T>::new(tape);
    let ran = match full(lengths) {
        Some(extent) => run.forward(extent, &slices),
        None => run.forward_ragged(lengths, &slices),
    };
    ran.map_err(|e| e.to_string())?;
    let cots = cast::<T>(&cotangents_ragged(tape, lengths, seed));
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
pub(crate) struct Guarded<T> {
    all: Vec<T>,
    front: usize,
}

impl<T: Real> Guarded<T> {
    pub(crate) fn new(front: usize, len: usize) -> Self {
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

    pub(crate) fn inner_mut(&mut self) -> &mut [T] {
        let range = self.range();
        &mut self.all[range]
    }

    /// What was written, if nothing beside it was.
    pub(crate) fn written(&self, name: &str) -> Result<Vec<T>, String> {
        let range = self.range();
        let mut beside = self.all[..range.start].iter().chain(&self.all[range.end..]);
        match beside.all(|x| *x == Self::guard()) {
            true => Ok(self.inner().to_vec()),
            false => Err(format!("numbers beside `{name}` were overwritten")),
        }
    }
}

/// Steps and rows, if all rows have as many steps. Then runs are made as those are that know of no lengths.
fn full(lengths: &Lengths) -> Option<Extent> {
    let extent = Extent::steps(lengths.steps()).rows(lengths.rows());
    (lengths.points() == extent.steps * extent.rows).then_some(extent)
}

fn output_len<T: Element>(cell: &CompiledCell<T>, k: usize, lengths: &Lengths) -> usize {
    match full(lengths) {
        Some(extent) => cell.output_len(k, extent),
        None => cell.output_len_ragged(k, lengths),
    }
}

/// The memory of a run in which some inputs are empty.
pub(crate) fn memory<T: Element>(
    executor: &Executor<T>,
    lengths: &Lengths,
    empty: &[usize],
) -> Result<RunMemory, RunError> {
    match full(lengths) {
        Some(extent) => executor.memory(extent, (empty, &[])),
        None => executor.memory_ragged(lengths, (empty, &[])),
    }
}

pub(crate) fn forward_half<T: Element>(
    executor: &mut Executor<T>,
    lengths: &Lengths,
    inputs: &[&[T]],
) -> Result<Residuals<T>, RunError> {
    match full(lengths) {
        Some(extent) => executor.forward(extent, inputs),
        None => executor.forward_ragged(lengths, inputs),
    }
}

/// Runs a cell on NaN for rows of these lengths, so that its workspace is full of it; row numbers stay as they are.
pub(crate) fn poison<T: Element + Real>(
    executor: &mut Executor<T>,
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
) -> Result<(), String> {
    let cell = executor.cell().clone();
    let mut given = arguments::<T>(tape, cell.inputs(), lengths, seed)?;
    let own = inputs_ragged(tape, lengths, seed);
    let own: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
    let numbers = CentralDifferences::ragged(tape, lengths, &own).map_err(|e| e.to_string())?;
    for (k, array) in given.iter_mut().enumerate() {
        if k >= own.len() || numbers.moves(k) {
            array.fill(T::from_f64(f64::NAN));
        }
    }
    let slices: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    let mut out: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| vec![T::from_f64(0.0); output_len(&cell, k, lengths)])
        .collect();
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    match executor.run_ragged(lengths, &slices, &mut outs) {
        // A row number that was computed of them is none.
        Ok(()) | Err(RunError::ComputedIndex { .. }) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// All outputs of a compiled cell, gradients among them.
pub(crate) fn by_cell<T: Element + Real>(
    executor: &mut Executor<T>,
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(tape, cell.inputs(), lengths, seed)?;
    // An array begins anywhere: nothing is aligned to more than a number.
    let front = GUARD + (seed % 5) as usize;
    let given: Vec<Guarded<T>> = given.iter().map(|x| Guarded::holding(front, x)).collect();
    let slices: Vec<&[T]> = given.iter().map(Guarded::inner).collect();
    let mut out: Vec<Guarded<T>> = (0..cell.outputs().len())
        .map(|k| Guarded::new(front, output_len(&cell, k, lengths)))
        .collect();
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
    let ran = match full(lengths) {
        Some(extent) => executor.run(extent, &slices, &mut outs),
        None => executor.run_ragged(lengths, &slices, &mut outs),
    };
    ran.map_err(|e| e.to_string())?;
    (out.iter().zip(cell.outputs()))
        .map(|(array, output)| Ok((output.name.to_string(), array.written(&output.name)?)))
        .collect()
}

/// The same, its run cut in two, with another run and the forward half of one in between.
pub(crate) fn by_halves<T: Element + Real>(
    executor: &mut Executor<T>,
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(tape, cell.inputs(), lengths, seed)?;
    let front = GUARD + (seed % 5) as usize;
    let given: Vec<Guarded<T>> = given.iter().map(|x| Guarded::holding(front, x)).collect();
    let slices: Vec<&[T]> = given.iter().map(Guarded::inner).collect();
    let own = tape.inputs().len();
    let kept = forward_half(executor, lengths, &slices[..own]);
    let kept = kept.map_err(|e| e.to_string())?;
    let longer = lengths.of_rows().iter().map(|n| n + 1).collect();
    let longer = Lengths::new(longer).map_err(|e| e.to_string())?;
    let other = arguments::<T>(tape, cell.inputs(), &longer, seed ^ 1)?;
    let others: Vec<&[T]> = other[..own].iter().map(Vec::as_slice).collect();
    let after = forward_half(executor, &longer, &others);
    by_cell(executor, tape, lengths, seed ^ 1)?;
    let early = |o: &&Output| o.role != OutputRole::Gradient;
    let first = cell.outputs().iter().enumerate().filter(|(_, o)| early(o));
    let mut all: Arrays<T> = first
        .map(|(k, o)| (o.name.to_string(), kept.output(k).to_vec()))
        .collect();
    let late: Vec<usize> = (0..cell.outputs().len())
        .filter(|&k| !early(&&cell.outputs()[k]))
        .collect();
    let mut out: Vec<Guarded<T>> = (late.iter())
        .map(|&k| Guarded::new(front, output_len(&cell, k, lengths)))
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

/// The program's inputs, and the cotangents that a differentiated one has besides.
pub(crate) fn arguments<T: Real>(
    tape: &Tape,
    wanted: &[Input],
    lengths: &Lengths,
    seed: u64,
) -> Result<Vec<Vec<T>>, String> {
    let mut given = cast::<T>(&inputs_ragged(tape, lengths, seed));
    let cots = cast::<T>(&cotangents_ragged(tape, lengths, seed));
    for input in &wanted[given.len()..] {
        let k = (tape.outputs().iter())
            .position(|o| format!("cot({})", o.name) == *input.name)
            .ok_or_else(|| format!("what is `{}`?", input.name))?;
        given.push(cots[k].clone());
    }
    Ok(given)
}

/// A program planned for some purpose, but not compiled.
pub(crate) struct Planned {
    graph: Graph,
    plan: Plan,
}

/// Plans for a purpose.
pub(crate) fn planned(
    tape: &Tape,
    purpose: &Purpose,
    options: &Options,
) -> Result<Planned, String> {
    let recorded = Graph::from_tape(tape);
    let what = purpose.derivations(&recorded);
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
    lengths: &Lengths,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let Planned { graph, plan } = planned;
    let given = arguments::<T>(tape, graph.inputs(), lengths, seed)?;
    let slices: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    let out = interpret(plan, lengths, &slices, seed)?;
    let names = graph.outputs().iter().map(|o| o.name.to_string());
    Ok(names.zip(out).collect())
}

/// The outputs of a plan in sizes and orders that must not matter, others for each seed.
pub(crate) fn interpret<T: Real>(
    plan: &Plan,
    lengths: &Lengths,
    inputs: &[&[T]],
    seed: u64,
) -> Result<Vec<Vec<T>>, String> {
    let cut = Blocking {
        steps: 1 + (seed % 4) as usize,
        lanes: 1 + (seed / 4 % 5) as usize,
        last_first: seed / 20 % 2 == 1,
        block: 1 + (seed / 40 % 5) as usize,
        replay: seed / 200 % 2 == 1,
    };
    let out = match full(lengths) {
        Some(Extent { steps, rows }) => plan.interpret(steps, rows, inputs, cut),
        None => plan.interpret_ragged(lengths, inputs, cut),
    };
    out.map_err(|e| e.to_string())
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
