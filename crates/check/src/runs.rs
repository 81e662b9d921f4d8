//! One program on each engine: its outputs, including gradients, by name.

use retrograd_graph::passes;
use retrograd_graph::plan::{Blocking, Plan, plan};
use retrograd_graph::{Graph, Options, Target};
use retrograd_jit::{CompileError, CompiledCell, Element, Executor, Purpose, RunError};
use retrograd_tape::{
    Input, Interpreter, Lengths, Observe, Output, OutputRole, Real, Tape, TapeError,
};

use crate::guarded::{GUARD, Guarded};
use crate::sample::{Sample, cast, slices};

/// An array and its name.
pub type Named<T> = (String, Vec<T>);

/// Arrays by name, in order.
pub type Arrays<T> = Vec<Named<T>>;

/// All outputs and gradients of the tape with bfloat16 operands of products.
///
/// # Errors
/// Those of a run.
pub fn by_tape_of_bf16<T: Real>(sample: &Sample<'_>) -> Result<Arrays<T>, TapeError> {
    by(
        Interpreter::of_bf16_products(sample.tape, |_| true, &[])?,
        sample,
    )
}

/// All outputs and gradients of the tape.
///
/// # Errors
/// Those of a run.
pub fn by_tape<T: Real>(sample: &Sample<'_>) -> Result<Arrays<T>, TapeError> {
    by(Interpreter::new(sample.tape), sample)
}

fn by<T: Real>(mut run: Interpreter<T>, sample: &Sample<'_>) -> Result<Arrays<T>, TapeError> {
    let (tape, inputs) = (sample.tape, cast::<T>(&sample.inputs));
    match sample.is_ragged() {
        true => run.forward_ragged(&sample.lengths, &slices(&inputs))?,
        // As runs are made that know of no lengths.
        false => run.forward(sample.extent(), &slices(&inputs))?,
    }
    let cots = cast::<T>(&sample.cotangents);
    let cots: Vec<Option<&[T]>> = cots.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cots)?;
    let mut out: Arrays<T> = (tape.outputs().iter().enumerate())
        .map(|(i, o)| (o.name.to_string(), run.output(i).to_vec()))
        .collect();
    for (i, input) in tape.inputs().iter().enumerate() {
        let gradient = run.gradient(i).map(<[T]>::to_vec).unwrap_or_default();
        out.push((format!("grad({})", input.name), gradient));
    }
    Ok(out)
}

/// Runs a compiled cell over the sample's rows.
pub(crate) fn run_over<T: Element>(
    executor: &mut Executor<T>,
    sample: &Sample<'_>,
    inputs: &[&[T]],
    outputs: &mut [&mut [T]],
) -> Result<(), RunError> {
    match sample.is_ragged() {
        true => executor.run_ragged(&sample.lengths, inputs, outputs),
        false => executor.run(sample.extent(), inputs, outputs),
    }
}

/// Arrays for the outputs of a compiled cell, which must write all of them and nothing else.
fn places<T: Element + Real>(
    executor: &Executor<T>,
    sample: &Sample<'_>,
    of: impl Iterator<Item = usize>,
) -> Vec<Guarded<T>> {
    let cell = executor.cell();
    let len = |k: usize| sample.lengths.numbers(cell.output_type(k));
    of.map(|k| Guarded::new(front(sample), len(k))).collect()
}

/// An array begins anywhere: nothing is aligned to more than a number.
fn front(sample: &Sample<'_>) -> usize {
    GUARD + (sample.seed % 5) as usize
}

/// All outputs of a compiled cell, gradients among them.
///
/// # Errors
/// Those of a run, or numbers that were written beside an array.
pub fn by_cell<T: Element + Real>(
    executor: &mut Executor<T>,
    sample: &Sample<'_>,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(sample, cell.inputs())?;
    let given: Vec<Guarded<T>> = given
        .iter()
        .map(|x| Guarded::holding(front(sample), x))
        .collect();
    let inputs: Vec<&[T]> = given.iter().map(Guarded::inner).collect();
    let mut out = places(executor, sample, 0..cell.outputs().len());
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
    run_over(executor, sample, &inputs, &mut outs).map_err(|e| e.to_string())?;
    (out.iter().zip(cell.outputs()))
        .map(|(array, output)| Ok((output.name.to_string(), array.written(&output.name)?)))
        .collect()
}

/// Runs a cell on NaN for a sample's rows, so that its workspace is full of it; row numbers stay as they are.
///
/// # Errors
/// Those of a run.
pub fn poison<T: Element + Real>(
    executor: &mut Executor<T>,
    sample: &Sample<'_>,
) -> Result<(), String> {
    let mut given = arguments::<T>(sample, executor.cell().inputs())?;
    let rows = sample.tape.index_inputs();
    for (k, array) in given.iter_mut().enumerate() {
        if !rows.iter().any(|(input, _)| *input == k) {
            array.fill(T::NAN);
        }
    }
    let mut out = places(executor, sample, 0..executor.cell().outputs().len());
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
    match run_over(executor, sample, &slices(&given), &mut outs) {
        // A row number that was computed of them is none.
        Ok(()) | Err(RunError::ComputedIndex { .. }) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// The forward half of a run.
pub(crate) fn forward_over<T: Element>(
    executor: &mut Executor<T>,
    sample: &Sample<'_>,
    inputs: &[&[T]],
) -> Result<retrograd_jit::Residuals<T>, RunError> {
    match sample.is_ragged() {
        true => executor.forward_ragged(&sample.lengths, inputs),
        false => executor.forward(sample.extent(), inputs),
    }
}

/// The same, its run cut in two, with another run and the forward half of one in between.
///
/// # Errors
/// As [`by_cell`].
pub fn by_halves<T: Element + Real>(
    executor: &mut Executor<T>,
    sample: &Sample<'_>,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(sample, cell.inputs())?;
    let given: Vec<Guarded<T>> = given
        .iter()
        .map(|x| Guarded::holding(front(sample), x))
        .collect();
    let inputs: Vec<&[T]> = given.iter().map(Guarded::inner).collect();
    let own = sample.tape.inputs().len();
    let kept = forward_over(executor, sample, &inputs[..own]).map_err(|e| e.to_string())?;
    let other = sample.redrawn(sample.seed ^ 1);
    let longer = sample.lengths.of_rows().iter().map(|n| n + 1).collect();
    let longer = other.with_lengths(Lengths::new(longer).map_err(|e| e.to_string())?);
    let others = arguments::<T>(&longer, cell.inputs())?;
    let after = forward_over(executor, &longer, &slices(&others[..own]));
    by_cell(executor, &other)?;
    let early = |o: &&Output| o.role != OutputRole::Gradient;
    let first = cell.outputs().iter().enumerate().filter(|(_, o)| early(o));
    let mut all: Arrays<T> = first
        .map(|(k, o)| (o.name.to_string(), kept.output(k).to_vec()))
        .collect();
    let late: Vec<usize> = (0..cell.outputs().len())
        .filter(|&k| !early(&&cell.outputs()[k]))
        .collect();
    let mut out = places(executor, sample, late.iter().copied());
    // Elsewhere in memory.
    let moved: Vec<Vec<T>> = inputs.iter().map(|x| x.to_vec()).collect();
    let mut outs: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
    kept.backward(&slices(&moved), &mut outs)
        .map_err(|e| e.to_string())?;
    drop(after);
    for (array, k) in out.iter().zip(late) {
        let name = &cell.outputs()[k].name;
        all.push((name.to_string(), array.written(name)?));
    }
    Ok(all)
}

/// The program's inputs, and the cotangents that a differentiated one has besides.
///
/// # Errors
/// An input that is neither.
pub fn arguments<T: Real>(sample: &Sample<'_>, wanted: &[Input]) -> Result<Vec<Vec<T>>, String> {
    let mut given = cast::<T>(&sample.inputs);
    let cots = cast::<T>(&sample.cotangents);
    for input in &wanted[given.len()..] {
        let k = (sample.tape.outputs().iter())
            .position(|o| format!("cot({})", o.name) == *input.name)
            .ok_or_else(|| format!("what is `{}`?", input.name))?;
        given.push(cots[k].clone());
    }
    Ok(given)
}

/// A program for a purpose, planned but not compiled.
#[derive(Clone, Debug)]
pub struct Planned {
    graph: Graph,
    plan: Plan,
}

/// Plans for a purpose.
///
/// # Errors
/// A program that the passes refuse.
pub fn planned(tape: &Tape, purpose: &Purpose, options: &Options) -> Result<Planned, String> {
    planned_observing(tape, purpose, options, &[])
}

fn planned_observing(
    tape: &Tape,
    purpose: &Purpose,
    options: &Options,
    observe: &[Observe],
) -> Result<Planned, String> {
    let recorded = Graph::observing(tape, observe).map_err(str::to_owned)?;
    let what = purpose.derivations(&recorded);
    let what = what.map_err(|e| e.to_string())?;
    let graph = passes::run(&recorded, &what, options).map_err(|e| e.to_string())?;
    let plan = plan(&graph, options);
    Ok(Planned { graph, plan })
}

/// As [`by_plan`], with these values as outputs besides.
pub(crate) fn by_plan_observed(
    sample: &Sample<'_>,
    options: &Options,
    observe: &[Observe],
) -> Result<Arrays<f64>, String> {
    let purpose = Purpose::everything(sample.tape);
    let planned = planned_observing(sample.tape, &purpose, options, observe)?;
    by_plan(&planned, sample)
}

/// All outputs of a plan as it stands, gradients among them.
///
/// # Errors
/// Those of a run.
pub fn by_plan<T: Real>(planned: &Planned, sample: &Sample<'_>) -> Result<Arrays<T>, String> {
    let graph = &planned.graph;
    let given = arguments::<T>(sample, graph.inputs())?;
    let out = planned.interpret(sample, &slices(&given))?;
    let names = graph.outputs().iter().map(|o| o.name.to_string());
    Ok(names.zip(out).collect())
}

impl Planned {
    /// The outputs of the plan for these inputs of its program, in order.
    ///
    /// # Errors
    /// Those of a run.
    pub fn interpret<T: Real>(
        &self,
        sample: &Sample<'_>,
        inputs: &[&[T]],
    ) -> Result<Vec<Vec<T>>, String> {
        let seed = sample.seed;
        // Sizes and orders that must not matter, another choice for each case.
        let cut = Blocking {
            steps: 1 + (seed % 4) as usize,
            lanes: 1 + (seed / 4 % 5) as usize,
            last_first: seed / 20 % 2 == 1,
            block: 1 + (seed / 40 % 5) as usize,
            replay: seed / 200 % 2 == 1,
        };
        let out = match sample.is_ragged() {
            true => self.plan.interpret_ragged(&sample.lengths, inputs, cut),
            false => self.plan.interpret(sample.t(), sample.b(), inputs, cut),
        };
        out.map_err(|e| e.to_string())
    }
}

/// Everything on, for a target.
pub fn of(target: Target) -> Options {
    Options::default().with(|o| o.target = target)
}

/// The same, with all verifiers on.
pub fn verified(target: Target) -> Options {
    Options::verified().with(|o| o.target = target)
}

/// One of the targets that this machine runs, another for each seed.
pub fn drawn(seed: u64) -> Target {
    let all = Target::all_runnable();
    all[(seed / 11) as usize % all.len()]
}

/// Compiles for all gradients.
///
/// # Errors
/// A program that is refused.
pub fn compiled<T: Element>(tape: &Tape, target: Target) -> Result<Executor<T>, CompileError> {
    let purpose = Purpose::everything(tape);
    Ok(CompiledCell::compile_with(tape, &purpose, &of(target))?.executor())
}
